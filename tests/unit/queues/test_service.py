"""The service on a store in memory: what outlives a process, who may do what, and what clients see of errors."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Self
from xml.etree import ElementTree as ET

import orjson
import pytest

from tenet.base.clock import ManualClock
from tenet.base.errors import TenetError
from tenet.base.ids import SeededIds
from tenet.queues import keys
from tenet.queues.api import Caller, Queues, QueuesSettings
from tenet.queues.errors import (
    AccessDenied,
    OverLimit,
    QueueDeletedRecently,
    QueueDoesNotExist,
    QueueNameExists,
    SerializationException,
)
from tenet.queues.ops import remains
from tenet.store.contract import Key
from tenet.store.errors import DiskFull, OutcomeUnknown, ReadOnlyStore, StoreFault, StoreUnavailable
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tenet.wire.door import Principal, Request
from tenet.wire.errors import (
    BodyTooLarge,
    InvalidSignature,
    MalformedBody,
    MissingAuthenticationToken,
    Overloaded,
    Throttled,
)

OWNER, OTHER = "111111111111", "222222222222"
BASE = "https://host:1"
_seeds = itertools.count(1)


class Process:
    """A process over a store in memory, whose state outlives it."""

    def __init__(
        self,
        state: MemoryState | None = None,
        clock: ManualClock | None = None,
        settings: QueuesSettings | None = None,
    ) -> None:
        self.state = state or MemoryState()
        self.clock = clock or ManualClock()
        self.ids = SeededIds(next(_seeds))
        self.store = MemoryEngine(self.state, clock=self.clock, ids=SeededIds(next(_seeds)))
        self.settings = settings or QueuesSettings()
        self.queues: Queues

    async def __aenter__(self) -> Self:
        self.queues = await Queues.open(self.store, clock=self.clock, ids=self.ids, settings=self.settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.queues.close()

    async def call(self, operation: str, account: str = OWNER, /, **request: Any) -> dict[str, Any]:
        return await self.queues.call(operation, request, Caller(account, base=BASE)) or {}

    async def holds(self, name: str, count: str) -> None:
        """Waits until a queue has so many messages to receive."""
        names, found = ["ApproximateNumberOfMessages"], ""
        async with asyncio.timeout(20):
            while found != count:
                told = await self.call("GetQueueAttributes", QueueUrl=name, AttributeNames=names)
                found = told["Attributes"][names[0]]
                await asyncio.sleep(0.01)

    async def records(self, kind: bytes) -> int:
        page = await self.store.query(keys.CATALOG_SPACE, OWNER.encode(), limit=1_000)
        return sum(record.sort.startswith(kind) for record in page.records)


def run(body: Callable[[Process], Awaitable[None]], settings: QueuesSettings | None = None) -> None:
    async def main() -> None:
        async with Process(settings=settings) as process:
            await body(process)

    asyncio.run(main())


# ---- the catalog -----------------------------------------------------------------------------------------------------


def test_a_queue_is_there_for_good_and_its_name_is_not_free_at_once() -> None:
    async def body(process: Process) -> None:
        created = await process.call("CreateQueue", QueueName="a", Attributes={"DelaySeconds": "5"}, tags={"k": "v"})
        assert created == {"QueueUrl": f"{BASE}/{OWNER}/a"}
        assert await process.call("CreateQueue", QueueName="a") == created
        with pytest.raises(QueueNameExists):
            await process.call("CreateQueue", QueueName="a", Attributes={"DelaySeconds": "6"})
        async with Process(process.state, process.clock) as later:
            assert await later.call("GetQueueUrl", QueueName="a") == created
            assert await later.call("ListQueueTags", QueueUrl="a") == {"Tags": {"k": "v"}}
        await process.call("DeleteQueue", QueueUrl=created["QueueUrl"])
        for request in ({"QueueUrl": created["QueueUrl"]}, {"QueueUrl": "a"}, {}):
            with pytest.raises(QueueDoesNotExist):
                await process.call("PurgeQueue", **request)
        process.clock.advance_ms(59_999)
        with pytest.raises(QueueDeletedRecently):
            await process.call("CreateQueue", QueueName="a")
        process.clock.advance_ms(1)
        assert await process.call("CreateQueue", QueueName="a") == created
        assert await process.records(b"x") == 0

    run(body)


def test_notes_of_deleted_names_do_not_pile_up() -> None:
    async def body(process: Process) -> None:
        for number in range(30):
            await process.call("CreateQueue", QueueName=f"q{number}")
            await process.call("DeleteQueue", QueueUrl=f"q{number}")
            process.clock.advance_ms(61_000)
        assert await process.records(b"x") == 1
        assert await process.records(b"g") == 0

    run(body)


def test_an_account_has_so_many_queues_and_no_more() -> None:
    async def body(process: Process) -> None:
        for name in ("a", "b"):
            await process.call("CreateQueue", QueueName=name)
        with pytest.raises(OverLimit, match="may have 2 queues"):
            await process.call("CreateQueue", QueueName="c")
        await process.call("CreateQueue", OTHER, QueueName="c")
        await process.call("DeleteQueue", QueueUrl="a")
        await process.call("CreateQueue", QueueName="c")

    run(body, QueuesSettings(queues_max=2))


def test_messages_of_a_queue_in_whose_deletion_a_process_died_go_at_the_next_start() -> None:
    async def body(process: Process) -> None:
        await process.call("CreateQueue", QueueName="a")
        await process.call("SendMessage", QueueUrl="a", MessageBody="x")
        context = process.queues._context
        queue = await context.catalog.queue(OWNER, "a")
        # The first step of DeleteQueue, and no other.
        await context.catalog.delete(queue)
        assert await process.records(b"g") == 1
        assert (await process.store.query(keys.MESSAGES_SPACE, queue.id, limit=10)).records
        async with Process(process.state, process.clock) as later:
            assert await later.records(b"g") == 0
            assert not (await later.store.query(keys.MESSAGES_SPACE, queue.id, limit=10)).records

    run(body)


def test_what_another_process_changes_is_seen_within_a_second() -> None:
    async def body(process: Process) -> None:
        await process.call("CreateQueue", QueueName="a")
        await process.call("SendMessage", QueueUrl="a", MessageBody="x" * 2_000)
        async with Process(process.state, process.clock) as other:
            await other.call("SetQueueAttributes", QueueUrl="a", Attributes={"MaximumMessageSize": "1024"})
        process.clock.advance_ms(1_000)
        with pytest.raises(TenetError, match="shorter than 1024 bytes"):
            await process.call("SendMessage", QueueUrl="a", MessageBody="x" * 2_000)

    run(body)


def test_lists_go_on_where_they_ended() -> None:
    async def body(process: Process) -> None:
        dead = "arn:aws:sqs:us-east-1:111111111111:dead"
        redrive = {"RedrivePolicy": orjson.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 1}).decode()}
        for number in range(7):
            if number == 1:
                await process.call("CreateQueue", QueueName="dead")
            await process.call("CreateQueue", QueueName=f"q{number}", Attributes=redrive if number > 1 else {})
        await process.call("CreateQueue", OTHER, QueueName="q-other")
        for operation, member, request, expected in (
            ("ListQueues", "QueueUrls", {"QueueNamePrefix": "q"}, [f"q{number}" for number in range(7)]),
            ("ListDeadLetterSourceQueues", "queueUrls", {"QueueUrl": "dead"}, [f"q{number}" for number in range(2, 7)]),
        ):
            found: list[str] = []
            token: dict[str, Any] = {}
            while True:
                page = await process.call(operation, MaxResults=2, **request, **token)
                found += [url.rpartition("/")[2] for url in page[member]]
                if "NextToken" not in page:
                    break
                token = {"NextToken": page["NextToken"]}
            assert found == expected
        everything = await process.call("ListQueues")
        assert len(everything["QueueUrls"]) == 8

    run(body)


# ---- who may ---------------------------------------------------------------------------------------------------------


def test_another_account_may_what_a_permission_says() -> None:
    async def body(process: Process) -> None:
        url = (await process.call("CreateQueue", QueueName="a"))["QueueUrl"]
        with pytest.raises(AccessDenied, match="because no resource-based policy allows the sqs:sendmessage action"):
            await process.call("SendMessage", OTHER, QueueUrl=url, MessageBody="x")
        with pytest.raises(QueueDoesNotExist):
            await process.call("GetQueueUrl", OTHER, QueueName="a", QueueOwnerAWSAccountId=OWNER)
        permission = {"Label": "l", "AWSAccountIds": [OTHER], "Actions": ["SendMessage", "GetQueueUrl"]}
        await process.call("AddPermission", QueueUrl=url, **permission)
        await process.call("SendMessage", OTHER, QueueUrl=url, MessageBody="x")
        entries = [{"Id": "1", "MessageBody": "x"}]
        assert "Successful" in await process.call("SendMessageBatch", OTHER, QueueUrl=url, Entries=entries)
        found = await process.call("GetQueueUrl", OTHER, QueueName="a", QueueOwnerAWSAccountId=OWNER)
        assert found == {"QueueUrl": url}
        for operation in ("ReceiveMessage", "DeleteQueue", "SetQueueAttributes", "ListQueueTags"):
            with pytest.raises(AccessDenied):
                await process.call(operation, OTHER, QueueUrl=url, Attributes={"DelaySeconds": "1"})
        await process.call("RemovePermission", QueueUrl=url, Label="l")
        with pytest.raises(AccessDenied):
            await process.call("SendMessage", OTHER, QueueUrl=url, MessageBody="x")

    run(body)


def test_a_denial_binds_the_owner_who_can_take_it_back() -> None:
    async def body(process: Process) -> None:
        await process.call("CreateQueue", QueueName="a")
        everything = {"Statement": {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*"}}
        policy = {"Policy": orjson.dumps(everything).decode()}
        await process.call("SetQueueAttributes", QueueUrl="a", Attributes=policy)
        with pytest.raises(AccessDenied, match="with an explicit deny in a resource-based policy"):
            await process.call("SendMessage", QueueUrl="a", MessageBody="x")
        shown = await process.call("GetQueueAttributes", QueueUrl="a", AttributeNames=["Policy"])
        assert shown == {"Attributes": policy}
        await process.call("SetQueueAttributes", QueueUrl="a", Attributes={"Policy": ""})
        await process.call("SendMessage", QueueUrl="a", MessageBody="x")

    run(body)


# ---- message movement tasks ------------------------------------------------------------------------------------------


async def _dead_letters(process: Process, count: int) -> str:
    arn = "arn:aws:sqs:us-east-1:111111111111:dead"
    await process.call("CreateQueue", QueueName="dead")
    redrive = orjson.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5}).decode()
    await process.call("CreateQueue", QueueName="a", Attributes={"RedrivePolicy": redrive})
    for number in range(count):
        await process.call("SendMessage", QueueUrl="dead", MessageBody=str(number))
    return arn


async def _bodies(process: Process, name: str) -> list[str]:
    found: list[str] = []
    while messages := (await process.call("ReceiveMessage", QueueUrl=name, MaxNumberOfMessages=10)).get("Messages"):
        found += [message["Body"] for message in messages]
    return found


async def _until_it_ends(process: Process, arn: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            (task,) = (await process.call("ListMessageMoveTasks", SourceArn=arn))["Results"]
            if task["Status"] not in {"RUNNING", "CANCELLING"}:
                found: dict[str, Any] = task
                return found
            await asyncio.sleep(0.01)


def test_a_task_that_a_process_left_goes_on_in_the_next_one() -> None:
    async def body(process: Process) -> None:
        arn = await _dead_letters(process, 30)
        to = "arn:aws:sqs:us-east-1:111111111111:a"
        request = {"SourceArn": arn, "DestinationArn": to, "MaxNumberOfMessagesPerSecond": 10}
        await process.call("StartMessageMoveTask", **request)
        with pytest.raises(TenetError, match="There is already a task running"):
            await process.call("StartMessageMoveTask", **request)
        await process.queues.close()
        async with Process(process.state, process.clock) as later:
            with pytest.raises(TenetError, match="There is already a task running"):
                await later.call("StartMessageMoveTask", **request)
            task = await _until_it_ends(later, arn)
            assert task["Status"] == "COMPLETED"
            assert task["DestinationArn"] == to
            assert sorted(map(int, await _bodies(later, "a"))) == list(range(30))
            assert await _bodies(later, "dead") == []
            # Its place is free again.
            await later.call("StartMessageMoveTask", **request)
            assert (await _until_it_ends_all(later, arn)) == ["COMPLETED", "COMPLETED"]

    async def _until_it_ends_all(process: Process, arn: str) -> list[str]:
        await _until_it_ends(process, arn)
        tasks = (await process.call("ListMessageMoveTasks", SourceArn=arn, MaxResults=10))["Results"]
        return [task["Status"] for task in tasks]

    run(body)


def test_a_task_of_a_queue_that_is_deleted_ends_with_it() -> None:
    async def body(process: Process) -> None:
        arn = await _dead_letters(process, 5)
        to = "arn:aws:sqs:us-east-1:111111111111:a"
        await process.call("StartMessageMoveTask", SourceArn=arn, DestinationArn=to, MaxNumberOfMessagesPerSecond=1)
        queue = await process.queues._context.catalog.queue(OWNER, "dead")
        await process.call("DeleteQueue", QueueUrl="dead")
        assert not process.queues._context.mover._active
        assert not (await process.store.query(keys.MOVES_SPACE, queue.id, limit=10)).records
        # As if the process had died before it removed them.
        left = Key(keys.MOVES_SPACE, queue.id, b"a")
        assert (await process.store.get((left,)))[0] is None

    run(body)


def test_large_messages_are_moved_a_few_at_a_time() -> None:
    async def body(process: Process) -> None:
        arn = await _dead_letters(process, 0)
        for number in range(12):
            await process.call("SendMessage", QueueUrl="dead", MessageBody=str(number % 10) * 1_048_576)
        to = "arn:aws:sqs:us-east-1:111111111111:a"
        await process.call("StartMessageMoveTask", SourceArn=arn, DestinationArn=to)
        task = await _until_it_ends(process, arn)
        assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 12)
        assert len(await _bodies(process, "a")) == 12

    run(body)


def test_a_task_that_cannot_move_everything_moves_nothing_twice() -> None:
    async def body(process: Process) -> None:
        arn = await _dead_letters(process, 0)
        other = orjson.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1}).decode()
        await process.call("SetQueueAttributes", QueueUrl="a", Attributes={"RedrivePolicy": other})
        await process.call("CreateQueue", QueueName="b", Attributes={"RedrivePolicy": other})
        for name in ("a", "b"):
            await process.call("SendMessage", QueueUrl=name, MessageBody=name)
            for _ in range(2):
                await process.call("ReceiveMessage", QueueUrl=name, VisibilityTimeout=0)
        await process.holds("dead", "2")
        await process.call("DeleteQueue", QueueUrl="b")
        for _ in range(3):
            await process.call("StartMessageMoveTask", SourceArn=arn)
            task = await _until_it_ends(process, arn)
            assert (task["Status"], task["FailureReason"]) == ("FAILED", "AWS.SimpleQueueService.NonExistentQueue")
        assert await _bodies(process, "a") == []
        assert sorted(await _bodies(process, "dead")) == ["a", "b"]

    run(body)


def test_what_is_left_of_a_deleted_queue_goes_as_soon_as_the_store_can_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remains, "_PAUSE_S_MIN", 0.01)

    async def body(process: Process) -> None:
        await process.call("CreateQueue", QueueName="a")
        await process.call("SendMessage", QueueUrl="a", MessageBody="x")
        queue = await process.queues._context.catalog.queue(OWNER, "a")
        discard, failures = process.store.discard, itertools.count()

        async def failing(*arguments: Any, **options: Any) -> None:
            if next(failures) < 3:
                raise StoreUnavailable("not now")
            await discard(*arguments, **options)

        monkeypatch.setattr(process.store, "discard", failing)
        assert await process.call("DeleteQueue", QueueUrl="a") == {}
        assert await process.records(b"g") == 1
        async with asyncio.timeout(20):
            while await process.records(b"g"):  # noqa: ASYNC110 (as an operator looks)
                await asyncio.sleep(0.01)
        assert not (await process.store.query(keys.MESSAGES_SPACE, queue.id, limit=10)).records

    run(body)


# ---- messages --------------------------------------------------------------------------------------------------------


def test_a_message_that_json_makes_twice_as_long_is_sent_and_received() -> None:
    async def body(process: Process) -> None:
        await process.call("CreateQueue", QueueName="a")
        value = '"' * (1_048_576 - 1 - len("nString"))
        attributes = {"n": {"DataType": "String", "StringValue": value}}
        sent = await process.call("SendMessage", QueueUrl="a", MessageBody="x", MessageAttributes=attributes)
        for names in (["All"], ["n"]):
            request = {"QueueUrl": "a", "VisibilityTimeout": 0, "MessageAttributeNames": names}
            (message,) = (await process.call("ReceiveMessage", **request))["Messages"]
            assert message["MessageAttributes"] == attributes
            assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]

    run(body)


def test_a_queue_with_itself_for_its_dead_letters_keeps_its_messages() -> None:
    async def body(process: Process) -> None:
        await process.call("CreateQueue", QueueName="a")
        arn = "arn:aws:sqs:us-east-1:111111111111:a"
        redrive = {"RedrivePolicy": orjson.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1}).decode()}
        await process.call("SetQueueAttributes", QueueUrl="a", Attributes=redrive)
        await process.call("SendMessage", QueueUrl="a", MessageBody="x")
        for _ in range(5):
            received = await process.call("ReceiveMessage", QueueUrl="a", VisibilityTimeout=0)
            assert [message["Body"] for message in received["Messages"]] == ["x"]
        await process.holds("a", "1")

    run(body)


# ---- what clients see of errors --------------------------------------------------------------------------------------


def answered(error: TenetError | None, *, takes_json: bool, operation: str = "SendMessage") -> Any:
    """What a client gets where an operation, or the edge before it, raises an error."""

    async def main() -> Any:
        async with Process() as process:
            service = process.queues.service("https")
            headers = {"host": "h"} | ({"x-amz-target": f"AmazonSQS.{operation}"} if takes_json else {})
            body = b"{}" if takes_json else f"Action={operation}".encode()
            principal = Principal("AK", OWNER)
            request = Request(
                "POST", "/", "", headers, body, operation=operation, request_id="RID", principal=principal
            )
            return service.refuse(request, error) if error is not None else await service.answer(request)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "status", "shape", "code", "words"),
    [
        (
            QueueDoesNotExist(),
            400,
            "com.amazonaws.sqs#QueueDoesNotExist",
            "AWS.SimpleQueueService.NonExistentQueue",
            "",
        ),
        (Throttled("slow"), 403, "com.amazonaws.sqs#RequestThrottled", "RequestThrottled", "slow"),
        (Overloaded("later"), 503, "com.amazon.coral.availability#ServiceUnavailable", "ServiceUnavailable", "later"),
        (
            InvalidSignature("no match"),
            403,
            "com.amazon.coral.service#InvalidSignatureException",
            "SignatureDoesNotMatch",
            "no match",
        ),
        (
            MissingAuthenticationToken(),
            403,
            "com.amazon.coral.service#AccessDeniedException",
            "AccessDenied",
            "Access to the resource is denied.",
        ),
        (
            BodyTooLarge(),
            413,
            "com.amazon.coral.service#InvalidParameterValueException",
            "InvalidParameterValue",
            "larger",
        ),
        (
            StoreUnavailable("secret"),
            503,
            "com.amazon.coral.availability#ServiceUnavailable",
            "ServiceUnavailable",
            "Nothing was written; please try again.",
        ),
        (
            DiskFull("secret"),
            503,
            "com.amazon.coral.availability#ServiceUnavailable",
            "ServiceUnavailable",
            "disk is full",
        ),
        (ReadOnlyStore("secret"), 500, "com.amazon.coral.service#InternalFailure", "InternalFailure", "reads go on"),
        (OutcomeUnknown("secret"), 500, "com.amazon.coral.service#InternalFailure", "InternalFailure", "is not known"),
        (StoreFault("secret"), 500, "com.amazon.coral.service#InternalFailure", "InternalFailure", "request id RID"),
    ],
)
def test_errors_look_as_each_protocol_has_them(
    error: TenetError, status: int, shape: str, code: str, words: str
) -> None:
    told = answered(error, takes_json=True)
    assert told.status == status
    document = orjson.loads(told.body)
    assert document["__type"] == shape
    message = document.get("message", document.get("Message", ""))
    assert words in message
    assert "secret" not in message
    fault = "Receiver" if status >= 500 else "Sender"
    assert told.headers == (("x-amzn-query-error", f"{code};{fault}"),)

    told = answered(error, takes_json=False)
    assert (told.status, told.content_type) == (status, "text/xml")
    space = "{http://queue.amazonaws.com/doc/2012-11-05/}"
    root = ET.fromstring(told.body)
    assert root.findtext(f"{space}Error/{space}Code") == code
    assert root.findtext(f"{space}Error/{space}Type") == fault
    assert words in (root.findtext(f"{space}Error/{space}Message") or "")
    assert root.findtext(f"{space}RequestId") == "RID"


@pytest.mark.parametrize("takes_json", [True, False])
def test_what_is_nested_too_deeply_is_refused_as_what_cannot_be_parsed(*, takes_json: bool) -> None:
    told = answered(MalformedBody(), takes_json=takes_json)
    assert told.status == 400
    assert b"denied" not in told.body
    unparsed = answered(SerializationException(), takes_json=takes_json)
    assert (told.status, told.body, told.headers) == (unparsed.status, unparsed.body, unparsed.headers)


def test_an_operation_that_there_is_not() -> None:
    told = answered(None, takes_json=True, operation="Fly")
    assert (told.status, told.headers) == (400, (("x-amzn-query-error", "InvalidAction;Sender"),))
    told = answered(None, takes_json=False, operation="Fly")
    assert b"The action Fly is not valid for this endpoint." in told.body
    told = answered(None, takes_json=False, operation="")
    assert (told.status, told.body) == (404, b"<UnknownOperationException/>\n")
