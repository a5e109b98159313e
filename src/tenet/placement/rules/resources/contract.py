"""What a resource class is: the interface that plugins implement.

A plugin is named by an entry point of its package, in the group ``tenet.placement.resource_classes``; its name is that
of the class in claims and descriptions: lower case letters, digits and ``_``. What the entry point names is called
without arguments and returns an object with the members of ``ResourceClass``. ``quantities`` has bases for the usual
kinds, with which a class is a few lines. A class is pure: no I/O, no clock, no state of its own.

A class stores nothing itself. What it is lies in inventories and traits that every OpenStack client sees, and the
bounds of a claim are those of these inventories: a mistake in a class can ask for the wrong thing, and cannot
over-commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from msgspec import Struct

from tenet.placement.model import Inventory

#: Version of the interface. A plugin for another one is not used.
INTERFACE: Final = 1
#: What the name of a class looks like. Names of the OpenStack API are upper case, so that both stand in one object.
NAME_PATTERN: Final = "^[a-z][a-z0-9_]{0,63}$"


class About(Struct, frozen=True):
    """What is told of a class.

    Args:
        summary: one sentence.
        unit: what amounts are counted in where a number stands without a unit.
        amount: an example of what a claim asks for.
        described: an example of what a provider is described with.
        resource_classes: the OpenStack resource classes that it is kept in; ``*`` at the end stands for several.
        traits: that providers of it have, and that claims of it ask for.
        step: what amounts are a multiple of, in the unit.
        is_exclusive: whether what one consumer has no other one has as well: there is no allocation ratio but 1.
        is_of_one: whether all that is asked for in a group comes from one provider, so that the group needs a suffix.
    """

    summary: str
    unit: str
    amount: Any
    described: Any
    resource_classes: tuple[str, ...]
    traits: tuple[str, ...] = ()
    step: int = 1
    is_exclusive: bool = False
    is_of_one: bool = False


class Written(Struct, frozen=True):
    """What a provider has of a class, as it is stored.

    Args:
        inventories: by OpenStack resource class.
        traits: names.
    """

    inventories: Mapping[str, Inventory]
    traits: frozenset[str] = frozenset()


class Wanted(Struct, frozen=True):
    """The query that selects an amount: what candidates are asked for.

    Args:
        amounts: by OpenStack resource class, 1 and more.
        traits: names.
    """

    amounts: Mapping[str, int]
    traits: frozenset[str] = frozenset()


class State(Struct, frozen=True):
    """What is stored of a provider.

    Args:
        inventories: by OpenStack resource class.
        used: in use, by OpenStack resource class; a class that is not in it has 0 in use.
        traits: names.
    """

    inventories: Mapping[str, Inventory]
    used: Mapping[str, int]
    traits: frozenset[str]


class Shown(Struct, frozen=True):
    """What a provider has of a class, in the class's own units.

    Args:
        described: what ``write`` makes the same inventories of.
        used: what is in use.
        free: what claims can still get.
        inventories: names of the inventories that it is made of.
    """

    described: Any
    used: Any
    free: Any
    inventories: frozenset[str]


class ResourceClass(Protocol):
    """A kind of thing that providers have and consumers get.

    Where a method is given what it does not take, it raises ``ValueError`` with words for the client.
    """

    @property
    def interface(self) -> int:
        """The version of this interface that it was written for."""
        ...

    @property
    def about(self) -> About:
        """What is told of it."""
        ...

    def write(self, described: Any) -> Written:
        """Returns how a description of what a provider has is stored.

        Args:
            described: JSON, of any shape.
        """
        ...

    def ask(self, amount: Any) -> Wanted:
        """Checks an amount, and returns the query that selects it.

        Args:
            amount: JSON, of any shape.
        """
        ...

    def show(self, state: State) -> Shown | None:
        """Returns what a provider has of it; None where it has nothing."""
        ...
