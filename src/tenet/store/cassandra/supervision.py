"""Whether the cluster serves us, found out every second, and whether it is set up as Tenet relies on.

A read by Paxos needs what a commit needs: a majority of the replicas. Where it fails twice in a row this process is cut
off from the majority, or the majority is down: requests are then refused at once, with an error that clients retry,
instead of each finding out by itself.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from tenet.store.cassandra.nodes import only
from tenet.store.cassandra.skew import advice_on_clocks, skews
from tenet.store.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver

_BEAT_S: Final = 0.5
_BEAT_S_MAX: Final = 0.45
#: How many beats in a row may be missed where fewer than half of the nodes answer probes, and where that is not known.
_MISSED_MAX: Final = 2
_MISSED_MAX_ELSE: Final = 6
#: How often settings are read: they change with a restart of a node.
_LOOK_S: Final = 300.0
_COPIES_MIN: Final = 3
_SEGMENT_MIB_MIN: Final = 32
_SYNCED: Final = ("batch", "group")
_STOPPING: Final = ("stop", "stop_paranoid", "die")

_log = structlog.get_logger(__name__)


class Supervision:
    """Watches over the cluster.

    Args:
        driver: the cluster.
        clock: time.
    """

    def __init__(self, driver: Driver, clock: Clock) -> None:
        self._driver = driver
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        #: What is not set up as it should be, a sentence each.
        self.advice: Sequence[str] = ()

    def start(self) -> None:
        """Begins to watch."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._beat_on()), loop.create_task(self._look_on())]

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
        while True:
            begun = self._clock.monotonic_s()
            if self._driver.answered != answered:
                missed = 0
            else:
                reason = await self._beat(begun + _BEAT_S_MAX)
                missed = missed + 1 if reason and self._driver.answered == answered else 0
                if not self._driver.cut_off and missed >= self._missed_max():
                    self._driver.cut(f"a majority of the cluster's nodes cannot be reached: {reason}")
                    _log.error("cut off from the majority of the cluster: requests are refused until it answers again")
            if self._driver.cut_off and not missed:
                self._driver.cut("")
                _log.warning("a majority of the cluster answers again")
            answered = self._driver.answered
            await asyncio.sleep(max(0.05, begun + _BEAT_S - self._clock.monotonic_s()))

    def _missed_max(self) -> int:
        nodes = self._driver.nodes
        return _MISSED_MAX if 0 < 2 * nodes.answering <= len(nodes.addresses) else _MISSED_MAX_ELSE

    async def _beat(self, until: float) -> str:
        text = f"SELECT id FROM {self._driver.location.keyspace}.registry WHERE part = ? AND name = ?"
        try:
            await self._driver.select(text, ("beat", ""), deadline=until, counts_as="beat", even_cut_off=True)
        except StoreUnavailable as error:
            return error.message
        return ""

    async def _look_on(self) -> None:
        while True:
            try:
                found = await self._look()
            except StoreError as error:
                _log.warning("the cluster's settings could not be read", reason=error.message)
            else:
                for one in found:
                    if one not in self.advice:
                        _log.warning("the cluster is not set up as Tenet relies on", advice=one)
                self.advice = found
            await asyncio.sleep(_LOOK_S)

    async def _look(self) -> list[str]:
        found = []
        for address in self._driver.nodes.in_use:
            rows = await self._select("SELECT name, value FROM system_views.settings", (), address)
            ((version,),) = await self._select("SELECT release_version FROM system.local", (), address)
            found += [f"Node {address}: {one}" for one in advice_on(dict(rows), version)]
        keyspace = self._driver.location.keyspace
        text = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?"
        rows = await self._driver.select(text, (keyspace,), is_serial=False, counts_as="beat")
        found += advice_on_clocks(await skews(self._driver, self._clock))
        return found + list(advice_on_copies(keyspace, dict(rows[0][0]) if rows else {}))

    async def _select(self, text: str, values: Sequence[Any], address: str) -> list[tuple[Any, ...]]:
        return await self._driver.select(text, values, is_serial=False, counts_as="beat", by=only(address))


def advice_on(settings: Mapping[str, str | None], version: str) -> Iterator[str]:
    """Returns what should be changed on a node, for its settings (``system_views.settings``) and its release."""
    if not version.startswith("5."):
        yield f"it runs Cassandra {version}; Tenet is made for 5.0 and tested with it."
    sync = settings.get("commitlog_sync")
    if sync not in _SYNCED:
        yield (
            f"commitlog_sync is {sync}: a write is answered before it is on the disk, and is lost where all replicas"
            " lose power together. Set it to batch."
        )
    if settings.get("paxos_variant") != "v2":
        found = settings.get("paxos_variant")
        yield f"paxos_variant is {found}: transactions cost twice the round trips. Set it to v2."
    if settings.get("paxos_repair_enabled") == "false":
        yield "paxos_repair_enabled is false: transactions may break while nodes join and leave. Set it to true."
    for name in ("disk_failure_policy", "commit_failure_policy"):
        if settings.get(name) not in _STOPPING:
            yield f"{name} is {settings.get(name)}: it goes on with a disk that fails. Set it to stop."
    if 0 < _mib(settings.get("commitlog_segment_size")) < _SEGMENT_MIB_MIN:
        yield (
            f"commitlog_segment_size is {settings['commitlog_segment_size']}: large commits are refused."
            f" Set it to {_SEGMENT_MIB_MIN}MiB or more."
        )


def advice_on_copies(keyspace: str, replication: Mapping[str, str]) -> Iterator[str]:
    """Returns what should be changed about the copies of a keyspace (``system_schema.keyspaces``)."""
    copies = {name: int(number) for name, number in replication.items() if number.isdigit()}
    for name, number in copies.items():
        if number < _COPIES_MIN:
            yield (
                f"The keyspace {keyspace} has {number} {'copy' if number == 1 else 'copies'} in {name}: whoever loses a"
                f" node loses service or data. With three nodes: ALTER KEYSPACE {keyspace} WITH replication ="
                f" {{'class': 'NetworkTopologyStrategy', '{name}': {_COPIES_MIN}}}, then nodetool repair --full."
            )


def _mib(text: str | None) -> int:
    match = re.fullmatch(r"(\d+)(MiB|GiB)", text or "")
    return int(match[1]) * (1 if match[2] == "MiB" else 1024) if match else 0
