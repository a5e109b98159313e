"""Known differences that moto has alone in the answers to PartiQL statements."""

from __future__ import annotations

import re
from typing import Any

from tests.conformance.differential.answers import by_value
from tests.conformance.differential.compare import OUTCOME, Difference
from tests.conformance.differential.known_conditions import CONTENTS, STATEMENTS, SUCCESS
from tests.conformance.differential.known_differences import DOCUMENTED, MOTO, KnownDifference
from tests.conformance.differential.schemas import Json

_EQUALS = r"\"?[A-Za-z]+\"? = (?:'[^']*'|\?)"
_EQUALS_LITERAL = r"\"?[A-Za-z]+\"? = '[^']*'"
_MEMBER = r"'[A-Za-z]+': (?:'[^']*'|\d+)"
#: What moto reads as it is meant; there are no other forms of which its answers say anything.
_PLAIN = re.compile(
    rf"SELECT (?:\*|\w+(?:, \w+)*) FROM \"[\w-]+\" WHERE {_EQUALS}(?: AND {_EQUALS})*"
    rf"|INSERT INTO \"[\w-]+\" VALUE \{{{_MEMBER}(?:, {_MEMBER})*\}}"
    rf"|UPDATE \"[\w-]+\" (?:REMOVE \w+|SET {_EQUALS}) WHERE {_EQUALS}(?: AND {_EQUALS})*"
    rf"|DELETE FROM \"[\w-]+\" WHERE {_EQUALS_LITERAL}(?: AND {_EQUALS_LITERAL})*"
)

_NOT_DONE = ("ConditionalCheckFailed", "DuplicateItem")


def has_other_forms(difference: Difference) -> bool:
    """Whether a statement of the request is of a form that moto does not read."""
    return not all(map(_is_plain, _parts(difference.request)))


def _parts(request: Json) -> list[Json]:
    """The statements of a request."""
    return request.get("Statements") or request.get("TransactStatements") or [request]


def _is_plain(part: Json) -> bool:
    """Whether moto reads a statement: its form, and that it looks for nothing but strings, which it compares as they
    are spelled."""
    statement, wanted = part["Statement"], part.get("Parameters", [])
    if statement.startswith("UPDATE") and statement.partition(" WHERE ")[0].endswith("?"):
        wanted = wanted[1:]
    return _PLAIN.fullmatch(statement) is not None and all("S" in parameter for parameter in wanted)


def _leaves_out(difference: Difference) -> bool:
    """Whether moto answers the same, but nothing for statements that found nothing."""
    return _found(difference.ours) == _found(difference.theirs)


def _finds_less(difference: Difference) -> bool:
    """Whether what moto finds is a part of what Tenet does."""
    return all(part in _found(difference.ours) for part in _found(difference.theirs))


def _found(answered: Any) -> list[Any]:
    return [by_value(part) for part in answered or () if part]


def _tells_no_failures(difference: Difference) -> bool:
    """Whether moto answers the same, but for statements of a batch that Tenet did not carry out."""
    pairs = zip(difference.ours, difference.theirs, strict=True)
    return all(ours == theirs or ours.get("Error", {}).get("Code") in _NOT_DONE for ours, theirs in pairs)


OF_MOTO_STATEMENTS = (
    KnownDifference(
        name="moto-forms-of-statements",
        witnesses=(MOTO,),
        member="(?s).*",
        reason="Of PartiQL moto reads SELECT, UPDATE and DELETE of items whose attributes equal strings, SET and "
        "REMOVE of one attribute, and INSERT of strings and numbers. In any other statement it fails inside or passes "
        "parts by.",
        source=DOCUMENTED,
        operations=STATEMENTS,
        when=has_other_forms,
    ),
    KnownDifference(
        name="moto-unconditional-statements",
        witnesses=(MOTO,),
        member=OUTCOME,
        reason="An UPDATE of no item, and an UPDATE or DELETE whose condition does not hold, are refused, and cancel "
        "their transaction; moto does nothing and says that it was done.",
        source=DOCUMENTED,
        operations=("ExecuteStatement", "ExecuteTransaction"),
        ours="^(ConditionalCheckFailedException|TransactionCanceledException)",
        theirs=SUCCESS,
    ),
    KnownDifference(
        name="moto-inserts-over-items",
        witnesses=(MOTO,),
        member=OUTCOME,
        reason="An INSERT of an item that is there is refused; moto replaces the item.",
        source=DOCUMENTED,
        operations=("ExecuteStatement",),
        ours="^DuplicateItemException",
        theirs=SUCCESS,
    ),
    KnownDifference(
        name="moto-statements-together",
        witnesses=(MOTO,),
        member=OUTCOME,
        reason="Statements of a batch or a transaction are about different items, and its reads name a key and nothing "
        "else; moto does not look.",
        source=DOCUMENTED,
        operations=("BatchExecuteStatement", "ExecuteTransaction"),
        ours="multiple operations on one item|contains duplicates|must specify the primary key",
        theirs=SUCCESS,
    ),
    KnownDifference(
        name="moto-reads-of-batches",
        witnesses=(MOTO,),
        member="Responses",
        reason="moto finds no table whose name is in quotes for reads of a batch.",
        source=DOCUMENTED,
        operations=("BatchExecuteStatement",),
        theirs="ResourceNotFound",
    ),
    KnownDifference(
        name="moto-unconditional-batches",
        witnesses=(MOTO,),
        member="Responses",
        reason="What a batch could not write is told in its place; moto does not look at conditions, nor at what is "
        "there.",
        source=DOCUMENTED,
        operations=("BatchExecuteStatement",),
        when=_tells_no_failures,
    ),
    KnownDifference(
        name="moto-inserts-over-items-in-batches",
        witnesses=(MOTO,),
        member=CONTENTS,
        reason="An INSERT of an item that is there changes nothing; moto replaces the item.",
        source=DOCUMENTED,
        operations=("BatchExecuteStatement",),
        when=lambda difference: "INSERT" in str(difference.request),
    ),
    KnownDifference(
        name="moto-answers-of-statements",
        witnesses=(MOTO,),
        member="Responses",
        reason="A transaction answers each of its statements; moto leaves those out that found nothing.",
        source=DOCUMENTED,
        operations=("ExecuteTransaction",),
        when=_leaves_out,
    ),
    KnownDifference(
        name="moto-attributes-named-m",
        witnesses=(MOTO,),
        member="Items|Responses",
        reason="moto takes an item that has an attribute m or M for a map, and looks for the others inside of it.",
        source=DOCUMENTED,
        operations=("ExecuteStatement", "ExecuteTransaction"),
        when=_finds_less,
    ),
)
