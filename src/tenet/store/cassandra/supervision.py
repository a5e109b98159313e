"""Whether the cluster serves us, found out every second, and whether it is set up as Tenet relies on.

A read by Paxos needs what a commit needs: a majority of the replicas. Where it fails twice in a row this process is cut
off from the majority, or the majority is down: requests are then refused at once, with an error that clients retry,
instead of each finding out by itself.

Where there are more nodes than copies, losing two of them takes the majority from some keys and not from others.
Several keys are read at once there, and only where none of them can be is everything refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from tenet.store.cassandra.advice import advice_on, advice_on_copies, advice_on_racks
from tenet.store.cassandra.driver import BEATS
from tenet.store.cassandra.nodes import only
from tenet.store.cassandra.reaching import listens
from tenet.store.cassandra.skew import advice_on_clocks, skews
from tenet.store.cassandra.topology import addresses_now
from tenet.store.cassandra.tries import TableMissing
from tenet.store.errors import StoreError

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver

#: How often it is looked whether anything was answered, after how long without an answer a majority is asked for, and
#: how long that may take: where few nodes can be reached (two that are missed make less than a second), where most can,
#: and once it is cut off, when nobody waits for it; seconds in which this process ran.
_LOOK_S_MIN: Final = 0.05
_BEAT_S: Final = 0.2
_BEAT_S_MAX: Final = 0.2
_BEAT_S_MAX_ELSE: Final = 0.3
_BEAT_S_MAX_CUT_OFF: Final = 1.5
#: After how long without an answer it is tried to connect to the nodes, and how long that may take, seconds.
_CONNECT_S: Final = 0.1
#: How long there is at least between two beats that fail, seconds.
_BEAT_EVERY_S: Final = 0.1
#: How many beats in a row may be missed where at most half of the nodes can be reached, and where more can.
_MISSED_MAX: Final = 2
_MISSED_MAX_ELSE: Final = 8
#: Up to so many nodes, all keys have the same replicas, as a rule.
_NODES_ALIKE: Final = 3
#: How often settings are read: they change with a restart of a node.
_LOOK_S: Final = 300.0
#: How often it is read which nodes there are, and how soon after one came to be silent, or was back; seconds.
_LEARN_S: Final = 60.0
_LEARN_LOOK_S: Final = 5.0

_log = structlog.get_logger(__name__)


class Supervision:
    """Watches over the cluster.

    Args:
        driver: the cluster.
        clock: time.
        listens: whether somebody listens at an address and port.
    """

    def __init__(
        self, driver: Driver, clock: Clock, *, listens: Callable[[str, int], Coroutine[Any, Any, bool]] = listens
    ) -> None:
        self._driver = driver
        self._listens = listens
        #: Whether any node could be connected to when they were tried last; None where that is not known.
        self._are_listening: bool | None = None
        self._tries = driver.tries
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        #: What is not set up as it should be, a sentence each.
        self.advice: Sequence[str] = ()

    def start(self) -> None:
        """Begins to watch."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(_kept_up(watch)) for watch in (self._beat_on, self._look_on, self._learn_on)]

    async def close(self) -> None:
        """Ends the watch."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _beat_on(self) -> None:
        """Asks for a majority where nothing else was answered, and finds out when it is out of reach.

        A machine that is merely busy answers something in time, or is late with the probes of all nodes alike and can
        still be connected to, and is not soon taken for one that is cut off.
        """
        missed = answered = 0
        heard_s = self._clock.monotonic_s()
        while True:
            begun = self._clock.monotonic_s()
            if self._tries.answered != answered:
                missed, heard_s = 0, begun
            elif missed or begun - heard_s >= _BEAT_S:
                reason = await self._beat()
                missed = missed + 1 if reason and self._tries.answered == answered else 0
                if not self._tries.cut_off and missed >= self._missed_max():
                    self._tries.cut(f"a majority of the cluster's nodes cannot be reached: {reason}")
                    _log.error(
                        "cut off from the majority of the cluster: requests are refused until it answers again",
                        not_answering=",".join(self._driver.nodes.not_answering(least=1)),
                    )
            if self._tries.cut_off and not missed:
                self._tries.cut("")
                _log.warning("a majority of the cluster answers again")
            answered = self._tries.answered
            # One that fails at once is not followed by the next one at once.
            least_s = _BEAT_EVERY_S if missed else 0.0
            await asyncio.sleep(max(0.0 if missed else _LOOK_S_MIN, begun + least_s - self._clock.monotonic_s()))

    def _are_few(self) -> bool:
        """Returns whether at most half of the nodes can be reached, as far as is known."""
        nodes = self._driver.nodes
        if not nodes.answering:
            # All are late, or this process is; who can be connected to is there.
            return bool(nodes.addresses) and self._are_listening is not None and not self._are_listening
        return 2 * nodes.answering <= len(nodes.addresses)

    def _missed_max(self) -> int:
        return _MISSED_MAX if self._are_few() else _MISSED_MAX_ELSE

    def _beat_s_max(self) -> float:
        if self._tries.cut_off:
            return _BEAT_S_MAX_CUT_OFF
        return _BEAT_S_MAX if self._are_few() else _BEAT_S_MAX_ELSE

    async def _beat(self) -> str:
        """Asks for a majority; returns why there is none, empty where there is."""
        beat = asyncio.create_task(self._ask(self._clock.monotonic_s() + _BEAT_S_MAX_CUT_OFF))
        connecting: list[asyncio.Task[bool]] = []
        self._are_listening = None
        ran_s = 0.0
        try:
            while not beat.done() and ran_s < self._beat_s_max():
                begun = self._clock.monotonic_s()
                await asyncio.wait({beat}, timeout=_LOOK_S_MIN)
                # What this process did not run is not counted: the answer may be there, and unread.
                ran_s += min(self._clock.monotonic_s() - begun, _LOOK_S_MIN)
                self._note_listening(connecting, is_time=ran_s >= 2 * _CONNECT_S)
                if ran_s >= _CONNECT_S and not connecting and not self._tries.cut_off:
                    connecting = self._connect()
            return beat.result() if beat.done() else "none answered in time"
        finally:
            for one in (beat, *connecting):
                one.cancel()

    def _connect(self) -> list[asyncio.Task[bool]]:
        """Begins to find out whether anybody listens where the nodes are."""
        port = self._driver.location.port
        return [asyncio.create_task(self._listens(one, port)) for one in self._driver.nodes.addresses]

    def _note_listening(self, connecting: Sequence[asyncio.Task[bool]], *, is_time: bool) -> None:
        """Takes over whether any node could be connected to, as far as that is known by now."""
        done = [one for one in connecting if one.done()]
        if any(one.result() for one in done):
            self._are_listening = True
        elif connecting and (is_time or len(done) == len(connecting)):
            self._are_listening = False

    async def _ask(self, until: float) -> str:
        """Reads keys until one was read; returns why none could be, empty where one was."""
        parts = BEATS if len(self._driver.nodes.addresses) > _NODES_ALIKE else BEATS[:1]
        asking = [asyncio.create_task(self._ask_for(part, until)) for part in parts]
        reason = ""
        try:
            for answer in asyncio.as_completed(asking):
                reason = await answer
                if not reason:
                    break
            return reason
        finally:
            for one in asking:
                one.cancel()

    async def _ask_for(self, part: str, until: float) -> str:
        text = f"SELECT id FROM {self._driver.location.keyspace}.registry WHERE part = ? AND name = ?"
        try:
            await self._driver.select(text, (part, ""), deadline=until, counts_as="beat", even_cut_off=True)
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

    async def _learn_on(self) -> None:
        """Finds out from time to time, and soon after one has come to be silent or is back, which nodes there are."""
        left_alone, learnt_s = self._driver.nodes.left_alone, self._clock.monotonic_s()
        while True:
            await asyncio.sleep(_LEARN_LOOK_S)
            now_s = self._clock.monotonic_s()
            if now_s - learnt_s < _LEARN_S and self._driver.nodes.left_alone == left_alone:
                continue
            left_alone, learnt_s = self._driver.nodes.left_alone, now_s
            await self._driver.close_former()
            await self._learn()

    async def _learn(self) -> None:
        known, found = set(self._driver.nodes.addresses), await addresses_now(self._driver)
        if not found or set(found) == known:
            return
        try:
            await self._driver.renew(found)
        except StoreError as error:
            _log.warning("the cluster has other nodes now, and could not be connected to", reason=str(error))
            return
        for added in sorted(set(found) - known):
            _log.warning("the cluster has a new node: requests go to it, too", node=added)
        for gone in sorted(known - set(found)):
            _log.warning("a node has left the cluster: nothing is sent to it any more", node=gone)

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
