"""Known differences in the operations on tables themselves."""

from __future__ import annotations

from typing import Any, Final

from tests.conformance.differential.known_conditions import (
    lists_more_faults,
)
from tests.conformance.differential.known_differences import (
    CAPTURED,
    DOCUMENTED,
    DYNALITE,
    DYNOXIDE,
    LOCAL,
    MOTO,
    KnownDifference,
)

_INDEXES: Final = "GlobalSecondaryIndexes"


def _without_units(table: Any) -> Any:
    """A table's description without the capacity of its indexes."""
    indexes = [{name: part for name, part in index.items() if name != "units"} for index in table[_INDEXES]]
    return table | {_INDEXES: indexes}


OF_TABLES = (
    KnownDifference(
        name="local-words-of-tables",
        witnesses=(LOCAL,),
        member="message",
        reason="DynamoDB Local checks the definition of a table in words, and in an order, of its own.",
        source=CAPTURED,
        operations=("CreateTable", "UpdateTable", "ListTables", "DescribeTable", "DeleteTable", "DescribeTimeToLive"),
        theirs=(
            "^Cannot create preexisting table|^Limit in ListTables|^No defined key schema|^Nothing to update"
            "|^GSI list is empty|^Member must satisfy enum|^No Attribute Schema Defined|index action is null"
            "|^Table read and write throughput|^No provisioned throughput|^No Hash Key|^tableName: Member must not be"
            "|not specified in Attribute Definitions|^Invalid Attribute value|^The number of attributes in key schema"
            "|^GlobalSecondaryIndex count exceeds the per-table limit$|^Two keys can not|^The requested throughput"
            "|^Invalid global secondary index name|^Too many hash keys|^Cannot have more than 5 local"
            "|^Cannot increase provisioned throughput|is not defined in AttributeDefinitions$|must have a projection"
            "|^No attributes should be specified|secondary indices (have|must have)|^Cannot have two attributes"
            "|^Projection type must be|^If Projection type INCLUDE"
            "|^Only one global secondary index update per index"
        ),
    ),
    KnownDifference(
        name="dynalite-names-of-tables",
        witnesses=(DYNALITE,),
        member="message",
        reason="The name of a new table is checked before the rest of its definition, and as all names are.",
        source=CAPTURED,
        operations=("CreateTable",),
        ours="^tableName: Member must",
        theirs="^TableName must be at least|; tableName: Member must|^tableName: Member must.*; ",
    ),
    KnownDifference(
        name="dynalite-keys-of-indexes",
        witnesses=(DYNALITE,),
        member="message",
        reason="dynalite does not check the enumerations in the keys of indexes.",
        source=DOCUMENTED,
        operations=("CreateTable",),
        ours="SecondaryIndexes.*keyType: Member must satisfy enum value set",
        theirs="^(?!.*Member must)",
    ),
    KnownDifference(
        name="order-of-wrong-types",
        witnesses=(DYNALITE, DYNOXIDE),
        member="message",
        reason="Of two wrong JSON types the first of the request is told; the peers go by the order of the model.",
        source=CAPTURED,
        operations=("CreateTable",),
        ours="cannot be converted to String$",
        theirs="^Unexpected field type$",
    ),
    KnownDifference(
        name="dynalite-tables-that-exist",
        witnesses=(DYNALITE,),
        member="message",
        reason="dynalite does not say which table exists.",
        source=CAPTURED,
        operations=("CreateTable",),
        ours="^Table already exists: ",
        theirs="^$",
    ),
    KnownDifference(
        name="tables-looked-up-late",
        witnesses=(LOCAL, DYNOXIDE),
        member="outcome",
        reason="An update of a table is checked in itself before the table is looked up.",
        source=CAPTURED,
        operations=("UpdateTable",),
        ours="^ValidationException",
        theirs="^ResourceNotFoundException",
    ),
    KnownDifference(
        name="capacity-of-tables-on-demand",
        witnesses=(LOCAL,),
        member="outcome",
        reason="Capacity is not set without a change to provisioned billing, and an index needs its own.",
        source=DOCUMENTED,
        operations=("UpdateTable", "CreateTable"),
        ours="provisionedThroughput|ReadCapacityUnits|ProvisionedThroughput",
    ),
    KnownDifference(
        name="capacity-of-indexes",
        witnesses=(DYNOXIDE, DYNALITE, MOTO),
        member="outcome",
        reason="A table that becomes provisioned needs the capacity of its indexes too.",
        source=DOCUMENTED,
        operations=("UpdateTable",),
        ours="ProvisionedThroughput must be specified for index",
    ),
    KnownDifference(
        name="changes-show-when-they-are-done",
        witnesses=(LOCAL, DYNALITE, DYNOXIDE, MOTO),
        member=r"TableDescription(\..*)?",
        reason="The answer to UpdateTable shows the table as it is while the change goes on; DeleteTable its indexes.",
        source=DOCUMENTED,
        operations=("UpdateTable", "DeleteTable"),
    ),
    KnownDifference(
        name="index-capacity-on-demand",
        witnesses=(LOCAL, DYNOXIDE, MOTO),
        member="Table",
        reason="An index of a table on demand has no provisioned capacity left.",
        source=DOCUMENTED,
        operations=("DescribeTable",),
        when=lambda difference: "PAY_PER_REQUEST" in str(difference.ours),
    ),
    KnownDifference(
        name="names-defined-twice",
        witnesses=(LOCAL, DYNALITE, DYNOXIDE, MOTO),
        member="outcome|message",
        reason="An attribute that is defined twice is named; the peers count, or do not notice.",
        source=CAPTURED,
        operations=("CreateTable",),
        ours="^(ValidationException: )?Attribute Name is duplicated",
    ),
    KnownDifference(
        name="unused-definitions",
        witnesses=(LOCAL, DYNALITE, DYNOXIDE),
        member="outcome|message",
        reason="Definitions that no key uses are refused, in the order of the request.",
        source=CAPTURED,
        operations=("CreateTable",),
        ours="Some AttributeDefinitions are not used",
    ),
    KnownDifference(
        name="keys-of-several-attributes",
        witnesses=(DYNALITE,),
        member="outcome|message",
        reason="Global indexes may have several attributes per key; dynalite does not know that.",
        source=DOCUMENTED,
        operations=("CreateTable", "UpdateTable"),
        ours="^success|KeySchema|Some index key attributes are not defined",
        theirs="keySchema.* Member must have length less than or equal to 2",
    ),
    KnownDifference(
        name="local-keys-of-several-attributes",
        witnesses=(LOCAL,),
        member="message",
        reason="DynamoDB Local words what it says of keys of several attributes in its own way, statements included.",
        source=CAPTURED,
        operations=("CreateTable", "UpdateTable", "ExecuteStatement"),
        ours="multi-attribute HASH keys|The KeySchema|KeySchemaElement|KeySchema$|keySchema: Member must have length",
        theirs="composite HASH keys|Key attribute's data type|[Kk]ey [Ss]chema|Too many|same name|Invalid key order",
    ),
    KnownDifference(
        name="local-descriptions-meanwhile",
        witnesses=(LOCAL,),
        member="outcome",
        reason="DynamoDB Local fails inside now and then where it describes a table that an index was just added to.",
        source=DOCUMENTED,
        operations=("DescribeTable",),
        ours="^success",
        theirs="^InternalFailure",
    ),
    KnownDifference(
        name="updates-of-absent-indexes",
        witnesses=(LOCAL, DYNALITE, DYNOXIDE),
        member="outcome|message",
        reason="An index that the table does not have is named; the peers pass it by, fail inside, or do not name it.",
        source=CAPTURED,
        operations=("UpdateTable",),
        ours="Requested resource not found: Index ",
    ),
    KnownDifference(
        name="words-of-no-change",
        witnesses=(DYNALITE, DYNOXIDE),
        member="message",
        reason="What an update may change is listed with what was added since; the peers list what there was before.",
        source=CAPTURED,
        operations=("UpdateTable",),
        ours="^At least one of ProvisionedThroughput",
        theirs="^At least one of ProvisionedThroughput",
    ),
    KnownDifference(
        name="updates-of-indexes-on-demand",
        witnesses=(LOCAL, DYNOXIDE),
        member="outcome|message",
        reason="Which updates an index of a table on demand takes is told; the peers take others, or say it otherwise.",
        source=CAPTURED,
        operations=("UpdateTable",),
        ours="The only Updates for index: .* when TableThroughputMode is PAY_PER_REQUEST",
    ),
    KnownDifference(
        name="definitions-of-no-new-index",
        witnesses=(LOCAL, DYNOXIDE),
        member="outcome",
        reason="Definitions in an update are passed by but for the keys of a new index.",
        source=CAPTURED,
        operations=("UpdateTable",),
        ours="^success",
        theirs="AttributeDefinitions are not used|Attribute Definitions",
    ),
    KnownDifference(
        name="lists-without-elements",
        witnesses=(LOCAL,),
        member="outcome",
        reason="A list of indexes without an element is refused, and a missing TableName is named.",
        source=CAPTURED,
        operations=("CreateTable",),
        ours="SecondaryIndexes is empty|The parameter 'TableName' is required",
    ),
    KnownDifference(
        name="dynoxide-numbers-of-definitions",
        witnesses=(DYNOXIDE,),
        member="message",
        reason="Key attributes are looked at one after the other; dynoxide counts them first, and sorts definitions.",
        source=CAPTURED,
        operations=("CreateTable",),
        ours="^Both the Hash Key and the Range Key|Some index key attributes are not defined",
        theirs="Some index key attribute have no definition|Some index key attributes are not defined",
    ),
    KnownDifference(
        name="billing-without-a-mode",
        witnesses=(DYNOXIDE,),
        member="outcome|message",
        reason="Without BillingMode a table is provisioned, and needs its capacity.",
        source=CAPTURED,
        operations=("CreateTable",),
        ours="must both be specified when BillingMode is PROVISIONED",
    ),
    KnownDifference(
        name="dynalite-protection",
        witnesses=(DYNALITE,),
        member="outcome",
        reason="dynalite does not know DeletionProtectionEnabled.",
        source=DOCUMENTED,
        operations=("UpdateTable",),
        theirs="^ValidationException: At least one of ProvisionedThroughput",
    ),
    KnownDifference(
        name="words-of-definitions",
        witnesses=(LOCAL, DYNALITE, DYNOXIDE),
        member="message",
        reason="Enumerations in a definition are checked with the other constraints, before keys are.",
        source=DOCUMENTED,
        operations=("CreateTable",),
        ours="Member must (satisfy enum|not be null|have)|is not available",
        theirs=(
            "Hash Key|attributes in key schema|HASH key type|unknown variant|must be specified|Invalid KeySchema"
            "|must have a projection|^Two keys can not have|is not defined in AttributeDefinitions"
            "|is out of bounds|count exceeds the per-table limit|Unknown ProjectionType: null|not specified as being"
        ),
    ),
    KnownDifference(
        name="faults-of-definitions",
        witnesses=(DYNALITE, DYNOXIDE),
        member="message",
        reason="All that contradicts the model is listed, in the keys of indexes too.",
        source=DOCUMENTED,
        operations=("CreateTable",),
        ours="Member must",
        when=lists_more_faults,
    ),
    KnownDifference(
        name="length-of-keys",
        witnesses=(LOCAL, DYNALITE, DYNOXIDE),
        member="message",
        reason="The model names no largest length of a key schema, so that of two faults the model's is told.",
        source=DOCUMENTED,
        operations=("CreateTable",),
        ours="Member must (satisfy|not be null|have)",
        theirs="[kK]eySchema: Member must have length less than or equal to 2|^Key Schema too big",
    ),
    KnownDifference(
        name="definitions-of-new-indexes",
        witnesses=(LOCAL, DYNOXIDE),
        member="message",
        reason="The definition of a new index is checked in itself before it is compared with the table's indexes.",
        source=CAPTURED,
        operations=("UpdateTable",),
        ours=r"not defined in AttributeDefinitions|^globalSecondaryIndexUpdates\.|^Invalid KeySchema"
        "|NonKeyAttributes is|Only one global secondary index action|AttributeDefinitions is not specified for index",
        theirs="[Ii]ndex (which )?already exists",
    ),
    KnownDifference(
        name="dynoxide-words-of-new-indexes",
        witnesses=(DYNOXIDE,),
        member="message",
        reason="dynoxide checks the definition of a new index as CreateTable does, and in words of its own.",
        source=CAPTURED,
        operations=("UpdateTable",),
        ours=r"not defined in AttributeDefinitions|^globalSecondaryIndexUpdates\.|^Invalid KeySchema"
        "|Only one global secondary index action|AttributeDefinitions is not specified for index"
        "|^Attempting to create an index",
        theirs=r"not defined in AttributeDefinitions|attribute have no definition|^globalSecondaryIndexes\."
        "|is not a HASH key type$|^keySchema: |Index already exists|ProjectionType is (ALL|KEYS_ONLY), but",
    ),
    KnownDifference(
        name="dynoxide-checks-of-new-indexes",
        witnesses=(DYNOXIDE,),
        member="outcome",
        reason="A new index says which attributes it includes, and has its capacity; dynoxide makes it without.",
        source=CAPTURED,
        operations=("UpdateTable",),
        ours="ProjectionType is INCLUDE, but|Both ReadCapacityUnits and WriteCapacityUnits must be specified for index",
        theirs="^success",
    ),
    KnownDifference(
        name="several-actions-at-once",
        witnesses=(LOCAL, DYNOXIDE),
        member="outcome",
        reason="An element of the updates of indexes has one action, and one index is made or removed at a time.",
        source=DOCUMENTED,
        operations=("UpdateTable",),
        ours="Only one global secondary index action|Only 1 online index",
        theirs="^success|Only 1 online index|Index already exists",
    ),
    KnownDifference(
        name="attributes-of-new-indexes",
        witnesses=(LOCAL,),
        member="outcome",
        reason="AttributeDefinitions includes the key of a new index, and is looked at before what the table is doing.",
        source=DOCUMENTED,
        operations=("UpdateTable",),
        ours="Some index key attributes are not defined in AttributeDefinitions|AttributeDefinitions is not specified",
        theirs="^success|Only 1 online index",
    ),
    KnownDifference(
        name="dynoxide-capacity-of-new-indexes",
        witnesses=(DYNOXIDE,),
        member="Table",
        reason="dynoxide forgets the capacity of an index that is added later.",
        source=DOCUMENTED,
        operations=("DescribeTable",),
        theirs=r"'units': \[0, 0\]",
        when=lambda difference: _without_units(difference.ours) == _without_units(difference.theirs),
    ),
)
