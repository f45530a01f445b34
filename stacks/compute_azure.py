"""The compute stack on Azure: a function app, its storage account, and everything in one resource group.

Deleting the group deletes what is in it, so the rest is ``deleted_with`` it: destroy is one call. No Application
Insights, which makes an alert rule and an action group behind our back. Nothing is public: the function wants a key,
the blobs a signature (SAS) that is for one blob, for reading, and ends with the run.
"""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_azure_native import Provider, resources, storage, web

from stacks import live
from stacks.contracts import AzureComputeInputs, ComputeOutputs

DATA_BLOB = "extract.csv"
PACKAGE_BLOB = "package.zip"
ROUTE = "api/hail"  # host.json keeps the default prefix, function_app.py names the route.
# https://learn.microsoft.com/azure/azure-functions/functions-infrastructure-as-code#create-the-hosting-plan
_SKUS = {"consumption": ("Y1", "Dynamic"), "flex": ("FC1", "FlexConsumption")}
_FLEX_STORAGE = "DEPLOYMENT_STORAGE_CONNECTION_STRING"
# The least that a flex app's limit may be: https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan#scale
_FLEX_INSTANCES = 40


def program(inputs: AzureComputeInputs, outputs: Future[ComputeOutputs]) -> None:
    """Declare the stack; ``outputs`` is set once the app and its blobs are there.

    On plan ``flex`` the app is then still empty: the package is published to it, which no resource does.
    """
    azure = Provider(
        "azure",
        location=inputs.region,
        subscription_id=inputs.subscription,
        # The same chain as our client's: environment, workload or managed identity, Azure CLI.
        use_default_azure_credential=True,
    )
    group = resources.ResourceGroup(
        "group",
        resource_group_name=inputs.names.prefix,
        location=inputs.region,
        tags=inputs.names.tags,
        opts=pulumi.ResourceOptions(provider=azure),
    )
    options = pulumi.ResourceOptions(provider=azure, deleted_with=group)
    files = _files(inputs, group, options)
    extract = live.output(inputs.extract)
    data = files.blob("extract", DATA_BLOB, extract.apply(lambda file: pulumi.FileAsset(str(file.path))), "text/csv")
    make = _consumption_app if inputs.plan == "consumption" else _flex_app
    app, last = make(inputs, group, files, options)
    # These two are only waited for: without the blob the function answers, but with an error.
    ready = pulumi.Output.all(app.name, app.default_host_name, last.id, data.id)
    live.hand_over(ready.apply(lambda made: ComputeOutputs(made[0], url=f"https://{made[1]}/{ROUTE}")), outputs)
    pulumi.export("function", app.name)
    pulumi.export("url", pulumi.Output.concat("https://", app.default_host_name, "/", ROUTE))


@dataclass(frozen=True)
class _Files:
    """The storage account and a private container in it, with what is done to them."""

    group: resources.ResourceGroup
    account: storage.StorageAccount
    container: storage.BlobContainer
    expires: str
    options: pulumi.ResourceOptions

    def blob(self, resource: str, name: str, source: pulumi.Input[pulumi.FileAsset], content_type: str) -> storage.Blob:
        """Upload a file."""
        return storage.Blob(
            resource,
            blob_name=name,
            container_name=self.container.name,
            account_name=self.account.name,
            resource_group_name=self.group.name,
            source=source,
            content_type=content_type,
            opts=self.options,
        )

    def signed(self, blob: str) -> pulumi.Output[str]:
        """The URL of one blob, with the right to read it until the run expires. It can be made before the blob."""
        sas = storage.list_storage_account_service_sas_output(
            account_name=self.account.name,
            resource_group_name=self.group.name,
            canonicalized_resource=pulumi.Output.concat(
                "/blob/", self.account.name, "/", self.container.name, "/", blob
            ),
            resource="b",
            permissions="r",
            protocols=storage.HttpProtocol.HTTPS,
            shared_access_expiry_time=self.expires,
            opts=pulumi.InvokeOutputOptions(provider=self.options.provider),
        )
        url = pulumi.Output.concat(self.account.primary_endpoints.blob, self.container.name, "/", blob)
        return pulumi.Output.secret(pulumi.Output.concat(url, "?", sas.service_sas_token))

    def connection_string(self) -> pulumi.Output[str]:
        """What the Functions host reaches its own storage with; secret, so the state has it encrypted only."""
        keys = storage.list_storage_account_keys_output(
            account_name=self.account.name,
            resource_group_name=self.group.name,
            opts=pulumi.InvokeOutputOptions(provider=self.options.provider),
        )
        parts = (
            *("DefaultEndpointsProtocol=https;AccountName=", self.account.name),
            *(";AccountKey=", keys.keys[0].value),
            *(";BlobEndpoint=", self.account.primary_endpoints.blob),
        )
        return pulumi.Output.secret(pulumi.Output.concat(*parts))


