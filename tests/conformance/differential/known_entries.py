"""Every difference between Tenet and the peers that is known, why Tenet answers as it does, and what decides that.

The compatibility page prints this list. A difference that is on it twice is explained by the first entry.
"""

from __future__ import annotations

import re
from typing import Any

from tests.conformance.differential.answers import by_value
from tests.conformance.differential.compare import Difference
from tests.conformance.differential.known_differences import (
    CAPTURED,
    DOCUMENTED,
    DYNALITE,
    DYNOXIDE,
    LOCAL,
    MOTO,
    SHARED_PARSER,
    KnownDifference,
)

_CONTENTS = "contents.*"
_CONSUMED = "ConsumedCapacity"
_ITEMS = "Items?|Attributes|Responses|CancellationReasons|LastEvaluatedKey"
_TRANSACTIONS = ("TransactWriteItems", "TransactGetItems")
_READS = ("Query", "Scan", "BatchGetItem", "GetItem")
#: The absent part of an answer, and a request that was carried out.
_NONE, _SUCCESS = "^None$", "^success"

_SETS_OR_ADDS = re.compile(r"\b(set|add)\b", re.IGNORECASE)
_ODD_NUMBERS = re.compile(r"'[+]\d|'\d+\.'|'\.\d")


def _only_takes(difference: Difference) -> bool:
    """Whether an update of the request does nothing but REMOVE and DELETE."""
    actions = difference.request.get("TransactItems", ())
    updates = [difference.request, *(part for action in actions for part in action.values())]
    texts = [update["UpdateExpression"] for update in updates if "UpdateExpression" in update]
    return any(isinstance(text, str) and not _SETS_OR_ADDS.search(text) for text in texts)


def _same_by_value(difference: Difference) -> bool:
    return bool(by_value(difference.ours) == by_value(difference.theirs))


def _same_reasons(difference: Difference) -> bool:
    """Whether reasons of a cancellation are the same but for full stops and the spelling of numbers."""

    def form(reasons: Any) -> Any:
        return by_value([reason | {"Message": reason.get("Message", "").rstrip(".")} for reason in reasons or ()])

    return bool(form(difference.ours) == form(difference.theirs))


def _index_arms(consumed: Any) -> set[str]:
    parts = consumed if isinstance(consumed, list) else [consumed or {}]
    kinds = ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
    return {name for part in parts for kind in kinds for name in part.get(kind, ())}


def _units(consumed: Any) -> float:
    parts = consumed if isinstance(consumed, list) else [consumed or {}]
    return sum(float(part.get("CapacityUnits", 0)) for part in parts)


def _charges_more_indexes(difference: Difference) -> bool:
    """Whether the witness charges indexes that Tenet does not; without the indexes' names, whether it charges more."""
    ours, theirs = _index_arms(difference.ours), _index_arms(difference.theirs)
    return ours < theirs if ours or theirs else _units(difference.ours) < _units(difference.theirs)


def _reads_nothing(difference: Difference) -> bool:
    """Whether Tenet charges the minimum for a read that the witness gives away."""
    return _units(difference.theirs) < _units(difference.ours) <= 16


def _in_local_index(difference: Difference) -> bool:
    return "local-" in str(difference.request.get("IndexName"))


