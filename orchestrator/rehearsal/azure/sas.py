"""A shared access signature (SAS) of a blob or container: how it is made and checked.

https://learn.microsoft.com/rest/api/storageservices/create-service-sas.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urlencode

ARM_VERSION = "2015-04-05"
"""What Resource Manager's listServiceSas signs with, in every version of its own API."""
_VERSION = re.compile(r"\d{4}-\d\d-\d\d")
_OLDEST = "2015-04-05"
_WITH_RESOURCE, _WITH_SCOPE = "2018-11-09", "2020-12-06"
OVERRIDES = {
    "rscc": "Cache-Control",
    "rscd": "Content-Disposition",
    "rsce": "Content-Encoding",
    "rscl": "Content-Language",
    "rsct": "Content-Type",
}
"""What a signature may say of the answer's headers, in the order in which it is signed."""
_FIELDS = frozenset({"sv", "sr", "st", "se", "sp", "spr", "sig", *OVERRIDES})
_MANDATORY = ("sv", "sr", "se", "sp", "sig")
_TIMES = ("%Y-%m-%d", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%SZ")


class SasError(Exception):
    """The signature does not open it: Storage's error ``code``, its ``message``, and the ``detail`` that it adds."""

    def __init__(self, code: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail


@dataclass(frozen=True)
class Asked:
    """A request for a blob: its path as ``account/container/blob``, the permission's letter, the scheme, the time."""

    account: str
    container: str
    blob: str
    permission: str
    scheme: str
    now: datetime


def sign(key: str, canonical: str, fields: Mapping[str, str]) -> str:
    """A token, to be appended to the URL; ``canonical`` is ``/blob/account/container`` with or without ``/blob``."""
    return urlencode({**fields, "sig": _signature(key, _string_to_sign(canonical, fields))})


def check(given: Mapping[str, str], keys: Iterable[str], asked: Asked) -> None:
    """Refuse a request whose query does not open the blob.

    Raises:
        SasError: the signature is wrong, over, or for something else.
    """
    _check_form(given)
    canonical = f"/blob/{asked.account}/{asked.container}" + (f"/{asked.blob}" if given["sr"] == "b" else "")
    text = _string_to_sign(canonical, given)
    if not any(hmac.compare_digest(_signature(key, text), given["sig"]) for key in keys):
        raise _unauthenticated(f"Signature did not match. String to sign used was {text}")
    starts, ends = _time(given["st"]) if "st" in given else None, _time(given["se"])
    if asked.now >= ends or (starts is not None and asked.now < starts):
        start, expiry, current = (format_datetime(at, usegmt=True) if at else "" for at in (starts, ends, asked.now))
        raise _unauthenticated(
            f"Signature not valid in the specified time frame: Start [{start}] - Expiry [{expiry}] - "
            f"Current [{current}]"
        )
    if asked.scheme not in given.get("spr", "https,http").split(","):
        raise SasError(
            "AuthorizationProtocolMismatch",
            "This request is not authorized to perform this operation using this protocol.",
        )
    if asked.permission not in given["sp"]:
        raise SasError(
            "AuthorizationPermissionMismatch",
            "This request is not authorized to perform this operation using this permission.",
        )


def _check_form(given: Mapping[str, str]) -> None:
    for name in given:
        if name not in _FIELDS:
            raise SasError("NotImplemented", f"not supported in rehearsal: query parameter {name}")
    for name in _MANDATORY:
        if not given.get(name):
            raise _unauthenticated(f"{name} is mandatory. Cannot be empty")
    if not _VERSION.fullmatch(given["sv"]) or given["sv"] < _OLDEST:
        raise SasError("NotImplemented", f"not supported in rehearsal: sv={given['sv']}")
    if given["sr"] not in {"b", "c"}:
        raise _unauthenticated("Signed resource is not valid")


def _string_to_sign(canonical: str, fields: Mapping[str, str]) -> str:
    """What is signed depends on ``sv``; a field that is not there is an empty line."""
    version = fields["sv"]
    names = ["sp", "st", "se", "", "si", "sip", "spr", "sv"]
    if version >= _WITH_RESOURCE:
        names += ["sr", "snapshot"]
    if version >= _WITH_SCOPE:
        names += ["ses"]
    return "\n".join(fields.get(name, "") if name else canonical for name in (*names, *OVERRIDES))


def _signature(key: str, text: str) -> str:
    return base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), hashlib.sha256)).decode()


def _time(text: str) -> datetime:
    """https://learn.microsoft.com/rest/api/storageservices/formatting-datetime-values; seconds may have a fraction."""
    whole, dot, rest = text.partition(".")
    for form in _TIMES:
        try:
            return datetime.strptime(f"{whole}Z" if dot and rest.endswith("Z") else text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise _unauthenticated(f"{text} is not a valid time")


def _unauthenticated(detail: str) -> SasError:
    return SasError(
        "AuthenticationFailed",
        "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly "
        "including the signature.",
        detail,
    )
