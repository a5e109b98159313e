"""Which resource classes and traits there are: the standard ones of the packages, and those that clients made.

A custom name is a record without a value, whose cell ``users`` is one more than the providers that use it. It is there
where that is 1 or more, so that using, making and deleting a name are bounded adds, which never leave one in use
without its record. Names are few; what this node knows of them is read again when a name is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from tenet.base.clock import NEVER
from tenet.placement import keys
from tenet.placement.rules.standard_names import is_standard_class, is_standard_trait
from tenet.store.contract import EVERYTHING, Add, IsVersion, Limits, Put, Range

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from tenet.store.contract import Check, Key, Store, Write

#: The longest name that anybody can make, in characters. No longer one is looked for: a key may not be of any length.
_NAME_CHARS_MAX: Final = 255
_PAGE_RECORDS: Final = 10_000
#: Each may be that of a class and that of a trait.
_NAMES_AT_ONCE: Final = Limits.get_keys_max // 2


class Made(Struct, frozen=True):
    """What is known of a custom name.

    Args:
        made_ms: when it was made, milliseconds since 1970.
        users: how many providers use it.
    """

    made_ms: int
    users: int


class Names:
    """Reads names of one kind or the other, and says how they are written.

    Args:
        store: where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def open(self) -> None:
        """Makes the space of names where there is none."""
        await self._store.ensure_space(keys.CATALOG_SPACE)

    async def custom_classes(self, *, deadline: float = NEVER) -> dict[str, Made]:
        """Returns the resource classes that clients made, by name; a round trip for each ten thousand."""
        return await self._custom(keys.CLASSES, deadline)

    async def custom_traits(self, *, deadline: float = NEVER) -> dict[str, Made]:
        """Returns the traits that clients made, by name; a round trip for each ten thousand."""
        return await self._custom(keys.TRAITS, deadline)

    async def _custom(self, partition: bytes, deadline: float) -> dict[str, Made]:
        found: dict[str, Made] = {}
        within, more = EVERYTHING, True
        while more:
            page = await self._store.query(
                keys.CATALOG_SPACE, partition, within, limit=_PAGE_RECORDS, deadline=deadline
            )
            for record in page.records:
                users = record.cells.get(keys.USERS, 0)
                if users:
                    found[record.sort.decode()] = Made(int.from_bytes(record.value), users - 1)
                within = Range(record.sort + b"\x00")
            more = page.more
        return found

    async def existing(self, names: Iterable[str], *, deadline: float = NEVER) -> tuple[set[str], set[str]]:
        """Returns which of some names are those of custom resource classes, and which are those of custom traits.

        A round trip for each five hundred.
        """
        wanted = sorted(names)
        classes: set[str] = set()
        traits: set[str] = set()
        for start in range(0, len(wanted), _NAMES_AT_ONCE):
            some = wanted[start : start + _NAMES_AT_ONCE]
            asked = [*map(keys.class_key, some), *map(keys.trait_key, some)]
            gone = set(await self.missing(asked, deadline=deadline))
            classes.update(name for name in some if keys.class_key(name) not in gone)
            traits.update(name for name in some if keys.trait_key(name) not in gone)
        return classes, traits

    async def missing(self, keys_of: Iterable[Key], *, deadline: float = NEVER) -> list[Key]:
        """Returns those of some custom names that do not exist; at most one round trip."""
        wanted = list(keys_of)
        asked = [key for key in wanted if _can_exist(key)]
        if not asked:
            return wanted
        records = await self._store.get(asked, deadline=deadline)
        there = {
            key
            for key, record in zip(asked, records, strict=True)
            if record is not None and record.cells.get(keys.USERS, 0)
        }
        return [key for key in wanted if key not in there]

    async def missing_classes(self, names: Collection[str], *, deadline: float = NEVER) -> list[str]:
        """Returns those of some resource classes that do not exist, in order; at most one round trip."""
        unknown = [name for name in names if not is_standard_class(name)]
        gone = {key.sort for key in await self.missing([keys.class_key(n) for n in unknown], deadline=deadline)}
        return [name for name in unknown if name.encode() in gone]

    async def missing_traits(self, names: Collection[str], *, deadline: float = NEVER) -> list[str]:
        """Returns those of some traits that do not exist, in order; at most one round trip."""
        unknown = [name for name in names if not is_standard_trait(name)]
        gone = {key.sort for key in await self.missing([keys.trait_key(n) for n in unknown], deadline=deadline)}
        return [name for name in unknown if name.encode() in gone]

    async def making(
        self, key: Key, made_ms: int, *, deadline: float = NEVER
    ) -> tuple[Sequence[Write], Sequence[Check]]:
        """Returns the writes that make a name; none where it exists. One round trip."""
        (record,) = await self._store.get((key,), deadline=deadline)
        if record is not None and record.cells.get(keys.USERS, 0):
            return (), ()
        put = Put(key, made_ms.to_bytes(8, "big"), {keys.USERS: 1})
        return (put,), (IsVersion(key, None if record is None else record.version),)

    async def made(self, key: Key, *, deadline: float = NEVER) -> Made | None:
        """Returns a custom name, None where it does not exist; at most one round trip."""
        if not _can_exist(key):
            return None
        (record,) = await self._store.get((key,), deadline=deadline)
        users = 0 if record is None else record.cells.get(keys.USERS, 0)
        return None if record is None or not users else Made(int.from_bytes(record.value), users - 1)


def _can_exist(key: Key) -> bool:
    # Those that can be made are ASCII.
    return len(key.sort) <= _NAME_CHARS_MAX


def deleting(key: Key) -> Write:
    """Returns the write that deletes a name; out of bounds where it is in use or does not exist."""
    return Add(key, keys.USERS, -1, at_least=0, at_most=0)


def using_classes(before: Collection[str], after: Collection[str]) -> list[Write]:
    """Returns the writes for a provider that had inventories of some classes and has others now.

    One is out of bounds where a class does not exist any more.
    """
    return _using(before, after, is_standard_class, keys.class_key)


def using_traits(before: Collection[str], after: Collection[str]) -> list[Write]:
    """Returns the writes for a provider that had some traits and has others now; bounds as of classes."""
    return _using(before, after, is_standard_trait, keys.trait_key)


def _using(
    before: Collection[str], after: Collection[str], is_standard: Callable[[str], bool], key_of: Callable[[str], Key]
) -> list[Write]:
    old, new = set(before), set(after)
    writes: list[Write] = [
        Add(key_of(name), keys.USERS, 1, at_least=2) for name in sorted(new - old) if not is_standard(name)
    ]
    writes += [Add(key_of(name), keys.USERS, -1, at_least=1) for name in sorted(old - new) if not is_standard(name)]
    return writes
