"""No secret in anything that is written or shown: canaries in every channel, and a search of all that there is.

The function's own code is what tells a test the secrets of a live run: it writes its environment where only the test
looks, waits until the test has seen all that it wants to, and then fails in the worst way: its environment is the text.
"""

import base64
import json
import os
import re
import socket
import stat
import subprocess
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from orchestrator.clouds.azure_clients import AzureClients, azure_errors
from orchestrator.clouds.azure_publish import publish
from orchestrator.clouds.gcp_clients import google_errors
from orchestrator.clouds.invocation import FunctionError, checked, get
from orchestrator.errors import OrchestratorError
from orchestrator.pulumi_cli import Cli
from orchestrator.rehearsal.front_door import Answer, Listener, Request
from stacks.naming import Names
from tests.rehearsal.machine import CHECKOUT, Machine

WEB_API = "2025-05-01"
# What a caller has in the environment and a run has no business with; the passphrase is a run's business.
CALLERS = {
    "GITHUB_TOKEN": "ghp_canaryOfGithub0123456789abcdef",
    "NPM_CONFIG__AUTH": "canaryOfNpm0123456789",
    "HTTPS_PROXY": "http://somebody:canaryOfTheProxy@127.0.0.1:9",
    "PULUMI_ACCESS_TOKEN": "pul-canaryOfPulumi0123456789",
    "PULUMI_CONFIG_PASSPHRASE": "canary of the passphrase",
    "PULUMI_BACKEND_URL": "s3://canaryOfTheBackend:andItsPassword@bucket",
    "AWS_SECRET_ACCESS_KEY": "canaryOfTheRealAws0123456789",
    "AWS_SESSION_TOKEN": "canaryOfTheRealSession0123456789",
    "AZURE_CLIENT_SECRET": "canaryOfTheRealAzure0123456789",
    "GOOGLE_CLOUD_API_KEY": "canaryOfTheRealGoogle0123456789",
}
PARTS = {"canaryOfTheProxy", "canaryOfTheBackend", "andItsPassword"}
TOKEN = re.compile(rb"eyJ[\w-]{10,}\.[\w-]{20,}\.[\w-]{20,}")
SIGNATURE = re.compile(rb"(?:[?&]|%3F|%26)(?:sig|code|X-Amz-Signature)(?:=|%3D)(?!\.\.\.)[\w%+/]{8}", re.IGNORECASE)
# What of a function's environment is secret. The key of its host is not there: it is asked for.
OF_THE_FUNCTION = re.compile("SECRET|TOKEN|AccountKey|sig=")
ANALYSIS = """
import json
import os

Analysis = None  # chart.py wants it.


def analyse(csv, *, title, source):
    seen = {seen!r}
    with open(seen + ".new", "w") as file:
        json.dump(dict(os.environ), file)
    os.rename(seen + ".new", seen)
    with open({gate!r}) as gate:
        gate.read()
    raise RuntimeError(f"{{os.environ}}, and {{dict(os.environ)}}")
"""


