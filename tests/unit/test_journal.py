"""The journal: on disk before each step, read as far as it goes, and its lock ends with the process that holds it."""

import errno
import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

from orchestrator import journal, text_file
from orchestrator.errors import UsageError
from orchestrator.journal import Entry, Journal, StackStatus, recovery_command

RUN_ID = "20261123-174205-k3x9qz"
SETTINGS = {"mode": "rehearsal", "data": {"tables": ["a", "b"]}}
NOT_BEGUN: dict[str, StackStatus] = {"data": "not begun", "compute": "not begun"}
MAY_EXIST: dict[str, StackStatus] = {"data": "may exist", "compute": "may exist"}
NOT_KNOWN = {"settings": None, "backend_url": None}
HOLDS_THE_LOCK = """
import sys
from pathlib import Path
from orchestrator import journal
with journal.begin(Path(sys.argv[1]), settings={}, backend_url="file:///state") as opened:
    opened.stack("data", "may exist")
    print("begun", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / RUN_ID


def written(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text()))


def digest(backend_url: str) -> str:
    """Of the settings and the backend's URL: no other file of this program's has it, so it is worked out here."""
    return hashlib.sha256(json.dumps([SETTINGS, backend_url], sort_keys=True).encode()).hexdigest()


def write(folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_bytes(content)


def left_by_a_run(folder: Path, **changes: Any) -> None:
    """A journal as a killed run left it, but for ``changes``."""
    with journal.begin(folder, settings=SETTINGS, backend_url="file:///state") as opened:
        opened.stack("data", "may exist")
    write(folder, json.dumps(written(folder) | changes).encode())


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int, int], None]:
    """Sets the clock to a time of the day of the run, UTC."""

    def set_to(hour: int, minute: int, second: int) -> None:
        class Frozen(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> "Frozen":
                return cls(2026, 11, 23, hour, minute, second, tzinfo=tz)

        monkeypatch.setattr(journal, "datetime", Frozen)

    return set_to


# ---- what it says


def test_each_step_is_on_disk_at_once(folder: Path) -> None:
    before = datetime.now(UTC)
    with journal.begin(folder, settings=SETTINGS, backend_url="file:///state") as opened:
        first = written(folder)
        assert before <= datetime.fromisoformat(first.pop("started")) <= datetime.now(UTC)
        assert first == {
            "version": 3,
            "run_id": RUN_ID,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "settings": SETTINGS,
            "backend_url": "file:///state",
            "digest": digest("file:///state"),
            "stacks": NOT_BEGUN,
            "ended": False,
        }
        opened.stack("data", "may exist")
        assert written(folder)["stacks"] == {"data": "may exist", "compute": "not begun"}
        assert opened.entry.begun() == ["data"]
        opened.stack("compute", "may exist")
        opened.stack("data", "destroyed")
        assert written(folder)["stacks"] == {"data": "destroyed", "compute": "may exist"}
        assert opened.entry.begun() == ["compute"]
        assert written(folder)["ended"] is False
        opened.end()
        assert written(folder)["ended"] is True
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "run.json"]
    assert [path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())] == [0o700, 0o600, 0o600]


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_that_began_no_stack_leaves_no_journal(folder: Path, *, fails: bool) -> None:
    def begin() -> None:
        with journal.begin(folder, settings=SETTINGS, backend_url="file:///state") as opened:
            if fails:
                raise KeyError
            opened.end()

    if fails:
        with pytest.raises(KeyError):
            begin()
    else:
        begin()
    assert list(folder.iterdir()) == []


def test_a_recovery_reads_it_and_goes_on(folder: Path) -> None:
    left_by_a_run(folder)
    before = written(folder)
    expected = dict(before)
    for of_the_file in ("version", "digest"):
        expected.pop(of_the_file)
    with journal.take_over(folder) as taken:
        assert taken.entry == Entry(**expected) == journal.read(folder)
        assert written(folder) == before
        taken.stack("data", "destroyed")
        taken.end()
    assert written(folder) == before | {"stacks": {"data": "destroyed", "compute": "not begun"}, "ended": True}


def test_a_recovery_that_finds_no_stack_begun_keeps_the_journal(folder: Path) -> None:
    left_by_a_run(folder, stacks=NOT_BEGUN)
    with journal.take_over(folder) as taken:
        taken.end()
    assert written(folder)["ended"] is True


def test_the_runs_that_did_not_end_by_age(tmp_path: Path) -> None:
    assert journal.unfinished(tmp_path / "runs") == []
    several: list[dict[str, Any]] = [{"ended": True}, {}, {"stacks": NOT_BEGUN}, {"ended": 1}]
    for second, changes in enumerate(several):
        left_by_a_run(tmp_path / "runs" / f"20261123-17420{second}-k3x9qz", **changes)
    left_by_a_run(tmp_path / "runs" / "20261122-174205-k3x9qz")
    write(tmp_path / "runs" / "20261124-174205-k3x9qz", b"torn")
    write(tmp_path / "runs" / "not a run", b"{}")
    write(tmp_path / "runs" / "20261399-174205-k3x9qz", b"{}")
    (tmp_path / "runs" / "20261125-174205-k3x9qz").mkdir()
    assert journal.unfinished(tmp_path / "runs") == [
        "20261122-174205-k3x9qz",
        "20261123-174201-k3x9qz",
        "20261123-174202-k3x9qz",
        "20261123-174203-k3x9qz",
        "20261124-174205-k3x9qz",
    ]


def test_there_is_no_such_run(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with pytest.raises(UsageError) as raised:
        journal.read(runs / RUN_ID)
    assert str(raised.value) == (
        f"There is no run {RUN_ID} on this machine\n"
        f"  looked for {runs}/{RUN_ID}/run.json\n"
        "To fix it: set ORCHESTRATOR_HOME if it was another one; or ask the clouds, "
        f"`{journal.command_line('sweep', '--run', RUN_ID)}`."
    )
    for second in range(7):
        left_by_a_run(runs / f"20261123-17430{second}-k3x9qz", ended=second == 6)
    with pytest.raises(UsageError) as raised, journal.take_over(runs / RUN_ID):
        pass
    assert raised.value.resolution == "name one of these: " + ", ".join(
        f"20261123-17430{second}-k3x9qz" for second in range(1, 6)
    )
    assert not (runs / RUN_ID).exists()


def test_a_journal_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/python")
    monkeypatch.setenv("ORCHESTRATOR_HOME", "/home/me")
    (folder / "run.json").mkdir(parents=True)
    with pytest.raises(UsageError) as raised:
        journal.read(folder)
    assert str(raised.value) == (
        f"The journal of run {RUN_ID} cannot be read\n"
        f"  Is a directory: {folder}/run.json\n"
        "To fix it: make it readable; or, without it, "
        f"`ORCHESTRATOR_HOME=/home/me /bin/python -m orchestrator sweep --run {RUN_ID}`."
    )
    assert journal.unfinished(folder.parent) == [RUN_ID]  # It may not have ended.


# ---- damage: what it does not say is taken for the worst


def test_a_torn_journal_is_read_as_far_as_it_goes(folder: Path) -> None:
    with journal.begin(folder, settings=SETTINGS, backend_url="file:///state") as opened:
        opened.stack("data", "destroyed")
        opened.stack("compute", "destroyed")
        opened.end()
        whole = (folder / "run.json").read_bytes()
    for length in range(len(whole) + 1):
        write(folder, whole[:length])
        entry, there = journal.read(folder), whole[:length].decode()
        whole_settings = f'"{digest("file:///state")}"' in there
        assert (entry.run_id, entry.ended) == (RUN_ID, '"ended": true' in there), there
        assert (entry.settings, entry.backend_url) == ((SETTINGS, "file:///state") if whole_settings else (None, None))
        assert entry.stacks == {
            name: "destroyed" if f'"{name}": "destroyed"' in there else "may exist" for name in ("data", "compute")
        }, there
    assert entry == opened.entry


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 4096, b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"ended": true, "stacks": ' + b"\0" * 4096],
    ids=["empty", "zeros", "array", "null", "not text", "deep", "a tail of zeros"],
)
def test_of_a_journal_that_is_none_the_folders_name_is_all_that_is_known(folder: Path, content: bytes) -> None:
    write(folder, content)
    assert journal.read(folder) == Entry(RUN_ID, None, None, None, None, None, MAY_EXIST)


def test_a_journal_of_another_run_says_nothing_of_this_one(folder: Path) -> None:
    left_by_a_run(folder, run_id="20261123-174206-k3x9qz", stacks=NOT_BEGUN, ended=True)
    assert journal.read(folder) == Entry(RUN_ID, None, None, None, None, None, MAY_EXIST)


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"stacks": {"data": "gone", "compute": ["destroyed"]}}, {"stacks": MAY_EXIST}),
        ({"stacks": {"data": "destroyed"}}, {"stacks": {"data": "destroyed", "compute": "may exist"}}),
        ({"stacks": {**NOT_BEGUN, "other": "may exist"}}, {"stacks": NOT_BEGUN}),
        ({"stacks": ["data"]}, {"stacks": MAY_EXIST}),
        ({"ended": "true"}, {"ended": False}),
        ({"ended": 1}, {"ended": False}),
        ({"pid": "7", "host": 7, "started": None}, {"pid": None, "host": None, "started": None}),
        ({"pid": True}, {"pid": None}),
        ({"pid": 0}, {"pid": None}),
        ({"pid": -1}, {"pid": None}),
        ({"pid": 2**31}, {"pid": None}),
        ({"settings": [1]}, NOT_KNOWN),
        ({"settings": SETTINGS | {"mode": "live"}}, NOT_KNOWN),
        ({"backend_url": None}, NOT_KNOWN),
        ({"backend_url": "file:///stat"}, NOT_KNOWN),
        ({"digest": None}, NOT_KNOWN),
        ({"version": 99, "more": 1}, {}),
        ({"version": 99, "digest": None}, NOT_KNOWN),
        ({"version": 2, "digest": None}, {}),
    ],
)
def test_what_is_of_another_form_is_taken_for_the_worst(
    folder: Path, change: dict[str, Any], seen: dict[str, Any]
) -> None:
    left_by_a_run(folder)
    before = vars(journal.read(folder))
    left_by_a_run(folder, **change)
    assert vars(journal.read(folder)) | {"started": None} == before | {"started": None} | seen


def test_a_journal_of_version_1(folder: Path) -> None:
    """As it was written before a run's stacks were named beforehand: what is missing there was not begun, or was."""
    old = {
        "version": 1,
        "run_id": RUN_ID,
        "pid": 7,
        "host": socket.gethostname(),
        "started": "2026-11-23T17:42:05.123456Z",
        "settings": SETTINGS,
        "backend_url": "file:///state",
        "stacks": {"data": "destroyed"},
        "ended": False,
    }
    write(folder, json.dumps(old).encode())
    stacks = {"data": "destroyed", "compute": "may exist"}
    with journal.take_over(folder) as taken:
        assert vars(taken.entry) == {name: value for name, value in old.items() if name != "version"} | {
            "stacks": stacks
        }
        taken.stack("compute", "destroyed")
    assert written(folder) == old | {
        "version": 3,
        "digest": digest("file:///state"),
        "stacks": {"data": "destroyed", "compute": "destroyed"},
    }


