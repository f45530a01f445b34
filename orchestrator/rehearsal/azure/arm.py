"""The routes of the stand-in Azure Resource Manager, as far as our client uses them.

https://learn.microsoft.com/rest/api/resources/. Its paths do not regard case; here they are as our clients write them.
"""

import threading
import uuid
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from orchestrator.rehearsal.azure.directory import AUDIENCE, Directory
from orchestrator.rehearsal.azure.functions import FunctionApp
from orchestrator.rehearsal.azure.host import HostError
from orchestrator.rehearsal.azure.regions import REGIONS, region
from orchestrator.rehearsal.azure.rest import ArmError, query_parameters, tag_filter, unsupported
from orchestrator.rehearsal.azure.subscription import Group, Resource, Subscription
from orchestrator.rehearsal.azure.web import Web
from orchestrator.rehearsal.latency import AT_ONCE, Latency

_METADATA_API = frozenset({"2022-09-01"})
_RESOURCES_API = frozenset({"2025-04-01", "2024-03-01"})
_AUTHORIZATION_API = frozenset({"2022-04-01"})
_API = {"Microsoft.Web": frozenset({"2025-05-01"}), "Microsoft.Storage": frozenset({"2024-01-01"})}
_TYPES = {"Microsoft.Web": ("sites", "serverFarms"), "Microsoft.Storage": ("storageAccounts",)}
# Azure says 15 s; a group here is gone sooner.
_RETRY_AFTER = {"Retry-After": "1"}


def application(
    subscription: Subscription, directory: Directory, web: Web, login: Callable[[], str], latency: Latency = AT_ONCE
) -> Flask:
    """The WSGI application; ``login`` is the URL of the endpoint that gives tokens."""
    app = Flask(__name__, static_folder=None)
    app.register_error_handler(ArmError, ArmError.response)
    app.register_error_handler(HTTPException, _refuse_unknown)

    @app.get("/metadata/endpoints")
    def metadata() -> Response:
        query_parameters(_METADATA_API)
        return jsonify(_metadata(request.host_url, login()))

    @app.before_request
    def check_caller() -> None:
        if request.path == "/metadata/endpoints":
            return
        directory.check(request.headers.get("Authorization"))
        if request.view_args and "subscription_id" in request.view_args:
            subscription.check_id(request.view_args.pop("subscription_id"))

    api = Blueprint("subscription", __name__, url_prefix="/subscriptions/<subscription_id>")
    _subscription_routes(api, subscription)
    _group_routes(api, subscription)
    _app_routes(api, subscription, web, latency)
    app.register_blueprint(api)
    return app


