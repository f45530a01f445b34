import gzip
import os
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from orchestrator.errors import UsageError
from orchestrator.rehearsal.gcp.sample import SCHEMA, PublicTables

ABSENT = {
    "event_point", "flood_cause", "tor_other_wfo", "location_index", "event_range", "event_azimuth",
    "reference_location",
}  # fmt: skip
NOAA = {
    "BEGIN_YEARMONTH": "199303", "BEGIN_DAY": "5", "BEGIN_TIME": "730", "END_YEARMONTH": "199303", "END_DAY": "25",
    "END_TIME": "0", "EPISODE_ID": "1", "EVENT_ID": "2", "STATE": "NEW MEXICO", "STATE_FIPS": "35", "YEAR": "1993",
    "MONTH_NAME": "March", "EVENT_TYPE": "Thunderstorm Wind", "CZ_TYPE": "C", "CZ_FIPS": "1", "CZ_NAME": "BERNALILLO",
    "WFO": "ABQ", "BEGIN_DATE_TIME": "05-MAR-93 07:30:00", "CZ_TIMEZONE": "MST", "END_DATE_TIME": "",
    "INJURIES_DIRECT": "1", "INJURIES_INDIRECT": "0", "DEATHS_DIRECT": "0", "DEATHS_INDIRECT": "0",
    "DAMAGE_PROPERTY": "2.5K", "DAMAGE_CROPS": "0?", "SOURCE": "", "MAGNITUDE": "1.75", "MAGNITUDE_TYPE": "EG",
    "FLOOD_CAUSE": "", "CATEGORY": "", "TOR_F_SCALE": "", "TOR_LENGTH": "", "TOR_WIDTH": "", "TOR_OTHER_WFO": "",
    "BEGIN_RANGE": "2", "BEGIN_AZIMUTH": "N", "BEGIN_LOCATION": "TOWN, SMALL", "BEGIN_LAT": "35.1",
    "BEGIN_LON": "-106.6", "EPISODE_NARRATIVE": "", "EVENT_NARRATIVE": 'It said "hail",\nand rained.',
}  # fmt: skip


def noaa_file(folder: Path, year: str, **changes: str) -> None:
    row = {**NOAA, "YEAR": year, **changes}
    lines = [",".join(row), ",".join('"' + value.replace('"', '""') + '"' for value in row.values())]
    name = f"StormEvents_details-ftp_v1.0_d{year}_c20260101.csv.gz"
    (folder / name).write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))


def refused(source: object) -> str:
    with pytest.raises(UsageError) as caught:
        PublicTables.from_source(str(source))
    return str(caught.value)


def test_the_synthetic_sample_is_the_same_every_time_and_says_what_it_is() -> None:
    one, other = PublicTables.from_source(None), PublicTables.from_source(None)
    everything = "SELECT * FROM public_storms"
    assert one.database.sql(everything).fetchall() == other.database.sql(everything).fetchall()
    assert one.label == "synthetic sample"
    assert one.suffixes == tuple(str(year) for year in range(2010, 2020))
    assert one.columns == {name: kind for name, kind in SCHEMA.items() if name not in ABSENT}
    assert one.database.sql("SELECT count(*), string_agg(DISTINCT source) FROM public_storms").fetchall() == [
        (1800, "synthetic sample")
    ]


def test_the_synthetic_sample_has_hail_in_travis_county_in_march() -> None:
    tables = PublicTables.from_source(None)
    (found,) = tables.database.sql(
        "SELECT count(*), min(magnitude), max(magnitude) FROM public_storms WHERE state = 'Texas' "
        "AND cz_name = 'TRAVIS' AND event_type = 'hail' AND month(event_begin_time) = 3"
    ).fetchall()
    assert found == (34, 0.75, 2.75)


