"""What a handler gets and what becomes of its answer: our bootstrap ("ours"), and AWS's own ("theirs")."""

import io
import json
import re
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

from orchestrator.package import Package
from orchestrator.rehearsal.aws.cloud import Amazon
from stacks.naming import Names
from tests.contract.aws.aws_runtimes import REGION, Function, runtime_folder

# ---- What the handler gets


def test_the_context(start_function: Callable[..., Function]) -> None:
    function = start_function(
        """
        NAMES = (
            "aws_request_id", "function_name", "function_version", "invoked_function_arn", "memory_limit_in_mb",
            "log_group_name", "log_stream_name", "client_context", "tenant_id",
        )
        def handler(event, context):
            remaining = context.get_remaining_time_in_millis()
            return {name: getattr(context, name) for name in NAMES} | {
                "identity": [context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id],
                "w3c": context.w3c(),
                "remaining": [type(remaining).__name__, 0 < remaining <= 10_000],
                "repr": repr(context),
                "public": sorted(name for name in dir(context) if not name.startswith("_")),
            }
        """
    )
    context = json.loads(function.answer() or b"")
    name, request, stream = function.name, context.pop("aws_request_id"), context.pop("log_stream_name")
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", request)
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
    assert context == {
        "function_name": name,
        "function_version": "$LATEST",
        "invoked_function_arn": arn,
        "memory_limit_in_mb": "256",
        "log_group_name": f"/aws/lambda/{name}",
        "client_context": None,
        "tenant_id": None,
        "identity": [None, None],
        "w3c": {},
        "remaining": ["int", True],
        "repr": (
            f"LambdaContext([aws_request_id={request},log_group_name=/aws/lambda/{name},log_stream_name={stream},"
            f"function_name={name},memory_limit_in_mb=256,function_version=$LATEST,invoked_function_arn={arn},"
            "client_context=None,"
            "identity=CognitoIdentity([cognito_identity_id=None,cognito_identity_pool_id=None]),tenant_id=None])"
        ),
        "public": [
            *("aws_request_id", "client_context", "function_name", "function_version", "get_remaining_time_in_millis"),
            *("identity", "invoked_function_arn", "log", "log_group_name", "log_stream_name", "memory_limit_in_mb"),
            *("tenant_id", "w3c"),
        ],
    }


def test_the_environment(start_function: Callable[..., Function], amazon: Amazon) -> None:
    function = start_function(
        "import os\ndef handler(event, context):\n    return dict(os.environ)\n",
        Environment={"Variables": {"CHART_TITLE": "Hagel im März"}},
    )
    seen = json.loads(function.answer() or b"")
    session = amazon.key(seen.pop("AWS_ACCESS_KEY_ID"))
    assert session is not None
    task, opt, runtime = function.folder / "var" / "task", function.folder / "opt", function.runtime
    trace = seen.pop("_X_AMZN_TRACE_ID")
    assert re.fullmatch("Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", trace)
    for by_chance in ("AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_LOG_STREAM_NAME", "TMPDIR"):
        seen.pop(by_chance)
    for of_the_shell in ("PWD", "SHLVL", "_", "OLDPWD"):
        seen.pop(of_the_shell, None)
    seen.pop("LC_CTYPE", None)  # Python sets it itself where there is no locale.
    assert seen == {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": amazon.endpoint,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_REGION": REGION,
        "AWS_SECRET_ACCESS_KEY": session.secret,
        "AWS_SESSION_TOKEN": session.session_token,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "CHART_TITLE": "Hagel im März",
        "LAMBDA_RUNTIME_DIR": str(runtime),
        "LAMBDA_TASK_ROOT": str(task),
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": f"{runtime}:{runtime}/lib:{task}:{task}/lib:{opt}/lib",
        "PATH": f"/usr/local/bin:/usr/bin/:/bin:{opt}/bin",
        "PYTHONPATH": str(runtime),
        "TZ": ":UTC",
        "_HANDLER": "main.handler",
    }


def test_text_of_any_script_comes_and_goes(start_function: Callable[..., Function]) -> None:
    function = start_function("def handler(event, context):\n    print(event['text'])\n    return event\n")
    text = 'Zürich "München" 東京 \N{HATCHING CHICK} \\ \x7f \u2028 \x85'
    assert function.answer(text=text) == json.dumps({"text": text}, ensure_ascii=False).encode()
    assert function.log() == [f"{text}\n"]


def test_a_runtime_of_old_answers_in_ascii(start_function: Callable[..., Function]) -> None:
    function = start_function("def handler(event, context):\n    return event\n", Runtime="python3.11")
    assert function.answer(text="Zürich \N{HATCHING CHICK}") == b'{"text": "Z\\u00fcrich \\ud83d\\udc23"}'


def test_globals_are_kept_between_calls(start_function: Callable[..., Function]) -> None:
    function = start_function(
        """
        import os
        print("once")
        calls = []
        def handler(event, context):
            calls.append(event["n"])
            return [calls, os.getpid() == first]
        first = os.getpid()
        """
    )
    assert [function.answer(n=n) for n in range(3)] == [b"[[0], true]", b"[[0, 1], true]", b"[[0, 1, 2], true]"]
    assert [event for event in function.log() if event == "once\n"] == ["once\n"]


# ---- What becomes of its answer

