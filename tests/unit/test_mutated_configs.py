"""200 mutated configs: each gives settings that say what it says, or one readable refusal; never anything else.

The shipped configs are what is mutated, with a fixed choice of mutations. What a config says is read once more by
ruamel.yaml's own loader, which knows nothing of ours.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from orchestrator.errors import UsageError
from orchestrator.settings import DEFAULT_CONFIG, Settings, load

# With what only their user knows.
SHIPPED = {
    path.name: re.sub(rb"(?m)^(  project:) *(#|$)", rb"\1 my-project-123 \2", path.read_bytes()).replace(
        b"  subscription: ", b"  subscription: 01234567-89ab-cdef-0123-456789abcdef "
    )
    for path in sorted(DEFAULT_CONFIG.parent.glob("*.yaml"))
}
KEYS = ["mode", "data", "project", "compute", "cloud", "region", "analysis", "query", "title", "parameters", "results"]
ODD = [
    *("", "null", "~", "true", "no", "0", "-1", "1e999", ".nan", "0x" + "f" * 300, "9" * 5000, "1:2:3", "2026-13-45"),
    *(
        "[]",
        "[[[]]]",
        "{}",
        "{a: {b: {c: d}}}",
        "- a",
        "? a",
        "|",
        ">",
        "%",
        "@x",
        "`x`",
        "*x",
        "&x y",
        "<<: {mode: live}",
    ),
    *("!!python/object/apply:os.system [touch made]", "!!binary aGFpbA==", "!x y", "!!str 1", "!!set {a}", "!<x> y"),
    *('"', "'", '"\\U00110000"', '"\\ud800"', '"\\0"', '"\\e[2J"', "a: b: c", "a #b", "../../../etc", "/dev/zero"),
    *("$(touch made)", "; touch made", "${HOME}", "{{7*7}}", "%s%n", "a\u202eb", "a\u2028b", "\ufeff", "\U0001f9ca"),
    *("x" * 5000, "[" * 3000, "{a: " * 3000, "- " * 3000, "s3://me:secret@bucket", "file:///a b", "rehearsal-project"),
]
ENCODINGS = ["utf-16", "utf-32", "utf-8-sig", "latin-1", "cp037"]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A shipped config after one to four mutations."""
    content = SHIPPED[draw(st.sampled_from(sorted(SHIPPED)))]
    for _ in range(draw(st.integers(1, 4))):
        content = draw(st.sampled_from(MUTATIONS))(draw, content)
    return content


def flip(draw: st.DrawFn, content: bytes) -> bytes:
    if not content:
        return content
    place, bit = draw(st.integers(0, len(content) - 1)), draw(st.integers(0, 7))
    return content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]


def cut(draw: st.DrawFn, content: bytes) -> bytes:
    start, end = sorted(draw(st.integers(0, len(content))) for _ in range(2))
    return content[:start] + content[end:]


def repeat(draw: st.DrawFn, content: bytes) -> bytes:
    start, end = sorted(draw(st.integers(0, len(content))) for _ in range(2))
    return content[:end] + content[start:end] * draw(st.sampled_from([1, 2, 50])) + content[end:]


def insert(draw: st.DrawFn, content: bytes) -> bytes:
    place = draw(st.integers(0, len(content)))
    return content[:place] + draw(st.sampled_from(ODD)).encode("utf-8", "surrogatepass") + content[place:]


def another_value(draw: st.DrawFn, content: bytes) -> bytes:
    """The value of one line."""
    lines = content.split(b"\n")
    number = draw(st.integers(0, len(lines) - 1))
    name, colon, _ = lines[number].partition(b":")
    lines[number] = name + colon + b" " + draw(st.sampled_from(ODD)).encode("utf-8", "surrogatepass")
    return b"\n".join(lines)


def another_key(draw: st.DrawFn, content: bytes) -> bytes:
    old, new = draw(st.sampled_from(KEYS)), draw(st.sampled_from([*KEYS, "", "?", "x" * 300, "__class__", '"a b"']))
    return content.replace(f"{old}:".encode(), f"{new}:".encode(), draw(st.sampled_from([1, -1])))


