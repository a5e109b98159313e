"""Streams of tables: what a record tells, for which writes there is one, and how a shard is read."""

from __future__ import annotations

import asyncio
import random
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tenet.base.clock import NEVER, ManualClock
from tenet.base.ids import SeededIds
from tenet.store.contract import Engine, Key, LogOptions, Put, SpaceOptions
from tenet.store.landing import land
from tenet.tables.api import Caller, Tables, TablesError
from tenet.tables.keys import is_table_space
from tenet.tables.ops.writing import Plan, write
from tenet.tables.rules.followed import EXPIRY
from tenet.tables.rules.images import ABSENT
from tenet.tables.rules.key_values import place_of_key
from tenet.tables.rules.stream_settings import switched
from tests.unit.pipes.world import ACCOUNT, OTHER, dear, in_loop, memory
from tests.unit.tables.streaming import OFF, VIEWS, Streamed, item, on

STORES = pytest.mark.parametrize("make", [memory, dear])
Make = Callable[[ManualClock], Engine]
HOUR_MS = 3_600_000


def streamed(make: Make) -> Streamed:
    clock = ManualClock(wall_ms=1_750_000_000_123)
    return Streamed(make(clock), clock)


async def refused(call: Any) -> tuple[str, str]:
    with pytest.raises(TablesError) as caught:
        await call
    return caught.value.code, caught.value.message


# ---- records ---------------------------------------------------------------------------------------------------------


@STORES
@pytest.mark.parametrize("is_indexed", [True, False])
@pytest.mark.parametrize("view", VIEWS)
@in_loop
async def test_a_record_tells_what_was_done(make: Make, view: str, *, is_indexed: bool) -> None:
    async with streamed(make) as world:
        arn = await world.make(view, indexed=is_indexed)
        await world.put("a", v="1", g="x")
        await world.put("a", v="22", g="x")
        await world.delete("a")
        records = await world.records(arn)
        first, second = item("a", v="1", g="x"), item("a", v="22", g="x")
        shows_new, shows_old = view.startswith("NEW"), view.endswith(("OLD_IMAGE", "OLD_IMAGES"))
        told = [(one["eventName"], one["dynamodb"].get("OldImage"), one["dynamodb"].get("NewImage")) for one in records]
        assert told == [
            ("INSERT", None, first if shows_new else None),
            ("MODIFY", first if shows_old else None, second if shows_new else None),
            ("REMOVE", second if shows_old else None, None),
        ]
        # Keys are 3 bytes, the images 7 and 8.
        new, old = (7 * shows_new, 8 * shows_new, 0), (0, 7 * shows_old, 8 * shows_old)
        assert [one["dynamodb"]["SizeBytes"] for one in records] == [3 + n + o for n, o in zip(new, old, strict=True)]
        for one in records:
            assert (one["eventVersion"], one["eventSource"], one["awsRegion"]) == ("1.1", "aws:dynamodb", "us-east-1")
            assert one["dynamodb"]["Keys"] == item("a")
            assert one["dynamodb"]["StreamViewType"] == view
            assert one["dynamodb"]["ApproximateCreationDateTime"] == 1_750_000_000
            assert "userIdentity" not in one
        numbers = [one["dynamodb"]["SequenceNumber"] for one in records]
        assert all(number.isdecimal() and 21 <= len(number) <= 40 for number in numbers)
        assert numbers == sorted(set(numbers))
        assert len({one["eventID"] for one in records}) == 3


