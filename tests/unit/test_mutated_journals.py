"""Mutated journals: whatever became of the file, a recovery acts on the folder's run alone, and takes it for the worst.

With a fixed choice of mutations. The journal of which they are made says that both stacks may exist, so nothing that
is read from one of them may say otherwise.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import journal
from orchestrator.cli import app
from orchestrator.errors import UsageError
from orchestrator.settings import DEFAULT_CONFIG, load

SETTINGS = load(DEFAULT_CONFIG, environ={}).model_dump(mode="json")
RUN_ID, OTHER = "20261123-174205-k3x9qz", "20261123-174206-abcdef"
BOTH = ["data", "compute"]
WRONG: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    "",
    "x" * 100_000,
    "../../etc",
    "a\0\x1b[2J\u202e",
    [],
    [[]],
    {},
    {"a": {"b": 1}},
]
FIELDS = ["version", "run_id", "pid", "host", "started", "settings", "backend_url", "stacks", "ended", "more", ""]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the mutated run; beside it there is another one, whole."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    runs = tmp_path / "runs"
    for run_id in (OTHER, RUN_ID):
        with journal.begin(
            runs / run_id,
            settings=SETTINGS,
            backend_url="file:///state",
        ) as begun:
            for stack in BOTH:
                begun.stack(stack, "may exist")
    return runs / RUN_ID


def flip(draw: st.DrawFn, content: bytes) -> bytes:
    place, bit = draw(st.integers(0, len(content) - 1)), draw(st.integers(0, 7))
    return content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]


def cut(draw: st.DrawFn, content: bytes) -> bytes:
    start, end = sorted(draw(st.integers(0, len(content))) for _ in range(2))
    return content[:start] + content[end:]


def overwrite(draw: st.DrawFn, content: bytes) -> bytes:
    """What a file system may leave after a crash: zeros, or another file's bytes."""
    start, end = sorted(draw(st.integers(0, len(content))) for _ in range(2))
    return content[:start] + draw(st.sampled_from([b"\0", b"\xff", b"{", b'"', b"["])) * (end - start) + content[end:]


def another_type(draw: st.DrawFn, content: bytes) -> bytes:
    said = json.loads(content)
    said[draw(st.sampled_from(FIELDS))] = draw(st.sampled_from(WRONG))
    return json.dumps(said).encode()


def another_status(draw: st.DrawFn, content: bytes) -> bytes:
    said = json.loads(content)
    said["stacks"][draw(st.sampled_from(BOTH))] = draw(
        st.sampled_from([*WRONG, "Destroyed", "destroyed ", ["destroyed"]])
    )
    return json.dumps(said).encode()


def another_run(_draw: st.DrawFn, content: bytes) -> bytes:
    said = json.loads(content)
    return json.dumps(said | {"run_id": OTHER, "ended": True, "stacks": dict.fromkeys(BOTH, "destroyed")}).encode()


def another_version(draw: st.DrawFn, content: bytes) -> bytes:
    return json.dumps(json.loads(content) | {"version": draw(st.integers(-(2**70), 2**70)), "new": [1]}).encode()


def longer(draw: st.DrawFn, content: bytes) -> bytes:
    return content + draw(st.sampled_from([content, b"\0" * 4096, b" " * 1_000_000, b"}", b"[" * 100_000, b"x"]))


MUTATIONS: list[Callable[[st.DrawFn, bytes], bytes]] = [
    *(flip, flip, cut, overwrite, another_type, another_status, another_run, another_version, longer),
]


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    return draw(st.sampled_from(MUTATIONS))(draw, content)


def assert_the_worst(folder: Path, content: bytes) -> None:
    (folder / journal.FILE).write_bytes(content)
    entry = journal.read(folder)
    assert entry.run_id == RUN_ID
    assert entry.begun() == BOTH
    assert entry.ended is False
    assert (entry.settings, entry.backend_url) in ((None, None), (SETTINGS, "file:///state"))