_OF_SEVERAL = (
    KnownDifference(
        name="takes-make-no-item",
        witnesses=(LOCAL, DYNALITE, DYNOXIDE, MOTO),
        member=f"{_CONTENTS}|Attributes|{_CONSUMED}",
        reason="An update that only removes makes no item where there is none; the peers make one of its key.",
        source=CAPTURED,
        operations=("UpdateItem", "TransactWriteItems"),
        when=_only_takes,
    ),
    KnownDifference(
        name="filter-on-what-an-index-lacks",
        witnesses=(LOCAL, DYNALITE, DYNOXIDE, MOTO),
        member="outcome",
        reason="A filter or projection of what a global index does not carry is refused instead of finding nothing.",
        source=DOCUMENTED,
        operations=("Query", "Scan"),
        ours="does not project",
        theirs=_SUCCESS,
    ),
    KnownDifference(
        name="unprojected-attributes-of-local-indexes",
        witnesses=(DYNALITE, DYNOXIDE, MOTO),
        member=f"Items|Count|{_CONSUMED}",
        reason="What a local index does not carry is fetched from the table; the peers answer and charge the index.",
        source=DOCUMENTED,
        operations=("Query", "Scan"),
        when=_in_local_index,
    ),
    KnownDifference(
        name="sums-of-too-many-digits",
        witnesses=(LOCAL, DYNALITE, DYNOXIDE, MOTO),
        member="message|CancellationReasons",
        reason="A sum of more than 38 digits is refused in the words for a number that is too large.",
        source=CAPTURED,
        ours="Number overflow",
        theirs="38 digits|38 significant digits",
    ),
    KnownDifference(
        name="reads-of-nothing",
        witnesses=(LOCAL, DYNALITE),
        member=_CONSUMED,
        reason="A read that finds nothing is charged the minimum of its kind.",
        source=DOCUMENTED,
        operations=_READS,
        when=_reads_nothing,
    ),
    KnownDifference(
        name="operand-types",
        witnesses=(DYNALITE, DYNOXIDE, MOTO),
        member="outcome|message",
        reason="An operand that its operator does not take is refused before any item is looked at.",
        source=SHARED_PARSER,
        ours=r"operand type: |The first operand must be distinct",
    ),
    KnownDifference(
        name="paths-into-keys",
        witnesses=(DYNOXIDE, DYNALITE, MOTO),
        member="outcome|message|CancellationReasons",
        reason="A path into a key attribute is refused.",
        source=SHARED_PARSER,
        ours="Key attributes must be scalars",
    ),
    KnownDifference(
        name="enumerations",
        witnesses=(LOCAL, DYNALITE),
        member="outcome",
        reason="A value that is not one of an enumeration is refused; the peers check few of them.",
        source=DOCUMENTED,
        ours="Member must satisfy enum value set",
    ),
    KnownDifference(
        name="key-updates-before-conditions",
        witnesses=(LOCAL, DYNOXIDE, MOTO),
        member="outcome",
        reason="An update of a key attribute is refused before its condition is looked at.",
        source=CAPTURED,
        operations=("UpdateItem",),
        ours="Cannot update attribute .* This attribute is part of the key",
        theirs="^ConditionalCheckFailedException",
    ),
    KnownDifference(
        name="select-before-expressions",
        witnesses=(LOCAL, DYNOXIDE, DYNALITE),
        member="message|outcome",
        reason="Select is checked against the other parameters before expressions and values are.",
        source=CAPTURED,
        operations=("Query", "Scan"),
        ours="ALL_PROJECTED_ATTRIBUTES can be used|when choosing to get",
    ),
    KnownDifference(
        name="empty-tokens",
        witnesses=(LOCAL, DYNOXIDE, MOTO),
        member="outcome|message",
        reason="A ClientRequestToken has at least one character.",
        source=DOCUMENTED,
        operations=("TransactWriteItems",),
        ours="clientRequestToken",
    ),
    KnownDifference(
        name="metrics-of-item-collections",
        witnesses=(LOCAL, DYNALITE, MOTO),
        member="ItemCollectionMetrics",
        reason="ReturnItemCollectionMetrics is answered for tables with local indexes, and for those alone.",
        source=DOCUMENTED,
    ),
)

