"""The run, from top to bottom.

    preflight -> dry run --+-> thread A: data stack -> query -> extract -> download --+--> data stack down, at once
    package ---------------+-> thread B: compute stack, its data object --------------+--> function called
    engines start ---------+
    always: compute stack down (its engine has started beside the function) -> the clouds are asked what is left

Both stacks come up at once; what the data stack makes reaches the compute stack as a plain future the moment it
exists. (Where the function reads the extract in place, the data stack goes down with the compute stack.) The main
thread is not here: it waits for signals (``cli.py``).
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from orchestrator import cost, package, proof, pulumi_cli, surroundings
from orchestrator.background import fail, spawn, unless_stopped
from orchestrator.clouds import Answer, ComputeCloud, Environment
from orchestrator.clouds.by_name import compute_cloud, data_cloud, load_programs
from orchestrator.clouds.gcp import GoogleData
from orchestrator.engine import Backend, Stack, StackEvent, stack_of
from orchestrator.errors import OrchestratorError
from orchestrator.home import Home
from orchestrator.journal import Journal, begin
from orchestrator.query import Query
from orchestrator.record import Record
from orchestrator.settings import Settings
from orchestrator.stop import Stop
from orchestrator.teardown import Teardown
from orchestrator.text_file import replace_bytes
from orchestrator.undo import undo
from stacks.contracts import ComputeOutputs, ExtractFile, LiveData

T = TypeVar("T")
PHASES = (
    "Pulumi CLI", "clouds", "preflight", "dry run", "package", "data stack", "query", "extract", "download",
    "compute stack", "function", "destroy data stack", "destroy compute stack", "ask the clouds",
)  # fmt: skip


@dataclass(frozen=True)
class _Run:
    """What the parts of one run share."""

    settings: Settings
    query: Query
    home: Home
    record: Record
    stop: Stop
    journal: Journal
    cli: pulumi_cli.Cli
    backend: Backend
    data: GoogleData
    compute: ComputeCloud
    teardown: Teardown = field(default_factory=Teardown)
    packed: Future[package.Package] = field(default_factory=Future)
    """The function's package."""
    admitted: Future[None] = field(default_factory=Future)
    """Done when the clouds were asked and the run may make something."""
    answered: threading.Event = field(default_factory=threading.Event)
    """Set when the function has answered, or will not: what it needs may go."""

    @property
    def is_admitted(self) -> bool:
        return self.admitted.done() and self.admitted.exception() is None


@dataclass(frozen=True)
class _Sides:
    """What one side of the run hands to another."""

    data: LiveData
    compute: Future[ComputeOutputs]


def run(settings: Settings, query: Query, *, home: Home, record: Record, stop: Stop) -> None:
    """Do the whole run: what it learns goes into ``record``; whatever happens, everything is destroyed.

    Raises:
        OrchestratorError: with the exit code of what went wrong; ResourcesRemainError wins over all others.
    """
    names, phase = record.names, record.phases.phase
    backend = Backend(settings.backend or home.folder("state").as_uri(), home.passphrase(os.environ))
    backend.refuse_unusable()
    with ExitStack() as entered:
        # Before all else: whatever is begun from here on, a recovery knows the run and its settings.
        journal = entered.enter_context(
            begin(home.run_folder(names.run_id), settings=settings.model_dump(mode="json"), backend_url=backend.url)
        )
        spawn(lambda: load_programs(settings))
        with phase("Pulumi CLI") as detail:
            cli = pulumi_cli.find(home, detail, stop)
            record.cli_version = str(cli.version)
        with phase("clouds"):
            environment = entered.enter_context(surroundings.of_a_new_run(settings, home, names.run_id))
            entered.enter_context(environment.in_force())
            record.found_data(environment.data_source)
            record.path.times = environment.times
        data = data_cloud(settings, names)
        compute = compute_cloud(settings, names, source=environment.data_source)
        record.path.reads_in_place = compute.reads_in_place
        this = _Run(settings, query, home, record, stop, journal, cli, backend, data, compute)
        sides = _Sides(LiveData(made=Future(), extract=Future()), Future())
        _admit(this, sides, environment)
        first: list[OrchestratorError] = []  # What went wrong before the end; should that fail, too, both are told.
        try:
            record.answer = _both_stacks(this, sides)
        except OrchestratorError as error:
            first.append(error)
            raise
        finally:
            this.answered.set()
            environment.leave_standing = True  # Until the clouds have said that nothing is left in them.
            outcome = undo(this.teardown, data, compute, run_id=names.run_id, phases=record.phases, before=first)
            record.remaining = outcome.remaining
            proof.refuse(outcome.remaining, run_id=names.run_id, failures=[*first, *outcome.failures])
            environment.leave_standing = False
            if not outcome.failures:
                journal.end()
        if outcome.failures:
            raise outcome.failures[0]


