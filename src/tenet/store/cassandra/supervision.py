"""Whether the cluster serves us, found out every second, and whether it is set up as Tenet relies on.

A read by Paxos needs what a commit needs: a majority of the replicas. Where it fails twice in a row this process is cut
off from the majority, or the majority is down: requests are then refused at once, with an error that clients retry,
instead of each finding out by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from tenet.store.cassandra.advice import advice_on, advice_on_copies, advice_on_racks
from tenet.store.cassandra.nodes import only
from tenet.store.cassandra.skew import advice_on_clocks, skews
from tenet.store.cassandra.tries import TableMissing
from tenet.store.errors import StoreError

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver

#: How often it is looked whether anything was answered, after how long without an answer a majority is asked for, and
#: how long that may take: where most nodes do not answer probes (two that are missed make less than a second), where
#: they do, and once it is cut off, when nobody waits for it; seconds.
_LOOK_S_MIN: Final = 0.1
_BEAT_S: Final = 0.25
_BEAT_S_MAX: Final = 0.2
_BEAT_S_MAX_ELSE: Final = 0.3
_BEAT_S_MAX_CUT_OFF: Final = 1.5
#: How many beats in a row may be missed where fewer than half of the nodes answer probes, and where that is not known.
_MISSED_MAX: Final = 2
_MISSED_MAX_ELSE: Final = 8
#: How often settings are read: they change with a restart of a node.
_LOOK_S: Final = 300.0

_log = structlog.get_logger(__name__)


class Supervision:
    """Watches over the cluster.

    Args:
        driver: the cluster.
        clock: time.
    """

    def __init__(self, driver: Driver, clock: Clock) -> None:
        self._driver = driver
        self._tries = driver.tries
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        #: What is not set up as it should be, a sentence each.
        self.advice: Sequence[str] = ()

    def start(self) -> None:
        """Begins to watch."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(_kept_up(watch)) for watch in (self._beat_on, self._look_on)]

    async def close(self) -> None:
        """Ends the watch."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _beat_on(self) -> None:
        """Asks for a majority where nothing else was answered, and finds out when it is out of reach.

        A machine that is merely busy answers something in time, or is late with the probes of all nodes alike, and is
        not soon taken for one that is cut off.
        """
        missed = answered = 0
        heard_s = self._clock.monotonic_s()
        while True:
            begun = self._clock.monotonic_s()
            if self._tries.answered != answered:
                missed, heard_s = 0, begun
            elif missed or begun - heard_s >= _BEAT_S:
                reason = await self._beat(begun + self._beat_s_max())
                missed = missed + 1 if reason and self._tries.answered == answered else 0
                if not self._tries.cut_off and missed >= self._missed_max():
                    self._tries.cut(f"a majority of the cluster's nodes cannot be reached: {reason}")
                    _log.error("cut off from the majority of the cluster: requests are refused until it answers again")
            if self._tries.cut_off and not missed:
                self._tries.cut("")
                _log.warning("a majority of the cluster answers again")
            answered = self._tries.answered
            await asyncio.sleep(max(0.05, begun + _LOOK_S_MIN - self._clock.monotonic_s()))

    def _is_minority(self) -> bool:
        nodes = self._driver.nodes
        return 0 < 2 * nodes.answering <= len(nodes.addresses)

    def _missed_max(self) -> int:
        return _MISSED_MAX if self._is_minority() else _MISSED_MAX_ELSE

    def _beat_s_max(self) -> float:
        if self._tries.cut_off:
            return _BEAT_S_MAX_CUT_OFF
        return _BEAT_S_MAX if self._is_minority() else _BEAT_S_MAX_ELSE

    async def _beat(self, until: float) -> str:
        text = f"SELECT id FROM {self._driver.location.keyspace}.registry WHERE part = ? AND name = ?"
        try:
            await self._driver.select(text, ("beat", ""), deadline=until, counts_as="beat", even_cut_off=True)
        except StoreError as error:
            return error.message
        except TableMissing as error:
            return f"the registry of the keyspace is missing: {error}"
        return ""

    async def _look_on(self) -> None:
        while True:
            try:
                found = await self._look()
            except (StoreError, TableMissing) as error:
                _log.warning("the cluster's settings could not be read", reason=str(error))
            else:
                for one in found:
                    if one not in self.advice:
                        _log.warning("the cluster is not set up as Tenet relies on", advice=one)
                self.advice = found
            await asyncio.sleep(_LOOK_S)

    async def _look(self) -> list[str]:
        found, racks, has_users = [], {}, False
        for address in self._driver.nodes.in_use:
            settings = dict(await self._select("SELECT name, value FROM system_views.settings", (), address))
            ((version, rack),) = await self._select("SELECT release_version, rack FROM system.local", (), address)
            found += [f"Node {address}: {one}" for one in advice_on(settings, version)]
            racks[address] = rack
            has_users = has_users or "AllowAll" not in (settings.get("authenticator") or "AllowAll")
        for keyspace in (self._driver.location.keyspace, *(("system_auth",) if has_users else ())):
            text = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?"
            rows = await self._driver.select(text, (keyspace,), is_serial=False, counts_as="beat")
            found += advice_on_copies(keyspace, dict(rows[0][0]) if rows else {})
        return [*found, *advice_on_racks(racks), *advice_on_clocks(await skews(self._driver, self._clock))]

    async def _select(self, text: str, values: Sequence[Any], address: str) -> list[tuple[Any, ...]]:
        return await self._driver.select(text, values, is_serial=False, counts_as="beat", by=only(address))


async def _kept_up(watch: Callable[[], Awaitable[None]]) -> None:
    """Begins a watch again that has ended by an error: a process that is cut off and has none stays so for ever."""
    last = ""
    while True:
        try:
            await watch()
        except Exception as error:  # noqa: BLE001 (whatever it is: nobody else would begin it again)
            if repr(error) != last:
                _log.exception("a watch over the cluster ended, and is begun again")
            last = repr(error)
        await asyncio.sleep(_BEAT_S)
