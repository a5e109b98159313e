"""Which item a SELECT of a batch or a transaction names, where nothing but one whole key may stand in WHERE.

Equality says a value of the key, and so does IN with one value. The same value may stand there several times.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from tenet.tables.rules.comparisons import kind_of
from tenet.tables.rules.partiql.key_terms import POINTS, KeyTerm, key_term, terms_of, wrong_type
from tenet.tables.rules.partiql.operands import condition_of
from tenet.tables.rules.partiql.tree import Select
from tenet.tables.rules.partiql.values import Values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.tables.model import AttributeValue, Item, KeySchema
    from tenet.tables.rules.partiql.statements import Parsed
    from tenet.tables.rules.syntax_tree import ConditionTree

_KEPT: Final = 512


class SingleItem:
    """The key that a SELECT names, whatever its parameters.

    Args:
        select: the statement.
        keys: of the table.

    Raises:
        ValidationException: its WHERE clause is no condition.
    """

    def __init__(self, select: Select, keys: KeySchema) -> None:
        self._values = Values()
        where = None if select.where is None else condition_of(select.where, self._values)
        terms = [self._key_term(term, keys) for term in terms_of(where)]
        found = [term for term in terms if term is not None]
        is_whole = len(found) == len(terms) and {term.attribute.name for term in found} == set(keys.names)
        self._terms = tuple(found) if is_whole else ()

    def _key_term(self, tree: ConditionTree, keys: KeySchema) -> KeyTerm | None:
        for attribute in (keys.partition, keys.sort):
            if attribute is None:
                continue
            found = key_term(tree, attribute, POINTS, self._values)
            if found is not None and len(found.values) == 1:
                return found
        return None

    def key(self, parameters: Sequence[AttributeValue]) -> Item | None:
        """Returns the key that is named with these parameters, canonical and not yet checked; None: not just one.

        Args:
            parameters: of the request, checked.
        """
        if not self._terms:
            return None
        values = self._values.bind(parameters).values
        key: Item = {}
        for term in self._terms:
            value = values[term.values[0].name]
            if key.setdefault(term.attribute.name, value) != value:
                return None
        return key


@lru_cache(_KEPT)
def single_item(parsed: Parsed, keys: KeySchema) -> SingleItem:
    """Returns which item of a table a statement names; kept for the next time.

    Args:
        parsed: a SELECT.
        keys: of the table.

    Raises:
        ValidationException: its WHERE clause is no condition.
    """
    assert isinstance(parsed.statement, Select)
    return SingleItem(parsed.statement, keys)


def check_key_types(key: Item, keys: KeySchema) -> None:
    """Checks that the values of a key, which has all attributes of the schema, have their types.

    Raises:
        ValidationException: one has not, in the words that statements outside of transactions have for it.
    """
    for attribute in (keys.partition, keys.sort):
        if attribute is not None and kind_of(key[attribute.name]) != attribute.type:
            raise wrong_type(attribute.name)
