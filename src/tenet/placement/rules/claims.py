"""What consumers are to have instead of what they have: which amounts move, whether they fit, and what is written.

An amount in use is never read and written back. What moves is added to a count whose upper bound is the capacity, under
the inventories that were read: the provider's count of inventory changes must still be what it was. So two claims never
conflict with each other, and however they race no more is given out than there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from tenet.placement import keys
from tenet.placement.errors import Conflict, NoRoom
from tenet.placement.model import UNKNOWN_TYPE, Consumer, Inventory, Provider, Reservation
from tenet.placement.rules.inventories import generation_write
from tenet.placement.rules.snapshots import Snapshot
from tenet.placement.rules.stored import Held, encode_consumer, encode_held
from tenet.store.contract import Add, Check, Delete, IsVersion, Limits, Put, Version, Write

#: Amounts by provider and resource class.
Amounts: TypeAlias = dict[tuple[str, str], int]

_REFUSED: Final = "Unable to allocate inventory: "


class Wanted(Struct, frozen=True):
    """What a consumer is to have, all of it.

    Args:
        uuid: of the consumer, in its usual form.
        project: id of the project.
        user: id of the user.
        type: of the consumer; None keeps what it is.
        allocations: amounts by provider and resource class; none: the consumer goes.
        reserved: of a claim that has to be confirmed. A consumer that is there keeps what it is under.
    """

    uuid: str
    project: str
    user: str
    type: str | None
    allocations: dict[str, dict[str, int]]
    reserved: Reservation | None = None


class Move(Struct, frozen=True):
    """One consumer's change.

    Args:
        before: as it is; None where there is none.
        version: of its record.
        after: as it will be; None where it goes.
    """

    before: Consumer | None
    version: Version | None
    after: Consumer | None

    @property
    def uuid(self) -> str:
        """Of the consumer."""
        known = self.after or self.before
        assert known is not None
        return known.uuid

    @property
    def visited(self) -> frozenset[str]:
        """The providers whose generation the change raises: those that it claims from, else those that it leaves."""
        if self.after is not None:
            return frozenset(self.after.allocations)
        return frozenset(self.before.allocations if self.before else ())

    @property
    def sides(self) -> tuple[tuple[Consumer, int], ...]:
        """The consumer as it was with -1, as it will be with 1: what counts change by is the sum of both."""
        return tuple((side, sign) for side, sign in ((self.before, -1), (self.after, 1)) if side is not None)


def move_of(wanted: Wanted, before: Consumer | None, version: Version | None, now_ms: int) -> Move | None:
    """Returns the change that gives a consumer what is wanted; None where there is nothing to change.

    Args:
        wanted: what it is to have.
        before: as it is; None where there is none.
        version: of its record; None where there is none.
        now_ms: milliseconds since 1970.
    """
    if not wanted.allocations:
        return None if before is None else Move(before, version, None)
    known_type = UNKNOWN_TYPE if before is None else before.type
    after = Consumer(
        uuid=wanted.uuid,
        project=wanted.project,
        user=wanted.user,
        type=known_type if wanted.type is None else wanted.type,
        generation=1 if before is None else before.generation + 1,
        allocations=wanted.allocations,
        updated_ms=now_ms,
        reserved=wanted.reserved if before is None else before.reserved,
    )
    return Move(before, version, after)


def amounts_moved(moves: Sequence[Move]) -> Amounts:
    """Returns how much more or less of each inventory is in use after some changes; 0 where nothing changes on balance.

    Every inventory is in it that a consumer has or will have something of.
    """
    moved: Amounts = {}
    for move in moves:
        for consumer, sign in move.sides:
            for uuid, resources in consumer.allocations.items():
                for name, amount in resources.items():
                    moved[uuid, name] = moved.get((uuid, name), 0) + sign * amount
    return moved


def check_fit(
    moves: Sequence[Move], inventories: Mapping[str, Mapping[str, Inventory]], used: Mapping[str, Mapping[str, int]]
) -> None:
    """Refuses what is not to be had.

    Args:
        moves: the changes.
        inventories: of each provider that something is claimed from, by resource class.
        used: what is in use of each, by resource class, before the changes.

    Raises:
        Conflict: there is no such inventory, an amount is not of its units, or there is too little left. What is in use
            above the capacity may stay, and become less.
    """
    claims = [
        (uuid, name, amount)
        for move in moves
        if move.after is not None
        for uuid, resources in move.after.allocations.items()
        for name, amount in resources.items()
    ]
    classes = ", ".join(dict.fromkeys(name for _, name, _ in claims))
    asked: dict[str, set[str]] = {}
    for uuid, name, _ in claims:
        asked.setdefault(uuid, set()).add(name)
    missing = [uuid for uuid, names in asked.items() if names.isdisjoint(inventories[uuid])]
    if missing:
        raise Conflict(f"{_REFUSED}{_invalid(classes, ', '.join(missing))}")
    moved = amounts_moved(moves)
    for uuid, name, amount in claims:
        inventory = inventories[uuid].get(name)
        if inventory is None:
            raise Conflict(f"{_REFUSED}{_invalid(name, uuid)}")
        if not inventory.min_unit <= amount <= inventory.max_unit or amount % inventory.step_size:
            raise Conflict(f"{_refused(name, uuid)} The requested amount would violate inventory constraints.")
        more = moved[uuid, name]
        if more > 0 and used[uuid].get(name, 0) + more > inventory.capacity:
            raise NoRoom(f"{_refused(name, uuid)} The requested amount would exceed the capacity.")


def _invalid(classes: str, providers: str) -> str:
    return f"Inventory for '{classes}' on resource provider '{providers}' invalid."


def _refused(name: str, uuid: str) -> str:
    return f"{_REFUSED}Unable to create allocation for '{name}' on resource provider '{uuid}'."


def used_writes(
    moved: Amounts,
    inventories: Mapping[str, Mapping[str, Inventory]],
    *,
    without: frozenset[tuple[str, str]] = frozenset(),
) -> list[Write]:
    """Returns the writes of what is in use, each in the bounds that keep it from being given out twice.

    Args:
        moved: from ``amounts_moved``.
        inventories: of the providers that something is claimed from.
        without: provider and class of counts that others write.
    """
    writes: list[Write] = []
    for (uuid, name), more in moved.items():
        if not more or (uuid, name) in without:
            continue
        if more < 0:
            writes.append(Add(keys.used_key(uuid, name), keys.USED, more, at_least=0))
        else:
            capacity = min(inventories[uuid][name].capacity, Limits.cell_max)
            writes.append(Add(keys.used_key(uuid, name), keys.USED, more, at_least=0, at_most=capacity))
    return writes


def provider_writes(moves: Sequence[Move], snapshots: Mapping[str, Snapshot | Provider]) -> list[Write]:
    """Returns the writes that raise the providers' generations, and check that their inventories are what was read.

    Args:
        moves: the changes.
        snapshots: of the providers that something is claimed from.
    """
    claimed = {uuid for move in moves if move.after is not None for uuid in move.after.allocations}
    writes: list[Write] = []
    for uuid in sorted({uuid for move in moves for uuid in move.visited}):
        counts = keys.counts_key(uuid)
        if uuid in claimed:
            revision = snapshots[uuid].revision
            writes.append(generation_write(snapshots[uuid], is_exact=False))
            writes.append(Add(counts, keys.INVENTORIES, 0, at_least=revision, at_most=revision))
        else:
            writes.append(Add(counts, keys.GENERATION, 1))
    return writes


def consumer_writes(moves: Sequence[Move]) -> tuple[list[Write], list[Check]]:
    """Returns the writes and checks of consumers, and the writes of what their providers and projects say of them."""
    writes: list[Write] = []
    checks: list[Check] = []
    for move in moves:
        key = keys.consumer_key(move.uuid)
        checks.append(IsVersion(key, move.version))
        after = move.after
        left = set(move.before.allocations) if move.before else set()
        if after is None:
            writes.append(Delete(key))
        else:
            writes.append(Put(key, encode_consumer(after)))
            for uuid, resources in after.allocations.items():
                held = encode_held(Held(resources, after.generation, after.updated_ms))
                writes.append(Put(keys.allocation_key(uuid, after.uuid), held))
            left -= set(after.allocations)
        writes += [Delete(keys.allocation_key(uuid, move.uuid)) for uuid in sorted(left)]
    return writes + _project_writes(moves), checks


def _project_writes(moves: Sequence[Move]) -> list[Write]:
    """Returns the adds to what projects use, and to how many consumers they have."""
    uses: dict[tuple[str, str, str, str], int] = {}
    consumers: dict[tuple[str, str, str], int] = {}
    for move in moves:
        for consumer, sign in move.sides:
            owner = (consumer.project, consumer.user, consumer.type)
            consumers[owner] = consumers.get(owner, 0) + sign
            for resources in consumer.allocations.values():
                for name, amount in resources.items():
                    uses[*owner, name] = uses.get((*owner, name), 0) + sign * amount
    writes: list[Write] = [
        Add(keys.project_use_key(*use), keys.USED, more, at_least=0) for use, more in uses.items() if more
    ]
    writes += [
        Add(keys.project_consumers_key(*owner), keys.CONSUMERS, more, at_least=0)
        for owner, more in consumers.items()
        if more
    ]
    return writes


def providers_of(moves: Sequence[Move]) -> list[str]:
    """Returns the providers that some changes claim from or leave, each once."""
    return sorted(
        {uuid for move in moves for one in (move.before, move.after) if one is not None for uuid in one.allocations}
    )
