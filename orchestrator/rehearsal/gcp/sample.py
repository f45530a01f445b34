"""The public tables of the rehearsal: NOAA's storm reports as BigQuery publishes them, from a file or synthetic.

BigQuery has one table a year, ``bigquery-public-data.noaa_historic_severe_storms.storms_1950`` and on
(https://console.cloud.google.com/marketplace/product/noaa-public/severe-storm-events). Here they are one DuckDB
table, ``public_storms``, with the year as text in ``_table_suffix``.
"""

import glob
import re
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestrator.errors import UsageError
from orchestrator.rehearsal.gcp import synthetic

# Of tables and results that are larger, the rest is on disk.
_MOST_MEMORY = "1GB"

PROJECT = "bigquery-public-data"
DATASET = "noaa_historic_severe_storms"
PREFIX = "storms_"
RELATION = "public_storms"
SUFFIX = "_table_suffix"

#: The public schema: column -> BigQuery type. ``event_point`` is known, and in no source.
SCHEMA: Mapping[str, str] = {
    "episode_id": "STRING",
    "event_id": "STRING",
    "state": "STRING",
    "state_fips_code": "STRING",
    "event_type": "STRING",
    "cz_type": "STRING",
    "cz_fips_code": "STRING",
    "cz_name": "STRING",
    "wfo": "STRING",
    "event_begin_time": "DATETIME",
    "event_timezone": "STRING",
    "event_end_time": "DATETIME",
    "injuries_direct": "INT64",
    "injuries_indirect": "INT64",
    "deaths_direct": "INT64",
    "deaths_indirect": "INT64",
    "damage_property": "INT64",
    "damage_crops": "INT64",
    "source": "STRING",
    "magnitude": "FLOAT64",
    "magnitude_type": "STRING",
    "flood_cause": "STRING",
    "tor_f_scale": "STRING",
    "tor_length": "STRING",
    "tor_width": "STRING",
    "tor_other_wfo": "STRING",
    "location_index": "STRING",
    "event_range": "FLOAT64",
    "event_azimuth": "STRING",
    "reference_location": "STRING",
    "event_latitude": "FLOAT64",
    "event_longitude": "FLOAT64",
    "event_point": "GEOGRAPHY",
}
#: Columns that a Parquet file may lack.
_OPTIONAL = frozenset(
    {
        "flood_cause",
        "tor_other_wfo",
        "location_index",
        "event_range",
        "event_azimuth",
        "reference_location",
        "event_point",
    }
)
DUCKDB_TYPES: Mapping[str, str] = {
    "STRING": "VARCHAR",
    "INT64": "BIGINT",
    "FLOAT64": "DOUBLE",
    "BOOL": "BOOLEAN",
    "DATE": "DATE",
    "DATETIME": "TIMESTAMP",
}

# NOAA's yearly files: our column -> theirs, where the value is taken as it is.
# https://www.ncei.noaa.gov/pub/data/swdi/stormevents/csvfiles/Storm-Data-Bulk-csv-Format.pdf
_NOAA_COLUMNS: Mapping[str, str] = {
    "episode_id": "EPISODE_ID",
    "event_id": "EVENT_ID",
    "state_fips_code": "STATE_FIPS",
    "cz_type": "CZ_TYPE",
    "cz_fips_code": "CZ_FIPS",
    "cz_name": "CZ_NAME",
    "wfo": "WFO",
    "event_timezone": "CZ_TIMEZONE",
    "injuries_direct": "INJURIES_DIRECT",
    "injuries_indirect": "INJURIES_INDIRECT",
    "deaths_direct": "DEATHS_DIRECT",
    "deaths_indirect": "DEATHS_INDIRECT",
    "source": "SOURCE",
    "magnitude": "MAGNITUDE",
    "magnitude_type": "MAGNITUDE_TYPE",
    "flood_cause": "FLOOD_CAUSE",
    "tor_f_scale": "TOR_F_SCALE",
    "tor_length": "TOR_LENGTH",
    "tor_width": "TOR_WIDTH",
    "tor_other_wfo": "TOR_OTHER_WFO",
    "event_range": "BEGIN_RANGE",
    "event_azimuth": "BEGIN_AZIMUTH",
    "reference_location": "BEGIN_LOCATION",
    "event_latitude": "BEGIN_LAT",
    "event_longitude": "BEGIN_LON",
}
_NOAA_OTHERS = frozenset(
    {
        "STATE",
        "YEAR",
        "EVENT_TYPE",
        "DAMAGE_PROPERTY",
        "DAMAGE_CROPS",
        *(f"{end}_{part}" for end in ("BEGIN", "END") for part in ("YEARMONTH", "DAY", "TIME")),
    }
)


