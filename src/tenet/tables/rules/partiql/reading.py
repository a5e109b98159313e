"""What a SELECT reads: which partitions, which sort keys, and what is left as a filter.

Source: "PartiQL select statements for DynamoDB" of the Developer Guide: equality or IN on the partition key makes it a
Query, one per partition, anything else a Scan. Texts as the peer DynamoDB Local 3.3 has them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules.bindings import Bindings
from tenet.tables.rules.comparisons import ordinal
from tenet.tables.rules.conditions import compile_condition_tree
from tenet.tables.rules.expressions import Parsed as ParsedTrees
from tenet.tables.rules.partiql.key_terms import KeyTerm, joined, key_term, terms_of
from tenet.tables.rules.partiql.operands import condition_of
from tenet.tables.rules.partiql.tree import Constant, Missing, Name, Select
from tenet.tables.rules.partiql.values import Values
from tenet.tables.rules.projections import Projection
from tenet.tables.rules.syntax_tree import in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.tables.model import AttributeValue, KeySchema
    from tenet.tables.rules.conditions import Condition
    from tenet.tables.rules.partiql.statements import Parsed
    from tenet.tables.rules.partiql.tree import Expression
    from tenet.tables.rules.paths import ResolvedPath
    from tenet.tables.rules.syntax_tree import ConditionTree

#: The most partitions that one statement reads.
PARTITIONS_MAX: Final = 50
_PARTITION_OPERATORS: Final = frozenset(("=", "IN"))
_SORT_OPERATORS: Final = frozenset(("=", "<", "<=", ">", ">=", "BETWEEN", "begins_with"))
_KEPT: Final = 512


def label_of(path: ResolvedPath) -> str:
    """Returns the name under which a path is answered: its last name, with the indexes behind it."""
    last = max(at for at, element in enumerate(path) if isinstance(element, str))
    return str(path[last]) + "".join(f"[{element}]" for element in path[last + 1 :])


class Selection:
    """What a SELECT reads in a request.

    Args:
        partitions: the partition keys, each once, in the order of reading; None for all, by a Scan.
        operator: of the condition on the sort key, or an empty text.
        sort_values: what the sort key is compared with.
        is_reverse: whether each partition is read from its end.
        filter_: what else has to hold.
        projection: what to answer of the items.
    """

    __slots__ = ("filter", "is_reverse", "operator", "partitions", "projection", "sort_values")

    def __init__(
        self,
        partitions: Sequence[AttributeValue] | None,
        operator: str,
        sort_values: tuple[AttributeValue, ...],
        *,
        is_reverse: bool,
        filter_: Condition | None,
        projection: Projection | None,
    ) -> None:
        self.partitions = partitions
        self.operator = operator
        self.sort_values = sort_values
        self.is_reverse = is_reverse
        self.filter = filter_
        self.projection = projection


class SelectPlan:
    """What a SELECT reads of a table or index with a key schema, whatever its parameters.

    Args:
        select: the statement.
        keys: of the table or index.

    Raises:
        ValidationException: the statement does not fit.
    """

    def __init__(self, select: Select, keys: KeySchema) -> None:
        self._values = Values()
        where = None if select.where is None else condition_of(select.where, self._values)
        terms = list(terms_of(where))
        self._whole = None if where is None else ParsedTrees(where, in_order(where))
        self._partition = self._take(terms, keys, is_partition=True)
        self._sort = None if self._partition is None else self._take(terms, keys, is_partition=False)
        #: Whether the WHERE clause names one key and says nothing else.
        self.is_one_item = self._names_one_item(keys) and not terms
        self._rest = None if not terms else _parsed(joined(terms))
        #: What is answered of the items; None for all.
        self.projection = None if not select.projection else _selected(select.projection, self._values)
        descending = self._descending(select, keys)
        self._partitions_descend = descending.get(keys.partition.name, False)
        self._is_reverse = keys.sort is not None and descending.get(keys.sort.name, False)

    def _take(self, terms: list[ConditionTree], keys: KeySchema, *, is_partition: bool) -> KeyTerm | None:
        """Takes the term out that says where to read."""
        attribute = keys.partition if is_partition else keys.sort
        if attribute is None:
            return None
        operators = _PARTITION_OPERATORS if is_partition else _SORT_OPERATORS
        found = [(term, key) for term in terms if (key := key_term(term, attribute, operators, self._values))]
        # An equality says most.
        found.sort(key=lambda each: each[1].operator != "=")
        if not found:
            return None
        terms.remove(found[0][0])
        return found[0][1]

    def _names_one_item(self, keys: KeySchema) -> bool:
        named = (self._partition,) if keys.sort is None else (self._partition, self._sort)
        return all(term is not None and term.operator == "=" for term in named)

    def _descending(self, select: Select, keys: KeySchema) -> dict[str, bool]:
        """Returns which attributes of the key ORDER BY names, and whether they descend."""
        descending: dict[str, bool] = {}
        for order in select.order:
            if select.where is None:
                raise ValidationException("Must have WHERE clause in the statement when using ORDER BY clause.")
            name = _ordering(order.key)
            if name not in keys.names:
                raise ValidationException(
                    f"Variable reference {name} in ORDER BY clause must be part of the primary key"
                )
            descending.setdefault(name, order.is_descending)
        if select.order and self._partition is None:
            raise ValidationException(
                "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause."
            )
        return descending

    def bind(self, parameters: Sequence[AttributeValue]) -> Selection:
        """Returns what is read with these parameters, which are checked.

        Raises:
            ValidationException: they do not fit the statement or the key.
        """
        bindings = self._values.bind(parameters)
        if self._whole is not None:
            compile_condition_tree(self._whole, bindings)
        sort = self._sort
        return Selection(
            None if self._partition is None else self._partitions(self._partition, bindings),
            "" if sort is None else sort.operator,
            () if sort is None else sort.bound(bindings.values, is_partition=False),
            is_reverse=self._is_reverse,
            filter_=None if self._rest is None else compile_condition_tree(self._rest, bindings),
            projection=self.projection,
        )

    def _partitions(self, term: KeyTerm, bindings: Bindings) -> list[AttributeValue]:
        """Returns the partition keys in their order."""
        found = term.bound(bindings.values, is_partition=True)
        kind = term.attribute.type
        by_content = {value[kind]: value for value in found}
        if len(by_content) > PARTITIONS_MAX:
            raise ValidationException("Too many decomposed read operations for a given query.")
        ordered = sorted(by_content, key=lambda content: ordinal(kind, content), reverse=self._partitions_descend)
        return [by_content[content] for content in ordered]


def _parsed(tree: ConditionTree) -> ParsedTrees[ConditionTree]:
    return ParsedTrees(tree, in_order(tree))


def _selected(projection: Sequence[Expression], values: Values) -> Projection:
    names = [tree for tree in projection if isinstance(tree, Name)]
    labels: dict[str, ResolvedPath] = {}
    for name in names:
        label = label_of(name.path)
        if label in labels:
            raise ValidationException(f"Duplicate identifiers in select clause: {label}")
        labels[label] = name.path
    return Projection(values.named().resolve_apart([values.path(name) for name in names]), labels)


def _ordering(key: Expression) -> str:
    if isinstance(key, Name):
        return ".".join(map(str, key.path))
    if isinstance(key, Constant):
        shown = str(next(iter(key.value.values())))
    else:
        shown = "MISSING" if isinstance(key, Missing) else type(key).__name__
    raise ValidationException(f"Argument to ORDER BY must be of type VariableReference. Type: {shown}")


@lru_cache(_KEPT)
def select_plan(parsed: Parsed, keys: KeySchema) -> SelectPlan:
    """Returns what a SELECT reads of a table or index; kept for the next time.

    Args:
        parsed: a SELECT, or an EXISTS around one.
        keys: of the table or index.

    Raises:
        ValidationException: the statement does not fit.
    """
    assert isinstance(parsed.statement, Select)
    return SelectPlan(parsed.statement, keys)
