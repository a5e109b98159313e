"""What is kept of a copy in the two stores: which one it is, how far it has come, and which of them may serve.

================ ========== ========================== ============================================================
space            partition  sort                       value
================ ========== ========================== ============================================================
``store.copies`` ``copy``   ``out``                    in the store that is copied: ``Outgoing``
``store.copies`` ``copy``   ``in``                     in the copy: ``Incoming``
``store.copies`` ``copy``   ``space/`` + space's name  in the copy: ``SpaceCopied``
================ ========== ========================== ============================================================

The switch is one commit: ``Outgoing.state`` becomes ``moved`` in the store that is copied, which takes no write from
then on. The copy may be served once it says ``complete``, which is written after that. So there is no moment at which
both may take writes, whenever a process dies; between the two neither does, and the same command ends it. That
processes which have the store open already keep to it, and one that copies has it for itself: ``copy_fence``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from tenet.store.contract import Conflict, Delete, IsVersion, Key, Put
from tenet.store.copy_writing import patiently
from tenet.store.errors import CopyRefused, StoreMoved, StoreUnavailable
from tenet.store.landing import land

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Committed, Record, Store, Version, Write

SPACE: Final = "store.copies"
_PARTITION: Final = b"copy"
OUT: Final = Key(SPACE, _PARTITION, b"out")
IN: Final = Key(SPACE, _PARTITION, b"in")
_PROGRESS: Final = b"space/"

Mark = TypeVar("Mark", bound=Struct)


class Outgoing(Struct, frozen=True):
    """Kept in a store that is copied, version 1.

    Args:
        version: of the format.
        copy: names the copy, random.
        target: where to, for people.
        state: ``moved`` once it must not be served any more.
        claim: names the try that copies it right now, random: its process alone may write to the store. Empty where
            none does: it was left off, or an earlier version of Tenet, which knows no claims, began it.
        node: whose process that is, where it is a node's; of a dead one the same node may end the claim.
    """

    version: int
    copy: str
    target: str
    state: Literal["copying", "moved"]
    claim: str = ""
    node: str = ""


class Incoming(Struct, frozen=True):
    """Kept in a copy until it is served for the first time, version 1.

    Args:
        version: of the format.
        copy: names the copy, random.
        source: where from, for people.
        state: ``complete`` once it may be served; ``ending`` while it is removed.
        began_ms: when it was begun, milliseconds since 1970.
        touched_ms: when it was last written to, to some seconds.
    """

    version: int
    copy: str
    source: str
    state: Literal["copying", "complete", "ending"]
    began_ms: int
    touched_ms: int


class SpaceCopied(Struct, frozen=True):
    """How far a space has been copied for the first time.

    Args:
        after: partition and sort key of the last record; None where there is none.
        is_done: whether that was the last one.
        records: how many there were.
        value_bytes: of their values.
    """

    after: tuple[bytes, bytes] | None = None
    is_done: bool = False
    records: int = 0
    value_bytes: int = 0


def progress_key(space: str) -> Key:
    """Returns where lies how far a space has been copied."""
    return Key(SPACE, _PARTITION, _PROGRESS + space.encode("ascii"))


def decode(record: Record | None, kind: type[Mark]) -> Mark | None:
    """Returns what a mark says; None where there is none."""
    return None if record is None else msgspec.json.decode(record.value, type=kind)


def put(key: Key, mark: Struct) -> Put:
    """Returns what writes a mark."""
    return Put(key, msgspec.json.encode(mark))


class End:
    """The marks of one of the two stores.

    Args:
        store: the store, without its guard.
        clock: time.
        ids: for commit ids.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids) -> None:
        self.store = store
        self._clock = clock
        self._ids = ids

    async def ensure(self) -> None:
        """Makes the space of the marks; safe to repeat."""
        await patiently(lambda deadline: self.store.ensure_space(SPACE, deadline=deadline), self._clock)

    async def read(self, key: Key, kind: type[Mark]) -> tuple[Mark | None, Version | None]:
        """Returns a mark and its version; None where there is none, or no space for it."""

        async def call(deadline: float) -> Record | None:
            if not any(info.name == SPACE for info in await self.store.list_spaces(SPACE, deadline=deadline)):
                return None
            (record,) = await self.store.get([key], deadline=deadline)
            return record

        record = await patiently(call, self._clock)
        return decode(record, kind), None if record is None else record.version

    async def write(self, key: Key, mark: Struct | None, expected: Version | None) -> Version | None:
        """Writes a mark, or removes it (None), if it still has the version that is expected.

        Raises:
            CopyRefused: somebody else has written it meanwhile.
        """
        write: Write = Delete(key) if mark is None else put(key, mark)
        outcome = await self.land([write], IsVersion(key, expected))
        return None if mark is None else outcome

    async def land(self, writes: Sequence[Write], check: IsVersion) -> Version:
        """Commits, under one check.

        Raises:
            CopyRefused: it does not hold.
        """

        async def call(deadline: float) -> Committed | Conflict:
            return await land(self.store, writes, [check], clock=self._clock, ids=self._ids, deadline=deadline)

        # Where the outcome stays unknown, the version is too; whoever begins anew reads it.
        outcome = await patiently(call, self._clock, again=StoreUnavailable)
        if isinstance(outcome, Conflict):
            raise CopyRefused("another process works on the same copy; let one of them do it")
        return outcome.version


