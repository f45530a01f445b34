"""The faults of the drill: what goes wrong, where, and how the run is to end all the same.

The tables are written out, so that the matrix can be read and listed without a run. The tests hold them against a run
that nothing disturbs: its resources, its phases and the calls of its clients are those here, no more and no fewer.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, get_args

from orchestrator.drill.calls import CALLS, FLEX_CALLS, ClientCall
from orchestrator.rehearsal.faults import CLOUDS, CallEffect, CallRule, Cloud, ResourceEffect, ResourceRule, Rule
from orchestrator.run import PHASES

Kind = Literal["resources", "calls", "phases", "machine", "kills"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
KILLS: Final = 20
_SEED = 6
DONE, FAILED, REFUSED, REMAIN, INTERRUPTED, TERMINATED, KILLED = 0, 1, 2, 3, 130, 143, -9


class Resource(NamedTuple):
    """A resource of a stack: its type token and its name there.

    ``deleted`` says whether the engine deletes it: not where it goes with another. ``waited_for`` says whether the run
    needs it: what nothing waits for may fail, and the chart is drawn.
    """

    type: str
    name: str
    deleted: bool = True
    waited_for: bool = True


_DATA = (
    Resource("gcp:bigquery/dataset:Dataset", "dataset"),
    Resource("gcp:storage/bucket:Bucket", "extract"),
)
RESOURCES: Final[dict[Cloud, tuple[Resource, ...]]] = {
    "aws": (
        *_DATA,
        Resource("aws:s3/bucket:Bucket", "data"),
        Resource(
            "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "fuse", deleted=False, waited_for=False
        ),
        Resource("aws:s3/bucketObjectv2:BucketObjectv2", "extract"),
        Resource("aws:cloudwatch/logGroup:LogGroup", "logs"),
        Resource("aws:iam/role:Role", "role"),
        Resource("aws:iam/rolePolicy:RolePolicy", "permissions"),
        Resource("aws:lambda/layerVersion:LayerVersion", "libraries"),
        Resource("aws:lambda/function:Function", "function"),
        Resource("aws:lambda/functionUrl:FunctionUrl", "url"),
    ),
    "azure": (
        *_DATA,
        Resource("azure-native:resources:ResourceGroup", "group"),
        Resource("azure-native:storage:StorageAccount", "account", deleted=False),
        Resource("azure-native:storage:ManagementPolicy", "fuse", deleted=False, waited_for=False),
        Resource("azure-native:storage:BlobContainer", "data", deleted=False),
        Resource("azure-native:storage:Blob", "extract", deleted=False),
        Resource("azure-native:storage:Blob", "package", deleted=False),
        Resource("azure-native:web:AppServicePlan", "plan", deleted=False),
        Resource("azure-native:web:WebApp", "app", deleted=False),
        Resource("azure-native:web:WebAppApplicationSettings", "settings", deleted=False),
    ),
    "gcp": (
        *_DATA,
        Resource("gcp:serviceaccount/account:Account", "identity"),
        Resource("gcp:storage/bucket:Bucket", "source"),
        Resource("gcp:storage/bucketObject:BucketObject", "package"),
        Resource("gcp:storage/bucketIAMMember:BucketIAMMember", "permission"),
        Resource("gcp:cloudrunv2/service:Service", "service"),
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong in one run. ``number`` is its place in the whole matrix.

    ``rules`` are what the stand-in clouds are told before the run. ``moment`` is when something is done to the run
    besides: the name of the phase that has just begun, or a part of the time that an undisturbed run takes. ``ends``
    are the exit codes that the run may have, None where that is open. ``settings`` are the run's besides the usual.
    """

    cloud: Cloud
    kind: Kind
    where: str
    effect: str
    rules: tuple[Rule, ...] = ()
    moment: str | float | None = None
    ends: frozenset[int] | None = None
    settings: tuple[str, ...] = ()
    number: int = 0

    @property
    def name(self) -> str:
        """What a person calls it, and ``--only`` searches."""
        return f"{self.cloud} {self.kind}: {self.where}: {self.effect}"


class _Effect(NamedTuple):
    name: str
    operation: Literal["create", "delete"]
    does: ResourceEffect
    times: int | None
    ends: frozenset[int] | None


_RESOURCE_EFFECTS = (
    _Effect("create fails", "create", "fails", 1, frozenset({FAILED})),
    _Effect("create hangs", "create", "hangs", None, frozenset({FAILED})),
    _Effect("create's answer is lost", "create", "answer lost", 1, frozenset({FAILED})),
    _Effect("create is half done", "create", "half made", 1, frozenset({FAILED})),
    _Effect("delete fails once", "delete", "fails", 1, frozenset({DONE})),
    _Effect("delete fails until repaired", "delete", "fails", None, None),
)
_CALL_EFFECTS: Final[tuple[tuple[str, CallEffect, int | None], ...]] = (
    ("refused", "refused", 1),
    ("times out", "hangs", 1),
    ("403", "forbidden", None),
    ("429", "throttled", 1),
    ("503", "unavailable", 1),
    ("503 until repaired", "unavailable", None),
)
_DOWNLOAD_EFFECTS: Final[tuple[tuple[str, CallEffect, int | None], ...]] = (
    ("truncated", "truncated", 1),
    ("wrong checksum", "wrong checksum", 1),
)