@STORES
@in_loop
async def test_a_write_that_changes_nothing_has_no_record(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make(indexed=True)
        await world.put("a", v="1", w="2", g="x")
        await world.put("a", v="1", w="2", g="x")
        reordered = {"w": {"S": "2"}, "g": {"S": "x"}, "v": {"S": "1"}, "Id": {"S": "a"}}
        await world.call("PutItem", TableName="orders", Item=reordered)
        update: dict[str, Any] = {
            "UpdateExpression": "SET v = :v REMOVE absent",
            "ExpressionAttributeValues": {":v": {"S": "1"}},
        }
        answer = await world.call("UpdateItem", TableName="orders", Key=item("a"), ReturnValues="ALL_NEW", **update)
        assert answer["Attributes"] == reordered
        await world.delete("nothing")
        await world.call("TransactWriteItems", TransactItems=[{"Put": {"TableName": "orders", "Item": reordered}}])
        assert [one["eventName"] for one in await world.records(arn)] == ["INSERT"]


@STORES
@in_loop
async def test_every_way_to_write_is_told(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make("NEW_IMAGE")
        await world.put("a")
        await world.call("UpdateItem", TableName="orders", Key=item("b"))
        puts = [{"PutRequest": {"Item": item(f"c-{number}")}} for number in range(20)]
        await world.call("BatchWriteItem", RequestItems={"orders": puts})
        transaction: list[dict[str, Any]] = [
            {"Put": {"TableName": "orders", "Item": item("a", v="1")}},
            {"Delete": {"TableName": "orders", "Key": item("c-0")}},
            {
                "ConditionCheck": {
                    "TableName": "orders",
                    "Key": item("b"),
                    "ConditionExpression": "attribute_exists(Id)",
                }
            },
        ]
        await world.call("TransactWriteItems", TransactItems=transaction)
        code, _ = await refused(
            world.call("PutItem", TableName="orders", Item=item("b"), ConditionExpression="attribute_not_exists(Id)")
        )
        assert code == "ConditionalCheckFailedException"
        told = sorted((one["eventName"], one["dynamodb"]["Keys"]["Id"]["S"]) for one in await world.records(arn))
        inserted = sorted(["a", "b", *(f"c-{number}" for number in range(20))])
        assert told == [*(("INSERT", at) for at in inserted), ("MODIFY", "a"), ("REMOVE", "c-0")]


@STORES
@in_loop
async def test_an_expiry_is_the_services_own(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make()
        await world.put("a", v="1")
        context = world.tables._context
        table = await context.catalog.table(ACCOUNT, "orders")
        plan = Plan(table, place_of_key(table, item("a")), lambda _: ABSENT, origin=EXPIRY)
        await write(context, Caller(ACCOUNT), plan, look=True)
        removed = (await world.records(arn))[-1]
        assert removed["eventName"] == "REMOVE"
        assert removed["userIdentity"] == {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}


@pytest.mark.thorough
@STORES
@pytest.mark.parametrize("is_indexed", [True, False])
@pytest.mark.parametrize(("view", "shows"), [("OLD_IMAGE", True), ("KEYS_ONLY", False), ("NEW_IMAGE", False)])
@in_loop
async def test_a_transaction_with_hardly_any_room_tells_what_the_stream_shows(
    make: Make, view: str, *, shows: bool, is_indexed: bool
) -> None:
    async with streamed(make) as world:
        arn = await world.make(view, indexed=is_indexed)
        values = {f"k-{number}": chr(97 + number % 26) * 390_000 for number in range(30)}
        for at, value in values.items():
            await world.put(at, v=value, g="x")
        deletes = [{"Delete": {"TableName": "orders", "Key": item(at)}} for at in values]
        await world.call("TransactWriteItems", TransactItems=deletes)
        removed = [one["dynamodb"] for one in await world.records(arn) if one["eventName"] == "REMOVE"]
        assert sorted(one["Keys"]["Id"]["S"] for one in removed) == sorted(values)
        for one in removed:
            at = one["Keys"]["Id"]["S"]
            assert one.get("OldImage") == (item(at, v=values[at], g="x") if shows else None)


@pytest.mark.thorough
@in_loop
async def test_a_transaction_without_room_for_what_the_stream_shows_is_refused() -> None:
    async with streamed(memory) as world:
        await world.make("OLD_IMAGE")
        chance = random.Random(1)
        for number in range(30):
            await world.put(f"k-{number}", v=b64encode(chance.randbytes(292_000)).decode())
        deletes = [{"Delete": {"TableName": "orders", "Key": item(f"k-{number}")}} for number in range(30)]
        with pytest.raises(Exception, match="commit"):
            await world.call("TransactWriteItems", TransactItems=deletes)
        assert (await world.call("GetItem", TableName="orders", Key=item("k-0")))["Item"]


# ---- reading ---------------------------------------------------------------------------------------------------------


@STORES
@in_loop
async def test_iterators_of_every_type(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make("NEW_IMAGE")
        for number in range(5):
            await world.put("a", v=str(number))
            world.clock.advance_ms(1_000)
        shard = await world.shard_with(arn, "a")
        records, after = await world.drain(await world.iterator(arn, shard), limit=2)
        numbers = [one["dynamodb"]["SequenceNumber"] for one in records]
        assert len(numbers) == 5
        latest = await world.iterator(arn, shard, "LATEST")
        assert await world.drain(latest) == ([], (await world.drain(latest))[1])
        for at, number in enumerate(numbers):
            from_it = await world.iterator(arn, shard, "AT_SEQUENCE_NUMBER", SequenceNumber=number)
            assert (await world.drain(from_it))[0] == records[at:]
            behind = await world.iterator(arn, shard, "AFTER_SEQUENCE_NUMBER", SequenceNumber=number)
            assert (await world.drain(behind, limit=1))[0] == records[at + 1 :]
            since = await world.iterator(arn, shard, "AT_TIMESTAMP", Timestamp=1_750_000_000.123 + at)
            assert (await world.drain(since))[0] == records[at:]
        await world.put("a", v="5")
        for iterator in (latest, after):
            assert [one["dynamodb"]["NewImage"]["v"]["S"] for one in (await world.drain(iterator))[0]] == ["5"]


@in_loop
async def test_what_iterators_refuse() -> None:
    async with streamed(memory) as world:
        arn = await world.make()
        await world.put("a")
        shard = await world.shard_with(arn, "a")
        (record,) = await world.records(arn)
        # Where a shard begins may be asked for, though nobody wrote there.
        first = (await world.shards(arn))[0]
        from_start = first["SequenceNumberRange"]["StartingSequenceNumber"]
        await world.iterator(arn, first["ShardId"], "AT_SEQUENCE_NUMBER", SequenceNumber=from_start)
        number = record["dynamodb"]["SequenceNumber"]
        other = next(one["ShardId"] for one in await world.shards(arn) if one["ShardId"] != shard)
        invalid = "One or more parameter values were invalid: "
        for kind, more, message in (
            ("AT_SEQUENCE_NUMBER", {}, f"{invalid}Invalid SequenceNumber"),
            (
                "LATEST",
                {"SequenceNumber": number},
                f"{invalid}SequenceNumber should not be passed for this iterator type",
            ),
            ("AT_TIMESTAMP", {}, f"{invalid}Invalid Timestamp"),
            ("AT_SEQUENCE_NUMBER", {"SequenceNumber": "x" * 22}, "Invalid SequenceNumber"),
            ("AT_SEQUENCE_NUMBER", {"SequenceNumber": "1" * 21}, "Invalid SequenceNumber"),
            ("AT_SEQUENCE_NUMBER", {"SequenceNumber": "9" * 40}, "Invalid SequenceNumber for the shard"),
            ("AT_SEQUENCE_NUMBER", {"SequenceNumber": "1" * 20}, "1 validation error detected: Value '1111"),
        ):
            code, text = await refused(world.iterator(arn, shard, kind, **more))
            assert code == "ValidationException"
            assert text.startswith(message)
        code, text = await refused(world.iterator(arn, other, "AT_SEQUENCE_NUMBER", SequenceNumber=number))
        assert (code, text) == ("ValidationException", "Invalid SequenceNumber for the shard")
        for wrong in ("shardId-00000000000000000000-00000000", shard[:-1] + "4", "x" * 30):
            assert (await refused(world.iterator(arn, wrong)))[0] == "ResourceNotFoundException"
        iterator = await world.iterator(arn, shard)
        for wrong in (
            "x",
            "x|1|",
            iterator[:-2],
            iterator.replace("orders", "others"),
            iterator[:-6] + "AAAAA=",
            "ü|1|ü",
        ):
            assert await refused(world.ask("GetRecords", ShardIterator=wrong)) == (
                "ValidationException",
                "Invalid ShardIterator",
            )
        code, text = await refused(world.ask("GetRecords", ShardIterator=iterator, Limit=1_001))
        assert (code, text) == ("ValidationException", f"{invalid}Limit should be less than or equal to 1000")
        assert (await refused(world.ask("GetRecords", ShardIterator=iterator, Limit=0)))[0] == "ValidationException"
        assert (await refused(world.ask("PutItem")))[0] == "UnknownOperationException"


@STORES
@in_loop
async def test_iterators_are_good_for_fifteen_minutes(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make()
        await world.put("a")
        shard = await world.shard_with(arn, "a")
        iterator = await world.iterator(arn, shard)
        world.clock.advance_ms(15 * 60_000)
        answer = await world.ask("GetRecords", ShardIterator=iterator)
        assert len(answer["Records"]) == 1
        world.clock.advance_ms(1)
        assert (await refused(world.ask("GetRecords", ShardIterator=iterator)))[0] == "ExpiredIteratorException"
        # Each answer has a new one.
        assert (await world.ask("GetRecords", ShardIterator=answer["NextShardIterator"]))["Records"] == []


@STORES
@in_loop
async def test_records_are_kept_for_a_day(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make()
        await world.put("a", v="1")
        shard = await world.shard_with(arn, "a")
        (old,) = await world.records(arn)
        number = old["dynamodb"]["SequenceNumber"]
        world.clock.advance_ms(23 * HOUR_MS)
        iterator = await world.iterator(arn, shard)
        assert await world.records(arn) == [old]
        await world.put("a", v="2")
        world.clock.advance_ms(HOUR_MS + 60_000)
        assert [one["eventName"] for one in await world.records(arn)] == ["MODIFY"]
        code, text = await refused(world.iterator(arn, shard, "AT_SEQUENCE_NUMBER", SequenceNumber=number))
        assert (code, text) == ("TrimmedDataAccessException", "The data you are trying to access has been trimmed")
        behind = await world.iterator(arn, shard, "AFTER_SEQUENCE_NUMBER", SequenceNumber=number)
        assert len((await world.drain(behind))[0]) == 1
        assert (await refused(world.ask("GetRecords", ShardIterator=iterator)))[0] == "ExpiredIteratorException"


@in_loop
async def test_an_iterator_whose_records_go_before_it_is_used_says_so() -> None:
    async with streamed(memory) as world:
        arn = await world.make()
        await world.put("a", v="1")
        shard = await world.shard_with(arn, "a")
        world.clock.advance_ms(24 * HOUR_MS - 60_000)
        await world.put("a", v="2")
        iterator = await world.iterator(arn, shard)
        world.clock.advance_ms(10 * 60_000)
        await world.records(arn)
        assert (await refused(world.ask("GetRecords", ShardIterator=iterator)))[0] == "TrimmedDataAccessException"


@STORES
@in_loop
async def test_an_answer_ends_with_a_megabyte(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make("NEW_IMAGE")
        for number in range(6):
            await world.put("a", v=str(number) * 300_000)
        shard = await world.shard_with(arn, "a")
        first = await world.ask("GetRecords", ShardIterator=await world.iterator(arn, shard))
        assert len(first["Records"]) == 4
        rest, _ = await world.drain(first["NextShardIterator"])
        assert [one["dynamodb"]["NewImage"]["v"]["S"][0] for one in rest] == ["4", "5"]


# ---- switching -------------------------------------------------------------------------------------------------------


@STORES
@pytest.mark.parametrize("is_indexed", [True, False])
@in_loop
async def test_a_stream_is_switched_on_and_off(make: Make, *, is_indexed: bool) -> None:
    async with streamed(make) as world:
        assert not await world.make(None, indexed=is_indexed)
        await world.put("a", v="before")
        described = await world.switch(on("NEW_IMAGE"))
        assert described["StreamSpecification"] == on("NEW_IMAGE")
        assert described["LatestStreamLabel"] == "2025-06-15T15:06:40.123"
        first = described["LatestStreamArn"]
        assert first == f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/orders/stream/2025-06-15T15:06:40.123"
        await world.put("a", v="1")
        live = await world.iterator(first, await world.shard_with(first, "a"))
        off = await world.switch(OFF)
        assert "StreamSpecification" not in off
        assert off["LatestStreamArn"] == first
        await world.put("a", v="unseen")
        stream = (await world.ask("DescribeStream", StreamArn=first))["StreamDescription"]
        assert stream["StreamStatus"] == "DISABLED"
        assert all("EndingSequenceNumber" in shard["SequenceNumberRange"] for shard in stream["Shards"])
        second = (await world.switch(on("KEYS_ONLY")))["LatestStreamArn"]
        assert second > first
        await world.put("a", v="2")
        assert [one["dynamodb"]["NewImage"]["v"]["S"] for one in await world.records(first)] == ["1"]
        records, following = await world.drain(live)
        assert (len(records), following) == (1, None)
        assert [one["dynamodb"]["StreamViewType"] for one in await world.records(second)] == ["KEYS_ONLY"]
        listed = (await world.ask("ListStreams", TableName="orders"))["Streams"]
        assert [one["StreamArn"] for one in listed] == [first, second]
        world.clock.advance_ms(24 * HOUR_MS)
        assert (await refused(world.ask("DescribeStream", StreamArn=first)))[0] == "ResourceNotFoundException"
        listed = (await world.ask("ListStreams"))["Streams"]
        assert listed == [{"StreamArn": second, "TableName": "orders", "StreamLabel": second.rpartition("/")[2]}]


@in_loop
async def test_what_switching_refuses() -> None:
    invalid = "One or more parameter values were invalid: "
    half: dict[str, Any] = {"StreamEnabled": True}
    both = {"StreamEnabled": False, "StreamViewType": "NEW_IMAGE"}
    async with streamed(memory) as world:
        arn = await world.make()
        for specification, message in (
            (on("NEW_IMAGE"), "Table already has an enabled stream: TableName: orders"),
            (on("NEW_AND_OLD_IMAGES"), "Table already has an enabled stream: TableName: orders"),
            (half, f"{invalid}If stream is being enabled then UpdateViewType is required"),
            (both, f"{invalid}If stream is being disabled, then UpdateViewType must not be specified"),
        ):
            assert await refused(world.switch(specification)) == ("ValidationException", message)
        await world.switch(OFF)
        expected = ("ValidationException", "Table has no stream to disable: TableName: orders")
        assert await refused(world.switch(OFF)) == expected
        created: dict[str, Any] = {"TableName": "more", "BillingMode": "PAY_PER_REQUEST"} | {
            "AttributeDefinitions": [{"AttributeName": "p", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}],
        }
        for specification, message in (
            (half, f"{invalid}Table is being created with a stream enabled, UpdateViewType is required"),
            (both, f"{invalid}Table is being created with a stream disabled, UpdateViewType should not be specified"),
        ):
            assert await refused(world.call("CreateTable", **created, StreamSpecification=specification)) == (
                "ValidationException",
                message,
            )
        made = await world.call("CreateTable", **created, StreamSpecification=OFF)
        assert "LatestStreamArn" not in made["TableDescription"]
        nothing = arn[:-4] + "9999"
        assert (await refused(world.ask("DescribeStream", StreamArn=nothing)))[1] == (
            f"Requested resource not found: Stream: {nothing} not found"
        )


# ---- finding ---------------------------------------------------------------------------------------------------------


@in_loop
async def test_streams_are_listed_in_pages() -> None:
    async with streamed(memory) as world:
        arns = [await world.make(name=f"orders-{number}") for number in range(5)]
        await world.make(None, name="orders-25")
        assert [one["StreamArn"] for one in (await world.ask("ListStreams"))["Streams"]] == arns
        found: list[str] = []
        more: dict[str, Any] = {}
        while True:
            page = await world.ask("ListStreams", Limit=2, **more)
            found += [one["StreamArn"] for one in page["Streams"]]
            if "LastEvaluatedStreamArn" not in page:
                break
            more = {"ExclusiveStartStreamArn": page["LastEvaluatedStreamArn"]}
        assert found == arns
        assert (await world.ask("ListStreams", TableName="orders-25"))["Streams"] == []
        assert (await world.ask("ListStreams", TableName="no-such-table"))["Streams"] == []
        assert (await world.ask("ListStreams", OTHER))["Streams"] == []
        assert (await refused(world.ask("ListStreams", Limit=101)))[1].endswith("the maximum allowed size: 100")
        assert await refused(world.ask("ListStreams", ExclusiveStartStreamArn="x" * 40)) == (
            "ValidationException",
            "Invalid StreamArn",
        )


@in_loop
async def test_shards_are_described_in_pages_and_have_no_children() -> None:
    async with streamed(memory) as world:
        arn = await world.make()
        whole = (await world.ask("DescribeStream", StreamArn=arn))["StreamDescription"]
        assert whole["StreamStatus"] == "ENABLED"
        assert whole["KeySchema"] == [{"AttributeName": "Id", "KeyType": "HASH"}]
        assert whole["TableName"] == "orders"
        assert whole["CreationRequestDateTime"] == 1_750_000_000.123
        names = [shard["ShardId"] for shard in whole["Shards"]]
        assert names == sorted(names)
        assert all(28 <= len(name) <= 65 for name in names)
        assert not any("ParentShardId" in shard for shard in whole["Shards"])
        found: list[str] = []
        more: dict[str, Any] = {}
        while True:
            page = (await world.ask("DescribeStream", StreamArn=arn, Limit=1, **more))["StreamDescription"]
            found += [shard["ShardId"] for shard in page["Shards"]]
            if "LastEvaluatedShardId" not in page:
                break
            more = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}
        assert found == names
        children = {"Type": "CHILD_SHARDS", "ShardId": names[0]}
        filtered = (await world.ask("DescribeStream", StreamArn=arn, ShardFilter=children))["StreamDescription"]
        assert filtered["Shards"] == []
        assert "LastEvaluatedShardId" not in filtered
        assert (await refused(world.ask("DescribeStream", StreamArn=arn, Limit=101)))[0] == "ValidationException"
        partial = {"Type": "CHILD_SHARDS"}
        assert (await refused(world.ask("DescribeStream", StreamArn=arn, ShardFilter=partial)))[0] == (
            "ValidationException"
        )


@in_loop
async def test_another_tenants_stream_is_not_told_of() -> None:
    async with streamed(memory) as world:
        arn = await world.make()
        for asked in (arn, arn.replace("orders", "nothing")):
            code, _ = await refused(world.ask("DescribeStream", OTHER, StreamArn=asked))
            assert code == "AccessDeniedException"
        iterator = await world.iterator(arn, (await world.shards(arn))[0]["ShardId"])
        assert (await refused(world.ask("GetRecords", OTHER, ShardIterator=iterator)))[0] == "AccessDeniedException"


# ---- a store that came from elsewhere --------------------------------------------------------------------------------


@STORES
@in_loop
async def test_a_table_without_its_log_begins_a_new_stream(make: Make) -> None:
    clock = ManualClock(wall_ms=1_750_000_000_123)
    store = make(clock)
    async with Streamed(store, clock) as world:
        arn = await world.make("NEW_IMAGE")
        await world.put("a", v="1")
    # As a copy of the store has it: records and no logs.
    source = next(info.name for info in await store.list_spaces("tables.") if info.options.log is not None)
    records = (await store.scan(source, limit=100)).records
    await store.drop_space(source)
    await store.ensure_space(source)
    puts = [Put(Key(source, one.partition, one.sort), one.value) for one in records]
    await land(store, puts, clock=clock, ids=SeededIds(1), deadline=NEVER)
    async with Streamed(store, clock) as world:
        described = (await world.call("DescribeTable", TableName="orders"))["Table"]
        assert described["LatestStreamArn"] > arn
        assert (await refused(world.ask("DescribeStream", StreamArn=arn)))[0] == "ResourceNotFoundException"
        await world.put("a", v="2")
        (record,) = await world.records(described["LatestStreamArn"])
        assert (record["eventName"], record["dynamodb"]["NewImage"]["v"]["S"]) == ("MODIFY", "2")


@in_loop
async def test_a_switch_that_was_left_half_done_is_taken_up() -> None:
    async with streamed(memory) as world:
        await world.make(None)
        arn = (await world.switch(on("NEW_IMAGE")))["LatestStreamArn"]
        catalog = world.tables._context.catalog

        def undo(table: Any) -> Any:
            (stream,) = table.streams
            return msgspec.structs.replace(
                table, status="UPDATING", streams=(msgspec.structs.replace(stream, status="ENABLING"),)
            )

        await catalog.change(ACCOUNT, "orders", undo)
        again = await Tables.open(world.store, clock=world.clock, ids=SeededIds(7))
        for _ in range(100):
            if (await world.call("DescribeTable", TableName="orders"))["Table"]["TableStatus"] == "ACTIVE":
                break
            await asyncio.sleep(0.01)
        await again.close()
        await world.put("a", v="1")
        assert len(await world.records(arn)) == 1


@in_loop
async def test_a_stream_that_is_being_switched_on_has_no_shards_yet() -> None:
    clock = ManualClock(wall_ms=1_750_000_000_123)
    async with Streamed(memory(clock), clock) as world:
        first = await world.make("NEW_IMAGE")
        await world.put("a", v="1")
        await world.switch(OFF)
        catalog = world.tables._context.catalog

        def begin(table: Any) -> Any:
            streams = switched(table, on("KEYS_ONLY"), now_ms=clock.wall_ms())
            return msgspec.structs.replace(table, status="UPDATING", status_until_ms=2**50, streams=streams)

        await catalog.change(ACCOUNT, "orders", begin)
        second = (await world.call("DescribeTable", TableName="orders"))["Table"]["LatestStreamArn"]
        described = (await world.ask("DescribeStream", StreamArn=second))["StreamDescription"]
        assert (described["StreamStatus"], described["Shards"]) == ("ENABLING", [])
        for shard in await world.shards(first):
            prefix = "shardId-00000001750000000124-"
            assert shard["ShardId"].startswith("shardId-00000001750000000123-")
            # Otherwise it would be given what an earlier stream had.
            code, text = await refused(world.iterator(second, prefix + shard["ShardId"][-8:]))
            assert (code, text) == ("ResourceNotFoundException", "Shard does not exist")


@STORES
@in_loop
async def test_looking_after_a_table_keeps_its_stream_and_its_followers(make: Make) -> None:
    async with streamed(make) as world:
        await world.make(None)
        lifecycle = world.tables._context.lifecycle
        (before,) = [info for info in await world.store.list_spaces("tables.") if is_table_space(info.name)]
        source = await world.tables.following.find(ACCOUNT, "orders")
        await world.tables.following.follow(source, "somebody")
        arn = (await world.switch(on("NEW_IMAGE")))["LatestStreamArn"]
        table = await world.tables._context.catalog.table(ACCOUNT, "orders")
        # It was seen without a log before all that.
        await lifecycle._streams.look_after(table, before)
        assert (await world.call("DescribeTable", TableName="orders"))["Table"]["LatestStreamArn"] == arn
        forgotten = SpaceOptions(log=LogOptions(shards=4, readers=("somebody", "another")))
        await world.store.ensure_space(table.space, forgotten)
        await lifecycle._look()
        (after,) = [info for info in await world.store.list_spaces("tables.") if is_table_space(info.name)]
        assert after.options.log == LogOptions(shards=4, readers=("somebody",), retention_ms=24 * HOUR_MS)
        await world.put("a", v="1")
        assert len(await world.records(arn)) == 1


@in_loop
async def test_a_time_may_be_any_number() -> None:
    async with streamed(memory) as world:
        arn = await world.make()
        await world.put("a")
        shard = await world.shard_with(arn, "a")
        for at, count in ((-1e30, 1), (0, 1), (1e30, 0), (10**40, 0)):
            iterator = await world.iterator(arn, shard, "AT_TIMESTAMP", Timestamp=at)
            assert len((await world.drain(iterator))[0]) == count


@STORES
@in_loop
async def test_what_fills_an_index_is_in_no_stream(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make("NEW_IMAGE")
        for number in range(5):
            await world.put(f"k-{number}", g="x")
        added: dict[str, Any] = {"IndexName": "by-g", "Projection": {"ProjectionType": "ALL"}}
        added |= {"KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}]}
        definitions = [{"AttributeName": name, "AttributeType": "S"} for name in ("Id", "g")]
        updates = [{"Create": added}]
        await world.call(
            "UpdateTable", TableName="orders", AttributeDefinitions=definitions, GlobalSecondaryIndexUpdates=updates
        )
        index: dict[str, Any] = {}
        for _ in range(500):
            (index,) = (await world.call("DescribeTable", TableName="orders"))["Table"]["GlobalSecondaryIndexes"]
            if index["IndexStatus"] == "ACTIVE":
                break
            world.clock.advance_ms(500)
            await asyncio.sleep(0.02)
        assert index["IndexStatus"] == "ACTIVE"
        await world.put("k-0", g="y")
        assert sorted(one["eventName"] for one in await world.records(arn)) == ["INSERT"] * 5 + ["MODIFY"]
