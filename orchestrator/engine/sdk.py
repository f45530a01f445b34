"""The SDK's own workspace and stack, without the CLI processes that nobody needs."""

from datetime import UTC, datetime

from pulumi import automation


class SdkWorkspace(automation.LocalWorkspace):
    """The SDK's workspace, but that it selects no stack: every command that we give names its own."""

    def select_stack(self, stack_name: str) -> None:
        """Nothing to do: what needs the stack fails when it is not there."""


class SdkStack(automation.Stack):
    """The SDK's stack, without what it asks after each operation: nobody reads it, and each question is a CLI process.

    A program hands its outputs over while it runs; what was done comes in the events. ``removes``: a destroy removes
    the stack in the same command, which the SDK does in another one, for the sake of a summary.
    """

    removes = False

    def outputs(self) -> automation.OutputMap:
        """None."""
        return {}

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:  # noqa: ARG002, FBT001, FBT002 - the SDK's
        """An empty summary; ``up`` and ``destroy`` want one."""
        return automation.UpdateSummary("", datetime.now(UTC), "", {}, {}, "")

    def _run_pulumi_cmd_sync(self, args: list[str], *streams: automation.OnOutput | None) -> automation.CommandResult:
        return super()._run_pulumi_cmd_sync([*args, *(["--remove"] if self.removes else [])], *streams)