def test_a_mutated_journal_is_taken_for_the_worst(folder: Path) -> None:
    seen = set()

    @settings(max_examples=150, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(content=mutated((folder / journal.FILE).read_bytes()))
    def check(content: bytes) -> None:
        seen.add(content)
        assert_the_worst(folder, content)

    check()
    assert len(seen) >= 100


def test_a_journal_that_breaks_off_anywhere_is_taken_for_the_worst(folder: Path) -> None:
    whole = (folder / journal.FILE).read_bytes()
    for end in range(len(whole)):
        assert_the_worst(folder, whole[:end])
        assert_the_worst(folder, whole[:end] + b"\0" * (len(whole) - end))
        assert_the_worst(folder, whole[:end] + b"\xff" + whole[end + 1 :])


def test_one_bit_makes_no_stack_destroyed(folder: Path) -> None:
    whole = (folder / journal.FILE).read_bytes()
    for place in range(whole.index(b'"stacks"'), len(whole)):
        for bit in range(8):
            assert_the_worst(folder, whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])


# ---- what is no file


def as_a_directory(path: Path) -> None:
    path.mkdir()


def as_a_broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


def as_a_loop(path: Path) -> None:
    path.symlink_to(path)


def as_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def as_a_fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("place", [as_a_directory, as_a_broken_link, as_a_loop, as_a_device, as_a_fifo])
def test_what_is_no_journal_is_refused_and_hinders_no_other_run(folder: Path, place: Callable[[Path], None]) -> None:
    path = folder / journal.FILE
    path.unlink()
    place(path)
    with pytest.raises(UsageError, match=RUN_ID):
        journal.read(folder)
    assert OTHER in journal.unfinished(folder.parent)


def test_a_link_to_the_journal_of_another_run_says_nothing_of_this_one(folder: Path) -> None:
    other = folder.parent / OTHER / journal.FILE
    other.write_text(json.dumps(json.loads(other.read_text()) | {"ended": True}))
    (folder / journal.FILE).unlink()
    (folder / journal.FILE).symlink_to(other)
    entry = journal.read(folder)
    assert (entry.run_id, entry.begun(), entry.ended, entry.settings) == (RUN_ID, BOTH, False, None)


# ---- recover


def test_recover_acts_on_no_other_run_and_knows_every_failure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a rehearsal, whose clouds have ended: there is nothing to be destroyed, and much to be misread."""
    path, other = folder / journal.FILE, folder.parent / OTHER / journal.FILE
    beside = other.read_bytes()
    endings = {
        (0, f"0 left of run {RUN_ID}."),
        (3, f"The journal of run {RUN_ID} does not say in which clouds it was"),
        (2, f"Run {RUN_ID} may still be running"),  # Another machine's name: until the run has expired.
    }
    seen = set()

    @settings(max_examples=40, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(content=mutated(path.read_bytes()))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        code = app(["recover", RUN_ID], standalone_mode=False)
        told = capsys.readouterr().err.splitlines()
        ending = next((one for one in endings if one[0] == code and one[1] in told), None)
        assert ending is not None, (code, told)
        seen.add(ending)
        assert other.read_bytes() == beside

    check()
    assert {code for code, _ in seen} >= {0, 3}


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"[" * 100_000, b'{"ended": true', b'{"stacks": {"data": "destr']
)
def test_the_program_itself_says_so_without_a_traceback(folder: Path, content: bytes) -> None:
    (folder / journal.FILE).write_bytes(content)
    ended = subprocess.run(
        [sys.executable, "-m", "orchestrator", "recover", RUN_ID],
        cwd=Path(__file__).parents[2],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3
    assert ended.stderr.startswith(f"The journal of run {RUN_ID} does not say in which clouds it was\n")
    assert (folder / journal.FILE).read_bytes() == content


def test_a_process_number_that_is_none_is_no_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another recovery holds the lock, whose process is asked for: any number may stand there."""
    monkeypatch.setattr(journal, "_ABOUT_TO_START_SECONDS", 0)
    path = folder / journal.FILE
    said: dict[str, Any] = json.loads(path.read_text())
    for pid in (10**400, 2**63, 2**31, 0, -1):
        path.write_text(json.dumps(said | {"pid": pid}))
        with (
            journal.take_over(folder),
            pytest.raises(UsageError, match="may still be running"),
            journal.take_over(folder),
        ):
            pass
