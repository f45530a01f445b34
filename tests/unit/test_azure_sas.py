"""Shared access signatures: what Azure's own libraries sign is accepted, and nothing that was changed on the way."""

import base64
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest

from orchestrator.rehearsal.azure.sas import Asked, SasError, check, sign

KEY = base64.b64encode(bytes(range(64))).decode()
NOW = datetime(2026, 11, 23, 17, 30, tzinfo=UTC)
ASKED = Asked("hopaccount", "data", "extract.csv", "r", "https", NOW)
# azure-storage-blob 1.5.0 with its version set to the one that Resource Manager signs with.
OLD = (
    "st=2026-11-23T17%3A00%3A00.0000000Z&se=2026-11-23T18%3A00%3A00.0000000Z&sp=r&spr=https&sv=2015-04-05&sr=b"
    "&sig=P2SzkC0ZgHO1wkT33GYazBQdd2pbsQBEMxV89UeRq0A%3D"
)
# azure-storage-blob 12.31.1
NEW = (
    "st=2026-11-23T17%3A00%3A00Z&se=2026-11-23T18%3A00%3A00Z&sp=r&spr=https&sv=2026-10-06&sr=b"
    "&sig=jzSP7nvTPPm5Ad3MZOghPa7XKUn/bXfB/z7qNN1llcc%3D"
)
CONTAINER = "se=2026-11-23T18%3A00%3A00Z&sp=r&sv=2026-10-06&sr=c&sig=pBtV/7vPQEiHe%2BjQnNb7DGLq8iEmTlQ//trE5x2da1Q%3D"


def refusal(token: str, asked: Asked = ASKED, key: str = KEY) -> tuple[str, str]:
    with pytest.raises(SasError) as raised:
        check(dict(parse_qsl(token)), [key], asked)
    return raised.value.code, raised.value.detail or raised.value.message


@pytest.mark.parametrize("token", [OLD, NEW, CONTAINER])
def test_what_azures_libraries_sign_opens_the_blob(token: str) -> None:
    check(dict(parse_qsl(token)), ["c29tZSBvdGhlciBrZXk=", KEY], ASKED)


def test_we_sign_as_azures_library_does() -> None:
    fields = dict(parse_qsl(OLD))
    expected = fields.pop("sig")
    signed = dict(parse_qsl(sign(KEY, "/blob/hopaccount/data/extract.csv", fields)))
    assert signed == {**fields, "sig": expected}


def test_a_containers_signature_opens_every_blob_in_it_and_no_other_container() -> None:
    check(dict(parse_qsl(CONTAINER)), [KEY], replace(ASKED, blob="folder/other.csv"))
    assert refusal(CONTAINER, replace(ASKED, container="packages"))[0] == "AuthenticationFailed"


@pytest.mark.parametrize("token", [OLD, NEW])
@pytest.mark.parametrize("change", [{"blob": "package.zip"}, {"container": "other"}, {"account": "another"}])
def test_a_blobs_signature_opens_no_other_blob(token: str, change: dict[str, str]) -> None:
    code, detail = refusal(token, replace(ASKED, **change))  # type: ignore[arg-type]
    assert code == "AuthenticationFailed"
    assert detail.startswith("Signature did not match. String to sign used was r\n2026-11-23T17:00:00")


def test_the_string_to_sign_is_told() -> None:
    assert refusal(NEW.replace("sp=r", "sp=rw"))[1] == (
        "Signature did not match. String to sign used was rw\n2026-11-23T17:00:00Z\n2026-11-23T18:00:00Z\n"
        "/blob/hopaccount/data/extract.csv\n\n\nhttps\n2026-10-06\nb\n\n\n\n\n\n\n"
    )


def test_another_key_signs_otherwise() -> None:
    assert refusal(OLD, key="c29tZSBvdGhlciBrZXk=")[0] == "AuthenticationFailed"


@pytest.mark.parametrize(
    ("now", "current"),
    [
        (NOW.replace(hour=16, minute=59, second=59), "Mon, 23 Nov 2026 16:59:59 GMT"),
        (NOW.replace(hour=18, minute=0), "Mon, 23 Nov 2026 18:00:00 GMT"),
    ],
)
def test_before_its_start_and_from_its_expiry_on_it_opens_nothing(now: datetime, current: str) -> None:
    assert refusal(OLD, replace(ASKED, now=now)) == (
        "AuthenticationFailed",
        (
            "Signature not valid in the specified time frame: Start [Mon, 23 Nov 2026 17:00:00 GMT] - "
            f"Expiry [Mon, 23 Nov 2026 18:00:00 GMT] - Current [{current}]"
        ),
    )


def test_what_is_right_but_not_for_this() -> None:
    assert refusal(OLD, replace(ASKED, scheme="http")) == (
        "AuthorizationProtocolMismatch",
        "This request is not authorized to perform this operation using this protocol.",
    )
    assert refusal(OLD, replace(ASKED, permission="w")) == (
        "AuthorizationPermissionMismatch",
        "This request is not authorized to perform this operation using this permission.",
    )


@pytest.mark.parametrize("missing", ["sv", "sr", "se", "sp", "sig"])
def test_every_mandatory_field_is_named(missing: str) -> None:
    token = "&".join(part for part in NEW.split("&") if not part.startswith(f"{missing}="))
    assert refusal(token) == ("AuthenticationFailed", f"{missing} is mandatory. Cannot be empty")


def test_a_time_that_is_none() -> None:
    fields = {**dict(parse_qsl(OLD)), "se": "tomorrow"}
    del fields["sig"]
    signed = sign(KEY, "/blob/hopaccount/data/extract.csv", fields)
    assert refusal(signed) == ("AuthenticationFailed", "tomorrow is not a valid time")


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("&sip=127.0.0.1", "query parameter sip"),
        ("&si=policy", "query parameter si"),
        ("&comp=metadata", "query parameter comp"),
    ],
)
def test_what_is_not_known_is_refused_by_name(more: str, named: str) -> None:
    assert refusal(OLD + more) == ("NotImplemented", f"not supported in rehearsal: {named}")


@pytest.mark.parametrize("version", ["2013-08-15", "tomorrow"])
def test_a_version_that_is_not_known(version: str) -> None:
    assert refusal(OLD.replace("2015-04-05", version)) == (
        "NotImplemented",
        f"not supported in rehearsal: sv={version}",
    )
