"""The critical path of a run: the longest way through what had to happen one after the other.

Its steps are what the clouds take time for: each resource's create and delete, the jobs, the function. Their order is
that of the resource graph which the engine saw, and of the values that one part of the run handed to another. So no run
can be faster than its critical path while the clouds take that long, and what a run takes longer is its own doing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

DATA, COMPUTE = "data", "compute"
_OUR_OWN = "pulumi:"
"""The stack and its providers are resources to the engine; no cloud makes them."""


@dataclass(frozen=True)
class Times:
    """How long the clouds take, in seconds: to create and to delete a resource, by its type token; for each call.

    ``function`` is all that calling it takes, once its stack is there: what is fetched for it, and its cold start.
    """

    creates: Mapping[str, float]
    deletes: Mapping[str, float]
    query: float
    extract: float
    function: float


@dataclass(frozen=True)
class Resource:
    """A resource as the engine saw it. ``needs`` are the URNs that it had to wait for, its parent and provider too.

    ``values`` are the texts in its inputs. ``goes_with`` says that another one's delete takes it along.
    """

    urn: str
    type: str
    name: str
    needs: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()
    goes_with: bool = False


@dataclass(frozen=True)
class Handed:
    """What one part of the run handed to another: the texts in it, and the URNs that had to be there before it was."""

    values: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Step:
    """Something that takes ``seconds``, once all that it comes ``after``, by name, is over."""

    name: str
    seconds: float
    after: frozenset[str] = frozenset()


def step_name(stack: str, operation: str, type_token: str, name: str) -> str:
    """What a step on a resource is called, such as ``create aws:s3/bucket:Bucket data (compute)``."""
    return f"{operation} {type_token} {name} ({stack})"


def longest(steps: Iterable[Step]) -> list[Step]:
    """The path that takes longest, in order, with all steps at its end that take no time.

    Raises:
        ValueError: two steps have one name, one comes after a step that there is not, or after itself.
    """
    by_name: dict[str, Step] = {}
    for step in steps:
        if by_name.setdefault(step.name, step) is not step:
            raise ValueError(f"two steps are named {step.name}")
    ends: dict[str, float] = {}
    before: dict[str, str] = {}
    for name in _in_order(by_name):
        step = by_name[name]
        last = max(sorted(step.after), key=ends.__getitem__, default=None)
        if last is not None:
            before[name] = last
        ends[name] = step.seconds + (ends[last] if last is not None else 0)
    here = max(reversed(ends), key=ends.__getitem__, default=None)
    path = []
    while here is not None:
        path.append(by_name[here])
        here = before.get(here)
    return path[::-1]


def _in_order(steps: Mapping[str, Step]) -> list[str]:
    """The names, each after those of the steps that it comes after; else as they were given."""
    order: list[str] = []
    left = dict(steps)
    while left:
        unknown = {name for step in left.values() for name in step.after} - set(steps)
        if unknown:
            raise ValueError(f"there is no step {', '.join(sorted(unknown))}")
        ready = [name for name, step in left.items() if not step.after & set(left)]
        if not ready:
            raise ValueError(f"they wait for each other: {', '.join(left)}")
        order += ready
        for name in ready:
            del left[name]
    return order


def steps_of_a_run(
    stacks: Mapping[str, Sequence[Resource]], handed: Mapping[str, Handed], times: Times, *, reads_in_place: bool
) -> list[Step]:
    """The steps of a run whose chart came home.

    ``stacks`` are those of ``DATA`` and ``COMPUTE``; ``handed`` is what "data stack", "compute stack" (their outputs)
    and "download" (the extract) handed on: a resource of the compute stack that has such a value in its inputs had to
    wait for it. ``reads_in_place`` as a compute cloud's. A download takes no time of the clouds.

    Raises:
        ValueError: a type has no time, or an output needs a resource that there is not.
    """
    data, compute = stacks[DATA], stacks[COMPUTE]
    function_ends = frozenset({"function"})
    return [
        *_creates(DATA, data, times, {}),
        Step("data stack", 0, _create_names(DATA, data, handed["data stack"].needs)),
        Step("query", times.query, frozenset({"data stack"})),
        Step("extract", times.extract, frozenset({"query"})),
        Step("download", 0, frozenset({"extract"})),
        *_creates(COMPUTE, compute, times, {name: handed[name].values for name in ("data stack", "download")}),
        Step("compute stack", 0, _create_names(COMPUTE, compute, handed["compute stack"].needs)),
        Step("function", times.function, frozenset({"compute stack", "download"})),
        *_deletes(DATA, data, times, function_ends if reads_in_place else frozenset({"download"})),
        *_deletes(COMPUTE, compute, times, function_ends),
        Step("ask the clouds", 0, frozenset(_names("delete", DATA, data) | _names("delete", COMPUTE, compute))),
    ]


def _creates(
    stack: str, resources: Sequence[Resource], times: Times, handed: Mapping[str, frozenset[str]]
) -> Iterator[Step]:
    for resource in resources:
        waits = frozenset(name for name, values in handed.items() if values & resource.values)
        yield Step(
            _name("create", stack, resource),
            _seconds("create", resource, times.creates),
            _create_names(stack, resources, resource.needs) | waits,
        )


def _deletes(
    stack: str, resources: Sequence[Resource], times: Times, no_longer_needed: frozenset[str]
) -> Iterator[Step]:
    """In the reverse order; the engine begins once the stack is up, and nobody needs it any more."""
    begin = no_longer_needed | _names("create", stack, resources)
    for resource in resources:
        users = [other for other in resources if resource.urn in other.needs]
        yield Step(
            _name("delete", stack, resource),
            0 if resource.goes_with else _seconds("delete", resource, times.deletes),
            begin | _names("delete", stack, users),
        )


def _seconds(operation: str, resource: Resource, times: Mapping[str, float]) -> float:
    if resource.type.startswith(_OUR_OWN):
        return 0
    if resource.type not in times:
        raise ValueError(f"it is not known how long the {operation} of {resource.type} takes")
    return times[resource.type]


def _create_names(stack: str, resources: Sequence[Resource], urns: frozenset[str]) -> frozenset[str]:
    there = {resource.urn: resource for resource in resources}
    missing = urns - set(there)
    if missing:
        raise ValueError(f"the {stack} stack has no {', '.join(sorted(missing))}")
    return _names("create", stack, [there[urn] for urn in urns])


def _names(operation: str, stack: str, resources: Iterable[Resource]) -> frozenset[str]:
    return frozenset(_name(operation, stack, resource) for resource in resources)


def _name(operation: str, stack: str, resource: Resource) -> str:
    return step_name(stack, operation, resource.type, resource.name)
