"""Tables as a whole: made, described, changed, tagged and deleted, on every engine, through crashes and races."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from tenet.base.clock import Clock, ManualClock, SystemClock
from tenet.base.errors import TenetError
from tenet.base.ids import SystemIds
from tenet.store import memory
from tenet.store.cached import STALE_S
from tenet.store.contract import Engine
from tenet.store.sqlite import engine as sqlite
from tenet.tables.api import Caller, Tables, TablesSettings
from tenet.tables.errors import ResourceNotFoundException

ACCOUNT, OTHER = "0" * 12, "1" * 12
ARN = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/abc"
LONG_MS = 3_600_000
Json = dict[str, Any]

TABLE: Json = {
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in "pg"],
    "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "gsi",
            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
}


class Client:
    """Calls the door of the tables room as one tenant."""

    def __init__(self, tables: Tables, account: str = ACCOUNT) -> None:
        self.tables = tables
        self.account = account

    async def __call__(self, operation: str, **request: Any) -> Json:
        body = await self.tables.call(operation, request, Caller(self.account, host="example:8000"))
        answer: Json = orjson.loads(body or b"{}")
        return answer

    async def refusal(self, operation: str, **request: Any) -> tuple[str, str]:
        try:
            await self(operation, **request)
        except TenetError as error:
            return error.code, error.message
        pytest.fail(f"{operation} was not refused")

    async def status(self, name: str = "abc") -> str | None:
        try:
            answer = await self("DescribeTable", TableName=name)
        except ResourceNotFoundException:
            return None
        status: str = answer["Table"]["TableStatus"]
        return status


async def eventually(check: Callable[[], Awaitable[bool]], timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while not await check():  # noqa: ASYNC110 - what is waited for happens in the store
            await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(engine: Engine, *, clock: Clock | None = None, **settings: int) -> AsyncIterator[Client]:
    tables = await Tables.open(
        engine, clock=clock or SystemClock(), ids=SystemIds(), settings=TablesSettings(**settings)
    )
    try:
        yield Client(tables)
    finally:
        await tables.close()


@pytest.fixture(params=["memory", "sqlite"])
def on_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[Engine], Awaitable[None]]], None]:
    """Runs a test on an engine of its own."""
    module = {"memory": memory, "sqlite": sqlite}[request.param]

    def run(test: Callable[[Engine], Awaitable[None]]) -> None:
        async def main() -> None:
            engine: Engine = await module.open_engine(str(tmp_path / "data"), clock=SystemClock(), ids=SystemIds())
            try:
                await test(engine)
            finally:
                await engine.close()

        asyncio.run(main())

    return run


Run = Callable[[Callable[[Engine], Awaitable[None]]], None]


async def spaces(engine: Engine) -> set[str]:
    listed = await engine.list_spaces("tables.")
    return {info.name for info in listed} - {"tables.catalog", "tables.tokens", "tables.expiry", "tables.sweeps"}


def test_a_table_from_its_creation_to_its_end(on_engine: Run) -> None:
    async def test(engine: Engine) -> None:
        async with opened(engine) as client:
            made = (await client("CreateTable", TableName="abc", **TABLE))["TableDescription"]
            assert made["TableStatus"] == "CREATING"
            assert made["GlobalSecondaryIndexes"][0]["IndexStatus"] == "CREATING"
            assert (made["TableArn"], made["ItemCount"], made["TableSizeBytes"]) == (ARN, 0, 0)
            table = (await client("DescribeTable", TableName=ARN))["Table"]
            assert table["TableId"] == made["TableId"]
            assert table["TableStatus"] == "ACTIVE"
            assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
            assert table["ProvisionedThroughput"] == {
                "NumberOfDecreasesToday": 0,
                "ReadCapacityUnits": 0,
                "WriteCapacityUnits": 0,
            }
            (index,) = table["GlobalSecondaryIndexes"]
            assert (index["IndexArn"], index["IndexStatus"]) == (ARN + "/index/gsi", "ACTIVE")
            assert table["DeletionProtectionEnabled"] is False
            assert len(await spaces(engine)) == 2
            assert await client("ListTables") == {"TableNames": ["abc"]}
            gone = (await client("DeleteTable", TableName="abc"))["TableDescription"]
            assert gone["TableStatus"] == "DELETING"
            assert await client.refusal("DescribeTable", TableName="abc") == (
                "ResourceNotFoundException",
                "Requested resource not found: Table: abc not found",
            )
            assert await spaces(engine) == set()

    on_engine(test)


def test_transitions_take_their_time(on_engine: Run) -> None:
    async def test(engine: Engine) -> None:
        async with opened(engine, transition_ms=60) as client:
            await client("CreateTable", TableName="abc", **TABLE)
            assert await client.status() == "CREATING"
            assert await client.refusal("GetItem", TableName="abc", Key={"p": {"S": "x"}}) == (
                "ResourceNotFoundException",
                "Requested resource not found",
            )
            creating = "Attempt to change a resource which is still in use: Table is being created: abc"
            assert await client.refusal("DeleteTable", TableName="abc") == ("ResourceInUseException", creating)
            assert await client.refusal("CreateTable", TableName="abc", **TABLE) == ("ResourceInUseException", creating)
            expiring = {"AttributeName": "t", "Enabled": True}
            assert await client.refusal("UpdateTimeToLive", TableName="abc", TimeToLiveSpecification=expiring) == (
                "ResourceInUseException",
                "Attempt to change a resource which is still in use: Table abc is being created",
            )
            assert await client.refusal("DescribeTimeToLive", TableName="abc") == (
                "ValidationException",
                "Cannot describe time to live while table is in CREATING state: Current table state is CREATING",
            )
            await eventually(lambda: is_(client, "ACTIVE"))
            assert await client("GetItem", TableName="abc", Key={"p": {"S": "x"}}) == {}
            await client("UpdateTable", TableName="abc", TableClass="STANDARD_INFREQUENT_ACCESS")
            assert await client.status() == "UPDATING"
            assert await client("GetItem", TableName="abc", Key={"p": {"S": "x"}}) == {}
            await client("UpdateTimeToLive", TableName="abc", TimeToLiveSpecification=expiring)
            await eventually(lambda: is_(client, "ACTIVE"))
            table = (await client("DescribeTable", TableName="abc"))["Table"]
            assert table["TableClassSummary"]["TableClass"] == "STANDARD_INFREQUENT_ACCESS"
            await client("UpdateTable", TableName="abc", DeletionProtectionEnabled=True)
            assert await client.status() == "ACTIVE"
            assert (await client.refusal("DeleteTable", TableName="abc"))[0] == "ValidationException"
            await client("UpdateTable", TableName="abc", DeletionProtectionEnabled=False)
            await client("DeleteTable", TableName="abc")
            assert await client.status() == "DELETING"
            assert await client.refusal("DescribeTimeToLive", TableName="abc") == (
                "ValidationException",
                "Cannot describe time to live while table is in DELETING state: Current table state is DELETING",
            )
            assert (await client.refusal("GetItem", TableName="abc", Key={"p": {"S": "x"}}))[0] == (
                "ResourceNotFoundException"
            )
            assert await client.refusal("CreateTable", TableName="abc", **TABLE) == (
                "ResourceInUseException",
                "Table already exists: abc",
            )
            await eventually(lambda: is_(client, None))

    on_engine(test)


IN_USE = "Attempt to change a resource which is still in use: "
CAPACITY = {"ReadCapacityUnits": 2, "WriteCapacityUnits": 2}


@pytest.mark.parametrize(
    ("change", "deletion", "capacity"),
    [
        (
            {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}},
            "Cannot delete table while stream is being enabled/disabled.",
            "Table is being updated: abc",
        ),
        (
            {"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "gsi"}}]},
            "Cannot delete table while indexes are being created, updated, or deleted.",
            "Table is being updated: abc",
        ),
        (
            {"ProvisionedThroughput": {"ReadCapacityUnits": 9, "WriteCapacityUnits": 9}},
            "Table: abc is in the process of being updated.",
            "Table IOPS are currently being updated. Table: abc",
        ),
        (
            {"TableClass": "STANDARD_INFREQUENT_ACCESS"},
            "Table: abc is in the process of being updated.",
            "Table is being updated: abc",
        ),
    ],
)
def test_what_can_be_done_while_a_table_is_updated(on_engine: Run, change: Json, deletion: str, capacity: str) -> None:
    provisioned = {**TABLE, "BillingMode": "PROVISIONED", "ProvisionedThroughput": {**CAPACITY, "ReadCapacityUnits": 1}}
    provisioned["GlobalSecondaryIndexes"] = [{**TABLE["GlobalSecondaryIndexes"][0], "ProvisionedThroughput": CAPACITY}]

    async def test(engine: Engine) -> None:
        clock = ManualClock(SystemClock().wall_ms())
        async with opened(engine, clock=clock) as client:
            await client("CreateTable", TableName="abc", **provisioned)
        async with opened(engine, clock=clock, transition_ms=LONG_MS) as client:
            await client("UpdateTable", TableName="abc", **change)
            assert await client.status() == "UPDATING"
            in_use = "ResourceInUseException"
            assert await client.refusal("DeleteTable", TableName="abc") == (in_use, IN_USE + deletion)
            again = await client.refusal("UpdateTable", TableName="abc", ProvisionedThroughput=CAPACITY)
            assert again == (in_use, IN_USE + capacity)
            # Protection can be changed meanwhile, and the change that is under way goes on.
            answer = await client("UpdateTable", TableName="abc", DeletionProtectionEnabled=True)
            assert answer["TableDescription"]["DeletionProtectionEnabled"]
            assert await client.status() == "UPDATING"
        clock.advance_ms(LONG_MS)
        async with opened(engine, clock=clock, transition_ms=LONG_MS) as client:
            await eventually(lambda: is_(client, "ACTIVE"))
            table = (await client("DescribeTable", TableName="abc"))["Table"]
            assert table["DeletionProtectionEnabled"]
            is_done = {
                "StreamSpecification": "StreamSpecification" in table,
                "GlobalSecondaryIndexUpdates": "GlobalSecondaryIndexes" not in table,
                "ProvisionedThroughput": table["ProvisionedThroughput"]["ReadCapacityUnits"] == 9,
                "TableClass": "TableClassSummary" in table,
            }
            assert all(is_done[name] for name in change)
            assert (await client.refusal("DeleteTable", TableName="abc"))[0] == "ValidationException"

    on_engine(test)


async def is_(client: Client, status: str | None) -> bool:
    return await client.status() == status


def test_what_a_process_left_behind_is_taken_up(on_engine: Run) -> None:
    """A process that dies in the middle of a transition loses nothing and leaves nothing."""

    async def test(engine: Engine) -> None:
        clock = ManualClock(SystemClock().wall_ms())
        async with opened(engine, clock=clock, transition_ms=LONG_MS) as client:
            await client("CreateTable", TableName="abc", **TABLE)
            assert await spaces(engine) == set()
        clock.advance_ms(LONG_MS)
        async with opened(engine, clock=clock, transition_ms=LONG_MS) as client:
            await eventually(lambda: is_(client, "ACTIVE"))
            assert len(await spaces(engine)) == 2
            await client(
                "UpdateTable",
                TableName="abc",
                BillingMode="PROVISIONED",
                ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 2},
                GlobalSecondaryIndexUpdates=[
                    {
                        "Update": {
                            "IndexName": "gsi",
                            "ProvisionedThroughput": {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4},
                        }
                    }
                ],
            )
        clock.advance_ms(LONG_MS)
        async with opened(engine, clock=clock, transition_ms=LONG_MS) as client:
            await eventually(lambda: is_(client, "ACTIVE"))
            table = (await client("DescribeTable", TableName="abc"))["Table"]
            assert table["ProvisionedThroughput"]["WriteCapacityUnits"] == 2
            assert table["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]["ReadCapacityUnits"] == 3
            await client("DeleteTable", TableName="abc")
            assert len(await spaces(engine)) == 2
        clock.advance_ms(LONG_MS)
        async with opened(engine, clock=clock) as client:
            await eventually(lambda: is_(client, None))
            assert await spaces(engine) == set()

    on_engine(test)


def test_tags_change_while_a_transition_runs(on_engine: Run) -> None:
    async def test(engine: Engine) -> None:
        async with opened(engine, transition_ms=60) as client:
            await client("CreateTable", TableName="abc", **TABLE)
            await client("TagResource", ResourceArn=ARN, Tags=[{"Key": "a", "Value": "1"}])
            await eventually(lambda: is_(client, "ACTIVE"))
            assert (await client("ListTagsOfResource", ResourceArn=ARN))["Tags"] == [{"Key": "a", "Value": "1"}]

    on_engine(test)


def test_of_many_at_once_one_makes_and_one_deletes_the_table(on_engine: Run) -> None:
    async def test(engine: Engine) -> None:
        async with opened(engine) as client:
            for _ in range(3):
                made = await outcomes(client, "CreateTable", TableName="abc", **TABLE)
                assert made == {"": 1, "ResourceInUseException": 19}
                deleted = await outcomes(client, "DeleteTable", TableName="abc")
                assert deleted.pop("") == 1
                assert set(deleted) <= {"ResourceInUseException", "ResourceNotFoundException"}
                await eventually(lambda: is_(client, None))

    on_engine(test)


async def outcomes(client: Client, operation: str, **request: Any) -> dict[str, int]:
    async def once() -> str:
        try:
            await client(operation, **request)
        except TenetError as error:
            return error.code
        return ""

    codes = await asyncio.gather(*(once() for _ in range(20)))
    return {code: codes.count(code) for code in set(codes)}


def test_tables_are_counted_and_limited(on_engine: Run) -> None:
    async def test(engine: Engine) -> None:
        async with opened(engine, tables_max=3) as client:
            names = [f"table{number}" for number in range(8)]
            made = await asyncio.gather(
                *(client("CreateTable", TableName=name, **TABLE) for name in names), return_exceptions=True
            )
            refused = [answer for answer in made if isinstance(answer, TenetError)]
            assert len(refused) == 5
            assert {(error.code, error.message) for error in refused} == {
                (
                    "LimitExceededException",
                    "Subscriber limit exceeded: There is a limit of 3 tables per subscriber",
                )
            }
            (first, *_) = (await client("ListTables"))["TableNames"]
            await client("DeleteTable", TableName=first)
            await eventually(lambda: has_no(client, first))
            await client("CreateTable", TableName="another", **TABLE)
            assert (await client.refusal("CreateTable", TableName="more", **TABLE))[0] == "LimitExceededException"
            # Another tenant's count is its own.
            await Client(client.tables, OTHER)("CreateTable", TableName="more", **TABLE)

    on_engine(test)


async def has_no(client: Client, name: str) -> bool:
    return await client.status(name) is None


def test_tenants_do_not_see_each_other(on_engine: Run) -> None:
    async def test(engine: Engine) -> None:
        async with opened(engine) as client:
            other = Client(client.tables, OTHER)
            await client("CreateTable", TableName="abc", **TABLE)
            await client("PutItem", TableName="abc", Item={"p": {"S": "mine"}})
            assert (await other.refusal("DescribeTable", TableName="abc"))[0] == "ResourceNotFoundException"
            assert await other("ListTables") == {"TableNames": []}
            await other("CreateTable", TableName="abc", **TABLE)
            assert await other("GetItem", TableName="abc", Key={"p": {"S": "mine"}}) == {}
            for operation, request in (
                ("DescribeTable", {}),
                ("GetItem", {"Key": {"p": {"S": "mine"}}}),
                ("DeleteTable", {}),
                ("PutItem", {"Item": {"p": {"S": "x"}}}),
            ):
                there = await other.refusal(operation, TableName=ARN, **request)
                absent = await other.refusal(operation, TableName=ARN + "x", **request)
                assert there[0] == "AccessDeniedException"
                assert there[1].replace(ARN, "") == absent[1].replace(ARN + "x", "")
            assert (await other.refusal("TagResource", ResourceArn=ARN, Tags=[{"Key": "a", "Value": "b"}]))[0] == (
                "AccessDeniedException"
            )
            await other("DeleteTable", TableName="abc")
            assert await client("GetItem", TableName="abc", Key={"p": {"S": "mine"}}) == {"Item": {"p": {"S": "mine"}}}

    on_engine(test)


def test_a_table_made_again_is_empty(on_engine: Run) -> None:
    async def test(engine: Engine) -> None:
        async with opened(engine) as client:
            for _ in range(3):
                await client("CreateTable", TableName="abc", **TABLE)
                assert await client("GetItem", TableName="abc", Key={"p": {"S": "x"}}) == {}
                await client("PutItem", TableName="abc", Item={"p": {"S": "x"}})
                await client("DeleteTable", TableName="abc")
                await eventually(lambda: is_(client, None))

    on_engine(test)


def test_lists_are_paged_in_the_order_of_names(on_engine: Run) -> None:
    async def test(engine: Engine) -> None:
        async with opened(engine) as client:
            names = sorted(["Zebra", "_under", "a.b", "a-b", "ab1", "ab10", "ab2"])
            for name in reversed(names):
                await client("CreateTable", TableName=name, **TABLE)
            seen: list[str] = []
            page = await client("ListTables", Limit=2)
            while True:
                seen += page["TableNames"]
                if "LastEvaluatedTableName" not in page:
                    break
                assert page["LastEvaluatedTableName"] == page["TableNames"][-1]
                page = await client("ListTables", Limit=2, ExclusiveStartTableName=page["LastEvaluatedTableName"])
            assert seen == names
            assert await client("ListTables", ExclusiveStartTableName="ab100") == {"TableNames": ["ab2"]}
            assert await client("ListTables", Limit=7) == {"TableNames": names}

    on_engine(test)


def test_what_another_process_changes_is_seen_within_a_second(on_engine: Run) -> None:
    async def test(engine: Engine) -> None:
        clock = ManualClock(SystemClock().wall_ms())
        async with opened(engine, clock=clock) as first, opened(engine, clock=clock) as second:
            await first("CreateTable", TableName="abc", **TABLE)
            await first("GetItem", TableName="abc", Key={"p": {"S": "x"}})
            await second("DeleteTable", TableName="abc")
            clock.advance_ms(int(STALE_S * 1000) + 1)
            code, message = await first.refusal("GetItem", TableName="abc", Key={"p": {"S": "x"}})
            assert (code, message) == ("ResourceNotFoundException", "Requested resource not found")

    on_engine(test)


def test_figures_of_small_tables_are_exact(on_engine: Run) -> None:
    async def test(engine: Engine) -> None:
        async with opened(engine) as client:
            await client("CreateTable", TableName="abc", **TABLE)
            for number in range(20):
                item: Json = {"p": {"S": f"{number:03}"}}
                if number % 2:
                    item["g"] = {"S": "g"}
                await client("PutItem", TableName="abc", Item=item)
            table = (await client("DescribeTable", TableName="abc"))["Table"]
            (index,) = table["GlobalSecondaryIndexes"]
            assert (table["ItemCount"], table["TableSizeBytes"]) == (20, 20 * 4 + 10 * 2)
            assert (index["ItemCount"], index["IndexSizeBytes"]) == (10, 10 * 6)
            await client("DeleteItem", TableName="abc", Key={"p": {"S": "001"}})
            table = (await client("DescribeTable", TableName="abc"))["Table"]
            assert table["ItemCount"] == 19
            assert table["GlobalSecondaryIndexes"][0]["ItemCount"] == 9

    on_engine(test)


def test_figures_of_large_tables_come_from_the_background(on_engine: Run) -> None:
    async def test(engine: Engine) -> None:
        async with opened(engine) as client:
            await client("CreateTable", TableName="abc", **TABLE)
            puts = [{"PutRequest": {"Item": {"p": {"S": f"{number:05}"}}}} for number in range(2_500)]
            for begin in range(0, len(puts), 25):
                await client("BatchWriteItem", RequestItems={"abc": puts[begin : begin + 25]})

            async def is_counted() -> bool:
                table = (await client("DescribeTable", TableName="abc"))["Table"]
                return int(table["ItemCount"]) == 2_500

            await eventually(is_counted, 30)
            assert (await client("DescribeTable", TableName="abc"))["Table"]["TableSizeBytes"] == 2_500 * 6

    on_engine(test)


def test_provisioned_capacity_throttles_and_comes_back(on_engine: Run) -> None:
    async def test(engine: Engine) -> None:
        clock = ManualClock(SystemClock().wall_ms())
        async with opened(engine, clock=clock) as client:
            units = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
            await client(
                "CreateTable",
                TableName="abc",
                AttributeDefinitions=TABLE["AttributeDefinitions"][:1],
                KeySchema=TABLE["KeySchema"],
                ProvisionedThroughput=units,
            )
            item = {"p": {"S": "x"}, "v": {"S": "v" * 100_000}}
            for _ in range(4):
                await client("PutItem", TableName="abc", Item=item)
            code, message = await client.refusal("PutItem", TableName="abc", Item=item)
            assert code == "ProvisionedThroughputExceededException"
            assert message.startswith("The level of configured provisioned throughput for the table was exceeded.")
            assert "Item" in await client("GetItem", TableName="abc", Key={"p": {"S": "x"}})
            clock.advance_ms(100_000)
            await client("PutItem", TableName="abc", Item=item)

    on_engine(test)


def test_tags_and_figures_of_the_account(on_engine: Run) -> None:
    async def test(engine: Engine) -> None:
        async with opened(engine) as client:
            await client("CreateTable", TableName="abc", **TABLE, Tags=[{"Key": "made", "Value": "with"}])
            assert await client("TagResource", ResourceArn=ARN, Tags=[{"Key": "a", "Value": ""}]) == {}
            assert await client("UntagResource", ResourceArn=ARN, TagKeys=["made", "nosuch"]) == {}
            assert await client("ListTagsOfResource", ResourceArn=ARN) == {"Tags": [{"Key": "a", "Value": ""}]}
            assert await client.refusal("TagResource", ResourceArn=ARN + "x", Tags=[{"Key": "a", "Value": "b"}]) == (
                "ResourceNotFoundException",
                f"Requested resource not found: ResourceArn: {ARN}x not found",
            )
            assert await client.refusal("UntagResource", ResourceArn=ARN + "x", TagKeys=["a"]) == (
                "ResourceNotFoundException",
                f"Requested resource not found: ResourceArn: {ARN}x not found",
            )
            listed = await client("ListTagsOfResource", ResourceArn=ARN, NextToken="nobody gave it")
            assert listed == {"Tags": [{"Key": "a", "Value": ""}]}
            assert await client("DescribeTimeToLive", TableName="abc") == {
                "TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}
            }
            assert (await client("DescribeLimits"))["TableMaxReadCapacityUnits"] == 40_000
            assert await client("DescribeEndpoints") == {
                "Endpoints": [{"Address": "example:8000", "CachePeriodInMinutes": 1440}]
            }

    on_engine(test)


def test_what_is_not_there_says_so(on_engine: Run) -> None:
    async def test(engine: Engine) -> None:
        async with opened(engine) as client:
            assert await client.refusal("ListBackups", TableName="xxx") == (
                "ValidationException",
                "ListBackups is not available in this version of Tenet; see docs/compat/tables.md in its source",
            )
            assert await client.refusal("NoSuchOperation") == ("UnknownOperationException", "")

    on_engine(test)
