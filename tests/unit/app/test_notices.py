"""Notices: they come into the queue that asks for them, and nobody waits for them."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from tenet.app import notices
from tenet.app.notices import QUEUE, Notices
from tenet.base.clock import SystemClock
from tenet.store.errors import StoreUnavailable
from tests.unit.pipes.world import ACCOUNT, World, in_loop, memory


def made(world: World, call: Any = None, node: str = "n") -> Notices:
    return Notices(call or world.queues.call, account=ACCOUNT, node=node, clock=SystemClock())


@in_loop
async def test_notices_come_in_their_order_once_there_is_a_queue() -> None:
    async with World(memory()) as world:
        told = made(world)
        told.tell("a pipe", "before there is a queue")
        await told.close()
        url = await world.make_queue(QUEUE)
        told = made(world)
        told.tell("a pipe", "It stops.")
        told.tell("a pipe", "It gets on again.")
        await told.close()
        found = (await world.queue("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10))["Messages"]
        bodies = [orjson.loads(message["Body"]) for message in found]
        assert [body["notice"] for body in bodies] == ["It stops.", "It gets on again."]
        assert {(body["about"], body["node"]) for body in bodies} == {("a pipe", "n")}
        assert all(body["time_ms"] > 0 for body in bodies)


@in_loop
async def test_a_store_that_does_not_serve_is_tried_again_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_PAUSE_S", 0.01)
    monkeypatch.setattr(notices, "_CLOSE_S", 0.2)
    calls = 0

    async def refuse(operation: str, request: Any, caller: Any) -> None:
        nonlocal calls
        calls += 1
        raise StoreUnavailable(operation)

    async def hang(operation: str, request: Any, caller: Any) -> None:
        await asyncio.sleep(3_600)

    async with World(memory()) as world:
        told = made(world, refuse)
        told.tell("a pipe", "It stops.")
        await told.close()
        assert calls == 5
        told = made(world, hang)
        for number in range(notices.WAITING_MAX + 10):
            told.tell("a pipe", str(number))
        async with asyncio.timeout(2):
            await told.close()


@in_loop
async def test_a_queue_that_takes_none_is_left_alone() -> None:
    async with World(memory()) as world:
        url = await world.make_queue(QUEUE, MaximumMessageSize="1024")
        told = made(world, node="")
        told.tell("a pipe", "x" * 2_000)
        told.tell("a pipe", "short")
        await told.close()
        (message,) = (await world.queue("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10))["Messages"]
        assert orjson.loads(message["Body"]).keys() == {"time_ms", "about", "notice"}
