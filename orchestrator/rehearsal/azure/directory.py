"""Microsoft Entra in a rehearsal: one tenant, one service principal, signed tokens that the endpoints verify.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow.
"""

import hmac
import secrets
import uuid
from http import HTTPStatus
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from orchestrator.rehearsal import clock
from orchestrator.rehearsal.azure.rest import ArmError

AUDIENCE = "https://management.rehearsal.invalid/"
"""Of tokens for Resource Manager, as its metadata says."""
_LIFETIME = 3599
_TIMES = ("verify_exp", "verify_nbf", "verify_iat")
_GRANT = frozenset({"grant_type", "client_id", "client_secret", "scope"})
# What MSAL says about itself.
_TELEMETRY = frozenset(
    {
        "client_info", "x-client-sku", "x-client-ver", "x-client-os", "x-client-cpu", "x-client-current-telemetry",
        "x-client-last-telemetry", "client-request-id",
    }
)  # fmt: skip


class Directory:
    """A tenant with one client, the rehearsal's caller. ``app`` answers for the login endpoint."""

    def __init__(self) -> None:
        self.tenant = str(uuid.uuid4())
        self.client_id = str(uuid.uuid4())
        self.object_id = str(uuid.uuid4())
        self.client_secret = secrets.token_urlsafe(30)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.app = Flask(__name__, static_folder=None)
        self.app.register_error_handler(_LoginError, _LoginError.response)
        self.app.register_error_handler(HTTPException, _refuse_unknown)
        self.app.get("/<tenant>/v2.0/.well-known/openid-configuration")(self._configuration)
        self.app.post("/<tenant>/oauth2/v2.0/token")(self._token)

    def token(self, audience: str, *, lifetime: int = _LIFETIME) -> str:
        """A token of the caller; ``lifetime`` in seconds."""
        now = int(clock.seconds())
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self.tenant}/",
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
            "appid": self.client_id,
            "oid": self.object_id,
            "tid": self.tenant,
            "ver": "1.0",
        }
        return jwt.encode(claims, self._key, algorithm="RS256")

    def check(self, authorization: str | None) -> None:
        """Refuse a request without a valid token for Resource Manager.

        Raises:
            ArmError: 401, in Resource Manager's words.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme != "Bearer":
            raise ArmError(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        try:
            claims = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=["RS256"],
                audience=AUDIENCE,
                issuer=f"https://sts.windows.net/{self.tenant}/",
                # The times are held against our clock, not against this machine's.
                options={"require": ["exp", "nbf", "aud", "iss"], **dict.fromkeys(_TIMES, False)},  # type: ignore[arg-type]
            )
        except jwt.InvalidAudienceError as error:
            raise ArmError(
                401,
                "InvalidAuthenticationTokenAudience",
                "The access token has been obtained for wrong audience or resource. It should exactly match with one "
                f"of the allowed audiences '{AUDIENCE}'.",
            ) from error
        except jwt.InvalidTokenError as error:
            raise ArmError(401, "InvalidAuthenticationToken", "The access token is invalid.") from error
        if claims["exp"] <= clock.seconds():
            raise ArmError(
                401, "ExpiredAuthenticationToken", "The access token expiry is earlier than current UTC time."
            )
        if claims["nbf"] > clock.seconds():
            raise ArmError(401, "InvalidAuthenticationToken", "The access token is not yet valid.")

    def _configuration(self, tenant: str) -> Response:
        self._check_tenant(tenant)
        base = f"{request.host_url}{self.tenant}"
        return jsonify(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            }
        )

    def _token(self, tenant: str) -> Response:
        self._check_tenant(tenant)
        given = request.form
        unknown = set(given) - _GRANT - _TELEMETRY
        if unknown:
            raise _LoginError(501, "not_implemented", f"not supported in rehearsal: {', '.join(sorted(unknown))}")
        if given.get("grant_type") != "client_credentials":
            raise _LoginError(
                400,
                "unsupported_grant_type",
                f"AADSTS70003: The app requested an unsupported grant type '{given.get('grant_type')}'.",
            )
        self._check_client(given.get("client_id", ""), given.get("client_secret", ""))
        resource = given.get("scope", "").removesuffix("/.default")
        if resource == given.get("scope", "") or resource.rstrip("/") != AUDIENCE.rstrip("/"):
            raise _LoginError(
                400,
                "invalid_resource",
                f"AADSTS500011: The resource principal named {resource} was not found in the tenant named {tenant}.",
            )
        return jsonify(
            {
                "token_type": "Bearer",
                "expires_in": _LIFETIME,
                "ext_expires_in": _LIFETIME,
                "access_token": self.token(AUDIENCE),
            }
        )

    def _check_tenant(self, tenant: str) -> None:
        if tenant != self.tenant:
            raise _LoginError(
                400,
                "invalid_tenant",
                f"AADSTS90002: Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are "
                "signing into the correct cloud.",
            )

    def _check_client(self, client_id: str, client_secret: str) -> None:
        if client_id != self.client_id:
            raise _LoginError(
                400,
                "unauthorized_client",
                f"AADSTS700016: Application with identifier '{client_id}' was not found in the directory "
                f"'{self.tenant}'.",
            )
        if not hmac.compare_digest(client_secret.encode(), self.client_secret.encode()):
            raise _LoginError(
                401,
                "invalid_client",
                "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the "
                f"client secret value, not the client secret ID, for a secret added to app '{client_id}'.",
            )


class _LoginError(Exception):
    """https://learn.microsoft.com/entra/identity-platform/reference-error-codes."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self._status = status
        self._body: dict[str, Any] = {"error": error, "error_description": description}

    def response(self) -> Response:
        answer = jsonify(self._body)
        answer.status_code = self._status
        return answer


def _refuse_unknown(error: HTTPException) -> Response:
    return _LoginError(
        HTTPStatus.NOT_IMPLEMENTED,
        "not_implemented",
        f"not supported in rehearsal: {request.method} {request.path} ({error.code} {error.name})",
    ).response()
