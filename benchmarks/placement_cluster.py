"""Placement over a real Cassandra cluster: claims beside the engine's own commits, and what a node knows, and when.

    python -m benchmarks.placement_cluster [--only claims,hearing,knowing] [--hosts 64] [--seconds 5]
                                           [--senders 1,16,64] [--projects 1,64] [--providers 5000]

Three Cassandra nodes are started for the run, or those of TENET_TEST_CLUSTER are taken. Requests go to the service in
this process, without a listener.

- claims: beside the engine's commits over two partitions, in one run. Such a commit is the least that a claim could be:
  a bounded add in the partition of a host, and a new record in a partition of its own. What counts is the ratio of two
  figures of one run: the nodes and this process share the machine. Statements are what the store was sent for each, by
  kind, those for the log of providers included.
- hearing: how long after the answer to a claim at one node another one shows it.
- knowing: how long a node takes to know providers that are stored. Making 100,000 takes a quarter of an hour.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from random import Random
from typing import Any

from benchmarks.placement_claims import RESOURCES, uuid_of
from tenet.base.clock import NEVER, SystemClock
from tenet.base.ids import SystemIds
from tenet.placement import keys
from tenet.placement.model import Inventory
from tenet.placement.rules.stored import Description, encode_description, encode_inventory
from tenet.store.cassandra.engine import CassandraEngine, open_engine
from tenet.store.contract import Add, Key, Put, SpaceOptions, Write
from tenet.store.landing import land
from tests.unit.placement.world import World
from tools.cluster.cluster import NETWORK, Cluster, open_free, use
from tools.cluster.spec import Spec

CLOCK, IDS = SystemClock(), SystemIds()
SPACE = "bench.two"
ROOM = 1 << 40
WARM_UP_S = 2.0
HOSTS_AT_ONCE = 32
CONSUMERS_FROM = 1 << 64
HEARD = 50
LOOK_S = 0.002
CREATED = {201, 204}
INVENTORIES = {"VCPU": Inventory(total=64, allocation_ratio=16.0), "MEMORY_MB": Inventory(total=262_144)}

#: Does one thing; the number is its own.
Work = Callable[[int], Awaitable[None]]


def commit_over_two(engine: CassandraEngine, hosts: int) -> Work:
    """Returns what commits to the partition of a host and to a new one."""
    chance = Random(1)

    async def work(number: int) -> None:
        host = Key(SPACE, b"h" + chance.randrange(hosts).to_bytes(4, "big"), b"used")
        consumer = Key(SPACE, b"c" + number.to_bytes(8, "big"))
        writes: list[Write] = [Add(host, "n", 1, at_least=0, at_most=ROOM), Put(consumer, bytes(200))]
        await land(engine, writes, (), (), clock=CLOCK, ids=IDS, deadline=NEVER)

    return work


def allocate(world: World, hosts: int, projects: int) -> Work:
    """Returns what claims from a host at random, by ``PUT /allocations``."""
    chance = Random(2)

    async def work(number: int) -> None:
        allocations = {uuid_of(chance.randrange(hosts)): {"resources": RESOURCES}}
        body = {"allocations": allocations, "consumer_generation": None, "consumer_type": "INSTANCE"}
        await _send(world, "PUT", f"/allocations/{_consumer(number)}", {**body, **_owner(number, projects)})

    return work


def select_and_claim(world: World, projects: int) -> Work:
    """Returns what claims by ``POST /v1/claims``, wherever there is room."""

    async def work(number: int) -> None:
        consumers = [{"uuid": _consumer(number), **_owner(number, projects)}]
        body = {"consumers": consumers, "request": {"groups": [{"resources": RESOURCES}]}}
        await _send(world, "POST", "/v1/claims", body)

    return work


def _consumer(number: int) -> str:
    return uuid_of(CONSUMERS_FROM + number)


def _owner(number: int, projects: int) -> dict[str, str]:
    return {"project_id": f"project-{number % projects}", "user_id": "user"}


async def _send(world: World, method: str, path: str, body: Any) -> None:
    answer = await world.send(method, path, body)
    if answer.status not in CREATED:
        raise SystemExit(f"answered with {answer.status}: {answer.body!r}")


async def measured(
    engine: CassandraEngine, work: Work, numbers: Iterator[int], senders: int, seconds: float
) -> tuple[float, str]:
    """Returns how many a second there were, and what each took, in words."""
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
    sent = {kind: (engine.driver.sent[kind] - before[kind]) / done for kind in ("read", "write", "conditional")}
    statements = ", ".join(f"{kind} {each:.1f}" for kind, each in sent.items())
    told = f"{done / wall:7.0f} a second {senders * wall / done * 1e3:7.0f} ms {cpu / done * 1e6:7.0f} µs CPU"
    return done / wall, f"{told}   {statements}"


async def claims(url: str, given: argparse.Namespace) -> None:
    """Measures claims, each kind beside the engine's commits."""
    engine = await open_engine(url, clock=CLOCK, ids=IDS)
    await engine.ensure_space(SPACE, SpaceOptions())
    numbers = count()
    async with World(engine):
        pass
    await fill(engine, given.hosts)
    async with World(engine) as world:
        for senders in map(int, given.senders.split(",")):
            base, told = await measured(engine, commit_over_two(engine, given.hosts), numbers, senders, given.seconds)
            print(f"{senders:4} at once  {'commits over two partitions':26} {told}", flush=True)
            for projects in map(int, given.projects.split(",")):
                for name, work in (
                    ("allocations", allocate(world, given.hosts, projects)),
                    ("claims", select_and_claim(world, projects)),
                ):
                    rate, told = await measured(engine, work, numbers, senders, given.seconds)
                    what = f"{name}, {projects} projects"
                    print(f"{senders:4} at once  {what:26} {told}   {rate / base:.2f} of it", flush=True)
    await engine.close()


