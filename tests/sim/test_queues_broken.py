"""The simulation of queues finds what is wrong: each of these would be a defect, and none goes unnoticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tenet.queues.ops.owning import flushing, receiving, sending, window
from tenet.queues.ops.owning.fifo import FifoLine
from tenet.queues.ops.owning.flushing import Staged
from tenet.queues.ops.owning.items import READY, Item, Segment
from tenet.queues.ops.owning.working import Working
from tenet.store.contract import Commit, Committed, IsPresent, IsVersion, Key, Unknown, Version, new_commit_id
from tests.sim.harness import simulate
from tests.sim.test_queues import UNKNOWN, scene_of

pytestmark = pytest.mark.interpreted

#: So many runs have to be enough to find a defect.
RUNS = 40


def forget_deletes(patch: pytest.MonkeyPatch) -> None:
    """Deletes are answered, and leave the store as it was."""
    patch.setattr(Staged, "_gone_writes", lambda _self, _segment, _gone: [])


def forget_half_of_a_bitmap(patch: pytest.MonkeyPatch) -> None:
    """Of a segment that is partly gone, only what went last is known."""
    whole = Staged._gone_writes

    def last_only(self: Staged, segment: Segment, gone: int) -> Any:
        is_all = gone == (1 << segment.count) - 1
        return whole(self, segment, gone if is_all else gone & ~segment.gone)

    patch.setattr(Staged, "_gone_writes", last_only)


def forget_receives(patch: pytest.MonkeyPatch) -> None:
    """What a FIFO queue has received is hidden in memory alone."""
    patch.setattr(receiving.Hide, "stage", lambda _self, _staged: None)


def forget_ids(patch: pytest.MonkeyPatch) -> None:
    """Deduplication ids mean nothing."""
    patch.setattr(sending, "take_up_id", lambda *_of: 0)


def take_from_blocked_groups(patch: pytest.MonkeyPatch) -> None:
    """A group is not held back while its messages are in flight."""

    def take(self: FifoLine, most: int, _receives_max: int) -> list[Item]:
        found = [item for group in self._groups.values() for item in group.items if item.state == READY][-most:]
        for item in found:
            group = self._groups[item.message.group]
            group.items.remove(item)
            group.in_flight += 1
            item.state = 2
        return found

    patch.setattr(FifoLine, "take", take)


def fence_nobody(patch: pytest.MonkeyPatch) -> None:
    """A commit does not check whose the queue is."""

    def any_version(key: Key, _version: Version) -> IsPresent:
        return IsPresent(key)

    patch.setattr(flushing, "IsVersion", any_version)


def believe_unknown(patch: pytest.MonkeyPatch) -> None:
    """A commit whose outcome is unknown is taken for one that took effect."""

    async def settled(self: flushing.Flusher, staged: Staged) -> Any:
        check = IsVersion(self._state.head_key, self._version)
        commit = Commit(new_commit_id(self._clock, self._ids), staged.writes(), (check,))
        outcome = await self._store.commit(commit, deadline=staged.deadline)
        return Committed(self._version) if isinstance(outcome, Unknown) else outcome

    patch.setattr(flushing.Flusher, "_commit", settled)


def forget_what_went(patch: pytest.MonkeyPatch) -> None:
    """A segment that went while it was being read is taken up as it was."""
    bury = Working.bury

    def forget(self: Working, segment: Segment, gone: int) -> None:
        bury(self, segment, gone)
        if segment.is_gone:
            self.beyond.pop(segment.first, None)

    patch.setattr(Working, "bury", forget)


@pytest.mark.parametrize(
    ("break_it", "name", "processes"),
    [
        (forget_deletes, "q", 1),
        (forget_half_of_a_bitmap, "q", 1),
        (forget_receives, "q.fifo", 1),
        (forget_ids, "q.fifo", 1),
        (take_from_blocked_groups, "q.fifo", 1),
        (fence_nobody, "q.fifo", 3),
        (believe_unknown, "q", 1),
        (forget_what_went, "q.fifo", 1),
    ],
)
def test_a_defect_is_found(
    break_it: Callable[[pytest.MonkeyPatch], None], name: str, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value, limit in (("READY_MAX", 20), ("READY_LOW", 10), ("_PAGE_RECORDS", 2), ("_EXPRESS_GROUP_MAX", 3)):
        monkeypatch.setattr(window, value, limit)
    break_it(monkeypatch)
    for seed in range(RUNS):
        try:
            simulate(scene_of(name, processes), seed, UNKNOWN)
        except BaseException:  # noqa: BLE001 (whatever it finds is a find)
            return
    pytest.fail("nobody noticed")
