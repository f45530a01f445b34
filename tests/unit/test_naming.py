"""Names: deterministic from the run id, valid in every cloud."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from stacks.naming import Names, is_run_id, names_in, new_run_id

RUN_ID = "20261123-174205-k3x9qz"


def test_a_run_id_is_its_time_in_utc_and_chance() -> None:
    now = datetime(2026, 11, 24, 1, 42, 5, tzinfo=timezone(timedelta(hours=8)))
    ids = {new_run_id(now) for _ in range(100)}
    assert len(ids) == 100
    assert {run_id[:16] for run_id in ids} == {"20261123-174205-"}
    assert all(is_run_id(run_id) for run_id in ids)
    assert {len(run_id) for run_id in ids} == {22}


def test_no_run_id_has_google_in_it() -> None:
    chances = {character for _ in range(1000) for character in new_run_id(datetime.now(UTC))[-6:]}
    assert chances == set("abcdefhijklmnopqrstuvwxyz0123456789")


def test_everything_follows_from_the_run_id() -> None:
    names = Names(RUN_ID)
    assert names.prefix == "hop-20261123-174205-k3x9qz"
    assert names.dataset == "hop_20261123_174205_k3x9qz"
    assert names.started == datetime(2026, 11, 23, 17, 42, 5, tzinfo=UTC)
    assert names.tags == {"run-id": RUN_ID, "managed-by": "cloud-hopping", "expires-at": "20261123t184205z"}


def test_names_and_labels_fit_the_clouds() -> None:
    names = Names(RUN_ID)
    # https://cloud.google.com/storage/docs/buckets#naming, https://cloud.google.com/resource-manager/docs/labels-overview
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", f"{names.prefix}-extract")
    assert re.fullmatch(r"[A-Za-z0-9_]{1,1024}", names.dataset)
    for key, value in names.tags.items():
        assert re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key)
        assert re.fullmatch(r"[a-z0-9_-]{0,63}", value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20261123-174205-k3x9q",
        "20261123-174205-K3X9QZ",
        "20261123-174205-k3x9qz\n",
        "../20261123-174205-k3x9qz",
        "20261123_174205_k3x9qz",
    ],
)
def test_what_is_no_run_id(text: str) -> None:
    assert not is_run_id(text)
    with pytest.raises(ValueError, match="run id") as raised:
        Names(text)
    assert str(raised.value) == f"not a run id: {text!r}"


@pytest.mark.parametrize("text", [f"hop-{RUN_ID}-data", "hop_20261123_174205_k3x9qz", RUN_ID])
def test_the_names_of_the_run_that_a_text_has(text: str) -> None:
    assert names_in(text) == Names(RUN_ID)


@pytest.mark.parametrize(
    "text", ["", "hop", "hop-20261123-174205", "hop-20261323-174205-k3x9qz", "hop-20261123-254205-k3x9qz"]
)
def test_a_text_without_a_run_or_with_one_of_no_time(text: str) -> None:
    assert names_in(text) is None
