"""Known differences in the answers to PartiQL statements."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.conformance.differential.answers import by_value
from tests.conformance.differential.compare import CONTENTS_AFTER_REFUSAL, OUTCOME, Difference
from tests.conformance.differential.known_conditions import CONSUMED, ITEMS, NONE, STATEMENTS, SUCCESS
from tests.conformance.differential.known_differences import (
    CAPTURED,
    DOCUMENTED,
    DYNALITE,
    DYNOXIDE,
    LOCAL,
    SHARED_PARSER,
    KnownDifference,
)

_ANY = "(?s).*"
_KEY = "provided key element|Missing the key|Type mismatch for (key|Index Key)"
_NO_KEY = "mandatory equality on all key attributes"


def _same_but_for_words(difference: Difference) -> bool:
    """Whether the parts of a batch end alike, errors by their codes."""
    return _ends(difference.ours) == _ends(difference.theirs)


def _ends(parts: Any) -> list[Any]:
    return [part["Error"].get("Code") if "Error" in part else by_value(part.get("Item")) for part in parts or ()]


def _of_keys(difference: Difference) -> bool:
    """Whether the answers differ by how a key is told that does not fit."""
    reasons = difference.member == "CancellationReasons"
    return re.search(_KEY if reasons else _NO_KEY, str(difference.ours if reasons else difference.theirs)) is not None


def _of_duplicates(difference: Difference) -> bool:
    """Whether the answers differ by how an item is told that exists already."""
    ours, theirs = (json.dumps(part, sort_keys=True) for part in (difference.ours, difference.theirs))
    return ours.replace("DuplicateItem", "ValidationError") == theirs.replace("DuplicateItem", "ValidationError")


def _are_pages_backwards(difference: Difference) -> bool:
    """Whether the same items come in another order from a statement that asks for theirs, a page at a time."""
    ours, theirs = (sorted(json.dumps(item, sort_keys=True) for item in part) for part in _items_of(difference))
    return ours == theirs and "ORDER BY" in difference.request["Statement"] and "Limit" in difference.request


def _is_page_of_all(difference: Difference) -> bool:
    """Whether a page of a whole table holds other items, but as many."""
    ours, theirs = _items_of(difference)
    request = difference.request
    return "Limit" in request and "WHERE" not in request["Statement"].upper() and len(ours) == len(theirs)


def _items_of(difference: Difference) -> tuple[list[Any], list[Any]]:
    return difference.ours or [], difference.theirs or []


OF_STATEMENTS = (
    KnownDifference(
        name="local-lengths-of-tokens",
        witnesses=(LOCAL,),
        member="message",
        reason="DynamoDB Local does not say that it is the NextToken that is too long.",
        source=DOCUMENTED,
        operations=("ExecuteStatement",),
        ours="^nextToken: Member must have length",
        theirs="^Member must have length",
    ),
    KnownDifference(
        name="local-internal-failures",
        witnesses=(LOCAL,),
        member=OUTCOME,
        reason="DynamoDB Local fails internally.",
        source=DOCUMENTED,
        operations=STATEMENTS,
        theirs="^(InternalFailure|HTTP 500|no answer)",
    ),
    KnownDifference(
        name="local-doubles-by-spelling",
        witnesses=(LOCAL,),
        member=OUTCOME,
        reason="An item stands twice in a batch or a transaction however the number in its key is written.",
        source=DOCUMENTED,
        operations=("BatchExecuteStatement", "ExecuteTransaction"),
        ours="multiple operations on one item|contains duplicates",
        theirs=f"{SUCCESS}|^TransactionCanceledException",
    ),
    KnownDifference(
        name="local-keys-within-operands",
        witnesses=(LOCAL,),
        member=OUTCOME,
        reason="A write names its item by equalities that AND joins; DynamoDB Local also finds them in conditions that "
        "are operands of others.",
        source=DOCUMENTED,
        operations=("ExecuteStatement", "ExecuteTransaction"),
        ours="does not contain a mandatory equality",
        theirs="^(success|ConditionalCheckFailed)",
    ),
    KnownDifference(
        name="local-batches-half-done",
        witnesses=(LOCAL,),
        member=CONTENTS_AFTER_REFUSAL,
        reason="A batch that is refused as a whole leaves nothing behind.",
        source=DOCUMENTED,
        operations=("BatchExecuteStatement",),
    ),
    KnownDifference(
        name="dynalite-without-partiql",
        witnesses=(DYNALITE,),
        member=_ANY,
        reason="dynalite has no PartiQL.",
        source=DOCUMENTED,
        operations=STATEMENTS,
    ),
    KnownDifference(
        name="local-repeats-the-statement",
        witnesses=(LOCAL,),
        member="message",
        reason="DynamoDB Local repeats a statement that is not well formed; the service says what it expected. The "
        "place behind it is Tenet's.",
        source=CAPTURED,
        operations=STATEMENTS,
        theirs="Statement wasn't well formed|Unsupported operation:|EXISTS can only be used",
    ),
    KnownDifference(
        name="local-paths-of-lists",
        witnesses=(LOCAL,),
        member="message",
        reason="The service writes the place of an element of a list in brackets, DynamoDB Local behind a dot.",
        source=CAPTURED,
        operations=STATEMENTS,
        ours=r"Unsupported data type: \w+ under key root.*\[\d+\]",
        theirs=r"Unsupported data type: \w+ under key root.*\.\d+",
    ),
    KnownDifference(
        name="local-words-of-literals",
        witnesses=(LOCAL,),
        member="message",
        reason="The service says which number a set has twice, and where a literal is nested too deep.",
        source=CAPTURED,
        operations=STATEMENTS,
        ours="contains duplicates! under root|Nesting Levels have exceeded supported limits under root",
        theirs="Input collection contains duplicates|Nesting Levels have exceeded supported limits",
    ),
    KnownDifference(
        name="local-other-fault-first",
        witnesses=(LOCAL,),
        member="message",
        reason="Of several faults of a statement, DynamoDB Local names another one.",
        source=DOCUMENTED,
        operations=STATEMENTS,
        ours="mandatory equality|Expected|Unsupported operator|Aliasing|Key attribute|Number of parameters|Incorrect"
        "|well formed|overlap|Duplicate|provided key element|Type mismatch",
    ),
    KnownDifference(
        name="local-reads-overlapping-keys",
        witnesses=(LOCAL,),
        member=OUTCOME,
        reason="The service refuses a WHERE clause whose parts name a key twice; DynamoDB Local reads it once.",
        source=CAPTURED,
        operations=("ExecuteStatement",),
        ours="Overlapping conditions with range keys",
        theirs=SUCCESS,
    ),
    KnownDifference(
        name="local-statement-capacity",
        witnesses=(LOCAL,),
        member=CONSUMED,
        reason="DynamoDB Local does not tell the capacity of statements.",
        source=DOCUMENTED,
        operations=STATEMENTS,
        theirs=NONE,
    ),
    KnownDifference(
        name="local-without-last-key",
        witnesses=(LOCAL,),
        member="LastEvaluatedKey",
        reason="The service answers a SELECT that goes on with the last key beside the token.",
        source=CAPTURED,
        operations=("ExecuteStatement",),
        theirs=NONE,
    ),
    KnownDifference(
        name="local-duplicate-item",
        witnesses=(LOCAL,),
        member=OUTCOME,
        reason="The error of an INSERT of what is there is called DuplicateItemException.",
        source=DOCUMENTED,
        operations=("ExecuteStatement",),
        ours="DuplicateItemException",
        theirs="^DuplicateItem:",
    ),
    KnownDifference(
        name="local-duplicate-item-in-transactions",
        witnesses=(LOCAL,),
        member="message|CancellationReasons",
        reason="The reason of an INSERT of what is there is DuplicateItem, as in batches.",
        source=DOCUMENTED,
        operations=("ExecuteTransaction",),
        when=_of_duplicates,
    ),
    KnownDifference(
        name="local-reasons-of-checks",
        witnesses=(LOCAL,),
        member="CancellationReasons",
        reason="DynamoDB Local ends the text of an EXISTS that does not hold with a full stop, and never has its item.",
        source=DOCUMENTED,
        operations=("ExecuteTransaction",),
        theirs="The conditional request failed\\.",
    ),
    KnownDifference(
        name="local-transactions-refused-otherwise",
        witnesses=(LOCAL,),
        member=OUTCOME,
        reason="What is wrong with a statement of a transaction and depends on its item is told as the reason of its "
        "cancellation.",
        source=DOCUMENTED,
        operations=("ExecuteTransaction",),
        ours="^TransactionCanceledException",
        theirs="^ValidationException: (?!Validation failed)",
    ),
    KnownDifference(
        name="local-keys-before-checks",
        witnesses=(LOCAL,),
        member=OUTCOME,
        reason="All statements of a transaction are checked before it is looked whether each names its item.",
        source=CAPTURED,
        operations=("ExecuteTransaction",),
        ours="^ValidationException: Validation failed",
        theirs=f"^TransactionCanceledException: .*{_NO_KEY}",
    ),
    KnownDifference(
        name="local-first-of-all",
        witnesses=(LOCAL,),
        member=ITEMS,
        reason="Which items of a whole table come first is not said; a page that has a Limit may hold others.",
        source=DOCUMENTED,
        operations=("ExecuteStatement",),
        when=_is_page_of_all,
    ),
    KnownDifference(
        name="local-words-of-orders",
        witnesses=(LOCAL,),
        member="message",
        reason="DynamoDB Local writes what stands behind ORDER BY in capitals.",
        source=CAPTURED,
        operations=STATEMENTS,
        ours="^Argument to ORDER BY must be of type VariableReference",
        theirs="^Argument to ORDER BY must be of type VariableReference",
    ),
    KnownDifference(
        name="local-pages-backwards",
        witnesses=(LOCAL,),
        member=ITEMS,
        reason="ORDER BY orders all items, whatever a page holds; DynamoDB Local begins at the other end where there "
        "is a Limit.",
        source=DOCUMENTED,
        operations=("ExecuteStatement",),
        when=_are_pages_backwards,
    ),
    KnownDifference(
        name="local-keys-in-transactions",
        witnesses=(LOCAL,),
        member="message|CancellationReasons",
        reason="A key that does not fit is told as a reason of the cancellation, in the words of TransactWriteItems.",
        source=CAPTURED,
        operations=("ExecuteTransaction",),
        when=_of_keys,
    ),
    KnownDifference(
        name="local-lost-tokens",
        witnesses=(LOCAL,),
        member=OUTCOME,
        reason="DynamoDB Local takes a token that was used for other statements.",
        source=DOCUMENTED,
        operations=("ExecuteTransaction",),
        ours="IdempotentParameterMismatchException",
    ),
    KnownDifference(
        name="local-words-of-tokens",
        witnesses=(LOCAL,),
        member="message",
        reason="The words of TransactWriteItems.",
        source=DOCUMENTED,
        operations=("ExecuteTransaction",),
        theirs="Specified idempotent token",
    ),
    KnownDifference(
        name="local-words-of-batches",
        witnesses=(LOCAL,),
        member="Responses",
        reason="DynamoDB Local has words of its own for statements of a batch that cannot be carried out, and repeats "
        "those that are not well formed.",
        source=DOCUMENTED,
        operations=("BatchExecuteStatement",),
        ours="Error",
        theirs="Error",
        when=_same_but_for_words,
    ),
    KnownDifference(
        name="local-comparisons-in-set",
        witnesses=(LOCAL,),
        member=OUTCOME,
        reason="SET computes with + and - alone, as an update expression does; DynamoDB Local stores whether a "
        "comparison holds.",
        source=DOCUMENTED,
        operations=STATEMENTS,
        ours="Unsupported operator in Update Expression",
    ),
    KnownDifference(
        name="dynoxide-words-of-statements",
        witnesses=(DYNOXIDE,),
        member="message",
        reason="Of a statement that is wrong, dynoxide says something else that it expected, or another of its faults.",
        source=SHARED_PARSER,
        operations=STATEMENTS,
    ),
    KnownDifference(
        name="dynoxide-reads-less",
        witnesses=(DYNOXIDE,),
        member=OUTCOME,
        reason="dynoxide does not know arithmetic with names in quotes, checks in transactions, several "
        "conditions of IN on a key, and some conditions.",
        source=SHARED_PARSER,
        operations=STATEMENTS,
        theirs="well formed|EXISTS|Overlapping|Unrecognized|ResourceNotFound|ValidationException|ValidationError",
    ),
    KnownDifference(
        name="dynoxide-reads-more",
        witnesses=(DYNOXIDE,),
        member=OUTCOME,
        reason="dynoxide carries out statements of which a part is wrong, and looks at conditions otherwise.",
        source=SHARED_PARSER,
        operations=STATEMENTS,
        ours="ValidationException|ConditionalCheckFailed|TransactionCanceled|Duplicate|Idempotent",
    ),
    KnownDifference(
        name="dynoxide-parts-of-statements",
        witnesses=(DYNOXIDE,),
        member="Responses|Items|CancellationReasons|NextToken|LastEvaluatedKey|ConsumedCapacity|contents.*|Item|TableName",
        reason="dynoxide answers parts of statements otherwise: numbers as they were sent, empty items, capacity.",
        source=SHARED_PARSER,
        operations=STATEMENTS,
    ),
)
