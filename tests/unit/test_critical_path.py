"""The critical path of a graph: exact numbers, and what makes a graph that is none."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from orchestrator.critical_path import Handed, Resource, Step, Times, longest, steps_of_a_run

TIMES = Times(
    creates={"set": 3, "bucket": 2, "object": 1, "role": 1, "function": 13, "rule": 5},
    deletes={"set": 1, "bucket": 2, "object": 1, "role": 4, "function": 1, "rule": 50},
    query=4,
    extract=5,
    function=6,
)
ROOT = Resource("root", "pulumi:pulumi:Stack", "")


def step(name: str, seconds: float, *after: str) -> Step:
    return Step(name, seconds, frozenset(after))


def made(kind: str, name: str, *needs: str, values: str = "", goes_with: bool = False) -> Resource:
    return Resource(name, kind, name, frozenset({"root", *needs}), frozenset(values.split()), goes_with)


DATA = [ROOT, made("set", "dataset"), made("bucket", "extract")]
COMPUTE = [
    ROOT,
    made("bucket", "data"),
    made("object", "extract", "data", values="text/csv /results/extract.csv"),
    made("role", "role"),
    made("function", "function", "role"),
    made("rule", "fuse", "data", goes_with=True),
]
HANDED = {
    "data stack": Handed(frozenset({"hop-1-extract", "hop_1"}), frozenset({"dataset", "extract"})),
    "download": Handed(frozenset({"/results/extract.csv", "abcd"})),
    "compute stack": Handed(frozenset(), frozenset({"function", "extract"})),
}


def path(
    data: list[Resource] = DATA,
    compute: list[Resource] = COMPUTE,
    handed: Mapping[str, Handed] = HANDED,
    times: Times = TIMES,
    *,
    reads_in_place: bool = False,
) -> list[tuple[str, float]]:
    steps = steps_of_a_run({"data": data, "compute": compute}, handed, times, reads_in_place=reads_in_place)
    return [(found.name, found.seconds) for found in longest(steps) if "pulumi:" not in found.name]


# ---- any graph


def test_no_steps_have_no_path() -> None:
    assert longest([]) == []


def test_the_longest_way_not_the_one_with_most_steps() -> None:
    steps = [step("end", 1, "long", "c"), step("a", 1), step("b", 1, "a"), step("c", 1, "b"), step("long", 3.5)]
    assert [found.name for found in longest(steps)] == ["long", "end"]


def test_it_ends_where_most_time_has_passed_and_not_at_the_last_step() -> None:
    assert [found.name for found in longest([step("a", 5), step("b", 1), step("c", 1, "b")])] == ["a"]


def test_steps_that_take_no_time_are_on_it_up_to_the_end() -> None:
    steps = [step("a", 5), step("b", 5), step("end", 0, "a"), step("after", 0, "end")]
    assert [found.name for found in longest(steps)] == ["a", "end", "after"]


def test_of_ways_that_take_as_long_the_first_by_name() -> None:
    steps = [step("end", 1, "b", "a"), step("b", 2), step("a", 2)]
    assert [found.name for found in longest(steps)] == ["a", "end"]


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([step("a", 1), step("a", 2)], "two steps are named a"),
        ([step("a", 1, "b", "c")], "there is no step b, c"),
        ([step("a", 1, "a")], "they wait for each other: a"),
        ([step("a", 1), step("b", 1, "c"), step("c", 1, "b")], "they wait for each other: b, c"),
    ],
)
def test_what_is_no_graph(steps: list[Step], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        longest(steps)


# ---- a run's


def test_a_run_that_waits_for_its_function_stack() -> None:
    assert path() == [
        ("create role role (compute)", 1),
        ("create function function (compute)", 13),
        ("compute stack", 0),
        ("function", 6),
        ("delete function function (compute)", 1),
        ("delete role role (compute)", 4),
        ("ask the clouds", 0),
    ]


def test_a_run_that_waits_for_its_data() -> None:
    assert path(times=replace(TIMES, query=9)) == [
        ("create set dataset (data)", 3),
        ("data stack", 0),
        ("query", 9),
        ("extract", 5),
        ("download", 0),
        ("create object extract (compute)", 1),
        ("compute stack", 0),
        ("function", 6),
        ("delete function function (compute)", 1),
        ("delete role role (compute)", 4),
        ("ask the clouds", 0),
    ]


def test_what_holds_no_value_of_the_others_does_not_wait_for_it() -> None:
    handed = {**HANDED, "download": Handed(frozenset({"/results/another.csv"}))}
    compute = [resource for resource in COMPUTE if resource.type != "function"]
    handed["compute stack"] = Handed(frozenset(), frozenset({"extract"}))
    assert path(compute=compute, handed=handed)[4:6] == [("download", 0), ("function", 6)]


def test_a_value_of_the_data_stack_that_is_there_before_the_extract() -> None:
    compute = [ROOT, made("rule", "permission", values="hop-1-extract")]
    handed = {**HANDED, "compute stack": Handed(frozenset(), frozenset({"permission"}))}
    times = replace(TIMES, creates={**TIMES.creates, "rule": 40})
    assert path(compute=compute, handed=handed, times=times)[:4] == [
        ("create set dataset (data)", 3),
        ("data stack", 0),
        ("create rule permission (compute)", 40),
        ("compute stack", 0),
    ]


def test_what_the_outputs_do_not_need_is_not_waited_for_but_by_the_delete() -> None:
    """The function is called before the rule is there, and nothing goes before it is."""
    assert path()[3] == ("function", 6)
    times = replace(TIMES, creates={**TIMES.creates, "rule": 70})
    assert path(times=times) == [
        ("create bucket data (compute)", 2),
        ("create rule fuse (compute)", 70),
        ("delete function function (compute)", 1),
        ("delete role role (compute)", 4),
        ("ask the clouds", 0),
    ]


def test_what_goes_with_another_takes_no_time_of_its_own() -> None:
    """The rule's delete, which would take 50 s, is over at once; the bucket's comes after it all the same."""
    compute = [resource for resource in COMPUTE if resource.type != "object"]
    handed = {**HANDED, "compute stack": Handed(frozenset(), frozenset({"function"}))}
    times = replace(TIMES, deletes={**TIMES.deletes, "bucket": 9})
    assert path(compute=compute, handed=handed, times=times)[3:] == [
        ("function", 6),
        ("delete rule fuse (compute)", 0),
        ("delete bucket data (compute)", 9),
        ("ask the clouds", 0),
    ]


def test_the_data_stack_goes_beside_the_function_or_after_it() -> None:
    slow = replace(TIMES, deletes={**TIMES.deletes, "set": 30})
    assert path(times=slow)[4:] == [("download", 0), ("delete set dataset (data)", 30), ("ask the clouds", 0)]
    assert path(times=slow, reads_in_place=True)[3:] == [
        ("function", 6),
        ("delete set dataset (data)", 30),
        ("ask the clouds", 0),
    ]


def test_a_type_without_a_time_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^it is not known how long the create of queue takes$"):
        path(compute=[*COMPUTE, made("queue", "jobs")])
    creates_only = replace(TIMES, creates={**TIMES.creates, "queue": 1})
    with pytest.raises(ValueError, match=r"^it is not known how long the delete of queue takes$"):
        path(compute=[*COMPUTE, made("queue", "jobs")], times=creates_only)


def test_a_need_that_the_stack_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^the compute stack has no somewhere$"):
        path(compute=[*COMPUTE, made("role", "other", "somewhere")])
