"""The workloads whose operations are transactions: a bank, and lists.

The SDK gives every TransactWriteItems a token, by which the service carries it out once however often it is sent
(https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html, ClientRequestToken); so all
attempts of one are one request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.faults.history import Operation
from tests.faults.sdk import Answer
from tests.faults.workloads import Client, make_table, number

ACCOUNTS = 6
BALANCE = 1_000
_RECEIPT = "receipt/"


class Bank:
    """Transfers between accounts and snapshots of all of them; each transfer leaves a receipt in its transaction.

    ======== =================== ===============================================
    kind     asked               got
    ======== =================== ===============================================
    transfer [from, to, amount]
    snapshot                     balances by account
    receipts                     names of the transfers that took effect
    ======== =================== ===============================================
    """

    def prepare(self, client: Client) -> None:
        """Makes the table and fills the accounts."""
        make_table(client)
        for account in range(ACCOUNTS):
            item = {"id": {"S": f"account-{account}"}, "balance": number(BALANCE)}
            client.sdk.must("put_item", TableName=client.plan.table, Item=item)

    def step(self, client: Client) -> Sequence[Operation]:
        """Transfers, or looks."""
        return [self._snapshot(client) if client.dice.below(10) < 4 else self._transfer(client)]

    def _transfer(self, client: Client) -> Operation:
        source, target = client.dice.sample([f"account-{account}" for account in range(ACCOUNTS)], 2)
        amount = 1 + client.dice.below(50)
        table, values = client.plan.table, {":a": number(amount)}
        receipt = f"{client.number}.{client.fresh_value()}"
        take = {
            "TableName": table,
            "Key": {"id": {"S": source}},
            "UpdateExpression": "SET balance = balance - :a",
            "ConditionExpression": "balance >= :a",
            "ExpressionAttributeValues": values,
        }
        give = {
            "TableName": table,
            "Key": {"id": {"S": target}},
            "UpdateExpression": "SET balance = balance + :a",
            "ExpressionAttributeValues": values,
        }
        keep = {"TableName": table, "Item": {"id": {"S": _RECEIPT + receipt}}}
        answer = client.sdk.call(
            "transact_write_items", TransactItems=[{"Update": take}, {"Update": give}, {"Put": keep}]
        )
        asked = [source, target, amount]
        return client.operation("bank", "transfer", answer, with_token=True, key=receipt, asked=asked)

    def _snapshot(self, client: Client) -> Operation:
        gets = [
            {"Get": {"TableName": client.plan.table, "Key": {"id": {"S": f"account-{account}"}}}}
            for account in range(ACCOUNTS)
        ]
        answer = client.sdk.call("transact_get_items", TransactItems=gets)
        items = [one["Item"] for one in (answer.value or {}).get("Responses", []) if "Item" in one]
        balances = {item["id"]["S"]: int(item["balance"]["N"]) for item in items}
        return client.operation("bank", "snapshot", answer, with_token=True, got=balances)

    def finish(self, client: Client) -> Sequence[Operation]:
        """Looks at the accounts and collects the receipts."""
        last = self._snapshot(client)
        receipts: list[str] = []
        start: dict[str, Any] = {}
        while True:
            answer = client.sdk.call("scan", TableName=client.plan.table, ConsistentRead=True, **start)
            page = answer.value or {}
            names = [item["id"]["S"] for item in page.get("Items", [])]
            receipts += [name.removeprefix(_RECEIPT) for name in names if name.startswith(_RECEIPT)]
            if "LastEvaluatedKey" not in page:
                return [last, client.operation("bank", "receipts", answer, got=receipts)]
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


#: One thing that a transaction does: ("append", key, values) or ("read", key, the list or None where it is not known).
Move = tuple[str, str, list[int] | None]


class Lists:
    """Transactions that append unique numbers to lists under several keys, and that read them.

    ======== ========================================================================================================
    kind     what
    ======== ========================================================================================================
    append   appends to some lists whatever they hold (TransactWriteItems)
    change   appends to some lists if they and others hold what was read before (conditions and ConditionCheck)
    snapshot reads some lists (TransactGetItems)
    read     reads one list (GetItem)
    ======== ========================================================================================================

    What is asked is the list of moves; what is got, the same with the lists that were read.
    """

    def prepare(self, client: Client) -> None:
        """Makes the table."""
        make_table(client)

    def step(self, client: Client) -> Sequence[Operation]:
        """Appends, changes or reads."""
        kind = client.dice.below(10)
        keys = client.dice.sample(client.plan.current_keys(), 1 + client.dice.below(min(4, client.plan.keys)))
        if kind < 4:
            return [self._append(client, keys)]
        if kind < 5:
            return [self._read(client, keys[0])]
        snapshot = self._snapshot(client, keys)
        if kind < 8 or snapshot.outcome != "ok":
            return [snapshot]
        return [snapshot, self._change(client, {key: found for _, key, found in snapshot.got})]

    def _append(self, client: Client, keys: list[str]) -> Operation:
        moves: list[Move] = [("append", key, _fresh(client)) for key in keys]
        items = [{"Update": _appending(client, key, values)} for _, key, values in moves if values is not None]
        answer = client.sdk.call("transact_write_items", TransactItems=items)
        return client.operation("lists", "append", answer, with_token=True, asked=moves, got=moves)

    def _change(self, client: Client, seen: dict[str, list[int]]) -> Operation:
        """Appends to some of the lists on the condition that all of them are as they were seen."""
        keys = list(seen)
        changed = set(client.dice.sample(keys, 1 + client.dice.below(len(keys))))
        moves: list[Move] = [("read", key, seen[key]) for key in keys]
        items: list[dict[str, Any]] = []
        for key in keys:
            if key in changed:
                values = _fresh(client)
                moves.append(("append", key, values))
                items.append({"Update": _appending(client, key, values, seen[key])})
            else:
                items.append({"ConditionCheck": _as_seen(client, key, seen[key])})
        answer = client.sdk.call("transact_write_items", TransactItems=items)
        return client.operation("lists", "change", answer, with_token=True, asked=moves, got=moves)

    def _snapshot(self, client: Client, keys: list[str]) -> Operation:
        gets = [{"Get": {"TableName": client.plan.table, "Key": {"id": {"S": key}}}} for key in keys]
        answer = client.sdk.call("transact_get_items", TransactItems=gets)
        return _reading(client, "snapshot", keys, answer, (answer.value or {}).get("Responses", []))

    def _read(self, client: Client, key: str) -> Operation:
        answer = client.sdk.call("get_item", TableName=client.plan.table, Key={"id": {"S": key}}, ConsistentRead=True)
        return _reading(client, "read", [key], answer, [answer.value or {}])

    def finish(self, client: Client) -> Sequence[Operation]:
        """Reads every list."""
        return [self._read(client, key) for key in client.plan.all_keys()]


def _fresh(client: Client) -> list[int]:
    """One new number, or now and then two in one step, between which nobody may look."""
    return [client.fresh_value() for _ in range(1 + (client.dice.below(5) == 0))]


def _reading(client: Client, kind: str, keys: list[str], answer: Answer, responses: list[dict[str, Any]]) -> Operation:
    asked: list[Move] = [("read", key, None) for key in keys]
    got = [("read", key, _list_in(found)) for key, found in zip(keys, responses, strict=True)] if answer.value else None
    return client.operation("lists", kind, answer, with_token=True, asked=asked, got=got)


def _list_in(response: dict[str, Any]) -> list[int]:
    return [int(value["N"]) for value in response.get("Item", {}).get("l", {}).get("L", [])]


def _list_of(values: Sequence[int]) -> dict[str, Any]:
    return {"L": [number(value) for value in values]}


def _as_seen(client: Client, key: str, seen: list[int]) -> dict[str, Any]:
    """A condition that a list is as it was seen."""
    check: dict[str, Any] = {"TableName": client.plan.table, "Key": {"id": {"S": key}}}
    if not seen:
        return check | {"ConditionExpression": "attribute_not_exists(id)"}
    return check | {"ConditionExpression": "l = :seen", "ExpressionAttributeValues": {":seen": _list_of(seen)}}


def _appending(client: Client, key: str, values: list[int], seen: list[int] | None = None) -> dict[str, Any]:
    """An update that appends, on the condition that the list is as it was seen, where that is given."""
    values_by_name: dict[str, Any] = {":none": {"L": []}, ":values": _list_of(values)}
    update: dict[str, Any] = {"TableName": client.plan.table, "Key": {"id": {"S": key}}}
    if seen is not None:
        update = _as_seen(client, key, seen)
        values_by_name |= update.get("ExpressionAttributeValues", {})
    return update | {
        "UpdateExpression": "SET l = list_append(if_not_exists(l, :none), :values)",
        "ExpressionAttributeValues": values_by_name,
    }