def why_no_writes(outgoing: Outgoing | None, incoming: Incoming | None, claim: str = "") -> str:
    """Returns why a store takes no writes, as its marks say; empty where it does.

    Args:
        outgoing: its mark as a store that is copied.
        incoming: its mark as a copy.
        claim: of the process that asks.
    """
    if outgoing is not None and outgoing.state == "moved":
        return (
            f"the store was moved to {outgoing.target}: start with --store '{outgoing.target}'. If nothing was started"
            " there yet, `tenet store copy --abort FROM TO` gives this one back"
        )
    if outgoing is not None and outgoing.claim not in {"", claim}:
        who = f"the node {outgoing.node}" if outgoing.node else "a command"
        return (
            f"{who} copies the store to {outgoing.target}, and it alone writes to it meanwhile: wait until that is"
            " done. If it was killed, start it again, repeat its command, or give the copy up with"
            " `tenet store copy --abort FROM TO`"
        )
    if incoming is not None and incoming.state != "complete":
        return (
            f"the store is a copy of {incoming.source} that is not complete: repeat `tenet store copy FROM TO`, or give"
            " it up with `tenet store copy --abort FROM TO`"
        )
    return ""


async def check_opened(store: Store, *, clock: Clock, ids: Ids) -> None:
    """Makes sure that a command may open a store; nothing is written, so that the way back from a copy stays open.

    One list of spaces; two reads where it was copied, or is a copy.

    Args:
        store: the store.
        clock: time.
        ids: for commit ids.

    Raises:
        StoreMoved: it was moved to another store, somebody else copies it, it is a copy that is not complete, or one
            that no server was started on.
    """
    end = End(store, clock=clock, ids=ids)
    outgoing, _ = await end.read(OUT, Outgoing)
    incoming, _ = await end.read(IN, Incoming)
    # Where no other process can have the store open, whoever copied it is dead.
    left = outgoing.claim if outgoing is not None and not store.capabilities.remote else ""
    if reason := why_no_writes(outgoing, incoming, left):
        raise StoreMoved(reason)
    if incoming is not None:
        raise StoreMoved(
            f"the store is a complete copy of {incoming.source}, and no server was started on it yet: `tenet up` takes"
            " it into service. Until then `tenet store copy --abort FROM TO` takes the move back"
        )


async def check_service(store: Store, *, node: str = "", clock: Clock, ids: Ids) -> None:
    """Makes sure that a store may be served, before anything else is written to it.

    The claim of a copy that a process of the same node has left behind is ended, and so is any where no other process
    can have the store open: the copy is resumed by its command.

    Args:
        store: the store.
        node: that is to serve it; empty where it is none.
        clock: time.
        ids: for commit ids.

    Raises:
        StoreMoved: it was moved to another store, somebody else copies it, or it is a copy that is not complete.
    """
    end = End(store, clock=clock, ids=ids)
    outgoing, version = await end.read(OUT, Outgoing)
    incoming, _ = await end.read(IN, Incoming)
    is_own = outgoing is not None and (not store.capabilities.remote or outgoing.node == node != "")
    if reason := why_no_writes(outgoing, incoming, outgoing.claim if outgoing is not None and is_own else ""):
        raise StoreMoved(reason)
    if outgoing is not None and outgoing.claim:
        try:
            # Written anew, so that what the dead process has sent to mark it as moved can never land.
            await end.write(OUT, msgspec.structs.replace(outgoing, claim="", node=""), version)
        except CopyRefused:
            await check_service(store, node=node, clock=clock, ids=ids)


async def take_into_service(store: Store, *, node: str = "", clock: Clock, ids: Ids) -> None:
    """Makes sure that a store may be served, before it takes a request; a finished copy is none from now on.

    With that the way back ends: there may be writes in it that the store does not have which it was made of.

    Args:
        store: the store.
        node: that serves it; empty where it is none.
        clock: time.
        ids: for commit ids.

    Raises:
        StoreMoved: it was moved to another store, somebody else copies it, or it is a copy that is not complete.
    """
    await check_service(store, node=node, clock=clock, ids=ids)
    end = End(store, clock=clock, ids=ids)
    incoming, version = await end.read(IN, Incoming)
    if incoming is None:
        return
    try:
        if incoming.state == "complete":
            await end.write(IN, None, version)
            return
    except CopyRefused:
        pass
    # Another node has started at the same time, or an operator is taking the move back.
    await take_into_service(store, node=node, clock=clock, ids=ids)
