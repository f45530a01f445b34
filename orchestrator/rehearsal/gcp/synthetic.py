"""Invented storm reports, for a first rehearsal without any data. Plausible, and clearly synthetic."""

import random
from datetime import datetime, timedelta

Report = dict[str, str | int | float | datetime | None]

_COUNTIES = (
    ("Texas", "48", "TRAVIS", "453", 30.28, -97.74),
    ("Texas", "48", "DALLAS", "113", 32.78, -96.80),
    ("Texas", "48", "LUBBOCK", "303", 33.58, -101.86),
    ("Oklahoma", "40", "OKLAHOMA", "109", 35.47, -97.52),
    ("Kansas", "20", "SEDGWICK", "173", 37.69, -97.34),
    ("Colorado", "08", "EL PASO", "041", 38.83, -104.82),
)
_EVENT_TYPES = ("hail", "hail", "hail", "thunderstorm wind", "tornado")
_MONTHS = (2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 7, 8, 9, 10)
_HAIL_INCHES = (0.75, 0.88, 1.0, 1.25, 1.5, 1.75, 2.0, 2.75)


def reports() -> list[Report]:
    """The same on every machine: the years 2010 to 2019, six counties, 30 reports a county and year.

    Keys are columns of the public schema; ``source`` says "synthetic sample" in every one.
    """
    chance = random.Random(20250325)  # noqa: S311 - not a secret; the seed makes every sample the same.
    return [_report(chance, year, county) for year in range(2010, 2020) for county in _COUNTIES for _ in range(30)]


def _report(chance: random.Random, year: int, county: tuple[str, str, str, str, float, float]) -> Report:
    state, state_fips, name, fips, latitude, longitude = county
    kind = chance.choice(_EVENT_TYPES)
    begin = datetime(year, chance.choice(_MONTHS), 1) + timedelta(  # noqa: DTZ001 - a DATETIME has no zone
        days=chance.randrange(28), hours=chance.randrange(13, 23), minutes=chance.randrange(60)
    )
    magnitude = {"hail": chance.choice(_HAIL_INCHES), "thunderstorm wind": float(chance.randrange(50, 80))}
    return {
        "episode_id": str(chance.randrange(10_000, 99_999)),
        "event_id": str(chance.randrange(100_000, 999_999)),
        "state": state,
        "state_fips_code": state_fips,
        "event_type": kind,
        "cz_type": "C",
        "cz_fips_code": fips,
        "cz_name": name,
        "wfo": "SYN",
        "event_timezone": "CST-6",
        "source": "synthetic sample",
        "magnitude_type": "EG" if kind == "thunderstorm wind" else None,
        "tor_f_scale": "EF0" if kind == "tornado" else None,
        "tor_length": "0.1" if kind == "tornado" else None,
        "tor_width": "25" if kind == "tornado" else None,
        "injuries_direct": 0,
        "injuries_indirect": 0,
        "deaths_direct": 0,
        "deaths_indirect": 0,
        "damage_property": 1000 * chance.randrange(20),
        "damage_crops": 0,
        "magnitude": magnitude.get(kind),
        "event_latitude": round(latitude + chance.uniform(-0.2, 0.2), 2),
        "event_longitude": round(longitude + chance.uniform(-0.2, 0.2), 2),
        "event_begin_time": begin,
        "event_end_time": begin + timedelta(minutes=chance.randrange(15)),
    }