@dataclass(frozen=True)
class PublicTables:
    """``database`` holds ``public_storms`` with ``columns`` (name -> BigQuery type) and ``_table_suffix``.

    ``suffixes`` are the years there are, sorted; ``label`` says where the rows come from, for every output to show.
    """

    label: str
    database: duckdb.DuckDBPyConnection
    columns: Mapping[str, str]
    suffixes: tuple[str, ...]

    @classmethod
    def from_source(cls, source: str | None) -> "PublicTables":
        """The tables of a Parquet file or glob, of NOAA's ``StormEvents_details*.csv[.gz]``, or synthetic (None).

        Raises:
            UsageError: nothing matches, the kind of file is unknown, it is not readable, or its columns or
                years are wrong.
        """
        # A folder of its own, which DuckDB makes when it needs it, and removes: a query may reach that, and no other.
        rest = Path(tempfile.gettempdir(), f"duckdb-{secrets.token_hex(8)}")
        database = duckdb.connect(config={"memory_limit": _MOST_MEMORY, "temp_directory": str(rest)})
        # Nothing is fetched at run time: an extension that is not built in is an error, not a download.
        database.execute("SET autoinstall_known_extensions = false")
        if source is None:
            return _served("synthetic sample", database, _load_synthetic(database))
        paths = sorted(glob.glob(str(Path(source).expanduser()), recursive=True))  # noqa: PTH207 - absolute patterns
        if not paths:
            raise UsageError(
                f"rehearsal.tables: there is no file {source}",
                resolution="give a Parquet file, NOAA's StormEvents_details*.csv.gz files, or a glob; "
                "leave it out for the synthetic sample",
            )
        try:
            columns = _load(database, source, paths)
        except duckdb.Error as error:
            raise UsageError(
                f"rehearsal.tables: {source} cannot be read",
                details=str(error).splitlines()[0],
                resolution="check that the file is whole and readable",
            ) from error
        names = [Path(path).name for path in paths]
        label = names[0] if len(names) == 1 else f"{len(names)} files, {names[0]} to {names[-1]}"
        return _served(label, database, columns)


def _load_synthetic(database: duckdb.DuckDBPyConnection) -> Mapping[str, str]:
    rows = synthetic.reports()
    columns = {name: kind for name, kind in SCHEMA.items() if name in rows[0]}
    casts = ", ".join(f"CAST(report.{name} AS {DUCKDB_TYPES[kind]}) AS {name}" for name, kind in columns.items())
    database.execute(
        f"CREATE TABLE {RELATION} AS SELECT {casts}, strftime(report.event_begin_time, '%Y') AS {SUFFIX} "  # noqa: S608
        "FROM (SELECT unnest($reports) AS report)",
        {"reports": rows},
    )
    return columns


def _served(label: str, database: duckdb.DuckDBPyConnection, columns: Mapping[str, str]) -> PublicTables:
    years = database.execute(f"SELECT DISTINCT {SUFFIX} FROM {RELATION} ORDER BY 1").fetchall()  # noqa: S608
    for (year,) in years:  # It becomes the name of a table, and part of our SQL.
        if year is None or not re.fullmatch("[0-9]{4}", year):
            raise UsageError(
                f"rehearsal.tables: {label} has a year that is none",
                details=f"expected four digits, got {'nothing' if year is None else ascii(year[:40])}",
                resolution="give NOAA's own StormEvents_details files, or Parquet with a whole number in year",
            )
    # All is loaded: whatever a query gets past us, it reads and writes no file, and loads no extension.
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return PublicTables(label, database, columns, tuple(year for (year,) in years))


