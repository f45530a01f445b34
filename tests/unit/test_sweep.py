"""What is swept, and what stays: which runs, which names, whose clouds; and what is said of it."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator import deadlines, journal, settings, surroundings
from orchestrator import sweep as module
from orchestrator.cli import app
from orchestrator.clouds import Environment, Remaining
from orchestrator.clouds.by_name import Part
from orchestrator.console import Console
from orchestrator.errors import OrchestratorError, ResourcesRemainError, UsageError
from orchestrator.home import Home
from orchestrator.settings import DEFAULT_CONFIG
from orchestrator.sweep import Wanted, sweep
from stacks.naming import Names

OLD, YOUNG = "20261123-120000-oldold", "20261123-173000-young0"
NOW = datetime(2026, 11, 23, 17, 42, 5, tzinfo=UTC)
COMMAND = "python -m orchestrator sweep --yes"


class Place:
    """A part of a cloud that holds what a test puts into it: names, in the order of their removal."""

    place = "a cloud (here)"

    def __init__(self, *names: str, refuses: frozenset[str] = frozenset(), lags: int = 0) -> None:
        self.names = list(names)
        self.removed: list[str] = []
        self.refuses = refuses
        self.lags = lags
        self.asked: list[str | None] = []

    def find(self, run_id: str | None = None) -> list[Remaining]:
        self.asked.append(run_id)
        gone = self.removed if self.lags > 0 else []
        self.lags -= bool(gone)
        named = [name for name in [*self.names, *gone] if run_id is None or run_id in name]
        return [Remaining("aws", "s3 bucket", name) for name in dict.fromkeys(named)]

    def run_of(self, left: Remaining) -> str | None:
        match = re.fullmatch("hop-(.{22})-data", left.id)
        return match[1] if match else None

    def remove(self, left: Remaining) -> None:
        self.removed.append(left.id)
        if left.id in self.refuses:
            raise OrchestratorError(f"AWS did not remove {left.id}", details="denied")
        if left.id in self.names:
            self.names.remove(left.id)


class Silent(Place):
    """One that does not answer; or no longer, after so many answers."""

    def __init__(self, *names: str, answers: int = 0) -> None:
        super().__init__(*names)
        self.answers = answers

    def find(self, run_id: str | None = None) -> list[Remaining]:
        if len(self.asked) >= self.answers:
            raise OrchestratorError("AWS did not say what is left", details="Unable to locate credentials\nat all")
        return super().find(run_id)


class Sweeper:
    """Sweeps the places, and keeps what is said: findings, and notes."""

    def __init__(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.said: list[str] = []
        self.stream = StringIO()
        self._monkeypatch = monkeypatch

    def __call__(
        self, *places: Place, run_id: str | None = None, older_than: int = 3600, yes: bool = False, configured: int = 9
    ) -> bool:
        self.said.clear()
        parts = [
            Part("AWS", lambda place=place: place, configured=number < configured)  # type: ignore[misc]
            for number, place in enumerate(places)
        ]
        self._monkeypatch.setattr(module, "parts", lambda _settings: parts)
        here = nullcontext(Environment({}, ""))
        self._monkeypatch.setattr(surroundings, "of_a_sweep", lambda _settings: here)
        wanted = Wanted(run_id, older_than, COMMAND, yes)
        chosen = settings.load(DEFAULT_CONFIG, environ={})
        with Console(self.stream) as console:
            return sweep(wanted, chosen, home=self.home, console=console, say=self.said.append, now=NOW)


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweeper:
    monkeypatch.setattr("orchestrator.proof.time.sleep", lambda _seconds: None)
    return Sweeper(Home(tmp_path), monkeypatch)


def bucket(run_id: str) -> str:
    return f"hop-{run_id}-data"


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Lets a run be at work on this machine."""
    entered = []

    def work(run_id: str) -> None:
        entered.append(journal.begin(tmp_path / "runs" / run_id, settings={}, backend_url="file:///state"))
        entered[-1].__enter__()

    yield work
    for one in entered:
        one.__exit__(None, None, None)


def test_without_yes_it_is_told_and_nothing_is_removed(swept: Sweeper) -> None:
    place = Place(bucket(OLD))
    assert swept(place) is True
    table, summary = swept.said
    assert table == (
        "cloud  kind       id                               run                     age\n"
        f"aws    s3 bucket  hop-{OLD}-data  {OLD}  5 h 42 min"
    )
    assert summary == f"1 left in a cloud (here). To remove: {COMMAND}"
    assert place.removed == []


