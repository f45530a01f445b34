"""Every deadline of a run, in seconds: nothing waits for ever, and all that may wait is in this one place.

Read as attributes (``deadlines.CALL``) when they are needed, so that a drill, which waits for hundreds of them, can
shorten them in its own processes.
"""

# ---- a cloud's client

CONNECT: float = 10
"""Until a cloud takes a connection."""
CALL: float = 30
"""One request."""
CALL_WITH_RETRIES: float = 120
"""A request, with all its retries."""
JOB: float = 15 * 60
"""A query or an extract."""
PUBLISH: float = 10 * 60
"""The package's way to a function app of plan flex."""
FUNCTION_START: float = 30
"""A cold start; it comes on top of the function's own timeout."""
FUNCTION_READY: float = 3 * 60
"""Until a new function can be reached, and may read what it was allowed to."""
REMOVE: float = 10 * 60
"""Until a cloud has removed something: Azure takes minutes for a group."""

# ---- the engine

UP: float = 20 * 60
"""A stack's creates; no create of ours takes longer than the function's 15 minutes of role propagation."""
DESTROY: float = 20 * 60
"""A stack's deletes."""
COMMAND: float = 2 * 60
"""Any other command of the Pulumi CLI."""
GRACE: float = 10 * 60
"""A CLI that was asked to stop: it finishes what is in flight. Then it is killed."""
LOCK: float = 2 * 60
"""A killed run's CLI: it finishes the creates that it had begun, and unlocks the stack."""

# ---- the end

SETTLE: float = 60
"""Listings by tag lag behind a delete, on AWS for up to a minute."""
