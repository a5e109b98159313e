"""Engines that break what a client of the API relies on, each in one way; the checkers have to find out every one.

Each is the engine in memory with a mistake that a distributed engine could make. It makes it now and then and with
items alone, so that a server on it starts, serves, and looks healthy. ``tenet up`` finds them as any other engine, by
the entry point ``broken`` that `installed` puts on its path: the store's URL is ``broken:stale_reads``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tenet.base.clock import NEVER, Clock
from tenet.base.dice import Dice
from tenet.base.ids import Ids
from tenet.store.contract import (
    Commit,
    Committed,
    Conflict,
    Key,
    NeverCommitted,
    Outcome,
    Put,
    Record,
    Settled,
    StampOf,
    Unknown,
    Version,
    Write,
)
from tenet.store.errors import StoreUnavailable
from tenet.store.memory import MemoryEngine

ROOT = Path(__file__).resolve().parents[2]
#: The spaces of tables, whose names end with a table's id; the catalog and the tokens are in others.
_ITEMS: Final = re.compile(r"tables\.[0-9a-f]{32}$")
_SEED: Final = 1


def is_item(key: Key) -> bool:
    """Whether an item lies there."""
    return _ITEMS.match(key.space) is not None


class Broken(MemoryEngine):
    """What the broken engines share."""

    def __init__(self, *, clock: Clock, ids: Ids, site: int = 0) -> None:
        super().__init__(clock=clock, ids=ids, site=site)
        self._dice = Dice(_SEED)

    def _is_broken_now(self, writes: Sequence[Write], probability: float) -> bool:
        """Whether to make the mistake with these writes."""
        return any(isinstance(write, Put) and is_item(write.key) for write in writes) and self._dice.chance(probability)

    def _before(self, writes: Iterable[Write]) -> Mapping[Key, Record | None]:
        return {write.key: self._read(write.key) for write in writes}

    def _undo(self, before: Mapping[Key, Record | None], version: Version) -> None:
        """Puts back what was there, where nobody has written since."""
        for key, old in before.items():
            now = self._read(key)
            if now is None or now.version != version:
                continue
            partition = self._space(key.space).make_partition(key.partition)
            if old is None:
                partition.delete(key.sort)
            else:
                partition.put(old)


class StaleReads(Broken):
    """Answers a read now and then from a replica that has not got the last write."""

    def __init__(self, *, clock: Clock, ids: Ids, site: int = 0) -> None:
        super().__init__(clock=clock, ids=ids, site=site)
        self._old: dict[Key, Record | None] = {}

    def _write(self, write: Write, version: Version) -> None:
        self._old[write.key] = self._read(write.key)
        super()._write(write, version)

    async def get(
        self, keys: Sequence[Key], *, stale: bool = False, deadline: float = NEVER
    ) -> Sequence[Record | None]:
        records = await super().get(keys, stale=stale, deadline=deadline)
        return [
            self._old.get(key, record) if is_item(key) and self._dice.chance(0.1) else record
            for key, record in zip(keys, records, strict=True)
        ]


class LostWrites(Broken):
    """Acknowledges a commit that one replica alone has, and that goes with it a little later."""

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        before = self._before(commit.writes)
        outcome = await super().commit(commit, deadline=deadline)
        if isinstance(outcome, Committed) and self._is_broken_now(commit.writes, 0.1):
            asyncio.get_running_loop().call_later(0.005, self._undo, before, outcome.version)
        return outcome


class AppliedTwice(Broken):
    """Says of a commit whose outcome was unknown that it never took effect, when it has; so it is committed again."""

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        outcome = await super().commit(commit, deadline=deadline)
        if isinstance(outcome, Committed) and self._is_broken_now(commit.writes, 0.2):
            return Unknown(commit.id)
        return outcome

    async def settle(self, commit: Commit, *, deadline: float = NEVER) -> Settled:
        return NeverCommitted(commit.id)


class TornCommits(Broken):
    """Commits one partition after the other, so that others see half of a transaction."""

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        await self._begin(deadline)
        conflict = self._refusal(commit)
        if conflict is not None or not self._is_broken_now(commit.writes, 0.5):
            return conflict or self._decide(commit)
        self._state.last_version = version = self._versions.draw()
        for write in commit.writes:
            self._write(write, version)
            await asyncio.sleep(0.004)
        return Committed(version)


class DirtyReads(Broken):
    """Shows others for a moment what a commit would write that is then refused."""

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        before = self._before(commit.writes)
        outcome = await super().commit(commit, deadline=deadline)
        if isinstance(outcome, Conflict) or self._is_broken_now(commit.writes, 0.1):
            version = self._versions.draw() if isinstance(outcome, Conflict) else outcome.version  # type: ignore[union-attr]  # - never Unknown here
            for write in commit.writes:
                if isinstance(write, Put) and is_item(write.key):
                    self._write(write, version)
            await asyncio.sleep(0.01)
            self._undo(before, version)
            if not isinstance(outcome, Conflict):
                raise StoreUnavailable("a replica was lost before the commit was decided")
        return outcome


class FracturedSnapshots(Broken):
    """Reads the keys of a snapshot one after the other."""

    async def read_together(
        self, reads: Sequence[Key | StampOf], *, deadline: float = NEVER
    ) -> Sequence[Record | int | None]:
        answers: list[Record | int | None] = []
        for read in reads:
            answers += await super().read_together([read], deadline=deadline)
            await asyncio.sleep(0.002)
        return answers


class LostUpdates(Broken):
    """Looks whether the checks of a commit hold, and writes a moment later without looking again."""

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        await self._begin(deadline)
        conflict = self._refusal(commit)
        if conflict is not None or not self._is_broken_now(commit.writes, 0.5):
            return conflict or self._decide(commit)
        await asyncio.sleep(0.005)
        self._state.last_version = version = self._versions.draw()
        for write in commit.writes:
            self._write(write, version)
        return Committed(version)


#: By the location in the store's URL.
ENGINES: Final[dict[str, type[Broken]]] = {
    "stale_reads": StaleReads,
    "lost_writes": LostWrites,
    "applied_twice": AppliedTwice,
    "torn_commits": TornCommits,
    "dirty_reads": DirtyReads,
    "fractured_snapshots": FracturedSnapshots,
    "lost_updates": LostUpdates,
}


async def open_engine(location: str, *, clock: Clock, ids: Ids, site: int = 0) -> Broken:
    """Opens a broken engine; see ``OpenEngine``."""
    return ENGINES[location](clock=clock, ids=ids, site=site)


def installed(folder: Path, engine: str) -> dict[str, str]:
    """Returns the environment in which ``tenet up`` runs on a broken engine.

    Args:
        folder: where the files lie that make the engines known, as an installed package would.
        engine: which one.
    """
    about = folder / "tenet_broken_engines-1.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tenet-broken-engines\nVersion: 1\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(f"[tenet.engines]\nbroken = {__name__}:open_engine\n", encoding="utf-8")
    return {"PYTHONPATH": f"{folder}:{ROOT}", "TENET_STORE_URL": f"broken:{engine}"}
