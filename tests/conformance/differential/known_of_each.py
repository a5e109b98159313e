"""Known differences that one peer has alone."""

from __future__ import annotations

import re

from tests.conformance.differential.known_conditions import (
    CONSUMED,
    CONTENTS,
    ITEMS,
    NONE,
    SUCCESS,
    TRANSACTIONS,
    charges_more_indexes,
    same_by_value,
    same_reasons,
    sends_odd_numbers,
)
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

OF_DYNAMODB_LOCAL = (
    KnownDifference(
        name="local-unasked-capacity",
        witnesses=(LOCAL,),
        member=CONSUMED,
        reason="DynamoDB Local answers DeleteItem with its capacity where nobody asked for it.",
        source=DOCUMENTED,
        ours=NONE,
    ),
    KnownDifference(
        name="local-capacity-of-absent-deletes",
        witnesses=(LOCAL,),
        member=CONSUMED,
        reason="DynamoDB Local charges two units for deleting, in a batch, an item that is not there.",
        source=CAPTURED,
        operations=("BatchWriteItem",),
        when=lambda difference: "DeleteRequest" in str(difference.request),
    ),
    KnownDifference(
        name="local-capacity-of-foreign-indexes",
        witnesses=(LOCAL,),
        member=CONSUMED,
        reason="DynamoDB Local charges an index with two key attributes for an item that never belonged to it.",
        source=CAPTURED,
        operations=("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"),
        when=charges_more_indexes,
    ),
    KnownDifference(
        name="local-capacity-of-transactions",
        witnesses=(LOCAL,),
        member=CONSUMED,
        reason="DynamoDB Local leaves out the read and write units of transactions and doubles the part of indexes.",
        source=CAPTURED,
        operations=TRANSACTIONS,
    ),
    KnownDifference(
        name="local-spelling-of-numbers",
        witnesses=(LOCAL,),
        member=ITEMS,
        reason="DynamoDB Local gives nested numbers back as they were sent; the service writes them in its own form.",
        source=CAPTURED,
        when=same_by_value,
    ),
    KnownDifference(
        name="local-stop-after-reasons",
        witnesses=(LOCAL,),
        member="CancellationReasons",
        reason="DynamoDB Local ends the text of a failed condition in a transaction with a full stop.",
        source=CAPTURED,
        when=same_reasons,
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
        operations=TRANSACTIONS,
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
        theirs=NONE,
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

OF_DYNALITE = (
    KnownDifference(
        name="dynalite-transactions",
        witnesses=(DYNALITE,),
        member="outcome",
        reason="dynalite has no transactions.",
        source=DOCUMENTED,
        operations=TRANSACTIONS,
    ),
    KnownDifference(
        name="dynalite-capacity",
        witnesses=(DYNALITE,),
        member=CONSUMED,
        reason="dynalite charges no index, and rounds several consistent reads together.",
        source=CAPTURED,
    ),
    KnownDifference(
        name="dynalite-spelling-of-numbers",
        witnesses=(DYNALITE,),
        member="outcome|message",
        reason="dynalite refuses a number with a plus sign, or with nothing on one side of its point.",
        source=CAPTURED,
        when=sends_odd_numbers,
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
        theirs=NONE,
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
        theirs=SUCCESS,
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
        theirs=SUCCESS,
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
        ours=NONE,
        theirs=r"^\{\}$",
    ),
)

OF_DYNOXIDE = (
    KnownDifference(
        name="dynoxide-old-values-of-new-items",
        witnesses=(DYNOXIDE,),
        member="Attributes",
        reason="dynoxide answers ALL_OLD with the key where there was no item.",
        source=DOCUMENTED,
        operations=("UpdateItem",),
        ours=NONE,
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

OF_MOTO = (
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
        member=ITEMS,
        reason="moto gives numbers back as they were sent, those of keys too.",
        source=CAPTURED,
        when=same_by_value,
    ),
    KnownDifference(
        name="moto-refused-updates",
        witnesses=(MOTO,),
        member=f"{CONTENTS}|Attributes",
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
        operations=TRANSACTIONS,
    ),
    KnownDifference(
        name="moto-capacity",
        witnesses=(MOTO,),
        member=f"{CONSUMED}|LastEvaluatedKey",
        reason="moto answers capacity and metrics that are not those of the service.",
        source=DOCUMENTED,
    ),
)
