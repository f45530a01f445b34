"""The journal: on disk before each step, and never older than what was last said."""

import json
import os
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator import journal, text_file
from orchestrator.errors import UsageError
from orchestrator.journal import Entry, Journal, recovery_command

RUN_ID = "20261123-174205-k3x9qz"


def begin(folder: Path) -> Journal:
    return Journal.begin(folder, run_id=RUN_ID, settings={"mode": "rehearsal"}, backend_url="file:///state")


def written(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text()))


def test_each_step_is_on_disk_at_once(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    opened = begin(tmp_path)
    first = written(tmp_path)
    assert before <= datetime.fromisoformat(first.pop("started")) <= datetime.now(UTC)
    assert first == {
        "version": 1,
        "run_id": RUN_ID,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "settings": {"mode": "rehearsal"},
        "backend_url": "file:///state",
        "stacks": {},
        "ended": False,
    }
    opened.stack("data", "may exist")
    assert written(tmp_path)["stacks"] == {"data": "may exist"}
    opened.stack("compute", "may exist")
    opened.stack("data", "destroyed")
    assert written(tmp_path)["stacks"] == {"data": "destroyed", "compute": "may exist"}
    opened.end()
    assert written(tmp_path)["ended"] is True
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_recovery_reads_it_and_goes_on(tmp_path: Path) -> None:
    begin(tmp_path).stack("data", "may exist")
    before = (tmp_path / "run.json").read_bytes()
    found = Journal.read(tmp_path)
    assert (tmp_path / "run.json").read_bytes() == before
    assert (found.entry.run_id, found.entry.stacks, found.entry.ended) == (RUN_ID, {"data": "may exist"}, False)
    found.stack("data", "destroyed")
    found.end()
    expected = json.loads(before) | {"stacks": {"data": "destroyed"}, "ended": True}
    assert Journal.read(tmp_path).entry == Entry.model_validate(expected)


def test_there_is_no_such_run(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with pytest.raises(UsageError) as raised:
        Journal.read(runs / "r9")
    assert str(raised.value) == (
        f"There is no run r9 on this machine\n  looked for {runs}/r9/run.json\nTo fix it: there is nothing to recover."
    )
    for number in range(1, 7):
        (runs / f"r{number}").mkdir(parents=True)
        begin(runs / f"r{number}")
    with pytest.raises(UsageError) as raised:
        Journal.read(runs / "r9")
    assert raised.value.resolution == "name one of these: r2, r3, r4, r5, r6"


@pytest.mark.parametrize("change", [{"version": 2}, {"stacks": {"data": "gone"}}, {"ended": "well"}, {"more": 1}])
def test_a_journal_of_another_form_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    begin(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(written(tmp_path) | change))
    with pytest.raises(UsageError) as raised:
        Journal.read(tmp_path)
    assert raised.value.brief == f"The journal of run {tmp_path.name} cannot be read"
    assert next(iter(change)) in str(raised.value.details)
    assert raised.value.resolution == f"look into {tmp_path}/run.json."


def test_a_run_whose_process_has_ended_may_be_touched(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    begin(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(written(tmp_path) | {"pid": int(ended.stdout)}))
    Journal.read(tmp_path).refuse_if_running()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pid": os.getppid()}, f"its process {os.getppid()} is alive"),
        ({"pid": 1}, "its process 1 is alive"),  # Somebody else's, for all but root.
        ({"pid": 7, "host": "elsewhere"}, "it was started on another machine, elsewhere, as process 7"),
    ],
)
def test_a_run_that_may_be_alive_is_left_alone(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    begin(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(written(tmp_path) | change))
    with pytest.raises(UsageError) as raised:
        Journal.read(tmp_path).refuse_if_running()
    assert str(raised.value) == (
        f"Run {RUN_ID} may still be running\n  {reason}\nTo fix it: wait for it, or end it, and try again there."
    )


def test_a_slow_write_does_not_undo_a_later_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = begin(tmp_path)
    writes, second_is_done = threading.Event(), threading.Event()

    def slow_first_write(path: Path, text: str) -> None:
        if not writes.is_set():
            writes.set()
            second_is_done.wait(0.2)  # It cannot be, unless writes overtake each other.
        replace(path, text)

    replace = text_file.replace_text
    monkeypatch.setattr(journal, "replace_text", slow_first_write)
    first = threading.Thread(target=opened.stack, args=("data", "may exist"))
    first.start()
    assert writes.wait(10)
    opened.stack("compute", "may exist")
    second_is_done.set()
    first.join(10)
    assert written(tmp_path)["stacks"] == {"data": "may exist", "compute": "may exist"}


def test_the_recovery_command_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/my python/bin/python")
    monkeypatch.setenv("ORCHESTRATOR_HOME", "/srv/wörk dir")
    assert recovery_command("r1") == (
        "ORCHESTRATOR_HOME='/srv/wörk dir' '/opt/my python/bin/python' -m orchestrator recover r1"
    )
    monkeypatch.delenv("ORCHESTRATOR_HOME")
    assert recovery_command("r1") == "'/opt/my python/bin/python' -m orchestrator recover r1"
