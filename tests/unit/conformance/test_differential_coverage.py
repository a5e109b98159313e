"""The differential test sends every operation that Tenet has, and every member of its requests, nested ones too."""

from __future__ import annotations

import re
from random import Random

from tenet.tables.api import ROUTES, STREAM_ROUTES
from tenet.tables.rules import unavailable
from tests.conformance.differential.coverage import Sent, count, members_of, model, never_sent
from tests.conformance.differential.index_requests import index_sequence
from tests.conformance.differential.legacy_requests import legacy_sequence
from tests.conformance.differential.multi_attribute_requests import multi_attribute_sequence
from tests.conformance.differential.plain_statements import plain_sequence
from tests.conformance.differential.requests import Step, sequence
from tests.conformance.differential.scripted import SCRIPTS
from tests.conformance.differential.settings_requests import settings_sequence, tag_sequence
from tests.conformance.differential.statements import statement_sequence
from tests.conformance.differential.stream_requests import stream_steps
from tests.conformance.differential.table_requests import table_sequence

#: What `test_differential` sends from seeds.
SEQUENCES = (
    sequence,
    legacy_sequence,
    statement_sequence,
    plain_sequence,
    table_sequence,
    multi_attribute_sequence,
    index_sequence,
    tag_sequence,
    settings_sequence,
)
SEEDS = 300
#: Members that no request has unless it is broken on purpose, and values of them, as regular expressions; and why.
NEVER_SENT = {
    r"(Batch|Transact)?GetItems?: AttributeValue\.(BOOL|BS|L|M|NS|NULL|SS)": "a key is a string, a number or a binary",
    r"(Put|Delete)Item: ReturnValues=(ALL_NEW|UPDATED_(NEW|OLD))": "the operation refuses it; broken requests have it",
    r"Query: KeyConditions\.\{\}\.ComparisonOperator=(NE|(NOT_)?NULL|(NOT_)?CONTAINS|IN)": "no key condition has it",
}


def sent_by_sequences() -> Sent:
    sent: Sent = {}
    for make in SEQUENCES:
        for seed in range(SEEDS):
            count(make(Random(seed)), model("dynamodb"), sent)
    for script in SCRIPTS.values():
        count(script(), model("dynamodb"), sent)
    return sent


def test_every_member_of_every_operation_is_sent() -> None:
    wanted = {operation: unavailable.PARAMETERS.get(operation, ()) for operation in ROUTES}
    missing = never_sent(model("dynamodb"), sent_by_sequences(), wanted)
    assert [path for path in missing if not any(re.fullmatch(pattern, path) for pattern in NEVER_SENT)] == []
    unneeded = [pattern for pattern in NEVER_SENT if not any(re.fullmatch(pattern, path) for path in missing)]
    assert unneeded == []


def test_every_member_of_the_operations_of_streams_is_sent() -> None:
    sent: Sent = {}
    count(stream_steps(), model("dynamodbstreams"), sent)
    assert never_sent(model("dynamodbstreams"), sent, dict.fromkeys(STREAM_ROUTES, ())) == []


def test_nested_members_are_counted() -> None:
    members = members_of(model("dynamodb").operation_model("CreateTable"), without={"CreateTable": ["VectorIndexes"]})
    assert {
        "Tags",
        "Tags[].Key",
        "GlobalSecondaryIndexes[].Projection.NonKeyAttributes",
        "TableClass=STANDARD",
    } <= members
    assert not any(path.startswith("VectorIndexes") for path in members)
    write = members_of(model("dynamodb").operation_model("BatchWriteItem"))
    assert {"RequestItems.{}[].PutRequest.Item", "AttributeValue.NS"} <= write


def test_what_is_broken_or_of_another_shape_does_not_count() -> None:
    sent: Sent = {}
    request = {"TableName": "table", "Limit": 1}
    count([Step("Scan", request, is_faulty=True)], model("dynamodb"), sent)
    count([Step("Scan", request | {"Limit": "1"})], model("dynamodb"), sent)
    assert not sent
    count([Step("Scan", request, reads_all=True, segments=2)], model("dynamodb"), sent)
    assert sent == {"Scan": {"TableName", "Limit", "Segment", "ExclusiveStartKey"}}
    missing = never_sent(model("dynamodb"), sent, {"Scan": (), "Query": ()})
    assert "Query" in missing
    assert "Scan: TotalSegments" in missing
    assert "Scan: Limit" not in missing
