"""Schedules of faults: drawn by a seed, never two faults at a time, and everything mended whatever goes wrong."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

import pytest

from tests.faults.control import NumberedNode
from tests.faults.schedule import Fault, Schedule, draw, play

GROUPS = {"one": ["a"], "rack": ["b", "c"], "all": ["a", "b", "c"]}


class Recorded:
    """Notes what is done to it."""

    def __init__(self, name: str, done: list[str], *, refuses: str = "") -> None:
        self.name = name
        self._done = done
        self._refuses = refuses

    def _do(self, what: str) -> None:
        self._done.append(f"{what} {self.name}")
        if what == self._refuses:
            raise OSError(what)

    def kill9(self) -> None:
        self._do("kill9")

    def pause(self) -> None:
        self._do("pause")

    def resume(self) -> None:
        self._do("resume")

    def start(self) -> None:
        self._do("start")

    def cut(self, names: Sequence[str]) -> None:
        self._done.append(f"cut {' '.join(names)}")

    def heal(self) -> None:
        self._done.append("heal")


def test_the_same_seed_draws_the_same_faults_and_another_others() -> None:
    one, same, other = (
        draw(seed, groups=GROUPS, actions=["kill9", "pause", "partition"], seconds=900) for seed in (1, 1, 2)
    )
    assert one == same
    assert one.faults != other.faults
    assert str(one).startswith("faults by seed 1:\n  at ")


def test_every_action_meets_every_group_before_one_comes_again(seed: int) -> None:
    faults = draw(seed, groups=GROUPS, actions=["kill9", "pause", "partition"], seconds=900).faults
    assert len(faults) > 9
    assert len({(fault.action, fault.group) for fault in faults[:9]}) == 9


def test_faults_never_overlap_and_fit(seed: int) -> None:
    faults = draw(seed, groups=GROUPS, actions=["kill9", "pause"], seconds=300, calm_s=4).faults
    for before, after in pairwise(faults):
        assert before.at_s + before.lasts_s + 4 <= after.at_s
    assert faults[0].at_s >= 4
    assert faults[-1].at_s + faults[-1].lasts_s + 4 <= 300


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw(1, groups={}, actions=["kill9"], seconds=60).faults == ()


def schedule(*faults: Fault) -> Schedule:
    return Schedule(0, faults)


def test_faults_happen_and_are_mended_in_order() -> None:
    done: list[str] = []
    nodes = {name: Recorded(name, done) for name in "abc"}
    events = play(
        schedule(
            Fault("kill9", "one", ("a",), 0.0, 0.05),
            Fault("pause", "rack", ("b", "c"), 0.1, 0.05),
            Fault("partition", "one", ("a",), 0.2, 0.05),
        ),
        nodes,
        begin_ns=time.monotonic_ns(),
        partitions=nodes["a"],
    )
    assert done == ["kill9 a", "start a", "pause b", "pause c", "resume b", "resume c", "cut a", "heal"]
    assert [event.told for event in events] == [
        "kill -9 of one for 0.05 s",
        "SIGSTOP of rack for 0.05 s",
        "network cut off from one for 0.05 s",
    ]
    assert all(event.end_ns - event.begin_ns >= 0.05e9 for event in events)


def test_what_was_broken_is_mended_where_breaking_fails_in_the_middle() -> None:
    done: list[str] = []
    nodes = {"b": Recorded("b", done), "c": Recorded("c", done, refuses="pause")}
    with pytest.raises(OSError, match="pause"):
        play(schedule(Fault("pause", "rack", ("b", "c"), 0.0, 5.0)), nodes, begin_ns=time.monotonic_ns())
    assert done == ["pause b", "pause c", "resume b", "resume c"]


def test_a_node_of_a_numbered_cluster_is_a_node() -> None:
    done: list[str] = []

    class Cluster:
        def kill9(self, number: int) -> None:
            done.append(f"kill9 {number}")

        def pause(self, number: int) -> None:
            done.append(f"pause {number}")

        def resume(self, number: int) -> None:
            done.append(f"resume {number}")

        def start(self, number: int) -> None:
            done.append(f"start {number}")

    node = NumberedNode(Cluster(), 2)
    play(
        schedule(Fault("kill9", "n", (node.name,), 0.0, 0.0), Fault("pause", "n", (node.name,), 0.0, 0.0)),
        {node.name: node},
        begin_ns=time.monotonic_ns(),
    )
    assert node.name == "cassandra-2"
    assert done == ["kill9 2", "start 2", "pause 2", "resume 2"]