# ---- the disk


def no_space(path: Path, _text: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_on_a_full_disk_nothing_is_begun_but_all_is_undone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with journal.begin(folder, settings=SETTINGS, backend_url="file:///state") as opened:
        opened.stack("data", "may exist")
        before = written(folder)
        with monkeypatch.context() as full:
            full.setattr(journal, "replace_text", no_space)
            with pytest.raises(OSError, match="No space left on device"):
                opened.stack("compute", "may exist")
            opened.stack("data", "destroyed")
            opened.end()
        assert written(folder) == before
        assert journal.unfinished(folder.parent) == [RUN_ID]
        opened.end()
        assert journal.unfinished(folder.parent) == []


def test_on_a_full_disk_no_run_begins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "replace_text", no_space)
    with (
        pytest.raises(OSError, match="No space left on device"),
        journal.begin(folder, settings=SETTINGS, backend_url="file:///state"),
    ):
        pytest.fail("it began")
    assert list(folder.iterdir()) == []
    assert not journal.is_live(folder)


def test_a_slow_write_does_not_undo_a_later_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes, second_is_done = threading.Event(), threading.Event()

    def slow_first_write(path: Path, text: str) -> None:
        if not writes.is_set():
            writes.set()
            second_is_done.wait(0.2)  # It cannot be, unless writes overtake each other.
        text_file.replace_text(path, text)

    with journal.begin(folder, settings=SETTINGS, backend_url="file:///state") as opened:
        monkeypatch.setattr(journal, "replace_text", slow_first_write)
        first = threading.Thread(target=opened.stack, args=("data", "may exist"))
        first.start()
        assert writes.wait(10)
        opened.stack("compute", "may exist")
        second_is_done.set()
        first.join(10)
        assert written(folder)["stacks"] == MAY_EXIST


