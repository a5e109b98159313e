"""A WHERE clause as single reads by key: which partitions, and which interval of the sort keys of each.

The clause is looked at as a conjunction of terms on the key, of choices between conjunctions, and of filters. An OR in
which no term on the key stands is a filter, and so is everything below NOT. A choice is multiplied out within what the
terms around it have left, and what cannot hold is dropped there. At most `READS_MAX` branches are kept at any time, so
that the work grows with the length of the statement alone.

No two branches may share a key. So the branch of an item is known by its key, and the whole clause holds for the item
exactly if the filters of its branch do: reads need no filters of their own, and answer no item twice.

Source: captures of the service. It decomposes so, counts up to 50 reads and refuses those that overlap.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Final

from tenet.store.contract import Range
from tenet.tables import keys
from tenet.tables.errors import ValidationException
from tenet.tables.rules.partiql.key_terms import POINTS, key_term, terms_of
from tenet.tables.rules.syntax_tree import Or, Path, in_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tenet.tables.model import AttributeValue, Index, KeySchema
    from tenet.tables.rules.partiql.key_terms import KeyTerm
    from tenet.tables.rules.partiql.values import Values
    from tenet.tables.rules.syntax_tree import ConditionTree

#: The most reads that one statement comes to.
READS_MAX: Final = 50
#: A hash set begins with so many buckets, and doubles them where they are fuller than this.
_BUCKETS_MIN: Final = 16
_LOAD_MAX: Final = 0.75
_SORT_OPERATORS: Final = frozenset(("=", "IN", "<", "<=", ">", ">=", "BETWEEN", "begins_with"))


class Form:
    """What has to hold together, whatever its values.

    Args:
        partition: the terms on the partition key.
        sort: the terms on the sort key.
        choices: of the forms of each, one has to hold.
        names: the attributes that filters look at, in the order in which they were written.
        is_filtered: whether there are filters, here or within choices.
    """

    __slots__ = ("choices", "is_filtered", "names", "partition", "sort")

    def __init__(
        self,
        partition: Sequence[KeyTerm],
        sort: Sequence[KeyTerm],
        choices: Sequence[Sequence[Form]],
        names: Sequence[str],
        *,
        is_filtered: bool,
    ) -> None:
        self.partition = partition
        self.sort = sort
        self.choices = choices
        self.names = tuple(names)
        self.is_filtered = is_filtered

    @property
    def says_key(self) -> bool:
        """Whether anything in it is about the key."""
        return bool(self.partition or self.sort or self.choices)

    @property
    def is_by_key(self) -> bool:
        """Whether it names partitions, whichever choices hold; else all of a table has to be read."""
        return bool(self.partition) or any(all(form.is_by_key for form in choice) for choice in self.choices)


def form_of(tree: ConditionTree, schema: KeySchema, values: Values) -> Form:
    """Returns what a condition says of a key.

    Args:
        tree: the condition, at most 100 levels deep.
        schema: of the table or index that is read.
        values: of the statement.
    """
    partition: list[KeyTerm] = []
    sort: list[KeyTerm] = []
    choices: list[tuple[Form, ...]] = []
    names: list[str] = []
    is_filtered = False
    for term in terms_of(tree):
        if (key := key_term(term, schema.partition, POINTS, values)) is not None:
            partition.append(key)
        elif schema.sort is not None and (key := key_term(term, schema.sort, _SORT_OPERATORS, values)) is not None:
            sort.append(key)
        elif isinstance(term, Or):
            forms = tuple(form_of(part, schema, values) for part in term.conditions)
            is_choice = any(form.says_key for form in forms)
            if is_choice:
                choices.append(forms)
            else:
                names += [name for form in forms for name in form.names]
            is_filtered |= not is_choice or any(form.is_filtered for form in forms)
        else:
            names += [values.attribute(part) for part in in_order(term) if isinstance(part, Path)]
            is_filtered = True
    return Form(partition, sort, choices, names, is_filtered=is_filtered)


class Branch:
    """What one way through the choices of a WHERE clause reads.

    Args:
        partition: the partition key, or None as long as none is said.
        sort: the sort key, where it is said by equality.
        within: the interval of sort keys, as the store has them.
        names: the attributes that its filters look at.

    Attributes:
        place: the partition as the store has it; empty as long as none is said.
    """

    __slots__ = ("names", "partition", "place", "sort", "within")

    def __init__(
        self, partition: AttributeValue | None, sort: AttributeValue | None, within: Range, names: tuple[str, ...]
    ) -> None:
        self.partition = partition
        self.place = b"" if partition is None else keys.plain(partition)
        self.sort = sort
        self.within = within
        self.names = names


class KeyReads:
    """What a form reads in a request.

    Args:
        form: names partitions by all of its choices.
        values: of the request, by placeholder.
        index: the index that is read, or None for the table.

    Attributes:
        branches: those that can hold; no two of them have a key in common. In the order of their keys.
        impossible: the attributes that filters look at of a branch that cannot hold; None where there is none.

    Raises:
        ValidationException: a value is none of the key, there are too many branches, or some overlap.
    """

    def __init__(self, form: Form, values: Mapping[str, AttributeValue], index: Index | None) -> None:
        self._values = values
        self._index = index
        self.impossible: tuple[str, ...] | None = None
        found = self._narrowed([Branch(None, None, keys.everything_of(index), ())], form)
        self.branches = sorted(found, key=lambda branch: (branch.place, branch.within.lower))
        for one, following in zip(self.branches, self.branches[1:], strict=False):
            upper = one.within.upper
            if one.partition == following.partition and (upper is None or following.within.lower < upper):
                raise ValidationException("Overlapping conditions with range keys are not supported in where clause")

    def _narrowed(self, branches: Sequence[Branch], form: Form) -> Sequence[Branch]:
        """Returns what is left of branches where a form holds as well; looks at all of it, for the types of values."""
        if form.names:
            branches = [
                Branch(branch.partition, branch.sort, branch.within, branch.names + form.names) for branch in branches
            ]
        for terms, is_partition in ((form.partition, True), (form.sort, False)):
            # Those of few values first: they leave the others little to do.
            for term in sorted(terms, key=lambda each: len(each.values) if each.operator in POINTS else 0):
                found = term.bound(self._values, is_partition=is_partition)
                if is_partition:
                    branches = self._in_partitions(branches, found)
                elif term.operator in POINTS:
                    branches = self._at_points(branches, found)
                else:
                    within = keys.sort_within(self._index, term.operator, found)
                    branches = [each for branch in branches if (each := self._cut(branch, within)) is not None]
            _check_count(branches)
        for choice in form.choices:
            chosen: list[Branch] = []
            for part in choice:
                chosen += self._narrowed(branches, part)
                _check_count(chosen)
            branches = chosen
        return branches

    def _in_partitions(self, branches: Iterable[Branch], found: Sequence[AttributeValue]) -> list[Branch]:
        times = _times(found)
        narrowed: list[Branch] = []
        for branch in branches:
            if branch.partition is None:
                narrowed += [Branch(value, branch.sort, branch.within, branch.names) for value in found]
            else:
                narrowed += self._kept(branch, times[_content(branch.partition)], of=len(found))
        return narrowed

    def _at_points(self, branches: Iterable[Branch], found: Sequence[AttributeValue]) -> list[Branch]:
        times = _times(found)
        points = [(value, keys.sort_within(self._index, "=", (value,))) for value in found]
        narrowed: list[Branch] = []
        for branch in branches:
            if branch.sort is not None:
                narrowed += self._kept(branch, times[_content(branch.sort)], of=len(found))
                continue
            for value, point in points:
                cut = self._cut(branch, point)
                if cut is not None:
                    cut.sort = value
                    narrowed.append(cut)
        return narrowed

    def _kept(self, branch: Branch, times: int, *, of: int) -> list[Branch]:
        """Returns a branch as often as a term names its key."""
        if times < of:
            self._note_impossible(branch)
        return [branch] * times

    def _cut(self, branch: Branch, within: Range) -> Branch | None:
        """Returns what is left of a branch within an interval, or None where nothing is."""
        old = branch.within
        lower = max(old.lower, within.lower)
        uppers = [each for each in (old.upper, within.upper) if each is not None]
        upper = min(uppers) if uppers else None
        if upper is not None and lower >= upper:
            self._note_impossible(branch)
            return None
        return Branch(branch.partition, branch.sort, Range(lower, upper), branch.names)

    def _note_impossible(self, branch: Branch) -> None:
        if self.impossible is None:
            self.impossible = branch.names

    @property
    def told(self) -> Sequence[str]:
        """The attributes that an index has to carry: those that the filters of one branch look at.

        The service looks at one branch alone: at one that cannot hold before others, else at the first one by the MD5
        of its partition key. It names them as a hash table of its language has them.
        """
        if self.impossible is not None:
            return _in_buckets(self.impossible)
        if not self.branches:
            return ()
        first = min(self.branches, key=lambda branch: hashlib.md5(branch.place, usedforsecurity=False).digest())
        return _in_buckets(first.names)


def _times(found: Iterable[AttributeValue]) -> Counter[str]:
    """Returns how often each content stands among values of one type."""
    return Counter(map(_content, found))


def _content(value: AttributeValue) -> str:
    content: str
    ((_, content),) = value.items()
    return content


def _check_count(branches: Sequence[Branch]) -> None:
    if len(branches) > READS_MAX:
        raise ValidationException("Too many decomposed read operations for a given query.")


def _in_buckets(names: Iterable[str]) -> list[str]:
    """Returns names, each once, in the order of a hash set of strings of Java (``HashSet``, ``String.hashCode``)."""
    unique = list(dict.fromkeys(names))
    buckets = _BUCKETS_MIN
    while len(unique) > buckets * _LOAD_MAX:
        buckets *= 2
    return sorted(unique, key=lambda name: _java_hash(name) % buckets)


def _java_hash(text: str) -> int:
    units = text.encode("utf-16-be", "surrogatepass")
    found = 0
    for at in range(0, len(units), 2):
        found = (31 * found + int.from_bytes(units[at : at + 2], "big")) & 0xFFFFFFFF
    return found ^ (found >> 16)
