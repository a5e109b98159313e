"""Known differences that dynoxide has alone."""

from __future__ import annotations

from tests.conformance.differential.known_conditions import (
    NONE,
    is_alone,
    same_codes,
    sends_extreme_numbers,
    updates_keys,
)
from tests.conformance.differential.known_differences import (
    CAPTURED,
    DOCUMENTED,
    DYNOXIDE,
    SHARED_PARSER,
    KnownDifference,
)

OF_DYNOXIDE = (
    KnownDifference(
        name="dynoxide-keys-in-transactions",
        witnesses=(DYNOXIDE,),
        member="outcome|message|CancellationReasons",
        reason="dynoxide lets an update in a transaction change the key, or looks at its operands before.",
        source=DOCUMENTED,
        operations=("TransactWriteItems",),
        ours="Cannot update attribute|ValidationError",
        theirs="^success|ValidationError",
        when=updates_keys,
    ),
    KnownDifference(
        name="dynoxide-names-of-indexes",
        witnesses=(DYNOXIDE,),
        member="message",
        reason="dynoxide does not look at the length and the characters of the name of an index.",
        source=DOCUMENTED,
        ours="indexName: Member must",
        theirs="^The table does not have the specified index",
    ),
    KnownDifference(
        name="dynoxide-reserved-words",
        witnesses=(DYNOXIDE,),
        member="message",
        reason="The name size is reserved, also where no function can stand.",
        source=DOCUMENTED,
        ours="reserved keyword: size",
        theirs="Syntax error",
    ),
    KnownDifference(
        name="dynoxide-order-of-evaluation",
        witnesses=(DYNOXIDE,),
        member="CancellationReasons",
        reason="Of two faults that an update has with its item, dynoxide tells another.",
        source=SHARED_PARSER,
        operations=("TransactWriteItems",),
        ours="An operand in the update|refers to an attribute that does not exist|The document path|Number overflow",
        theirs="An operand in the update|refers to an attribute that does not exist|The document path|Number overflow",
        when=same_codes,
    ),
    KnownDifference(
        name="dynoxide-parentheses",
        witnesses=(DYNOXIDE,),
        member="outcome|message",
        reason="An operand may stand in parentheses.",
        source=SHARED_PARSER,
        ours="^success|^ConditionalCheckFailed|^TransactionCanceled|Syntax error; token",
        theirs='Invalid \\w+Expression: Syntax error; token: "[()]"',
    ),
    KnownDifference(
        name="dynoxide-underscores",
        witnesses=(DYNOXIDE,),
        member="outcome|message",
        reason="dynoxide takes names that begin with an underscore.",
        source=SHARED_PARSER,
        ours='token: "_"',
    ),
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
            "|Expression.* (can only be specified|contains invalid key|must not be empty)|Value provided in)"
        ),
        theirs="^(success|TransactionCanceledException|ConditionalCheckFailedException|ResourceNotFoundException)",
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
        name="dynoxide-order-of-actions",
        witnesses=(DYNOXIDE,),
        member="message",
        reason="Of two faults in the actions of a transaction the first is told, whatever expression it is in.",
        source=SHARED_PARSER,
        operations=("TransactWriteItems",),
        when=is_alone,
        ours=r"^Invalid \w+Expression|^Value provided in",
        theirs=r"^Invalid \w+Expression|^Supplied AttributeValue is empty|multiple operations on one item",
    ),
    KnownDifference(
        name="dynoxide-empty-keys",
        witnesses=(DYNOXIDE,),
        member="outcome",
        reason="That an update touches the table's key is told before what it makes of a key of an index.",
        source=CAPTURED,
        operations=("TransactWriteItems",),
        ours="^TransactionCanceledException.*ValidationError",
        theirs="attempted to update a secondary index key",
    ),
    KnownDifference(
        name="dynoxide-sets-of-numbers",
        witnesses=(DYNOXIDE,),
        member="outcome|contents.*|Attributes",
        reason="dynoxide takes numbers that differ much in size for equal in a set, and others for different.",
        source=DOCUMENTED,
        operations=("UpdateItem", "TransactWriteItems", "PutItem"),
        when=sends_extreme_numbers,
        theirs=r"duplicates|^TransactionCanceledException.*\[ValidationError\]$|^\[|^\{",
    ),
    KnownDifference(
        name="dynoxide-sums-of-sets",
        witnesses=(DYNOXIDE,),
        member="CancellationReasons",
        reason="dynoxide takes numbers that differ much in size for equal when it adds them to a set.",
        source=DOCUMENTED,
        operations=("TransactWriteItems",),
        theirs="ValidationError', 'Message': 'Input collection contains duplicates'",
    ),
    KnownDifference(
        name="dynoxide-empty-keys-of-reads",
        witnesses=(DYNOXIDE,),
        member="outcome",
        reason="An empty key refuses the whole transaction, of reads as of writes.",
        source=CAPTURED,
        operations=("TransactGetItems",),
        ours="for a key attribute cannot contain an empty",
    ),
    KnownDifference(
        name="dynoxide-brackets",
        witnesses=(DYNOXIDE,),
        member="outcome|message",
        reason="There may be blanks around the index of a list, and what else is there is a token like others.",
        source=SHARED_PARSER,
        theirs=r"Syntax error; token: \"\d+\"|Expected number in brackets",
    ),
    KnownDifference(
        name="dynoxide-order-of-values",
        witnesses=(DYNOXIDE,),
        member="message",
        reason="Of two faults in a value the first is told; dynoxide looks for numbers before sets.",
        source=CAPTURED,
        ours="set  may not be empty|Binary sets should not be empty",
        theirs="cannot be converted to a numeric value",
    ),
    KnownDifference(
        name="dynoxide-words",
        witnesses=(DYNOXIDE,),
        member="message",
        reason="dynoxide has words of its own, of its language, or of the newer releases, for some checks.",
        source=CAPTURED,
        theirs=(
            "^invalid base64|^missing field|^expected |^sequence$|Expected attribute name|typeSet: ALLOWED_FOR_ADD"
            "|Unexpected (token|operator)|^An error occurred|^invalid type|^TRUE_VALUE"
            '|Input collection \\["|Invalid function name|Expected value reference|^An expression attribute'
            "|^The provided starting key is invalid$|^tableName|UPDATE_NEW|^The requestItems|numeric value: $"
            "|^Invalid KeyConditionExpression: KeyConditionExpressions"
            "|invalid: Input collection contains duplicates\\.$|can only be specified when using expressions$"
            "|FilterExpression is null and|^Attribute name is a reserved keyword"
        ),
    ),
)
