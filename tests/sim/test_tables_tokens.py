"""Client tokens of transactions: a request is carried out once within ten minutes, and its token is then forgotten."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from tenet.store.contract import EVERYTHING
from tenet.store.errors import OutcomeUnknown, StoreUnavailable
from tenet.store.faulty import EVERY_FAULT, FaultPlan
from tenet.store.memory import MemoryEngine
from tenet.tables import keys
from tenet.tables.api import Caller, Tables
from tenet.tables.ops.tokens import VALID_MS
from tests.sim.harness import NO_FAULTS, ExpensiveEngine, Simulation, seeds, simulate

CALLER = Caller("0" * 12)
TABLE: dict[str, Any] = {
    "TableName": "abc",
    "AttributeDefinitions": [{"AttributeName": "p", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
}
TOKENS = 12


def add_one(token: int) -> dict[str, Any]:
    update = {
        "TableName": "abc",
        "Key": {"p": {"S": f"counter-{token}"}},
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    return {"ClientRequestToken": f"token-{token}", "TransactItems": [{"Update": update}]}


async def opened(sim: Simulation) -> Tables:
    node = sim.node()
    while True:
        try:
            return await Tables.open(node.store, clock=sim.clock, ids=node.ids)
        except (StoreUnavailable, OutcomeUnknown):
            await asyncio.sleep(0.1)


async def insist(tables: Tables, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """Sends a request as an SDK does: the same again where it may not have been carried out."""
    while True:
        try:
            answer: dict[str, Any] = orjson.loads(await tables.call(operation, request, CALLER) or b"{}")
        except (StoreUnavailable, OutcomeUnknown):
            await asyncio.sleep(0.05)
        else:
            return answer


async def counts(tables: Tables) -> list[str]:
    found = []
    for token in range(TOKENS):
        answer = await insist(tables, "GetItem", {"TableName": "abc", "Key": {"p": {"S": f"counter-{token}"}}})
        found.append(answer["Item"]["n"]["N"])
    return found


async def everybody_sends_everything(sim: Simulation) -> list[str]:
    """Two processes carry out every request, each more than once; returns what the counters say then."""
    nodes = [await opened(sim) for _ in range(2)]

    async def send(actor: int) -> None:
        for token in range(TOKENS):
            await insist(nodes[actor % 2], "TransactWriteItems", add_one(token))

    await sim.actors(4, send)
    found = await counts(nodes[0])
    for tables in nodes:
        await tables.close()
    return found


async def scene(sim: Simulation) -> None:
    healthy = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids)
    await healthy.call("CreateTable", TABLE, CALLER)
    await healthy.close()
    assert await everybody_sends_everything(sim) == ["1"] * TOKENS
    await asyncio.sleep(VALID_MS / 2_000)
    assert await everybody_sends_everything(sim) == ["1"] * TOKENS
    await asyncio.sleep(VALID_MS / 1_000)
    healthy = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids)
    await asyncio.sleep(5)
    left = await sim.truth.store.scan(keys.TOKENS_SPACE, EVERYTHING, limit=10)
    assert left.records == []
    await healthy.close()
    assert await everybody_sends_everything(sim) == ["2"] * TOKENS


@pytest.mark.parametrize("engine", [MemoryEngine, ExpensiveEngine])
@pytest.mark.parametrize("plan", [NO_FAULTS, EVERY_FAULT], ids=["healthy", "faulty"])
def test_a_token_stands_for_one_request_for_ten_minutes(engine: type[MemoryEngine], plan: FaultPlan) -> None:
    for seed in seeds(4, 80):
        simulate(scene, seed, plan, engine)
