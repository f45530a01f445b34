"""A function's log, and what is said of its errors: under our bootstrap ("ours"), and AWS's own ("theirs")."""

import json
import re
from collections.abc import Callable

import pytest

from orchestrator.rehearsal.aws.cloud import Amazon
from tests.contract.aws.aws_runtimes import REGION, Function

WARNING = (
    "[WARNING]\tTIME\t\tLAMBDA_WARNING: Unhandled exception. The most likely cause is an issue in the function code. "
    "However, in rare cases, a Lambda runtime update can cause unexpected function behavior. For functions using "
    "managed runtimes, runtime updates can be triggered by a function change, or can be applied automatically. To "
    "determine if the runtime has been updated, check the runtime version in the INIT_START log entry. If this error "
    "correlates with a change in the runtime version, you may be able to mitigate this error by temporarily rolling "
    "back to the previous runtime version. For more information, see "
    "https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html\r\n"
)


# ---- What goes into its log


def test_log_lines(start_function: Callable[..., Function]) -> None:
    function = start_function(
        """
        import logging, sys
        logging.basicConfig(level=logging.DEBUG, format="never: the root logger has its handler")
        logging.warning("before any request")
        def handler(event, context):
            print("one\\n\\ntwo")
            print("to standard error", file=sys.stderr)
            logging.info("not at this level")
            logging.warning("two\\nlines, %s", "März")
            logging.getLogger("hail").setLevel(logging.DEBUG)
            logging.getLogger("hail").debug("of a library")
            context.log("as it is")
            context.log("")
            print("\\r no end", end="")
            try:
                1 / 0
            except ZeroDivisionError:
                logging.exception("caught")
        """
    )
    assert function.answer() == b"null"
    assert function.log() == [
        "[WARNING]\tTIME\t\tbefore any request\n",
        "one\n",
        "\n",
        "two\n",
        "to standard error\n",
        "[WARNING]\tTIME\tID\ttwo\nlines, März\n",
        "[DEBUG]\tTIME\tID\tof a library\n",
        "as it is",
        "\r no end",
        (
            "[ERROR]\tTIME\tID\tcaught\nTraceback (most recent call last):\n"
            '  File "TASK/main.py", line 16, in handler\n    1 / 0\n    ~~^~~\n'
            "ZeroDivisionError: division by zero"
        ),
    ]


def test_the_time_in_a_log_line_is_utc(start_function: Callable[..., Function], amazon: Amazon) -> None:
    function = start_function(
        """
        import logging, time
        def handler(event, context):
            logging.warning("now")
            return time.strftime("%Y-%m-%dT%H:%M", time.gmtime())
        """,
        Environment={"Variables": {"TZ": "Asia/Tokyo"}},
    )
    now = json.loads(function.answer() or b"")
    events = amazon.client("logs", REGION).filter_log_events(logGroupName=f"/aws/lambda/{function.name}")["events"]
    assert events[1]["message"].startswith(f"[WARNING]\t{now}:")


# ---- What goes wrong

NO_BREAK = "\u00a0"


def test_a_handler_that_raises(start_function: Callable[..., Function]) -> None:
    function = start_function(
        """
        def look(storms):
            return storms["hail"]
        def handler(event, context):
            return look({})
        """
    )
    assert function.answer() is None
    assert function.log() == [
        (
            "[ERROR] KeyError: 'hail'\nTraceback (most recent call last):\n"
            f'{NO_BREAK * 2}File "TASK/main.py", line 5, in handler\n{NO_BREAK * 4}return look({{}})\n'
            f'{NO_BREAK * 2}File "TASK/main.py", line 3, in look\n{NO_BREAK * 4}return storms["hail"]'
        )
    ]
    assert not function.instance.ended


def test_an_error_without_words(start_function: Callable[..., Function]) -> None:
    function = start_function("def handler(event, context):\n    raise ValueError\n")
    assert function.answer() is None
    assert function.log() == [
        (
            "[ERROR] ValueError\nTraceback (most recent call last):\n"
            f'{NO_BREAK * 2}File "TASK/main.py", line 2, in handler\n{NO_BREAK * 4}raise ValueError'
        )
    ]


