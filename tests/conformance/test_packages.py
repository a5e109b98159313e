"""Packages are fetched once, whole or not at all, by however many processes; what is missing is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.packages import FetchFailed, Package, ToolMissing
from tests.conformance.peers import PEERS, Peer, PeerDidNotStart, running, start

PROCESSES = 4
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("TENET_CACHE", str(folder))
    return folder


def fetch_slowly(folder: Path) -> None:
    """Leaves a line per fetch where both processes can see it."""
    with (folder.parent / "fetched").open("a", encoding="utf-8") as file:
        file.write("once\n")
    for number in range(200):
        (folder / f"part-{number}").write_text("whole", encoding="utf-8")


SLOW = Package("slow", "1", {}, fetch_slowly)


def ensure_slow() -> None:
    folder = SLOW.ensure()
    assert len(list(folder.glob("part-*"))) == 200


def test_processes_fetch_a_package_once(cache: Path) -> None:
    program = "from tests.conformance.test_packages import ensure_slow; ensure_slow()"
    workers = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) for _ in range(PROCESSES)]
    assert [worker.wait() for worker in workers] == [0] * PROCESSES
    ensure_slow()
    assert (cache / "fetched").read_text(encoding="utf-8") == "once\n"


def test_what_was_fetched_in_part_is_fetched_anew(cache: Path) -> None:
    attempts: list[int] = []

    def fetch(folder: Path) -> None:
        attempts.append(len(list(folder.iterdir())))
        (folder / "half").touch()
        if len(attempts) == 1:
            raise FetchFailed("the registry went away")

    package = Package("halved", "1", {}, fetch)
    with pytest.raises(FetchFailed):
        package.ensure()
    assert not package.is_here
    assert package.ensure() == cache / "halved-1"
    assert attempts == [0, 0]
    assert package.is_here


def test_a_missing_tool_is_named_with_what_to_install() -> None:
    package = Package("needy", "2", {"no-such-tool": "Apache Nothing", "sh": "a shell"}, lambda _folder: None)
    with pytest.raises(ToolMissing, match=r"^needy 2 needs, on the PATH: no-such-tool \(Apache Nothing\)$"):
        package.ensure()


def test_a_peer_that_ends_is_told_with_its_words(tmp_path: Path) -> None:
    package = Package("broken", "1", {}, lambda _folder: None)
    peer = Peer("broken", package, lambda _folder, _port, _data: ["sh", "-c", "echo out of order; exit 3"])
    with pytest.raises(PeerDidNotStart, match="out of order"):
        start(peer, tmp_path)


@pytest.mark.time_limit_s(300)
def test_a_peer_keeps_its_data_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    from tests.conformance.differential.targets import Target

    monkeypatch.delenv("TENET_CACHE")
    data = tmp_path / "data"
    data.mkdir()
    table = {
        "TableName": "kept",
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    with running(PEERS["dynalite"], tmp_path, data) as peer:
        target = Target("dynalite", peer.endpoint)
        request.addfinalizer(target.close)
        assert target.call("CreateTable", table).is_success
        target.close()
    assert not peer.is_alive
    with running(PEERS["dynalite"], tmp_path, data) as peer:
        target = Target("dynalite", peer.endpoint)
        assert target.call("ListTables", {}).body == {"TableNames": ["kept"]}
        target.close()
    with pytest.raises(ValueError, match="moto keeps nothing in files"):
        start(PEERS["moto"], tmp_path, data)
