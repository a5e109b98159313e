"""Claims over a real Cassandra cluster, beside the engine's own commits over two partitions, in one run.

    python -m benchmarks.placement_cluster [--hosts 64] [--seconds 5] [--senders 1,16,64] [--projects 1,64]

Three Cassandra nodes are started for the run, or those of TENET_TEST_CLUSTER are taken. Requests go to the service in
this process, without a listener. The engine's commit is the least that a claim could be: a bounded add in the partition
of a host, and a new record in a partition of its own. What counts is the ratio of two figures of one run: the nodes and
this process share the machine. Statements are what the store was sent for each, by kind, those of the log included.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from itertools import count
from random import Random
from typing import Any

from benchmarks.placement_claims import RESOURCES, fill, uuid_of
from tenet.base.clock import NEVER, SystemClock
from tenet.base.ids import SystemIds
from tenet.store.cassandra.engine import CassandraEngine, open_engine
from tenet.store.contract import Add, Key, Put, SpaceOptions, Write
from tenet.store.landing import land
from tests.unit.placement.world import World
from tools.cluster.cluster import NETWORK, open_free, use
from tools.cluster.spec import Spec

CLOCK, IDS = SystemClock(), SystemIds()
SPACE = "bench.two"
SLOTS = 1 << 40
WARM_UP_S = 2.0
CREATED = {201, 204}

#: Does one thing; the number is its own.
Work = Callable[[int], Awaitable[None]]


def commit_over_two(engine: CassandraEngine, hosts: int) -> Work:
    """Returns what commits to the partition of a host and to a new one."""
    chance = Random(1)

    async def work(number: int) -> None:
        host = Key(SPACE, b"h" + chance.randrange(hosts).to_bytes(4, "big"), b"used")
        writes: list[Write] = [
            Add(host, "n", 1, at_least=0, at_most=SLOTS),
            Put(Key(SPACE, b"c" + number.to_bytes(8, "big"), b""), b"x" * 200),
        ]
        await land(engine, writes, (), (), clock=CLOCK, ids=IDS, deadline=NEVER)

    return work


def allocate(world: World, hosts: int, projects: int) -> Work:
    """Returns what claims from a host at random, by ``PUT /allocations``."""
    chance = Random(2)

    async def work(number: int) -> None:
        body = {
            "allocations": {uuid_of(chance.randrange(hosts)): {"resources": RESOURCES}},
            "consumer_generation": None,
            **_owner(number, projects),
            "consumer_type": "INSTANCE",
        }
        await _send(world, "PUT", f"/allocations/{IDS_OF(number)}", body)

    return work


def select_and_claim(world: World, projects: int) -> Work:
    """Returns what claims by ``POST /v1/claims``, wherever there is room."""

    async def work(number: int) -> None:
        consumers = [{"uuid": IDS_OF(number), **_owner(number, projects)}]
        await _send(
            world, "POST", "/v1/claims", {"consumers": consumers, "request": {"groups": [{"resources": RESOURCES}]}}
        )

    return work


def IDS_OF(number: int) -> str:
    return uuid_of((1 << 64) + number)


def _owner(number: int, projects: int) -> dict[str, str]:
    return {"project_id": f"project-{number % projects}", "user_id": "user"}


async def _send(world: World, method: str, path: str, body: Any) -> None:
    answer = await world.send(method, path, body)
    if answer.status not in CREATED:
        raise SystemExit(f"answered with {answer.status}: {answer.body!r}")


async def measured(
    engine: CassandraEngine, work: Work, numbers: count[int], senders: int, seconds: float
) -> tuple[float, str]:
    """Returns how many a second there were, and a line that says what each took."""
    done = 0
    until = time.perf_counter() + WARM_UP_S

    async def send() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await work(next(numbers))
            done += 1

    await asyncio.gather(*(send() for _ in range(senders)))
    done, until, before = 0, time.perf_counter() + seconds, dict(engine.driver.sent)
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(send() for _ in range(senders)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    sent = ", ".join(
        f"{kind} {(engine.driver.sent[kind] - before[kind]) / done:.1f}" for kind in ("read", "write", "conditional")
    )
    return (
        done / wall,
        f"{done / wall:7.0f} a second {senders * wall / done * 1e3:7.0f} ms {cpu / done * 1e6:7.0f} µs CPU   {sent}",
    )


async def run(url: str, given: argparse.Namespace) -> None:
    engine = await open_engine(url, clock=CLOCK, ids=IDS)
    await engine.ensure_space(SPACE, SpaceOptions())
    async with World(engine):
        pass
    await fill(engine, given.hosts)
    numbers = count()
    async with World(engine) as world:
        for senders in map(int, given.senders.split(",")):
            base, told = await measured(engine, commit_over_two(engine, given.hosts), numbers, senders, given.seconds)
            print(f"{senders:4} at once  {'commits over two partitions':34} {told}", flush=True)
            for projects in map(int, given.projects.split(",")):
                for name, work in (
                    ("allocations", allocate(world, given.hosts, projects)),
                    ("claims", select_and_claim(world, projects)),
                ):
                    rate, told = await measured(engine, work, numbers, senders, given.seconds)
                    print(
                        f"{senders:4} at once  {f'{name}, {projects} projects':34} {told}   {rate / base:.2f}",
                        flush=True,
                    )
    await engine.close()


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--senders", default="1,16,64")
    parser.add_argument("--projects", default="1,64")
    given = parser.parse_args()
    network = os.environ.get(NETWORK)
    with use(Spec(network)) if network else open_free(Spec(is_optimized=True)) as cluster:
        cluster.start_all(print)
        contact = ",".join(cluster.contact_points)
        asyncio.run(run(f"//{contact}/bench_{IDS.draw(6).hex()}", given))


if __name__ == "__main__":
    main()
