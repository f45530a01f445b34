"""A malicious query, parameter, title, table or object name runs nothing, and writes nothing but a run's results."""

import csv
import json
import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestrator import query
from orchestrator.cli import app
from orchestrator.clouds.gcp import GoogleData
from orchestrator.errors import UsageError
from orchestrator.journal import recovery_command
from orchestrator.pulumi_cli import Cli
from orchestrator.query import Query
from orchestrator.rehearsal.gcp import sample
from orchestrator.rehearsal.gcp.bigquery_jobs import Jobs
from orchestrator.rehearsal.gcp.cloud import GoogleCloud
from orchestrator.rehearsal.gcp.sample import PublicTables
from stacks.naming import Names
from tests.rehearsal.machine import STORMS, Machine, assert_nothing_left, result_of

NAMES = Names("20261123-174205-k3x9qz")
StartGoogle = Callable[..., GoogleCloud]
WRITES = [
    "CREATE TABLE d.t AS SELECT 1 AS a",
    "CREATE OR REPLACE FUNCTION d.f() AS (1)",
    "DROP TABLE d.t",
    "DELETE FROM d.t WHERE TRUE",
    "INSERT INTO d.t SELECT 1",
    "MERGE d.t USING d.u ON FALSE WHEN NOT MATCHED THEN INSERT ROW",
    "TRUNCATE TABLE d.t",
    "EXPORT DATA OPTIONS (uri = 'gs://b/*', format = 'CSV') AS SELECT 1 AS a",
    "LOAD DATA INTO d.t FROM FILES (format = 'CSV', uris = ['gs://b/*'])",
    "CALL d.p()",
    "EXECUTE IMMEDIATE 'DROP TABLE d.t'",
    "BEGIN SELECT 1; END",
    "DECLARE a INT64; SELECT 1 AS a",
    "GRANT `roles/viewer` ON SCHEMA d TO 'user:a@b.c'",
    "ASSERT FALSE",
    "SELECT 1 AS a; DROP TABLE d.t",
    "SELECT 1 AS a /* ; */ ; -- \nDROP TABLE d.t",
    "WITH a AS (SELECT 1 AS a) DELETE FROM d.t WHERE TRUE",
    "COPY (SELECT 1) TO '/tmp/a'",
    "ATTACH '/tmp/a'",
    "INSTALL httpfs",
    "PRAGMA database_list",
    "SET a = 1",
]
READS_FILES = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT read_text('/etc/passwd') AS a",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM `/etc/passwd`",
    "SELECT * FROM `a.b.read_csv('/etc/passwd')`",
    "WITH a AS (SELECT * FROM read_parquet('/tmp/*')) SELECT * FROM a",
    "SELECT * FROM glob('/*') AS g",
    "SELECT getenv('HOME') AS a",
    "SELECT current_setting('temp_directory') AS a",
    "SELECT * FROM duckdb_settings()",
    f"SELECT * FROM {sample.RELATION}",
]


@pytest.fixture
def machine(cli: Cli, tmp_path: Path, packages: Path) -> Machine:
    """With a home that nobody else uses."""
    return Machine(cli, tmp_path / "home", tmp_path / "user", packages)


def data() -> GoogleData:
    return GoogleData(project="rehearsal-project", location="US", names=NAMES)


@pytest.mark.parametrize("sql", WRITES)
def test_only_a_query_runs(start_google: StartGoogle, tmp_path: Path, sql: str) -> None:
    (tmp_path / "q.sql").write_text(sql)
    with pytest.raises(UsageError):  # Before a cloud is asked.
        query.read(tmp_path / "q.sql", {})
    google = start_google()
    with pytest.raises(UsageError):  # And should that let it pass.
        data().dry_run(Query(sql, {}))
    assert google.jobs.all() == []


