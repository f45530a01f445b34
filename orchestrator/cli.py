"""The commands (Typer). The main thread is here: it waits for signals, and for the run in a thread of its own."""

import os
import shutil
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from orchestrator import drill as drills
from orchestrator import journal, query, report, settings
from orchestrator.background import spawn
from orchestrator.console import Console
from orchestrator.errors import OrchestratorError, OverCeilingError, ResourcesRemainError, UsageError, without_secrets
from orchestrator.home import Home
from orchestrator.journal import command_line, recovery_command
from orchestrator.record import Record
from orchestrator.recover import recover as finish_run
from orchestrator.recover import unfinished
from orchestrator.rehearsal import shared
from orchestrator.run import PHASES
from orchestrator.run import run as run_analysis
from orchestrator.settings.schema import text as schema_text
from orchestrator.settings.values import duration
from orchestrator.stop import Arrivals, Stop, signals
from orchestrator.sweep import Wanted
from orchestrator.sweep import sweep as remove_leftovers
from stacks.naming import Names, is_run_id, new_run_id

T = TypeVar("T")
_Config = Annotated[Path, typer.Option("--config", "-c", help="The config file.")]
_Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, such as compute.region=eu-west-1.")
]
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def orchestrator() -> None:
    """An analysis that exists only while it runs: BigQuery works, another cloud draws, everything is destroyed."""


