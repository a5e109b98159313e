"""A workshop's orders, as users of PynamoDB write such a program: models, indexes, versions, transactions, expiry.

It prints a line for each part that went as it should. Everything that it is told of the server stands in its
environment, as ``tenet env`` prints it.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta

from pynamodb.attributes import (
    BooleanAttribute,
    ListAttribute,
    MapAttribute,
    NumberAttribute,
    TTLAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
    UTCDateTimeAttribute,
    VersionAttribute,
)
from pynamodb.connection import Connection
from pynamodb.exceptions import DoesNotExist, PutError, TransactWriteError, UpdateError
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex, KeysOnlyProjection, LocalSecondaryIndex
from pynamodb.models import Model
from pynamodb.transactions import TransactGet, TransactWrite

ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
REGION = os.environ["AWS_DEFAULT_REGION"]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Settings:
    host = ENDPOINT
    region = REGION
    billing_mode = "PAY_PER_REQUEST"


class ByStatus(GlobalSecondaryIndex):
    class Meta:
        index_name = "by-status"
        projection = AllProjection()

    status = UnicodeAttribute(hash_key=True)
    due = UTCDateTimeAttribute(range_key=True)


class ByPrice(LocalSecondaryIndex):
    class Meta:
        index_name = "by-price"
        projection = KeysOnlyProjection()

    customer = UnicodeAttribute(hash_key=True)
    price = NumberAttribute(range_key=True)


class Part(MapAttribute):
    name = UnicodeAttribute()
    count = NumberAttribute(default=1)


class Order(Model):
    class Meta(Settings):
        table_name = "orders"

    customer = UnicodeAttribute(hash_key=True)
    number = NumberAttribute(range_key=True)
    status = UnicodeAttribute(default="open")
    due = UTCDateTimeAttribute()
    price = NumberAttribute()
    is_paid = BooleanAttribute(default=False)
    labels = UnicodeSetAttribute(null=True)
    parts = ListAttribute(of=Part, default=list)
    version = VersionAttribute()
    by_status = ByStatus()
    by_price = ByPrice()


class Draft(Model):
    class Meta(Settings):
        table_name = "drafts"

    name = UnicodeAttribute(hash_key=True)
    until = TTLAttribute(null=True)


def order(customer: str, number: int, **more: object) -> Order:
    return Order(customer, number, due=BEGIN + timedelta(days=number), price=number * 1.5, **more)


def refused(kind: type[Exception], call: object) -> Exception:
    try:
        call()  # type: ignore[operator]
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def tables_are_made() -> None:
    for model in (Order, Draft):
        assert not model.exists()
        model.create_table(wait=True)
        assert model.exists()
    described = Order.describe_table()
    assert described["GlobalSecondaryIndexes"][0]["IndexName"] == "by-status"


def items_are_kept() -> None:
    first = order("ada", 1, labels={"red", "steel"}, parts=[Part(name="bolt", count=8), Part(name="plate")])
    first.save()
    assert first.version == 1
    found = Order.get("ada", 1, consistent_read=True)
    assert (found.labels, [(part.name, part.count) for part in found.parts]) == (
        {"red", "steel"},
        [("bolt", 8), ("plate", 1)],
    )
    assert found.due == BEGIN + timedelta(days=1)
    refused(DoesNotExist, lambda: Order.get("ada", 99))
    stale = Order.get("ada", 1)
    found.update(actions=[Order.status.set("cut"), Order.parts[0].count.set(Order.parts[0].count + 2)])
    assert (found.status, found.parts[0].count, found.version) == ("cut", 10, 2)
    error = refused(PutError, stale.save)
    assert error.cause_response_code == "ConditionalCheckFailedException"
    refused(UpdateError, lambda: found.update(actions=[Order.price.set(0)], condition=Order.status == "open"))
    found.update(actions=[Order.labels.delete({"red"}), Order.parts.set(Order.parts.append([Part(name="nut")]))])
    found.refresh()
    assert (found.labels, len(found.parts)) == ({"steel"}, 3)


def many_are_written_and_read() -> None:
    with Order.batch_write() as batch:
        for number in range(2, 62):
            batch.save(order("ben", number, status="open" if number % 2 else "done"))
    assert Order.count("ben") == 60
    between = Order.query("ben", Order.number.between(10, 19), filter_condition=Order.status == "done")
    assert [one.number for one in between] == [10, 12, 14, 16, 18]
    page = Order.query("ben", limit=7, page_size=3, scan_index_forward=False)
    assert [one.number for one in page] == [61, 60, 59, 58, 57, 56, 55]
    rest = Order.query("ben", limit=100, last_evaluated_key=page.last_evaluated_key, scan_index_forward=False)
    assert next(iter(rest)).number == 54
    keys = [("ben", number) for number in range(2, 62)]
    assert len(list(Order.batch_get(keys))) == 60
    found = Order.scan((Order.price > 50) & Order.status.is_in("open", "cut") & Order.labels.does_not_exist())
    assert sorted(one.number for one in found) == list(range(35, 62, 2))
    with Order.batch_write() as batch:
        for number in range(50, 62):
            batch.delete(order("ben", number))
    assert Order.count("ben") == 48


def indexes_are_read() -> None:
    due = list(Order.by_status.query("done", Order.due < BEGIN + timedelta(days=9)))
    assert [one.number for one in due] == [2, 4, 6, 8]
    dear = Order.by_price.query("ben", Order.price >= 70)
    assert [one.number for one in dear] == [47, 48, 49]
    assert Order.by_status.count("cut") == 1


def transactions_are_whole() -> None:
    connection = Connection(region=REGION, host=ENDPOINT)
    with TransactWrite(connection=connection, client_request_token="first") as transaction:
        transaction.save(order("cem", 1))
        transaction.update(Order.get("ben", 3), actions=[Order.is_paid.set(True)])
        transaction.condition_check(Order, "ben", 5, condition=Order.status == "open")

    def fails() -> None:
        with TransactWrite(connection=connection) as transaction:
            transaction.save(order("cem", 2))
            transaction.condition_check(Order, "ben", 5, condition=Order.status == "done")

    error = refused(TransactWriteError, fails)
    codes = [reason and reason.code for reason in error.cancellation_reasons]
    # PynamoDB sends checks before anything else.
    assert codes == ["ConditionalCheckFailed", None], error
    assert Order.count("cem") == 1
    with TransactGet(connection=connection) as transaction:
        paid, made = transaction.get(Order, "ben", 3), transaction.get(Order, "cem", 1)
    assert (paid.get().is_paid, made.get().version) == (True, 1)


def drafts_expire() -> None:
    # A model with such an attribute switches time to live on as it makes its table.
    Draft("kept").save()
    Draft("old", until=datetime.now(UTC) - timedelta(minutes=1)).save()
    for _ in range(300):
        left = sorted(draft.name for draft in Draft.scan())
        if left == ["kept"]:
            return
        time.sleep(0.1)
    raise AssertionError(f"there are {left}")


def all_goes() -> None:
    for model in (Order, Draft):
        model.delete_table()
        for _ in range(300):
            if not model.exists():
                break
            time.sleep(0.1)
        assert not model.exists()


for part in (
    tables_are_made,
    items_are_kept,
    many_are_written_and_read,
    indexes_are_read,
    transactions_are_whole,
    drafts_expire,
    all_goes,
):
    part()
    print(part.__name__, flush=True)
