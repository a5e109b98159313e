"""From the units of resource classes to the language of the OpenStack API, and back.

Names in upper case are the OpenStack API's own and mean there what they mean here; those in lower case are classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from msgspec.structs import asdict

from tenet.placement.errors import BadRequest
from tenet.placement.model import Inventory
from tenet.placement.rules.inventories import read_inventory
from tenet.placement.rules.resources.contract import ResourceClass, Shown, State, Wanted, Written
from tenet.placement.rules.schemas import CUSTOM_TRAIT, INVENTORIES, RESOURCE_CLASS
from tenet.placement.rules.standard_names import is_standard_class, is_standard_trait
from tenet.placement.rules.validation import check_document, matches

_SHAPE: Final = "JSON does not validate"


class Classes(Protocol):
    """What is needed of the resource classes that there are."""

    def named(self, name: str) -> ResourceClass:
        """Returns a class.

        Raises:
            BadRequest: there is none of that name.
        """
        ...

    def every(self) -> Mapping[str, ResourceClass]:
        """Returns all that can be used, by name."""
        ...


# ---- claims ----------------------------------------------------------------------------------------------------------


def plain_claim(document: Mapping[str, Any], classes: Classes) -> Mapping[str, Any]:
    """Returns a claim that asks for the same in the language of the OpenStack API; itself where it is in it.

    Args:
        document: from ``read_claim_body``.
        classes: those that it may name.

    Raises:
        BadRequest: it names a class that there is not, or an amount is refused by its class.
    """
    plain = dict(document)
    if "request" in document:
        plain["request"] = _plain_request(document["request"], classes, "request")
    plain["consumers"] = [
        {**one, "request": _plain_request(one["request"], classes, f"consumers[{number}].request")}
        if "request" in one
        else one
        for number, one in enumerate(document["consumers"])
    ]
    return plain


def _plain_request(request: Mapping[str, Any], classes: Classes, where: str) -> Mapping[str, Any]:
    if not any(name.islower() for group in request["groups"] for name in group.get("resources", ())):
        return request
    groups = [_plain_group(group, classes, f"{where}.groups[{at}]") for at, group in enumerate(request["groups"])]
    return {**request, "groups": groups}


def _plain_group(group: Mapping[str, Any], classes: Classes, where: str) -> Mapping[str, Any]:
    amounts: dict[str, int] = {}
    askers: dict[str, str] = {}
    traits: set[str] = set()
    for name, amount in group.get("resources", {}).items():
        field = f"{where}.resources.{name}"
        wanted = Wanted({name: amount}) if not name.islower() else _asked(name, amount, classes, field)
        if name.islower() and not group.get("suffix") and classes.named(name).about.is_of_one:
            raise BadRequest(f"{_SHAPE}: {field}: comes from one provider, so that its group has to have a `suffix`.")
        for resource_class, count in wanted.amounts.items():
            if resource_class in amounts:
                other = askers[resource_class]
                raise BadRequest(f"{_SHAPE}: {field}: asks for {resource_class}, as {other} does in the same group.")
            amounts[resource_class], askers[resource_class] = count, name
        traits |= wanted.traits
    plain = {**group, "resources": amounts}
    if traits:
        plain["required"] = [*group.get("required", ()), *sorted(traits)]
    return plain


def _asked(name: str, amount: Any, classes: Classes, field: str) -> Wanted:
    found = classes.named(name)
    try:
        return found.ask(amount)
    except ValueError as error:
        raise BadRequest(f"{_SHAPE}: {field}: {error}.") from None


# ---- providers -------------------------------------------------------------------------------------------------------


def written(described: Mapping[str, Any], classes: Classes) -> Written:
    """Returns how a description of all that a provider has is stored.

    Args:
        described: by name: of a class, what it takes; of the OpenStack API, the members of an inventory.
        classes: those that it may name.

    Raises:
        BadRequest: it names a class that there is not, a class refuses its description, or two want the same inventory.
    """
    inventories: dict[str, Inventory] = {}
    traits: set[str] = set()
    makers: dict[str, str] = {}
    for name, one in described.items():
        field = f"resources.{name}"
        found = _written(name, one, classes, field) if name.islower() else _as_inventory(name, one, field)
        for resource_class, inventory in found.inventories.items():
            if resource_class in inventories:
                raise BadRequest(f"{_SHAPE}: {field}: is kept in {resource_class}, as {makers[resource_class]} is.")
            inventories[resource_class], makers[resource_class] = inventory, name
        traits |= found.traits
    return Written(inventories, frozenset(traits))


def _as_inventory(name: str, one: Any, field: str) -> Written:
    _check({name: one}, (), field)
    return Written({name: read_inventory(one)})


def _written(name: str, described: Any, classes: Classes, field: str) -> Written:
    found = classes.named(name)
    try:
        made = found.write(described)
    except ValueError as error:
        raise BadRequest(f"{_SHAPE}: {field}: {error}.") from None
    # What a class makes is stored and shown to all clients: a mistake in a plugin ends here.
    _check({one: asdict(inventory) for one, inventory in made.inventories.items()}, made.traits, field)
    return made


def _check(inventories: Mapping[str, Any], traits: Iterable[str], field: str) -> None:
    """Refuses inventories and names of another form than the OpenStack API's."""
    try:
        check_document(dict(inventories), INVENTORIES, is_large=True)
        for one in inventories:
            if not is_standard_class(one):
                check_document({"name": one}, RESOURCE_CLASS, is_large=True)
    except BadRequest as error:
        raise BadRequest(f"{error.message} ({field})") from None
    for one in traits:
        if not is_standard_trait(one) and not matches(one, CUSTOM_TRAIT):
            raise BadRequest(f"{_SHAPE}: {field}: {one!r} is no name of a trait.")


def shown(state: State, classes: Classes) -> tuple[dict[str, Shown], dict[str, Inventory]]:
    """Returns what a provider has by class, and the inventories that no class knows.

    Each inventory is told of once: by the class that asks for most traits, else by the first by name.

    Args:
        state: what is stored.
        classes: all that there are.
    """
    left = dict(state.inventories)
    found: dict[str, Shown] = {}
    every = sorted(classes.every().items(), key=lambda one: (-len(one[1].about.traits), one[0]))
    for name, one in every:
        told = one.show(State(left, state.used, state.traits))
        if told is not None:
            found[name] = told
            left = {other: inventory for other, inventory in left.items() if other not in told.inventories}
    return {name: found[name] for name in sorted(found)}, left


def traits_after(before: Iterable[str], state: State, made: Written, classes: Classes) -> set[str]:
    """Returns the traits of a provider that is described anew: without those of classes that it had and has no more.

    Args:
        before: its traits.
        state: what is stored of it.
        made: its description now.
        classes: all that there are.
    """
    had, _ = shown(state, classes)
    gone = {trait for name in had for trait in classes.named(name).about.traits}
    return (set(before) - gone) | made.traits