class Watched:
    """A run on a machine full of canaries: everything that it wrote, showed, or started a process with."""

    def __init__(self, machine: Machine, aside: Path) -> None:
        self.machine = machine
        self.secrets = {*CALLERS.values(), *PARTS} - {CALLERS["HTTPS_PROXY"], CALLERS["PULUMI_BACKEND_URL"]}
        self.commands: set[bytes] = set()
        self._aside = aside
        self._seen, self._gate = aside / "seen", aside / "gate"
        self._over = threading.Event()
        machine._environment |= CALLERS

    def with_a_function_that_tells(self) -> None:
        """The function tells the test its environment, waits for it, and fails with it as text."""
        self.machine.with_own_handler((CHECKOUT / "function_code" / "aws_main.py").read_text())
        analysis = textwrap.dedent(ANALYSIS).format(seen=str(self._seen), gate=str(self._gate))
        (self.machine.checkout / "function_code" / "analysis.py").write_text(analysis)
        os.mkfifo(self._gate)

    def run(self, *arguments: str, live: Callable[[], None]) -> "subprocess.CompletedProcess[str]":
        """Run to the end, and call ``live`` while the function waits."""
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        process = self.machine.start("run", *arguments)
        try:
            while not self._seen.exists():
                assert process.poll() is None, process.communicate()
                self._over.wait(0.05)
            live()
        finally:
            if process.poll() is None:
                self._gate.write_text("go on")  # Whoever reads it goes on, and whatever went wrong the run ends.
            ended = self.machine.finish(process)
            self._over.set()
            watcher.join()
        return ended

    def function_environment(self) -> dict[str, str]:
        return dict(json.loads(self._seen.read_text()))

    def _watch(self) -> None:
        """Note the arguments of every process of this machine, many times a second."""
        while not self._over.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.commands.add(path.read_bytes())
                except OSError:
                    continue


def written(folder: Path) -> list[tuple[str, int, bytes]]:
    """Path, mode and content of all below a folder, but for the function's package, which is unpacked read-only."""
    taken = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if (Path(parent) / name).stat().st_mode & stat.S_IWUSR]
        for path in (Path(parent) / name for name in (*folders, *files)):
            kind = path.lstat().st_mode
            if stat.S_ISDIR(kind) or (stat.S_ISREG(kind) and kind & stat.S_IWUSR):
                content = path.read_bytes() if stat.S_ISREG(kind) else b""
                taken.append((str(path.relative_to(folder)), stat.S_IMODE(kind), content))
    return taken


def leaks(secrets: set[str], content: bytes) -> list[str]:
    """What of the secrets stands there, however it is written; and every token and signature, known or not."""
    found = [
        secret
        for secret in sorted(secrets)
        for form in (
            secret.encode(),
            quote(secret, safe="").encode(),
            json.dumps(secret)[1:-1].encode(),
            base64.b64encode(secret.encode()).rstrip(b"="),
        )
        if form in content
    ]
    return found + [match[0].decode() for match in (TOKEN.search(content), SIGNATURE.search(content)) if match]


@pytest.fixture
def watched(cli: Cli, tmp_path: Path, packages: Path) -> Watched:
    (tmp_path / "aside").mkdir()
    return Watched(Machine(cli, tmp_path / "home", tmp_path / "user", packages), tmp_path / "aside")


@pytest.mark.parametrize(
    "cloud",
    [
        ["compute.cloud=aws"],
        ["compute.cloud=azure"],
        ["compute.cloud=azure", "compute.plan=flex"],
        ["compute.cloud=gcp"],
    ],
)
def test_no_secret_is_written_or_shown(watched: Watched, monkeypatch: pytest.MonkeyPatch, cloud: list[str]) -> None:
    machine, taken = watched.machine, []
    watched.with_a_function_that_tells()

    def look() -> None:
        (folder,) = machine.results()
        rehearsal = machine.home / "runs" / folder.name / "rehearsal"
        variables = json.loads((rehearsal / "environment.json").read_text())["variables"]
        watched.secrets |= secrets_of(variables) | secrets_of(watched.function_environment())
        if "azure" in cloud[0]:
            watched.secrets |= keys_of_the_function(monkeypatch, variables, folder.name)
        taken.extend(written(machine.home))
        taken.extend(written(machine.folder / "results"))

    ended = watched.run(*(word for setting in cloud for word in ("--set", setting)), "--json", live=look)
    taken += [*written(machine.home), *written(machine.folder / "results")]
    assert ended.returncode == 1, ended.stderr
    assert "RuntimeError" in ended.stderr  # The function did tell all.
    throwaway = re.compile(r"runs/[^/]+/rehearsal/environment\.json")  # The stand-ins' own keys, which end with them.
    for name, mode, content in taken:
        assert not mode & (stat.S_IRWXG | stat.S_IRWXO), name
        if not throwaway.fullmatch(name):
            assert leaks(watched.secrets, name.encode() + content) == [], name
    assert any(throwaway.fullmatch(name) for name, _, _ in taken)
    assert {"state", "pulumi-home", "runs"} <= {name for name, _, _ in taken}
    assert leaks(watched.secrets, ended.stdout.encode() + ended.stderr.encode()) == []
    commands = b"\n".join(watched.commands)
    assert b"pulumi\0--non-interactive\0up" in commands
    assert leaks(watched.secrets, commands) == []


