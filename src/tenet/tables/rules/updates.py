"""Updates: ``compile_update`` gives an ``Update``, whose ``apply`` makes a new item of an old one.

Every operand and every path reads the item as it was before the update. What the actions say is gathered as a tree of
changes and carried out in one go: so list indexes mean the old list, elements set beyond its end are appended in the
order of their indexes, and containers are copied where something in them changes, once.

Source: "Update expressions" of the Developer Guide; what becomes of lists, as the tests of ScyllaDB's
Alternator, which also run against the service, and DynamoDB Local 3.3 show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from tenet.tables.errors import ValidationException
from tenet.tables.model import AttributeValue, Item, KeySchema
from tenet.tables.rules import paths
from tenet.tables.rules.expressions import compiled_with, parsed_update, refuse
from tenet.tables.rules.item_changes import REMOVED, Change, changed_item, check_levels
from tenet.tables.rules.numbers import TooManyDigits
from tenet.tables.rules.operand_checks import checks
from tenet.tables.rules.operands import Values
from tenet.tables.rules.paths import ResolvedPath
from tenet.tables.rules.syntax_tree import AddAction, DeleteAction, Path, RemoveAction, SetAction, UpdateAction
from tenet.tables.rules.update_operands import add, compile_value, delete

if TYPE_CHECKING:
    from tenet.tables.rules.bindings import Bindings
    from tenet.tables.rules.expressions import Parsed
    from tenet.tables.rules.operand_checks import Check

#: Returns what an action makes of the value at its path, or None where it changes nothing.
Effect: TypeAlias = Callable[[Item, Values], AttributeValue | Change | None]

_INVALID_PATH: Final = "The document path provided in the update expression is invalid for update"


@dataclass(frozen=True)
class CompiledUpdate:
    """An update without its values.

    Args:
        actions: the path of each action with its effect, in the order in which they are looked at.
        flat: whether every path is an attribute of the item itself.
        only_takes: whether all actions are REMOVE or DELETE.
        names: the attributes that the paths begin with.
        nested_names: the attributes into which a path leads, of what is computed too.
    """

    actions: tuple[tuple[ResolvedPath, Effect], ...]
    flat: bool
    only_takes: bool
    names: frozenset[str]
    nested_names: frozenset[str]


class Update:
    """An update with the values of its request.

    Args:
        compiled: the update.
        values: by placeholder, canonical.
    """

    __slots__ = ("_compiled", "_values")

    def __init__(self, compiled: CompiledUpdate, values: Values) -> None:
        self._compiled = compiled
        self._values = values

    def with_values(self, values: Values) -> Update:
        """Returns the same update with the values of another request."""
        return Update(self._compiled, values)

    @property
    def names(self) -> frozenset[str]:
        """The attributes in which the update changes something."""
        return self._compiled.names

    @property
    def nested_names(self) -> frozenset[str]:
        """The attributes into which a path of the update leads."""
        return self._compiled.nested_names

    @property
    def paths(self) -> tuple[ResolvedPath, ...]:
        """What the update touches."""
        return tuple(path for path, _ in self._compiled.actions)

    def check_keys(self, keys: KeySchema) -> None:
        """Checks that the update leaves the table's key alone.

        Raises:
            ValidationException: it touches a key attribute.
        """
        for path, _ in self._compiled.actions:
            if path[0] in keys.names:
                raise ValidationException(
                    "One or more parameter values were invalid: "
                    f"Cannot update attribute {path[0]}. This attribute is part of the key"
                )

    def apply(self, old: Item | None, key: Item) -> Item | None:
        """Returns the item as the update leaves it; `old` stays as it is.

        Args:
            old: the item, canonical; None where there is none, which makes one of its key.
            key: the item's key.

        Returns:
            The item; None where there is none and the update only takes away, which makes none (and into what it
            would take away from does not matter: "REMOVE a.b" of no item is no error, as Alternator's tests show).

        Raises:
            ValidationException: the update does not fit the item.
        """
        if old is None and self._compiled.only_takes:
            return None
        item = key if old is None else old
        values = self._values
        if self._compiled.flat:
            return _apply_flat(self._compiled, item, values)
        return changed_item(item, _changes(self._compiled, item, values))


def compile_update(text: str, bindings: Bindings) -> Update:
    """Compiles an update.

    Args:
        text: the expression.
        bindings: the request's names and values, where what the expression uses is noted.

    Raises:
        ValidationException: the expression is not valid.
    """
    try:
        compiled = compiled_with(parsed_update(text), bindings, _compile)
    except ValidationException as error:
        refuse("UpdateExpression", error)
    return Update(compiled, bindings.values)


def compile_actions(parsed: Parsed[tuple[UpdateAction, ...]], bindings: Bindings) -> Update:
    """Compiles an update that was not written as an expression; arguments and errors as for `compile_update`."""
    return Update(compiled_with(parsed, bindings, _compile), bindings.values)


def _compile(actions: tuple[UpdateAction, ...], bindings: Bindings) -> tuple[list[Check], CompiledUpdate]:
    bindings.resolve_apart(action.path for action in actions)
    resolved: dict[int, ResolvedPath] = {}
    value_checks = checks(actions, bindings, resolved, types_last=True)
    # Of several faults, what ADD and DELETE cannot do is told first, as DynamoDB Local 3.3 and dynoxide 3.2 have it.
    ordered = sorted(actions, key=lambda action: not isinstance(action, AddAction | DeleteAction))
    compiled = tuple((resolved[id(action.path)], _compile_action(action, resolved)) for action in ordered)
    return value_checks, CompiledUpdate(
        actions=compiled,
        flat=all(len(path) == 1 for path, _ in compiled),
        only_takes=all(isinstance(action, RemoveAction | DeleteAction) for action in actions),
        names=frozenset(str(path[0]) for path, _ in compiled),
        nested_names=frozenset(str(path[0]) for path in resolved.values() if len(path) > 1),
    )


def _compile_action(action: UpdateAction, resolved: dict[int, ResolvedPath]) -> Effect:
    match action:
        case SetAction():
            return compile_value(action.value, resolved)
        case RemoveAction():
            return lambda _item, _values: REMOVED
        case AddAction():
            return _compile_combination(add, action.path, action.value.name, resolved)
        case DeleteAction():
            return _compile_combination(delete, action.path, action.value.name, resolved)


def _compile_combination(
    combine: Callable[[AttributeValue | None, AttributeValue], AttributeValue | Change | None],
    path: Path,
    name: str,
    resolved: dict[int, ResolvedPath],
) -> Effect:
    at = resolved[id(path)]
    return lambda item, values: combine(paths.read(item, at), values[name])


def _result(effect: Effect, item: Item, values: Values) -> AttributeValue | Change | TooManyDigits | None:
    """Returns what an action makes of the value at its path.

    That a sum has too many digits is returned: all else that is wrong with an update is told before, as DynamoDB
    Local 3.3 and dynoxide 3.2 have it.
    """
    try:
        return effect(item, values)
    except TooManyDigits as error:
        return error


def _apply_flat(compiled: CompiledUpdate, item: Item, values: Values) -> Item:
    new = dict(item)
    refusal: TooManyDigits | None = None
    for (name,), effect in compiled.actions:
        value = _result(effect, item, values)
        if isinstance(value, Change):
            new.pop(name, None)  # type: ignore[arg-type]  # a path begins with a name
        elif isinstance(value, TooManyDigits):
            refusal = value
        elif value is not None:
            new[name] = value  # type: ignore[index]
    if refusal is not None:
        raise refusal
    return new


def _changes(
    compiled: CompiledUpdate, item: Item, values: Values
) -> list[tuple[ResolvedPath, AttributeValue | Change]]:
    """Returns what an update changes at which paths.

    Where several things are wrong, what cannot be computed is told before where it cannot be put.
    """
    results = [(path, _result(effect, item, values)) for path, effect in compiled.actions]
    changes: list[tuple[ResolvedPath, AttributeValue | Change]] = []
    refusal: TooManyDigits | None = None
    for path, value in results:
        _check_parent(item, path)
        if isinstance(value, TooManyDigits):
            refusal = value
        elif value is not None:
            check_levels(path, value)
            changes.append((path, value))
    if refusal is not None:
        raise refusal
    return changes


def _check_parent(item: Item, path: ResolvedPath) -> None:
    """Checks that what a path leads into is there and has the right type."""
    if len(path) > 1:
        parent = paths.read(item, path[:-1])
        if parent is None or ("L" if isinstance(path[-1], int) else "M") not in parent:
            raise ValidationException(_INVALID_PATH)