def test_nothing_is_left(swept: Sweeper) -> None:
    assert swept(Place()) is False
    assert swept.said == ["0 left in a cloud (here)."]


def test_it_is_removed_in_order_and_the_clouds_are_asked_again(swept: Sweeper) -> None:
    other, another = bucket("20261122-120000-other0"), bucket("20261121-120000-other1")
    first, second = Place(bucket(OLD)), Place(other, another)
    order: list[str] = []
    first.removed = second.removed = order
    swept(first, second, yes=True)
    assert order == [bucket(OLD), other, another]
    assert (first.asked, second.asked) == ([None, None], [None, None])
    assert swept.said[-1] == "0 left in a cloud (here); a cloud (here)."


def test_a_run_that_may_be_alive_stays(swept: Sweeper) -> None:
    place = Place(bucket(YOUNG), bucket(OLD))
    swept(place)
    assert swept.said[1] == (
        "2 left in a cloud (here), 1 of it to stay. What a run left that is over, --run RUN removes whatever its age. "
        f"To remove: {COMMAND}"
    )
    assert swept(place, yes=True) is False
    assert swept.said[1] == (
        "1 left in a cloud (here), and stays. What a run left that is over, --run RUN removes whatever its age."
    )
    assert place.removed == [bucket(OLD)]
    assert swept.said[0].splitlines()[1].endswith(f"{YOUNG}  12 min 5 s  stays: younger than 1 h")
    assert place.names == [bucket(YOUNG)]


def test_an_age_that_is_asked_for(swept: Sweeper) -> None:
    place = Place(bucket(YOUNG), bucket(OLD))
    swept(place, yes=True, older_than=12 * 60)
    assert place.names == []


def test_a_run_of_the_future_stays(swept: Sweeper) -> None:
    place = Place(bucket("20270101-000000-future"))
    swept(place, yes=True, older_than=0)
    assert place.removed == []
    assert "  in the future  stays: younger than 0 s" in swept.said[0]


def test_one_run_whatever_its_age(swept: Sweeper) -> None:
    place = Place(bucket(YOUNG), bucket(OLD))
    swept(place, run_id=YOUNG, yes=True)
    assert (place.names, place.asked) == ([bucket(OLD)], [YOUNG, YOUNG])


def test_a_run_that_is_at_work_here_is_refused(swept: Sweeper, at_work: Callable[[str], None]) -> None:
    at_work(YOUNG)
    place = Place(bucket(YOUNG))
    with pytest.raises(UsageError) as raised:
        swept(place, run_id=YOUNG, yes=True)
    assert str(raised.value) == (
        f"Run {YOUNG} is at work on this machine, and destroys by itself what it makes\n"
        "To fix it: wait for it, or end it, and try again."
    )
    assert place.asked == []


def test_a_long_run_that_is_at_work_here_stays(swept: Sweeper, at_work: Callable[[str], None]) -> None:
    at_work(OLD)
    place = Place(bucket(OLD))
    swept(place, yes=True)
    assert place.removed == []
    assert swept.said[0].endswith("5 h 42 min  stays: its run is at work")
    assert swept.said[1] == "1 left in a cloud (here), and stays."


def test_what_has_only_a_tag_of_ours_is_told_and_stays(swept: Sweeper) -> None:
    place = Place("production", f"x{bucket(OLD)}")
    swept(place, yes=True)
    assert place.removed == []
    assert [line.split()[-6:] for line in swept.said[0].splitlines()[1:]] == [
        ["-", "-", "stays:", "no", "run", "made", "it"][-6:]
    ] * 2


def test_a_name_cannot_steer_the_terminal(swept: Sweeper) -> None:
    swept(Place("a\x1b[2Jb\nc"))
    assert "a\\x1b[2Jb\\nc" in swept.said[0]
    assert "\x1b" not in swept.said[0]


def test_a_bucket_that_two_parts_see_is_one(swept: Sweeper) -> None:
    swept(Place(bucket(OLD)), Place(bucket(OLD)))
    assert swept.said[-1] == f"1 left in a cloud (here); a cloud (here). To remove: {COMMAND}"