def secrets_of(environment: Mapping[str, str]) -> set[str]:
    """The secret values of an environment, of a URL or a connection string the secret part."""
    values = {value for name, value in environment.items() if OF_THE_FUNCTION.search(f"{name}={value}")}
    parts = [re.search("(?:AccountKey|sig)=([^;&]+)", value) for value in values]
    return values | {part[1] for part in parts if part}


def keys_of_the_function(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], run_id: str) -> set[str]:
    """The function app's keys, as their owner is told them."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    prefix = Names(run_id).prefix
    app = f"resourceGroups/{prefix}/providers/Microsoft.Web/sites/{prefix}"
    said = AzureClients(variables["ARM_SUBSCRIPTION_ID"]).post(f"{app}/host/default/listkeys", api_version=WEB_API)
    return {said["masterKey"], *said["functionKeys"].values()}


SIGNED = "https://account.blob.core.windows.net/data/extract.csv?sv=2024&se=2026&sig=canaryOfTheSignature%3D&sp=r"


@pytest.fixture
def refusing() -> Iterator[str]:
    """A server that refuses whatever it is asked; its URL."""

    def refuse(request: Request) -> Answer:
        return Answer(403, {}, f"Not for {request.url}".encode())

    listener = Listener(refuse)
    yield f"http://{listener.address}"
    listener.close()


def test_what_a_client_says_of_a_url_is_told_without_the_signature(refusing: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    signed = SIGNED.partition("net")[2]
    with pytest.raises(FunctionError) as unanswered:
        get(f"{nobody}{signed}&code=canaryOfTheKey", {"x-functions-key": "canary"}, timeout=1)
    assert "/data/extract.csv?sv=2024&se=2026&sig=...&sp=r&code=... (Caused by " in str(unanswered.value)
    with pytest.raises(OrchestratorError) as forbidden, azure_errors("The package was not published"):
        requests.get(f"{refusing}{signed}", timeout=5).raise_for_status()
    assert str(forbidden.value) == (
        "The package was not published\n"
        f"  403 Client Error: Forbidden for url: {refusing}/data/extract.csv?sv=2024&se=2026&sig=...&sp=r"
    )
    with pytest.raises(OrchestratorError) as unread, google_errors("The download failed"):
        requests.get(f"{nobody}/o?X-Goog-Signature=canaryOfGoogle&X-Goog-Date=1", timeout=5)
    assert "/o?X-Goog-Signature=...&X-Goog-Date=1" in str(unread.value)
    with pytest.raises(FunctionError) as answered:
        checked(403, requests.get(f"{refusing}{signed}", timeout=5).content)
    assert "extract.csv?sv=2024&se=2026&sig=...&sp=r" in str(answered.value)
    for error in (unanswered, forbidden, unread, answered):
        assert "canary" not in str(error.value)
        assert "canary" not in repr(error.value)


def test_a_package_that_is_refused_is_told_without_the_token(refusing: str, tmp_path: Path) -> None:
    (tmp_path / "package.zip").write_bytes(b"zip")
    with pytest.raises(FunctionError) as refused:
        publish(f"{refusing}/?token=canary", tmp_path / "package.zip", token="canary" * 10)
    assert (
        str(refused.value) == f"Azure did not take the package\n  403 Not for {refusing}/?token=...&RemoteBuild=False"
    )
