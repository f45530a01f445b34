"""The stand-in for AWS: moto's server (S3, IAM, Lambda's control plane, Logs, tagging) behind a gate of our own.

Every call goes over the real wire protocol. The gate checks each request's signature, and what a function's role may
do: moto's own check does not verify the signature of a GET with parameters in its path, nor most resources.
"""

import hashlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
from botocore.config import Config
from moto.awslambda.models import LayerVersion
from moto.backends import get_backend
from moto.core.base_backend import BackendDict
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from orchestrator.rehearsal import clock
from orchestrator.rehearsal.aws import records, simulator
from orchestrator.rehearsal.aws.conditions import in_force
from orchestrator.rehearsal.aws.refusals import Refusal, denied, of_signature
from orchestrator.rehearsal.aws.s3_objects import Objects, Upload, is_upload
from orchestrator.rehearsal.aws.sigv4 import AccessKey, SignatureError, Signer, claimed_service, verify
from orchestrator.rehearsal.front_door import Around, as_it_is

ACCOUNT = DEFAULT_ACCOUNT_ID
_SERVICES = frozenset({"s3", "iam", "sts", "lambda", "logs", "tagging"})
_CALLER = "rehearsal"
_SHA256 = re.compile("[0-9a-f]{64}")
# What a role may be allowed in the rehearsal: a function reads and writes objects, nothing else.
_OBJECT_ACTIONS = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}


class Amazon:
    """A running stand-in, in this process, with one user who may do everything: the rehearsal's caller.

    Its own parts, such as the providers, sign with another key of the user's than ``caller``.
    """

    def __init__(self, around: Around = as_it_is) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        gate = _Gate(DomainDispatcherApplication(create_backend_app), self)
        self._server = make_server("127.0.0.1", 0, gate, threaded=True, request_handler=around(MotoRequestHandler))
        self.endpoint = f"http://127.0.0.1:{self._server.port}"
        _backend("iam", "aws").create_user("us-east-1", _CALLER)
        self.caller, self._insider = (_new_key() for _ in range(2))
        self.denied: set[str] = set()  # Patterns of actions that the caller may not do: IAM's simulator says so.
        self.functions_changed: Callable[[], None] = lambda: None  # Told when a function, or its URL, was deleted.
        self._clients: dict[tuple[str, str], Any] = {}
        self._making_a_client = threading.Lock()
        self._keys = {key.key_id: key for key in (self.caller, self._insider)}
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Stop answering; everything in this cloud is gone."""
        self._server.shutdown()
        self._server.server_close()
        BackendDict.reset()  # Moto keeps one cloud a process.

    def client(self, service: Any, region: str) -> Any:
        """A boto3 client of this cloud's own, made once.

        Several threads may use one, but not make one at the same time from one session:
        https://docs.aws.amazon.com/boto3/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients
        """
        with self._making_a_client:
            if (service, region) not in self._clients:
                self._clients[service, region] = boto3.client(
                    service,
                    region_name=region,
                    endpoint_url=self.endpoint,
                    aws_access_key_id=self._insider.key_id,
                    aws_secret_access_key=self._insider.secret,
                    config=Config(s3={"addressing_style": "path"}),
                )
            return self._clients[service, region]

    def held(self) -> Iterator[tuple[str, str]]:
        """(kind, name or ARN) of all that a caller made and did not unmake."""
        return records.held(_CALLER)

    def key(self, key_id: str) -> AccessKey | None:
        """The access key of that id."""
        return self._keys.get(key_id)

    def function(self, region: str, name: str) -> Any:
        """Moto's record of a function: code, layers, role, environment, limits."""
        return _backend("lambda", region).get_function(name)

    def functions(self) -> dict[tuple[str, str], Any]:
        """Moto's records of all functions, by region and name."""
        regions = list(get_backend("lambda")[ACCOUNT].items())
        return {
            (region, found.function_name): found for region, backend in regions for found in backend.list_functions()
        }

    def layer_code(self, region: str, arn: str) -> bytes:
        """The zip of a layer version."""
        code: bytes = _backend("lambda", region).layers_versions_by_arn(arn).code_bytes
        return code

    def assume(self, region: str, role_arn: str) -> AccessKey:
        """Credentials of a session of the role, as Lambda gets them for a function."""
        session = _backend("sts", "aws").assume_role(
            region_name=region,
            role_session_name="function",
            role_arn=role_arn,
            policy="",
            duration=3600,
            external_id="",
        )
        key = AccessKey(session.access_key_id, session.secret_access_key, session.session_token, role_arn)
        self._keys[key.key_id] = key
        return key

    def lambda_may_assume(self, role_arn: str) -> bool:
        """Whether the role's trust policy names the Lambda service."""
        trust = _backend("iam", "aws").get_role_by_arn(role_arn).assume_role_policy_document
        return any(
            statement["Effect"] == "Allow"
            and "sts:AssumeRole" in _listed(statement["Action"])
            and "lambda.amazonaws.com" in _listed(statement["Principal"].get("Service", []))
            for statement in _listed(json.loads(trust)["Statement"])
        )

    def role_may(self, role_arn: str, action: str, resource: str) -> bool:
        """Whether the role's inline policies allow the action on the resource, now."""
        iam = _backend("iam", "aws")
        name = role_arn.rpartition("/")[2]
        verdicts = [
            IAMPolicy(in_force(iam.get_role_policy(name, policy)[1], clock.now())).is_action_permitted(action, resource)
            for policy in iam.list_role_policies(name)
        ]
        return PermissionResult.PERMITTED in verdicts and PermissionResult.DENIED not in verdicts


