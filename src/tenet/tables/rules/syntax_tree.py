"""What an expression says, apart from how it was written.

The trees are immutable and know neither names nor values: ``#name`` and ``:value`` stand in them as they were written.
Other front ends (the legacy parameters, PartiQL) can build the same trees and hand them to the same evaluators.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

#: ``=``, ``<>``, ``<``, ``<=``, ``>`` or ``>=``.
Comparator: TypeAlias = Literal["=", "<>", "<", "<=", ">", ">="]
#: The expressions of the API.
Kind: TypeAlias = Literal[
    "UpdateExpression",
    "ConditionExpression",
    "KeyConditionExpression",
    "FilterExpression",
    "ProjectionExpression",
]


class Path(Struct, frozen=True, gc=False):
    """A document path.

    Args:
        elements: attribute names as written (``#name`` for a placeholder) and list indexes; a name first.
    """

    elements: tuple[str | int, ...]


class ValueName(Struct, frozen=True, gc=False):
    """A value's placeholder, with its colon."""

    name: str


class Call(Struct, frozen=True):
    """A function with its operands, as an operand or a condition."""

    function: str
    operands: tuple[Operand, ...]


class Arithmetic(Struct, frozen=True):
    """A sum (``+``) or difference (``-``) in an update."""

    operator: Literal["+", "-"]
    left: Operand
    right: Operand


class Truth(Struct, frozen=True):
    """Whether a condition holds, as an operand of another one: a value of type BOOL. PartiQL alone has it."""

    condition: ConditionTree


Operand: TypeAlias = Path | ValueName | Call | Arithmetic | Truth


class Comparison(Struct, frozen=True):
    """Two operands and how they must compare."""

    operator: Comparator
    left: Operand
    right: Operand


class Between(Struct, frozen=True):
    """An operand that must lie between two others, ends included."""

    operand: Operand
    lower: Operand
    upper: Operand


class In(Struct, frozen=True):
    """An operand that must equal one of others."""

    operand: Operand
    options: tuple[Operand, ...]


class Not(Struct, frozen=True):
    """The opposite of a condition."""

    condition: ConditionTree


class And(Struct, frozen=True):
    """Two or more conditions that must all hold."""

    conditions: tuple[ConditionTree, ...]


class Or(Struct, frozen=True):
    """Two or more conditions of which one must hold."""

    conditions: tuple[ConditionTree, ...]


ConditionTree: TypeAlias = Call | Comparison | Between | In | Not | And | Or


class SetAction(Struct, frozen=True):
    """Gives the attribute at a path a value."""

    path: Path
    value: Operand


class RemoveAction(Struct, frozen=True):
    """Removes the attribute at a path."""

    path: Path


class AddAction(Struct, frozen=True):
    """Adds to the number or the set at a path."""

    path: Path
    value: ValueName


class DeleteAction(Struct, frozen=True):
    """Takes elements out of the set at a path."""

    path: Path
    value: ValueName


UpdateAction: TypeAlias = SetAction | RemoveAction | AddAction | DeleteAction

Tree: TypeAlias = Operand | ConditionTree | UpdateAction


def children(tree: Tree) -> tuple[Tree, ...]:
    """Returns the parts of a tree in the order in which they were written."""
    match tree:
        case Call():
            return tree.operands
        case Comparison() | Arithmetic():
            return (tree.left, tree.right)
        case And() | Or():
            return tree.conditions
        case Not() | Truth():
            return (tree.condition,)
        case Between():
            return (tree.operand, tree.lower, tree.upper)
        case In():
            return (tree.operand, *tree.options)
        case SetAction() | AddAction() | DeleteAction():
            return (tree.path, tree.value)
        case RemoveAction():
            return (tree.path,)
        case _:
            return ()


def in_order(tree: Tree) -> list[Tree]:
    """Returns a tree and all its parts, each before its own parts. Trees of any depth."""
    found: list[Tree] = []
    pending: list[Tree] = [tree]
    while pending:
        node = pending.pop()
        found.append(node)
        pending.extend(reversed(children(node)))
    return found


def parts_first(tree: Tree) -> list[Tree]:
    """Returns all parts of a tree and the tree, each behind its own parts. Trees of any depth."""
    found: list[Tree] = []
    pending: list[Tree] = [tree]
    while pending:
        node = pending.pop()
        found.append(node)
        pending.extend(children(node))
    found.reverse()
    return found