VALUES = {
    "None": b"null",
    "(1, [2.0, True])": b"[1, [2.0, true]]",
    "{1: 'a', 1.5: 'b', True: 'c', None: 'd'}": b'{"1": "c", "1.5": "b", "null": "d"}',
    "2**70": b"1180591620717411303424",
    "0.1 + 0.2": b"0.30000000000000004",
    "1e300 * 1e300": b"Infinity",
    "float('nan')": b"NaN",
    "Decimal('1.10')": b"1.10",
    "[Decimal('NaN'), Decimal('1E+2'), '1.10']": b'[NaN, 1E+2, "1.10"]',
    "Point(1, 'two')": b'{"x": 1, "y": "two"}',
    "b'\\x00\\xff'": b"\x00\xff",
    "{'png': b'abc'}": b'{"png": "abc"}',
    "'<&>\"\\n/'": b'"<&>\\"\\n/"',
    "Number.ONE": b"1",
}
NOT_VALUES = {
    "{1, 2}": "Object of type set is not JSON serializable",
    "[datetime(2026, 1, 1)]": "Object of type datetime is not JSON serializable",
    "{(1, 2): 3}": "keys must be str, int, float, bool or None, not tuple",
    "circle": "Circular reference detected",
}
EVALUATE = """
    from collections import namedtuple
    from datetime import datetime
    from decimal import Decimal
    from enum import IntEnum
    Point = namedtuple("Point", "x y")
    Number = IntEnum("Number", "ONE")
    circle = []
    circle.append(circle)
    def handler(event, context):
        return eval(event["value"])
"""


def test_values_become_json(start_function: Callable[..., Function]) -> None:
    function = start_function(EVALUATE)
    assert {value: function.answer(value=value) for value in VALUES} == VALUES


def test_values_that_are_not_json(start_function: Callable[..., Function]) -> None:
    function = start_function(EVALUATE)
    assert [function.answer(value=value) for value in NOT_VALUES] == [None] * len(NOT_VALUES)
    said = [event for event in function.log() if event.startswith("[ERROR]")]
    assert said == [
        f"[ERROR] Runtime.MarshalError: Unable to marshal response: {why}\nTraceback (most recent call last):"
        for why in NOT_VALUES.values()
    ]
    assert not function.instance.ended


def test_an_answer_that_is_too_large_ends_the_process(start_function: Callable[..., Function]) -> None:
    function = start_function("def handler(event, context):\n    return 'x' * event['size']\n")
    largest = 6 * 1024 * 1024 + 100 - 2  # JSON's two quotes are part of it.
    assert len(function.answer(size=largest) or b"") == largest + 2
    assert function.answer(size=largest + 1) is None
    assert function.log()[-1] == "RequestId: ID Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n"


def test_the_packaged_function_answers_with_the_same_bytes(
    *, amazon: Amazon, names: Names, packed: Package, part: Callable[[str], Path], tmp_path: Path
) -> None:
    assert packed.layer is not None
    s3, functions, iam = (amazon.client(service, REGION) for service in ("s3", "lambda", "iam"))
    s3.create_bucket(Bucket=names.prefix)
    csv = b"event_begin_time,magnitude,month\n1993-03-25T16:10:00,1.75,3\n1985-03-04T17:00:00,,3\n"
    s3.put_object(Bucket=names.prefix, Key="extract.csv", Body=csv)
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{names.prefix}/extract.csv"}
    role = iam.create_role(RoleName=names.prefix, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": [read]})
    iam.put_role_policy(RoleName=names.prefix, PolicyName="read", PolicyDocument=policy)
    layer = functions.publish_layer_version(
        LayerName=names.prefix, Content={"ZipFile": packed.layer.path.read_bytes()}, CompatibleRuntimes=["python3.13"]
    )
    settings = {"DATA_BUCKET": names.prefix, "DATA_KEY": "extract.csv", "CHART_TITLE": "Hagel", "CHART_SOURCE": "NOAA"}
    functions.create_function(
        FunctionName=names.prefix,
        Runtime="python3.13",
        Handler="aws_main.handler",
        Role=role["Arn"],
        Code={"ZipFile": packed.function.path.read_bytes()},
        Layers=[layer["LayerVersionArn"]],
        Environment={"Variables": settings},
        Timeout=60,
        MemorySize=1024,
    )
    answers = {}
    for side in ("ours", "theirs"):
        runtime = runtime_folder(side, part, tmp_path / f"{side}-runtime")
        function = Function(amazon, names.prefix, tmp_path / side, runtime)
        try:
            answers[side] = function.answer(version="2.0", headers={"accept": "application/json"})
        finally:
            function.instance.end()
    assert answers["ours"] == answers["theirs"]
    assert json.loads(json.loads(answers["ours"] or b"")["body"])["counts"] == {"25": 1, "4": 1}


def test_a_module_in_a_folder_and_a_layer(
    start_function: Callable[..., Function], amazon: Amazon, names: Names
) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as layer:
        layer.writestr("python/hail.py", "size = 'from python'")
        layer.writestr("python/storm/__init__.py", "")
        layer.writestr(
            "python/storm/main.py", textwrap.dedent("import hail\ndef handler(e, c):\n    return hail.size\n")
        )
    published = amazon.client("lambda", REGION).publish_layer_version(
        LayerName=f"{names.prefix}-layer", Content={"ZipFile": archive.getvalue()}
    )
    function = start_function("", Handler="storm/main.handler", Layers=[published["LayerVersionArn"]])
    assert function.answer() == b'"from python"'
