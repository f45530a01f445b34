"""What the compute stack sets."""

import os


def setting(name: str) -> str:
    """The environment variable.

    Raises:
        RuntimeError: the compute stack did not set it.
    """
    try:
        return os.environ[name]
    except KeyError:
        raise RuntimeError(f"the environment variable {name} is not set; the compute stack has to set it") from None
