"""What a cluster is: which addresses it may have, and how its nodes are run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.cluster.spec import Spec


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder of jars with the one that a command line names."""
    (tmp_path / "jamm-0.4.0.jar").touch()
    return tmp_path


def test_a_node_in_a_namespace_is_run_by_a_command_of_its_own(library: Path) -> None:
    spec = Spec("10.77.1", prefix="ip netns exec tn77-cassandra-$number")
    assert spec.address(2) == "10.77.1.2"
    command = spec.command(2, Path("/usr/bin/java"), library)
    assert command[:5] == ["ip", "netns", "exec", "tn77-cassandra-2", "/usr/bin/java"]
    assert spec.command(2, Path("/usr/bin/java"), library)[5:] == command[5:]


def test_a_node_without_a_prefix_is_java_itself(library: Path) -> None:
    assert Spec().command(1, Path("/usr/bin/java"), library)[0] == "/usr/bin/java"


@pytest.mark.parametrize("network", ["", "127.0", "127.0.0.1", "127.0.256", "192.168.1", "10.1"])
def test_addresses_are_of_this_machine_alone(network: str) -> None:
    with pytest.raises(ValueError, match=r"is not of the form 127\.x\.y or 10\.x\.y"):
        Spec(network)