_OF_DYNAMODB_LOCAL = (
    KnownDifference(
        name="local-unasked-capacity",
        witnesses=(LOCAL,),
        member=_CONSUMED,
        reason="DynamoDB Local answers DeleteItem with its capacity where nobody asked for it.",
        source=DOCUMENTED,
        ours=_NONE,
    ),
    KnownDifference(
        name="local-capacity-of-absent-deletes",
        witnesses=(LOCAL,),
        member=_CONSUMED,
        reason="DynamoDB Local charges two units for deleting, in a batch, an item that is not there.",
        source=CAPTURED,
        operations=("BatchWriteItem",),
        when=lambda difference: "DeleteRequest" in str(difference.request),
    ),
    KnownDifference(
        name="local-capacity-of-foreign-indexes",
        witnesses=(LOCAL,),
        member=_CONSUMED,
        reason="DynamoDB Local charges an index with two key attributes for an item that never belonged to it.",
        source=CAPTURED,
        operations=("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"),
        when=_charges_more_indexes,
    ),
    KnownDifference(
        name="local-capacity-of-transactions",
        witnesses=(LOCAL,),
        member=_CONSUMED,
        reason="DynamoDB Local leaves out the read and write units of transactions and doubles the part of indexes.",
        source=CAPTURED,
        operations=_TRANSACTIONS,
    ),
    KnownDifference(
        name="local-spelling-of-numbers",
        witnesses=(LOCAL,),
        member=_ITEMS,
        reason="DynamoDB Local gives nested numbers back as they were sent; the service writes them in its own form.",
        source=CAPTURED,
        when=_same_by_value,
    ),
    KnownDifference(
        name="local-stop-after-reasons",
        witnesses=(LOCAL,),
        member="CancellationReasons",
        reason="DynamoDB Local ends the text of a failed condition in a transaction with a full stop.",
        source=CAPTURED,
        when=_same_reasons,
    ),
    KnownDifference(
        name="local-json-types",
        witnesses=(LOCAL,),
        member="outcome",
        reason="DynamoDB Local converts JSON of another type, or fails inside; the service says what it expected.",
        source=CAPTURED,
        ours="^SerializationException",
    ),
    KnownDifference(
        name="local-refused-transactions",
        witnesses=(LOCAL,),
        member="outcome|message|CancellationReasons",
        reason="DynamoDB Local refuses the whole transaction, or tells one reason, where each action has its reason.",
        source=CAPTURED,
        operations=_TRANSACTIONS,
        ours="ValidationError",
        theirs=(
            r"^None$|^ValidationException|^\[\{'Code': 'ValidationError'[^{]*\}\]$|reasons \[ValidationError\]$"
            "|Type mismatch for key|must be under 2048 bytes"
        ),
    ),
    KnownDifference(
        name="local-idle-maps",
        witnesses=(LOCAL,),
        member="outcome",
        reason="DynamoDB Local lets empty maps of names and values pass where there is no expression.",
        source=CAPTURED,
        ours="can only be specified when using expressions",
    ),
    KnownDifference(
        name="local-order-of-actions",
        witnesses=(LOCAL,),
        member="message",
        reason="Of two faults in an update DynamoDB Local tells the later one, and another path of two that overlap.",
        source=CAPTURED,
        ours="^Invalid UpdateExpression: (Incorrect operand type|Two document paths|An expression attribute)",
        theirs="^Invalid UpdateExpression: (Incorrect operand type|Two document paths|An expression attribute)",
    ),
    KnownDifference(
        name="local-order-of-checks",
        witnesses=(LOCAL,),
        member="message",
        reason="DynamoDB Local checks filters before key conditions, and keys and indexes before expressions.",
        source=CAPTURED,
        ours=r"^(Invalid \w+Expression|Expression|An expression|Invalid condition|Value provided|One or more)",
        theirs=(
            r"^(Invalid \w+Expression|Expression|An expression|Invalid condition|Value provided|Consistent reads)"
            "|for a key attribute cannot contain an empty|Secondary index .* filter attributes"
        ),
    ),
    KnownDifference(
        name="local-last-key-of-partitions",
        witnesses=(LOCAL,),
        member="LastEvaluatedKey",
        reason="A page that its Limit ends carries its last key, also where the partition can hold no other item.",
        source=CAPTURED,
        operations=("Query",),
        theirs=_NONE,
    ),
    KnownDifference(
        name="local-digits",
        witnesses=(LOCAL,),
        member="outcome",
        reason="DynamoDB Local takes the digits of any script in a number.",
        source=DOCUMENTED,
        ours="cannot be converted to a numeric value: ٣",
    ),
    KnownDifference(
        name="local-words",
        witnesses=(LOCAL,),
        member="message",
        reason="DynamoDB Local words the checks of tables, keys and numbers in its own way.",
        source=CAPTURED,
        theirs=(
            "A value provided cannot be converted into a number|One of the required keys was not given a value"
            "|Invalid attribute value type|Cannot do operations on a non-existent table|Invalid table/index name"
            "|Type mismatch for key$|The number of conditions on the keys is invalid|^Value null at"
            "|must be under 2048 bytes|DynamoDB only supports precision up to 38 digits|cannot have a null or no"
            "|Item to put in PutItem cannot be null|Input collection of type BS|^$"
        ),
    ),
)

