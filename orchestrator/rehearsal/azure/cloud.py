"""Azure in a rehearsal: Resource Manager, Entra, blobs, function apps, all over HTTPS on this machine.

Each of Azure's hosts is a loopback port. Clients find them through ``ARM_METADATA_HOSTNAME``, as in a private cloud.
"""

from collections.abc import Iterator
from pathlib import Path

from orchestrator.rehearsal.azure import arm, blob_rest
from orchestrator.rehearsal.azure.directory import Directory
from orchestrator.rehearsal.azure.functions import FunctionApp
from orchestrator.rehearsal.azure.host import Site
from orchestrator.rehearsal.azure.scm import DeploymentError
from orchestrator.rehearsal.azure.storage import Storage
from orchestrator.rehearsal.azure.subscription import Subscription
from orchestrator.rehearsal.azure.web import Web
from orchestrator.rehearsal.front_door import Around, as_it_is
from orchestrator.rehearsal.latency import AT_ONCE, Latency
from orchestrator.rehearsal.tls import certificates

_RELEASED_PACKAGE = "released-package.zip"


class AzureCloud:
    """A running stand-in, in this process, with one subscription and one caller, who may do everything.

    ``folder`` is its alone: certificates, unpacked apps; ``subscription`` is its id, or None for any. What a test may
    want to change is on ``subscription``, ``storage`` and ``web``.
    """

    def __init__(
        self,
        folder: Path,
        subscription: str | None = None,
        around: Around = as_it_is,
        latency: Latency = AT_ONCE,
    ) -> None:
        self._folder = folder
        self._around = around
        self._latency = latency
        self.tls = certificates(folder / "tls")
        self.directory = Directory()
        self.subscription = Subscription(
            client_id=self.directory.client_id, object_id=self.directory.object_id, subscription_id=subscription
        )
        self.storage = Storage(self.subscription)
        self.web = Web(self.subscription, self.storage, self._start)
        manager = arm.application(self.subscription, self.directory, self.web, lambda: self.login, latency)
        self._arm, self._login = (self.tls.serve(app, around) for app in (manager, self.directory.app))
        self._blobs = self.tls.serve(blob_rest.application(self.storage))  # Only functions and hosts read there.
        self.login = f"https://127.0.0.1:{self._login.port}"
        self.storage.endpoint = f"https://127.0.0.1:{self._blobs.port}"

    @property
    def endpoint(self) -> str:
        """Resource Manager's URL, without a slash."""
        return f"https://127.0.0.1:{self._arm.port}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that lead Azure's clients here, as the caller."""
        return {
            "ARM_METADATA_HOSTNAME": f"127.0.0.1:{self._arm.port}",
            "ARM_SUBSCRIPTION_ID": self.subscription.id,
            "AZURE_AUTHORITY_HOST": self.login,
            "AZURE_CLIENT_ID": self.directory.client_id,
            "AZURE_CLIENT_SECRET": self.directory.client_secret,
            "AZURE_SUBSCRIPTION_ID": self.subscription.id,
            "AZURE_TENANT_ID": self.directory.tenant,
            "REQUESTS_CA_BUNDLE": str(self.tls.authority),
        }

    def held(self) -> Iterator[tuple[str, str]]:
        """(kind, id) of all that a caller made and did not unmake."""
        for part in (self.subscription, self.storage, self.web):
            yield from part.held()

    def stop(self) -> None:
        """Stop answering and end every process; everything in this cloud is gone."""
        self.web.stop()
        for server in (self._arm, self._login, self._blobs):
            server.shutdown()
            server.server_close()

    def _start(self, site: Site) -> FunctionApp:
        return FunctionApp(
            site,
            self._folder / "apps" / site.name,
            self.tls,
            check_token=self.directory.check,
            keep_package=self._keep_package,
            around=self._around,
            latency=self._latency,
        )

    def _keep_package(self, site: Site, package: bytes) -> None:
        """Store what was published in the app's deployment container."""
        account, container = site.packages or ("", "")
        found = self.storage.account_named(account)
        if found is None or container not in found.containers:
            raise DeploymentError(
                "InaccessibleStorageException: Failed to access storage account for deployment: "
                "BlobUploadFailedException: The specified container does not exist."
            )
        self.storage.put_blob(
            found.group, account, container, _RELEASED_PACKAGE, content=package, content_type="application/zip"
        )