@pytest.mark.parametrize(("yes", "exit_code"), [(False, 1), (True, 3)])
def test_a_cloud_of_the_config_that_does_not_answer(swept: Sweeper, *, yes: bool, exit_code: int) -> None:
    other = Place(bucket(OLD))
    with pytest.raises(OrchestratorError) as raised:
        swept(other, Silent(), yes=yes)
    assert raised.value.exit_code == exit_code
    assert "Unable to locate credentials" in str(raised.value)
    assert (other.removed, swept.said) == ([], [])


def test_another_cloud_that_does_not_answer_is_named(swept: Sweeper) -> None:
    place = Place(bucket(OLD))
    swept(place, Silent(), configured=1, yes=True)
    assert place.removed == [bucket(OLD)]
    assert "Not asked: AWS, which the config does not name: Unable to locate credentials\n" in swept.stream.getvalue()
    assert swept.said[-1] == "0 left in a cloud (here)."


def test_what_stays_all_the_same_is_named(swept: Sweeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "SETTLE", -1.0)
    place = Place(bucket(OLD), refuses=frozenset({bucket(OLD)}))
    with pytest.raises(ResourcesRemainError) as raised:
        swept(place, yes=True)
    assert str(raised.value) == (
        "1 resource remains\n"
        f"  AWS did not remove {bucket(OLD)}\n"
        "    denied\n"
        f"  aws s3 bucket: {bucket(OLD)}\n"
        f"To fix it: run `{COMMAND}` once more, or remove them in the cloud's console."
    )


def test_a_listing_that_lags_is_asked_again(swept: Sweeper) -> None:
    place = Place(bucket(OLD), lags=2)
    swept(place, yes=True)
    assert len(place.asked) == 4
    assert swept.said[-1] == "0 left in a cloud (here)."


def test_a_cloud_that_does_not_say_in_the_end(swept: Sweeper) -> None:
    with pytest.raises(ResourcesRemainError) as raised:
        swept(Silent(bucket(OLD), answers=1), yes=True)
    assert raised.value.brief == "It is not known whether resources remain"
    assert raised.value.resolution == f"run `{COMMAND}` once more."


# ---- the command


def test_no_clouds_stand_for_a_sweep() -> None:
    with pytest.raises(UsageError) as raised:
        surroundings.of_a_sweep(settings.load(DEFAULT_CONFIG, environ={}))
    assert str(raised.value) == (
        "There is nothing to sweep in a rehearsal\n"
        "  its stand-in clouds, and all in them, end with the run, or half an hour after it was killed.\n"
        "To fix it: name a live config, or clouds that stand: --set rehearsal.clouds=FOLDER."
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--run", "../20261123-174205-k3x9qz"], "../20261123-174205-k3x9qz is not a run id"),
        (["--older-than", "soon"], "soon is not a duration"),
        (["--older-than", "-1 h"], "-1 h is not a duration"),
    ],
)
def test_a_wrong_argument(arguments: list[str], said: str) -> None:
    failure = CliRunner().invoke(app, ["sweep", *arguments]).exception
    assert isinstance(failure, UsageError)
    assert failure.brief == said


def test_the_command_that_removes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "a home"))
    seen: list[Wanted] = []
    monkeypatch.setattr("orchestrator.cli.remove_leftovers", lambda wanted, *_, **__: seen.append(wanted))
    runner = CliRunner()
    for options in ([], ["--run", OLD], ["--older-than", "5 min", "--yes"]):
        outcome = runner.invoke(app, ["sweep", "--set", "data.project=my-project-1", *options])
        assert outcome.exit_code == 0, outcome.exception
    start = f"ORCHESTRATOR_HOME='{tmp_path}/a home' {sys.executable} -m orchestrator sweep --config {DEFAULT_CONFIG}"
    assert [(one.run_id, one.older_than, one.yes, one.command) for one in seen] == [
        (None, 3600, False, f"{start} --set data.project=my-project-1 --older-than '1 h' --yes"),
        (OLD, 3600, False, f"{start} --set data.project=my-project-1 --run {OLD} --yes"),
        (None, 300, True, f"{start} --set data.project=my-project-1 --older-than '5 min' --yes"),
    ]


def test_the_run_ids_of_these_tests_are_real() -> None:
    assert [Names(run_id).started.hour for run_id in (OLD, YOUNG)] == [12, 17]
