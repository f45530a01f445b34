"""A function in the rehearsal has what it has on Lambda: its variables, its folders, its limits, its log."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.functions import Instance, runtime_libraries

REGION = "us-east-1"
START = "START RequestId: ID Version: $LATEST\n"
END = "END RequestId: ID\n"
REPORT = "REPORT RequestId: ID\tDuration: N ms\tBilled Duration: N ms\tMemory Size: 256 MB\tMax Memory Used: N MB\t\n"


@pytest.fixture(scope="session")
def runtime(session_folder: Path) -> Path:
    return runtime_libraries(session_folder / "runtime")


@pytest.fixture
def start(
    amazon: Amazon, make_function: Callable[..., str], runtime: Path, tmp_path: Path
) -> Iterator[Callable[..., Instance]]:
    """Starts one execution environment of a new function; arguments are ``make_function``'s."""
    started: list[Instance] = []

    def make(code: str, **settings: Any) -> Instance:
        name = make_function(code, **settings)
        started.append(Instance(amazon, REGION, name, tmp_path / "instance", runtime))
        return started[-1]

    yield make
    for instance in started:
        instance.end()


def ask(instance: Instance, **event: Any) -> Any:
    """The handler's answer to an event."""
    outcome = instance.invoke(json.dumps(event).encode())
    assert outcome.answer is not None
    return json.loads(outcome.answer)


def test_lambdas_variables_and_no_others(
    start: Callable[..., Instance], amazon: Amazon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "ours")
    instance = start(
        """
        import os
        def handler(event, context):
            return dict(os.environ)
        """,
        Environment={"Variables": {"CHART_TITLE": "Hail in March"}},
    )
    seen = ask(instance)
    session = amazon.key(seen["AWS_ACCESS_KEY_ID"])
    assert session is not None
    assert session.role_arn == f"arn:aws:iam::123456789012:role/{instance._name}"
    assert seen["TMPDIR"] == str(tmp_path / "instance" / "tmp")
    assert seen["CHART_TITLE"] == "Hail in March"
    assert "PULUMI_CONFIG_PASSPHRASE" not in seen
    assert [name for name in seen if name.startswith(("_REHEARSAL", "_LAMBDA"))] == []


def test_only_the_standard_library_the_function_and_the_runtime(
    start: Callable[..., Instance], runtime: Path, tmp_path: Path
) -> None:
    instance = start(
        """
        import os, sys
        def handler(event, context):
            found = {}
            for name in ("boto3", "dateutil", "orchestrator", "pulumi", "pandas", "pytest"):
                try:
                    __import__(name)
                    found[name] = True
                except ModuleNotFoundError:
                    found[name] = False
            return {"path": sys.path, "found": found, "cwd": os.getcwd()}
        """
    )
    seen = ask(instance)
    folder = tmp_path / "instance"
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    layer = folder / "opt" / "python"
    ours = [str(folder / "var" / "task"), str(layer / "lib" / python / "site-packages"), str(layer), str(runtime)]
    assert seen["path"][:4] == ours
    assert [path for path in seen["path"][4:] if not path.startswith(sys.base_prefix)] == []
    assert [path for path in seen["path"][4:] if "site-packages" in path] == []
    assert seen["found"] == {
        "boto3": True, "dateutil": True, "orchestrator": False, "pulumi": False, "pandas": False, "pytest": False,
    }  # fmt: skip
    assert seen["cwd"] == str(folder / "var" / "task")


WRITE = """
    from pathlib import Path
    import tempfile
    def handler(event, context):
        with tempfile.TemporaryFile() as file:
            file.write(b"1")
        for path in (Path("new"), Path("main.py")):
            try:
                path.write_text("1")
            except PermissionError:
                continue
            return f"wrote {path}"
        return "nothing but a temporary file"
"""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_the_functions_folder_cannot_be_written(start: Callable[..., Instance]) -> None:
    assert ask(start(WRITE)) == "nothing but a temporary file"


def test_the_functions_folder_is_read_only(start: Callable[..., Instance], tmp_path: Path) -> None:
    start(WRITE)
    task = tmp_path / "instance" / "var" / "task"
    assert [path.stat().st_mode & 0o777 for path in (task, task / "main.py")] == [0o555, 0o444]


def test_cold_then_warm(start: Callable[..., Instance]) -> None:
    instance = start(
        """
        import os
        calls = 0
        def handler(event, context):
            global calls
            calls += 1
            return [calls, os.getpid(), event["n"], context.function_name, context.get_remaining_time_in_millis()]
        """
    )
    first, second = ask(instance, n="one"), ask(instance, n="two")
    assert (first[0], first[2], second[0], second[2]) == (1, "one", 2, "two")
    assert first[1] == second[1] == instance._process._process.pid
    assert first[3] == instance._name
    assert 0 < first[4] <= 10_000


