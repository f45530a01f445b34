"""The drill without a run: what its matrix has, which part of it a sample is, what is clean, and what it says."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from orchestrator.clouds import Remaining
from orchestrator.drill import Choice, function, report
from orchestrator.drill.calls import CALLS, DATA_CALLS, FLEX_CALLS
from orchestrator.drill.machine import PLAYS
from orchestrator.drill.matrix import CLI_RUNS, ENGINE_RUNS, KILLED, KINDS, MACHINE, RESOURCES, Fault, faults
from orchestrator.drill.play import Outcome
from orchestrator.drill.sample import sample
from orchestrator.drill.verdict import Ended, Facts, judge
from orchestrator.errors import UsageError
from orchestrator.rehearsal.faults import CLOUDS, CallRule, ResourceRule
from orchestrator.run import PHASES

BUCKET = Remaining("aws", "s3 bucket", "hop-20261123-174205-k3x9qz-data")
ONE = Fault(cloud="aws", kind="phases", where="query", effect="SIGINT", moment="query", number=7)


def effects(cloud: str, kind: str, where: str) -> list[str]:
    return [fault.effect for fault in faults() if (fault.cloud, fault.kind, fault.where) == (cloud, kind, where)]


# ---- the matrix


def test_each_fault_has_a_number_and_a_name_of_its_own() -> None:
    matrix = faults()
    assert [fault.number for fault in matrix] == list(range(1, len(matrix) + 1))
    assert max(Counter(fault.name for fault in matrix).values()) == 1
    assert {(fault.cloud, fault.kind) for fault in matrix} == {(cloud, kind) for cloud in CLOUDS for kind in KINDS}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_each_resource_fails_in_six_ways_but_where_the_engine_does_not_delete_it(cloud: str) -> None:
    creates = ["create fails", "create hangs", "create's answer is lost", "create is half done"]
    for resource in RESOURCES[cloud]:  # type: ignore[index]
        deletes = ["delete fails once", "delete fails until repaired"] if resource.deleted else []
        assert effects(cloud, "resources", f"{resource.type} {resource.name}") == creates + deletes


@pytest.mark.parametrize("cloud", CLOUDS)
def test_each_call_fails_in_six_ways_and_a_download_in_eight(cloud: str) -> None:
    usual = ["refused", "times out", "403", "429", "503", "503 until repaired"]
    for call in CALLS[cloud]:  # type: ignore[index]
        assert effects(cloud, "calls", call.what) == usual + ["truncated", "wrong checksum"] * call.download
    assert [call.what for call in DATA_CALLS if call.download] == ["download"]


def test_what_only_plan_flex_calls_is_drilled_with_plan_flex() -> None:
    flex = {fault.where for fault in faults() if fault.settings == ("compute.plan=flex",)}
    assert flex == {call.what for call in FLEX_CALLS}
    assert {fault.settings for fault in faults() if fault.where not in flex} == {()}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_each_phase_is_struck_in_all_ways_that_it_can_be(cloud: str) -> None:
    for phase in PHASES:
        cli, plugin = ["SIGKILL of the CLI"] * (phase in CLI_RUNS), ["plugin killed"] * (phase in ENGINE_RUNS)
        assert effects(cloud, "phases", phase) == ["SIGINT", "SIGTERM", "two SIGINTs", "SIGKILL", *cli, *plugin]


def test_what_goes_wrong_with_a_machine_has_a_play() -> None:
    assert [(where, effect) for where, effect, _ in MACHINE] == list(PLAYS)


def test_twenty_runs_are_killed_each_in_another_twentieth_of_its_time_and_always_in_the_same() -> None:
    moments = [float(fault.moment or 0) for fault in faults() if fault.kind == "kills"]
    assert [int(moment * 20) for moment in moments] == list(range(20))
    assert moments == [float(fault.moment or 0) for fault in faults() if fault.kind == "kills"]
    assert len({round(moment * 20 % 1, 3) for moment in moments}) == 20


def test_the_clouds_are_told_what_is_to_go_wrong() -> None:
    by_name = {fault.name: fault for fault in faults()}
    (rule,) = by_name["aws resources: aws:iam/role:Role role: delete fails until repaired"].rules
    assert rule == ResourceRule(type="aws:iam/role:Role", name="role", operation="delete", effect="fails", times=None)
    (rule,) = by_name["gcp calls: query: 429"].rules
    assert rule == CallRule(
        cloud="gcp", method="POST", path="/bigquery/v2/projects/[^/]+/jobs", effect="throttled", after=1
    )
    assert {fault.rules for fault in faults() if fault.kind in ("phases", "machine", "kills")} == {()}


# ---- the sample


def test_a_sample_is_always_the_same_and_in_the_order_of_the_matrix() -> None:
    chosen = sample(faults(), 66)
    assert chosen == sample(faults(), 66)
    assert [fault.number for fault in chosen] == sorted({fault.number for fault in chosen})
    assert len(chosen) == 66


def test_a_small_sample_has_every_effect_of_every_kind() -> None:
    every = {(fault.kind, fault.effect) for fault in faults()}
    assert {(fault.kind, fault.effect) for fault in sample(faults(), 66)} == every
    assert {(fault.kind, fault.cloud) for fault in sample(faults(), 66)} == {
        (kind, cloud) for kind in KINDS for cloud in CLOUDS
    }


def test_a_large_sample_has_every_effect_on_every_cloud_and_every_resource_phase_and_call() -> None:
    chosen, every = sample(faults(), 264), faults()
    effects = {(fault.cloud, fault.kind, fault.effect) for fault in every}
    places = {(fault.cloud, fault.kind, fault.where) for fault in every}
    assert {(fault.cloud, fault.kind, fault.effect) for fault in chosen} == effects
    assert {(fault.cloud, fault.kind, fault.where) for fault in chosen} == places


def test_a_sample_that_is_larger_than_all_is_all() -> None:
    assert sample(faults(), 5000) == faults()


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (
            Choice(cloud="gcp", kind="machine", only="^[0-9]+ .*clock"),
            ["gcp machine: clock jumps: an hour on", "gcp machine: clock jumps: an hour back"],
        ),
        (Choice(only="aws phases: query: SIGINT$"), ["aws phases: query: SIGINT"]),
        (Choice(only="^3 "), [faults()[2].name]),
    ],
)
def test_faults_are_chosen(choice: Choice, names: list[str]) -> None:
    assert [fault.name for fault in choice.faults()] == names


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            Choice(only="no such"),
            "No fault is such as that\nTo fix it: see them all: `python -m orchestrator drill --list`.",
        ),
        (
            Choice(only="("),
            """--only ( is no regular expression
  missing ), unterminated subpattern at position 0
