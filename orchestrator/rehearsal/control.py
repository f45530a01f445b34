"""Control over stand-in clouds from another process: what is to go wrong in them, and what they hold.

Their own process answers (``control_server``); where, and with which token, is in their folder's ``environment.json``.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.clouds import Remaining
from orchestrator.rehearsal.faults import Call, Cloud, Rule, to_json
from orchestrator.rehearsal.latency import Wait

READY = "environment.json"
"""What clouds write into their folder once they answer; it holds their keys, and is its owner's alone."""
_SECONDS = 30.0
# What steers the caller's HTTP (a proxy) has no business here.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ControlError(Exception):
    """The clouds do not answer, or do not take what they are told."""


@dataclass(frozen=True)
class Control:
    """The control of the clouds at ``url``."""

    url: str
    token: str

    @classmethod
    def of(cls, folder: Path) -> "Control":
        """Of the clouds that stand in the folder."""
        said = json.loads((folder / READY).read_text())
        return cls(said["control"], said["control_token"])

    def answers(self) -> bool:
        """Whether the clouds stand."""
        try:
            self._ask("GET", "/fired")
        except ControlError:
            return False
        return True

    def set_faults(self, rules: Sequence[Rule]) -> None:
        """Let these things go wrong, and none of those before; forget what fired and what was called."""
        self._ask("PUT", "/faults", to_json(rules))

    def fired(self) -> list[int]:
        """How often each rule fired, in the order in which they were given."""
        return [int(count) for count in self._ask("GET", "/fired")]

    def lift(self) -> None:
        """End all faults: what hangs is let go without having its effect, and the clocks are right again."""
        self._ask("DELETE", "/faults")

    def calls(self) -> list[Call]:
        """The calls of the run's own clients since the rules were set."""
        return [Call(*call) for call in self._ask("GET", "/calls")]

    def waits(self) -> list[Wait]:
        """All that took its time since the clouds stand, and how long it was to take."""
        return [Wait(*wait) for wait in self._ask("GET", "/waits")]

    def census(self) -> list[Remaining]:
        """All that the clouds' own records hold of what a caller made and did not unmake, by cloud, kind and id."""
        return [Remaining(*found) for found in self._ask("GET", "/census")]

    def shift_clock(self, seconds: float) -> None:
        """Put the clouds' clocks forward, or (below 0) back; 0 sets them right."""
        self._ask("PUT", "/clock", seconds)

    def kill_plugin(self, cloud: Cloud) -> None:
        """Kill the cloud's plugin now, with all calls that it has; a new one listens at once at the same address."""
        self._ask("DELETE", f"/plugins/{cloud}")

    def _ask(self, method: str, path: str, content: object = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers, method=method)  # noqa: S310 - our own URL
        try:
            with _OPENER.open(request, timeout=_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ControlError(f"{method} {path}: {error.code} {error.read().decode('utf-8', 'replace')}") from error
        except OSError as error:
            raise ControlError(f"the stand-in clouds do not answer: {error}") from error