def _load(database: duckdb.DuckDBPyConnection, source: str, paths: list[str]) -> Mapping[str, str]:
    if all(path.endswith(".parquet") for path in paths):
        relation = database.sql("SELECT * FROM read_parquet($paths, union_by_name = true)", params={"paths": paths})
        select = _parquet_select(source, relation.columns)
    elif all(path.endswith((".csv", ".csv.gz")) for path in paths):
        relation = database.sql(
            "SELECT * FROM read_csv($paths, header = true, all_varchar = true, union_by_name = true)",
            params={"paths": paths},
        )
        select = _noaa_select(source, relation.columns)
    else:
        raise UsageError(
            f"rehearsal.tables: {source} is neither Parquet nor CSV",
            details="files: " + ", ".join(Path(path).name for path in paths[:5]),
            resolution="give files that all end in .parquet, or all in .csv or .csv.gz",
        )
    casts = ", ".join(
        f"CAST({expression} AS {DUCKDB_TYPES[SCHEMA[name]]}) AS {name}"
        for name, expression in select.items()
        if name != SUFFIX
    )
    suffix = f"CAST({select[SUFFIX]} AS VARCHAR) AS {SUFFIX}"
    relation.project(f"{casts}, {suffix}").create(RELATION)
    return {name: SCHEMA[name] for name in select if name != SUFFIX}


def _parquet_select(source: str, found: list[str]) -> dict[str, str]:
    known = set(SCHEMA) - {"event_point"}
    _refuse_wrong_columns(
        source, unknown=set(found) - known - {"year"}, missing=known - _OPTIONAL - set(found), expected="BigQuery's"
    )
    select = {name: f'"{name}"' for name in found if name != "year"}
    for damage in ("damage_property", "damage_crops"):
        select[damage] = _dollars(f'CAST("{damage}" AS VARCHAR)')
    return {**select, SUFFIX: '"year"' if "year" in found else 'year("event_begin_time")'}


def _noaa_select(source: str, found: list[str]) -> dict[str, str]:
    wanted = {*_NOAA_COLUMNS.values(), *_NOAA_OTHERS}
    _refuse_wrong_columns(source, unknown=set(), missing=wanted - set(found), expected="NOAA's")
    select = {name: f'"{theirs}"' for name, theirs in _NOAA_COLUMNS.items()}
    words = "string_split(lower(\"STATE\"), ' ')"
    return {
        **select,
        # BigQuery's tables have the state in title case and the event type in lower case.
        "state": f"array_to_string([upper(word[1]) || word[2:] for word in {words}], ' ')",
        "event_type": 'lower("EVENT_TYPE")',
        "event_begin_time": _noaa_time("BEGIN"),
        "event_end_time": _noaa_time("END"),
        "damage_property": _dollars('"DAMAGE_PROPERTY"'),
        "damage_crops": _dollars('"DAMAGE_CROPS"'),
        SUFFIX: '"YEAR"',
    }


def _noaa_time(end: str) -> str:
    """199303, 25, 1730 -> 1993-03-25 17:30, without a reading of the text column, whose format changed."""
    return f"strptime(\"{end}_YEARMONTH\" || lpad(\"{end}_DAY\", 2, '0') || lpad(\"{end}_TIME\", 4, '0'), '%Y%m%d%H%M')"


def _dollars(text: str) -> str:
    """NOAA's 2.5K, 10M, 1B in whole dollars; what is no number ("?") is NULL."""
    number = rf"try_cast(regexp_extract({text}, '^([0-9]*\.?[0-9]*)[hHkKmMbB]?$', 1) AS DOUBLE)"
    unit = f"CASE upper(right({text}, 1)) WHEN 'H' THEN 1e2 WHEN 'K' THEN 1e3 WHEN 'M' THEN 1e6 WHEN 'B' THEN 1e9"
    return f"round({number} * {unit} ELSE 1 END)"


def _refuse_wrong_columns(source: str, *, unknown: set[str], missing: set[str], expected: str) -> None:
    if not unknown and not missing:
        return
    lines = [f"{kind}: {', '.join(sorted(names))}" for kind, names in (("unknown", unknown), ("missing", missing))]
    raise UsageError(
        f"rehearsal.tables: {source} has other columns than {expected}",
        details="\n".join(line for line in lines if not line.endswith(": ")),
        resolution="give NOAA's own StormEvents_details files, or Parquet in the columns of BigQuery's "
        f"{PROJECT}.{DATASET} (and year)",
    )
