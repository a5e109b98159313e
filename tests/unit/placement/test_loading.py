"""The service opens when it is first asked for something: it costs nothing before, and no failure is anybody else's."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenet.base.clock import ManualClock, SystemClock
from tenet.placement.api import Keys, KnownKey
from tenet.placement.loading import native_libraries
from tenet.store.errors import StoreCorrupt, StoreUnavailable
from tests.unit.placement.test_model_keeping import names_of, troubled
from tests.unit.placement.world import World, in_loop, memory

OK, CREATED, UNAUTHORIZED, UNAVAILABLE = 200, 201, 401, 503
NEEDED_BY_PLACEMENT = ("numpy", "jsonschema", "os_traits", "os_resource_classes", "tenet.placement.opening")


def test_a_server_starts_without_what_only_placement_needs() -> None:
    program = f"import sys, tenet.app.services; print([one for one in {NEEDED_BY_PLACEMENT!r} if one in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.thorough
def test_what_loads_a_shared_library_while_others_are_served_has_been_read_before() -> None:
    program = """
import sys
from importlib.machinery import EXTENSION_SUFFIXES
import tenet.app.server
from tenet.placement.loading import native_libraries
before = set(sys.modules)
libraries = {str(file) for file in native_libraries()}
import tenet.placement.opening
loaded = [str(getattr(module, "__file__", "")) for name, module in sys.modules.items() if name not in before]
loaded = [file for file in loaded if file.endswith(tuple(EXTENSION_SUFFIXES)) and "site-packages" in file]
print(len(loaded), sorted(set(loaded) - libraries))
"""
    found = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded, _, unread = found.stdout.strip().partition(" ")
    assert int(loaded) > 2
    assert unread == "[]"


def test_libraries_that_numpy_brings_along_are_read_before_too() -> None:
    brought = {file.name for file in Path(np.__file__).parent.with_name("numpy.libs").glob("*.so*")}
    assert brought <= {file.name for file in native_libraries()}


async def spaces(world: World) -> list[str]:
    return [space.name for space in await world.store.list_spaces("placement.")]


@in_loop
async def test_nothing_is_made_or_followed_before_the_first_request() -> None:
    store = troubled()
    async with World(store, is_loaded=False, is_shared=True) as world:
        await asyncio.sleep(0.2)
        assert await spaces(world) == []
        assert store.reads == []
        assert world.placement.measures() == ()
        assert await names_of(world) == []
        assert len(await spaces(world)) > 3
        assert store.reads


@in_loop
async def test_whom_nobody_knows_opens_nothing() -> None:
    keys = {"AKIA": KnownKey("secret", "1" * 12, is_root=True)}
    async with World(memory(), authenticator=Keys(keys.get), is_loaded=False) as world:
        for token in ("", "AKIA:wrong", "nobody"):
            answer = await world.send("GET", "/resource_providers", x_auth_token=token)
            assert answer.status == UNAUTHORIZED
        assert world.opened is None
        assert await spaces(world) == []
        answer = await world.send("GET", "/resource_providers", x_auth_token="AKIA:secret")
        assert answer.status == OK


@in_loop
async def test_all_first_requests_open_the_service_once() -> None:
    store = troubled()
    scans = []

    async def count(_: dict[str, Any]) -> None:
        scans.append(1)
        await asyncio.sleep(0.05)

    store.before_scan = count
    async with World(store, is_loaded=False) as world:
        made = [world.send("POST", "/resource_providers", {"name": f"host-{number}"}) for number in range(20)]
        assert {answer.status for answer in await asyncio.gather(*made)} == {OK}
        assert len(scans) == 1
        assert len(await names_of(world)) == 20


@pytest.mark.parametrize(
    "error", [StoreUnavailable("not now"), StoreCorrupt("never"), ValueError("a mistake"), ImportError("not installed")]
)
@in_loop
async def test_a_service_that_does_not_open_says_so_and_tries_again(error: Exception) -> None:
    clock = ManualClock()
    store = troubled(clock)
    tries = []

    async def fail(_: dict[str, Any]) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise error

    store.before_scan = fail
    async with World(store, clock=clock, is_loaded=False) as world:
        for number in (1, 1, 2):
            text = await world.refused("GET", "/resource_providers", status=UNAVAILABLE)
            assert "does not open" in text
            assert str(error) not in text
            assert len(tries) == number
            clock.advance_ms(600)
        clock.advance_ms(600)
        assert await names_of(world) == []
        assert len(tries) == 3


@in_loop
async def test_a_request_waits_for_the_service_as_long_as_it_has_time() -> None:
    store = troubled()
    may_go_on = asyncio.Event()

    async def wait(_: dict[str, Any]) -> None:
        await may_go_on.wait()

    store.before_scan = wait
    clock = SystemClock()
    async with World(store, clock=clock, is_loaded=False) as world:
        patient = asyncio.create_task(names_of(world))
        answer = await world.send_by(clock.monotonic_s() + 0.05, "GET", "/resource_providers")
        assert answer.status == UNAVAILABLE
        assert b"is loading" in answer.body
        assert not patient.done(), "the loading goes on"
        may_go_on.set()
        assert await patient == []


@in_loop
async def test_a_request_that_is_ended_ends_no_load() -> None:
    store = troubled()
    may_go_on = asyncio.Event()

    async def wait(_: dict[str, Any]) -> None:
        await may_go_on.wait()

    store.before_scan = wait
    async with World(store, is_loaded=False) as world:
        ended, other = asyncio.create_task(names_of(world)), asyncio.create_task(names_of(world))
        await asyncio.sleep(0.02)
        ended.cancel()
        await asyncio.sleep(0)
        may_go_on.set()
        assert await other == []
        assert ended.cancelled()


@in_loop
async def test_a_service_that_is_closed_while_it_opens_is_closed() -> None:
    store = troubled()

    async def hang(_: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    store.before_scan = hang
    world = World(store, is_loaded=False, is_shared=True)
    async with world:
        asked = asyncio.create_task(world.send("GET", "/resource_providers"))
        await asyncio.sleep(0.02)
    assert (await asked).status == UNAVAILABLE
    assert world.opened is None


@in_loop
async def test_a_service_that_was_never_asked_is_closed_as_well() -> None:
    async with World(memory(), is_loaded=False) as world:
        assert world.opened is None