def test_what_is_printed_and_an_exception_are_in_the_log(
    start: Callable[..., Instance], log: Callable[[str], list[str]]
) -> None:
    instance = start(
        """
        def handler(event, context):
            print("so far\\n\\nso good")
            return {}["hail"]
        """
    )
    assert instance.invoke(b"{}").answer is None
    task = instance._folder / "var" / "task"
    assert log(instance._name) == [
        START,
        "so far\n",
        "\n",
        "so good\n",
        (
            "[ERROR] KeyError: 'hail'\nTraceback (most recent call last):\n"
            f'\u00a0\u00a0File "{task}/main.py", line 4, in handler\n'
            '\u00a0\u00a0\u00a0\u00a0return {}["hail"]'
        ),
        END,
        REPORT,
    ]
    assert not instance.ended


def test_a_module_that_cannot_be_imported(start: Callable[..., Instance], log: Callable[[str], list[str]]) -> None:
    instance = start("import pandas\n")
    assert instance.invoke(b"{}").answer is None
    said = log(instance._name)
    assert said[0] == START
    assert said[1].startswith("[WARNING]\tTIME\t\tLAMBDA_WARNING: Unhandled exception. ")
    assert said[2:] == [
        (
            "[ERROR] Runtime.ImportModuleError: Unable to import module 'main': No module named 'pandas'\n"
            "Traceback (most recent call last):"
        ),
        END,
        REPORT,
    ]
    assert instance._process._process.wait(10) == 1


def test_the_timeout(start: Callable[..., Instance], log: Callable[[str], list[str]]) -> None:
    instance = start(
        """
        import time
        def handler(event, context):
            print("waiting for ever")
            time.sleep(3600)
        """,
        Timeout=2,
    )
    assert instance.invoke(b"{}").answer is None
    assert instance.ended
    assert not psutil.pid_exists(instance._process._process.pid)
    assert log(instance._name) == [
        START,
        "waiting for ever\n",
        "TIME ID Task timed out after 2.00 seconds\n",
        END,
        REPORT,
    ]


def test_more_memory_than_it_has(start: Callable[..., Instance], log: Callable[[str], list[str]]) -> None:
    instance = start(
        """
        import time
        def handler(event, context):
            kept = bytes(1) * (300 * 1024 * 1024)
            time.sleep(3600)
        """
    )
    assert instance.invoke(b"{}").answer is None
    assert instance._process._process.wait(10) == -9
    assert log(instance._name) == [
        START,
        "RequestId: ID Error: Runtime exited with error: signal: killed\nRuntime.ExitError\n",
        END,
        REPORT,
    ]


def test_the_report_says_that_memory_ran_out(start: Callable[..., Instance], amazon: Amazon) -> None:
    instance = start("import time\ndef handler(event, context):\n    kept = bytes(1) * 2**29\n    time.sleep(3600)\n")
    instance.invoke(b"{}")
    group = f"/aws/lambda/{instance._name}"
    report = amazon.client("logs", REGION).filter_log_events(logGroupName=group)["events"][-1]["message"]
    assert report.endswith("\tMemory Size: 256 MB\tMax Memory Used: 256 MB\t\n")


HELLO = "def handler(event, context):\n    print('hello')\n"


def test_a_role_that_may_not_write_the_log(start: Callable[..., Instance], amazon: Amazon) -> None:
    instance = start(HELLO, allowed=["logs:CreateLogGroup", "logs:CreateLogStream"])
    assert ask(instance) is None
    group = f"/aws/lambda/{instance._name}"
    assert amazon.client("logs", REGION).filter_log_events(logGroupName=group)["events"] == []


def test_a_role_that_may_make_a_log_group_leaves_one_behind(start: Callable[..., Instance], amazon: Amazon) -> None:
    assert ask(instance := start(HELLO)) is None
    assert _groups(amazon, instance) == [f"/aws/lambda/{instance._name}"]


def test_a_role_that_may_not_leaves_none(start: Callable[..., Instance], amazon: Amazon) -> None:
    assert ask(instance := start(HELLO, allowed=["logs:CreateLogStream", "logs:PutLogEvents"])) is None
    assert _groups(amazon, instance) == []


def _groups(amazon: Amazon, instance: Instance) -> list[str]:
    groups = amazon.client("logs", REGION).describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{instance._name}")
    return [group["logGroupName"] for group in groups["logGroups"]]
