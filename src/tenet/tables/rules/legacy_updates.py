"""``AttributeUpdates`` of UpdateItem: the same as what an update expression compiles to.

PUT is SET, DELETE without a value REMOVE; ADD and DELETE with a value are those of expressions, but that ADD also
appends to lists, and that a value of another type is told in other words.

Sources: "AttributeUpdates" of the Developer Guide's legacy conditional parameters; that lists can be added to, and that
what only takes away makes no item, as the tests of ScyllaDB's Alternator show, which also run against the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules.attributes import (
    ITEM_BYTES_MAX,
    TooLarge,
    check_name,
    check_updated_item_size,
    check_value,
    invalid_parameter,
)
from tenet.tables.rules.comparisons import ELEMENT_KINDS, kind_of
from tenet.tables.rules.item_changes import REMOVED
from tenet.tables.rules.update_operands import add, delete
from tenet.tables.rules.updates import CompiledUpdate, Update

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenet.tables.model import AttributeValue
    from tenet.tables.rules.item_changes import Change
    from tenet.tables.rules.updates import Effect

    _Combine = Callable[[AttributeValue | None, AttributeValue], AttributeValue | Change | None]

_ADD_KINDS: Final = frozenset(("N", "L", *ELEMENT_KINDS))


def attribute_updates_of(updates: dict[str, dict[str, Any]]) -> Update | None:
    """Returns ``AttributeUpdates`` in the form that expressions compile to; None where there are none.

    Args:
        updates: by attribute, their shape already checked; values are made canonical in place.

    Raises:
        SerializationException: a value is not of the JSON type that its member asks for.
        ValidationException: a name, a value or an action is wrong, or all of it is larger than an item may be.
    """
    if not updates:
        return None
    actions = []
    size = 0
    for name, update in updates.items():
        action, value = update.get("Action", "PUT"), update.get("Value")
        value_bytes = _checked(action, value)
        check_name(name)
        if action != "DELETE":
            size += value_bytes + len(name.encode())
            check_updated_item_size(size)
        actions.append(((name,), _effect(name, action, value)))
    compiled = CompiledUpdate(
        actions=tuple(actions),
        flat=True,
        only_takes=all(update.get("Action") == "DELETE" for update in updates.values()),
        names=frozenset(updates),
        nested_names=frozenset(),
    )
    return Update(compiled, {})


def _checked(action: str, value: AttributeValue | None) -> int:
    """Checks the value of an action and whether the action takes it; returns its bytes."""
    if value is None:
        if action != "DELETE":
            invalid_parameter("Only DELETE action is allowed when no attribute value is specified")
        return 0
    try:
        size = check_value(value)
    except TooLarge:
        size = ITEM_BYTES_MAX + 1
        check_updated_item_size(size)
    kind = kind_of(value)
    if action == "DELETE" and kind not in ELEMENT_KINDS:
        invalid_parameter(f"DELETE action with value is not supported for the type {kind}")
    if action == "ADD" and kind not in _ADD_KINDS:
        invalid_parameter(f"ADD action is not supported for the type {kind}")
    return size


def _effect(name: str, action: str, value: AttributeValue | None) -> Effect:
    if value is None:
        return lambda _item, _values: REMOVED
    given = value
    if action == "PUT":
        return lambda _item, _values: given
    combine = _combination(action, kind_of(given))
    return lambda item, _values: combine(item.get(name), given)


def _combination(action: str, kind: str) -> _Combine:
    """Returns what an action makes of an attribute and its value, which is of the type `kind`."""
    combine: _Combine = delete if action == "DELETE" else _append if kind == "L" else add

    def combine_alike(old: AttributeValue | None, value: AttributeValue) -> AttributeValue | Change | None:
        if old is not None and kind not in old:
            raise ValidationException("Type mismatch for attribute to update")
        return combine(old, value)

    return combine_alike


def _append(old: AttributeValue | None, value: AttributeValue) -> AttributeValue:
    return value if old is None else {"L": old["L"] + value["L"]}