SIGINT, SIGTERM, TWO_SIGINTS, SIGKILL = "SIGINT", "SIGTERM", "two SIGINTs", "SIGKILL"
CLI_KILLED, PLUGIN_KILLED = "SIGKILL of the CLI", "plugin killed"
_SIGNALS: Final[dict[str, frozenset[int]]] = {
    # A run that is nearly over may be done first; one that fails as the signal comes has failed.
    SIGINT: frozenset({DONE, INTERRUPTED}),
    SIGTERM: frozenset({DONE, TERMINATED}),
    TWO_SIGINTS: frozenset({DONE, INTERRUPTED, REMAIN}),
    SIGKILL: frozenset({KILLED}),
}
CLI_RUNS: Final = (
    "Pulumi CLI", "data stack", "query", "compute stack", "function", "destroy data stack", "destroy compute stack"
)  # fmt: skip
ENGINE_RUNS: Final = ("data stack", "compute stack", "destroy data stack", "destroy compute stack")

MACHINE: Final[tuple[tuple[str, str, frozenset[int] | None], ...]] = (
    ("state lost", "then recover", frozenset({KILLED})),
    ("state lost", "with the journal, then sweep", frozenset({KILLED})),
    ("journal torn", "half of it", frozenset({KILLED})),
    ("journal torn", "empty", frozenset({KILLED})),
    ("journal torn", "no JSON", frozenset({KILLED})),
    ("disk full", "for the journal, from the start", frozenset({FAILED, REFUSED})),
    ("disk full", "for the journal, before the stacks", None),
    ("disk full", "for the state", None),
    ("credentials expire", "in the query", None),
    ("credentials expire", "before the function is called", None),
    ("credentials expire", "before the end", None),
    ("clock jumps", "an hour on", None),
    ("clock jumps", "an hour back", None),
    ("two runs at once", "in one home", frozenset({DONE})),
    ("recover", "beside a live run", frozenset({DONE})),
    ("recover", "twice at once", frozenset({KILLED})),
    ("recover", "killed, and once more", frozenset({KILLED})),
)


def faults() -> list[Fault]:
    """The whole matrix, in its one order."""
    return [replace(fault, number=number) for number, fault in enumerate(_all(), start=1)]


def _all() -> Iterator[Fault]:
    for cloud in CLOUDS:
        yield from _resources(cloud)
        yield from _calls(cloud)
        yield from _phases(cloud)
        for where, effect, ends in MACHINE:
            yield Fault(cloud=cloud, kind="machine", where=where, effect=effect, ends=ends)
    yield from _kills()


def _resources(cloud: Cloud) -> Iterator[Fault]:
    for resource in RESOURCES[cloud]:
        for effect in _RESOURCE_EFFECTS:
            if effect.operation == "delete" and not resource.deleted:
                continue
            rule = ResourceRule(
                type=resource.type,
                name=resource.name,
                operation=effect.operation,
                effect=effect.does,
                times=effect.times,
            )
            ends = effect.ends if resource.waited_for else None
            where = f"{resource.type} {resource.name}"
            yield Fault(cloud=cloud, kind="resources", where=where, effect=effect.name, rules=(rule,), ends=ends)


def _calls(cloud: Cloud) -> Iterator[Fault]:
    for call in (*CALLS[cloud], *(FLEX_CALLS if cloud == "azure" else ())):
        for name, effect, times in (*_CALL_EFFECTS, *(_DOWNLOAD_EFFECTS if call.download else ())):
            rule = CallRule(
                cloud=cloud,
                method=call.method,
                path=call.path,
                target=call.target,
                after=call.after,
                effect=effect,
                times=times,
            )
            yield Fault(
                cloud=cloud,
                kind="calls",
                where=call.what,
                effect=name,
                rules=(rule,),
                ends=_call_ends(call, name, times),
                settings=("compute.plan=flex",) if call in FLEX_CALLS else (),
            )


def _call_ends(call: ClientCall, effect: str, times: int | None) -> frozenset[int] | None:
    if times == 1 and effect not in call.once:
        return frozenset({DONE})
    if call.fails is None:
        return None
    # Whether a cloud that is down "does not accept" the caller is a matter of words.
    return frozenset({REFUSED, FAILED} if call.fails == REFUSED and effect != "403" else {call.fails})


def _phases(cloud: Cloud) -> Iterator[Fault]:
    for phase in PHASES:
        for effect, ends in _SIGNALS.items():
            yield Fault(cloud=cloud, kind="phases", where=phase, effect=effect, moment=phase, ends=ends)
        if phase in CLI_RUNS:
            yield Fault(cloud=cloud, kind="phases", where=phase, effect=CLI_KILLED, moment=phase)
        if phase in ENGINE_RUNS:
            yield Fault(cloud=cloud, kind="phases", where=phase, effect=PLUGIN_KILLED, moment=phase)


def _kills() -> Iterator[Fault]:
    """Drawn once for all: one moment in each twentieth of a run; the clouds take turns."""
    drawn = random.Random(_SEED)  # noqa: S311 - a drill is to be the same each time
    for number in range(KILLS):
        part = (number + drawn.random()) / KILLS
        yield Fault(
            cloud=CLOUDS[number % len(CLOUDS)],
            kind="kills",
            where="a run",
            effect=f"SIGKILL after {part:.3f} of its time",
            moment=part,
            ends=frozenset({DONE, KILLED}),
        )
