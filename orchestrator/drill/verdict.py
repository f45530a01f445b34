"""What is known of a fault after the run and its recovery, and whether that is clean."""

import re
from dataclasses import dataclass, field

from orchestrator.clouds import Remaining
from orchestrator.drill.matrix import DONE, FAILED, INTERRUPTED, KILLED, REFUSED, REMAIN, TERMINATED

_ENDS = frozenset({DONE, FAILED, REFUSED, REMAIN, INTERRUPTED, TERMINATED, KILLED})
_BUG = re.compile(r"^(\s*Traceback \(most recent call last\)|.*Internal error).*$", re.MULTILINE)


@dataclass(frozen=True)
class Ended:
    """A command: its name, its exit code (None: it did not end by itself), what it said, and which codes are fine."""

    name: str
    code: int | None
    said: str
    expected: frozenset[int] | None


@dataclass
class Facts:
    """What was seen of one fault.

    ``runs`` are what was disturbed, ``others`` what ran besides or cleared up. ``left_by_run`` is what the clouds held
    when the runs had ended, ``left`` what they hold at the end; ``unfinished`` are the runs whose journals did not end,
    ``processes`` those that are still there, and ``notes`` what is wrong besides.
    """

    runs: list[Ended] = field(default_factory=list)
    others: list[Ended] = field(default_factory=list)
    happened: bool = True
    left_by_run: list[Remaining] = field(default_factory=list)
    left: list[Remaining] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def judge(facts: Facts) -> list[str]:
    """What is wrong; nothing for a clean fault."""
    wrong = [] if facts.happened else ["the fault did not happen"]
    for ended in (*facts.runs, *facts.others):
        wrong += _of_command(ended)
    claims = [run for run in facts.runs if run.code not in (None, REMAIN, KILLED)]
    if facts.left_by_run and claims == facts.runs:
        wrong.append(f"{claims[0].name} ended with {claims[0].code} and left {_named(facts.left_by_run)}")
    wrong += [f"the journal of {run} did not end" for run in facts.unfinished]
    if facts.left:
        wrong.append(f"left in the clouds: {_named(facts.left)}")
    if facts.processes:
        wrong.append(f"still running: {'; '.join(facts.processes)}")
    return wrong + facts.notes


def _of_command(ended: Ended) -> list[str]:
    """Whether it ended by itself, as expected or at least as README.md says, and without a bug's words."""
    if ended.code is None:
        return [f"{ended.name} did not end by itself"]
    wrong = []
    expected = _ENDS if ended.expected is None else ended.expected
    if ended.code not in expected:
        wrong.append(f"{ended.name} ended with {ended.code}, not with {' or '.join(map(str, sorted(expected)))}")
    bug = _BUG.search(ended.said)
    return [*wrong, f"{ended.name} said: {bug[0].strip()}"] if bug else wrong


def _named(left: list[Remaining]) -> str:
    return ", ".join(f"{found.cloud} {found.kind} {found.id}" for found in left)
