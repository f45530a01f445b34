"""Functions under our bootstrap and under AWS's own, awslambdaric, both in our function host."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.functions import Instance, runtime_libraries

REGION = "us-east-1"
_REPORT = "REPORT RequestId: ID\tDuration: N ms\tBilled Duration: N ms\tMemory Size: 256 MB\tMax Memory Used: N MB\t\n"

_THEIRS = """
import json, os, sys
sys.path[:0] = json.loads(os.environ.pop("_REHEARSAL_PATH"))
from awslambdaric.__main__ import main
main([__file__, os.environ["_HANDLER"]])
"""


def runtime_folder(side: str, part: Callable[[str], Path], folder: Path) -> Path:
    """The runtime of a side, made in a folder."""
    made = runtime_libraries(folder / "runtime")
    if side == "theirs":
        for library in (part("awslambdaric") / "lib").iterdir():
            (made / library.name).symlink_to(library)
        (made / "bootstrap.py").unlink()
        (made / "bootstrap.py").write_text(_THEIRS)
    return made


class Function:
    """A function in one execution environment."""

    def __init__(self, amazon: Amazon, name: str, folder: Path, runtime: Path) -> None:
        self.name = name
        self.runtime = runtime
        self.instance = Instance(amazon, REGION, name, folder, runtime)
        self.folder = folder
        self._logs = amazon.client("logs", REGION)

    def answer(self, **event: Any) -> bytes | None:
        """What comes back, before it becomes HTTP."""
        return self.instance.invoke(json.dumps(event, ensure_ascii=False).encode()).answer

    def log(self) -> list[str]:
        """The log's events, each START, END and REPORT checked and left out, without what differs from run to run."""
        kept = self._logs.filter_log_events(logGroupName=f"/aws/lambda/{self.name}")["events"]
        events = [self._without_chance(event["message"]) for event in kept]
        assert events[0] == "START RequestId: ID Version: $LATEST\n"
        assert events[-2:] == ["END RequestId: ID\n", _REPORT]
        return events[1:-2]

    def _without_chance(self, message: str) -> str:
        message = message.replace(str(self.folder / "var" / "task"), "TASK")
        message = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", message)
        message = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME", message)
        return re.sub(r"(?<=Duration: )[\d.]+|(?<=Used: )\d+", "N", message)


@pytest.fixture(scope="session")
def aws_runtime(side: str, part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is ``/var/runtime`` on Lambda."""
    return runtime_folder(side, part, tmp_path_factory.mktemp(f"{side}-runtime"))


@pytest.fixture
def start_function(
    amazon: Amazon, make_function: Callable[..., str], aws_runtime: Path, tmp_path: Path
) -> Iterator[Callable[..., Function]]:
    """Starts a new function; arguments are ``make_function``'s."""
    started: list[Function] = []

    def make(code: str, **settings: Any) -> Function:
        started.append(Function(amazon, make_function(code, **settings), tmp_path / "instance", aws_runtime))
        return started[-1]

    yield make
    for function in started:
        function.instance.end()
