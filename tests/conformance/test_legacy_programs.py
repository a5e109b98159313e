"""Programs from before expressions: a stock ledger by the client, the resource layer and the asynchronous client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from tests.servers import Server

Json = dict[str, Any]


def options(server: Server) -> Json:
    exports = server.exports
    return {
        "endpoint_url": server.endpoint,
        "verify": exports["AWS_CA_BUNDLE"],
        "region_name": exports["AWS_DEFAULT_REGION"],
        "aws_access_key_id": exports["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": exports["AWS_SECRET_ACCESS_KEY"],
    }


@pytest.fixture
def ledger(server: Server, fresh_name: Callable[[str], str]) -> Iterator[Any]:
    """A table of stock by shelf and article, with an index by supplier that carries the supplier's price."""
    table = boto3.resource("dynamodb", **options(server)).create_table(
        TableName=fresh_name("ledger"),
        AttributeDefinitions=[
            {"AttributeName": "shelf", "AttributeType": "S"},
            {"AttributeName": "article", "AttributeType": "N"},
            {"AttributeName": "supplier", "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": "shelf", "KeyType": "HASH"},
            {"AttributeName": "article", "KeyType": "RANGE"},
        ],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-supplier",
                "KeySchema": [{"AttributeName": "supplier", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["price.net"]},
            }
        ],
    )
    table.wait_until_exists()
    yield table
    table.delete()
    table.wait_until_not_exists()


def equal(value: Any) -> Json:
    return {"ComparisonOperator": "EQ", "AttributeValueList": [value]}


def stock(ledger: Any, articles: int) -> None:
    for article in range(articles):
        ledger.put_item(
            Item={
                "shelf": "A",
                "article": article,
                "supplier": "acme" if article % 2 else "zenith",
                "price.net": article * 10,
                "count": article,
            },
            Expected={"article": {"Exists": False}},
        )


def test_an_article_is_entered_once(ledger: Any) -> None:
    stock(ledger, 2)
    with pytest.raises(ClientError) as caught:
        ledger.put_item(
            Item={"shelf": "A", "article": 1},
            Expected={"article": {"Exists": False}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert caught.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    # Not in the shape of what is native, since it comes with an error.
    assert caught.value.response["Item"]["supplier"] == {"S": "acme"}


def test_a_count_is_kept(ledger: Any) -> None:
    stock(ledger, 3)
    key = {"shelf": "A", "article": 2}
    answer = ledger.update_item(
        Key=key,
        AttributeUpdates={
            "count": {"Action": "ADD", "Value": -1},
            "seen": {"Action": "ADD", "Value": {"ada"}},
            "log": {"Action": "ADD", "Value": ["sold"]},
            "price.net": {"Value": Decimal("19.99")},
        },
        Expected={"count": {"ComparisonOperator": "GE", "AttributeValueList": [1]}, "recalled": {"Exists": False}},
        ConditionalOperator="AND",
        ReturnValues="UPDATED_NEW",
        ReturnConsumedCapacity="INDEXES",
    )
    assert answer["Attributes"] == {"count": 1, "seen": {"ada"}, "log": ["sold"], "price.net": Decimal("19.99")}
    # The price of the index changes as well: the table once, the entry once.
    assert answer["ConsumedCapacity"]["GlobalSecondaryIndexes"] == {"by-supplier": {"CapacityUnits": 1.0}}
    answer = ledger.update_item(
        Key=key,
        AttributeUpdates={"seen": {"Action": "DELETE", "Value": {"ada"}}, "log": {"Action": "DELETE"}},
        ReturnValues="ALL_NEW",
    )
    assert {"seen", "log"}.isdisjoint(answer["Attributes"])
    with pytest.raises(ClientError, match="Type mismatch for attribute to update"):
        ledger.update_item(Key=key, AttributeUpdates={"supplier": {"Action": "ADD", "Value": 1}})
    with pytest.raises(ClientError, match="The conditional request failed"):
        ledger.delete_item(Key=key, Expected={"count": {"Value": 7}})
    assert (
        ledger.delete_item(Key=key, Expected={"count": {"Value": 1}}, ReturnValues="ALL_OLD")["Attributes"]["count"]
        == 1
    )


def test_shelves_are_read_by_page(ledger: Any) -> None:
    stock(ledger, 9)
    pages = ledger.meta.client.get_paginator("query").paginate(
        TableName=ledger.name,
        KeyConditions={
            "shelf": equal("A"),
            "article": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [2, 7]},
        },
        QueryFilter={"supplier": equal("acme"), "count": {"ComparisonOperator": "IN", "AttributeValueList": [2, 3]}},
        ConditionalOperator="OR",
        AttributesToGet=["article", "price.net"],
        PaginationConfig={"PageSize": 2},
    )
    found = [item for page in pages for item in page["Items"]]
    assert found == [{"article": article, "price.net": article * 10} for article in (2, 3, 5, 7)]


def test_suppliers_are_read_from_the_index(ledger: Any) -> None:
    stock(ledger, 4)
    by_supplier: Json = {"IndexName": "by-supplier", "KeyConditions": {"supplier": equal("zenith")}}
    found = ledger.query(
        **by_supplier, QueryFilter={"price.net": {"ComparisonOperator": "GT", "AttributeValueList": [5]}}
    )
    assert [item["article"] for item in found["Items"]] == [2]
    assert found["ScannedCount"] == 2
    with pytest.raises(ClientError, match=r"by-supplier does not project \[count\]"):
        ledger.query(**by_supplier, AttributesToGet=["count"])
    scanned = ledger.scan(ScanFilter={"supplier": {"ComparisonOperator": "BEGINS_WITH", "AttributeValueList": ["ac"]}})
    assert sorted(item["article"] for item in scanned["Items"]) == [1, 3]


def test_kinds_of_parameters_are_not_mixed(ledger: Any) -> None:
    with pytest.raises(ClientError, match="Can not use both expression and non-expression parameters") as caught:
        ledger.meta.client.get_item(
            TableName=ledger.name,
            Key={"shelf": "A", "article": 1},
            AttributesToGet=["count"],
            ProjectionExpression="article",
        )
    assert caught.value.response["Error"]["Message"].endswith(
        "Non-expression parameters: {AttributesToGet} Expression parameters: {ProjectionExpression}"
    )


def test_counters_of_many_tasks_add_up(server: Server, ledger: Any) -> None:
    key = {"shelf": {"S": "B"}, "article": {"N": "1"}}

    async def run() -> None:
        async with get_session().create_client("dynamodb", **options(server)) as client:

            async def sell(number: int) -> None:
                await client.update_item(
                    TableName=ledger.name,
                    Key=key,
                    AttributeUpdates={
                        "sold": {"Action": "ADD", "Value": {"N": "1"}},
                        "buyers": {"Action": "ADD", "Value": {"SS": [f"buyer-{number % 5}"]}},
                    },
                )

            await asyncio.gather(*(sell(number) for number in range(40)))
            answer = await client.batch_get_item(
                RequestItems={ledger.name: {"Keys": [key], "AttributesToGet": ["sold", "buyers"]}}
            )
            (item,) = answer["Responses"][ledger.name]
            assert item["sold"] == {"N": "40"}
            assert len(item["buyers"]["SS"]) == 5

    asyncio.run(run())
