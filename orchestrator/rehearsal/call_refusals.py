"""How each cloud refuses a call that it would else take: in its services' own forms and words.

Of AWS https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and each service's "Common errors"; of Azure
https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling and
https://learn.microsoft.com/entra/identity-platform/reference-error-codes; of Google Cloud
https://cloud.google.com/bigquery/docs/error-messages, https://cloud.google.com/storage/docs/json_api/v1/status-codes
and https://cloud.google.com/apis/design/errors.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from orchestrator.rehearsal.aws.refusals import Refusal
from orchestrator.rehearsal.aws.sigv4 import claimed_service
from orchestrator.rehearsal.faults import Call
from orchestrator.rehearsal.front_door import Answer

REFUSALS: Final = ("forbidden", "throttled", "unavailable", "expired")
"""The effects that are a refusal."""
_Said = tuple[int, str, str]
_EXPIRED = "The security token included in the request is expired"
_DENIED = "User: arn:aws:iam::123456789012:user/rehearsal is not authorized to perform this action"

# ---- AWS: (status, code, message) by service; the others are as ""
_AWS: Final[Mapping[str, Mapping[str, _Said]]] = {
    "forbidden": {
        "s3": (403, "AccessDenied", "Access Denied"),
        "iam": (403, "AccessDenied", _DENIED),
        "sts": (403, "AccessDenied", _DENIED),
        "lambda": (403, "AccessDeniedException", _DENIED),
        "": (400, "AccessDeniedException", _DENIED),
    },
    "throttled": {
        "s3": (503, "SlowDown", "Please reduce your request rate."),
        "iam": (400, "Throttling", "Rate exceeded"),
        "sts": (400, "Throttling", "Rate exceeded"),
        "lambda": (429, "TooManyRequestsException", "Rate exceeded"),
        "": (400, "ThrottlingException", "Rate exceeded"),
    },
    "unavailable": {
        "s3": (503, "ServiceUnavailable", "Service is unable to handle request."),
        "": (503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server."),
    },
    "expired": {
        "s3": (400, "ExpiredToken", "The provided token has expired."),
        "iam": (403, "ExpiredToken", _EXPIRED),
        "sts": (403, "ExpiredToken", _EXPIRED),
        "lambda": (403, "ExpiredTokenException", _EXPIRED),
        "": (400, "ExpiredTokenException", _EXPIRED),
    },
}
_FUNCTION_URL: Final[Mapping[str, tuple[int, str]]] = {
    "forbidden": (403, '{"Message":"Forbidden"}'),
    "throttled": (
        429,
        '{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}',
    ),
    "unavailable": (503, '{"Message":"Service Unavailable"}'),
    "expired": (403, f'{{"Message":"{_EXPIRED}"}}'),
}

# ---- Azure
_ARM: Final[Mapping[str, _Said]] = {
    "forbidden": (
        403,
        "AuthorizationFailed",
        (
            "The client does not have authorization to perform this action over this scope or the scope is invalid. If "
            "access was recently granted, please refresh your credentials."
        ),
    ),
    "throttled": (
        429,
        "SubscriptionRequestsThrottled",
        "Number of requests for the subscription exceeded the limit. Please try again after '1' seconds.",
    ),
    "unavailable": (503, "ServiceUnavailable", "The service is temporarily unavailable. Please try again later."),
    "expired": (401, "ExpiredAuthenticationToken", "The access token expiry is earlier than current UTC time."),
}
_ENTRA: Final[Mapping[str, _Said]] = {
    "forbidden": (400, "unauthorized_client", "AADSTS7000112: The application is disabled."),
    "throttled": (429, "temporarily_unavailable", "AADSTS90055: There are too many incoming requests."),
    "unavailable": (503, "temporarily_unavailable", "AADSTS90033: A transient error has occurred. Please try again."),
    "expired": (401, "invalid_client", "AADSTS7000222: The provided client secret keys are expired."),
}
# An app, and its deployment site: https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger
_APP: Final[Mapping[str, tuple[int, str]]] = {
    "forbidden": (403, "This web app is stopped."),
    "throttled": (429, ""),
    "unavailable": (503, "Function host is not running."),
    "expired": (401, ""),
}

# ---- Google Cloud: (status, reason, message)
_GOOGLE: Final[Mapping[str, Mapping[str, _Said]]] = {
    "forbidden": {
        "bigquery": (403, "accessDenied", "Access Denied: User does not have permission."),
        "storage": (403, "forbidden", "The caller does not have access (or it may not exist)."),
        "": (403, "PERMISSION_DENIED", "Permission denied on resource (or it may not exist)."),
    },
    "throttled": {
        "bigquery": (403, "rateLimitExceeded", "Exceeded rate limits: too many api requests per user per method."),
        "storage": (429, "rateLimitExceeded", "The rate of requests is too high. Please reduce it."),
        "": (429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute'."),
    },
    "unavailable": {
        "bigquery": (503, "backendError", "Error encountered during execution. Retrying may solve the problem."),
        "storage": (503, "backendError", "We encountered an internal error. Please try again."),
        "": (503, "UNAVAILABLE", "The service is currently unavailable."),
    },
    "expired": {
        "bigquery": (401, "authError", "Invalid Credentials"),
        "storage": (401, "authError", "Invalid Credentials"),
        "": (401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
    },
}
# A service's URL, and the metadata server: plain text.
_GOOGLE_TEXT: Final[Mapping[str, tuple[int, str]]] = {
    "forbidden": (403, "Forbidden"),
    "throttled": (429, "Rate exceeded."),
    "unavailable": (503, "Service Unavailable"),
    "expired": (401, "Unauthorized"),
}
_GOOGLE_SERVICES = {"/bigquery/": "bigquery", "/storage/": "storage", "/download/": "storage", "/v1/": "", "/v2/": ""}


def refusal(call: Call, effect: str, headers: Mapping[str, str]) -> Answer:
    """The answer to a call that is refused; ``headers`` are the call's, with lower-case names."""
    if call.cloud == "aws":
        return _aws(call, effect, headers)
    return _azure(call, effect) if call.cloud == "azure" else _google(call, effect)


