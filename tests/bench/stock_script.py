"""The peer that a Pulumi example would give: the Automation API's own stacks, one after the other.

``python -m tests.bench.stock_script CLOUDS CLOUD``, in a folder of its own, with the CLI on PATH.
"""

import sys
from pathlib import Path

from pulumi import automation as auto

from stacks.contracts import ComputeOutputs, DataOutputs
from tests.bench.peer import Peer, peer

_PROJECT = "stock-script"


def main(clouds: Path, cloud: str) -> None:
    """Data stack up, query, compute stack up, chart, both down."""
    with peer(clouds, cloud, Path.cwd()) as run:
        data = stack_of_a_script(run, "data", run.data_program())
        made = data.up(on_output=print).outputs
        try:
            compute = _compute(run, DataOutputs(made["dataset"].value, made["bucket"].value))
            down(compute)
        finally:
            down(data)


def _compute(run: Peer, made: DataOutputs) -> auto.Stack:
    stack = stack_of_a_script(run, "compute", run.compute_program(made, run.query(made)))
    outputs = stack.up(on_output=print).outputs
    answer = run.invoke(ComputeOutputs(outputs["function"].value, outputs["url"].value))
    print(f"{answer.rows} rows")
    return stack


def stack_of_a_script(run: Peer, name: str, program: auto.PulumiFn) -> auto.Stack:
    """A stack as the documentation makes one, its state in the run's folder."""
    stack = auto.create_or_select_stack(
        stack_name=f"{run.names.run_id}-{name}",
        project_name=_PROJECT,
        program=program,
        opts=auto.LocalWorkspaceOptions(
            env_vars={"PULUMI_CONFIG_PASSPHRASE": "a benchmark", "PULUMI_BACKEND_URL": f"file://{run.folder}"}
        ),
    )
    stack.set_config("gcp:project", auto.ConfigValue(run.settings.data.project))
    return stack


def down(stack: auto.Stack) -> None:
    """Destroy and remove it."""
    stack.destroy(on_output=lambda line: print(line, file=sys.stderr))
    stack.workspace.remove_stack(stack.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
