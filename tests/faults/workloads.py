"""What clients do while things break: registers, counters, a bank, and lists that transactions append to.

Each workload has a table of its own. Its keys change with time (`Plan.key`), so that the history of each stays short
enough for a checker, whatever the length of the run. All choices come from the dice that are handed in.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tenet.base.dice import Dice
from tests.faults.history import Operation
from tests.faults.sdk import Answer, Sdk

#: Values of one client; those of another begin where they end.
_VALUES_PER_CLIENT = 10_000_000


@dataclass(frozen=True)
class Plan:
    """What the clients of a workload share.

    Args:
        table: name of its table.
        begin_ns: when the run began, on the monotonic clock.
        keys: how many keys are in use at a time.
        key_s: how many seconds a key is in use.
    """

    table: str
    begin_ns: int
    keys: int = 5
    key_s: float = 2.0

    def generation(self, now_ns: int) -> int:
        """Which generation of keys is in use."""
        return int((now_ns - self.begin_ns) / 1e9 / self.key_s)

    def current_keys(self) -> list[str]:
        """The keys in use now."""
        generation = self.generation(time.monotonic_ns())
        return [f"{generation}-{slot}" for slot in range(self.keys)]

    def all_keys(self) -> list[str]:
        """Every key that was in use until now."""
        last = self.generation(time.monotonic_ns())
        return [f"{generation}-{slot}" for generation in range(last + 1) for slot in range(self.keys)]


class Client:
    """One client of a workload: asks one thing after the other, and gives each a number.

    Args:
        sdk: how it asks.
        plan: what the clients share.
        number: its own number; no other client of the run has it.
        dice: decides what it does.
    """

    def __init__(self, sdk: Sdk, plan: Plan, number: int, dice: Dice) -> None:
        self.sdk = sdk
        self.plan = plan
        self.number = number
        self.dice = dice
        self._operations = itertools.count()
        self._values = itertools.count(number * _VALUES_PER_CLIENT + 1)

    def fresh_value(self) -> int:
        """A number that nobody else writes."""
        return next(self._values)

    def operation(
        self, workload: str, kind: str, answer: Answer, *, with_token: bool = False, **more: Any
    ) -> Operation:
        """What is noted of a call; with a token, its attempts are one request."""
        return Operation(
            workload,
            kind,
            self.number,
            next(self._operations),
            answer.outcome_with_token if with_token else answer.outcome,
            answer.attempts[0].begin_ns,
            time.monotonic_ns(),
            answer.attempts,
            error=answer.error,
            **more,
        )


class Workload(Protocol):
    """What the clients of one kind do."""

    def prepare(self, client: Client) -> None:
        """Makes what the clients need, once, before they begin."""
        ...

    def step(self, client: Client) -> Sequence[Operation]:
        """Does one thing, in one call of the SDK or several."""
        ...

    def finish(self, client: Client) -> Sequence[Operation]:
        """Looks at everything once the clients have ended and nothing is broken any more."""
        ...


def make_table(client: Client) -> None:
    """Makes the table of a workload, and waits until it can be used."""
    answer = client.sdk.call(
        "create_table",
        TableName=client.plan.table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    if answer.value is None and answer.error != "ResourceInUseException":
        raise RuntimeError(f"the table {client.plan.table} could not be made: {answer.error} {answer.response}")
    while client.sdk.must("describe_table", TableName=client.plan.table)["Table"]["TableStatus"] != "ACTIVE":
        time.sleep(0.1)


def number(value: int) -> dict[str, str]:
    """A number as the API has it."""
    return {"N": str(value)}


def read_number(client: Client, workload: str, key: str) -> Operation:
    """Reads the number of an item, consistently."""
    answer = client.sdk.call(
        "get_item", TableName=client.plan.table, Key={"id": {"S": key}}, ConsistentRead=True, ProjectionExpression="v"
    )
    return client.operation(workload, "read", answer, key=key, got=value_in((answer.value or {}).get("Item")))


def value_in(item: Any) -> int | None:
    """The number of an item; None where there is no item."""
    return int(item["v"]["N"]) if item else None


class Registers:
    """Reads, writes, and writes on the condition that the value is the one that was read; every value is unique.

    ====== ================= =========================================================================================
    kind   asked             got
    ====== ================= =========================================================================================
    read                     the value, None where there is none
    write  value
    cas    [expected, value] where it is refused: the value that was there instead
    ====== ================= =========================================================================================
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str], int | None] = {}

    def prepare(self, client: Client) -> None:
        """Makes the table."""
        make_table(client)

    def step(self, client: Client) -> Sequence[Operation]:
        """Reads, writes, or changes what it saw last."""
        key = client.dice.pick(client.plan.current_keys())
        kind = client.dice.below(10)
        if kind < 4:
            done = read_number(client, "registers", key)
        elif kind < 6:
            done = self._write(client, key)
        else:
            done = self._change(client, key)
        if done.outcome == "ok" or done.error == "ConditionalCheckFailedException":
            self._seen[client.number, key] = _value_after(done)
        return [done]

    def _write(self, client: Client, key: str) -> Operation:
        value = client.fresh_value()
        answer = client.sdk.call("put_item", TableName=client.plan.table, Item={"id": {"S": key}, "v": number(value)})
        return client.operation("registers", "write", answer, key=key, asked=value)

    def _change(self, client: Client, key: str) -> Operation:
        value, expected = client.fresh_value(), self._seen.get((client.number, key))
        if expected is None:
            condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(id)"}
            values = {":new": number(value)}
        else:
            condition = {"ConditionExpression": "v = :old"}
            values = {":new": number(value), ":old": number(expected)}
        answer = client.sdk.call(
            "update_item",
            TableName=client.plan.table,
            Key={"id": {"S": key}},
            UpdateExpression="SET v = :new",
            ExpressionAttributeValues=values,
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **condition,
        )
        found = value_in((answer.response or {}).get("Item"))
        return client.operation("registers", "cas", answer, key=key, asked=[expected, value], got=found)

    def finish(self, client: Client) -> Sequence[Operation]:
        """Reads every register."""
        return [read_number(client, "registers", key) for key in client.plan.all_keys()]


def _value_after(done: Operation) -> Any:
    """What an answer says that there is."""
    if done.outcome == "ok" and done.kind != "read":
        return done.asked if done.kind == "write" else done.asked[1]
    return done.got


class Counters:
    """Adds to numbers, and reads them.

    ====== ====== =====================
    kind   asked  got
    ====== ====== =====================
    read          the sum, None: absent
    add    amount the sum with it
    ====== ====== =====================
    """

    def prepare(self, client: Client) -> None:
        """Makes the table."""
        make_table(client)

    def step(self, client: Client) -> Sequence[Operation]:
        """Adds or reads."""
        key = client.dice.pick(client.plan.current_keys())
        if client.dice.below(10) < 3:
            return [read_number(client, "counters", key)]
        amount = 1 + client.dice.below(9)
        answer = client.sdk.call(
            "update_item",
            TableName=client.plan.table,
            Key={"id": {"S": key}},
            UpdateExpression="ADD v :amount",
            ExpressionAttributeValues={":amount": number(amount)},
            ReturnValues="UPDATED_NEW",
        )
        got = value_in((answer.value or {}).get("Attributes"))
        return [client.operation("counters", "add", answer, key=key, asked=amount, got=got)]

    def finish(self, client: Client) -> Sequence[Operation]:
        """Reads every counter."""
        return [read_number(client, "counters", key) for key in client.plan.all_keys()]