@app.command()
def run(
    config: _Config = settings.DEFAULT_CONFIG,
    overrides: _Overrides = [],  # noqa: B006 - Typer copies it
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Run the analysis of a config file; without one, the rehearsal on stand-in clouds."""
    chosen = settings.load(_shown(config), overrides=overrides, environ=os.environ)
    question = query.read(chosen.analysis.query, chosen.analysis.parameters)
    home = Home.locate(os.environ)
    names = Names(new_run_id(datetime.now(UTC)))
    with signals() as arrived, Console(sys.stderr) as console:
        directory = _results_folder(chosen.results, names.run_id)
        console.heading(names.run_id, settings.effective(chosen), [])
        record, stop, over = Record(chosen, question, names, directory, console), Stop(), threading.Event()

        def whole() -> tuple[report.Result, int]:
            error = _failure_of(lambda: run_analysis(chosen, question, home=home, record=record, stop=stop))
            over.set()
            return _end(record, error, home, directory, console)

        result, exit_code = _wait_for(whole, arrived, _stops(stop, over, names.run_id, console))
    if as_json:
        _print(result.model_dump_json(indent=2) + "\n", otherwise=f"see result.json in {directory}.")
    raise typer.Exit(exit_code)


@app.command()
def recover(
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The run, such as 20261123-174205-k3x9qz. Without it, all.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="The run's config: for a damaged journal, or a run of another machine (backend)."
        ),
    ] = None,
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a setting of --config.")
    ] = [],  # noqa: B006 - Typer copies it
) -> None:
    """Finish runs that were killed: destroy what is left of them, and ask the clouds."""
    home = Home.locate(os.environ)
    if run_id is not None and not is_run_id(run_id):
        raise UsageError(
            f"{run_id} is not a run id", resolution="name a folder of results/, such as 20261123-174205-k3x9qz."
        )
    if overrides and not config:
        raise UsageError("--set overrides a config, and none is named", resolution="name it: --config FILE.")
    chosen = settings.load(_shown(config), overrides=overrides, environ=os.environ) if config else None
    with signals() as arrived, Console(sys.stderr) as console:

        def each() -> int:
            left, at_work = ([run_id], []) if run_id else unfinished(chosen, home=home, console=console)
            if not left and not at_work:
                console.note(f"No run is unfinished in {home.root}; the clouds were not asked, as `sweep` does.")
            codes = []
            for one in left:
                if len(left) > 1:
                    console.note(f"Run {one}:")
                codes.append(_recover(one, chosen, home, console))
            return max(codes, default=0)

        again = command_line("recover", *([run_id] if run_id else []), *_options(config, overrides))
        exit_code = _wait_for(each, arrived, lambda _number: _leave(again, console))
    raise typer.Exit(exit_code)


@app.command()
def clouds(
    folder: Annotated[Path, typer.Argument(help="Where they keep what they need: an empty folder, or a new one.")],
    config: _Config = settings.DEFAULT_CONFIG,
    overrides: _Overrides = [],  # noqa: B006 - Typer copies it
) -> None:
    """Let stand-in clouds stand that several runs share (rehearsal.clouds), until Ctrl-C ends them."""
    chosen = settings.load(_shown(config), overrides=overrides, environ=os.environ)
    shared.keep_standing(folder, chosen, lambda line: _print(f"{line}\n", otherwise=f"they stand in {folder}."))


@app.command()
def sweep(
    config: _Config = settings.DEFAULT_CONFIG,
    overrides: _Overrides = [],  # noqa: B006 - Typer copies it
    run_id: Annotated[str | None, typer.Option("--run", metavar="RUN", help="This run only, whatever its age.")] = None,
    older_than: Annotated[
        str, typer.Option(metavar="DURATION", help="Runs that began earlier than that: a run's lifetime.")
    ] = "1 h",
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it. Without this, it is only told.")] = False,
) -> None:
    """Remove what any run left in the clouds, without its journal and its state; first of all, tell what that is."""
    if run_id is not None and not is_run_id(run_id):
        raise UsageError(f"{run_id} is not a run id", resolution="give one such as 20261123-174205-k3x9qz.")
    try:
        seconds = duration(older_than)
    except ValueError as error:
        raise UsageError(
            f"{older_than} is not a duration", resolution='give --older-than one such as "90 s", "5 min" or "1 h".'
        ) from error
    chosen = settings.load(_shown(config), overrides=overrides, environ=os.environ)
    which = ("--run", run_id) if run_id else ("--older-than", older_than)
    again = command_line("sweep", *_options(config, overrides), *which, "--yes")
    wanted = Wanted(run_id, seconds, again, yes)
    home, now = Home.locate(os.environ), datetime.now(UTC)
    with signals() as arrived, Console(sys.stderr) as console:

        def say(text: str) -> None:
            _print(f"{text}\n", otherwise="nothing was removed." if not yes else "sweep again.")

        left = _wait_for(
            lambda: remove_leftovers(wanted, chosen, home=home, console=console, say=say, now=now),
            arrived,
            lambda _number: _leave(wanted.command, console),
        )
    raise typer.Exit(ResourcesRemainError.exit_code if left else 0)


@app.command()
def drill(  # noqa: PLR0917 - Typer's: they are options
    cloud: Annotated[drills.Cloud | None, typer.Option(help="Faults of runs on this cloud.")] = None,
    kind: Annotated[drills.Kind | None, typer.Option(help="Faults of this kind.")] = None,
    only: Annotated[str, typer.Option(metavar="REGEX", help="Faults in whose line of --list this is found.")] = "",
    sample: Annotated[int | None, typer.Option(min=1, help="So many of them, of every sort, always the same.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Faults at a time.")] = 2,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the outcomes as JUnit XML, too.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="And as JSON.")] = None,
    *,
    listed: Annotated[bool, typer.Option("--list", help="Only list the faults.")] = False,
) -> None:
    """Let runs in rehearsal go wrong in every way, and see that nothing is left behind."""
    chosen = drills.Choice(cloud, kind, only, sample).faults()
    if listed:
        _print("".join(f"{fault.number:4} {fault.name}\n" for fault in chosen), otherwise="see docs/drill.md.")
        return
    with Console(sys.stderr) as console:
        files = drills.Files(junit, as_json)
        raise typer.Exit(
            drills.drill(chosen, workers=workers, home=Home.locate(os.environ), files=files, say=console.note)
        )


@app.command()
def schema() -> None:
    """Print the JSON Schema of a config, with which an editor completes and checks it."""
    _print(schema_text(), otherwise="see config/settings.schema.json, which is the same.")


def _options(config: Path | None, overrides: list[str]) -> list[str]:
    """What the command that is to be repeated was given for its settings."""
    named = ["--config", str(config)] if config else []
    return [*named, *(part for override in overrides for part in ("--set", override))]


def _wait_for(work: Callable[[], T], arrived: Arrivals, heard: Callable[[int], None]) -> T:
    """The work's result; it has a thread of its own, and ``heard`` gets the signals that come meanwhile."""
    done = spawn(work)
    done.add_done_callback(lambda _: arrived.work_is_done())
    while (number := arrived.wait()) is not None:
        heard(number)
    return done.result()


def _stops(stop: Stop, over: threading.Event, run_id: str, console: Console) -> Callable[[int], None]:
    """What a run does at a signal: it stops, and at the second it leaves at once; once it is over, nothing."""
    first = True

    def heard(number: int) -> None:
        nonlocal first
        if over.is_set():  # The report is being written.
            return
        if not first:
            _leave(recovery_command(run_id), console)
        first = False
        console.note(
            "Stopping: what was made, if anything, is being destroyed. Once more to leave at once and leave it behind."
        )
        stop.request(number)

    return heard


def _leave(recovery: str, console: Console) -> None:
    console.note(f"Leaving at once. Resources may remain: run `{recovery}`.")
    os._exit(ResourcesRemainError.exit_code)


def _failure_of(work: Callable[[], None]) -> OrchestratorError | None:
    """Do the work; how it failed."""
    try:
        work()
    except OrchestratorError as error:
        return error
    except OSError as error:
        return OrchestratorError(
            f"The system refused: {error}",
            resolution="make room, or give the permission, and run again.",
        )
    except BaseException as error:  # noqa: BLE001 - a bug of ours still ends in a report and an exit code
        return OrchestratorError(
            f"Internal error: {type(error).__name__}: {error}",
            details=traceback.format_exc(),
            resolution="this is a bug: please report it with the lines above.",
        )
    return None


def _end(
    record: Record, error: OrchestratorError | None, home: Home, directory: Path, console: Console
) -> tuple[report.Result, int]:
    """What a run that is over leaves and says; its result and exit code."""
    record.phases.skip_missing(PHASES)
    result = record.result(error)
    exit_code = result.exit_code
    if isinstance(error, UsageError | OverCeilingError):
        shutil.rmtree(directory)  # Nothing was created, so nothing stays.
    else:
        exit_code = _keep(result, home.run_folder(result.run_id), directory, console)
    if not result.remaining and result.status != "resources remain":
        home.tidy(result.run_id)
        if error and result.run_id in journal.unfinished(home.root / "runs"):
            console.note(f"The engine's state of this run is not in order: run `{recovery_command(result.run_id)}`.")
    console.outcome(result, directory)
    return result, exit_code


def _recover(run_id: str, chosen: settings.Settings | None, home: Home, console: Console) -> int:
    """Recover one run, and say how it went; the exit code."""
    error = _failure_of(lambda: finish_run(run_id, chosen=chosen, home=home, console=console))
    console.note(str(error) if error else f"0 left of run {run_id}.")
    return error.exit_code if error else 0


def _print(text: str, *, otherwise: str) -> None:
    """Write to standard output; whoever stops reading has seen enough. ``otherwise`` says where it is found, too."""
    try:
        if sys.stdout is None:
            raise OSError("standard output is closed")  # noqa: TRY301
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end.
    except OSError as error:
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OrchestratorError(
            "The result could not be printed",
            details=str(error),
            resolution=otherwise,
        ) from error


def _results_folder(results: Path, run_id: str) -> Path:
    directory = (results / run_id).absolute()
    try:
        directory.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise UsageError(
            f"The results cannot be written to {results.absolute()}",
            details=f"{error.strerror}: {error.filename}",
            resolution="choose a folder that you can write: --set results=PATH",
        ) from error
    return directory


def _keep(result: report.Result, run_folder: Path, directory: Path, console: Console) -> int:
    """Write what stays; the exit code, which a report that cannot be written spoils."""
    try:
        _collect_engine_log(run_folder, directory / "engine.log")
        report.write(result, directory)
    except (OrchestratorError, OSError) as error:
        console.note(f"The results in {directory} are not whole. {error}")
        return result.exit_code or OrchestratorError.exit_code
    return result.exit_code


def _collect_engine_log(run_folder: Path, target: Path) -> None:
    """All that the engine's processes said, in one file; what a plugin said, a client of its own may have said."""
    with target.open("w", encoding="utf-8") as file:
        for part in sorted(run_folder.glob("*/log/*")):
            text = part.read_text("utf-8", "replace")
            if text:
                file.write(f"==> {part.relative_to(run_folder)}\n{without_secrets(text)}\n")


def _shown(path: Path) -> Path:
    """The path as a person would write it here: relative when it is below this folder."""
    with suppress(ValueError):
        return path.relative_to(Path.cwd())
    return path
