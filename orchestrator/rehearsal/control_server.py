"""The control of stand-in clouds, in their own process: a loopback listener for whoever has the token.

The routes are what ``control.Control`` asks.
"""

import hmac
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from orchestrator.clouds import Remaining
from orchestrator.rehearsal import clock
from orchestrator.rehearsal.faults import Faults, from_json
from orchestrator.rehearsal.front_door import Answer, Listener, Request
from orchestrator.rehearsal.latency import Latency


class ControlServer:
    """Listens until it is closed. ``kill_plugin`` has one entry a cloud; ``census`` counts."""

    def __init__(
        self,
        faults: Faults,
        latency: Latency,
        *,
        census: Callable[[], Sequence[Remaining]],
        kill_plugin: Mapping[str, Callable[[], None]],
    ) -> None:
        self.token = secrets.token_urlsafe(30)
        self._faults = faults
        self._latency = latency
        self._census = census
        self._kill_plugin = kill_plugin
        self._listener = Listener(self._answer)

    @property
    def url(self) -> str:
        """Where it listens, without a slash."""
        return self._listener.url

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _answer(self, request: Request) -> Answer:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {self.token}".encode()):
            return _json(HTTPStatus.UNAUTHORIZED, "the token is another")
        path = request.url.partition("://")[2].partition("/")[2]
        try:
            content = json.loads(request.body) if request.body else None
            return _json(HTTPStatus.OK, self._do(f"{request.method} {path}", content))
        except (TypeError, ValueError) as error:
            return _json(HTTPStatus.BAD_REQUEST, str(error))

    def _do(self, asked: str, content: Any) -> object:
        match asked.split("/"):
            case ["PUT faults"]:
                self._faults.set(from_json(content))
            case ["DELETE faults"]:
                self._faults.lift()
                clock.shift(0)
            case ["GET fired"]:
                return self._faults.fired()
            case ["GET calls"]:
                return self._faults.calls()
            case ["GET waits"]:
                return self._latency.waits()
            case ["GET census"]:
                return [[found.cloud, found.kind, found.id] for found in self._census()]
            case ["PUT clock"]:
                clock.shift(float(content))
            case ["DELETE plugins", cloud] if cloud in self._kill_plugin:
                self._kill_plugin[cloud]()
            case _:
                raise ValueError(f"not known: {asked}")
        return None


def _json(status: HTTPStatus, content: object) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(content).encode())