def _files(inputs: AzureComputeInputs, group: resources.ResourceGroup, options: pulumi.ResourceOptions) -> _Files:
    account = storage.StorageAccount(
        "account",
        account_name=inputs.names.account,
        resource_group_name=group.name,
        location=inputs.region,
        kind=storage.Kind.STORAGE_V2,
        sku=storage.SkuArgs(name=storage.SkuName.STANDARD_LRS),
        allow_blob_public_access=False,
        # Shared keys stay on: azure-native uploads blobs with one, and roles take minutes to be known.
        allow_shared_key_access=True,
        enable_https_traffic_only=True,
        minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
        tags=inputs.names.tags,
        opts=options,
    )
    _fuse(group, account, options)
    container = _container("data", group, account, options)
    return _Files(group, account, container, f"{inputs.names.expires:%Y-%m-%dT%H:%M:%SZ}", options)


def _fuse(group: resources.ResourceGroup, account: storage.StorageAccount, options: pulumi.ResourceOptions) -> None:
    """The blobs of all containers go after a day without us, if the run never comes back. Nothing waits for the policy.

    Azure acts on it in accounts of kind StorageV2, once a day:
    https://learn.microsoft.com/azure/storage/blobs/lifecycle-management-overview
    """
    storage.ManagementPolicy(
        "fuse",
        management_policy_name="default",  # The only one that an account can have.
        account_name=account.name,
        resource_group_name=group.name,
        policy=storage.ManagementPolicySchemaArgs(
            rules=[
                storage.ManagementPolicyRuleArgs(
                    name="fuse",
                    type=storage.RuleType.LIFECYCLE,
                    enabled=True,
                    definition=storage.ManagementPolicyDefinitionArgs(
                        filters=storage.ManagementPolicyFilterArgs(blob_types=["blockBlob"]),
                        actions=storage.ManagementPolicyActionArgs(
                            base_blob=storage.ManagementPolicyBaseBlobArgs(
                                delete=storage.DateAfterModificationArgs(days_after_modification_greater_than=1)
                            )
                        ),
                    ),
                )
            ]
        ),
        opts=options,
    )


def _container(
    name: str, group: resources.ResourceGroup, account: storage.StorageAccount, options: pulumi.ResourceOptions
) -> storage.BlobContainer:
    return storage.BlobContainer(
        name,
        container_name=name,
        account_name=account.name,
        resource_group_name=group.name,
        public_access=storage.PublicAccess.NONE,
        opts=options,
    )


def _consumption_app(
    inputs: AzureComputeInputs, group: resources.ResourceGroup, files: _Files, options: pulumi.ResourceOptions
) -> tuple[web.WebApp, pulumi.CustomResource]:
    """An app that mounts its package from a blob, and its settings: nothing is deployed afterwards.

    The settings name the account, the app itself does not, so both come up side by side: each takes 20 seconds. Azure's
    own templates do it so, on this plan, too:
    https://github.com/Azure-Samples/fastapi-on-azure-functions/blob/main/infra/core/host/appservice.bicep
    """
    app = web.WebApp(
        "app",
        **_app(inputs, group, options),
        site_config=web.SiteConfigArgsDict(
            linux_fx_version=f"PYTHON|{inputs.python}",
            min_tls_version=web.SupportedTlsVersions.SUPPORTED_TLS_VERSIONS_1_2,
            ftps_state=web.FtpsState.DISABLED,
        ),
        opts=options,
    )
    package = files.blob("package", PACKAGE_BLOB, pulumi.FileAsset(str(inputs.package.path)), "application/zip")
    settings = _settings(inputs, files) | {
        "FUNCTIONS_EXTENSION_VERSION": "~4",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "WEBSITE_RUN_FROM_PACKAGE": files.signed(PACKAGE_BLOB),
    }
    configured = web.WebAppApplicationSettings(
        "settings",
        name=app.name,
        resource_group_name=group.name,
        properties=settings,
        # With its settings the app starts, and mounts the package; one that is not there yet fails the start.
        opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=[package])),
    )
    return app, configured


