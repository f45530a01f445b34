"""What runs left in an Azure subscription, and how it is removed. Nothing but the subscription is asked.

All of a run is in one resource group, and goes with it. The caller needs, to list,
``Microsoft.Resources/subscriptions/resourceGroups/read`` and ``Microsoft.Resources/subscriptions/resources/read``; to
remove, ``Microsoft.Resources/subscriptions/resourceGroups/delete`` and the deletes of what is in the group.
"""

from orchestrator import deadlines
from orchestrator.clouds import Remaining
from orchestrator.clouds.azure_clients import AzureClients, azure_errors
from orchestrator.clouds.patience import patiently
from orchestrator.errors import OrchestratorError
from stacks.naming import MANAGED_BY, names_in

_GROUP = "resource group"
# A timeout, a conflict (the group is being changed), throttling.
_PASSES = frozenset({408, 409, 429})
_SERVER_ERROR = 500


class AzureLeftovers:
    """One subscription."""

    def __init__(self, clients: AzureClients, subscription: str) -> None:
        self._clients = clients
        self._subscription = subscription

    @property
    def place(self) -> str:
        """Where it looks."""
        return f"Azure ({self._subscription})"

    def find(self, run_id: str | None = None) -> list[Remaining]:
        """What is left of a run, or of any: groups by tag and by name, and what has the tag outside of them."""
        name, value = ("run-id", run_id) if run_id else ("managed-by", MANAGED_BY)
        tagged = f"tagName eq '{name}' and tagValue eq '{value}'"
        groups = []
        with azure_errors("Azure did not say what is left"):
            for group in self._clients.arm.resource_groups.list():
                made_by = self.run_of(Remaining("azure", _GROUP, str(group.id)))
                tags = {tag.lower(): its for tag, its in (group.tags or {}).items()}
                if tags.get(name) == value or (made_by is not None and run_id in (None, made_by)):
                    groups.append(str(group.id))
            found = [
                Remaining("azure", str(resource.type).lower(), str(resource.id))
                for resource in self._clients.arm.resources.list(filter=tagged)
            ]
        inside = tuple(f"{group}/".lower() for group in groups)  # Azure does not keep to one case in its ids.
        outside = [left for left in found if not left.id.lower().startswith(inside)]
        return [*(Remaining("azure", _GROUP, group) for group in sorted(groups)), *outside]

    def run_of(self, left: Remaining) -> str | None:
        """The run that made it; None when it is no group, or not named as a run names it, whatever its tags say."""
        name = left.id.rpartition("/")[2]
        names = names_in(name)
        return names.run_id if names and left.kind == _GROUP and name == names.prefix else None

    def remove(self, left: Remaining) -> None:
        """Delete the group, with all that is in it. Gone already is fine.

        Raises:
            OrchestratorError: Azure refused, or took too long, or no run made it.
        """
        if self.run_of(left) is None:
            raise OrchestratorError(
                f"No run made {left.id}, so it is not removed",
                details="only its tag is that of a run.",
                resolution="look at it in the Azure portal.",
            )
        with azure_errors(f"Azure did not remove {left.id}"):
            patiently(lambda: self._delete(left), passes=_passes)

    def _delete(self, left: Remaining) -> None:
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 - slow, see azure_clients

        try:
            deleting = self._clients.arm.resource_groups.begin_delete(left.id.rpartition("/")[2])
            deleting.wait(deadlines.REMOVE)
        except ResourceNotFoundError:
            return
        if not deleting.done():
            raise OrchestratorError(f"Azure did not remove {left.id} within {deadlines.REMOVE:.0f} s")


def _passes(error: Exception) -> bool:
    """Whether Azure may take it in a moment."""
    from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError  # noqa: PLC0415

    if isinstance(error, HttpResponseError):
        status = error.status_code or 0
        return status in _PASSES or status >= _SERVER_ERROR
    return isinstance(error, ServiceRequestError | ServiceResponseError)
