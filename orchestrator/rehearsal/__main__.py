"""The rehearsal's clouds as a process of their own: ``python -m orchestrator.rehearsal FOLDER WANTED SECONDS``.

``WANTED`` is JSON: ``project``, ``tables`` (or null: the synthetic sample), ``subscription`` (or null: any) and
``latency``, the factor on how long real clouds take (or null: no time).

It writes ``FOLDER/environment.json`` when it is ready, and ends at SIGTERM. Its standard input is a pipe that whoever
started it holds open: when that closes without a SIGTERM the run was killed, and the clouds stay up for so many
``SECONDS``, as real ones would, for a recovery to find what was left in them.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

from orchestrator.errors import OrchestratorError
from orchestrator.rehearsal.aws import provider as aws_provider
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.function_url import FunctionHost
from orchestrator.rehearsal.azure import provider as azure_provider
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.census import census
from orchestrator.rehearsal.control import READY
from orchestrator.rehearsal.control_server import ControlServer
from orchestrator.rehearsal.faults import Faults
from orchestrator.rehearsal.faulty_calls import everybody, faulty, is_account, is_signed_with
from orchestrator.rehearsal.faulty_plugins import FaultyPlugin
from orchestrator.rehearsal.gcp import provider as gcp_provider
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.identity import Identity, MetadataServer
from orchestrator.rehearsal.gcp.projects import caller_of
from orchestrator.rehearsal.gcp.sample import PublicTables
from orchestrator.rehearsal.latency import Latency
from orchestrator.rehearsal.slow_provider import slow

_PLUGINS = {"aws": "aws", "azure": "azure-native", "gcp": "gcp"}
"""What the engine calls each cloud's plugin."""


async def main(
    folder: Path,
    stay_seconds: float,
    *,
    project: str,
    tables: str | None,
    subscription: str | None,
    latency: float | None,
) -> None:
    """Serve until SIGTERM, or for ``stay_seconds`` after the run is gone."""
    public, faults, pace = PublicTables.from_source(tables), Faults(), Latency(latency)
    of_aws = faulty(faults, "aws", lambda headers: is_signed_with(amazon.caller.key_id, headers))
    amazon = Amazon(of_aws)
    functions = FunctionHost(amazon, folder / "functions", of_aws, pace)
    identity, caller = Identity(), caller_of(project)
    metadata = MetadataServer(identity, caller, faulty(faults, "gcp", everybody))
    of_google = faulty(faults, "gcp", lambda headers: is_account(caller.email, headers))
    google = GoogleCloud(
        public, project=project, identity=identity, folder=folder / "cloud-run", around=of_google, latency=pace
    )
    (folder / "gcloud").mkdir()
    azure = AzureCloud(folder / "azure", subscription, faulty(faults, "azure", everybody), pace)
    plugins = {
        "aws": await FaultyPlugin.start("aws", lambda: slow(aws_provider.provider(amazon, functions), pace), faults),
        "azure": await FaultyPlugin.start("azure", lambda: slow(azure_provider.provider(azure), pace), faults),
        "gcp": await FaultyPlugin.start("gcp", lambda: slow(gcp_provider.provider(google), pace), faults),
    }
    control = ControlServer(
        faults,
        pace,
        census=partial(census, amazon, functions, google, azure),
        kill_plugin={cloud: plugin.kill for cloud, plugin in plugins.items()},
    )
    _announce(
        folder,
        {
            "pid": os.getpid(),
            "data_source": public.label,
            "wanted": {
                "project": project,
                "tables": tables and os.path.abspath(tables),  # noqa: ASYNC240, PTH100 - asks for the working directory, at start
                "subscription": azure.subscription.id,
                "latency": latency,
            },
            "control": control.url,
            "control_token": control.token,
            "variables": {
                "PULUMI_DEBUG_PROVIDERS": ",".join(
                    f"{_PLUGINS[cloud]}:{plugin.port}" for cloud, plugin in plugins.items()
                ),
                "AWS_ENDPOINT_URL": amazon.endpoint,
                "AWS_ACCESS_KEY_ID": amazon.caller.key_id,
                "AWS_SECRET_ACCESS_KEY": amazon.caller.secret,
                **azure.variables,
                **google.variables,
                **metadata.environment,
                "CLOUDSDK_CONFIG": str(folder / "gcloud"),  # Where nobody has logged in with gcloud.
            },
        },
    )
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    # A Ctrl-C in the terminal is the run's business: it destroys, and then ends us.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    watch = asyncio.create_task(_until_run_is_gone())
    await asyncio.wait({asyncio.create_task(told.wait()), watch}, return_when=asyncio.FIRST_COMPLETED)
    if not told.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), stay_seconds)
    control.close()
    faults.lift()
    await asyncio.gather(*(plugin.stop() for plugin in plugins.values()))
    functions.stop()
    azure.stop()
    google.stop()
    metadata.close()
    amazon.stop()


async def _until_run_is_gone() -> None:
    """Standard input ends when the run's process does, however it ended."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


def _announce(folder: Path, environment: dict[str, object]) -> None:
    """Tell the run where the clouds are; the file holds this rehearsal's own throw-away keys."""
    draft = folder / f"{READY}.new"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(environment, file)
    draft.replace(folder / READY)


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1]), float(sys.argv[3]), **json.loads(sys.argv[2])))
    except OrchestratorError as error:
        # For the run to show: it reads our standard error when we end before we are ready.
        sys.exit(str(error))
