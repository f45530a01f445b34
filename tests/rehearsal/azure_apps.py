"""Function apps in a stand-in Azure, made without the engine: their packages, and requests to them."""

import importlib.util
import io
import json
import textwrap
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import requests

from orchestrator.rehearsal.azure.cloud import AzureCloud
from orchestrator.rehearsal.azure.functions import FunctionApp

GROUP, ACCOUNT = "hop", "hopaccount"
HOST_JSON = {"version": "2.0"}
IMPORTS = "from azure import functions\napp = functions.FunctionApp()\n"
HELLO = """
    @app.route(route="hail", methods=["GET"])
    def hail(req: functions.HttpRequest) -> functions.HttpResponse:
        return functions.HttpResponse("hello")
"""


def package(code: str = HELLO, host_json: object = HOST_JSON, **files: str) -> bytes:
    """A package: ``code`` after the app's declaration, with azure-functions of this environment and what it needs."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("function_app.py", IMPORTS + textwrap.dedent(code))
        if host_json is not None:
            opened.writestr("host.json", json.dumps(host_json))
        for name, content in files.items():
            opened.writestr(f"{name}.py", textwrap.dedent(content))
        for path, library in _libraries().items():
            opened.writestr(f".python_packages/lib/site-packages/{path}", library)
    return archive.getvalue()


@cache
def _libraries() -> Mapping[str, bytes]:
    found = {}
    for name in ("azure.functions", "werkzeug", "markupsafe"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent
        for path in folder.rglob("*"):
            if path.suffix in {".py", ".so"}:
                found[f"{name.replace('.', '/')}/{path.relative_to(folder)}"] = path.read_bytes()
    return found


class Apps:
    """A resource group with a storage account, for apps on either plan."""

    def __init__(self, azure: AzureCloud) -> None:
        self.azure = azure
        azure.subscription.create_group(GROUP, "eastus", {})
        account = azure.storage.create_account(
            GROUP, ACCOUNT, location="eastus", tags={}, public_allowed=False, shared_keys_allowed=True
        )
        for container in ("data", "packages"):
            azure.storage.create_container(GROUP, ACCOUNT, container)
        self.connection = f"AccountName={ACCOUNT};AccountKey={account.keys['key1']}"

    def blob(self, name: str, content: bytes, *, expires: timedelta = timedelta(minutes=5)) -> str:
        """Put a blob into the container ``data``; its URL with a signature."""
        self.azure.storage.put_blob(GROUP, ACCOUNT, "data", name, content=content, content_type="application/zip")
        return self.signed(name, expires=expires)

    def signed(self, name: str, *, expires: timedelta = timedelta(minutes=5)) -> str:
        token = self.azure.storage.list_service_sas(
            GROUP,
            ACCOUNT,
            canonical=f"/blob/{ACCOUNT}/data/{name}",
            resource="b",
            permissions="r",
            protocols="https",
            expires=f"{datetime.now(UTC) + expires:%Y-%m-%dT%H:%M:%SZ}",
        )
        return f"{self.azure.storage.endpoint}/{ACCOUNT}/data/{name}?{token}"

    def consumption(self, content: bytes = b"", *, url: str = "", **settings: str) -> FunctionApp:
        """An app on plan Y1 whose package is ``content``, or at ``url``; it has its settings from the start."""
        return self._consumption(self.settings(content, url=url, **settings))

    def without_settings(self) -> FunctionApp:
        """An app on plan Y1 that is still to get its settings."""
        return self._consumption({})

    def settings(self, content: bytes = b"", *, url: str = "", **settings: str) -> dict[str, str]:
        """The settings of an app on plan Y1 whose package is ``content``, or at ``url``."""
        return {
            "AzureWebJobsStorage": self.connection,
            "FUNCTIONS_EXTENSION_VERSION": "~4",
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "WEBSITE_RUN_FROM_PACKAGE": url or self.blob("package.zip", content),
            **settings,
        }

    def _consumption(self, settings: dict[str, str]) -> FunctionApp:
        plan = self.azure.web.create_plan(GROUP, "consumption", location="eastus", tags={}, sku="Y1", tier="Dynamic")
        return self._create("hop-consumption", plan.id, {"linuxFxVersion": "PYTHON|3.12"}, settings, None)

    def flex(self, *, container: str = "packages", **settings: str) -> FunctionApp:
        """An app on plan FC1, still without a package."""
        plan = self.azure.web.create_plan(GROUP, "flex", location="eastus", tags={}, sku="FC1", tier="FlexConsumption")
        storage = {
            "type": "blobContainer",
            "value": f"{self.azure.storage.endpoint}/{ACCOUNT}/{container}",
            "authentication": {
                "type": "StorageAccountConnectionString",
                "storageAccountConnectionStringName": "DEPLOYMENT_STORAGE_CONNECTION_STRING",
            },
        }
        config = {
            "runtime": {"name": "python", "version": "3.13"},
            "scaleAndConcurrency": {"instanceMemoryMB": 512, "maximumInstanceCount": 40},
            "deployment": {"storage": storage},
        }
        connections = ("AzureWebJobsStorage", "DEPLOYMENT_STORAGE_CONNECTION_STRING")
        return self._create("hop-flex", plan.id, {}, dict.fromkeys(connections, self.connection) | settings, config)

    def _create(
        self,
        name: str,
        plan_id: str,
        site_config: dict[str, Any],
        settings: dict[str, str],
        config: dict[str, Any] | None,
    ) -> FunctionApp:
        pairs = [{"name": key, "value": value} for key, value in settings.items()]
        return self.azure.web.create_app(
            GROUP,
            name,
            location="eastus",
            tags={},
            plan_id=plan_id,
            site_config={**site_config, "appSettings": pairs},
            function_app_config=config,
        )

    def ask(
        self,
        app: FunctionApp,
        path: str = "/api/hail",
        *,
        method: str = "GET",
        key: str | None = "the function's",
        body: bytes = b"",
        **headers: str,
    ) -> requests.Response:
        """One request to the app, with its function key if no other is given."""
        given = app.site.function_key if key == "the function's" else key
        keyed = {} if given is None else {"x-functions-key": given}
        return requests.request(
            method,
            f"https://{app.host_name}{path}",
            headers=keyed | headers,
            data=body,
            timeout=60,
            verify=str(self.azure.tls.authority),
        )
