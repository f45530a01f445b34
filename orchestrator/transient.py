"""What the clouds say while they are busy, or before everybody there has heard of what was just done.

A destroy that failed for nothing else is tried again after a pause, a few times: the clouds' providers try on their
own, too, but not for ever, and not for each of these.
"""

import re

PAUSES_SECONDS = (1.0, 2.0, 4.0)
_KNOWN = (
    # Throttling: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html,
    # https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling,
    # https://cloud.google.com/storage/docs/retry-strategy
    "Throttl",
    "TooManyRequests",
    "Too Many Requests",
    "RequestLimitExceeded",
    "SlowDown",
    "rateLimitExceeded",
    # The service itself, or the way to it.
    "ServiceUnavailable",
    "Service Unavailable",
    "InternalError",
    "Internal ?Server ?Error",
    "ServerBusy",
    "RetryableError",
    "backendError",
    "Bad Gateway",
    "connection (refused|reset|error)",
    "no such host",
    "broken pipe",
    "code = Unavailable",
    "timed ?out",
    "(i/o|handshake|gateway|request) ?time-?out",
    "(deadline|timeout) exceeded",
    r"\bEOF\b",
    # A conflict with what is still under way: a function that is being updated, a group that is being deleted, a bucket
    # that was not empty a moment ago.
    "ResourceConflictException",
    "DeleteConflict",
    "OperationAborted",
    "AnotherOperationInProgress",
    "BucketNotEmpty",
    "ConcurrentModification",
    "concurrent policy changes",
    r"\bConflict\b",
)
_PASSES = re.compile("|".join(_KNOWN), re.IGNORECASE)


def passes(text: str) -> bool:
    """Whether a refusal may be another one, or none, in a moment."""
    return _PASSES.search(text) is not None
