"""What a SELECT reads: which partitions, which sort keys, and what is left as a filter.

Source: "PartiQL select statements for DynamoDB" of the Developer Guide: equality or IN on the partition key makes it
Queries (``key_reads``), anything else a Scan. Texts as the peer DynamoDB Local 3.3 has them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules.conditions import compile_condition_tree
from tenet.tables.rules.expressions import Parsed as ParsedTrees
from tenet.tables.rules.partiql.key_reads import KeyReads, form_of
from tenet.tables.rules.partiql.key_terms import POINTS, key_term
from tenet.tables.rules.partiql.operands import condition_of
from tenet.tables.rules.partiql.tree import Constant, Missing, Name, Select
from tenet.tables.rules.partiql.values import Values
from tenet.tables.rules.projections import Projection
from tenet.tables.rules.syntax_tree import And, in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.store.contract import Range
    from tenet.tables.model import AttributeValue, Index, Item, KeySchema
    from tenet.tables.rules.conditions import Condition
    from tenet.tables.rules.partiql.key_reads import Branch, Form
    from tenet.tables.rules.partiql.statements import Parsed
    from tenet.tables.rules.partiql.tree import Expression
    from tenet.tables.rules.paths import ResolvedPath

_KEPT: Final = 512


def label_of(path: ResolvedPath) -> str:
    """Returns the name under which a path is answered: its last name, with the indexes behind it."""
    last = max(at for at, element in enumerate(path) if isinstance(element, str))
    return str(path[last]) + "".join(f"[{element}]" for element in path[last + 1 :])


class Read:
    """What is read by one Query.

    Args:
        partition: as the store has it.
        within: the interval of sort keys.
    """

    __slots__ = ("partition", "within")

    def __init__(self, partition: bytes, within: Range) -> None:
        self.partition = partition
        self.within = within


class Selection:
    """What a SELECT reads in a request.

    Args:
        reads: one after the other, without a key in common; None for all, by a Scan.
        is_reverse: whether each partition is read from its end.
        filter_: what has to hold of what is read, or None.
        filtered: attributes that an index has to carry for it.
        projection: what to answer of the items.
    """

    __slots__ = ("filter", "filtered", "is_reverse", "projection", "reads")

    def __init__(
        self,
        reads: Sequence[Read] | None,
        *,
        is_reverse: bool = False,
        filter_: Condition | None,
        filtered: Sequence[str] = (),
        projection: Projection | None,
    ) -> None:
        self.reads = reads
        self.is_reverse = is_reverse
        self.filter = filter_
        self.filtered = filtered
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
        self._keys = keys
        where = None if select.where is None else condition_of(select.where, self._values)
        self._where = None if where is None else ParsedTrees(where, in_order(where))
        form = None if where is None else form_of(where, keys, self._values)
        #: None: all is read.
        self._form = form if form is not None and form.is_by_key else None
        self._has_partition = form is not None and bool(form.partition)
        top = () if where is None else where.conditions if isinstance(where, And) else (where,)
        #: Whether it is read by key, though versions before scanned for it: they looked for the partition in what AND
        #: joins outside of parentheses.
        self.is_by_choice = self._form is not None and not any(
            key_term(term, keys.partition, POINTS, self._values) for term in top
        )
        #: Whether the WHERE clause names one key by one equality for each attribute, and says nothing else.
        self.is_one_item = form is not None and _names_one_item(form, keys)
        #: What is answered of the items; None for all.
        self.projection = None if not select.projection else _selected(select.projection, self._values)
        descending = self._descending(select)
        self._partitions_descend = descending.get(keys.partition.name, False)
        self._is_reverse = keys.sort is not None and descending.get(keys.sort.name, False)

    def _descending(self, select: Select) -> dict[str, bool]:
        """Returns which attributes of the key ORDER BY names, and whether they descend."""
        descending: dict[str, bool] = {}
        for order in select.order:
            if select.where is None:
                raise ValidationException("Must have WHERE clause in the statement when using ORDER BY clause.")
            name = _ordering(order.key)
            if name not in self._keys.names:
                raise ValidationException(
                    f"Variable reference {name} in ORDER BY clause must be part of the primary key"
                )
            descending.setdefault(name, order.is_descending)
        if select.order and not self._has_partition:
            raise ValidationException(
                "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause."
            )
        return descending

    def bind(self, parameters: Sequence[AttributeValue], index: Index | None = None) -> Selection:
        """Returns what is read with these parameters.

        Args:
            parameters: of the request, checked.
            index: the index that is read, or None for the table.

        Raises:
            ValidationException: they do not fit the statement or the key, or take too many reads, or some that overlap.
        """
        bindings = self._values.bind(parameters)
        condition = None if self._where is None else compile_condition_tree(self._where, bindings)
        if self._form is None:
            return Selection(None, filter_=condition, projection=self.projection)
        found = KeyReads(self._form, bindings.values, index)
        return Selection(
            self._in_order(found.branches),
            is_reverse=self._is_reverse,
            filter_=condition if self._form.is_filtered else None,
            filtered=found.told if self._form.is_filtered else (),
            projection=self.projection,
        )

    def item_key(self, parameters: Sequence[AttributeValue]) -> Item:
        """Returns the key of the one item that is named, where `is_one_item`; with less work than what it reads takes.

        Args:
            parameters: of the request, checked.

        Raises:
            ValidationException: a value is none of the key.
        """
        form = self._form
        assert form is not None
        values = self._values.bind(parameters).values
        key: Item = {}
        for terms, is_partition in ((form.partition, True), (form.sort, False)):
            for term in terms:
                (key[term.attribute.name],) = term.bound(values, is_partition=is_partition)
        return key

    def _in_order(self, branches: Sequence[Branch]) -> list[Read]:
        """Returns branches, which are in the order of their keys, in that of ORDER BY."""
        reads = [Read(branch.place, branch.within) for branch in branches]
        if self._is_reverse:
            reads.reverse()
        if self._is_reverse is not self._partitions_descend:
            # Those of a partition stay as they are among each other.
            reads.sort(key=lambda read: read.partition, reverse=self._partitions_descend)
        return reads


def _names_one_item(form: Form, keys: KeySchema) -> bool:
    if form.is_filtered or form.choices or len(form.partition) != 1 or len(form.sort) != (keys.sort is not None):
        return False
    return all(term.operator == "=" for term in (*form.partition, *form.sort))


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
