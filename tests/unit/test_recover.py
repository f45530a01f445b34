"""Which clouds a recovery asks: those in which the run was."""

import pytest

from orchestrator import settings
from orchestrator.errors import ResourcesRemainError
from orchestrator.journal import Entry, command_line
from orchestrator.recover import _settings
from orchestrator.settings import Settings

RUN_ID = "20261123-174205-k3x9qz"


def config(cloud: str) -> Settings:
    return settings.load(settings.DEFAULT_CONFIG, overrides=[f"compute.cloud={cloud}"], environ={})


def entry(of: Settings | None) -> Entry:
    said = (of.model_dump(mode="json"), "file:///state") if of else (None, None)
    return Entry(RUN_ID, None, None, None, *said)


@pytest.mark.parametrize("chosen", [None, config("azure")])
def test_the_journal_knows_better_than_a_config(chosen: Settings | None) -> None:
    assert _settings(entry(config("aws")), chosen).model_dump() == config("aws").model_dump()


def test_where_the_journal_does_not_say_the_config_does() -> None:
    assert _settings(entry(None), config("azure")) == config("azure")


@pytest.mark.parametrize(
    "said", [None, {}, {"mode": "rehearsal"}, {**config("aws").model_dump(mode="json"), "more": 1}]
)
def test_where_nobody_says_it_the_run_is_left_as_it_is(said: dict[str, object] | None) -> None:
    damaged = entry(None)
    damaged.settings = said
    with pytest.raises(ResourcesRemainError) as raised:
        _settings(damaged, None)
    assert str(raised.value) == (
        f"The journal of run {RUN_ID} does not say in which clouds it was\n"
        "  it is damaged, or of another version of this program.\n"
        f"To fix it: name the run's config: `{command_line('recover', RUN_ID, '--config')} FILE`."
    )
