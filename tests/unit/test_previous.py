"""Which version is taken for the one before this one, and what a checkout is told that does not have it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import previous


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


def commit(folder: Path, name: str, content: str) -> str:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", f"{name} is {content}")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    monkeypatch.delenv(previous.REVISION, raising=False)
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "-q")
    made = [commit(folder, f"{previous.SOURCE}/one.py", "1"), commit(folder, "docs/one.md", "1")]
    return folder, [*made, commit(folder, f"{previous.SOURCE}/one.py", "2"), commit(folder, "docs/one.md", "2")]


def test_it_is_the_state_before_the_last_change_of_the_source(history: tuple[Path, list[str]]) -> None:
    folder, commits = history
    assert previous.revision(folder) == commits[1]


def test_beside_what_is_not_committed_it_is_the_last_commit(history: tuple[Path, list[str]]) -> None:
    folder, commits = history
    (folder / previous.SOURCE / "one.py").write_text("3", encoding="utf-8")
    assert previous.revision(folder) == commits[3]


def test_another_one_can_be_named(history: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, commits = history
    monkeypatch.setenv(previous.REVISION, commits[0][:12])
    assert previous.revision(folder) == commits[0]
    monkeypatch.setenv(previous.REVISION, "nonesuch")
    with pytest.raises(previous.NoHistory, match="name a commit that is there in TENET_TEST_PREVIOUS"):
        previous.revision(folder)


def test_a_clone_without_history_is_told_what_to_fetch(history: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, _ = history
    subprocess.run(
        ["git", "clone", "-q", "--depth=1", f"file://{folder}", str(tmp_path / "shallow")], check=True, timeout=30
    )
    with pytest.raises(previous.NoHistory, match="git fetch --unshallow"):
        previous.revision(tmp_path / "shallow")


def test_what_is_no_checkout_is_said_to_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(previous.REVISION, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(previous.NoHistory, match="not a git repository"):
        previous.revision(tmp_path)
