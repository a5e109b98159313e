"""Which spaces there are: a registry in one partition, and what this process remembers of it.

A space's name leads to an id, and the id to its tables. Ids are never used again, so that what was prepared for a space
that was dropped can never meet the records of one that was made under its name since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from tenet.base.clock import NEVER
from tenet.store import validate
from tenet.store.cassandra import schema
from tenet.store.cassandra.behind import Behind
from tenet.store.cassandra.definitions import DEFINITION_S, NodeSilent
from tenet.store.cassandra.sizes import Sizes
from tenet.store.cassandra.tries import Unsure
from tenet.store.contract import LogOptions, SpaceInfo, SpaceOptions
from tenet.store.errors import DeadlineExceeded, SpaceNotFound, StoreOfLaterVersion, StoreUnavailable

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.sending import Bound

#: How old what is remembered gets before it is read again behind the request, and before it; seconds. Other processes
#: change and drop spaces, too.
_TRUSTED_S: Final = 2.0
#: How old it may be where something goes by it that cannot be brought back: whoever changes the options of a log to
#: have it keep more waits for longer until he counts on it.
_FRESH_S: Final = 1.0
_BELIEVED_S: Final = 10.0
#: So much longer is waited where nobody is to believe it any more: clocks do not run alike to the last digit.
_BELIEVED_S_MORE: Final = 0.1
#: The partitions of the registry: spaces by name; what is to be removed, see ``removal``; tables for new spaces.
SPACES: Final = "spaces"
DROPPED: Final = "dropped"
SPARE: Final = "spare"
#: Before the id of a table among the spaces: no space may be given it any more. No space has such a name.
CONDEMNED: Final = "!"
#: Before the id of a log among what is to be removed.
LOG: Final = "log-"
#: How many spaces are remembered by their ids.
_BY_ID_MAX: Final = 10_000
_FORMAT: Final = "format"
_COUNTS_AS: Final = "registry"
_TRIES_MAX: Final = 20


class Space:
    """A space with what its statements need, as it was read: one that was changed since is another object.

    Args:
        name: its name.
        space_id: the id of its tables.
        options: its options.
        log: the id of its log, empty for none.
        keyspace: the keyspace of its tables.
        changes: how often it was changed.
        since_s: the monotonic time at which this process first saw it so, seconds.
    """

    __slots__ = (
        "changes",
        "log",
        "log_id",
        "log_statements",
        "name",
        "options",
        "since_s",
        "sizes",
        "space_id",
        "statements",
    )

    def __init__(
        self,
        name: str,
        space_id: str,
        options: SpaceOptions,
        log: str,
        keyspace: str,
        *,
        changes: int | None = None,
        since_s: float = 0.0,
    ) -> None:
        self.name = name
        self.space_id = space_id
        self.options: Final = options
        self.log: Final[LogOptions | None] = options.log
        self.log_id: Final = bytes.fromhex(log)
        self.changes: Final = changes
        self.since_s: Final = since_s
        self.statements = schema.Statements(keyspace, space_id)
        self.log_statements = schema.LogStatements(keyspace)
        self.sizes = Sizes()

    def info(self) -> SpaceInfo:
        """Returns what the contract tells of it."""
        return SpaceInfo(self.name, self.options)


class Spaces:
    """The registry.

    Args:
        driver: the cluster; its location says in which keyspace the tables are.
        clock: time.
        ids: for the ids of spaces.
    """

    def __init__(self, driver: Driver, *, clock: Clock, ids: Ids) -> None:
        self._driver = driver
        self._keyspace = driver.location.keyspace
        self._clock = clock
        self._ids = ids
        self._known: dict[str, tuple[Space, float]] = {}
        self._by_id: dict[str, Space] = {}
        self._behind = Behind()
        self._being_refreshed: set[str] = set()
        table = f"{self._keyspace}.registry"
        self._one = f"SELECT id, options, log, dropped_ms FROM {table} WHERE part = ? AND name = ?"
        self._all = f"SELECT name, id, options FROM {table} WHERE part = ?"
        self._insert = f"UPDATE {table} SET id = ?, options = ?, log = ? WHERE part = ? AND name = ? IF id = null"
        #: In the row of a space ``dropped_ms`` counts its changes: a copy of one that comes late must find that others
        #: came behind it, also where they have left what was there before. Earlier versions leave it as it is.
        self._change = (
            f"UPDATE {table} SET options = ?, log = ?, dropped_ms = ? WHERE part = ? AND name = ?"
            " IF id = ? AND options = ? AND "
        )
        #: Nobody is to take a spare table that is in use: a copy of what has listed it may come late, and must find it.
        self._take = (
            f"UPDATE {table} USING TTL {schema.NAMES_KEPT_S} SET id = ?, options = 'taken' WHERE part = ? AND name = ?"
            " IF options = ''"
        )
        self._remove = f"DELETE FROM {table} WHERE part = ? AND name = ? IF id = ?"
        self._condemned = (
            f"UPDATE {table} USING TTL {schema.NAMES_KEPT_S} SET dropped_ms = ? WHERE part = ? AND name = ?"
        )
        self._is_kept = f"UPDATE {table} SET dropped_ms = null WHERE part = ? AND name = ? IF dropped_ms = null"
        self._bury = f"UPDATE {table} SET id = ?, dropped_ms = ? WHERE part = ? AND name = ?"
        self._bury_log = f"UPDATE {table} SET id = ?, options = ?, dropped_ms = ? WHERE part = ? AND name = ?"

    async def check_format(self) -> None:
        """Says which format the keyspace has, where nobody has yet.

        Raises:
            StoreOfLaterVersion: it has one that this version does not know.
        """
        ours = str(schema.FORMAT)
        for _ in range(_TRIES_MAX):
            rows = await self._driver.select(self._one, (_FORMAT, ""), counts_as=_COUNTS_AS)
            if rows and rows[0][0] is not None:
                if int(rows[0][0]) > schema.FORMAT:
                    raise StoreOfLaterVersion(
                        f"the keyspace {self._keyspace} has format {rows[0][0]}, which a later version wrote; this one"
                        f" knows {ours}"
                    )
                return
            try:
                await self._driver.decide([(self._insert, (ours, "", "", _FORMAT, ""))])
            except Unsure:
                continue
        raise StoreUnavailable(f"the format of the keyspace {self._keyspace} could not be written")

    # ---- what is there -----------------------------------------------------------------------------------------------

    async def find(self, name: str, deadline: float = NEVER) -> Space:
        """Returns a space, from memory where it was read lately.

        Raises:
            SpaceNotFound: there is none.
        """
        return self.remembered(name) or await self.read(name, deadline)

    async def find_fresh(self, name: str, deadline: float = NEVER) -> Space:
        """Returns a space as it was within the last second; errors as for `find`."""
        known = self._known.get(name)
        if known is not None and self._clock.monotonic_s() - known[1] < _FRESH_S:
            return known[0]
        return await self.read(name, deadline)

    def remembered(self, name: str) -> Space | None:
        """Returns a space as it was read lately; None where it has to be read."""
        known = self._known.get(name)
        if known is None:
            return None
        age_s = self._clock.monotonic_s() - known[1]
        if age_s >= _BELIEVED_S:
            return None
        if age_s > _TRUSTED_S and name not in self._being_refreshed:
            self._being_refreshed.add(name)
            self._behind.go(self._refresh(name))
        return known[0]

    async def _refresh(self, name: str) -> None:
        try:
            await self.read(name)
        except (SpaceNotFound, StoreUnavailable):
            pass
        finally:
            self._being_refreshed.discard(name)

    async def read(self, name: str, deadline: float = NEVER) -> Space:
        """Reads a space from the registry.

        Raises:
            SpaceNotFound: there is none.
        """
        begun = self._clock.monotonic_s()
        rows = await self._driver.select(self._one, (SPACES, name), deadline=deadline, counts_as=_COUNTS_AS)
        if not rows or rows[0][0] is None:
            self.forget(name)
            raise SpaceNotFound(f"there is no space {name}")
        return self._remember(name, *rows[0], read_s=begun)

    def by_id(self, space_id: str) -> Space:
        """Returns a space by its id, also one whose name is not known."""
        space = self._by_id.get(space_id)
        if space is None:
            if len(self._by_id) >= _BY_ID_MAX:
                self._by_id = {known.space_id: known for known, _ in self._known.values()}
            space = self._by_id[space_id] = Space("", space_id, SpaceOptions(), "", self._keyspace)
        return space

    async def has_id(self, space_id: str) -> bool:
        """Returns whether there is a space that has this id, as of now."""
        rows = await self._driver.select(self._all, (SPACES,), counts_as=_COUNTS_AS)
        return any(found == space_id for _, found, _ in rows)

    def forget(self, name: str) -> None:
        """Forgets what is remembered of a space."""
        self._known.pop(name, None)

    def _remember(
        self,
        name: str,
        space_id: str,
        options: str,
        log: str | None,
        changes: int | None = None,
        *,
        read_s: float | None = None,
    ) -> Space:
        """Keeps what a read of the registry has found that was begun then, or, None, what was left there now."""
        now = self._clock.monotonic_s()
        known = self._known.get(name)
        space = known[0] if known is not None else None
        if known is not None and read_s is not None and read_s < known[1]:
            return known[0]  # It was read, or changed, by a later statement.
        now_has = (space_id, _decode(options), bytes.fromhex(log or ""), changes)
        if space is None or (space.space_id, space.options, space.log_id, space.changes) != now_has:
            before, space = (
                space,
                Space(name, space_id, now_has[1], log or "", self._keyspace, changes=changes, since_s=now),
            )
            if before is not None and before.space_id == space_id:
                space.sizes = before.sizes
        self._known[name] = (space, now if read_s is None else read_s)
        self._by_id[space_id] = space
        return space

    async def list(self, prefix: str, deadline: float) -> Sequence[SpaceInfo]:
        """Returns the spaces whose names begin so, by name."""
        rows = await self._driver.select(self._all, (SPACES,), deadline=deadline, counts_as=_COUNTS_AS)
        return [
            SpaceInfo(name, _decode(options))
            for name, space_id, options in rows
            if space_id and name.startswith(prefix)
        ]

    # ---- changes -----------------------------------------------------------------------------------------------------

    async def ensure(self, name: str, options: SpaceOptions, deadline: float) -> SpaceInfo:
        """Creates a space or changes it; see ``Store.ensure_space``."""
        for _ in range(_TRIES_MAX):
            try:
                space = await self.read(name, deadline)
            except SpaceNotFound:
                created = await self._create(name, options, deadline)
                if created is not None:
                    return created.info()
                continue
            validate.check_change(space.info(), options)
            if space.options == options or await self._alter(space, options, deadline):
                return SpaceInfo(name, options)
        raise StoreUnavailable(f"the space {name} is being changed by many at once")

    async def _create(self, name: str, options: SpaceOptions, deadline: float) -> Space | None:
        """Makes the tables and then enters the space; whoever enters it first has made it."""
        space_id = await self._take_spare(deadline) or await self._new_table(deadline)
        self._behind.go(self._make_spare())
        log = self._new_log() if options.log is not None else ""
        entered = [
            (self._insert, (space_id, _encode(options), log, SPACES, name)),
            # Its table may have been taken for one that nobody uses, if this process stood still for long.
            (self._is_kept, (SPACES, CONDEMNED + space_id)),
        ]
        try:
            refused = await self._driver.decide(entered, deadline=deadline)
        except Unsure:
            return None
        if refused is not None and all(row.get("id") != space_id for row in refused):
            await self._driver.write([(self._bury, (space_id, self._clock.wall_ms(), DROPPED, space_id))])
            return None
        return self._remember(name, space_id, _encode(options), log)

    async def _new_table(self, deadline: float) -> str:
        until = min(deadline, self._clock.monotonic_s() + DEFINITION_S)
        while True:
            space_id = self._ids.draw(8).hex()
            definition = schema.space(self._keyspace, space_id, self._driver.location.gc_grace_s)
            try:
                await self._driver.define(definition, deadline=until)
            except NodeSilent:
                # Two nodes that define the same table make two of one name. So the next one makes another, and what
                # comes of this one is swept away as a table that nobody uses.
                if self._clock.monotonic_s() >= until:
                    raise
            else:
                return space_id

    async def _take_spare(self, deadline: float) -> str | None:
        """Takes a table that was made before anybody needed it: the cluster takes seconds to make one."""
        for spare in await self._spares(deadline):
            try:
                if await self._driver.decide([(self._take, (spare, SPARE, spare))], deadline=deadline) is None:
                    return spare
            except Unsure:
                continue  # It may be ours or still there: a table that nobody uses is no harm.
        return None

    async def _spares(self, deadline: float) -> Sequence[str]:
        rows = await self._driver.select(self._all, (SPARE,), deadline=deadline, counts_as=_COUNTS_AS)
        return [name for name, _, options in rows if not options]

    async def _make_spare(self) -> None:
        """Makes a table for the next space, unless there is one already."""
        if not await self._spares(NEVER):
            spare = await self._new_table(NEVER)
            await self._driver.decide([(self._insert, (spare, "", "", SPARE, spare))])

    def _new_log(self) -> str:
        """Returns the id of a log; each time that a space gets one, it is another one."""
        return self._ids.draw(schema.LOG_ID_BYTES).hex()

    async def _alter(self, space: Space, options: SpaceOptions, deadline: float) -> bool:
        log = space.log_id.hex() if options.log is not None else ""
        if options.log is not None and space.options.log is None:
            await self._forgotten_by_all(space, deadline)
            log = self._new_log()
        if space.log is not None and options.log is None:
            await self._driver.write(self._buried_log(space), deadline=deadline)
        changes = (space.changes or 0) + 1
        condition, wanted = schema.equal("dropped_ms", space.changes)
        values = (_encode(options), log, changes, SPACES, space.name, space.space_id, _encode(space.options), *wanted)
        change = (self._change + condition, values)
        try:
            if await self._driver.decide([change], deadline=deadline) is not None:
                return False
        except Unsure:
            return False
        self._remember(space.name, space.space_id, _encode(options), log, changes)
        return True

    async def _forgotten_by_all(self, space: Space, deadline: float) -> None:
        """Waits until no process takes a log for this space's that was switched off.

        Raises:
            DeadlineExceeded: the deadline passed first; the time counts on for the next call.
        """
        left_s = space.since_s + _BELIEVED_S + _BELIEVED_S_MORE - self._clock.monotonic_s()
        if left_s <= 0:
            return
        rows = await self._driver.select(self._all, (DROPPED,), deadline=deadline, counts_as=_COUNTS_AS)
        if not any(name.startswith(LOG) and of == space.space_id for name, of, _ in rows):
            return
        if self._clock.monotonic_s() + left_s > deadline:
            raise DeadlineExceeded(
                f"the log of {space.name} was switched off lately; it can be switched on again after {_BELIEVED_S} s"
            )
        await asyncio.sleep(left_s)

    async def drop(self, name: str, deadline: float) -> None:
        """Drops a space; its tables go later, when no commit over several partitions can need them any more."""
        for _ in range(_TRIES_MAX):
            try:
                space = await self.read(name, deadline)
            except SpaceNotFound:
                return
            now_ms = self._clock.wall_ms()
            buried = (self._bury, (space.space_id, now_ms, DROPPED, space.space_id))
            await self._driver.write([buried, *self._buried_log(space)], deadline=deadline)
            removed = [
                (self._remove, (SPACES, name, space.space_id)),
                # What entered it was perhaps sent twice, and a copy comes behind this.
                (self._condemned, (now_ms, SPACES, CONDEMNED + space.space_id)),
            ]
            try:
                await self._driver.decide(removed, deadline=deadline)
            except Unsure:
                continue
            self.forget(name)
            return
        raise StoreUnavailable(f"whether the space {name} was dropped is not known")

    def _buried_log(self, space: Space) -> Sequence[Bound]:
        """Returns the write that lists a space's log as one to be removed; before the space loses it."""
        if space.log is None:
            return []
        log = space.log_id.hex()
        return [
            (self._bury_log, (space.space_id, str(space.log.shards), self._clock.wall_ms(), DROPPED, f"{LOG}{log}"))
        ]

    async def is_quiet(self) -> None:
        """Waits until nothing goes on in the background."""
        await self._behind.is_quiet()

    async def close(self) -> None:
        """Ends what goes on in the background."""
        await self._behind.cancel()


def _encode(options: SpaceOptions) -> str:
    return msgspec.json.encode(options).decode()


def _decode(text: str) -> SpaceOptions:
    return msgspec.json.decode(text, type=SpaceOptions)
