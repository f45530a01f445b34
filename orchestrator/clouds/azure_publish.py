"""Publishing a package to a function app of plan flex, which comes up without one.

The app's deployment site (SCM) answers 200 to who asks, while it works and after a failure alike: what counts is in the
answer. https://learn.microsoft.com/azure/azure-functions/functions-deployment-technologies#one-deploy

What it takes is not documented: we ask as the Azure CLI does (``enable_zip_deploy_flex`` in its ``appservice`` module,
https://github.com/Azure/azure-cli/blob/dev/src/azure-cli/azure/cli/command_modules/appservice/custom.py).
"""

import time
from collections.abc import Callable
from pathlib import Path

import requests

from orchestrator import deadlines
from orchestrator.clouds.invocation import FunctionError

ASK_AGAIN_SECONDS = 0.25
_ACCEPTED = 202
# A new site is not in DNS at once, and its front end answers these until it is up.
_NOT_UP = frozenset({404, 502, 503})
_SUCCESS = 4  # https://github.com/projectkudu/kudu/blob/master/Kudu.Contracts/Deployment/DeployStatus.cs


def publish(site: str, package: Path, *, token: str) -> None:
    """Hand the zip to the site ``https://<host>``, and wait for the outcome. ``token`` is for Resource Manager.

    Raises:
        FunctionError: the site did not take it, or did not unpack it: in its own words.
        requests.RequestException: it cannot be reached.
    """
    deadline = time.monotonic() + deadlines.PUBLISH
    headers = {"Authorization": f"Bearer {token}"}

    def hand_over() -> requests.Response:
        with package.open("rb") as file:
            return requests.post(
                f"{site}/api/publish",
                params={"RemoteBuild": "False"},  # The libraries are in the package.
                headers=headers | {"Content-Type": "application/zip"},
                data=file,
                timeout=(deadlines.CONNECT, deadlines.PUBLISH),
            )

    taken = _once_up(hand_over, deadline)
    if taken.status_code != _ACCEPTED:
        details = f"{taken.status_code} {taken.text or taken.reason}"
        raise FunctionError("Azure did not take the package", details=details)
    while True:
        answer = _once_up(
            lambda: requests.get(
                f"{site}/api/deployments/latest", headers=headers, timeout=(deadlines.CONNECT, deadlines.CALL)
            ),
            deadline,
        )
        answer.raise_for_status()
        deployment = answer.json()
        if deployment["complete"]:
            break
        if time.monotonic() > deadline:
            raise FunctionError(f"Azure did not unpack the package within {deadlines.PUBLISH:.0f} s")
        time.sleep(ASK_AGAIN_SECONDS)
    if deployment["status"] != _SUCCESS:
        raise FunctionError("Azure did not unpack the package", details=deployment["status_text"])


def _once_up(ask: Callable[[], requests.Response], deadline: float) -> requests.Response:
    """The first answer of a site that is up; at the deadline whatever came of it."""
    while True:
        try:
            answer = ask()
        except (requests.ConnectionError, requests.Timeout):
            if time.monotonic() > deadline:
                raise
        else:
            if answer.status_code not in _NOT_UP or time.monotonic() > deadline:
                return answer
        time.sleep(ASK_AGAIN_SECONDS)