def _admit(this: _Run, sides: _Sides, environment: Environment) -> None:
    """Ask the clouds and build the package while both engines start; after that things are made, and undone.

    Raises:
        OrchestratorError: the run may not be. Nothing was made, and the engines have ended.
    """
    try:
        # The function takes longer to come up than its data, on all clouds: its stack is the first.
        _start(this, "compute", partial(_compute_program, this, sides), sides.compute, needed_until=this.answered)
        _start(this, "data", partial(this.data.program, sides.data.made), sides.data.made)
        spawn(lambda: _pack(this, environment), this.packed)
        _ask(this)
        this.record.package_bytes = this.packed.result().zipped_bytes
        this.stop.check()
        for made in (sides.data.made, sides.compute):
            if made.done():  # An engine has ended already: it says why.
                made.result()
        this.admitted.set_result(None)
    except BaseException as error:
        fail(this.packed, error)
        fail(this.admitted, error)
        this.stop.request()
        this.teardown.walk()  # Of a stack that cannot be removed the journal knows.
        raise


def _compute_program(this: _Run, sides: _Sides) -> Callable[[], None]:
    return this.compute.program(this.packed.result(), sides.data, sides.compute)


def _ask(this: _Run) -> None:
    """Whether the clouds would do it, and for how much."""
    settings, record, stop, data, compute = this.settings, this.record, this.stop, this.data, this.compute
    with record.phases.phase("preflight"):
        compute_asked = spawn(compute.preflight)
        unless_stopped(stop, data.preflight)
        unless_stopped(stop, compute_asked.result)
    with record.phases.phase("dry run"):
        dry = unless_stopped(stop, lambda: data.dry_run(this.query))
        query_usd, compute_usd = cost.query_usd(dry.bytes_processed, dry.tables), compute.most_usd()
        cost.refuse_over(settings.budget.max_cost_usd, query=query_usd, compute=compute_usd)
        record.bytes_processed, record.cost_usd = dry.bytes_processed, query_usd + compute_usd


def _pack(this: _Run, environment: Environment) -> package.Package:
    with this.record.phases.phase("package") as detail:
        target = this.compute.package_target()
        if environment.functions_run_here:
            target = target.on_this_machine()
        trim, cache = this.settings.package.trim, this.home.folder("packages")
        return package.build(target, trim=trim, cache=cache, progress=detail)


def _both_stacks(this: _Run, sides: _Sides) -> Answer:
    """Bring up both stacks side by side and call the function; the first failure stops both."""
    this.stop.on_request(lambda: fail(sides.data.extract, OrchestratorError("The run is stopping")))
    data_side = spawn(lambda: _data_side(this, sides.data))
    compute_side = spawn(lambda: _compute_side(this, sides))
    both: list[Future[Any]] = [data_side, compute_side]
    ended, _ = wait(both, return_when=FIRST_EXCEPTION)
    failed = next((side for side in both if side in ended and side.exception()), None)
    if failed:
        this.stop.request()
        wait(both)
        if this.stop.signal_number is not None:
            this.stop.check()
        failed.result()
    return compute_side.result()


