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
REPORT = "REPORT RequestId: ID Duration: N ms Memory Size: 256 MB Max Memory Used: N MB"


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
    assert outcome.answer is not None, outcome.reason
    return json.loads(outcome.answer)


def test_lambdas_variables_and_no_others(
    start: Callable[..., Instance], amazon: Amazon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "ours")
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    instance = start(
        """
        import os
        def handler(event, context):
            return dict(os.environ)
        """,
        Environment={"Variables": {"CHART_TITLE": "Hail in March"}},
    )
    seen = ask(instance)
    name = instance._name
    session = amazon.key(seen.pop("AWS_ACCESS_KEY_ID"))
    assert session is not None
    assert session.role_arn == f"arn:aws:iam::123456789012:role/{name}"
    stream = seen.pop("AWS_LAMBDA_LOG_STREAM_NAME")
    assert stream.partition("/[$LATEST]")[1] == "/[$LATEST]"
    seen.pop("LC_CTYPE", None)  # Python sets it itself where there is no locale.
    assert seen == {
        "PATH": "/usr/local/bin:/usr/bin/:/bin",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "TMPDIR": str(tmp_path / "instance" / "tmp"),
        "LAMBDA_TASK_ROOT": str(tmp_path / "instance" / "var" / "task"),
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{instance._api.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_SECRET_ACCESS_KEY": session.secret,
        "AWS_SESSION_TOKEN": session.session_token,
        "AWS_ENDPOINT_URL": amazon.endpoint,
        "_HANDLER": "main.handler",
        "CHART_TITLE": "Hail in March",
    }


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
    ours = [str(folder / "var" / "task"), str(folder / "opt" / "python"), str(runtime)]
    assert seen["path"][:3] == ours
    assert [path for path in seen["path"][3:] if not path.startswith(sys.base_prefix)] == []
    assert [path for path in seen["path"][3:] if "site-packages" in path] == []
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


def test_an_empty_line_is_in_the_log(start: Callable[..., Instance], log: Callable[[str], list[str]]) -> None:
    instance = start(
        """
        def handler(event, context):
            print("one\\n\\ntwo")
        """
    )
    ask(instance)
    assert log(instance._name)[1:4] == ["one", "\n", "two"]


def test_an_exception_is_in_the_log(start: Callable[..., Instance], log: Callable[[str], list[str]]) -> None:
    instance = start(
        """
        def handler(event, context):
            print("so far so good")
            return {}["hail"]
        """
    )
    assert instance.invoke(b"{}").answer is None
    task = instance._folder / "var" / "task"
    assert log(instance._name) == [
        "START RequestId: ID Version: $LATEST",
        "so far so good",
        "[ERROR] KeyError: 'hail'",
        "Traceback (most recent call last):",
        f'  File "{task}/main.py", line 4, in handler',
        '    return {}["hail"]',
        "           ~~^^^^^^^^",
        "KeyError: 'hail'",
        "END RequestId: ID",
        REPORT,
    ]
    assert not instance.ended


def test_a_module_that_cannot_be_imported(start: Callable[..., Instance], log: Callable[[str], list[str]]) -> None:
    instance = start("import pandas\n")
    assert instance.invoke(b"{}").answer is None
    said = log(instance._name)
    assert said[:2] == [
        "START RequestId: ID Version: $LATEST",
        "[ERROR] ModuleNotFoundError: No module named 'pandas'",
    ]
    assert said[-3:] == ["ModuleNotFoundError: No module named 'pandas'", "END RequestId: ID", REPORT]
    assert instance._process._process.wait(10) == 1


def test_a_handler_that_is_not_there(start: Callable[..., Instance], log: Callable[[str], list[str]]) -> None:
    instance = start("def handle(event, context): pass\n")
    assert instance.invoke(b"{}").answer is None
    assert "[ERROR] AttributeError: module 'main' has no attribute 'handler'" in log(instance._name)


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
    outcome = instance.invoke(b"{}")
    assert (outcome.answer, outcome.reason) == (None, "Task timed out after 2.00 seconds")
    assert instance.ended
    assert not psutil.pid_exists(instance._process._process.pid)
    assert log(instance._name) == [
        "START RequestId: ID Version: $LATEST",
        "waiting for ever",
        "TIME ID Task timed out after 2.00 seconds",
        "END RequestId: ID",
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
    assert instance.invoke(b"{}").reason == "Runtime.OutOfMemory: more than 256 MB"
    assert instance._process._process.wait(10) == -9
    assert log(instance._name) == [
        "START RequestId: ID Version: $LATEST",
        "TIME ID Runtime.OutOfMemory: more than 256 MB",
        "END RequestId: ID",
        REPORT,
    ]


@pytest.mark.parametrize("status", [0, 7])
def test_a_handler_that_ends_the_process(
    start: Callable[..., Instance], log: Callable[[str], list[str]], status: int
) -> None:
    instance = start(f"import os\ndef handler(event, context):\n    os._exit({status})\n")
    assert instance.invoke(b"{}").answer is None
    assert log(instance._name)[1] == f"TIME ID Runtime exited with status {status}"


def test_an_answer_that_is_not_json(start: Callable[..., Instance], log: Callable[[str], list[str]]) -> None:
    instance = start("def handler(event, context):\n    return {1, 2}\n")
    assert instance.invoke(b"{}").answer is None
    assert "[ERROR] TypeError: Object of type set is not JSON serializable" in log(instance._name)


def test_an_answer_of_more_than_6_mb(start: Callable[..., Instance], log: Callable[[str], list[str]]) -> None:
    instance = start("def handler(event, context):\n    return 'x' * event['size']\n")
    largest = 6 * 1024 * 1024 + 100 - 2  # JSON's two quotes are part of it.
    assert len(ask(instance, size=largest)) == largest
    assert instance.invoke(json.dumps({"size": largest + 1}).encode()).answer is None
    assert log(instance._name)[-3] == (
        "TIME ID Response payload size (6291557 bytes) exceeded maximum allowed payload size (6291556 bytes)."
    )


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