To fix it: put a backslash before what is meant as it stands.""",
        ),
    ],
)
def test_a_choice_of_nothing_is_told(choice: Choice, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        choice.faults()
    assert str(raised.value) == message


# ---- the verdict


def ended(code: int | None, said: str = "", *, expected: frozenset[int] | None = None, name: str = "run") -> Ended:
    return Ended(name, code, said, expected)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 130, 143, -9])
def test_a_run_that_ends_as_the_readme_says_and_leaves_nothing_is_clean(code: int) -> None:
    assert judge(Facts(runs=[ended(code)])) == []


@pytest.mark.parametrize(
    ("facts", "wrong"),
    [
        (Facts(runs=[ended(0)], happened=False), ["the fault did not happen"]),
        (Facts(runs=[ended(None)]), ["run did not end by itself"]),
        (Facts(runs=[ended(-11)]), ["run ended with -11, not with -9 or 0 or 1 or 2 or 3 or 130 or 143"]),
        (Facts(runs=[ended(1, expected=frozenset({0, 130}))]), ["run ended with 1, not with 0 or 130"]),
        (
            Facts(runs=[ended(1, "x\nTraceback (most recent call last):\n")]),
            ["run said: Traceback (most recent call last):"],
        ),
        (
            Facts(runs=[ended(1, "Internal error: KeyError: 'a'\n  more\n")]),
            ["run said: Internal error: KeyError: 'a'"],
        ),
        (
            Facts(runs=[ended(-9)], others=[ended(3, expected=frozenset({0}), name="recover")]),
            ["recover ended with 3, not with 0"],
        ),
        (
            Facts(runs=[ended(-9)], unfinished=["20261123-174205-k3x9qz"]),
            ["the journal of 20261123-174205-k3x9qz did not end"],
        ),
        (
            Facts(runs=[ended(-9)], left=[BUCKET]),
            ["left in the clouds: aws s3 bucket hop-20261123-174205-k3x9qz-data"],
        ),
        (Facts(runs=[ended(-9)], processes=["12 pulumi up"]), ["still running: 12 pulumi up"]),
        (Facts(runs=[ended(0)], notes=["the stand-in clouds are gone"]), ["the stand-in clouds are gone"]),
    ],
)
def test_what_is_not_clean_is_told(facts: Facts, wrong: list[str]) -> None:
    assert judge(facts) == wrong


@pytest.mark.parametrize("code", [0, 1, 2, 130, 143])
def test_a_run_that_claims_that_nothing_is_left_must_not_lie(code: int) -> None:
    """Even though the recovery then removed it."""
    facts = Facts(runs=[ended(code)], left_by_run=[BUCKET])
    assert judge(facts) == [f"run ended with {code} and left aws s3 bucket hop-20261123-174205-k3x9qz-data"]


@pytest.mark.parametrize("codes", [[3], [KILLED], [0, KILLED]])
def test_a_run_that_said_so_or_was_killed_may_leave_something_for_the_recovery(codes: list[int]) -> None:
    assert judge(Facts(runs=[ended(code) for code in codes], left_by_run=[BUCKET])) == []


# ---- the report


CLEAN = Outcome(ONE, 5.04, [], 0, {"run": 130}, None)
WRONG = Outcome(
    replace(ONE, number=8, effect="SIGTERM"),
    9.96,
    ["run did not end by itself", "left: \x1b[2J"],
    2,
    {"run": None},
    Path("/home/8"),
)


def test_each_outcome_is_a_line_and_one_that_is_not_clean_says_what_and_where() -> None:
    assert report.line(CLEAN) == "   7 aws phases: query: SIGINT: clean (5.0 s)"
    assert report.line(WRONG) == (
        "   8 aws phases: query: SIGTERM: NOT CLEAN (10.0 s)\n"
        "       run did not end by itself\n"
        "       left: \\x1b[2J\n"
        "       see /home/8"
    )


def test_the_summary_counts() -> None:
    assert report.summary([CLEAN, WRONG]) == "drill: 2 faults, 1 clean, 2 left"
    assert report.summary([]) == "drill: 0 faults, 0 clean, 0 left"


def test_junit_has_a_case_for_each_fault(tmp_path: Path) -> None:
    report.write_junit([CLEAN, WRONG], tmp_path / "junit.xml")
    (suite,) = ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 - our own
    assert suite.attrib == {"name": "drill", "tests": "2", "failures": "1", "time": "15.000"}
    clean, wrong = suite
    assert clean.attrib == {"classname": "drill.aws.phases", "name": "007 query: SIGINT", "time": "5.040"}
    assert list(clean) == []
    (failure,) = wrong
    assert failure.attrib == {"message": "run did not end by itself"}
    assert failure.text == "run did not end by itself\nleft: \\x1b[2J\nsee /home/8"


def test_json_has_all_that_is_known(tmp_path: Path) -> None:
    report.write_json([CLEAN, WRONG], tmp_path / "drill.json")
    clean, wrong = json.loads((tmp_path / "drill.json").read_text())
    assert clean == {
        "number": 7, "cloud": "aws", "kind": "phases", "where": "query", "effect": "SIGINT", "clean": True, "wrong": [],
        "left": 0, "exit_codes": {"run": 130}, "seconds": 5.04, "folder": None,
    }  # fmt: skip
    assert (wrong["clean"], wrong["left"], wrong["folder"]) == (False, 2, "/home/8")


# ---- the function


def test_the_drills_function_needs_no_more_than_its_handlers_do(tmp_path: Path) -> None:
    function.write(tmp_path / "function")
    locks = {path.name: path.read_text() for path in (tmp_path / "function").glob("requirements*.txt")}
    packages = {name: re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE) for name, lock in locks.items()}
    assert packages["requirements.txt"] == []
    assert packages["requirements-azure.txt"] == ["azure-functions", "markupsafe", "werkzeug"]
    assert {"functions-framework", "google-cloud-storage", "flask"} <= set(packages["requirements-gcp.txt"])
    assert not {"pandas", "matplotlib", "numpy", "pillow"} & set(packages["requirements-gcp.txt"])