def _metadata(host_url: str, login: str) -> dict[str, Any]:
    """As https://management.azure.com/metadata/endpoints has it, with our own hosts; there are no other services."""
    return {
        "name": "Rehearsal",
        "resourceManager": host_url,
        "authentication": {
            "loginEndpoint": f"{login}/",
            "audiences": [AUDIENCE],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "suffixes": {},
    }


def _subscription_routes(api: Blueprint, subscription: Subscription) -> None:
    @api.get("/providers/<namespace>")
    def provider(namespace: str) -> Response:
        query_parameters(_RESOURCES_API)
        if namespace not in _TYPES:
            raise ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")
        return jsonify(_provider(subscription, namespace))

    @api.get("/providers/Microsoft.Authorization/permissions")
    def permissions() -> Response:
        query_parameters(_AUTHORIZATION_API)
        return jsonify({"value": subscription.permissions})

    @api.get("/providers/<namespace>/locations/<location>/usages")
    def usages(namespace: str, location: str) -> Response:
        versions = _API.get(namespace)
        if versions is None:
            raise ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")
        query_parameters(versions)
        subscription.authorize(f"{namespace}/locations/usages/read", subscription.path)
        if region(location) not in REGIONS:
            raise ArmError(
                400,
                "NoRegisteredProviderFound",
                f"No registered resource provider found for location '{location}' and API version "
                f"'{request.args['api-version']}' for type 'locations/usages'. The supported api-versions are "
                f"'{', '.join(sorted(versions))}'. The supported locations are '{', '.join(sorted(REGIONS))}'.",
            )
        found = [
            {
                "name": {"value": name, "localizedValue": name},
                "currentValue": used,
                "limit": limit,
                "unit": "Count",
            }
            for name, used, limit in subscription.usages(namespace, location)
        ]
        return jsonify({"value": found})

    @api.get("/resources")
    def resources() -> Response:
        given = query_parameters(_RESOURCES_API, "$filter")
        tag = tag_filter(given["$filter"]) if "$filter" in given else None
        return jsonify({"value": [_resource(found) for found in subscription.resources(tag)]})


def _provider(subscription: Subscription, namespace: str) -> dict[str, Any]:
    kinds = [
        {
            "resourceType": kind,
            "locations": list(REGIONS.values()),
            "apiVersions": sorted(_API[namespace], reverse=True),
        }
        for kind in _TYPES[namespace]
    ]
    return {
        "id": f"{subscription.path}/providers/{namespace}",
        "namespace": namespace,
        "registrationState": subscription.registration[namespace],
        "registrationPolicy": "RegistrationRequired",
        "resourceTypes": kinds,
    }


def _resource(found: Resource) -> dict[str, Any]:
    said = {
        "id": found.id,
        "name": found.name,
        "type": found.type,
        "kind": found.kind,
        "location": found.location,
        "tags": dict(found.tags),
    }
    return said | ({"sku": {"name": found.sku}} if found.sku else {})


def _group_routes(api: Blueprint, subscription: Subscription) -> None:
    operations: dict[str, threading.Event] = {}

    @api.get("/resourcegroups")
    def groups() -> Response:
        given = query_parameters(_RESOURCES_API, "$filter")
        tag = tag_filter(given["$filter"]) if "$filter" in given else None
        return jsonify({"value": [_group(found) for found in subscription.groups(tag)]})

    @api.delete("/resourcegroups/<group>")
    def delete(group: str) -> Response:
        query_parameters(_RESOURCES_API)
        subscription.begin_delete_group(group)
        operation, done = uuid.uuid4().hex, threading.Event()
        operations[operation] = done

        def work() -> None:
            subscription.delete_group(group)
            done.set()

        threading.Thread(target=work, daemon=True).start()
        return _accepted(subscription, operation)

    @api.get("/operationresults/<operation>")
    def result(operation: str) -> Response:
        query_parameters(_RESOURCES_API)
        if operation not in operations:
            raise ArmError(404, "NotFound", f"The operation '{operation}' could not be found.")
        return Response(status=200) if operations[operation].is_set() else _accepted(subscription, operation)


def _accepted(subscription: Subscription, operation: str) -> Response:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations."""
    (version,) = request.args.getlist("api-version")
    url = f"{request.host_url}{subscription.path[1:]}/operationresults/{operation}?api-version={version}"
    return Response(status=202, headers={"Location": url, **_RETRY_AFTER})


def _group(found: Group) -> dict[str, Any]:
    return {
        "id": found.id,
        "name": found.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": found.location,
        "tags": dict(found.tags),
        "properties": {"provisioningState": found.state},
    }


def _app_routes(api: Blueprint, subscription: Subscription, web: Web, latency: Latency) -> None:
    path = "/resourceGroups/<group>/providers/Microsoft.Web/sites/<name>"

    @api.get(path)
    def app(group: str, name: str) -> Response:
        query_parameters(_API["Microsoft.Web"])
        found = web.app(group, name)
        subscription.authorize("Microsoft.Web/sites/read", found.site.id)
        return jsonify(site_resource(found))

    @api.post(f"{path}/host/default/listkeys")
    def keys(group: str, name: str) -> Response:
        query_parameters(_API["Microsoft.Web"])
        found = web.app(group, name)
        subscription.authorize("Microsoft.Web/sites/host/listkeys/action", found.site.id)
        since = latency.now()
        try:
            found.start()
        except HostError as error:
            # The keys are the host's: https://github.com/Azure/azure-functions-host/issues/4605
            raise ArmError(400, "BadRequest", "Encountered an error (ServiceUnavailable) from host runtime.") from error
        latency.wait("azure keys", since)
        site = found.site
        return jsonify({"masterKey": site.master_key, "functionKeys": {"default": site.function_key}, "systemKeys": {}})


def site_resource(app: FunctionApp) -> dict[str, Any]:
    """The app as Resource Manager shows it, without its settings, which it never shows."""
    site, hosts = app.site, {"Standard": app.host_name, "Repository": app.scm_host_name}
    states = [{"name": name, "sslState": "Disabled", "hostType": kind} for kind, name in hosts.items()]
    return {
        "id": site.id,
        "name": site.name,
        "type": "Microsoft.Web/sites",
        "kind": "functionapp,linux",
        "location": site.location,
        "properties": {
            "state": "Running",
            "hostNames": [app.host_name],
            "enabledHostNames": list(hosts.values()),
            "defaultHostName": app.host_name,
            "hostNameSslStates": states,
            "serverFarmId": site.plan_id,
            "resourceGroup": site.group,
            "reserved": True,
            "httpsOnly": True,
        },
    }


def _refuse_unknown(error: HTTPException) -> Response:
    """A route or method that Flask refuses is one that the stand-in does not know."""
    return unsupported(f"{request.method} {request.path} ({error.code} {error.name})").response()
