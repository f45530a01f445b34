"""How AWS says no: each service's code, HTTP status and form, as its clients read them.

S3's are at https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, those that other services share at
https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html and in each service's own "Common errors".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from xml.sax.saxutils import escape

from orchestrator.rehearsal.aws.sigv4 import NotSignedError, SignatureError, UnknownKeyError, WrongTokenError

_XML: Final = frozenset({"s3", "iam", "sts"})
# Services with one path for all calls, named in a header: their refusals are 400, not 403.
_JSON_RPC: Final = frozenset({"logs", "tagging"})
_UNKNOWN: Final = "The security token included in the request is invalid."
# By what is wrong with a signature: the code, and the words where they are not the error's own.
_OF_S3: Final[Mapping[type[SignatureError], tuple[str, str]]] = {
    NotSignedError: ("AccessDenied", "Access Denied"),
    UnknownKeyError: ("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
    WrongTokenError: ("InvalidToken", "The provided token is malformed or otherwise invalid."),
    SignatureError: ("SignatureDoesNotMatch", ""),
}
_OF_QUERIES: Final[Mapping[type[SignatureError], tuple[str, str]]] = {
    NotSignedError: ("MissingAuthenticationToken", "Request is missing Authentication Token"),
    UnknownKeyError: ("InvalidClientTokenId", _UNKNOWN),
    WrongTokenError: ("InvalidClientTokenId", _UNKNOWN),
    SignatureError: ("SignatureDoesNotMatch", ""),
}
_OF_JSON: Final[Mapping[type[SignatureError], tuple[str, str]]] = {
    NotSignedError: ("MissingAuthenticationTokenException", "Missing Authentication Token"),
    UnknownKeyError: ("UnrecognizedClientException", _UNKNOWN),
    WrongTokenError: ("UnrecognizedClientException", _UNKNOWN),
    SignatureError: ("InvalidSignatureException", ""),
}


@dataclass(frozen=True)
class Refusal:
    """One error."""

    status: HTTPStatus
    code: str
    message: str

    def answer(self, service: str) -> tuple[str, list[tuple[str, str]], bytes]:
        """Status line, headers and content in the service's form."""
        line = f"{self.status.value} {self.status.phrase}"
        if service not in _XML:
            content = json.dumps({"__type": self.code, "message": self.message})
            return line, [("Content-Type", "application/json"), ("x-amzn-ErrorType", self.code)], content.encode()
        error = f"<Error><Code>{self.code}</Code><Message>{escape(self.message)}</Message></Error>"
        content = error if service == "s3" else f"<ErrorResponse>{error}</ErrorResponse>"
        return line, [("Content-Type", "application/xml")], content.encode()


def of_signature(service: str, error: SignatureError) -> Refusal:
    """To who is not known, or has not signed what came."""
    if service == "s3":
        status, (code, message) = HTTPStatus.FORBIDDEN, _OF_S3[type(error)]
        if isinstance(error, WrongTokenError):
            status = HTTPStatus.BAD_REQUEST
    elif service in _XML:
        status, (code, message) = HTTPStatus.FORBIDDEN, _OF_QUERIES[type(error)]
    else:
        status, (code, message) = _status(service), _OF_JSON[type(error)]
    return Refusal(status, code, message or str(error))


def denied(service: str, message: str) -> Refusal:
    """To who is known, and may not."""
    return Refusal(_status(service), "AccessDenied" if service in _XML else "AccessDeniedException", message)


def _status(service: str) -> HTTPStatus:
    return HTTPStatus.BAD_REQUEST if service in _JSON_RPC else HTTPStatus.FORBIDDEN
