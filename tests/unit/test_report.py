"""What stays of a run: the model, the three files, and that nothing foreign becomes markup in them."""

import base64
import json
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from pydantic import ValidationError

from orchestrator.clouds import Remaining
from orchestrator.errors import OrchestratorError
from orchestrator.journal import recovery_command
from orchestrator.report import (
    CriticalPath,
    PathStep,
    Phase,
    Resources,
    Result,
    count_bars,
    dollars,
    headline,
    html,
    leftover,
    markdown,
    removal_command,
    size,
    timeline,
    visible,
    write,
)

START = datetime(2026, 11, 23, 17, 35, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\nnot really a picture"
HOSTILE = (
    "<img src=x onerror=alert(1)></title></script><script>alert(1)</script> ` `` ``` **bold** [a](http://b) ![i](http://b)"
    " <http://b> @somebody #1 | # h\n\n```\n# out\n~~~\n<b>&amp;\x1b[2J\x1b]0;t\x07\u202e\u200f\u2028\x85\r\ud800"
)
SHOWN = visible(HOSTILE)
# What steers a terminal, a line or the direction of writing.
INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def phase(name: str, start: float | None, seconds: float, status: Any = "done", reason: str | None = None) -> Phase:
    started = None if start is None else START + timedelta(seconds=start)
    return Phase(name=name, started=started, seconds=seconds, status=status, reason=reason)


def result(**changes: Any) -> Result:
    values: dict[str, Any] = {
        "run_id": "r1",
        "status": "done",
        "exit_code": 0,
        "mode": "live",
        "data_source": "bigquery-public-data",
        "data_cloud": "gcp",
        "compute_cloud": "aws",
        "title": "Hail in March",
        "query": "SELECT @county",
        "parameters": {"county": "TRAVIS"},
        "rows": 27,
        "counts": {"4": 1, "12": 3, "25": 11},
        "bytes_processed": 12_900_000,
        "bytes_billed": 20_971_520,
        "extract_sha256": "ab" * 32,
        "chart_sha256": "cd" * 32,
        "cost_usd": 0.00012,
        "package_bytes": 40_500_000,
        "phases": [phase("data stack", 0, 2.5), phase("compute stack", 0, 10)],
        "critical_path": None,
        "resources": Resources(created=14, destroyed=14),
        "remaining": [],
        "error": None,
        "versions": {"pulumi": "3.250.0"},
    }
    return Result.model_validate(values | changes)


def remaining() -> Result:
    return result(
        status="resources remain",
        exit_code=3,
        remaining=[Remaining("aws", "s3:bucket", "b-1")],
        error="Not all is gone.",
    )


def hostile() -> Result:
    return result(
        status="resources remain",
        title=HOSTILE,
        data_source=HOSTILE,
        data_cloud=HOSTILE,
        compute_cloud=HOSTILE,
        query=HOSTILE,
        parameters={HOSTILE: HOSTILE},
        counts={HOSTILE: 2},
        error=HOSTILE,
        phases=[phase(HOSTILE, 0, 1, "failed", HOSTILE)],
        remaining=[Remaining(HOSTILE, HOSTILE, HOSTILE)],
        versions={"python": HOSTILE},
    )


class Page(HTMLParser):
    """Collects what a browser would see as tags and as text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def only(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_result_json_is_exactly_the_model(tmp_path: Path) -> None:
    write(remaining(), tmp_path)
    text = (tmp_path / "result.json").read_text(encoding="utf-8")
    assert Result.model_validate_json(text) == remaining()
    assert json.loads(text) == {
        "run_id": "r1",
        "status": "resources remain",
        "exit_code": 3,
        "mode": "live",
        "data_source": "bigquery-public-data",
        "data_cloud": "gcp",
        "compute_cloud": "aws",
        "title": "Hail in March",
        "query": "SELECT @county",
        "parameters": {"county": "TRAVIS"},
        "rows": 27,
        "counts": {"4": 1, "12": 3, "25": 11},
        "bytes_processed": 12_900_000,
        "bytes_billed": 20_971_520,
        "extract_sha256": "ab" * 32,
        "chart_sha256": "cd" * 32,
        "cost_usd": 0.00012,
        "package_bytes": 40_500_000,
        "phases": [
            {
                "name": "data stack",
                "started": "2026-11-23T17:35:00Z",
                "seconds": 2.5,
                "status": "done",
                "reason": None,
            },
            {
                "name": "compute stack",
                "started": "2026-11-23T17:35:00Z",
                "seconds": 10.0,
                "status": "done",
                "reason": None,
            },
        ],
        "critical_path": None,
        "resources": {"created": 14, "destroyed": 14},
        "remaining": [{"cloud": "aws", "kind": "s3:bucket", "id": "b-1"}],
        "error": "Not all is gone.",
        "versions": {"pulumi": "3.250.0"},
    }


def test_a_start_in_another_zone_is_kept_in_utc_and_one_without_a_zone_is_refused() -> None:
    tokyo = timezone(timedelta(hours=9))
    made = Phase(name="a", started=START.astimezone(tokyo), seconds=1, status="done", reason=None)
    assert made.model_dump_json() == (
        '{"name":"a","started":"2026-11-23T17:35:00Z","seconds":1.0,"status":"done","reason":null}'
    )
    with pytest.raises(ValidationError, match="should have timezone info"):
        Phase(name="a", started=START.replace(tzinfo=None), seconds=1, status="done", reason=None)


def test_a_field_that_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        result(colour="purple")


def test_every_file_is_its_owners_alone_and_no_temporary_file_stays(tmp_path: Path) -> None:
    directory = tmp_path / "results" / "r1"
    write(result(), directory)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in directory.iterdir()}
    assert modes == {"result.json": "0o600", "report.html": "0o600", "summary.md": "0o600"}


def test_writing_again_replaces(tmp_path: Path) -> None:
    write(result(), tmp_path)
    write(result(rows=28), tmp_path)
    assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["rows"] == 28


@contextmanager
def files_up_to(size_limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_breaks_off_names_the_path_and_leaves_the_old_file(tmp_path: Path) -> None:
    write(result(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with files_up_to(100), pytest.raises(OrchestratorError) as caught:
        write(result(rows=28), tmp_path)
    assert str(caught.value) == (
        f"The report of run r1 could not be written: {tmp_path}/result.json.\n"
        "  File too large\n"
        f"To fix it: make room, and make {tmp_path} a folder that you may write to. The run itself ended: done."
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    directory = tmp_path / "results" / "r1"
    with pytest.raises(OrchestratorError) as caught:
        write(result(status="failed"), directory)
    assert str(caught.value) == (
        f"The report of run r1 could not be written: {directory}.\n"
        "  Not a directory\n"
        f"To fix it: make room, and make {directory} a folder that you may write to. The run itself ended: failed."
    )


def test_the_page_shows_the_chart_the_numbers_the_phases_and_the_versions(tmp_path: Path) -> None:
    (tmp_path / "chart.png").write_bytes(PNG)
    write(result(), tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    chart = "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert page.only("img") == [{"alt": "Chart: Hail in March", "src": chart}]
    assert page.only("i") == [
        {"style": "margin-left:0.000%;width:25.000%"},
        {"style": "margin-left:0.000%;width:100.000%"},
    ]
    words = page.words
    assert "Hail in March done · gcp → aws · bigquery-public-data Rows 27" in words
    assert (
        "Rows 27 Most 11 at 25 Scanned 12.3 MiB Billed 20.0 MiB Estimated cost $0.00012 "
        "Package 38.6 MiB, 16.2 s to upload at 20 Mbit/s Took 10.0 s" in words
    )
    assert "Phases data stack 2.5 s compute stack 10.0 s 0 s 10.0 s Resources" in words
    assert "Resources 0 left: 14 created, 14 destroyed, and the clouds list nothing of this run. This run" in words
    assert "This run SELECT @county @county TRAVIS run r1 mode" in words
    assert words.endswith("pulumi 3.250.0")


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = Page(html(result(), PNG))
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert {"http-equiv": "Content-Security-Policy", "content": policy} in page.only("meta")
    assert page.only("script") == page.only("link") == page.only("a") == page.only("iframe") == []


def test_a_failed_run_without_chart_shows_the_error_what_remains_and_the_command() -> None:
    failed = result(
        status="resources remain",
        remaining=[Remaining("aws", "s3:bucket", "b-1")],
        phases=[
            phase("compute stack", 0, 9, "failed", "AccessDenied"),
            phase("invoke", None, 0, "skipped", "no run"),
        ],
        error="It failed.\n  Because.\nTo fix it: try again.",
    )
    page = Page(html(failed, None))
    words = page.words
    assert page.only("img") == []
    assert "It failed.\n  Because.\nTo fix it: try again." in page.texts
    assert "Phases compute stack 9.0 s failed: AccessDenied invoke - skipped: no run 0 s 9.0 s" in words
    assert (
        "1 left in the clouds; it may cost money until it is removed. aws s3:bucket b-1 "
        f"Remove it: {recovery_command('r1')}" in words
    )


def test_the_page_and_the_summary_say_synthetic_sample_and_rehearsal() -> None:
    rehearsed = result(mode="rehearsal", data_source="bigquery-public-data, stand-in over synthetic sample")
    for text in (Page(html(rehearsed, None)).words, markdown(rehearsed).replace("**:", " :").replace("**", "")):
        assert "Synthetic sample : this program made the data up; it says nothing about the real world." in text
        assert "Rehearsal : the clouds were stand-ins on this machine; nothing left it, nothing was charged." in text
    assert "Synthetic" not in html(result(), None)
    assert "Rehearsal" not in html(result(), None)


PATH = CriticalPath(
    seconds=6.5,
    ratio=10 / 6.5,
    steps=[
        PathStep(name="query", seconds=4, started=START + timedelta(seconds=2.5), took=4.25),
        PathStep(name="create <set>", seconds=0, started=None, took=None),
        PathStep(name="function", seconds=2.5, started=START + timedelta(seconds=7), took=3),
    ],
)


def test_the_page_shows_the_critical_path_and_what_passed_between_its_steps() -> None:
    words = Page(html(result(critical_path=PATH), None)).words
    assert (
        "Critical path What had to happen one after the other takes the clouds 6.5 s; the run took 10.0 s, 1.54 times "
        "that. What waited before a step is this machine's part: questions before the run, the engine's start, this "
        "program. step time in the clouds took waited before query 4.0 s 4.25 s 2.50 s "
        "create <set> 0.0 s function 2.5 s 3.00 s 0.25 s"
        " Resources"
    ) in words
    assert "Critical path" not in html(result(), None)


def test_the_headline_has_the_critical_path_where_it_is_known() -> None:
    assert headline(result(critical_path=PATH))[-1] == ("Critical path", "6.5 s; the run took 1.54 times that")
    assert "Critical path" not in dict(headline(result()))


def test_a_run_refused_before_its_first_phase_has_a_page() -> None:
    unknown = dict.fromkeys(
        ("rows", "counts", "bytes_processed", "bytes_billed", "cost_usd", "package_bytes", "chart_sha256")
    )
    nothing = Resources(created=0, destroyed=0)
    refused = result(**unknown, status="refused", exit_code=4, phases=[], resources=nothing, error="Too dear.")
    words = Page(html(refused, None)).words
    assert "Too dear. Resources Nothing was created. This run" in words


def test_nothing_foreign_becomes_html() -> None:
    tame, wild = Page(html(remaining(), PNG)), Page(html(hostile(), PNG))
    assert {tag for tag, _ in wild.tags} <= {tag for tag, _ in tame.tags} | {"pre", "div"}
    assert all(not name.startswith("on") for _, attributes in wild.tags for name in attributes)
    assert len(wild.only("img")) == 1
    # Title twice, the line with data and clouds thrice, error, most, phase, reason, version; query; a parameter's name
    # and value; what remains: cloud and kind, and its id.
    assert "".join(wild.texts).count(SHOWN) == 16
    assert sum(value == f"Chart: {SHOWN}" for _, attributes in wild.tags for value in attributes.values()) == 1
    assert INVISIBLE.search("".join(wild.texts)) is None


def test_nothing_foreign_becomes_markdown() -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown(hostile()))
    kinds = {child.type for token in tokens for child in [token, *(token.children or [])]}
    lists = {"bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"}
    inline = {"inline", "text", "code_inline"}
    assert kinds == {"heading_open", "heading_close", "paragraph_open", "paragraph_close", "fence"} | lists | inline
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h2"]
    assert INVISIBLE.search(markdown(hostile())) is None
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    assert headings == [f"```` {' '.join(SHOWN.split())} ````: resources remain"]


def test_nothing_foreign_steers_a_reader_of_the_json(tmp_path: Path) -> None:
    write(hostile(), tmp_path)
    text = (tmp_path / "result.json").read_text(encoding="utf-8")
    assert INVISIBLE.search(text) is None
    assert Result.model_validate_json(text).remaining == [Remaining(SHOWN, SHOWN, SHOWN)]


def test_the_reason_of_a_phase_is_told_without_the_secrets_in_it() -> None:
    assert phase("a", 0, 1, "failed", "ConnectionError: /x?sig=abc").reason == "ConnectionError: /x?sig=..."


def test_the_summary_whole() -> None:
    assert markdown(remaining()) == (
        """## ` Hail in March `: resources remain

- Rows: ` 27 `
- Most: ` 11 at 25 `
- Scanned: ` 12.3 MiB `
- Billed: ` 20.0 MiB `
- Estimated cost: ` $0.00012 `
- Package: ` 38.6 MiB, 16.2 s to upload at 20 Mbit/s `
- Took: ` 10.0 s `

```text
 4 █████ 1
12 ███████████████ 3
25 ██████████████████████████████████████████████████████ 11
```

```text
Not all is gone.
```

```text
data stack            done         2.5 s
compute stack         done        10.0 s
```

1 left in the clouds; it may cost money until it is removed.

```text
aws s3:bucket b-1
```

Remove it: ` {COMMAND} `

```text
SELECT @county
```

- ` @county `: ` TRAVIS `
- Run: ` r1 `
- Mode: ` live `
- Data: ` gcp: bigquery-public-data `
- Compute: ` aws `
- pulumi: ` 3.250.0 `
""".replace("{COMMAND}", recovery_command("r1"))
    )


def test_the_timeline_is_to_scale_and_shows_what_ran_side_by_side() -> None:
    phases = [phase("a", 10, 5), phase("b", 10, 20), phase("c", 30, 10), phase("d", None, 0, "skipped", "b failed")]
    assert [(bar.phase.name, round(bar.left, 3), round(bar.width, 3)) for bar in timeline(phases)] == [
        ("a", 0.0, 16.667),
        ("b", 0.0, 66.667),
        ("c", 66.667, 33.333),
        ("d", 0.0, 0.0),
    ]
    assert timeline([]) == []
    assert [(bar.left, bar.width) for bar in timeline([phase("a", 0, 0)])] == [(0.0, 0.0)]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "0 left: 14 created, 14 destroyed, and the clouds list nothing of this run."),
        ({"resources": Resources(created=0, destroyed=0)}, "Nothing was created."),
        ({"status": "resources remain"}, "Something may be left: the clouds could not be asked."),
        (
            {"status": "resources remain", "remaining": [Remaining("aws", "s3:bucket", "b")] * 2},
            "2 left in the clouds; it may cost money until it is removed.",
        ),
    ],
)
def test_zero_left_only_when_the_clouds_said_so(changes: dict[str, Any], sentence: str) -> None:
    assert leftover(result(**changes)) == sentence


def test_the_removal_command_stands_only_where_something_may_be_left() -> None:
    assert removal_command(result()) is None
    assert removal_command(result(status="resources remain")) == recovery_command("r1")


def test_the_headline_leaves_out_what_is_not_known() -> None:
    assert headline(
        result(rows=0, counts={}, bytes_processed=None, bytes_billed=0, cost_usd=0.0, package_bytes=None, phases=[])
    ) == [
        ("Rows", "0"),
        ("Billed", "0 bytes"),
        ("Estimated cost", "$0.00"),
    ]


def test_units() -> None:
    assert [size(n) for n in (0, 1023, 1024, 10 * 2**20, 3 * 2**30, 5 * 2**50)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "10.0 MiB",
        "3.0 GiB",
        "5120.0 TiB",
    ]
    assert [dollars(x) for x in (0.0, 0.00000123, 0.0099, 0.01, 1234.5)] == [
        "$0.00",
        "$0.0000012",
        "$0.0099",
        "$0.01",
        "$1,234.50",
    ]


def test_bars_fit_the_width_and_say_what_they_leave_out() -> None:
    assert count_bars({"4": 1, "10": 0, "25": 100}, width=16, sign="#") == [" 4 # 1", "10  0", "25 ######### 100"]
    assert count_bars({"a very long label": 3}, width=16, sign="#") == ["a ver ######## 3"]
    many = count_bars({str(n): 1 for n in range(50)}, width=40)
    assert len(many) == 41
    assert many[-1] == "and 10 more, all in result.json"
    assert max(map(len, many)) == 40
    assert count_bars({}, width=40) == []


def test_what_steers_a_terminal_is_spelled_out() -> None:
    assert visible("a\tb\r\nc\x1b[31m\u202e\ud800 ✓ é") == "a\tb\nc\\x1b[31m\\u202e\\ud800 ✓ é"
    assert visible("a\u200fb\u061cc\u2029d\x9be\rf") == "a\\u200fb\\u061cc\\u2029d\\x9be\\rf"
