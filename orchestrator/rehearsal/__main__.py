"""The rehearsal's clouds as a process of their own: ``python -m orchestrator.rehearsal FOLDER WANTED``.

``WANTED`` is JSON: ``project``, ``tables`` (or null: the synthetic sample), ``subscription`` (or null: any).

It writes ``FOLDER/environment.json`` when it is ready, and ends at SIGTERM. Its standard input is a pipe that the run
holds open: when that closes without a SIGTERM the run was killed, and the clouds stay up for a while, as real ones
would, for a recovery to find what was left in them.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from orchestrator.errors import OrchestratorError
from orchestrator.rehearsal import READY
from orchestrator.rehearsal.aws import provider as aws_provider
from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.function_url import FunctionHost
from orchestrator.rehearsal.azure import provider as azure_provider
from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.gcp import provider as gcp_provider
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.identity import Identity, MetadataServer
from orchestrator.rehearsal.gcp.projects import caller_of
from orchestrator.rehearsal.gcp.sample import PublicTables
from orchestrator.rehearsal.provider_server import serve

_IDLE_SECONDS = 30 * 60


async def main(folder: Path, *, project: str, tables: str | None, subscription: str | None) -> None:
    """Serve until SIGTERM, or for half an hour after the run is gone."""
    public = PublicTables.from_source(tables)
    amazon, identity = Amazon(), Identity()
    metadata = MetadataServer(identity, caller_of(project))
    google = GoogleCloud(public, project=project, identity=identity, folder=folder / "cloud-run")
    (folder / "gcloud").mkdir()
    functions = FunctionHost(amazon, folder / "functions")
    azure = AzureCloud(folder / "azure", subscription)
    aws_server, aws_port = await serve(aws_provider.provider(amazon, functions))
    gcp_server, gcp_port = await serve(gcp_provider.provider(google))
    azure_server, azure_port = await serve(azure_provider.provider(azure))
    _announce(
        folder,
        {
            "pid": os.getpid(),
            "data_source": public.label,
            "variables": {
                "PULUMI_DEBUG_PROVIDERS": f"aws:{aws_port},azure-native:{azure_port},gcp:{gcp_port}",
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
            await asyncio.wait_for(told.wait(), _IDLE_SECONDS)
    await asyncio.gather(aws_server.stop(0), azure_server.stop(0), gcp_server.stop(0))
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
        asyncio.run(main(Path(sys.argv[1]), **json.loads(sys.argv[2])))
    except OrchestratorError as error:
        # For the run to show: it reads our standard error when we end before we are ready.
        sys.exit(str(error))
