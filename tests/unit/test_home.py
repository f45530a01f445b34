"""The home: where it is, who may read it, and the passphrase that is made once."""

import os
import stat
from pathlib import Path

import platformdirs
import pytest

from orchestrator.errors import UsageError
from orchestrator.home import Home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_environment_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert Home.locate({"ORCHESTRATOR_HOME": "~/a/b"}).root == tmp_path / "a" / "b"
    assert Home.locate({"ORCHESTRATOR_HOME": "c"}).root == tmp_path / "c"
    assert mode(tmp_path / "c") == 0o700


@pytest.mark.parametrize("environ", [{}, {"ORCHESTRATOR_HOME": ""}])
def test_else_it_is_the_platforms(environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    root = Home.locate(environ).root
    assert root == platformdirs.user_data_path("cloud-hopping")
    assert root.is_relative_to(tmp_path)
    assert root.is_dir()


def test_one_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as raised:
        Home.locate({"ORCHESTRATOR_HOME": str(tmp_path / "file" / "home")})
    assert str(raised.value) == (
        f"The home folder {tmp_path}/file/home cannot be made\n"
        "  Not a directory. It keeps the Pulumi CLI, the state and the journals of runs.\n"
        "To fix it: set ORCHESTRATOR_HOME to a folder that you can write."
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_one_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError) as raised:
        Home.locate({"ORCHESTRATOR_HOME": str(tmp_path)})
    assert str(raised.value) == (
        f"The home folder {tmp_path} cannot be written\n"
        "  It keeps the Pulumi CLI, the state and the journals of runs.\n"
        "To fix it: set ORCHESTRATOR_HOME to a folder that you can write."
    )


def test_folders_are_their_owners_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.folder("packages") == tmp_path / "packages"
    assert home.folder("runs/20261123-174205-k3x9qz") == home.run_folder("20261123-174205-k3x9qz")
    assert [mode(tmp_path / "packages"), mode(home.run_folder("20261123-174205-k3x9qz"))] == [0o700, 0o700]


@pytest.mark.parametrize(("journal", "left"), [(True, ["run.json"]), (False, None)])
def test_a_run_that_left_nothing_keeps_its_journal_only(tmp_path: Path, journal: bool, left: list[str] | None) -> None:  # noqa: FBT001
    home = Home(tmp_path)
    (home.folder("runs/20261123-174205-k3x9qz/data/log") / "00-up.out").write_text("up")
    if journal:
        (home.run_folder("20261123-174205-k3x9qz") / "run.json").write_text("{}")
    home.tidy("20261123-174205-k3x9qz")
    folder = home.run_folder("20261123-174205-k3x9qz")
    assert ([path.name for path in folder.iterdir()] if folder.exists() else None) == left


def test_the_callers_passphrase_is_used_and_not_kept(tmp_path: Path) -> None:
    assert Home(tmp_path).passphrase({"PULUMI_CONFIG_PASSPHRASE": "ours"}) == "ours"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("environ", [{}, {"PULUMI_CONFIG_PASSPHRASE": ""}])
def test_else_one_is_made_once(environ: dict[str, str], tmp_path: Path) -> None:
    made = Home(tmp_path).passphrase(environ)
    assert len(made) == 43  # 32 random bytes in base64.
    assert Home(tmp_path).passphrase(environ) == made
    assert [path.name for path in tmp_path.iterdir()] == ["passphrase"]
    assert mode(tmp_path / "passphrase") == 0o600


def test_a_run_that_was_faster_gave_the_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def beaten(draft: Path, path: Path) -> None:
        path.write_text("theirs")
        link(draft, path)

    link = os.link
    monkeypatch.setattr(os, "link", beaten)
    assert Home(tmp_path).passphrase({}) == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["passphrase"]
