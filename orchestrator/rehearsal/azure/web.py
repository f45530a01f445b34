"""A stand-in of Azure's App Service, as far as function apps on Linux are concerned: plans, apps, their keys.

An app's host, which answers requests, is in ``functions``; what an app may be is in ``app_rules``.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.rehearsal.azure import app_rules
from orchestrator.rehearsal.azure.app_rules import HOST_STORAGE
from orchestrator.rehearsal.azure.functions import FunctionApp
from orchestrator.rehearsal.azure.host import Site
from orchestrator.rehearsal.azure.regions import WITHOUT_FLEX, region
from orchestrator.rehearsal.azure.rest import ArmError, not_found, unsupported
from orchestrator.rehearsal.azure.storage import Account, Storage
from orchestrator.rehearsal.azure.subscription import Resource, Subscription

PLAN, SITE = "Microsoft.Web/serverfarms", "Microsoft.Web/sites"
# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftweb
_PLAN_NAME = re.compile(r"[A-Za-z0-9-]{1,60}")
_SITE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,58}[A-Za-z0-9]")


@dataclass(frozen=True)
class Plan:
    """An App Service plan; ``sku`` is Y1 or FC1."""

    id: str
    name: str
    group: str
    location: str
    sku: str


class Web:
    """The plans and function apps of a subscription. Put the app names that somebody else has into ``taken``."""

    def __init__(self, subscription: Subscription, storage: Storage, start: Callable[[Site], FunctionApp]) -> None:
        """``start`` opens an app's listeners."""
        self.taken: set[str] = set()
        self._subscription = subscription
        self._storage = storage
        self._start = start
        self._plans: dict[str, Plan] = {}
        self._apps: dict[str, FunctionApp] = {}

    def held(self) -> Iterator[tuple[str, str]]:
        """(kind, id) of the plans, the apps and the processes that run for them."""
        yield from (("plan", plan.id) for plan in list(self._plans.values()))
        for app in list(self._apps.values()):
            yield "app", app.site.id
            if app.is_warm:
                yield "app process", app.site.id

    # ---- plans

    def create_plan(
        self, group: str, name: str, *, location: str, tags: Mapping[str, str], sku: str, tier: str
    ) -> Plan:
        """A Linux plan: https://learn.microsoft.com/rest/api/appservice/app-service-plans/create-or-update."""
        if app_rules.TIERS.get(sku) != tier:
            raise unsupported(f"plan {sku} of tier {tier}; {app_rules.TIERS} are known")
        if not _PLAN_NAME.fullmatch(name):
            raise ArmError(400, "BadRequest", f"The name {name} is invalid: 1 to 60 letters, digits and hyphens.")
        with self._subscription.lock:
            plan_id = self._subscription.check_new(group=group, kind=PLAN, name=name, location=location, tags=tags)
            if sku == app_rules.FC1 and region(location) in WITHOUT_FLEX:
                raise ArmError(
                    400, "BadRequest", f"The Flex Consumption plan is not available in location '{location}'."
                )
            if self._subscription.is_full(sku, location):
                raise _over_quota(tier, self._subscription.limits[sku])
            plan = Plan(plan_id, name, group, region(location), sku)
            self._plans[plan_id.lower()] = plan
            kind = "functionapp"
            resource = Resource(plan_id, PLAN, name, plan.location, tags, kind, sku, lambda: self._end_plan(plan_id))
            self._subscription.add(group, resource)
            return plan

    def plan(self, plan_id: str) -> Plan | None:
        """The plan of that id."""
        return self._plans.get(plan_id.lower())

    def delete_plan(self, plan_id: str) -> None:
        """Delete a plan; ArmError 409 while it has apps. None is fine."""
        with self._subscription.lock:
            plan = self.plan(plan_id)
            if plan is None:
                return
            self._subscription.authorize(f"{PLAN}/delete", plan_id)
            apps = self._apps_on(plan)
            if apps:
                raise ArmError(
                    409,
                    "Conflict",
                    f"Server farm '{plan.name}' cannot be deleted because it has web app(s) {', '.join(apps)} assigned "
                    "to it.",
                )
            self._subscription.remove(plan_id)

    def _apps_on(self, plan: Plan) -> list[str]:
        return sorted(app.site.name for app in self._apps.values() if app.site.plan_id == plan.id)

    def _end_plan(self, plan_id: str) -> None:
        del self._plans[plan_id.lower()]

    # ---- apps

    def create_app(
        self,
        group: str,
        name: str,
        *,
        location: str,
        tags: Mapping[str, str],
        plan_id: str,
        site_config: Mapping[str, Any],
        function_app_config: Mapping[str, Any] | None,
    ) -> FunctionApp:
        """A function app: https://learn.microsoft.com/rest/api/appservice/web-apps/create-or-update."""
        if not _SITE_NAME.fullmatch(name):
            raise ArmError(400, "BadRequest", f"The host name {name}.azurewebsites.net is invalid.")
        with self._subscription.lock:
            site_id = self._subscription.check_new(group=group, kind=SITE, name=name, location=location, tags=tags)
            if name.lower() in {*map(str.lower, self.taken), *self._apps}:
                raise ArmError(409, "Conflict", f"Website with given name {name} already exists.")
            plan = self._plan_for(plan_id, location)
            settings, packages = _settings(site_config), None
            if plan.sku == app_rules.Y1:
                runtime = app_rules.consumption(site_config, function_app_config)
                self._check_consumption(settings)
            else:
                runtime, deployment = app_rules.flex(site_config, settings, function_app_config)
                app_rules.check_settings(settings, HOST_STORAGE, deployment.connection_setting)
                self._opened(HOST_STORAGE, settings)
                packages = self._packages(
                    deployment.container_url, self._opened(deployment.connection_setting, settings)
                )
            site = Site(
                id=site_id,
                name=name,
                group=group,
                location=region(location),
                plan_id=plan.id,
                sku=plan.sku,
                runtime=runtime,
                settings=settings,
                packages=packages,
                master_key=_key(),
                function_key=_key(),
            )
            app = self._start(site)
            self._apps[name.lower()] = app
            kind = "functionapp,linux"
            resource = Resource(site_id, SITE, name, site.location, tags, kind, None, lambda: self._end_app(name))
            self._subscription.add(group, resource)
            return app

    def configure_app(self, group: str, name: str, settings: Mapping[str, str]) -> FunctionApp:
        """Give an app on plan Y1 these settings in place of all that it has.

        https://learn.microsoft.com/rest/api/appservice/web-apps/update-application-settings
        """
        with self._subscription.lock:
            app = self.app(group, name)
            self._subscription.authorize(f"{SITE}/config/write", app.site.id)
            if app.site.sku != app_rules.Y1:
                raise unsupported(f"other settings of an app on plan {app.site.sku} than those it was made with")
            self._check_consumption(settings)
            app.configure(settings)
            return app

    def app(self, group: str, name: str) -> FunctionApp:
        """The app of that name in the group; ArmError 404 when there is none."""
        self._subscription.group(group)
        app = self._apps.get(name.lower())
        if app is None or app.site.group.lower() != group.lower():
            raise not_found(SITE, name, group)
        return app

    def delete_app(self, group: str, name: str) -> None:
        """Delete an app, its listeners and its process; ArmError 404 when there is none."""
        app = self.app(group, name)
        self._subscription.authorize(f"{SITE}/delete", app.site.id)
        self._subscription.remove(app.site.id)

    def stop(self) -> None:
        """End every app's listeners and process."""
        for app in list(self._apps.values()):
            app.stop()

    def _plan_for(self, plan_id: str, location: str) -> Plan:
        plan = self.plan(plan_id)
        if plan is None:
            raise ArmError(404, "NotFound", f"Cannot find serverFarm with name {plan_id.rpartition('/')[2]}.")
        if plan.location != region(location):
            raise ArmError(
                400,
                "BadRequest",
                f"The app's location '{region(location)}' is not that of its plan {plan.name}, '{plan.location}'.",
            )
        if plan.sku == app_rules.FC1 and self._apps_on(plan):
            # https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan#considerations
            raise ArmError(400, "BadRequest", f"The Flex Consumption plan {plan.name} has an app; it takes one only.")
        return plan

    def _check_consumption(self, settings: Mapping[str, str]) -> None:
        """An app on plan Y1 may have no settings yet; its host does not start without them."""
        if settings:
            app_rules.check_consumption_settings(settings)
            app_rules.check_settings(settings, HOST_STORAGE)
            self._opened(HOST_STORAGE, settings)

    def _opened(self, setting: str, settings: Mapping[str, str]) -> Account:
        """The account that a setting's connection string opens."""
        parts = app_rules.connection(settings[setting])
        account = self._storage.account_named(parts.get("AccountName", ""))
        if account is None or parts["AccountKey"] not in account.keys.values() or not account.shared_keys_allowed:
            raise ArmError(
                400, "BadRequest", f"The app setting {setting} is no connection string that opens a storage account."
            )
        endpoint = f"{self._storage.endpoint}/{account.name}/"
        if parts.get("BlobEndpoint", endpoint) != endpoint:
            raise ArmError(400, "BadRequest", f"The app setting {setting} has another account's BlobEndpoint.")
        return account

    def _packages(self, container_url: str, account: Account) -> tuple[str, str]:
        """(account, container) of a deployment container."""
        base, _, container = container_url.rpartition("/")
        if base != f"{self._storage.endpoint}/{account.name}" or container not in account.containers:
            raise ArmError(
                400,
                "BadRequest",
                "Site.FunctionAppConfig.Deployment.Storage.Value is invalid.  There is no such container: "
                f"{container_url}.",
            )
        return account.name, container

    def _end_app(self, name: str) -> None:
        self._apps.pop(name.lower()).stop()


def _settings(site_config: Mapping[str, Any]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for pair in site_config.get("appSettings", []):
        if set(pair) != {"name", "value"} or pair["name"] in settings:
            raise ArmError(400, "BadRequest", f"The app setting {pair.get('name')} is incomplete or given twice.")
        settings[pair["name"]] = pair["value"]
    return settings


def _key() -> str:
    """Azure's keys are 56 characters of base64 for URLs."""
    return secrets.token_urlsafe(39) + "AzFu"


def _over_quota(tier: str, limit: int) -> ArmError:
    """As in https://github.com/polymind-inc/acmebot/issues/945."""
    return ArmError(
        401,
        "Unauthorized",
        "Operation cannot be completed without additional quota. \r\nAdditional details - Location:  \r\n"
        f"Current Limit ({tier} VMs): {limit} \r\nCurrent Usage: {limit}\r\n"
        f"Amount required for this deployment ({tier} VMs): 1 \r\n"
        f"(Minimum) New Limit that you should request to enable this deployment: {limit + 1}.",
    )
