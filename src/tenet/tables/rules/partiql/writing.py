"""What INSERT, UPDATE, DELETE and EXISTS write or check: one item by its whole key.

Source: "PartiQL update statements for DynamoDB" and its neighbours in the Developer Guide: UPDATE changes only what is
there; DELETE of what is not there does nothing, whatever its condition. Texts as the peer DynamoDB Local 3.3 has them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules.comparisons import ELEMENT_KINDS, kind_of
from tenet.tables.rules.conditions import compile_condition_tree
from tenet.tables.rules.expressions import Parsed as ParsedTrees
from tenet.tables.rules.partiql.key_terms import KeyTerm, joined, key_term, terms_of, wrong_type
from tenet.tables.rules.partiql.operands import action_of, condition_of
from tenet.tables.rules.partiql.tree import Delete, Exists, Insert, Tuple, Update
from tenet.tables.rules.partiql.values import Values, attributes_of
from tenet.tables.rules.syntax_tree import AddAction, Call, DeleteAction, Or, Path, in_order
from tenet.tables.rules.updates import compile_actions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenet.tables.model import AttributeValue, Item, KeySchema
    from tenet.tables.rules.conditions import Condition
    from tenet.tables.rules.partiql.statements import Parsed
    from tenet.tables.rules.syntax_tree import ConditionTree, UpdateAction
    from tenet.tables.rules.updates import Update as CompiledUpdate

_EQUALITY: Final = frozenset(("=",))
_KEPT: Final = 512
_INCOMPLETE: Final = "Where clause does not contain a mandatory equality on all key attributes"
_NO_CHECK: Final = "EXISTS() must contain a single item read with additional condition"


def item_of(insert: Insert, parameters: Sequence[AttributeValue]) -> Item:
    """Returns the item that an INSERT names, not yet checked.

    Args:
        insert: the statement.
        parameters: of the request, canonical.

    Raises:
        ValidationException: it names none.
    """
    if not isinstance(insert.item, Tuple):
        raise ValidationException(
            "Unsupported format in item expression. Please use struct format {...} to express item values for insert "
            f"statement. at {insert.item.at}"
        )
    return attributes_of(insert.item, parameters)


def check_item_has_key(item: Item, keys: KeySchema) -> None:
    """Checks that an item that is inserted has the key attributes of its table.

    Raises:
        ValidationException: one is missing or of another type.
    """
    for attribute in (keys.partition, keys.sort):
        if attribute is None:
            continue
        if attribute.name not in item:
            raise ValidationException(f"Key attribute should be present in the item: Key {attribute.name}")
        if attribute.type not in item[attribute.name]:
            raise wrong_type(attribute.name)


class Writing:
    """What an UPDATE, DELETE or EXISTS does in a request.

    Args:
        values: by placeholder, canonical.
        update: what to change, or None.
        condition: what has to hold, or None.
    """

    __slots__ = ("condition", "update", "values")

    def __init__(
        self, values: Mapping[str, AttributeValue], update: CompiledUpdate | None, condition: Condition | None
    ) -> None:
        self.values = values
        self.update = update
        self.condition = condition


class WritePlan:
    """What an UPDATE, DELETE or EXISTS does to an item of a table with a key schema, whatever its parameters.

    Args:
        statement: the statement.
        keys: of the table.

    Raises:
        ValidationException: the statement does not fit.
    """

    def __init__(self, statement: Update | Delete | Exists, keys: KeySchema) -> None:
        self._values = values = Values()
        self._partition = keys.partition
        actions = _actions(statement, values)
        self._actions = None
        if actions:
            self._actions = ParsedTrees(actions, [part for action in actions for part in in_order(action)])
        where = statement.select.where if isinstance(statement, Exists) else statement.where
        tree = None if where is None else condition_of(where, values)
        self._whole = None if tree is None else _parsed(tree)
        self._keys: list[KeyTerm] = []
        rest = self._take_keys(list(terms_of(tree)), keys, is_check=isinstance(statement, Exists))
        self._is_complete = {term.attribute.name for term in self._keys} == set(keys.names)
        if isinstance(statement, Exists) and not (self._is_complete and rest):
            raise ValidationException(_NO_CHECK)
        condition = _condition(statement, rest, keys)
        self._condition = None if condition is None else _parsed(condition)

    def _take_keys(self, terms: list[ConditionTree], keys: KeySchema, *, is_check: bool) -> list[ConditionTree]:
        """Finds the equalities on key attributes, and returns the other terms; a check reads by the first of each."""
        for attribute in (keys.partition, keys.sort):
            if attribute is None:
                continue
            found = [(term, key) for term in terms if (key := key_term(term, attribute, _EQUALITY, self._values))]
            if is_check:
                del found[1:]
            self._keys += [key for _, key in found]
            taken = [id(term) for term, _ in found]
            terms = [term for term in terms if id(term) not in taken]
        return terms

    def check_complete(self) -> None:
        """Checks that the WHERE clause names a whole key, as that of an EXISTS does.

        Raises:
            ValidationException: it does not.
        """
        if not self._is_complete:
            raise ValidationException(_INCOMPLETE)

    def bind(self, parameters: Sequence[AttributeValue]) -> Writing:
        """Returns what is done with these parameters, which are checked, whichever item they name.

        Raises:
            ValidationException: they do not fit the statement.
        """
        bindings = self._values.bind(parameters)
        update = None
        if self._actions is not None:
            _check_sets(self._actions.trees, bindings.values)
            update = compile_actions(self._actions, bindings)
        if self._whole is not None:
            compile_condition_tree(self._whole, bindings)
        condition = None if self._condition is None else compile_condition_tree(self._condition, bindings)
        return Writing(bindings.values, update, condition)

    def key(self, writing: Writing, *, is_checked: bool) -> Item:
        """Returns the key of the item, canonical, as far as the WHERE clause names it.

        Args:
            writing: what `bind` returned.
            is_checked: whether its values are checked; else whoever finds the place of the item does.

        Raises:
            ValidationException: an attribute has two values; or one of another type, or that no key can have.
        """
        key: Item = {}
        for term in self._keys:
            name = term.attribute.name
            value = writing.values[term.values[0].name]
            if is_checked:
                term.bound(writing.values, is_partition=term.attribute is self._partition)
            if key.setdefault(name, value) != value:
                raise ValidationException(
                    f"Multiple conditions on same key {name}. Only single item Update/Insert/Delete are supported"
                )
        return key


def _parsed(tree: ConditionTree) -> ParsedTrees[ConditionTree]:
    return ParsedTrees(tree, in_order(tree))


def _actions(statement: Update | Delete | Exists, values: Values) -> tuple[UpdateAction, ...]:
    if not isinstance(statement, Update):
        return ()
    return tuple(action_of(assignment, values) for assignment in statement.assignments)


def _condition(
    statement: Update | Delete | Exists, rest: Sequence[ConditionTree], keys: KeySchema
) -> ConditionTree | None:
    """Returns the condition of the write, which says too what becomes of one where there is no item."""
    partition = Path((keys.partition.name,))
    if isinstance(statement, Delete):
        return Or((Call("attribute_not_exists", (partition,)), joined(rest))) if rest else None
    return joined((Call("attribute_exists", (partition,)), *rest))


def _check_sets(actions: Sequence[UpdateAction], values: Mapping[str, AttributeValue]) -> None:
    for action in actions:
        if isinstance(action, AddAction | DeleteAction) and kind_of(values[action.value.name]) not in ELEMENT_KINDS:
            name = "SET_ADD" if isinstance(action, AddAction) else "SET_DELETE"
            raise ValidationException(f"The second argument to {name} must be a value with type SET")


@lru_cache(_KEPT)
def write_plan(parsed: Parsed, keys: KeySchema) -> WritePlan:
    """Returns what a statement does to an item of a table; kept for the next time.

    Args:
        parsed: an UPDATE, DELETE or EXISTS.
        keys: of the table.

    Raises:
        ValidationException: the statement does not fit.
    """
    assert isinstance(parsed.statement, Update | Delete | Exists)
    return WritePlan(parsed.statement, keys)
