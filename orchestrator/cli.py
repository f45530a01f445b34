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
from typing import Annotated

import typer

from orchestrator import query, report, settings, settings_schema
from orchestrator.console import Console
from orchestrator.errors import OrchestratorError, OverCeilingError, ResourcesRemainError, UsageError
from orchestrator.home import Home
from orchestrator.journal import recovery_command
from orchestrator.record import Record
from orchestrator.recover import recover as finish_run
from orchestrator.run import PHASES
from orchestrator.run import run as run_analysis
from orchestrator.stop import Arrivals, Stop, signals
from stacks.naming import RUN_ID_PATTERN, Names, new_run_id

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def orchestrator() -> None:
    """An analysis that exists only while it runs: BigQuery works, another cloud draws, everything is destroyed."""


@app.command()
def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="The config file.")] = settings.DEFAULT_CONFIG,
    overrides: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, such as compute.region=eu-west-1."),
    ] = [],  # noqa: B006 - Typer copies it
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Run the analysis of a config file; without one, the rehearsal on stand-in clouds."""
    chosen = settings.load(_shown(config), overrides=overrides, environ=os.environ)
    question = query.read(chosen.analysis.query, chosen.analysis.parameters)
    home = Home.locate(os.environ)
    names = Names(new_run_id(datetime.now(UTC)))
    directory = _results_folder(chosen.results, names.run_id)
    with Console(sys.stderr) as console:
        console.heading(names.run_id, settings.effective(chosen), [])
        record, stop = Record(chosen, question, names, directory, console), Stop()
        error = _wait_for(
            lambda: run_analysis(chosen, question, home=home, record=record, stop=stop), names.run_id, console, stop
        )
        record.phases.skip_missing(PHASES)
        result = record.result(error)
        exit_code = result.exit_code
        if isinstance(error, UsageError | OverCeilingError):
            shutil.rmtree(directory)  # Nothing was created, so nothing stays.
        else:
            exit_code = _keep(result, home.run_folder(names.run_id), directory, console)
        if not result.remaining and result.status != "resources remain":
            home.tidy(names.run_id)
        console.outcome(result, directory)
    if as_json:
        _print(result.model_dump_json(indent=2) + "\n", otherwise=f"see result.json in {directory}.")
    raise typer.Exit(exit_code)


@app.command()
def recover(run_id: Annotated[str, typer.Argument(help="The run, such as 20261123-174205-k3x9qz.")]) -> None:
    """Finish a run that was killed: destroy what is left of it, and ask the clouds."""
    home = Home.locate(os.environ)
    if not RUN_ID_PATTERN.fullmatch(run_id):
        raise UsageError(
            f"{run_id} is not a run id", resolution="name a folder of results/, such as 20261123-174205-k3x9qz."
        )
    with Console(sys.stderr) as console:
        finish_run(run_id, home=home, console=console)
        console.note(f"0 left of run {run_id}.")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a config, with which an editor completes and checks it."""
    _print(settings_schema.text(), otherwise="see config/settings.schema.json, which is the same.")


def _wait_for(work: Callable[[], None], run_id: str, console: Console, stop: Stop) -> OrchestratorError | None:
    """Wait for the work, which has a thread of its own; how it failed. A second signal leaves at once."""
    failure: list[OrchestratorError] = []
    with signals() as arrived:
        threading.Thread(target=_kept, args=(work, failure, arrived), daemon=True).start()
        first = True
        while (number := arrived.wait()) is not None:
            if not first:
                console.note(f"Leaving at once. Resources may remain: run `{recovery_command(run_id)}`.")
                os._exit(ResourcesRemainError.exit_code)
            first = False
            console.note("Stopping: what was made is being destroyed. Once more to leave at once and leave it behind.")
            stop.request(number)
    return failure[0] if failure else None


def _kept(work: Callable[[], None], failure: list[OrchestratorError], arrived: Arrivals) -> None:
    """Do the work, keep its failure, and end the wait."""
    try:
        work()
    except OrchestratorError as error:
        failure.append(error)
    except OSError as error:
        failure.append(
            OrchestratorError(
                f"The system refused: {error}",
                resolution="make room, or give the permission, and run again.",
            )
        )
    except BaseException as error:  # noqa: BLE001 - a bug of ours still ends in a report and an exit code
        failure.append(
            OrchestratorError(
                f"Internal error: {type(error).__name__}: {error}",
                details=traceback.format_exc(),
                resolution="this is a bug: please report it with the lines above.",
            )
        )
    finally:
        arrived.work_is_done()


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
        console.note(str(error))
        return result.exit_code or OrchestratorError.exit_code
    return result.exit_code


def _collect_engine_log(run_folder: Path, target: Path) -> None:
    """All that the engine's processes said, in one file."""
    with target.open("wb") as file:
        for part in sorted(run_folder.glob("*/log/*")):
            content = part.read_bytes()
            if content:
                file.write(f"==> {part.relative_to(run_folder)}\n".encode() + content + b"\n")


def _shown(path: Path) -> Path:
    """The path as a person would write it here: relative when it is below this folder."""
    with suppress(ValueError):
        return path.relative_to(Path.cwd())
    return path