def _data_side(this: _Run, live: LiveData) -> None:
    """The data stack, the query in it, and its result on this machine; then the stack is no longer needed."""
    record, stop, data = this.record, this.stop, this.data
    try:
        outputs = _up(this, "data", live.made)
        record.path.handed("data stack", outputs)
        with record.phases.phase("query"):
            outcome = data.query(
                this.query,
                dataset=outputs.dataset,
                max_bytes_billed=this.settings.data.max_bytes_billed,
                cancelled=stop.requested,
            )
            record.bytes_processed, record.bytes_billed = outcome.bytes_processed, outcome.bytes_billed
            record.cost_usd = cost.query_usd(outcome.bytes_billed) + this.compute.most_usd()
        with record.phases.phase("extract"):
            objects = data.extract(outcome.table, bucket=outputs.bucket, cancelled=stop.requested)
        with record.phases.phase("download"):
            path = record.directory / "extract.csv"
            file = data.download(outputs.bucket, to=path, expected_rows=outcome.rows, cancelled=stop.requested)
            record.extract_sha256 = file.sha256
        extract = ExtractFile(path.absolute(), file.sha256, outcome.rows, objects)
        record.path.handed("download", extract)
        live.extract.set_result(extract)
    except BaseException as error:
        fail(live.made, error)
        fail(live.extract, error)
        raise
    if not this.compute.reads_in_place:
        # Only the teardown waits for it, and tells its failure: the chart is not to be lost, or late, for it.
        spawn(lambda: this.teardown.undo("data"))


def _compute_side(this: _Run, sides: _Sides) -> Answer:
    """The compute stack, and the function's answer."""
    record, stop, compute = this.record, this.stop, this.compute
    outputs = _up(this, "compute", sides.compute)
    record.path.handed("compute stack", outputs)
    # The engine starts beside the function, and deletes once that has answered, or we were killed.
    spawn(lambda: this.teardown.undo("compute"))
    with record.phases.phase("function"):
        answer = unless_stopped(stop, lambda: compute.invoke(outputs, this.packed.result()))
        rows = sides.data.extract.result().rows
        if answer.rows != rows:
            raise OrchestratorError(
                f"The function counted {answer.rows} rows, the extract has {rows}",
                resolution="see function_code/analysis.py: it must say how many rows it read.",
            )
        replace_bytes(record.directory / "chart.png", answer.chart)
    this.answered.set()
    return answer


def _start(
    this: _Run,
    name: str,
    program: Callable[[], Callable[[], None]],
    made: "Future[T]",
    needed_until: threading.Event | None = None,
) -> None:
    """Start a stack's engine. Once the run is admitted it makes the resources, and hands over what it ``made``.

    Until then an engine has a second's work, and its providers' plugins theirs: that passes while the clouds are asked.
    """
    stack = stack_of(this.record.names.run_id, name, home=this.home, cli=this.cli, backend=this.backend)
    this.journal.stack(name, "may exist")
    up: Future[None] = Future()
    this.teardown.register(name, partial(_down, this, stack, up, needed_until), partial(_settle, this, stack))
    this.stop.on_request(stack.interrupt)
    this.stop.on_request(lambda: fail(made, OrchestratorError("The run is stopping")))
    up.add_done_callback(lambda ended: fail(made, ended.exception() or OrchestratorError("nothing handed over")))

    def its_program() -> None:
        program()()  # What it is made of takes a second to import.

    spawn(lambda: stack.up(its_program, partial(_heard, this), after=this.admitted), up)


def _heard(this: _Run, event: StackEvent) -> None:
    if this.is_admitted:  # Before, an engine only says that it was stopped.
        this.record.event(event)


def _up(this: _Run, name: str, made: "Future[T]") -> T:
    """Wait for what a stack's program hands over, which it does before the engine is done."""
    with this.record.phases.phase(f"{name} stack"):
        return made.result()


def _down(this: _Run, stack: Stack, up: "Future[None]", needed_until: threading.Event | None) -> None:
    """Destroy a stack, once the engine has let go of it and nobody needs it."""
    if not this.is_admitted:  # There is nothing in it.
        wait([up])
        stack.destroy(partial(_heard, this))
        this.journal.stack(stack.name, "not begun")
        return

    def destroy() -> None:
        wait([up])
        this.record.path.stack(stack.name, stack.resources)
        stack.destroy(this.record.event, after=needed_until)

    destroying = spawn(destroy)
    if needed_until:
        needed_until.wait()
    with this.record.phases.phase(f"destroy {stack.name} stack"):
        destroying.result()
        this.journal.stack(stack.name, "destroyed")


def _settle(this: _Run, stack: Stack) -> None:
    """Nothing of the stack is left, though its destroy failed: put its state right."""
    with this.record.phases.phase(f"settle {stack.name} stack"):
        stack.settle(this.record.event)
        this.journal.stack(stack.name, "destroyed")
