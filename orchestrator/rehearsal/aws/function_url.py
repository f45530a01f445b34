"""The front door of a function: its URL, open to whoever signs the request with a key of the account.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html gives the event (payload version 2.0) and the answer.
"""

import base64
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from orchestrator.rehearsal import clock
from orchestrator.rehearsal.aws.cloud import ACCOUNT, Amazon
from orchestrator.rehearsal.aws.functions import Instance, runtime_libraries
from orchestrator.rehearsal.aws.sigv4 import SignatureError, verify
from orchestrator.rehearsal.front_door import Answer, Around, Listener, Request, as_it_is
from orchestrator.rehearsal.latency import AT_ONCE, Latency


class FunctionHost:
    """All functions with a function URL: one loopback listener a URL, one process a function while it is warm.

    Whoever deletes a function or its URL, the provider or a client, ends what runs here.
    """

    def __init__(self, amazon: Amazon, folder: Path, around: Around = as_it_is, latency: Latency = AT_ONCE) -> None:
        self._amazon = amazon
        self._around = around
        self._latency = latency
        self._folder = folder
        self._runtime = runtime_libraries(folder / "runtime")
        self._listeners: dict[tuple[str, str], Listener] = {}
        self._instances: dict[tuple[str, str], Instance] = {}
        self._lock = threading.Lock()
        amazon.functions_changed = self._let_go_of_what_is_gone

    def open_url(self, region: str, name: str) -> str:
        """Start listening for a function; its URL, ending in a slash as Lambda's do."""
        listener = Listener(lambda request: self._answer(region, name, request), around=self._around)
        with self._lock:
            self._listeners[region, name] = listener
        return f"{listener.url}/"

    def held(self) -> Iterator[tuple[str, str]]:
        """(kind, region and name) of what runs here."""
        with self._lock:
            found = {"function url listener": list(self._listeners), "function process": list(self._instances)}
        yield from ((kind, "/".join(place)) for kind, places in found.items() for place in places)

    def stop(self) -> None:
        """End every process and listener."""
        self._end(lambda _place: True, lambda _place: True)

    def _let_go_of_what_is_gone(self) -> None:
        """As moto's records say."""
        functions = self._amazon.functions()
        reached = {place for place, function in functions.items() if function.url_config is not None}
        self._end(lambda place: place not in reached, lambda place: place not in functions)

    def _end(self, listener: Callable[[tuple[str, str]], bool], instance: Callable[[tuple[str, str]], bool]) -> None:
        with self._lock:
            closing = [self._listeners.pop(place) for place in list(self._listeners) if listener(place)]
            ending = [self._instances.pop(place) for place in list(self._instances) if instance(place)]
        for closed in closing:
            closed.close()
        for ended in ending:
            ended.end()

    def _answer(self, region: str, name: str, request: Request) -> Answer:
        try:
            self._check_caller(region, request)
        except SignatureError as refusal:
            return Answer(HTTPStatus.FORBIDDEN, {"x-amzn-ErrorType": "AccessDeniedException"}, _message(str(refusal)))
        since = self._latency.now()
        with self._lock:
            instance = self._instances.get((region, name))
            if instance is not None and instance.ended:
                instance.end()
                instance = None
            is_cold = instance is None
            if instance is None:
                instance = Instance(self._amazon, region, name, self._folder / uuid.uuid4().hex, self._runtime)
                self._instances[region, name] = instance
        outcome = instance.invoke(_event(request))
        if is_cold:
            self._latency.wait("aws invocation", since)
        # One and the same answer for every error of a function, as Lambda: the reason is in its log.
        failed = Answer(HTTPStatus.BAD_GATEWAY, {}, b"Internal Server Error")
        if outcome.answer is None:
            return failed
        try:
            return _http_answer(json.loads(outcome.answer))
        except (AttributeError, TypeError, ValueError):
            return failed

    def _check_caller(self, region: str, request: Request) -> None:
        signer = verify(
            method=request.method,
            url=request.url,
            headers=request.headers,
            body=request.body,
            key_of=self._amazon.key,
            now=clock.now(),
        )
        if (signer.service, signer.region) != ("lambda", region):
            raise SignatureError(f"Credential should be scoped to {region}/lambda")
        if signer.key.role_arn is not None:
            raise SignatureError("A function's role may not call functions in the rehearsal")


def _event(request: Request) -> bytes:
    """The handler's event, payload version 2.0."""
    split, now = urlsplit(request.url), time.time()
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": split.path,
        "rawQueryString": split.query,
        "headers": request.headers,
        "queryStringParameters": dict(parse_qsl(split.query, keep_blank_values=True)),
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": split.netloc,
            "domainName": split.netloc,
            "http": {
                "method": request.method,
                "path": split.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.caller,
                "userAgent": request.headers.get("user-agent", ""),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": f"{datetime.fromtimestamp(now, UTC):%d/%b/%Y:%H:%M:%S +0000}",
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": bool(request.body),
    }
    if request.body:
        event["body"] = base64.b64encode(request.body).decode()
    return json.dumps(event).encode()


def _http_answer(result: Any) -> Answer:
    """HTTP from what the handler returned: with a ``statusCode`` as it says, anything else as a JSON body."""
    if not isinstance(result, dict) or "statusCode" not in result:
        return Answer(HTTPStatus.OK, {"Content-Type": "application/json"}, json.dumps(result).encode())
    body = result.get("body") or ""
    content = base64.b64decode(body, validate=True) if result.get("isBase64Encoded") else body.encode()
    given = {name.lower(): value for name, value in (result.get("headers") or {}).items()}
    headers = {"content-type": "application/json"} | given
    return Answer(int(result["statusCode"]), headers, content)


def _message(text: str) -> bytes:
    return json.dumps({"Message": text}).encode()
