"""What a claim costs: select and claim in one call, and beside it the same claims by ``PUT /allocations``.

    python -m benchmarks.placement_claims [--hosts 1000,10000] [--claims 2000] [--senders 32]

Requests go to the service in this process, without a listener, over the embedded engine in a directory of its own. Each
figure is of all claims of a run: how many a second, CPU microseconds of the process for each, and how often a commit
was tried. The hosts are alike, with VCPU and MEMORY_MB, 40 in a rack.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import orjson

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.placement import keys
from tenet.placement.api import Edge, NoProof, Placement
from tenet.placement.http import PlacementService
from tenet.placement.model import Inventory
from tenet.placement.ops.committing import Committer
from tenet.placement.rules.stored import Description, encode_description, encode_inventory
from tenet.store.contract import Engine, Put, Write
from tenet.store.landing import land
from tenet.store.sqlite.engine import open_engine
from tenet.wire.door import Request

RESOURCES = {"VCPU": 1, "MEMORY_MB": 512}
OWNER = {"project_id": "project", "user_id": "user"}
HOSTS_AT_ONCE = 1_000
CONSUMERS_FROM = 1 << 64
#: A number without a factor in common with the hosts' count, so that picks go all around.
STRIDE = 7_919
CLOCK, IDS = SystemClock(), SystemIds()


def uuid_of(number: int) -> str:
    return str(UUID(int=number))


async def fill(store: Engine, hosts: int) -> None:
    """Makes hosts, as the service stores them."""
    inventories = {"VCPU": Inventory(total=64, allocation_ratio=16.0), "MEMORY_MB": Inventory(total=262_144)}
    for start in range(0, hosts, HOSTS_AT_ONCE):
        writes: list[Write] = []
        for number in range(start, min(hosts, start + HOSTS_AT_ONCE)):
            uuid = uuid_of(number)
            described = Description(f"host-{number}", traits=(f"CUSTOM_RACK_{number // 40}",))
            writes.append(Put(keys.provider_key(uuid), encode_description(described)))
            writes.append(Put(keys.counts_key(uuid), b"", {keys.GENERATION: 1, keys.INVENTORIES: 1}))
            writes += [
                Put(keys.inventory_key(uuid, name), encode_inventory(one, 0)) for name, one in inventories.items()
            ]
        await land(store, writes, (), (), clock=CLOCK, ids=IDS, deadline=float("inf"))


def by_claim(**more: Any) -> Callable[[int], Request]:
    """Returns what makes requests to select and claim."""

    def request(number: int) -> Request:
        consumers = [{"uuid": uuid_of(CONSUMERS_FROM + number), **OWNER}]
        body = {"consumers": consumers, "request": {"groups": [{"resources": RESOURCES}]}, **more}
        return _request("POST", "/v1/claims", body)

    return request


def by_allocation(hosts: int) -> Callable[[int], Request]:
    """Returns what makes requests that say from which host."""

    def request(number: int) -> Request:
        host = uuid_of(number * STRIDE % hosts)
        body = {"allocations": {host: {"resources": RESOURCES}}, "consumer_generation": None, **OWNER}
        body["consumer_type"] = "INSTANCE"
        return _request("PUT", f"/allocations/{uuid_of(CONSUMERS_FROM + number)}", body)

    return request


def _request(method: str, path: str, body: dict[str, Any]) -> Request:
    headers = {
        "x-auth-token": "admin",
        "openstack-api-version": "placement 1.39",
        "content-type": "application/json",
        "host": "localhost",
    }
    return Request(method, path, "", headers, orjson.dumps(body), request_id="0" * 52)


class Tries:
    """Counts commits that are tried."""

    def __init__(self) -> None:
        self.count = 0
        committer: Any = Committer
        commit = committer._commit  # noqa: SLF001 - nothing else tells of tries

        async def counted(*given: Any) -> Any:
            self.count += 1
            return await commit(*given)

        committer._commit = counted  # noqa: SLF001 - as above


async def run(hosts: int, claims: int, senders: int, request: Callable[[int], Request], tries: Tries) -> str:
    """Returns the figures of one run."""
    with tempfile.TemporaryDirectory() as directory:
        store = await open_engine(directory, clock=CLOCK, ids=IDS)
        empty = await Placement.open(store, clock=CLOCK, ids=IDS)
        await empty.load()
        await empty.close()
        await fill(store, hosts)
        placement = await Placement.open(store, clock=CLOCK, ids=IDS)
        await placement.load()
        service = placement.service(Edge("", "https", NoProof()))
        numbers = iter(range(claims))
        tries.count = 0
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(_send(service, request, numbers) for _ in range(senders)))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        await placement.close()
        await store.close()
    return f"{claims / wall:8.0f} a second {cpu / claims * 1e6:8.0f} µs CPU {tries.count / claims:6.2f} tries"


async def _send(service: PlacementService, request: Callable[[int], Request], numbers: Iterator[int]) -> None:
    for number in numbers:
        answer = await service.answer(request(number))
        if answer.status not in {201, 204}:
            raise SystemExit(f"answered with {answer.status}: {answer.body!r}")


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", default="1000,10000")
    parser.add_argument("--claims", type=int, default=2_000)
    parser.add_argument("--senders", type=int, default=32)
    given = parser.parse_args()
    tries = Tries()
    for hosts in (int(count) for count in given.hosts.split(",")):
        packed = [{"name": "random-of-k", "parameters": {"k": 8}}, {"name": "bin-packing"}]
        for name, request in (
            ("claims, at random", by_claim()),
            ("claims, bin-packing of 8 at random", by_claim(weighers=packed, considered=16)),
            ("allocations of given hosts", by_allocation(hosts)),
        ):
            figures = asyncio.run(run(hosts, given.claims, given.senders, request, tries))
            print(f"{hosts:7} hosts  {name:36} {figures}")


if __name__ == "__main__":
    main()