def _aws(call: Call, effect: str, headers: Mapping[str, str]) -> Answer:
    service = claimed_service(headers)
    if service == "lambda" and not call.path.startswith("/20"):  # The API's paths begin with its version, a date.
        status, text = _FUNCTION_URL[effect]
        return Answer(status, {"Content-Type": "application/json"}, text.encode())
    of_service = _AWS[effect]
    status, code, message = of_service.get(service, of_service[""])
    _, fields, content = Refusal(HTTPStatus(status), code, message).answer(service)
    return Answer(status, dict(fields), content)


def _azure(call: Call, effect: str) -> Answer:
    later = {"Retry-After": "1"} if effect in ("throttled", "unavailable") else {}
    if call.path.startswith(("/subscriptions/", "/metadata/")):
        status, code, message = _ARM[effect]
        return _json(status, {"error": {"code": code, "message": message}}, later)
    if call.path.endswith(("/oauth2/v2.0/token", "/openid-configuration")):
        status, code, message = _ENTRA[effect]
        return _json(status, {"error": code, "error_description": message}, later)
    status, text = _APP[effect]
    return Answer(status, {"Content-Type": "text/plain", **later}, text.encode())


def _google(call: Call, effect: str) -> Answer:
    service = next((name for start, name in _GOOGLE_SERVICES.items() if call.path.startswith(start)), None)
    if call.path.startswith("/run/"):
        service = ""
    if service is None:
        status, text = _GOOGLE_TEXT[effect]
        return Answer(status, {"Content-Type": "text/plain"}, text.encode())
    status, reason, message = _GOOGLE[effect][service]
    if call.path.startswith("/download/"):  # Where content was asked for, the refusal is plain text.
        return Answer(status, {"Content-Type": "text/html"}, message.encode())
    more = {"errors": [{"domain": "global", "reason": reason, "message": message}]} if service else {"status": reason}
    return _json(status, {"error": {"code": status, "message": message, **more}}, {})


def _json(status: int, content: object, headers: Mapping[str, str]) -> Answer:
    return Answer(status, {"Content-Type": "application/json", **headers}, json.dumps(content).encode())
