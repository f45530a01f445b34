"""Google Cloud in a rehearsal: BigQuery, Cloud Storage, and callers that must prove who they are.

The credentials are a service account's, in a *universe* of our own (https://cloud.google.com/docs/universe-domain):
with one, google-auth signs a token itself and asks nobody. In the default universe it would ask
``iamcredentials.googleapis.com`` for the account's regional access boundary, and a rehearsal asks nothing of the
outside. The token is a JWT (RFC 7519) signed with RS256, https://google.aip.dev/auth/4111; every route checks it.
"""

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from orchestrator.rehearsal import bigquery_rest, cloud_storage_rest
from orchestrator.rehearsal.bigquery import BigQuery
from orchestrator.rehearsal.bigquery_jobs import Jobs
from orchestrator.rehearsal.cloud_storage import CloudStorage
from orchestrator.rehearsal.google_rest import CloudError, unsupported
from orchestrator.rehearsal.sample import PublicTables

__all__ = ["CloudError", "GoogleCloud"]

UNIVERSE = "rehearsal.invalid"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_CLOCK_SKEW = 10
_PART_BYTES = 1_000_000_000


class GoogleCloud:
    """One project of a stand-in Google Cloud.

    ``app`` is the WSGI application for both services' endpoints; ``bigquery`` and ``storage`` are their insides, for
    the Pulumi provider; ``jobs`` those that ran. ``part_bytes`` is the most table data in one file of an extract.
    """

    def __init__(self, tables: PublicTables, *, project: str, part_bytes: int = _PART_BYTES) -> None:
        self.project = project
        self.bigquery = BigQuery(tables, project=project)
        self.storage = CloudStorage(project=project)
        self.jobs = Jobs(self.bigquery, self.storage, part_bytes=part_bytes)
        self._account = f"rehearsal@{project}.iam.gserviceaccount.com"
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.app = Flask(__name__, static_folder=None)
        self.app.before_request(self._check_caller)
        self.app.register_error_handler(CloudError, CloudError.response)
        self.app.register_error_handler(HTTPException, _refuse_unknown)
        self.app.register_blueprint(bigquery_rest.routes(self.bigquery, self.jobs))
        self.app.register_blueprint(cloud_storage_rest.routes(self.storage))

    def write_credentials(self, path: Path, base_url: str) -> None:
        """Write the service account's key file (mode 0600), for ``GOOGLE_APPLICATION_CREDENTIALS``.

        ``token_uri``, which the format demands, is on our own endpoint; in a universe of our own nobody calls it.
        """
        key = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": "rehearsal",
            "private_key": key.decode(),
            "client_email": self._account,
            "client_id": "1",
            "token_uri": f"{base_url}/token",
            "universe_domain": UNIVERSE,
        }
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(account, file)

    def _check_caller(self) -> None:
        """CloudError 401 unless the bearer token is our account's, signed with its key, in time and in scope."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise _unauthorized("Login Required.")
        signed, _, signature = token.rpartition(".")
        try:
            self._key.public_key().verify(_decode(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
            header, claims = (json.loads(_decode(part)) for part in signed.split("."))
        except (ValueError, InvalidSignature) as error:
            raise _unauthorized("Invalid Credentials") from error
        self._check_claims(header, claims)

    def _check_claims(self, header: dict[str, Any], claims: dict[str, Any]) -> None:
        now = time.time()
        if header.get("alg") != "RS256" or claims.get("iss") != self._account or claims.get("sub") != self._account:
            raise _unauthorized("Invalid Credentials")
        if not claims["iat"] - _CLOCK_SKEW <= now <= claims["exp"] + _CLOCK_SKEW:
            raise _unauthorized("Invalid Credentials: the token has expired")
        if _SCOPE not in claims.get("scope", "").split():
            raise CloudError(403, "insufficientPermissions", "Request had insufficient authentication scopes.")


def _decode(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _unauthorized(message: str) -> CloudError:
    return CloudError(401, "authError" if message != "Login Required." else "required", message)


def _refuse_unknown(error: HTTPException) -> Response:
    """A route, method or body that Flask refuses is one that the stand-in does not know."""
    return unsupported(f"{request.method} {request.path} ({error.code} {error.name})").response()