# ---- the lock


def refusal(folder: Path) -> UsageError:
    with pytest.raises(UsageError) as raised, journal.take_over(folder):
        pass
    return raised.value


def test_a_run_is_left_alone_as_long_as_its_process_lives(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_THE_LOCK, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        assert journal.is_live(folder)
        assert str(refusal(folder)) == (
            f"Run {RUN_ID} may still be running\n"
            f"  its process {process.pid} is alive\n"
            "To fix it: wait for it, or end it, and try again."
        )
        assert journal.unfinished(folder.parent) == [RUN_ID]
        process.kill()
    assert not journal.is_live(folder)
    with journal.take_over(folder) as taken:
        assert taken.entry.begun() == ["data"]


def test_two_recoveries_of_a_run_do_not_meet(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_ABOUT_TO_START_SECONDS", 0)
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left_by_a_run(folder, pid=int(ended.stdout))
    with journal.take_over(folder):
        assert journal.is_live(folder)
        assert str(refusal(folder)) == (
            f"Run {RUN_ID} may still be running\n"
            "  another recovery is at work on it\n"
            "To fix it: wait for it, or end it, and try again."
        )
    assert not journal.is_live(folder)
    with journal.take_over(folder):
        pass


def test_a_lock_that_a_killed_run_left_to_a_process_it_was_starting_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_by_a_run(folder, pid=2**31 - 1)
    descriptor = os.open(folder / "lock", os.O_WRONLY | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    monkeypatch.setattr("time.sleep", lambda _seconds: os.close(descriptor))
    with journal.take_over(folder) as taken:
        assert taken.entry.run_id == RUN_ID


def test_the_lock_is_let_go_whatever_happens(folder: Path) -> None:
    with pytest.raises(KeyError), journal.begin(folder, settings=SETTINGS, backend_url="file:///state"):
        raise KeyError
    assert not journal.is_live(folder)
    left_by_a_run(folder)
    with pytest.raises(KeyError), journal.take_over(folder):
        raise KeyError
    assert not journal.is_live(folder)


def test_a_recovery_sees_what_the_one_before_it_wrote(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by_a_run(folder)
    seen: list[Entry] = []

    def read(path: Path) -> Entry:
        """The other recovery ends when this one has looked once, before it has the lock."""
        found = before(path)
        if not seen:
            Journal(folder, before(folder)).stack("data", "destroyed")
        seen.append(found)
        return found

    before = journal.read
    monkeypatch.setattr(journal, "read", read)
    with journal.take_over(folder) as taken:
        assert taken.entry.begun() == []


def test_a_run_that_is_not_there_is_not_live(folder: Path) -> None:
    assert not journal.is_live(folder)


# ---- other machines


def test_a_run_of_another_machine_is_left_alone_until_it_has_expired(
    folder: Path, at: Callable[[int, int, int], None]
) -> None:
    left_by_a_run(folder, pid=7, host="elsewhere")
    at(18, 42, 4)
    assert str(refusal(folder)) == (
        f"Run {RUN_ID} may still be running\n"
        "  it was started on another machine, elsewhere, as process 7\n"
        "To fix it: recover it there, or from 2026-11-23 18:42 UTC on here: no run lasts longer."
    )
    at(18, 42, 5)
    with journal.take_over(folder) as taken:
        assert taken.entry.host == "elsewhere"


def test_a_run_may_be_at_work_elsewhere_until_it_has_expired(folder: Path, at: Callable[[int, int, int], None]) -> None:
    at(18, 42, 4)
    assert journal.is_elsewhere(folder)  # Its stack was seen in a shared backend.
    left_by_a_run(folder)
    assert not journal.is_elsewhere(folder)
    write(folder, b"torn")
    assert not journal.is_elsewhere(folder)
    left_by_a_run(folder, host="elsewhere")
    assert journal.is_elsewhere(folder)
    at(18, 42, 5)
    assert not journal.is_elsewhere(folder)


def test_a_run_of_another_machine_is_adopted_once_it_has_expired(
    folder: Path, at: Callable[[int, int, int], None]
) -> None:
    at(18, 42, 4)
    with pytest.raises(UsageError) as raised:
        journal.adopt(folder, settings=SETTINGS, backend_url="s3://state")
    assert str(raised.value) == (
        f"Run {RUN_ID} may still be running\n"
        "  it was started on another machine\n"
        "To fix it: recover it there, or from 2026-11-23 18:42 UTC on here: no run lasts longer."
    )
    assert not folder.exists()
    at(18, 42, 5)
    journal.adopt(folder, settings=SETTINGS, backend_url="s3://state")
    assert written(folder) == {
        "version": 3,
        "run_id": RUN_ID,
        "pid": None,
        "host": None,
        "started": None,
        "settings": SETTINGS,
        "backend_url": "s3://state",
        "digest": digest("s3://state"),
        "stacks": MAY_EXIST,
        "ended": False,
    }
    with journal.take_over(folder) as taken:
        assert taken.entry.begun() == ["data", "compute"]


# ---- commands to paste


def test_the_recovery_command_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/my python/bin/python")
    monkeypatch.setenv("ORCHESTRATOR_HOME", "/srv/wörk dir")
    assert recovery_command("r1") == (
        "ORCHESTRATOR_HOME='/srv/wörk dir' '/opt/my python/bin/python' -m orchestrator recover r1"
    )
    monkeypatch.delenv("ORCHESTRATOR_HOME")
    assert recovery_command("r1") == "'/opt/my python/bin/python' -m orchestrator recover r1"
    assert journal.command_line("recover", "--config", "my config.yaml") == (
        "'/opt/my python/bin/python' -m orchestrator recover --config 'my config.yaml'"
    )