@pytest.mark.parametrize("kind", ["SCRIPT", "CREATE_TABLE_AS_SELECT", "EXPORT_DATA", None])
def test_what_bigquery_itself_does_not_take_for_a_query_is_refused(
    start_google: StartGoogle, monkeypatch: pytest.MonkeyPatch, kind: str | None
) -> None:
    start_google()
    dry_run = Jobs._dry_run

    def another(jobs: Jobs, job: Any) -> dict[str, Any]:
        answer = dry_run(jobs, job)
        answer["statistics"]["query"]["statementType"] = kind
        return answer

    monkeypatch.setattr(Jobs, "_dry_run", another)
    with pytest.raises(UsageError) as refused:
        data().dry_run(Query("SELECT 1 AS a", {}))
    assert str(refused.value) == (
        f"The query is a {kind} statement to BigQuery\n"
        "  Only one SELECT may run, nothing that defines, changes or exports data.\n"
        "To fix it: correct the query."
    )


@pytest.mark.parametrize("sql", READS_FILES)
def test_a_rehearsed_query_reads_no_file_of_this_machine(start_google: StartGoogle, sql: str) -> None:
    google = start_google()
    with pytest.raises(UsageError):
        data().dry_run(Query(sql, {}))
    assert google.jobs.all() == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "COPY (SELECT 1) TO 'FOLDER/a'",
        "EXPORT DATABASE 'FOLDER/a'",
        "ATTACH 'FOLDER/a'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
    ],
)
def test_nor_could_it_if_it_came_through_as_it_is(tmp_path: Path, sql: str) -> None:
    database = PublicTables.from_source(None).database
    with pytest.raises(duckdb.Error, match=r"disabled|configuration"):
        database.cursor().execute(sql.replace("FOLDER", str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


# ---- the tables of a rehearsal

NOAA = sorted({*sample._NOAA_COLUMNS.values(), *sample._NOAA_OTHERS})


def noaa(**changes: str) -> bytes:
    """NOAA's CSV with one report."""
    report = dict.fromkeys(NOAA, "1") | {"STATE": "TEXAS", "EVENT_TYPE": "Hail", "YEAR": "1993"}
    for end in ("BEGIN", "END"):
        report |= {f"{end}_YEARMONTH": "199303", f"{end}_DAY": "25", f"{end}_TIME": "1730"}
    cells = ('"' + (report | changes)[name].replace('"', '""') + '"' for name in NOAA)
    return f"{','.join(NOAA)}\n{','.join(cells)}\n".encode()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", noaa(YEAR="1950'; DROP TABLE public_storms; --"), "has a year that is none"),
        ("a.csv", noaa(YEAR=""), "has a year that is none"),
        ("a.csv", noaa(YEAR="9" * 100_000), "has a year that is none"),
        ("a.csv", noaa(BEGIN_DAY="99"), "cannot be read"),
        ("a.csv", noaa(MAGNITUDE="=1+1"), "cannot be read"),
        ("a.csv", noaa(STATE="M\xe4rz").decode().encode("latin-1"), "cannot be read"),
        ("a.csv", b"", "has other columns than NOAA's"),
        ("a.csv", noaa()[:-1000], "has other columns than NOAA's"),
        ("a.csv.gz", noaa(), "cannot be read"),
        ("a.parquet", b"", "cannot be read"),
        ("a.parquet", b"PAR1" + b"\xff" * 1000 + b"PAR1", "cannot be read"),
        ("a.parquet", noaa(), "cannot be read"),
        ("a.db", b"", "is neither Parquet nor CSV"),
    ],
)
def test_crafted_tables_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as refused:
        PublicTables.from_source(str(tmp_path / name))
    assert message in refused.value.brief
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    "glob", ["FOLDER/$(touch made).csv", "FOLDER/a.csv; touch made", "FOLDER/`touch made`", "|touch made"]
)
def test_a_glob_is_no_shells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, glob: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="there is no file"):
        PublicTables.from_source(glob.replace("FOLDER", str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


# ---- the bucket


def test_an_objects_name_is_no_path_here(
    start_google: StartGoogle, make_bucket: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    google = start_google()
    make_bucket(google, "hop-extract")
    for name in (
        "extract/../../../escaped.csv",
        "extract-\x1b[2J.csv",
        "extract/etc/passwd",
        "extract-'$(touch made)'.csv",
    ):
        google.storage.put_object("hop-extract", name, b"a\n1\n", "text/csv")
    target = tmp_path / "results" / "extract.csv"
    target.parent.mkdir()
    before = sorted(tmp_path.rglob("*"))
    file = data().download("hop-extract", to=target, expected_rows=4, cancelled=threading.Event())
    assert (file.rows, target.read_bytes()) == (4, b"a\n1\n1\n1\n1\n")
    assert sorted(tmp_path.rglob("*")) == sorted([*before, target])


# ---- a whole run

EVIL = "'; DROP TABLE storms; -- ../../../escaped $(touch made) <script>alert(1)</script> [a](http://b) `c` {{7*7}} %s"
FORMULA = "=cmd|' /C calc'!A0"


def test_what_is_only_text_stays_text(machine: Machine) -> None:
    """A title, parameters and cells that would be SQL, a path, a command, markup or a formula somewhere else."""
    (machine.folder / "evil.sql").write_text(
        f"SELECT event_begin_time, magnitude, 3 AS month, @evil AS note, @formula AS `formula`, @lines AS lines "
        f"FROM `{STORMS}` WHERE event_type = 'hail' AND @evil != state"
    )
    lines = 'a\r\nb,"c"\x1b[31m\u202e</script>'
    config = {
        "data": {"project": "rehearsal-project"},
        "compute": {"cloud": "aws"},
        "analysis": {
            "query": "evil.sql",
            "parameters": {"evil": EVIL, "formula": FORMULA, "lines": lines},
            "title": EVIL,
        },
    }
    (machine.folder / "evil.yaml").write_text(json.dumps(config))
    ended = machine.orchestrate("run", "--config", "evil.yaml", "--json")
    assert ended.returncode == 0, ended.stderr
    (folder,) = machine.results()
    result = result_of(folder)
    assert_nothing_left(result)
    assert result["rows"] > 0
    assert sorted(path.name for path in machine.folder.iterdir()) == ["evil.sql", "evil.yaml", "results"]
    assert (result["title"], result["parameters"]["evil"]) == (EVIL, EVIL)
    with (folder / "extract.csv").open(newline="") as file:
        reports = list(csv.DictReader(file))
    # The extract is BigQuery's, byte for byte: what a spreadsheet would compute is a cell's text here.
    assert {(report["note"], report["formula"], report["lines"]) for report in reports} == {(EVIL, FORMULA, lines)}
    for name in ("report.html", "summary.md", "result.json", "events.jsonl", "engine.log"):
        text = (folder / name).read_text()
        assert "\x1b" not in text, name
        assert "\u202e" not in text, name
    assert "<script" not in (folder / "report.html").read_text()
    assert "\x1b" not in ended.stderr + ended.stdout


def test_what_is_no_run_id_is_no_folder_either(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = machine.home / "victim"
    victim.mkdir()
    (machine.home / "runs").mkdir()
    (victim / "run.json").write_text("{}")
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(machine.home))
    run_id = NAMES.run_id
    for odd in (
        *("../victim", "..", ".", "", "/etc", f"{run_id}/..", f"../{run_id}", f"{run_id}/../../victim", "*", "-"),
        *(
            f"{run_id}\n",
            run_id.upper(),
            run_id[:-1],
            run_id.replace("2", "\N{FULLWIDTH DIGIT TWO}"),
            f"{run_id}\x1b[2J",
        ),
    ):
        for command in (["recover", odd], ["sweep", "--run", odd, "--yes"]):
            with pytest.raises(UsageError, match="is not a run id"):
                app(command, standalone_mode=False)
    assert (victim / "run.json").read_text() == "{}"
    ended = machine.orchestrate("recover", f"../{run_id}\x1b[2J")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"../{run_id}\\x1b[2J is not a run id\n")


def test_a_command_to_paste_is_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HOME", "/a b; touch made #")
    words = shlex.split(recovery_command(NAMES.run_id))
    assert words[0] == "ORCHESTRATOR_HOME=/a b; touch made #"
    assert words[2:] == ["-m", "orchestrator", "recover", NAMES.run_id]
