"""One run in real clouds: done, asked about by a process of its own, recovered, and its facts written down.

Which project, subscription and credentials: the caller's, from the environment and the files in ``config/``. What is
fixed here cannot be raised there, because ``--set`` wins.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import journal
from orchestrator.home import Home
from stacks.naming import names_in
from tests.live import facts

CHECKOUT = Path(__file__).parents[2]
MOST_USD = 0.01
MOST_BYTES = 1024**3  # $0.0061, which leaves enough of the cent for each cloud's function.
_CONFIGS = {
    "aws": ("aws.yaml", ()),
    "azure": ("azure.yaml", ("compute.plan=consumption",)),
    "azure-flex": ("azure.yaml", ("compute.plan=flex",)),
    "gcp": ("gcp.yaml", ()),
}
_GOOGLE = "`gcloud auth application-default login` and ORCHESTRATOR_DATA__PROJECT=<your project>"
CREDENTIALS = {
    "aws": f"{_GOOGLE}; `aws configure sso` and AWS_PROFILE",
    "azure": f"{_GOOGLE}; `az login` and AZURE_SUBSCRIPTION_ID=<your subscription>",
    "azure-flex": f"{_GOOGLE}; `az login` and AZURE_SUBSCRIPTION_ID=<your subscription>",
    "gcp": f"{_GOOGLE}; `gcloud auth login`",
}
"""What gives a person the credentials for each cloud."""


@dataclass(frozen=True)
class Run:
    """How a run ended, in its own words (``code``, ``said``, ``result``) and in the clouds' (``asked``).

    ``asked`` and ``recovered`` are None when nothing was made, ``result`` when the run was refused or crashed.
    """

    cloud: str
    code: int
    said: str
    run_id: str | None
    directory: Path
    result: dict[str, Any] | None
    asked: dict[str, Any] | None
    recovered: tuple[int, str] | None


def do(cloud: str, *, environ: Mapping[str, str], results: Path, settle: float) -> Run:
    """Run the analysis on a cloud; ``settle`` is for how many seconds the clouds' listings may lag."""
    code, said = _orchestrate("run", *_arguments(cloud, f"results={results}"), environ=environ)
    found = names_in(said)
    run_id = found.run_id if found else None
    directory = results / str(run_id)
    asked = recovered = None
    if run_id and (Home.locate(environ).run_folder(run_id) / journal.FILE).exists():
        asked = ask(cloud, run_id, environ=environ, settle=settle)
        recovered = _orchestrate("recover", run_id, environ=environ)
    written = directory / "result.json"
    result = json.loads(written.read_text()) if written.exists() else None
    run = Run(cloud, code, said, run_id, directory, result, asked, recovered)
    if result and asked:
        facts.write(cloud, result, directory, asked["bigquery"])
    return run


def ask(cloud: str, run_id: str, *, environ: Mapping[str, str], settle: float) -> dict[str, Any]:
    """What ``ask.py`` hears; when it cannot ask, that is what is left."""
    command = [sys.executable, "-m", "tests.live.ask", run_id, str(settle), *_arguments(cloud)]
    asked = subprocess.run(command, cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=False)
    if asked.returncode:
        return {"left": [f"nobody knows: {asked.stderr.strip()}"], "bigquery": {}}
    return dict(json.loads(asked.stdout))


def _arguments(cloud: str, *settings: str) -> list[str]:
    config, own = _CONFIGS[cloud]
    fixed = (
        "mode=live",
        f"budget.max_cost_usd={MOST_USD}",
        f"data.max_bytes_billed={MOST_BYTES // 1024**2} MiB",
        f"analysis.query={facts.QUERY}",
    )
    return [
        "--config",
        str(CHECKOUT / "config" / config),
        *(word for setting in (*fixed, *own, *settings) for word in ("--set", setting)),
    ]


def _orchestrate(*arguments: str, environ: Mapping[str, str]) -> tuple[int, str]:
    """The program, to its end: its exit code and what it said, which is shown as it comes.

    A Ctrl-C reaches it as well: it then destroys what it made, so it is waited for and never killed.
    """
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *arguments],
            cwd=CHECKOUT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as program:
            assert program.stderr is not None
            said = []
            for line in program.stderr:
                sys.stderr.write(line)
                said.append(line)
    finally:
        signal.signal(signal.SIGINT, before)
    return program.returncode, "".join(said)