def test_a_chained_error_is_the_last_one(start_function: Callable[..., Function]) -> None:
    function = start_function(
        """
        def handler(event, context):
            try:
                1 / 0
            except ZeroDivisionError as error:
                raise RuntimeError("no\\nhail") from error
        """
    )
    assert function.answer() is None
    assert function.log() == [
        (
            "[ERROR] RuntimeError: no\nhail\nTraceback (most recent call last):\n"
            f'{NO_BREAK * 2}File "TASK/main.py", line 6, in handler\n'
            f'{NO_BREAK * 4}raise RuntimeError("no\\nhail") from error'
        )
    ]


@pytest.mark.parametrize(
    ("code", "handler", "said"),
    [
        (
            "import hail",
            "main.handler",
            (
                "Runtime.ImportModuleError: Unable to import module 'main': No module named 'hail'\n"
                "Traceback (most recent call last):"
            ),
        ),
        (
            "raise ImportError('too small')",
            "main.handler",
            "Runtime.ImportModuleError: Unable to import module 'main': too small\nTraceback (most recent call last):",
        ),
        (
            "",
            "storm.handler",
            (
                "Runtime.ImportModuleError: Unable to import module 'storm': No module named 'storm'\n"
                "Traceback (most recent call last):"
            ),
        ),
        (
            "hail = 1\nhail = (",
            "main.handler",
            (
                "Runtime.UserCodeSyntaxError: Syntax error in module 'main': '(' was never closed (main.py, line 2)\n"
                "Traceback (most recent call last):\n"
                f'{NO_BREAK * 2}File "TASK/main.py" Line 2\n{NO_BREAK * 4}hail = ('
            ),
        ),
        (
            "def handle(event, context): pass",
            "main.handler",
            "Runtime.HandlerNotFound: Handler 'handler' missing on module 'main'\nTraceback (most recent call last):",
        ),
        (
            "",
            "handler",
            (
                "Runtime.MalformedHandlerName: Bad handler 'handler': not enough values to unpack (expected 2, got 1)\n"
                "Traceback (most recent call last):"
            ),
        ),
        (
            "",
            "sys.exit",
            (
                "Runtime.BuiltInModuleConflict: Cannot use built-in module sys as a handler module\n"
                "Traceback (most recent call last):"
            ),
        ),
        (
            "1 / 0",
            "main.handler",
            (
                "ZeroDivisionError: division by zero\nTraceback (most recent call last):\n"
                f'{NO_BREAK * 2}File "/var/lang/importlib.py", line N, in import_module'
            ),
        ),
    ],
    ids=["library", "import-error", "module", "syntax", "handler", "no-dot", "built-in", "raises"],
)
def test_a_handler_that_cannot_be_had(
    start_function: Callable[..., Function], code: str, handler: str, said: str
) -> None:
    function = start_function(code, Handler=handler)
    assert function.answer() is None
    warning, error = function.log()
    assert warning == WARNING
    python = re.compile(r'"[^"]+/importlib/__init__\.py", line \d+, in import_module[\s\S]*')
    assert python.sub('"/var/lang/importlib.py", line N, in import_module', error) == f"[ERROR] {said}"
    assert function.instance._process._process.wait(10) == 1


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import sys; sys.exit(7)", "Runtime exited with error: exit status 7"),
        ("import sys; sys.exit()", "Runtime exited without providing a reason"),
        ("import os; os._exit(0)", "Runtime exited without providing a reason"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "Runtime exited with error: signal: killed"),
        ("kept = bytes(1) * 300 * 2**20; import time; time.sleep(60)", "Runtime exited with error: signal: killed"),
    ],
    ids=["status", "no-status", "hard", "signal", "memory"],
)
@pytest.mark.parametrize("when", ["init", "invoke"])
def test_a_process_that_ends(start_function: Callable[..., Function], code: str, how: str, when: str) -> None:
    function = start_function(code if when == "init" else f"def handler(event, context):\n    {code}\n")
    assert function.answer() is None
    assert function.log() == [f"RequestId: ID Error: {how}\nRuntime.ExitError\n"]
    assert function.instance.ended


def test_the_timeout(start_function: Callable[..., Function]) -> None:
    function = start_function(
        """
        import time
        def handler(event, context):
            print("waiting for ever", context.get_remaining_time_in_millis() <= 1000)
            time.sleep(3600)
        """,
        Timeout=1,
    )
    assert function.answer() is None
    assert function.log() == ["waiting for ever True\n", "TIME ID Task timed out after 1.00 seconds\n"]
    assert function.instance.ended
