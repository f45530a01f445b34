"""What ``by_hand.sh`` does besides the CLI's commands: the query, the function, and the programs' language host."""

import json
import shlex
import signal
import sys
from concurrent import futures
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import grpc
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2_grpc

from orchestrator.rehearsal import environment_of
from stacks.contracts import ComputeOutputs, DataOutputs, ExtractFile
from stacks.naming import new_run_id
from tests.bench.peer import Peer, peer

_EXTRACT = Path("extract.json")


def main(clouds: Path, cloud: str, task: str, *arguments: str) -> None:
    """One task of the script."""
    if task == "name":
        print(new_run_id(datetime.now(UTC)))
        return
    if task == "environment":
        for name, value in environment_of(clouds).variables.items():
            print(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")
        return
    *stack, run_id = arguments
    with peer(clouds, cloud, Path.cwd(), run_id) as run:
        if task == "host":
            _serve(run, *stack)
        elif task == "query":
            extract = run.query(_made())
            _EXTRACT.write_text(json.dumps(asdict(extract) | {"path": str(extract.path)}))
        else:
            made = _outputs("compute")
            print(f"{run.invoke(ComputeOutputs(made['function'], made['url'])).rows} rows")


def _serve(run: Peer, stack: str) -> None:
    """The program of a stack for ``pulumi up --client``, until it is killed."""

    def program() -> None:  # A new one for the preview, and for the update.
        if stack == "data":
            run.data_program()()
        else:
            run.compute_program(_made(), _extract())()

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageServer(program), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    signal.pause()


def _made() -> DataOutputs:
    said = _outputs("data")
    return DataOutputs(said["dataset"], said["bucket"])


def _outputs(stack: str) -> dict[str, str]:
    return dict(json.loads(Path(f"{stack}.json").read_text()))


def _extract() -> ExtractFile:
    said = json.loads(_EXTRACT.read_text())
    return ExtractFile(Path(said["path"]), said["sha256"], said["rows"], tuple(said["objects"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