async def hearing(url: str, _: argparse.Namespace) -> None:
    """Measures when another node shows what was claimed at one."""
    one, other = [await open_engine(url, clock=CLOCK, ids=IDS) for _ in range(2)]
    async with World(one) as here, World(other) as there:
        host = await here.provider(1, VCPU=HEARD + 1)
        took_ms: list[float] = []
        for number in range(HEARD):
            await _send(here, "PUT", f"/allocations/{_consumer(number)}", _body(host, number))
            answered = time.perf_counter()
            await _until_shown(there, number + 1)
            took_ms.append(1e3 * (time.perf_counter() - answered))
    took_ms.sort()
    print(f"another node shows a claim after {took_ms[HEARD // 2]:.0f} ms, {took_ms[HEARD * 9 // 10]:.0f} (p90)")
    await one.close()
    await other.close()


def _body(host: str, number: int) -> dict[str, Any]:
    allocations = {host: {"resources": {"VCPU": 1}}}
    body = {"allocations": allocations, "consumer_generation": None, "consumer_type": "INSTANCE"}
    return {**body, **_owner(number, 1)}


async def _until_shown(world: World, used: int) -> None:
    """Waits until a node shows so much in use; the host has one more, so that it is a candidate."""
    while True:
        answer = await world.send("GET", "/allocation_candidates?resources=VCPU:1")
        if f'"used":{used}'.encode() in answer.body.replace(b" ", b""):
            return
        await asyncio.sleep(LOOK_S)


async def knowing(url: str, given: argparse.Namespace) -> None:
    """Measures how long a node takes to know providers that are stored."""
    engine = await open_engine(url, clock=CLOCK, ids=IDS)
    async with World(engine):
        pass
    began = time.perf_counter()
    await fill(engine, given.providers)
    print(f"{given.providers} providers made in {time.perf_counter() - began:.0f} s", flush=True)
    wall, cpu = time.perf_counter(), time.process_time()
    async with World(engine):
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{given.providers} providers known after {wall:.2f} s, {cpu:.2f} CPU s of this process")
    await engine.close()


async def fill(engine: CassandraEngine, hosts: int) -> None:
    """Makes hosts, as the service stores them."""
    numbers = iter(range(hosts))

    async def some() -> None:
        for number in numbers:
            uuid = uuid_of(number)
            writes: list[Write] = [
                Put(keys.provider_key(uuid), encode_description(Description(f"host-{number}"))),
                Put(keys.counts_key(uuid), b"", {keys.GENERATION: 1, keys.INVENTORIES: 1}),
            ]
            writes += [
                Put(keys.inventory_key(uuid, name), encode_inventory(one, 0)) for name, one in INVENTORIES.items()
            ]
            await land(engine, writes, (), (), clock=CLOCK, ids=IDS, deadline=NEVER)

    await asyncio.gather(*(some() for _ in range(HOSTS_AT_ONCE)))


@contextmanager
def cluster() -> Iterator[Cluster]:
    """The nodes, started for the run, or those that there are."""
    network = os.environ.get(NETWORK)
    if network:
        with use(Spec(network)) as found:
            yield found
    else:
        with closing(open_free(Spec(is_optimized=True))) as found:
            yield found


PARTS = {"claims": claims, "hearing": hearing, "knowing": knowing}


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--hosts", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--senders", default="1,16,64")
    parser.add_argument("--projects", default="1,64")
    parser.add_argument("--providers", type=int, default=5_000)
    given = parser.parse_args()
    with cluster() as nodes:
        nodes.start_all(print)
        contact = ",".join(nodes.contact_points)
        for name in given.only.split(","):
            asyncio.run(PARTS[name](f"//{contact}/bench_{IDS.draw(6).hex()}", given))


if __name__ == "__main__":
    main()
