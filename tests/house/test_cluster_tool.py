"""What the tool that starts Cassandra nodes decides before it starts any."""

from __future__ import annotations

import errno
import itertools
import os
import socket
import stat
from pathlib import Path

import pytest

from tests.conformance.packages import CASSANDRA, ToolMissing
from tools.cluster import java
from tools.cluster.keeper import _check_kept
from tools.cluster.node import CannotStart, Node, check_free
from tools.cluster.spec import TOKENS_PER_NODE, Spec, replace_settings


def program(folder: Path, name: str, text: str) -> Path:
    """A program that prints a text to its standard error."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{text}\nEND\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


# ---- what has to be installed ----


def test_java_of_java_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = program(tmp_path / "home" / "bin", "java", 'openjdk version "17.0.9" 2023-10-17')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert java.find_java() == ours


def test_another_java_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = program(tmp_path / "bin", "java", 'openjdk version "21.0.4" 2024-07-16')
    program(tmp_path / "home" / "bin", "java", "this is no Java")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{other.parent}:/usr/bin:/bin")
    monkeypatch.setattr(java, "_KNOWN", ())
    with pytest.raises(ToolMissing, match=r"needs Java 17 \(.*java is 21\).*apt-get install.*brew install"):
        java.find_java()


def test_no_java_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(java, "_KNOWN", ())
    with pytest.raises(ToolMissing, match="needs Java 17: on Debian"):
        java.find_java()


def test_maven_is_asked_for_where_cassandra_has_to_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENET_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="mvn \\(Apache Maven; on Debian"):
        CASSANDRA.ensure()


# ---- what is asked for ----


@pytest.mark.parametrize("network", ["127.0", "127.0.256", "11.0.0", "127.0.0.1", "127.0.0\n"])
def test_addresses_are_of_this_machine(network: str) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        Spec(network)


@pytest.mark.parametrize("nodes", [0, 10])
def test_number_of_nodes_is_bounded(nodes: int) -> None:
    with pytest.raises(ValueError, match=f"nodes is {nodes}, and has to be 1 to 9"):
        Spec(nodes=nodes)


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENET_CACHE", str(tmp_path / ("long" * 30)))
    with pytest.raises(ValueError, match="TENET_CACHE"):
        Spec()


@pytest.mark.parametrize("nodes", [1, 3, 9])
def test_tokens_share_the_ring_evenly(nodes: int) -> None:
    spec = Spec(nodes=nodes)
    tokens = sorted(token for number in spec.numbers for token in spec._tokens(number))
    assert len(set(tokens)) == TOKENS_PER_NODE * nodes
    assert tokens[0] > -(2**63)  # Murmur3Partitioner never gives the lowest number
    assert tokens[-1] < 2**63
    gaps = {after - before for before, after in itertools.pairwise(tokens)}
    assert max(gaps) - min(gaps) <= 1


def test_files_of_a_node_are_filled_in() -> None:
    spec = Spec("127.3.4")
    files = spec.files(2)
    assert "listen_address: 127.3.4.2\n" in files["cassandra.yaml"]
    assert 'seeds: "127.3.4.1,127.3.4.2,127.3.4.3"\n' in files["cassandra.yaml"]
    assert f"  - {spec.node_folder(2)}/data\n" in files["cassandra.yaml"]
    assert files["cassandra-rackdc.properties"].splitlines() == ["dc=dc1", "rack=r2"]


@pytest.mark.parametrize(("is_optimized", "level"), [(False, 1), (True, 4)])
def test_nodes_that_live_for_some_tests_are_not_optimized(tmp_path: Path, is_optimized: bool, level: int) -> None:
    (tmp_path / "jamm-0.jar").touch()
    command = Spec(is_optimized=is_optimized).command(1, Path("java"), tmp_path)
    assert f"-XX:TieredStopAtLevel={level}" in command


def test_only_nodes_that_never_stop_keep_definitions_in_memory_alone(tmp_path: Path) -> None:
    (tmp_path / "jamm-0.jar").touch()
    options = [
        "-Dcassandra.test.flush_local_schema_changes=false",
        "-Dcassandra.skip_schema_check_for_endpoints=127.3.4.1,127.3.4.2,127.3.4.3",
    ]
    for never_stops in (True, False):
        command = Spec("127.3.4", never_stops=never_stops).command(1, Path("java"), tmp_path)
        assert [option in command for option in options] == [never_stops] * 2


def test_settings_take_the_place_of_whole_entries() -> None:
    yaml = "a: 1\nlist:\n  - x\n  - y\n# about b\nb: 2\n"
    assert replace_settings(yaml, "list: none\nc: 3") == "a: 1\n# about b\nb: 2\nlist: none\nc: 3\n"


# ---- what is refused ----


def test_an_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"127\.0\.0\.1:{port} cannot be listened on"):
            check_free("127.0.0.1", port)


def test_an_address_that_the_machine_lacks_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(_socket: socket.socket, _address: tuple[str, int]) -> None:
        # A Linux machine has all of 127.0.0.0/8; a macOS one answers this.
        raise OSError(errno.EADDRNOTAVAIL, "Can't assign requested address")

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(CannotStart, match=r"sudo ifconfig lo0 alias 127\.0\.0\.2 up"):
        check_free("127.0.0.2", 9042)


def test_data_of_another_number_of_nodes_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENET_CACHE", str(tmp_path))
    Spec().folder.mkdir(parents=True)
    _check_kept(Spec(nodes=3), is_fresh=True)
    with pytest.raises(CannotStart, match="of 3 nodes: start with --fresh"):
        _check_kept(Spec(nodes=2), is_fresh=False)
    _check_kept(Spec(nodes=3), is_fresh=False)


def test_a_number_that_now_belongs_to_another_process_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENET_CACHE", str(tmp_path))
    library = tmp_path / "lib"
    library.mkdir()
    (library / "jamm-0.jar").touch()
    node = Node(Spec(), 1, Path("java"), library)
    node.folder.mkdir(parents=True)
    (node.folder / "pid").write_text(str(os.getpid()), encoding="ascii")
    node.end_stale()  # or this test ends here
    assert not (node.folder / "pid").exists()


def test_a_fresh_start_keeps_the_logs_of_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENET_CACHE", str(tmp_path))
    library = tmp_path / "lib"
    library.mkdir()
    (library / "jamm-0.jar").touch()
    node = Node(Spec(), 1, Path("java"), library)
    for name in ("data", "logs"):
        (node.folder / name).mkdir(parents=True)
    (node.folder / "logs" / "system.log").write_text("the last one", encoding="utf-8")
    node.clear()
    assert not (node.folder / "data").exists()
    assert (node.folder / "logs.previous" / "system.log").read_text(encoding="utf-8") == "the last one"
