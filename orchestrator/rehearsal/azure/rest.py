"""What the stand-in of Azure's management plane shares: its errors, and strictness about what it is asked."""

import re
from collections.abc import Mapping
from typing import Any

from flask import Response, jsonify, request


class ArmError(Exception):
    """A refusal in Azure's words: HTTP ``status``, ``code`` such as ``ResourceGroupNotFound``, ``message``.

    https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors has the codes.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f'Status={status} Code="{code}" Message="{message}"')
        self.status = status
        self.code = code
        self.message = message

    @property
    def body(self) -> dict[str, Any]:
        """The error as it is sent."""
        return {"error": {"code": self.code, "message": self.message}}

    def response(self) -> Response:
        """The error as an answer."""
        answer = jsonify(self.body)
        answer.status_code = self.status
        if self.status == 401:  # noqa: PLR2004
            answer.headers["WWW-Authenticate"] = (
                f'Bearer authorization_uri="https://login.windows.net/", error="invalid_token", '
                f'error_description="{self.message}"'
            )
        return answer


def not_found(kind: str, name: str, group: str) -> ArmError:
    """There is no resource of that ``kind``, such as ``Microsoft.Web/sites``, in the group."""
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}/{name}' under resource group '{group}' was not found. For more details please go to "
        "https://aka.ms/ARMResourceNotFoundFix",
    )


def unsupported(what: str) -> ArmError:
    """The real cloud may know it; the stand-in says that it does not."""
    return ArmError(501, "NotImplemented", f"not supported in rehearsal: {what}")


def query_parameters(versions: frozenset[str], *known: str) -> Mapping[str, str]:
    """The request's query parameters: an ``api-version`` of ``versions``, and no others than the ``known``."""
    given = request.args
    if "api-version" not in given:
        raise ArmError(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if given["api-version"] not in versions:
        raise ArmError(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{given['api-version']}' is invalid. The supported versions are "
            f"'{','.join(sorted(versions, reverse=True))}'.",
        )
    for name in given:
        if name not in {"api-version", *known}:
            raise unsupported(f"query parameter {name} of {request.method} {request.path}")
    return given


def tag_filter(text: str) -> tuple[str, str]:
    """(name, value) of a ``$filter`` for one tag.

    https://learn.microsoft.com/rest/api/resources/resources/list#uri-parameters
    """
    matched = re.fullmatch(r"tagName eq '([^']*)' and tagValue eq '([^']*)'", text)
    if matched is None:
        raise unsupported(f"$filter={text}")
    return matched[1], matched[2]
