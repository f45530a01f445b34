"""A project of a stand-in Google Cloud: its service accounts, what its caller may do, which APIs are disabled."""

import re
import secrets
import threading
from collections.abc import Collection, Iterator

from orchestrator.rehearsal.gcp.identity import ServiceAccount
from orchestrator.rehearsal.gcp.rest import CloudError

# https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/create
_ACCOUNT_ID = re.compile(r"[a-z]([-a-z0-9]{4,28}[a-z0-9])")
_LONGEST_DESCRIPTION = 256


def caller_of(project: str) -> ServiceAccount:
    """The account that a rehearsal's caller runs as: it owns the project."""
    return ServiceAccount("rehearsal", project, "100000000000000000001")


class Project:
    """One project. Safe to use from several threads.

    A test takes permissions of the caller away with ``withheld``, and services with ``disabled``.
    """

    def __init__(self, project_id: str) -> None:
        self.id = project_id
        self.withheld: set[str] = set()
        self.disabled: set[str] = set()
        self._owner = caller_of(project_id)
        self._accounts = {self._owner.email: self._owner}
        self._lock = threading.RLock()

    def held(self) -> Iterator[tuple[str, str]]:
        """(kind, email) of the service accounts but the caller's."""
        yield from (("service account", one.email) for one in self.accounts() if not self.owns(one.email))

    def owns(self, email: str) -> bool:
        """Whether that is the rehearsal's caller."""
        return email == self._owner.email

    def check_id(self, project_id: str) -> None:
        """CloudError 403 for another project: whether there is one is nobody's business."""
        if project_id != self.id:
            raise CloudError(403, "PERMISSION_DENIED", f"Permission denied on resource project {project_id}.")

    def granted(self, email: str, permissions: Collection[str]) -> list[str]:
        """Those of the permissions that the account has on the project: the owner all, any other account none."""
        return [name for name in permissions if self.owns(email) and name not in self.withheld]

    def require(self, permission: str, on: str) -> None:
        """CloudError 403 unless the caller has the permission; ``on`` is the resource's name."""
        if permission in self.withheld:
            raise CloudError(
                403, "PERMISSION_DENIED", f"Permission '{permission}' denied on resource '{on}' (or it may not exist)."
            )

    def require_service(self, service: str) -> None:
        """CloudError 403 unless the service is enabled in the project."""
        if service in self.disabled:
            raise CloudError(
                403,
                "PERMISSION_DENIED",
                f"{service} has not been used in project {self.id} before or it is disabled. Enable it by visiting "
                f"https://console.developers.google.com/apis/api/{service}/overview?project={self.id} then retry. If "
                "you enabled this API recently, wait a few minutes for the action to propagate to our systems and "
                "retry.",
            )

    def create_account(self, account_id: str, *, description: str, display_name: str) -> ServiceAccount:
        """Make a service account; CloudError 400 for what IAM would not take, 409 when there is one of that name."""
        if not _ACCOUNT_ID.fullmatch(account_id):
            raise CloudError(
                400, "INVALID_ARGUMENT", f"account_id ({account_id!r}) does not match {_ACCOUNT_ID.pattern}"
            )
        if len(description.encode()) > _LONGEST_DESCRIPTION:
            raise CloudError(400, "INVALID_ARGUMENT", f"The description has over {_LONGEST_DESCRIPTION} bytes.")
        unique_id = f"1{secrets.randbelow(10**20):020}"
        account = ServiceAccount(account_id, self.id, unique_id, description, display_name)
        with self._lock:
            if account.email in self._accounts:
                raise CloudError(
                    409,
                    "ALREADY_EXISTS",
                    f"Service account {account_id} already exists within project projects/{self.id}.",
                )
            self._accounts[account.email] = account
        return account

    def account(self, email: str) -> ServiceAccount:
        """CloudError 404 when there is none."""
        with self._lock:
            if email not in self._accounts:
                raise CloudError(404, "NOT_FOUND", f"Unknown service account: {email}")
            return self._accounts[email]

    def accounts(self) -> list[ServiceAccount]:
        """All service accounts, by email."""
        with self._lock:
            return [account for _, account in sorted(self._accounts.items())]

    def delete_account(self, email: str) -> None:
        """CloudError 404 when there is none. What it was granted is of no use any more."""
        with self._lock:
            self.account(email)
            del self._accounts[email]
