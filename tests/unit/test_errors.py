"""Errors as a person reads them, and the exit code of each class."""

import signal

import pytest

from orchestrator.errors import (
    InterruptedRunError,
    OrchestratorError,
    OverCeilingError,
    ResourcesRemainError,
    UsageError,
)


def test_the_whole_message() -> None:
    error = OrchestratorError("The query failed", details="Syntax error\nat [3:7]", resolution="mend the query.")
    assert str(error) == "The query failed\n  Syntax error\n  at [3:7]\nTo fix it: mend the query."
    assert (error.brief, error.details, error.resolution) == (
        "The query failed",
        "Syntax error\nat [3:7]",
        "mend the query.",
    )


@pytest.mark.parametrize("nothing", [None, ""])
def test_what_is_not_known_takes_no_line(nothing: str | None) -> None:
    assert str(OrchestratorError("It failed", details=nothing, resolution=nothing)) == "It failed"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OrchestratorError("x"), 1),
        (UsageError("x"), 2),
        (ResourcesRemainError("x"), 3),
        (OverCeilingError("x"), 4),
        (InterruptedRunError(signal.SIGINT, "x"), 130),
        (InterruptedRunError(signal.SIGTERM, "x"), 143),
    ],
)
def test_each_class_has_its_exit_code(error: OrchestratorError, code: int) -> None:
    assert error.exit_code == code


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("GET /a?sv=1&sig=Ab%2Bc%3D&se=2 failed", "GET /a?sv=1&sig=...&se=2 failed"),
        ("https://a/api?code=k3y== (Caused by X)", "https://a/api?code=... (Caused by X)"),
        ("?X-Amz-Signature=0a1b&X-Amz-Security-Token=Fwo%2F&x=1", "?X-Amz-Signature=...&X-Amz-Security-Token=...&x=1"),
        ("'https%3A%2F%2Fa%3Fsv%3D1%26sig%3Dabc%253D'", "'https%3A%2F%2Fa%3Fsv%3D1%26sig%3D...'"),
        ("proxy http://me:pa:ss@proxy:3128/", "proxy http://...@proxy:3128/"),
        ("Authorization: Bearer eyJhbGciOiJSUzI1NiJ9.eyJz", "Authorization: ... ..."),
        ("{'Authorization': 'SharedKey me:c2lnbmF0dXJlMTIz'}", "{'Authorization': '... ...'}"),
        (
            "Authorization: AWS4-HMAC-SHA256 Credential=AK/1, SignedHeaders=host, Signature=0a1b",
            "Authorization: ... Credential=AK/1, SignedHeaders=host, Signature=...",
        ),
        ("got eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln, no", "got ..., no"),
        ("x-functions-key: abcdefgh", "x-functions-key: ..."),
        ("AccountName=a;AccountKey=YWJj+/==;BlobEndpoint=b", "AccountName=a;AccountKey=...;BlobEndpoint=b"),
        ("GITHUB_TOKEN=ghp_1 AWS_SECRET_ACCESS_KEY=x/y", "GITHUB_TOKEN=... AWS_SECRET_ACCESS_KEY=..."),
        (
            """environ({'AWS_SESSION_TOKEN': "it's", 'MY_PASSWORD': 'a\\'b"c', 'LANG': 'C'})""",
            """environ({'AWS_SESSION_TOKEN': "...", 'MY_PASSWORD': '...', 'LANG': 'C'})""",
        ),
        ('{"access_token":"abc","expires_in":3}', '{"access_token":"...","expires_in":3}'),
    ],
)
def test_what_others_say_is_told_without_their_secrets(said: str, told: str) -> None:
    assert str(OrchestratorError(said, details=said)) == f"{told}\n  {told}"
    assert repr(OrchestratorError(said)) == repr(OrchestratorError(told))


@pytest.mark.parametrize(
    "harmless",
    [
        'expected "key: value" lines',
        'KeyError: \'chart_png\'. Expected {"counts": {"25": 11}, ...}.',
        "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET (in CI use workload identity)",
        "https://a/b?x=1&pageToken=3, see //server/path or me@example.org",
        "The token has expired: basic authentication is off",
    ],
)
def test_what_is_no_secret_is_told(harmless: str) -> None:
    assert str(OrchestratorError(harmless)) == harmless
