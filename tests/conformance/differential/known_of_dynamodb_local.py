"""Known differences that DynamoDB Local has alone."""

from __future__ import annotations

from tests.conformance.differential.known_conditions import (
    CONSUMED,
    ITEMS,
    NONE,
    TRANSACTIONS,
    charges_more_indexes,
    is_alone,
    same_by_value,
    same_reasons,
)
from tests.conformance.differential.known_differences import (
    CAPTURED,
    DOCUMENTED,
    LOCAL,
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
        member="outcome|message",
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
        when=is_alone,
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
        name="local-conditions-before-paths",
        witnesses=(LOCAL,),
        member="outcome",
        reason="A path into a key of an index is refused, as an update of the table's key is, before the condition.",
        source=CAPTURED,
        operations=("UpdateItem",),
        ours="Key attributes must be scalars.*IndexKey",
        theirs="^ConditionalCheckFailedException",
    ),
    KnownDifference(
        name="local-tables-before-operands",
        witnesses=(LOCAL,),
        member="outcome",
        reason="Expressions are checked before the table is looked up; DynamoDB Local checks some operands after it.",
        source=CAPTURED,
        ours=r"^ValidationException: Invalid \w+Expression: (Incorrect operand type|The first operand|The BETWEEN)",
        theirs="^ResourceNotFoundException",
    ),
    KnownDifference(
        name="local-starting-keys",
        witnesses=(LOCAL,),
        member="message",
        reason="Of a Scan's starting key the service says what is wrong with it.",
        source=CAPTURED,
        operations=("Scan",),
        ours="^The provided starting key is invalid: ",
        theirs="^The provided starting key is invalid$|^Exclusive Start Key must have same size",
    ),
    KnownDifference(
        name="local-missing-names",
        witnesses=(LOCAL,),
        member="message",
        reason="DynamoDB Local looks for a table without a name.",
        source=DOCUMENTED,
        operations=TRANSACTIONS,
        ours="tableName: Member must not be null",
        theirs="^Requested resource not found$",
    ),
    KnownDifference(
        name="local-keys-of-reads",
        witnesses=(LOCAL,),
        member="outcome",
        reason="DynamoDB Local cancels a transaction for a key that is not whole before it looks at projections.",
        source=CAPTURED,
        operations=("TransactGetItems",),
        ours="^ValidationException: Invalid ProjectionExpression",
        theirs="^TransactionCanceledException: The number of conditions on the keys is invalid",
    ),
    KnownDifference(
        name="local-order-of-evaluation",
        witnesses=(LOCAL,),
        member="message",
        reason="DynamoDB Local looks where an update leads before it looks for what the update reads.",
        source=CAPTURED,
        operations=("UpdateItem",),
        ours="^The provided expression refers to an attribute that does not exist",
        theirs="^The document path provided in the update expression is invalid",
    ),
    KnownDifference(
        name="local-empty-transactions",
        witnesses=(LOCAL,),
        member="message",
        reason="DynamoDB Local takes a list without actions for no list.",
        source=DOCUMENTED,
        operations=TRANSACTIONS,
        ours="transactItems: Member must have length greater than or equal to 1",
        theirs="transactItems: Member must not be null",
    ),
    KnownDifference(
        name="local-inside",
        witnesses=(LOCAL,),
        member="outcome",
        reason="DynamoDB Local fails inside where a request is refused.",
        source=DOCUMENTED,
        ours="^(Validation|TransactionCanceled)Exception",
        theirs="^InternalFailure",
    ),
    KnownDifference(
        name="local-reserved-words",
        witnesses=(LOCAL,),
        member="outcome|message",
        reason="The name size is reserved.",
        source=DOCUMENTED,
        ours="reserved keyword: size",
    ),
    KnownDifference(
        name="local-digits",
        witnesses=(LOCAL,),
        member="outcome|message",
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
            "|Item to put in PutItem cannot be null|Input collection of type BS|not in key list"
            "|Type mismatch for attribute to update|If (total )?segment|contains duplicates$|must be scalars.*IndexKey"
            "|^$|The supplied Item contains a null AttributeValue|^Limit must be greater than or equal to 1"
            "|^Cannot have null key|^BatchGetItem must have some requests|^Return values set to invalid|^Select must be"
            "|^Query condition missed key schema element$|Type mismatch for Index Key$"
        ),
    ),
)