class _Gate:
    """In front of moto (WSGI): the signature, and for a role's session the permission."""

    def __init__(self, application: Callable[..., Iterable[bytes]], amazon: Amazon) -> None:
        self._application = application
        self._objects = Objects(application)
        self._amazon = amazon

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = {
            name.removeprefix("HTTP_").lower().replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        }
        # All that was sent is read, whatever comes of it: an upload to disk, everything else is small.
        upload = Upload(environ) if claimed_service(headers) == "s3" and is_upload(environ) else None
        body = b"" if upload else environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        method, url = environ["REQUEST_METHOD"], f"http://{environ['HTTP_HOST']}{environ['REQUEST_URI']}"
        try:
            signer = verify(
                method=method, url=url, headers=headers, body=body, key_of=self._amazon.key, now=clock.now()
            )
        except SignatureError as error:
            service = claimed_service(headers)
            return _refuse(start_response, service, of_signature(service, error))
        content = upload.sha256 if upload else hashlib.sha256(body).hexdigest()
        refusal = self._refusal(signer, method, url, headers.get("x-amz-content-sha256", content), content)
        if refusal is not None:
            return _refuse(start_response, signer.service, refusal)
        form = parse_qs(body.decode("utf-8", "replace")) if signer.service == "iam" else {}
        if simulator.asks(form):
            return self._simulate(form, start_response)
        if signer.service == "s3":
            return self._objects.answer(environ, upload, start_response)
        answer = self._application(environ, start_response)
        if (signer.service, method) == ("lambda", "DELETE"):
            self._amazon.functions_changed()
            # Moto keeps all that ever were, for a page of its own, and one takes 100 MB.
            LayerVersion.instances_tracked.clear()  # type: ignore[attr-defined]
        return answer

    def _simulate(self, form: dict[str, list[str]], start_response: Callable[..., Any]) -> Iterable[bytes]:
        principal = f"arn:aws:iam::{ACCOUNT}:user/{_CALLER}"
        try:
            content = simulator.answer(form, principal=principal, denied=self._amazon.denied)
        except simulator.UnknownParameterError as unknown:
            message = f"not supported in rehearsal: parameter {unknown}"
            return _refuse(start_response, "iam", Refusal(HTTPStatus.BAD_REQUEST, "InvalidInput", message))
        except LookupError as other:
            message = f"the rehearsal knows the policies of {principal} only, not {other}"
            return _refuse(start_response, "iam", Refusal(HTTPStatus.NOT_FOUND, "NoSuchEntity", message))
        start_response("200 OK", [("Content-Type", "text/xml")])
        return [content.encode()]

    def _refusal(self, signer: Signer, method: str, url: str, said: str, content: str) -> Refusal | None:
        """Why a signed request is refused. ``content`` is the body's hash, ``said`` what S3's client says it is."""
        if signer.service not in _SERVICES:
            message = f"the rehearsal has no stand-in for {signer.service}"
            return Refusal(HTTPStatus.FORBIDDEN, "UnknownService", message)
        if _SHA256.fullmatch(said) and content != said:
            message = "The provided 'x-amz-content-sha256' header does not match what was computed."
            return Refusal(HTTPStatus.BAD_REQUEST, "XAmzContentSHA256Mismatch", message)
        if signer.key.role_arn is None:
            return None
        action, resource = _asked(signer.service, method, url)
        if action is None:
            message = f"the rehearsal lets a function read, write and list objects, not {method} {resource}"
            return denied(signer.service, message)
        if self._amazon.role_may(signer.key.role_arn, action, resource):
            return None
        message = (
            f"User: {signer.key.role_arn} is not authorized to perform: {action} on resource: {resource} "
            f"because no identity-based policy allows the {action} action"
        )
        return denied(signer.service, message)


def _asked(service: str, method: str, url: str) -> tuple[str | None, str]:
    """(action, ARN) of a role's request, or (None, what it is) when a function in the rehearsal may not ask that."""
    split = urlsplit(url)
    if service != "s3":
        return None, f"{split.path} of {service}"
    bucket, _, key = unquote(split.path).lstrip("/").partition("/")
    if not key:
        return "s3:ListBucket" if method == "GET" else None, f"arn:aws:s3:::{bucket}"
    # ?acl, ?tagging and the like are actions of their own; x-id only names the operation.
    plain = set(parse_qs(split.query, keep_blank_values=True)) <= {"x-id"}
    return _OBJECT_ACTIONS.get(method) if plain else None, f"arn:aws:s3:::{bucket}/{key}"


def _listed(value: Any) -> list[Any]:
    """A policy's value: one, or a list of them."""
    return value if isinstance(value, list) else [value]


def _refuse(start_response: Callable[..., Any], service: str, refusal: Refusal) -> Iterable[bytes]:
    status, headers, content = refusal.answer(service)
    start_response(status, headers)
    return [content]


def _new_key() -> AccessKey:
    made = _backend("iam", "aws").create_access_key(_CALLER)
    return AccessKey(made.access_key_id, made.secret_access_key)


def _backend(service: Any, region: str) -> Any:
    """Moto's own records; ``aws`` is the region of its global services."""
    return get_backend(service)[ACCOUNT][region]