_OF_DYNALITE = (
    KnownDifference(
        name="dynalite-transactions",
        witnesses=(DYNALITE,),
        member="outcome",
        reason="dynalite has no transactions.",
        source=DOCUMENTED,
        operations=_TRANSACTIONS,
    ),
    KnownDifference(
        name="dynalite-capacity",
        witnesses=(DYNALITE,),
        member=_CONSUMED,
        reason="dynalite charges no index, and rounds several consistent reads together.",
        source=CAPTURED,
    ),
    KnownDifference(
        name="dynalite-spelling-of-numbers",
        witnesses=(DYNALITE,),
        member="outcome|message",
        reason="dynalite refuses a number with a plus sign, or with nothing on one side of its point.",
        source=CAPTURED,
        when=lambda difference: _ODD_NUMBERS.search(str(difference.request)) is not None,
    ),
    KnownDifference(
        name="dynalite-exponents",
        witnesses=(DYNALITE,),
        member="message",
        reason="dynalite calls an exponent of many digits an overflow; the service cannot convert it.",
        source=CAPTURED,
        ours="cannot be converted to a numeric value: 1e9999",
    ),
    KnownDifference(
        name="dynalite-syntax-errors",
        witnesses=(DYNALITE,),
        member="message",
        reason="dynalite lists what its grammar expected; the service names the token and what is near it.",
        source=CAPTURED,
        theirs="Syntax error; Expected|typeSet|operand type: [A-Z]+$|attribute name: #$",
    ),
    KnownDifference(
        name="dynalite-item-of-failed-conditions",
        witnesses=(DYNALITE,),
        member="Item",
        reason="dynalite does not know ReturnValuesOnConditionCheckFailure.",
        source=DOCUMENTED,
        theirs=_NONE,
    ),
    KnownDifference(
        name="dynalite-select",
        witnesses=(DYNALITE,),
        member="outcome|message",
        reason="dynalite does not check Select beside other parameters, nor consistent scans of global indexes.",
        source=DOCUMENTED,
        operations=("Query", "Scan"),
        ours="when choosing to get|ALL_PROJECTED_ATTRIBUTES can be used|Consistent reads are not supported",
    ),
    KnownDifference(
        name="dynalite-segments",
        witnesses=(DYNALITE,),
        member="outcome",
        reason="dynalite takes the first segment for no segment.",
        source=DOCUMENTED,
        operations=("Scan",),
        ours="TotalSegments parameter is required",
    ),
    KnownDifference(
        name="dynalite-booleans",
        witnesses=(DYNALITE,),
        member="outcome",
        reason="dynalite takes anything for a Boolean where a parameter asks for one.",
        source=CAPTURED,
        ours="^SerializationException: (Unexpected token received|.* cannot be converted to Boolean)",
        theirs=_SUCCESS,
    ),
    KnownDifference(
        name="dynalite-equality",
        witnesses=(DYNALITE,),
        member="outcome|Count|Items",
        reason="dynalite takes two absent attributes for equal, and compares lists and maps by their spelling.",
        source=DOCUMENTED,
        when=lambda difference: re.search("Condition|Filter", str(difference.request)) is not None,
        ours=r"^\d|^\[|^success|^ConditionalCheckFailed",
        theirs=r"^\d|^\[|^success|^ConditionalCheckFailed",
    ),
    KnownDifference(
        name="dynalite-arithmetic",
        witnesses=(DYNALITE,),
        member="outcome",
        reason="dynalite adds without bounds.",
        source=CAPTURED,
        ours="Number overflow",
        theirs=_SUCCESS,
    ),
    KnownDifference(
        name="dynalite-grammar",
        witnesses=(DYNALITE,),
        member="outcome",
        reason="dynalite knows no NOT before NOT, and takes names that begin with an underscore and empty names.",
        source=SHARED_PARSER,
        ours='token: "_"|^success|^ConditionalCheckFailed|Empty attribute name',
        theirs=r'Syntax error; Expected "\(" but|^success|^ConditionalCheckFailed',
    ),
    KnownDifference(
        name="dynalite-order-of-checks",
        witnesses=(DYNALITE,),
        member="outcome|message",
        reason="dynalite checks keys of indexes before conditions, and JSON of values that no expression uses.",
        source=CAPTURED,
        ours="^ConditionalCheckFailed|can only be specified when using|Empty attribute name|Multiple attribute names",
        theirs="Type mismatch for (Index Key|key)|^SerializationException|unused in expressions",
    ),
    KnownDifference(
        name="dynalite-untouched-attributes",
        witnesses=(DYNALITE,),
        member="Attributes",
        reason="Where no updated attribute is left to return, the answer has no Attributes.",
        source=CAPTURED,
        operations=("UpdateItem",),
        ours=_NONE,
        theirs=r"^\{\}$",
    ),
)