def another_line(draw: st.DrawFn, content: bytes) -> bytes:
    """A line moved, doubled, or in another column."""
    lines = content.split(b"\n")
    line = lines[draw(st.integers(0, len(lines) - 1))]
    lines.insert(draw(st.integers(0, len(lines))), b" " * draw(st.integers(0, 4)) + line)
    return b"\n".join(lines)


def another_encoding(draw: st.DrawFn, content: bytes) -> bytes:
    return content.decode("utf-8", "replace").encode(draw(st.sampled_from(ENCODINGS)), "replace")


MUTATIONS: list[Callable[[st.DrawFn, bytes], bytes]] = [
    *(flip, cut, repeat, insert, another_value, another_value, another_key, another_line, another_encoding),
]


def said(path: Path, *keys: str) -> Any:
    """What the config at ``path`` says to a reader who is not ours; None when it says nothing."""
    found: Any = YAML(typ="safe", pure=True).load(path.read_bytes().decode("utf-8-sig"))
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def refusal_or_settings(path: Path, environ: Mapping[str, str]) -> Settings | str:
    try:
        return load(path, environ=environ)
    except UsageError as error:
        return str(error)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_mutated_config_is_refused_or_means_what_it_says(tmp_path: Path) -> None:
    path, outcomes = tmp_path / "mutated.yaml", []

    @settings(max_examples=200, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(content=mutated())
    def check(content: bytes) -> None:
        path.write_bytes(content)
        outcome = refusal_or_settings(path, {})
        outcomes.append(outcome)
        assert list(tmp_path.iterdir()) == [path]  # It ran nothing.
        if isinstance(outcome, Settings):
            check_meaning(outcome, path)
        else:
            check_refusal(outcome, path)

    check()
    whole = sum(isinstance(outcome, Settings) for outcome in outcomes)
    assert len(outcomes) >= 200
    assert 20 <= whole <= 180  # Both are put to the test.


def check_meaning(chosen: Settings, path: Path) -> None:
    assert chosen.mode == (said(path, "mode") or "rehearsal")
    assert chosen.data.project == said(path, "data", "project")
    assert chosen.compute.cloud == said(path, "compute", "cloud")
    assert chosen.analysis.title == said(path, "analysis", "title")
    assert chosen.analysis.query == path.parent / said(path, "analysis", "query")
    assert chosen.results == Path(said(path, "results") or "results")
    assert chosen.backend == said(path, "backend")


def check_refusal(refusal: str, path: Path) -> None:
    brief, *_, last = refusal.splitlines()
    assert str(path) in brief
    assert last.startswith("To fix it: ")
    assert all(line.isprintable() for line in refusal.splitlines())
    assert len(refusal) < 100_000
    assert "secret" not in refusal


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(
    name=st.sampled_from([*(key.upper() for key in KEYS), "", "_", "__", "A__B__C", "COMPUTE__CLOUD", "DATA__PROJECT"])
    | st.text(st.characters(exclude_characters="=\0", codec="utf-8"), max_size=20),
    value=st.sampled_from([odd for odd in ODD if "\0" not in odd]) | st.text(st.characters(exclude_characters="\0")),
)
def test_an_odd_variable_is_refused_or_means_what_it_says(name: str, value: str) -> None:
    outcome = refusal_or_settings(DEFAULT_CONFIG, {f"ORCHESTRATOR_{name}": value})
    if isinstance(outcome, str):
        check_refusal(outcome, DEFAULT_CONFIG)
    else:
        assert name == "HOME" or outcome.origin(tuple(name.lower().split("__"))) == f"ORCHESTRATOR_{name}"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"mode: [",
        b"mode: live\0",
        b"a: &a [*a]\n",
        b"- " * 5000,
        b'title: "\\U00110000"\n',
        b"x: !!python/object/apply:os.system [touch made]\n",
        b"a: 1\n" * 20_000,
        SHIPPED["rehearsal.yaml"].replace(b"queries/hail_days.sql", b"/dev/zero"),
    ],
)
def test_the_program_itself_refuses_without_a_traceback(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mutated.yaml").write_bytes(content)
    ended = subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", "--config", "mutated.yaml"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "ORCHESTRATOR_HOME": str(tmp_path / "home"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("To fix it: ")
    assert [path.name for path in tmp_path.iterdir()] == ["mutated.yaml"]
