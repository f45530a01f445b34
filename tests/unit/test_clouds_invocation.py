"""The function's answer, as it is checked on every cloud."""

import base64
import json

import pytest

from orchestrator.clouds import Answer
from orchestrator.clouds.invocation import OK, FunctionError, checked

PNG = b"\x89PNG\r\n\x1a\nand so on"
SAID = {"counts": {"4": 1, "25": 11}, "chart_png": base64.b64encode(PNG).decode(), "rows": 12}


def test_the_answer() -> None:
    assert checked(OK, json.dumps(SAID).encode()) == Answer({"4": 1, "25": 11}, 12, PNG)
    assert checked(OK, json.dumps(SAID | {"counts": {}, "rows": 0}).encode()) == Answer({}, 0, PNG)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        (b"<html>", "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        (b"[]", "TypeError: list indices must be integers or slices, not str"),
        (b"{}", "KeyError: 'counts'"),
        (json.dumps(SAID | {"counts": [1]}), "AttributeError: 'list' object has no attribute 'items'"),
        (json.dumps(SAID | {"counts": {"25": "11"}}), "TypeError: '11' is no whole number"),
        (json.dumps(SAID | {"counts": {"25": 1.5}}), "TypeError: 1.5 is no whole number"),
        (json.dumps(SAID | {"counts": {"25": float("inf")}}), "TypeError: inf is no whole number"),
        (json.dumps(SAID | {"rows": True}), "TypeError: True is no whole number"),
        (json.dumps(SAID | {"rows": None}), "TypeError: None is no whole number"),
        (json.dumps(SAID | {"chart_png": "*"}), "Error: Only base64 data is allowed"),
        (json.dumps(SAID | {"chart_png": "PHN2Zz4="}), "ValueError: chart_png is no PNG"),
        (json.dumps({"counts": {}, "rows": 0}), "KeyError: 'chart_png'"),
    ],
)
def test_an_answer_of_another_form(content: bytes | str, reason: str) -> None:
    with pytest.raises(FunctionError) as raised:
        checked(OK, content if isinstance(content, bytes) else content.encode())
    assert raised.value.exit_code == 1
    assert str(raised.value) == (
        "The function's answer is not what it should be\n"
        f'  {reason}. Expected {{"counts": {{"25": 11, ...}}, "chart_png": "<base64>", "rows": 27}}.\n'
        "To fix it: see chart.py in function_code/ for the answer's form."
    )


@pytest.mark.parametrize(
    ("content", "said", "details"),
    [
        (b"Traceback ...", "", "Traceback ..."),
        (b"Internal Server Error", "[ERROR] ValueError: hail", "[ERROR] ValueError: hail"),
        (b"", "", None),
        (b"\xff", "", "\ufffd"),
    ],
)
def test_a_function_that_failed(content: bytes, said: str, details: str | None) -> None:
    with pytest.raises(FunctionError) as raised:
        checked(500, content, said=said)
    assert raised.value.brief == "The function answered 500"
    assert raised.value.details == details
    assert (
        raised.value.resolution
        == "the lines above are the function's: mend analysis.query or function_code/, and run again."
    )


def test_a_function_that_lacks_what_its_package_left_out() -> None:
    said = 'No module named x: it was left out of the function\'s package; set package.trim to "safe", then run again'
    with pytest.raises(FunctionError) as raised:
        checked(502, b"", said=said)
    assert raised.value.resolution == 'set package.trim to "safe", then run again.'


def test_a_function_that_ran_into_its_timeout_says_how_to_give_it_more() -> None:
    with pytest.raises(FunctionError) as late:
        checked(502, b"Internal Server Error", said="START\nREPORT Status: timeout\nTask timed out after 5.00 seconds")
    assert str(late.value) == (
        "The function was not done within its timeout\n"
        "  START\n"
        "  REPORT Status: timeout\n"
        "  Task timed out after 5.00 seconds\n"
        "To fix it: raise compute.timeout, or let function_code/ do less, and run again."
    )