_OF_DYNOXIDE = (
    KnownDifference(
        name="dynoxide-old-values-of-new-items",
        witnesses=(DYNOXIDE,),
        member="Attributes",
        reason="dynoxide answers ALL_OLD with the key where there was no item.",
        source=DOCUMENTED,
        operations=("UpdateItem",),
        ours=_NONE,
    ),
    KnownDifference(
        name="dynoxide-types-of-unknown-parameters",
        witnesses=(DYNOXIDE,),
        member="outcome",
        reason="dynoxide checks the JSON types of parameters that the operation does not have.",
        source=CAPTURED,
        theirs="^SerializationException",
    ),
    KnownDifference(
        name="dynoxide-json-types-of-values",
        witnesses=(DYNOXIDE,),
        member="outcome",
        reason="dynoxide takes an attribute value of another JSON type for one without a member.",
        source=CAPTURED,
        ours="^SerializationException",
        theirs="Supplied AttributeValue is empty",
    ),
    KnownDifference(
        name="dynoxide-late-checks",
        witnesses=(DYNOXIDE,),
        member="outcome",
        reason="dynoxide looks at parts of an expression when it evaluates them, and hardly at those of transactions.",
        source=CAPTURED,
        ours=(
            "^ValidationException: (Invalid (Filter|Condition|Update|Projection)Expression"
            "|Expression.* can only be specified|Value provided in)"
        ),
        theirs="^(success|TransactionCanceledException|ConditionalCheckFailedException)",
    ),
    KnownDifference(
        name="dynoxide-projections-of-transactions",
        witnesses=(DYNOXIDE,),
        member="Responses",
        reason="dynoxide puts keys into projections in transactions, and leaves out an item of which nothing is left.",
        source=DOCUMENTED,
        operations=("TransactGetItems",),
    ),
    KnownDifference(
        name="dynoxide-reasons",
        witnesses=(DYNOXIDE,),
        member="message|CancellationReasons",
        reason="Where a key of a transaction does not match its schema, no condition of it is looked at.",
        source=SHARED_PARSER,
        operations=("TransactWriteItems",),
        ours="ValidationError",
        theirs="ConditionalCheckFailed",
    ),
    KnownDifference(
        name="dynoxide-words",
        witnesses=(DYNOXIDE,),
        member="message",
        reason="dynoxide has words of its own, of its language, or of the newer releases, for some checks.",
        source=CAPTURED,
        theirs=(
            "^invalid base64|^missing field|^expected |typeSet: ALLOWED_FOR_ADD_OPERAND|Expected attribute name"
            "|Unexpected token|expression size: 5000$|^The parameter cannot be converted|^Number (under|over)flow"
            "|^Consistent reads|^Invalid (Filter|Projection)Expression|^An error occurred|^invalid type|^Attempting to"
            '|^TRUE_VALUE|Input collection \\["|Invalid function name'
        ),
    ),
)

_OF_MOTO = (
    KnownDifference(
        name="moto-refusals",
        witnesses=(MOTO,),
        member="outcome|message",
        reason="moto checks far less than the service and words what it refuses in its own way.",
        source=DOCUMENTED,
    ),
    KnownDifference(
        name="moto-spelling-of-numbers",
        witnesses=(MOTO,),
        member=_ITEMS,
        reason="moto gives numbers back as they were sent, those of keys too.",
        source=CAPTURED,
        when=_same_by_value,
    ),
    KnownDifference(
        name="moto-refused-updates",
        witnesses=(MOTO,),
        member=f"{_CONTENTS}|Attributes",
        reason="moto makes an item for an update that it then refuses, and computes with 28 digits.",
        source=DOCUMENTED,
        operations=("UpdateItem", "TransactWriteItems", "Scan"),
    ),
    KnownDifference(
        name="moto-answers-of-transactions",
        witnesses=(MOTO,),
        member="Responses|CancellationReasons",
        reason="moto does not project in transactions, and fails inside on conditions of absent attributes.",
        source=DOCUMENTED,
        operations=_TRANSACTIONS,
    ),
    KnownDifference(
        name="moto-capacity",
        witnesses=(MOTO,),
        member=f"{_CONSUMED}|LastEvaluatedKey",
        reason="moto answers capacity and metrics that are not those of the service.",
        source=DOCUMENTED,
    ),
)

KNOWN_DIFFERENCES: tuple[KnownDifference, ...] = (
    *_OF_SEVERAL,
    *_OF_DYNAMODB_LOCAL,
    *_OF_DYNALITE,
    *_OF_DYNOXIDE,
    *_OF_MOTO,
)


def explain(difference: Difference) -> KnownDifference | None:
    """Returns the entry that explains a difference, or None."""
    return next((known for known in KNOWN_DIFFERENCES if known.explains(difference)), None)