def test_the_known_answer_on_real_reports() -> None:
    default = Path(__file__).parents[2].parent / "shared" / "data" / "noaa_storms_1950_1995.parquet"
    path = Path(os.environ.get("NOAA_PARQUET", default))
    if not path.exists():
        pytest.skip("noaa_storms_1950_1995.parquet is not here: set NOAA_PARQUET")
    tables = PublicTables.from_source(str(path))
    assert (tables.label, len(tables.suffixes)) == ("noaa_storms_1950_1995.parquet", 46)
    assert set(SCHEMA) - set(tables.columns) == ABSENT
    found = tables.database.sql(
        "SELECT day(event_begin_time), count(*) FROM public_storms WHERE state = 'Texas' AND cz_name = 'TRAVIS' "
        "AND event_type = 'hail' AND month(event_begin_time) = 3 GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert dict(found) == {4: 1, 10: 1, 11: 1, 12: 3, 16: 1, 20: 3, 21: 1, 23: 1, 25: 11, 27: 2, 28: 1, 30: 1}


def test_noaas_yearly_files_in_the_public_schema(tmp_path: Path) -> None:
    noaa_file(tmp_path, "1993")
    noaa_file(tmp_path, "1994", EVENT_ID="3", DAMAGE_PROPERTY="", DAMAGE_CROPS="1.2M", MAGNITUDE="")
    tables = PublicTables.from_source(str(tmp_path / "StormEvents_details*.csv.gz"))
    assert tables.label == (
        "2 files, StormEvents_details-ftp_v1.0_d1993_c20260101.csv.gz to "
        "StormEvents_details-ftp_v1.0_d1994_c20260101.csv.gz"
    )
    assert tables.suffixes == ("1993", "1994")
    rows = tables.database.sql(
        "SELECT event_id, state, event_type, event_begin_time, event_end_time, damage_property, damage_crops, "
        "magnitude, reference_location, event_latitude, _table_suffix FROM public_storms ORDER BY event_id"
    ).fetchall()
    begin, end = datetime(1993, 3, 5, 7, 30), datetime(1993, 3, 25)  # noqa: DTZ001 - a DATETIME has no zone
    assert rows == [
        ("2", "New Mexico", "thunderstorm wind", begin, end, 2500, None, 1.75, "TOWN, SMALL", 35.1, "1993"),
        ("3", "New Mexico", "thunderstorm wind", begin, end, None, 1_200_000, None, "TOWN, SMALL", 35.1, "1994"),
    ]


def test_no_such_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "*.parquet") == (
        f"rehearsal.tables: there is no file {tmp_path}/*.parquet\n"
        "To fix it: give a Parquet file, NOAA's StormEvents_details*.csv.gz files, or a glob; "
        "leave it out for the synthetic sample"
    )


def test_neither_parquet_nor_csv(tmp_path: Path) -> None:
    (tmp_path / "storms.txt").touch()
    assert refused(tmp_path / "storms.txt") == (
        f"rehearsal.tables: {tmp_path}/storms.txt is neither Parquet nor CSV\n  files: storms.txt\n"
        "To fix it: give files that all end in .parquet, or all in .csv or .csv.gz"
    )


def test_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "storms.parquet"
    path.write_bytes(b"not Parquet, and long enough")
    message = refused(path)
    assert message.splitlines()[0] == f"rehearsal.tables: {path} cannot be read"
    assert "magic bytes" in message.splitlines()[1]
    assert message.splitlines()[2] == "To fix it: check that the file is whole and readable"


def test_wrong_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "storms.parquet"
    columns = ", ".join(f"1 AS {name}" for name in SCHEMA if name not in ABSENT | {"state", "magnitude"})
    with duckdb.connect() as database:
        database.execute(f"COPY (SELECT {columns}, 1 AS hail_size, 1 AS narrative) TO '{path}' (FORMAT parquet)")
    assert refused(path) == (
        f"rehearsal.tables: {path} has other columns than BigQuery's\n"
        "  unknown: hail_size, narrative\n  missing: magnitude, state\n"
        "To fix it: give NOAA's own StormEvents_details files, or Parquet in the columns of BigQuery's "
        "bigquery-public-data.noaa_historic_severe_storms (and year)"
    )


def test_a_csv_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "storms.csv"
    path.write_text(",".join(name for name in NOAA if name not in {"STATE", "MAGNITUDE"}) + "\n")
    assert "has other columns than NOAA's\n  missing: MAGNITUDE, STATE\n" in refused(path)
