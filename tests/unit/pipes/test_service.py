"""Pipes on stores in memory: what comes out of them, in which order, and what they say where they do not get on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tenet.pipes import keys
from tenet.pipes.api import SPACES_ABOUT_LOGS, pipe_behind
from tenet.pipes.errors import (
    ConflictException,
    NotFoundException,
    ServiceQuotaExceededException,
    UnknownOperationException,
    ValidationException,
)
from tenet.pipes.ops import runner
from tenet.store.contract import Engine
from tenet.store.errors import LogTrimmed
from tests.unit.pipes.world import (
    ACCOUNT,
    IDS,
    OTHER,
    ROLE,
    TABLE_ARN,
    World,
    dear,
    in_loop,
    memory,
    queue_arn,
    told,
    until,
)

STORES = pytest.mark.parametrize("make", [memory, dear])
Make = Callable[[], Engine]


@STORES
@pytest.mark.parametrize("is_indexed", [True, False])
@in_loop
async def test_every_way_to_write_is_told_in_its_order(make: Make, *, is_indexed: bool) -> None:
    async with World(make()) as world:
        await world.make_table(is_indexed=is_indexed)
        url = await world.make_queue("out.fifo")
        await world.put("before")
        await world.make_pipe()
        await world.put("a", v="1", g="x")
        await world.put("a", v="1", g="x")  # changes nothing
        await world.table(
            "UpdateItem",
            TableName="orders",
            Key={"Id": {"S": "a"}},
            UpdateExpression="SET v = :v",
            ExpressionAttributeValues={":v": {"S": "2"}},
        )
        batch = [
            {"PutRequest": {"Item": {"Id": {"S": "a"}, "v": {"S": "3"}}}},
            {"DeleteRequest": {"Key": {"Id": {"S": "no"}}}},
        ]
        await world.table("BatchWriteItem", RequestItems={"orders": batch})
        action = {"Put": {"TableName": "orders", "Item": {"Id": {"S": "a"}, "v": {"S": "4"}}}}
        await world.table("TransactWriteItems", TransactItems=[action])
        await world.table("DeleteItem", TableName="orders", Key={"Id": {"S": "a"}})
        await world.table("DeleteItem", TableName="orders", Key={"Id": {"S": "a"}})
        records = await world.records(url, 5)
        assert [told(record) for record in records] == [
            ("INSERT", "a", "1"),
            ("MODIFY", "a", "2"),
            ("MODIFY", "a", "3"),
            ("MODIFY", "a", "4"),
            ("REMOVE", "a", None),
        ]
        old = [record["dynamodb"].get("OldImage", {}).get("v", {}).get("S") for record in records]
        assert old == [None, "1", "2", "3", "4"]
        numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
        assert numbers == sorted(numbers)
        assert len({record["attributes"]["MessageGroupId"] for record in records}) == 1
        assert len({record["eventID"] for record in records}) == 5


@STORES
@in_loop
async def test_filters_let_through_what_matches(make: Make) -> None:
    async with World(make()) as world:
        await world.make_table()
        url = await world.make_queue("out")
        patterns = [
            {"eventName": ["REMOVE"]},
            {"dynamodb": {"NewImage": {"v": {"S": [{"prefix": "paid"}]}}}},
        ]
        await world.make_pipe(target="out", patterns=patterns)
        await world.put("a", v="open")
        await world.put("b", v="paid by card")
        await world.table("DeleteItem", TableName="orders", Key={"Id": {"S": "a"}})
        records = await world.records(url, 2)
        assert {told(record) for record in records} == {("INSERT", "b", "paid by card"), ("REMOVE", "a", None)}
        assert world.measured("tenet_pipe_records_filtered") == 1
        assert world.measured("tenet_pipe_records_sent") == 2
        assert world.measured("tenet_pipe_lag_seconds") == 0


@STORES
@in_loop
async def test_a_pipe_goes_on_where_the_last_process_stopped(make: Make) -> None:
    store = make()
    async with World(store) as world:
        await world.make_table()
        url = await world.make_queue("out.fifo")
        await world.make_pipe()
        await world.put("a", v="1")
        await world.records(url, 1)
        await world.pipe("StopPipe", Name="out")
        await world.put("a", v="2")
    async with World(store) as world:
        await world.put("a", v="3")
        assert (await world.pipe("DescribePipe", Name="out"))["CurrentState"] == "STOPPED"
        await world.pipe("StartPipe", Name="out")
        records = await world.records(url, 2)
        assert [told(record)[2] for record in records] == ["2", "3"]


@in_loop
async def test_two_processes_that_both_run_a_pipe_deliver_once_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "_STAND_BY_S", 0.02)
    store = memory()
    async with World(store) as world, World(store):
        await world.make_table()
        await world.make_queue("out.fifo")
        await world.make_pipe(stream={"BatchSize": 3})
        for number in range(100):
            await world.put("a", v=str(number))
        records = await world.records(f"/{ACCOUNT}/out.fifo", 100)
        assert [told(record)[2] for record in records] == [str(number) for number in range(100)]


@in_loop
async def test_several_pipes_of_a_table_each_get_everything() -> None:
    async with World(dear()) as world:
        await world.make_table()
        urls = [await world.make_queue(name) for name in ("one.fifo", "two.fifo", "same.fifo")]
        await world.make_pipe("one", target="one.fifo")
        await world.make_pipe("two", target="two.fifo")
        # Two pipes into one queue: each of them delivers.
        await world.make_pipe("three", target="same.fifo")
        await world.make_pipe("four", target="same.fifo")
        await world.put("a", v="1")
        for url, count in zip(urls, (1, 1, 2), strict=True):
            await world.records(url, count)
        await world.pipe("DeletePipe", Name="one")
        await world.put("a", v="2")
        await world.records(urls[1], 1)
        await world.records(urls[0], 0)


@STORES
@in_loop
async def test_the_log_is_given_back_and_nothing_stays_of_a_deleted_pipe(make: Make) -> None:
    async with World(make()) as world:
        await world.make_table(is_indexed=False)
        url = await world.make_queue("out.fifo")
        await world.make_pipe()
        (space,) = [one.name for one in await world.store.list_spaces("tables.") if one.options.log is not None]
        for number in range(30):
            await world.put(f"key-{number}", v="1")
        await world.records(url, 30)

        async def is_empty() -> bool:
            entries = 0
            for shard in range(4):
                try:
                    entries += len((await world.store.read_log(space, shard, after=0, limit=100)).entries)
                except LogTrimmed:
                    continue
            return entries == 0

        await until(is_empty)
        await world.pipe("DeletePipe", Name="out")

        async def is_gone() -> bool:
            (info,) = [one for one in await world.store.list_spaces(space) if one.name == space]
            assert info.options.log is not None
            return not info.options.log.readers

        await until(is_gone)
        with pytest.raises(NotFoundException):
            await world.pipe("DescribePipe", Name="out")
        cursors = await world.store.scan(keys.CURSORS_SPACE, limit=10)
        assert not cursors.records
        await world.put("a", v="2")
        await world.put("a", v="3")
        await world.make_pipe()
        await world.put("a", v="4")
        assert [told(record)[2] for record in await world.records(url, 1)] == ["4"]


@in_loop
async def test_trim_horizon_begins_with_what_the_log_has() -> None:
    async with World(memory()) as world:
        await world.make_table()
        slow, url = await world.make_queue("slow.fifo"), await world.make_queue("out.fifo")
        await world.make_pipe("slow", target="slow.fifo", DesiredState="STOPPED")
        await world.put("a", v="1")
        await world.make_pipe(starting="TRIM_HORIZON")
        await world.put("a", v="2")
        assert [told(record)[2] for record in await world.records(url, 2)] == ["1", "2"]
        await world.records(slow, 0)


@in_loop
async def test_a_queue_that_is_gone_is_told_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_RETRY_S_MAX", 0.2)
    async with World(memory()) as world:
        await world.make_table()
        url = await world.make_queue("out.fifo")
        await world.make_pipe()
        await world.queue("DeleteQueue", QueueUrl=url)
        await world.put("a", v="1")
        await world.put("a", v="2")
        described = await world.reason("QueueDoesNotExist")
        assert described["CurrentState"] == "RUNNING"
        (listed,) = (await world.pipe("ListPipes"))["Pipes"]
        assert "QueueDoesNotExist" in listed["StateReason"]
        assert world.measured("tenet_pipe_records_failed") >= 1

        # The second change may have come when the first was taken from the log and refused; then it waits in the log.
        assert world.measured("tenet_pipe_lag_records") in {1, 2}
        other = await world.make_queue("other.fifo")
        await world.pipe("UpdatePipe", Name="out", RoleArn=ROLE, Target=queue_arn("other.fifo"))
        assert [told(record)[2] for record in await world.records(other, 2)] == ["1", "2"]
        await world.reason("")


@in_loop
async def test_a_policy_decides_about_a_queue_of_another_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_RETRY_S_MAX", 0.2)
    async with World(memory()) as world:
        await world.make_table()
        url = await world.make_queue("theirs", OTHER)
        await world.make_pipe(target=queue_arn("theirs", OTHER))
        await world.put("a", v="1")
        await world.reason("AccessDenied")
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": ACCOUNT},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn("theirs", OTHER),
        }
        policy = orjson.dumps({"Version": "2012-10-17", "Statement": [statement]}).decode()
        await world.queue("SetQueueAttributes", OTHER, QueueUrl=url, Attributes={"Policy": policy})
        await world.records(url, 1, OTHER)
        await world.reason("")


@in_loop
async def test_a_record_that_is_too_large_is_told_by_its_keys_alone() -> None:
    async with World(memory()) as world:
        await world.make_table()
        url = await world.make_queue("out.fifo", MaximumMessageSize="2048")
        await world.make_pipe()
        await world.put("a", v="1")
        await world.put("a", v="x" * 3_000)
        await world.put("a", v="2", w="y")
        records = await world.records(url, 3)
        views = [record["dynamodb"]["StreamViewType"] for record in records]
        assert views == ["NEW_AND_OLD_IMAGES", "KEYS_ONLY", "KEYS_ONLY"]
        assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "MODIFY"]
        assert world.measured("tenet_pipe_records_reduced") == 2


@in_loop
async def test_a_record_that_is_never_taken_is_discarded_where_the_pipe_says_so() -> None:
    async with World(memory()) as world:
        await world.make_table()
        url = await world.make_queue("out.fifo")
        group = {"SqsQueueParameters": {"MessageGroupId": "$.dynamodb.NewImage.v.S"}}
        await world.make_pipe(stream={"MaximumRetryAttempts": 1}, TargetParameters=group)
        await world.put("a", v="1")
        await world.put("a", w="no group")
        await world.put("a", v="not a group: é")
        await world.put("a", v="4")
        records = await world.records(url, 2)
        assert [record["attributes"]["MessageGroupId"] for record in records] == ["1", "4"]
        assert world.measured("tenet_pipe_records_discarded") == 2


@in_loop
async def test_what_is_refused_does_not_repeat_what_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_RETRY_S_MAX", 0.05)
    async with World(memory()) as world:
        await world.make_table(is_indexed=False)
        url = await world.make_queue("out", MaximumMessageSize="1024")
        await world.make_pipe(target="out", DesiredState="STOPPED", stream={"BatchSize": 10})
        # A key that makes even the short record too long, and others behind it in the same shard.
        await world.put("k" * 1_000, v="1")
        for number in range(40):
            await world.put(f"key-{number}", v="1")
        await world.pipe("StartPipe", Name="out")
        await world.reason("InvalidParameterValue")
        await asyncio.sleep(0.5)
        await world.queue("SetQueueAttributes", QueueUrl=url, Attributes={"MaximumMessageSize": "262144"})
        await world.reason("")
        seen: list[str] = []

        async def is_all_there() -> bool:
            answer = await world.queue("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                seen.append(orjson.loads(message["Body"])["dynamodb"]["Keys"]["Id"]["S"])
                await world.queue("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return len(set(seen)) == 41

        await until(is_all_there)
        # Those of the batch in which it was refused first may come twice, and no others.
        assert len(seen) <= 41 + 10


@in_loop
async def test_what_is_too_old_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    async with World(memory()) as world:
        await world.make_table()
        url = await world.make_queue("out.fifo")
        await world.make_pipe(DesiredState="STOPPED")
        await world.put("a", v="1")
        await asyncio.sleep(1.2)
        monkeypatch.setattr(runner, "RECORD_S_MAX", 1)
        await world.put("a", v="2")
        await world.pipe("StartPipe", Name="out")
        assert [told(record)[2] for record in await world.records(url, 1)] == ["2"]
        assert world.measured("tenet_pipe_records_discarded") == 1


@in_loop
async def test_a_table_that_is_deleted_ends_its_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_STOPPED_S", 0.1)
    async with World(memory()) as world:
        await world.make_table()
        url = await world.make_queue("out.fifo")
        await world.make_pipe()
        await world.table("DeleteTable", TableName="orders")
        await world.reason("The table was deleted")
        await world.make_table()
        await world.put("a", v="1")
        await world.records(url, 0)
        await world.pipe("DeletePipe", Name="out")
        await world.make_pipe()
        await world.put("a", v="2")
        assert [told(record)[2] for record in await world.records(url, 1)] == ["2"]


@in_loop
async def test_descriptions_say_what_was_given() -> None:
    async with World(memory()) as world:
        await world.make_table()
        await world.make_queue("out.fifo")
        pattern = {"eventName": ["INSERT"]}
        made = await world.make_pipe(
            patterns=[pattern], stream={"BatchSize": 7}, Description="words", Tags={"team": "a"}, DesiredState="STOPPED"
        )
        assert (made["CurrentState"], made["DesiredState"]) == ("CREATING", "STOPPED")
        described = await world.pipe("DescribePipe", Name="out")
        assert described.pop("CreationTime") == described.pop("LastModifiedTime")
        assert described == {
            "Arn": f"arn:aws:pipes:us-east-1:{ACCOUNT}:pipe/out",
            "Name": "out",
            "CurrentState": "STOPPED",
            "DesiredState": "STOPPED",
            "Description": "words",
            "RoleArn": ROLE,
            "Source": TABLE_ARN,
            "SourceParameters": {
                "DynamoDBStreamParameters": {"BatchSize": 7, "StartingPosition": "LATEST"},
                "FilterCriteria": {"Filters": [{"Pattern": orjson.dumps(pattern).decode()}]},
            },
            "Tags": {"team": "a"},
            "Target": queue_arn("out.fifo"),
            "TargetParameters": {},
        }
        changed = await world.pipe(
            "UpdatePipe",
            Name="out",
            RoleArn=ROLE,
            SourceParameters={"DynamoDBStreamParameters": {"MaximumRetryAttempts": 3}},
            TargetParameters={"SqsQueueParameters": {"MessageGroupId": "all"}},
        )
        assert changed["CurrentState"] == "UPDATING"
        described = await world.pipe("DescribePipe", Name="out")
        assert described["Description"] == "words"
        assert described["SourceParameters"] == {
            "DynamoDBStreamParameters": {"MaximumRetryAttempts": 3, "StartingPosition": "LATEST"},
            "FilterCriteria": {"Filters": [{"Pattern": orjson.dumps(pattern).decode()}]},
        }
        assert described["TargetParameters"] == {"SqsQueueParameters": {"MessageGroupId": "all"}}


@in_loop
async def test_pipes_are_listed_and_tagged() -> None:
    async with World(memory()) as world:
        await world.make_table()
        await world.make_queue("out.fifo")
        for name in ("a-1", "a-2", "b-1"):
            await world.make_pipe(name, DesiredState="STOPPED" if name == "a-2" else "RUNNING")

        async def names(**request: Any) -> list[str]:
            return [one["Name"] for one in (await world.pipe("ListPipes", **request))["Pipes"]]

        assert await names() == ["a-1", "a-2", "b-1"]
        assert await names(NamePrefix="a-") == ["a-1", "a-2"]
        assert await names(DesiredState="STOPPED") == ["a-2"]
        assert await names(CurrentState="RUNNING", TargetPrefix="arn:aws:sqs") == ["a-1", "b-1"]
        assert await names(SourcePrefix="arn:aws:kinesis") == []
        first = await world.pipe("ListPipes", Limit="2")
        assert [one["Name"] for one in first["Pipes"]] == ["a-1", "a-2"]
        assert await names(Limit="2", NextToken=first["NextToken"]) == ["b-1"]
        assert await names(account=OTHER) == []
        for request in ({"Limit": "0"}, {"Limit": "x"}, {"NextToken": "é"}, {"NamePrefix": "a/b"}):
            with pytest.raises(ValidationException):
                await names(**request)
        arn = (await world.pipe("DescribePipe", Name="a-1"))["Arn"]
        await world.pipe("TagResource", resourceArn=arn, tags={"x": "1", "y": "2"})
        await world.pipe("UntagResource", resourceArn=arn, tagKeys=["x", "z"])
        assert await world.pipe("ListTagsForResource", resourceArn=arn) == {"tags": {"y": "2"}}
        with pytest.raises(NotFoundException):
            await world.pipe("ListTagsForResource", account=OTHER, resourceArn=arn)
        with pytest.raises(ValidationException):
            await world.pipe("ListTagsForResource", resourceArn="arn:aws:sqs:us-east-1:1:q")


@in_loop
async def test_what_is_not_there_or_there_already_is_refused() -> None:
    async with World(memory(), pipes_max=1) as world:
        with pytest.raises(NotFoundException, match="source"):
            await world.make_pipe()
        await world.make_table()
        with pytest.raises(NotFoundException, match="target"):
            await world.make_pipe()
        await world.make_queue("out.fifo")
        await world.make_pipe()
        with pytest.raises(ConflictException):
            await world.make_pipe()
        with pytest.raises(ServiceQuotaExceededException):
            await world.make_pipe("another")
        for operation in ("DescribePipe", "DeletePipe", "StartPipe", "StopPipe"):
            with pytest.raises(NotFoundException):
                await world.pipe(operation, Name="nobody")
        with pytest.raises(NotFoundException):
            await world.pipe("UpdatePipe", Name="nobody", RoleArn=ROLE)
        with pytest.raises(UnknownOperationException):
            await world.pipe("MendPipe", Name="out")


@in_loop
async def test_a_move_waits_for_pipes_and_leaves_their_cursors_behind() -> None:
    store = memory()
    async with World(store) as world:
        assert await pipe_behind(store, clock=world.clock, ids=IDS) == ""
        await world.make_table()
        url = await world.make_queue("out.fifo")
        await world.make_pipe()
        await world.put("a", v="1")
        await world.records(url, 1)
        assert await pipe_behind(store, clock=world.clock, ids=IDS) == ""
        await world.pipe("StopPipe", Name="out")
        await world.put("a", v="2")
        arn = (await world.pipe("DescribePipe", Name="out"))["Arn"]
        assert await pipe_behind(store, clock=world.clock, ids=IDS) == arn
        await world.pipe("StartPipe", Name="out")
        await world.records(url, 1)
    # As in a copy: pipes and tables are there, cursors and what the logs held are not.
    assert frozenset({keys.CURSORS_SPACE}) == SPACES_ABOUT_LOGS
    await store.drop_space(keys.CURSORS_SPACE)
    async with World(store) as world:
        await world.put("a", v="3")
        assert "3" in {told(record)[2] for record in await world.records(url, 1)}
