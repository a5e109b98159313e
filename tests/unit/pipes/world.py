"""Tables, queues and pipes of one process over a store that outlives it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self, cast

import orjson

from tenet.base.clock import Clock, SystemClock
from tenet.base.ids import SystemIds
from tenet.pipes.api import Caller as PipesCaller
from tenet.pipes.api import Pipes, PipesSettings
from tenet.queues.api import Caller as QueuesCaller
from tenet.queues.api import Queues
from tenet.queues.ops.owning.flushing import QueueGivenUp
from tenet.store.contract import Engine
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tenet.tables.api import Caller as TablesCaller
from tenet.tables.api import Tables
from tests.dear import Dear

IDS = SystemIds()
ACCOUNT, OTHER = "1" * 12, "2" * 12
ROLE = f"arn:aws:iam::{ACCOUNT}:role/pipes"
TABLE_ARN = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/orders"
WAIT_S_MAX = 20.0
SCHEMA: dict[str, Any] = {
    "TableName": "orders",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("Id", "g")],
    "KeySchema": [{"AttributeName": "Id", "KeyType": "HASH"}],
}
INDEX = {
    "IndexName": "by-g",
    "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}


def queue_arn(name: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:sqs:us-east-1:{account}:{name}"


def memory(clock: Clock | None = None) -> Engine:
    return MemoryEngine(MemoryState(), clock=clock or SystemClock(), ids=IDS)


def dear(clock: Clock | None = None) -> Engine:
    """A store on which global indexes are kept from the log too."""
    return cast("Engine", Dear(memory(clock)))


class World:
    """The services of a process.

    Args:
        store: stays when the process is gone.
        clock: time.
        pipes_max: how many pipes an account may have.
    """

    def __init__(self, store: Engine, *, clock: Clock | None = None, pipes_max: int = 100) -> None:
        self.store = store
        self.clock = clock or SystemClock()
        self._settings = PipesSettings(pipes_max)
        self.tables: Tables
        self.queues: Queues
        self.pipes: Pipes

    async def __aenter__(self) -> Self:
        self.tables = await Tables.open(self.store, clock=self.clock, ids=IDS)
        self.queues = await Queues.open(self.store, clock=self.clock, ids=IDS)
        self.pipes = await Pipes.open(
            self.store,
            following=self.tables.following,
            call=self.queues.call,
            clock=self.clock,
            ids=IDS,
            settings=self._settings,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pipes.close()
        await self.queues.close()
        await self.tables.close()

    async def table(self, operation: str, account: str = ACCOUNT, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = orjson.loads(await self.tables.call(operation, request, TablesCaller(account)))
        return answer

    async def queue(self, operation: str, account: str = ACCOUNT, **request: Any) -> dict[str, Any]:
        """Asks as an SDK does: again where nothing was done, as another process has just taken the queue over."""
        while True:
            try:
                return await self.queues.call(operation, request, QueuesCaller(account)) or {}
            except QueueGivenUp:
                await asyncio.sleep(0.01)

    async def pipe(self, operation: str, account: str = ACCOUNT, **request: Any) -> dict[str, Any]:
        return await self.pipes.call(operation, request, PipesCaller(account))

    async def make_table(self, *, is_indexed: bool = True) -> None:
        schema = SCHEMA | ({"GlobalSecondaryIndexes": [INDEX]} if is_indexed else {})
        if not is_indexed:
            schema = schema | {"AttributeDefinitions": SCHEMA["AttributeDefinitions"][:1]}
        await self.table("CreateTable", **schema)
        await until(self._is_active)

    async def _is_active(self) -> bool:
        described = await self.table("DescribeTable", TableName="orders")
        return bool(described["Table"]["TableStatus"] == "ACTIVE")

    async def make_queue(self, name: str, account: str = ACCOUNT, **attributes: str) -> str:
        fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        made = await self.queue("CreateQueue", account, QueueName=name, Attributes=fifo | attributes)
        return str(made["QueueUrl"])

    async def make_pipe(self, name: str = "out", *, target: str = "out.fifo", **more: Any) -> dict[str, Any]:
        """Makes a pipe and waits until it runs."""
        stream = {"StartingPosition": more.pop("starting", "LATEST")} | more.pop("stream", {})
        filters = [{"Pattern": orjson.dumps(pattern).decode()} for pattern in more.pop("patterns", [])]
        made = await self.pipe(
            "CreatePipe",
            Name=name,
            RoleArn=ROLE,
            Source=TABLE_ARN,
            Target=target if target.startswith("arn:") else queue_arn(target),
            SourceParameters={"DynamoDBStreamParameters": stream, "FilterCriteria": {"Filters": filters}},
            **more,
        )
        await self.reaches("RUNNING" if more.get("DesiredState") != "STOPPED" else "STOPPED", name)
        return made

    async def reaches(self, state: str, name: str = "out") -> dict[str, Any]:
        async def has() -> dict[str, Any]:
            described = await self.pipe("DescribePipe", Name=name)
            return described if described["CurrentState"] == state else {}

        found: dict[str, Any] = await until(has)
        return found

    async def reason(self, words: str, name: str = "out") -> dict[str, Any]:
        """Waits until a pipe says why it does not get on; with no words, until it does."""

        async def has() -> dict[str, Any]:
            described = await self.pipe("DescribePipe", Name=name)
            told = described.get("StateReason", "")
            return described if (words in told if words else not told) else {}

        found: dict[str, Any] = await until(has)
        return found

    async def put(self, key: str, **more: str) -> None:
        item = {"Id": {"S": key}} | {name: {"S": value} for name, value in more.items()}
        await self.table("PutItem", TableName="orders", Item=item)

    async def records(self, url: str, count: int, account: str = ACCOUNT) -> list[dict[str, Any]]:
        """Waits for so many messages, and returns the records in them, in the order in which they came."""
        found: list[dict[str, Any]] = []

        async def are_there() -> bool:
            answer = await self.queue(
                "ReceiveMessage", account, QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"]
            )
            for message in answer.get("Messages", []):
                found.append(orjson.loads(message["Body"]) | {"attributes": message["Attributes"]})
                await self.queue("DeleteMessage", account, QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return len(found) >= count

        await until(are_there)
        await asyncio.sleep(0.05)
        await are_there()
        assert len(found) == count, [one["dynamodb"]["Keys"] for one in found]
        return found

    def measured(self, name: str, pipe: str = "out") -> float:
        found = next(one for one in self.pipes.measures() if one.name == name)
        return cast("float", cast("Any", found).values[ACCOUNT, pipe])


async def until(holds: Callable[[], Awaitable[Any]]) -> Any:
    """Waits until something holds, and returns it."""
    async with asyncio.timeout(WAIT_S_MAX):
        while True:
            found = await holds()
            if found:
                return found
            await asyncio.sleep(0.01)


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Makes a test of a coroutine."""

    @functools.wraps(test)
    def run(*arguments: Any, **options: Any) -> None:
        asyncio.run(test(*arguments, **options))

    return run


def told(record: dict[str, Any]) -> tuple[str, str, str | None]:
    """What a record says, in short: event, key, the new value of ``v``."""
    stream = record["dynamodb"]
    return record["eventName"], stream["Keys"]["Id"]["S"], stream.get("NewImage", {}).get("v", {}).get("S")
