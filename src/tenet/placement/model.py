"""What the placement service knows: providers with their inventories, and consumers with their allocations.

Uuids are text in the usual form of 36 characters, lower case, with hyphens. Amounts are whole numbers in the unit of
their resource class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from msgspec import Struct

from tenet.store.contract import Version

#: The largest amount of anything (the vendor's database has signed 32-bit columns, and its API says so).
AMOUNT_MAX: Final = 0x7FFFFFFF
#: The longest id of a project, in characters (the vendor's API has the same bound).
PROJECT_CHARS_MAX: Final = 255
#: A provider with this trait offers what it has to the trees that it has an aggregate in common with.
SHARES: Final = "MISC_SHARES_VIA_AGGREGATE"
#: The type of a consumer that was never given one (microversion 1.38).
UNKNOWN_TYPE: Final = "unknown"


class Inventory(Struct, frozen=True):
    """What a provider has of one resource class.

    Args:
        total: 1 to ``AMOUNT_MAX``.
        reserved: kept back, 0 to `total`.
        min_unit: the least that one allocation may take, 1 to ``AMOUNT_MAX``.
        max_unit: the most that one allocation may take, 1 to ``AMOUNT_MAX``.
        step_size: what an allocation is a multiple of, 1 to ``AMOUNT_MAX``.
        allocation_ratio: how often what is there may be given out, above 0.
    """

    total: int
    reserved: int = 0
    min_unit: int = 1
    max_unit: int = AMOUNT_MAX
    step_size: int = 1
    allocation_ratio: float = 1.0

    @property
    def capacity(self) -> int:
        """The most that may be in use altogether."""
        return int((self.total - self.reserved) * self.allocation_ratio)


class DottedVersion(Struct, frozen=True):
    """A version of firmware, a driver and the like.

    Args:
        text: as it was given.
        numbers: what it is ordered by: the numbers between its dots, without 0s at the end.
    """

    text: str
    numbers: tuple[int, ...]


#: What is recorded of a provider under a name: a version, a whole number, a text, or a set of texts.
Capability: TypeAlias = DottedVersion | int | str | frozenset[str]


class Provider(Struct, frozen=True):
    """A resource provider as it is at one generation.

    Args:
        uuid: never changes.
        name: unique, 1 to 200 characters.
        parent: uuid of the provider that it is a part of; None at the top of a tree.
        root: uuid of the top of its tree; its own there.
        generation: raised by every change of its inventories, traits, aggregates (from 1.19) and of what is in use.
        aggregates: uuids.
        traits: names.
        inventories: by resource class.
        used: what is in use, by resource class; a class that is not in it has 0 in use.
        updated_ms: when it was last changed, milliseconds since 1970.
        capabilities: by name.
        revision: raised by every change of its inventories; commits that rely on these check it.
        version: of what is stored beside that; commits that rely on traits and aggregates check it. None: of nothing.
    """

    uuid: str
    name: str
    parent: str | None
    root: str
    generation: int
    aggregates: frozenset[str] = frozenset()
    traits: frozenset[str] = frozenset()
    inventories: dict[str, Inventory] = {}
    used: dict[str, int] = {}
    updated_ms: int = 0
    capabilities: Mapping[str, Capability] = {}
    revision: int = 0
    version: Version | None = None


class Reservation(Struct, frozen=True, array_like=True):
    """Until when a claim has to be confirmed.

    Args:
        claim: uuid of the claim.
        expires_ms: when what it has becomes free, milliseconds since 1970.
        consumers: uuids of all consumers of the claim, which are confirmed, and expire, together.
    """

    claim: str
    expires_ms: int
    consumers: tuple[str, ...]


class Consumer(Struct, frozen=True):
    """Who holds allocations: an instance, a migration, a volume.

    Args:
        uuid: chosen by the client.
        project: id of the project, 1 to 255 characters.
        user: id of the user, 1 to 255 characters.
        type: ``INSTANCE`` and the like; ``UNKNOWN_TYPE`` where none was given.
        generation: raised by every change of its allocations.
        allocations: by provider uuid, then by resource class; amounts of 1 and more.
        updated_ms: when it was last changed, milliseconds since 1970.
        reserved: None where what it has is its own for good.
    """

    uuid: str
    project: str
    user: str
    type: str = UNKNOWN_TYPE
    generation: int = 0
    allocations: dict[str, dict[str, int]] = {}
    updated_ms: int = 0
    reserved: Reservation | None = None
