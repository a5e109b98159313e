"""Placement on the embedded engine, in this process: claims a second, and how long a node takes to know its providers.

    python -m benchmarks.placement_service [--providers 100000] [--claims 4000]

Claims are requests at the protocol edge, ``PUT /allocations/{consumer_uuid}``, for one unit of one of 200 hosts at
random, one after the other and 64 at a time. Prints seconds of the wall clock and of the processor.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from random import Random

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.placement import keys
from tenet.placement.model import Inventory
from tenet.placement.rules.stored import Description, encode_description, encode_inventory
from tenet.store.contract import Add, Commit, Committed, Engine, Put, Write, new_commit_id
from tenet.store.sqlite.engine import open_engine
from tests.unit.placement.world import World, uuid_of

HOSTS, AT_ONCE = 200, 64
PROVIDERS_EACH_COMMIT = 40
NO_CONTENT = 204
CLOCK, IDS = SystemClock(), SystemIds()
CLASSES = {"VCPU": 64, "MEMORY_MB": 262_144, "DISK_GB": 2_000}


async def claims(count: int, at_once: int) -> None:
    """Claims, so many at a time, on a store of their own."""
    with tempfile.TemporaryDirectory() as folder:
        store = await open_engine(folder, clock=CLOCK, ids=IDS)
        chance, gate = Random(1), asyncio.Semaphore(at_once)
        async with World(store) as world:
            hosts = [await world.provider(number, VCPU=count) for number in range(1, HOSTS + 1)]

            async def claim(number: int) -> None:
                async with gate:
                    answer = await world.claim(10_000 + number, {chance.choice(hosts): {"VCPU": 1}})
                    assert answer.status == NO_CONTENT, answer.body

            wall_s, busy_s = time.perf_counter(), time.process_time()
            await asyncio.gather(*(claim(number) for number in range(count)))
            wall_s, busy_s = time.perf_counter() - wall_s, time.process_time() - busy_s
        await store.close()
    told = f"{count / wall_s:,.0f} a second, {1000 * busy_s / count:.2f} CPU ms each"
    print(f"{count} claims, {at_once} at a time: {told}")


async def load(count: int) -> None:
    """Opens the service on a store that has providers."""
    with tempfile.TemporaryDirectory() as folder:
        store = await open_engine(folder, clock=CLOCK, ids=IDS)
        async with World(store):
            pass
        for first in range(1, count + 1, PROVIDERS_EACH_COMMIT):
            await make(store, range(first, min(count + 1, first + PROVIDERS_EACH_COMMIT)))
        wall_s, busy_s = time.perf_counter(), time.process_time()
        async with World(store):
            wall_s, busy_s = time.perf_counter() - wall_s, time.process_time() - busy_s
        await store.close()
    print(f"{count} providers known after {wall_s:.1f} s, {busy_s:.1f} CPU s")


async def make(store: Engine, numbers: range) -> None:
    """Writes providers as the service would have."""
    writes: list[Write] = []
    for number in numbers:
        uuid = uuid_of(number)
        described = Description(f"host-{number}", traits=("HW_CPU_X86_AVX", "HW_CPU_X86_AVX2"))
        writes.append(Put(keys.provider_key(uuid), encode_description(described)))
        writes.append(Put(keys.name_key(described.name), keys.uuid_bytes(uuid)))
        writes += [Add(keys.counts_key(uuid), cell, 1) for cell in (keys.GENERATION, keys.INVENTORIES)]
        for name, total in CLASSES.items():
            writes.append(Put(keys.inventory_key(uuid, name), encode_inventory(Inventory(total), 0)))
    outcome = await store.commit(Commit(new_commit_id(CLOCK, IDS), writes))
    assert isinstance(outcome, Committed), outcome


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--providers", type=int, default=100_000)
    parser.add_argument("--claims", type=int, default=4_000)
    arguments = parser.parse_args()
    asyncio.run(claims(arguments.claims // 10, 1))
    asyncio.run(claims(arguments.claims, AT_ONCE))
    asyncio.run(load(arguments.providers))


if __name__ == "__main__":
    main()
