"""What a PartiQL statement says, apart from how it was written.

The trees are immutable and hold no values of a request: a ``?`` is a `Parameter`. Where something stands in the text is
kept as errors name it, ``line:column:length``.
"""

from __future__ import annotations

from typing import Literal as OneOf
from typing import TypeAlias

from msgspec import Struct

from tenet.tables.model import AttributeValue


class Constant(Struct, frozen=True):
    """A value without parts: a string, a number, a boolean or NULL.

    Args:
        value: canonical.
        at: where it stands.
        text: of a number as it was written, for errors.
    """

    value: AttributeValue
    at: str = ""
    text: str = ""


class Missing(Struct, frozen=True):
    """The word MISSING."""

    at: str = ""


class Parameter(Struct, frozen=True):
    """A question mark.

    Args:
        index: which one, from 0.
        at: where it stands.
    """

    index: int
    at: str = ""


class Name(Struct, frozen=True):
    """An attribute, or a path into one.

    Args:
        path: names and list indexes, a name first.
        at: where it begins.
    """

    path: tuple[str | int, ...]
    at: str = ""


class Sequence(Struct, frozen=True):
    """A list ``[...]``, a bag ``<<...>>`` (a set), or several values in parentheses."""

    kind: OneOf["list", "bag", "values"]
    elements: tuple[Expression, ...]
    at: str = ""


class Tuple(Struct, frozen=True):
    """A map ``{...}``: keys, which have to be strings, with their values."""

    members: tuple[tuple[Expression, Expression], ...]
    at: str = ""


class Call(Struct, frozen=True):
    """A function, its name in lower case, with its operands."""

    function: str
    operands: tuple[Expression, ...]
    at: str = ""


class Apply(Struct, frozen=True):
    """An operator, in lower case, with its operands: ``and`` and ``or`` have two or more, ``not`` and ``neg`` one."""

    operator: str
    operands: tuple[Expression, ...]
    at: str = ""


class Is(Struct, frozen=True):
    """``IS`` with the name of a type in upper case."""

    operand: Expression
    type: str
    at: str = ""


Expression: TypeAlias = Constant | Missing | Parameter | Name | Sequence | Tuple | Call | Apply | Is


class Source(Struct, frozen=True):
    """What stands behind FROM, INTO or UPDATE: a table, perhaps with an index."""

    names: tuple[str, ...]

    @property
    def table(self) -> str:
        """The table's name."""
        return self.names[0]

    @property
    def index(self) -> str | None:
        """The index's name."""
        return self.names[1] if len(self.names) > 1 else None


class Order(Struct, frozen=True):
    """One element of ORDER BY."""

    key: Expression
    is_descending: bool


class Select(Struct, frozen=True):
    """SELECT; no projection is ``*``."""

    projection: tuple[Expression, ...]
    source: Source
    where: Expression | None = None
    order: tuple[Order, ...] = ()


class Exists(Struct, frozen=True):
    """EXISTS around a SELECT, a check in a transaction."""

    select: Select


class Insert(Struct, frozen=True):
    """INSERT INTO ... VALUE."""

    source: Source
    item: Expression


class Assignment(Struct, frozen=True):
    """SET of a path to a value; REMOVE where there is no value."""

    path: Name
    value: Expression | None = None


class Update(Struct, frozen=True):
    """UPDATE; what it returns is a mode of ReturnValues, or NONE."""

    source: Source
    assignments: tuple[Assignment, ...]
    where: Expression | None = None
    returning: str = "NONE"


class Delete(Struct, frozen=True):
    """DELETE FROM; what it returns is ALL_OLD or NONE."""

    source: Source
    where: Expression | None = None
    returning: str = "NONE"


Write: TypeAlias = Insert | Update | Delete
Statement: TypeAlias = Select | Exists | Write
