"""What tests of copying a store share: contents to copy, what a store holds, and a copy that ends at a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tenet.base.clock import NEVER, SystemClock
from tenet.base.ids import SeededIds
from tenet.store.contract import Add, Committed, Key, Put, SpaceOptions
from tenet.store.copy_marks import SPACE
from tenet.store.copying import Copying, LeftOut
from tenet.store.guard import Guard
from tenet.store.landing import land

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Engine, Store, Write

NAMES = ("memory:here", "memory:there")
LEFT_OUT = LeftOut(frozenset({"membership"}), lambda key: key.sort.startswith(b"mark"))

Held = Mapping[Key, tuple[bytes, Mapping[str, int]]]


class Killed(BaseException):
    """The process that copies is gone; nothing in it may catch this."""


async def write(store: Store, writes: Sequence[Write], *, clock: Clock, ids: Ids) -> None:
    assert isinstance(await land(store, writes, clock=clock, ids=ids, deadline=NEVER), Committed)


async def fill(store: Store, records: int = 400) -> None:
    """Gives a store spaces of every kind, with records of every kind."""
    clock, ids = SystemClock(), SeededIds(3)
    await store.ensure_space("plain")
    await store.ensure_space("stamped", SpaceOptions(stamps=True))
    await store.ensure_space("empty")
    await store.ensure_space("membership")
    for begin in range(0, records, 50):
        some = range(begin, min(begin + 50, records))
        writes: list[Write] = [Put(Key("plain", b"p%d" % (n % 7), b"s%d" % n), b"value %d" % n * 9) for n in some]
        await write(store, writes, clock=clock, ids=ids)
    await write(store, [Add(Key("stamped", b"counts", b"c"), "used", 41)], clock=clock, ids=ids)
    await write(
        store, [Put(Key("stamped", b"counts", b"d"), b"", {"a": -(2**63), "b": 2**63 - 1})], clock=clock, ids=ids
    )
    await write(store, [Put(Key("plain", b"", b""), b"\x00" * 1_000_000)], clock=clock, ids=ids)
    await write(store, [Put(Key("plain", b"p1", b"mark of a keeper"), b"epoch")], clock=clock, ids=ids)
    await write(store, [Put(Key("membership", b"m", b"n"), b"who serves")], clock=clock, ids=ids)


async def held(store: Store) -> Held:
    """Returns everything that a copy has to have."""
    found: dict[Key, tuple[bytes, Mapping[str, int]]] = {}
    for info in await store.list_spaces():
        if info.name in {SPACE, "membership"}:
            continue
        after, more = None, True
        while more:
            page = await store.scan(info.name, limit=1_000, after=after)
            for record in page.records:
                key = Key(info.name, record.partition, record.sort)
                if not LEFT_OUT.is_left_out(key):
                    found[key] = (record.value, dict(record.cells))
                after = (record.partition, record.sort)
            more = page.more
    return found


def copying(
    source: Engine | Guard,
    target: Engine,
    *,
    clock: Clock | None = None,
    ids: Ids | None = None,
    names: tuple[str, str] = NAMES,
    dies_at: int | None = None,
    steps: Callable[[str], None] = lambda _: None,
) -> Copying:
    """Returns a copy that is to be made.

    Args:
        source: the store.
        target: the copy.
        clock: time.
        ids: randomness.
        names: of both.
        dies_at: the step at which the process is killed, from 1.
        steps: is told the names of the steps.
    """
    clock, ids = clock or SystemClock(), ids or SeededIds(11)
    guard = source if isinstance(source, Guard) else Guard(source, clock)
    count = 0

    async def step(name: str) -> None:
        nonlocal count
        count += 1
        steps(name)
        if count == dies_at:
            raise Killed

    return Copying(guard, target, names, left_out=LEFT_OUT, clock=clock, ids=ids, step=step)


async def run(copy: Copying) -> bool:
    """Carries a copy out; returns whether there was anything to do."""
    if await copy.begin():
        return False
    await copy.follow()
    await copy.switch()
    return True
