"""Cloud hopping: an analysis that exists only while it runs. ``run.py`` is the place to start."""
