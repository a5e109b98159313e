"""Bases for the usual kinds of resource classes. What is derived from them says what differs, and nothing else.

* ``Quantity``: so much of one thing, such as memory.
* ``Counted``: whole things of several kinds, such as devices by model, each kind with an inventory of its own.
* ``Partitioned``: one device whose partitions have to share its slices.
* ``Composite``: several quantities that come together from one provider.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from tenet.placement.model import AMOUNT_MAX, Inventory
from tenet.placement.rules.resources.contract import INTERFACE, About, Shown, State, Wanted, Written
from tenet.placement.rules.resources.units import Units

_RATIO_MAX: Final = 10_000
_AMOUNTS: Final = ("total", "reserved", "min", "max", "step")
_MEMBERS: Final = (*_AMOUNTS, "ratio")
#: OpenStack's names have 255 characters, of which a prefix takes some.
_KIND_CHARS_MAX: Final = 128


class Quantity:
    """So much of one thing, which is kept in one inventory.

    A provider is described with an amount, or with an object of ``total`` and, where it is not as usual, ``reserved``,
    ``min``, ``max``, ``step`` (amounts as well) and ``ratio``. What is given here is what the derived class may change.
    """

    interface: int = INTERFACE
    #: One sentence.
    summary: ClassVar[str]
    #: The OpenStack resource class.
    resource_class: ClassVar[str]
    units: ClassVar[Units]
    #: What every amount is a multiple of, in the own unit.
    step: ClassVar[int] = 1
    is_exclusive: ClassVar[bool] = False

    @property
    def about(self) -> About:
        """See ``ResourceClass``."""
        return About(
            summary=self.summary,
            unit=self.units.own,
            amount=self.units.show(4 * self.step),
            described={"total": self.units.show(64 * self.step), "reserved": self.units.show(0)},
            resource_classes=(self.resource_class,),
            step=self.step,
            is_exclusive=self.is_exclusive,
        )

    def write(self, described: Any) -> Written:
        """See ``ResourceClass``."""
        return Written({self.resource_class: self.inventory(described)})

    def ask(self, amount: Any) -> Wanted:
        """See ``ResourceClass``."""
        return Wanted({self.resource_class: self.amount(amount, at_least=1)})

    def show(self, state: State) -> Shown | None:
        """See ``ResourceClass``."""
        inventory = state.inventories.get(self.resource_class)
        if inventory is None:
            return None
        used = state.used.get(self.resource_class, 0)
        show = self.units.show
        free = show(max(0, inventory.capacity - used))
        return Shown(self.described(inventory), show(used), free, frozenset((self.resource_class,)))

    def amount(self, amount: Any, *, at_least: int) -> int:
        """Returns a checked amount in the own unit.

        Raises:
            ValueError: it is none, too little, or no multiple of the step.
        """
        read = self.units.read(amount)
        if read < at_least:
            raise ValueError(f"{amount!r} is less than {at_least} {self.units.own}")
        if read % self.step:
            raise ValueError(f"{amount!r} is no multiple of {self.units.show(self.step)!r}")
        return read

    def inventory(self, described: Any) -> Inventory:
        """Returns the inventory of a description.

        Raises:
            ValueError: a member is none of an inventory's, or has a value that it may not have.
        """
        members = described if isinstance(described, dict) else {"total": described}
        for name in members:
            if name not in _MEMBERS:
                raise ValueError(f"{str(name)[:64]!r} is none of the members {', '.join(_MEMBERS)}")
        if "total" not in members:
            raise ValueError("'total' is missing")
        given = {}
        for name in _AMOUNTS:
            if name in members:
                with _about(name):
                    given[name] = self.amount(members[name], at_least=0 if name == "reserved" else 1)
        if given.get("reserved", 0) > given["total"]:
            raise ValueError("'reserved' is more than 'total'")
        return Inventory(
            total=given["total"],
            reserved=given.get("reserved", 0),
            min_unit=given.get("min", 1),
            max_unit=given.get("max", AMOUNT_MAX),
            step_size=given.get("step", self.step),
            allocation_ratio=self._ratio(members.get("ratio", 1)),
        )

    def described(self, inventory: Inventory) -> dict[str, Any]:
        """Returns the description of an inventory; what is as usual is left out."""
        show = self.units.show
        told: dict[str, Any] = {"total": show(inventory.total)}
        for name, value, usual in (
            ("reserved", inventory.reserved, 0),
            ("min", inventory.min_unit, 1),
            ("max", inventory.max_unit, AMOUNT_MAX),
            ("step", inventory.step_size, self.step),
        ):
            if value != usual:
                told[name] = show(value)
        if inventory.allocation_ratio != 1:
            told["ratio"] = inventory.allocation_ratio
        return told

    def _ratio(self, ratio: Any) -> float:
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio <= _RATIO_MAX:
            raise ValueError(f"'ratio' has to be a number above 0 and up to {_RATIO_MAX}")
        if self.is_exclusive and ratio != 1:
            raise ValueError("'ratio' has to be 1: what one consumer has is its own")
        return float(ratio)


class Counted:
    """Whole things of several kinds; each kind has an inventory of its own, and belongs to one consumer.

    Claims ask for ``{kind: count}``, or for one by its kind alone; a provider is described with ``{kind: count}``.
    """

    interface: int = INTERFACE
    #: One sentence; what one thing is called; an example of a kind.
    summary: ClassVar[str]
    unit: ClassVar[str]
    example: ClassVar[str]
    #: What the OpenStack resource classes begin with, before the kind in upper case.
    prefix: ClassVar[str]
    #: What a kind looks like: lower case letters, digits and the separator, which is ``_`` in OpenStack's names.
    pattern: ClassVar[str]
    separator: ClassVar[str]
    traits: ClassVar[tuple[str, ...]] = ()
    #: So many kinds in one description or claim.
    kinds_max: ClassVar[int] = 64

    @property
    def about(self) -> About:
        """See ``ResourceClass``."""
        return About(
            summary=self.summary,
            unit=self.unit,
            amount={self.example: 1},
            described={self.example: 4},
            resource_classes=(f"{self.prefix}*",),
            traits=self.traits,
            is_exclusive=True,
        )

    def write(self, described: Any) -> Written:
        """See ``ResourceClass``."""
        counts = self._counts(described)
        return Written({name: Inventory(count) for name, count in counts.items()}, frozenset(self.traits))

    def ask(self, amount: Any) -> Wanted:
        """See ``ResourceClass``."""
        return Wanted(self._counts({amount: 1} if isinstance(amount, str) else amount))

    def show(self, state: State) -> Shown | None:
        """See ``ResourceClass``."""
        if not state.traits.issuperset(self.traits):
            return None
        kinds = {
            name: kind
            for name, inventory in state.inventories.items()
            if inventory == Inventory(inventory.total) and (kind := self._kind_of(name)) is not None
        }
        if not kinds:
            return None
        used = {kind: state.used.get(name, 0) for name, kind in kinds.items()}
        return Shown(
            described={kind: state.inventories[name].total for name, kind in kinds.items()},
            used=used,
            free={kind: max(0, state.inventories[name].capacity - used[kind]) for name, kind in kinds.items()},
            inventories=frozenset(kinds),
        )

    def _counts(self, amounts: Any) -> dict[str, int]:
        if not isinstance(amounts, dict) or not amounts:
            raise ValueError(f"has to be an object with a count for each kind, such as {{{self.example!r}: 1}}")
        if len(amounts) > self.kinds_max:
            raise ValueError(f"has {len(amounts)} kinds; it may have {self.kinds_max}")
        counts = {}
        for kind, count in amounts.items():
            if len(kind) > _KIND_CHARS_MAX or not re.fullmatch(self.pattern, kind):
                raise ValueError(f"{kind[:64]!r} is no kind, such as {self.example!r}: {self.pattern}")
            if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= AMOUNT_MAX:
                raise ValueError(f"{kind!r} has to be a whole number of {self.unit}s from 1 to {AMOUNT_MAX}")
            counts[self.prefix + kind.replace(self.separator, "_").upper()] = count
        return counts

    def _kind_of(self, resource_class: str) -> str | None:
        if not resource_class.startswith(self.prefix):
            return None
        kind = resource_class.removeprefix(self.prefix).lower().replace("_", self.separator)
        return kind if re.fullmatch(self.pattern, kind) else None


class Partitioned:
    """One device, which is given out in partitions of several sizes that have to share its slices.

    Each kind of slice is an inventory. A partition takes of several, all from one device, so that what is left decides
    which sizes there still are: a large one may exclude others, and the largest one excludes all. A provider is one
    device. That slices of a partition may have to lie beside each other is left to the device.
    """

    interface: int = INTERFACE
    #: One sentence.
    summary: ClassVar[str]
    #: What the OpenStack resource classes begin with, before the kind of slice.
    prefix: ClassVar[str]
    #: How many slices of each kind a device has.
    slices: ClassVar[Mapping[str, int]]
    #: Of each size of partition, how many slices of each kind it takes.
    partitions: ClassVar[Mapping[str, Mapping[str, int]]]

    @property
    def about(self) -> About:
        """See ``ResourceClass``."""
        return About(
            summary=self.summary,
            unit="partition",
            amount={next(iter(self.partitions)): 1},
            described=1,
            resource_classes=tuple(map(self._class_of, self.slices)),
            is_exclusive=True,
            is_of_one=True,
        )

    def write(self, described: Any) -> Written:
        """See ``ResourceClass``."""
        if isinstance(described, bool) or described != 1:
            raise ValueError("has to be 1: a provider is one device")
        return Written({self._class_of(slice_): Inventory(count) for slice_, count in self.slices.items()})

    def ask(self, amount: Any) -> Wanted:
        """See ``ResourceClass``."""
        counts = {amount: 1} if isinstance(amount, str) else amount
        if not isinstance(counts, dict) or not counts:
            raise ValueError(f"has to be a size of partition, or an object of sizes and counts: {self._sizes}")
        wanted = dict.fromkeys(self.slices, 0)
        for size, count in counts.items():
            if size not in self.partitions:
                raise ValueError(f"{size[:64]!r} is none of the sizes {self._sizes}")
            if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= AMOUNT_MAX:
                raise ValueError(f"{size!r} has to be a whole number of partitions, 1 and more")
            for slice_, taken in self.partitions[size].items():
                wanted[slice_] += taken * count
        for slice_, total in self.slices.items():
            if wanted[slice_] > total:
                raise ValueError(f"takes {wanted[slice_]} of the {total} {slice_} slices of one device")
        return Wanted({self._class_of(slice_): count for slice_, count in wanted.items() if count})

    def show(self, state: State) -> Shown | None:
        """See ``ResourceClass``."""
        names = {slice_: self._class_of(slice_) for slice_ in self.slices}
        if any(state.inventories.get(names[slice_]) != Inventory(count) for slice_, count in self.slices.items()):
            return None
        used = {slice_: state.used.get(name, 0) for slice_, name in names.items()}
        left = {slice_: max(0, state.inventories[name].capacity - used[slice_]) for slice_, name in names.items()}
        free = {
            size: min(left[slice_] // taken for slice_, taken in takes.items() if taken)
            for size, takes in self.partitions.items()
        }
        return Shown(1, used, free, frozenset(names.values()))

    def _class_of(self, slice_: str) -> str:
        return f"{self.prefix}{slice_.upper()}"

    @property
    def _sizes(self) -> str:
        return ", ".join(self.partitions)


class Composite:
    """Several quantities that come together from one provider, which is known by its traits.

    Descriptions and amounts are objects with a member for each part; parts may be left out.
    """

    interface: int = INTERFACE
    #: One sentence.
    summary: ClassVar[str]
    parts: ClassVar[Mapping[str, Quantity]]
    traits: ClassVar[tuple[str, ...]]

    @property
    def about(self) -> About:
        """See ``ResourceClass``."""
        abouts = {name: part.about for name, part in self.parts.items()}
        return About(
            summary=self.summary,
            unit="as of each part",
            amount={name: about.amount for name, about in abouts.items()},
            described={name: about.described for name, about in abouts.items()},
            resource_classes=tuple(part.resource_class for part in self.parts.values()),
            traits=self.traits,
            is_of_one=True,
        )

    def write(self, described: Any) -> Written:
        """See ``ResourceClass``."""
        inventories = {}
        for name, part, value in self._of(described):
            with _about(name):
                inventories[part.resource_class] = part.inventory(value)
        return Written(inventories, frozenset(self.traits))

    def ask(self, amount: Any) -> Wanted:
        """See ``ResourceClass``."""
        amounts = {}
        for name, part, value in self._of(amount):
            with _about(name):
                amounts[part.resource_class] = part.amount(value, at_least=1)
        return Wanted(amounts, frozenset(self.traits))

    def show(self, state: State) -> Shown | None:
        """See ``ResourceClass``."""
        if not state.traits.issuperset(self.traits):
            return None
        shown = {name: one for name, part in self.parts.items() if (one := part.show(state)) is not None}
        if not shown:
            return None
        return Shown(
            described={name: one.described for name, one in shown.items()},
            used={name: one.used for name, one in shown.items()},
            free={name: one.free for name, one in shown.items()},
            inventories=frozenset().union(*(one.inventories for one in shown.values())),
        )

    def _of(self, values: Any) -> Iterator[tuple[str, Quantity, Any]]:
        if not isinstance(values, dict) or not values:
            raise ValueError(f"has to be an object with some of the members {', '.join(self.parts)}")
        for name, value in values.items():
            part = self.parts.get(name)
            if part is None:
                raise ValueError(f"{name[:64]!r} is none of {', '.join(self.parts)}")
            yield name, part, value


@contextmanager
def _about(name: str) -> Iterator[None]:
    """Says of which member an error is."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name!r}: {error}") from None