def _flex_app(
    inputs: AzureComputeInputs, group: resources.ResourceGroup, files: _Files, options: pulumi.ResourceOptions
) -> tuple[web.WebApp, pulumi.CustomResource]:
    """An app with a container that its published package will be kept in: it wants the account from the start."""
    packages = _container("packages", group, files.account, options)
    settings = _settings(inputs, files)
    settings |= {_FLEX_STORAGE: settings["AzureWebJobsStorage"]}
    app = web.WebApp(
        "app",
        **_app(inputs, group, options),
        function_app_config=web.FunctionAppConfigArgs(
            runtime=web.FunctionsRuntimeArgs(name=web.RuntimeName.PYTHON, version=inputs.python),
            scale_and_concurrency=web.FunctionsScaleAndConcurrencyArgs(
                instance_memory_mb=inputs.memory, maximum_instance_count=_FLEX_INSTANCES
            ),
            deployment=web.FunctionsDeploymentArgs(
                storage=web.FunctionsDeploymentStorageArgs(
                    type=web.FunctionsDeploymentStorageType.BLOB_CONTAINER,
                    value=pulumi.Output.concat(files.account.primary_endpoints.blob, packages.name),
                    authentication=web.FunctionsDeploymentStorageAuthenticationArgs(
                        type=web.AuthenticationType.STORAGE_ACCOUNT_CONNECTION_STRING,
                        storage_account_connection_string_name=_FLEX_STORAGE,
                    ),
                )
            ),
        ),
        # Not SiteConfigArgs, which sends a .NET version of its own accord: flex refuses that, as it does ftps_state.
        # https://github.com/pulumi/pulumi-azure-native/issues/4168
        site_config=web.SiteConfigArgsDict(
            app_settings=[web.NameValuePairArgsDict(name=name, value=value) for name, value in settings.items()],
            min_tls_version=web.SupportedTlsVersions.SUPPORTED_TLS_VERSIONS_1_2,
        ),
        opts=options,
    )
    return app, app


def _settings(inputs: AzureComputeInputs, files: _Files) -> dict[str, pulumi.Input[str]]:
    """The app settings of both plans: the function's environment variables."""
    return {
        "AzureWebJobsStorage": files.connection_string(),
        "AzureFunctionsJobHost__functionTimeout": f"00:{inputs.timeout // 60:02}:{inputs.timeout % 60:02}",
        "CHART_TITLE": inputs.title,
        "CHART_SOURCE": inputs.source,
        "DATA_URL": files.signed(DATA_BLOB),
    }


def _app(inputs: AzureComputeInputs, group: resources.ResourceGroup, options: pulumi.ResourceOptions) -> dict[str, Any]:
    """The plan, and what the apps of both plans have in common, as arguments."""
    sku, tier = _SKUS[inputs.plan]
    plan = web.AppServicePlan(
        "plan",
        name=inputs.names.prefix,
        resource_group_name=group.name,
        location=inputs.region,
        kind="functionapp",
        reserved=True,  # Linux.
        sku=web.SkuDescriptionArgs(name=sku, tier=tier),
        tags=inputs.names.tags,
        opts=options,
    )
    return {
        "name": inputs.names.prefix,
        "resource_group_name": group.name,
        "location": inputs.region,
        "kind": "functionapp,linux",
        "reserved": True,
        "server_farm_id": plan.id,
        "https_only": True,
        "tags": inputs.names.tags,
    }
