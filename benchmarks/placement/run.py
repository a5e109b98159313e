"""Placement over HTTP, Tenet and the service of OpenStack beside each other: candidates, claims and boot storms.

    python -m benchmarks.placement [--hosts 100,1000,10000] [--peer-hosts 100,1000] [--parts candidates,claims,storm]

Both serve on loopback, from processes of their own; hosts are alike, with VCPU, MEMORY_MB and two traits. Each row is
the median time of an answer, how many there were a second, and the CPU of the service for each, its database included.
What takes the peer seconds is measured a few times. Prints a Markdown table, and keeps it in docs/performance.md with
``--keep``.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from benchmarks import report
from benchmarks.options import Names
from benchmarks.placement.load import Call, Load, Measured
from benchmarks.placement.servers import PEER, TENET, Service, peer, tenet
from benchmarks.sections import Section
from tests.conformance.packages import FetchFailed, ToolMissing
from tests.conformance.peers import PeerDidNotStart

SCHEDULER: Final = Path(__file__).parents[2] / "tests" / "e2e" / "placement_scheduler.py"
PARTS: Final = ("candidates", "claims", "storm")
RESOURCES: Final = {"VCPU": 1, "MEMORY_MB": 512}
TRAITS: Final = ("HW_CPU_X86_AVX", "HW_CPU_X86_AVX2")
OWNER: Final = {"project_id": "project", "user_id": "user", "consumer_type": "INSTANCE"}
CONNECTIONS: Final = 32
#: How many answers are measured, of each product, and for how long at most.
ANSWERS: Final = {TENET: 200, PEER: 20}
CLAIMS: Final = {TENET: 6_000, PEER: 300}
SECONDS_MAX: Final = 20.0
CONSUMERS_FROM: Final = 1 << 64
DEVICES: Final = 8
WIDE: Final = {TENET: (4, 5, 6, 8), PEER: (4,)}
#: The storm: schedulers in processes of their own, for these hosts of ten slots.
SCHEDULERS, STORM_HOSTS, SLOTS_OF_HOST = 16, 20, 10


def uuid_of(number: int) -> str:
    """Returns the uuid of a host, a device or a consumer."""
    return str(UUID(int=number))


class Table:
    """What was measured, a row each, printed as it comes."""

    def __init__(self) -> None:
        self.rows = [
            "| what | hosts | service | p50 ms | p99 ms | a second | CPU ms each | |",
            "|---|---|---|---|---|---|---|---|",
        ]
        print("\n".join(self.rows), flush=True)

    def add(self, what: str, hosts: int, service: Service, measured: Measured, cpu_s: float) -> None:
        """Adds what requests of one kind took."""
        answered = max(1, measured.answered)
        odd = {status: count for status, count in measured.statuses.items() if not status.startswith("2")}
        self._add(
            f"| {what} | {hosts:,} | {service.name} | {measured.p50_ms:.1f} | {measured.p99_ms:.1f} "
            f"| {answered / measured.seconds:,.0f} | {1000 * cpu_s / answered:.2f} | {odd or ''} |"
        )

    def add_storm(self, service: Service, seconds: float, cpu_s: float, placed: int, told: str) -> None:
        """Adds what a storm took, and whether it filled the cloud exactly."""
        self._add(
            f"| boot storm, {SCHEDULERS} schedulers, {STORM_HOSTS * SLOTS_OF_HOST} slots "
            f"| {STORM_HOSTS} | {service.name} | | "
            f"| {placed / seconds:,.0f} | {1000 * cpu_s / max(1, placed):.2f} | {placed} placed; {told} |"
        )

    def _add(self, row: str) -> None:
        self.rows.append(row)
        print(row, flush=True)


def send(service: Service, calls: Sequence[Call], connections: int) -> tuple[Measured, float]:
    """Sends requests from a process of its own; returns what it measured, and the service's CPU in seconds."""
    load = Load(service.endpoint, service.token, connections, list(calls), SECONDS_MAX)
    before_s = service.cpu_s()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.placement.load"],
        input=msgspec.json.encode(load),
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Measured), service.cpu_s() - before_s


def fill(service: Service, hosts: int, slots: int) -> None:
    """Makes hosts by requests: of Tenet, where they take a millisecond."""
    numbers = range(1, hosts + 1)
    made = [Call("POST", "/resource_providers", {"name": f"host-{n}", "uuid": uuid_of(n)}) for n in numbers]
    inventories = {name: {"total": total, "allocation_ratio": ratio} for name, (total, ratio) in of_host(slots).items()}
    had = {"resource_provider_generation": 0, "inventories": inventories}
    given = {"resource_provider_generation": 1, "traits": TRAITS}
    for calls in (
        made,
        [Call("PUT", f"/resource_providers/{uuid_of(n)}/inventories", had) for n in numbers],
        [Call("PUT", f"/resource_providers/{uuid_of(n)}/traits", given) for n in numbers],
    ):
        for first in range(0, hosts, 5_000):
            measured, _ = send(service, calls[first : first + 5_000], CONNECTIONS)
            if measured.wrong or measured.answered < len(calls[first : first + 5_000]):
                raise SystemExit(f"{service.name} could not be filled: {measured.wrong or 'too slow'}")


def of_host(slots: int) -> dict[str, tuple[int, float]]:
    """Returns total and ratio of what a host has, by resource class."""
    return {"VCPU": (max(1, slots // 16), 16.0) if slots >= 16 else (slots, 1.0), "MEMORY_MB": (512 * slots, 1.0)}


def candidates(table: Table, service: Service, hosts: int) -> None:
    """Measures lists of candidates with a limit, with and without traits."""
    asked = "resources=" + ",".join(f"{name}:{amount}" for name, amount in RESOURCES.items())
    for what, query in (
        ("candidates, limit 10", f"{asked}&limit=10"),
        ("candidates, limit 10, two traits", f"{asked}&limit=10&required={','.join(TRAITS)}"),
    ):
        calls = [Call("GET", f"/allocation_candidates?{query}")] * ANSWERS[service.name]
        send(service, calls[:2], 1)
        table.add(what, hosts, service, *send(service, calls, 1))


def wide(table: Table, service: Service) -> None:
    """Measures one tree with devices that are alike, of which a request wants some, each one of its own group."""
    root = uuid_of(CONSUMERS_FROM - 1)
    send(service, [Call("POST", "/resource_providers", {"name": "wide", "uuid": root})], 1)
    for number in range(DEVICES):
        uuid = uuid_of(CONSUMERS_FROM - 100 + number)
        body = {"name": f"device-{number}", "uuid": uuid, "parent_provider_uuid": root}
        had = {"resource_provider_generation": 0, "inventories": {"VGPU": {"total": 1}}}
        send(
            service,
            [Call("POST", "/resource_providers", body), Call("PUT", f"/resource_providers/{uuid}/inventories", had)],
            1,
        )
    for k in WIDE[service.name]:
        asked = "&".join(f"resources{one}=VGPU:1" for one in range(1, k + 1))
        call = Call("GET", f"/allocation_candidates?{asked}&group_policy=isolate&limit=10")
        table.add(f"wide tree, {DEVICES} devices, {k} groups, limit 10", 1, service, *send(service, [call] * 3, 1))


def claims(table: Table, service: Service, hosts: int) -> None:
    """Measures claims on hosts that are given at random, and of Tenet those that it selects in the same call."""
    chance = random.Random(1)
    numbers = range(CONSUMERS_FROM, CONSUMERS_FROM + CLAIMS[service.name])
    puts = []
    for number in numbers:
        allocations = {uuid_of(chance.randint(1, hosts)): {"resources": RESOURCES}}
        body = {"allocations": allocations, "consumer_generation": None, **OWNER}
        puts.append(Call("PUT", f"/allocations/{uuid_of(number)}", body))
    table.add(f"claims of given hosts, {CONNECTIONS} senders", hosts, service, *send(service, puts, CONNECTIONS))
    if service.name == TENET:
        request = {"groups": [{"resources": RESOURCES}]}
        posts = [
            Call("POST", "/v1/claims", {"consumers": [{"uuid": uuid_of(n + 2**65), **OWNER}], "request": request})
            for n in numbers
        ]
        table.add(f"select and claim, {CONNECTIONS} senders", hosts, service, *send(service, posts, CONNECTIONS))


def storm(table: Table, service: Service) -> None:
    """Lets schedulers boot a tenth more than there is room for, each as ``tests/e2e`` does it."""
    url, slots = urlsplit(service.endpoint), STORM_HOSTS * SLOTS_OF_HOST
    before_s = service.cpu_s()
    with ExitStack() as stack:
        running = []
        for number in range(SCHEDULERS):
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-S", str(SCHEDULER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            told = {"host": url.hostname, "port": url.port, "token": service.token, "pick": "random", "limit": 100}
            assert process.stdin is not None
            process.stdin.write(
                json.dumps({**told, "seed": number, "instances": slots * 11 // 10 // SCHEDULERS + 1}) + "\n"
            )
            process.stdin.flush()
            running.append(process)
        for process in running:
            assert process.stdout is not None
            _ = process.stdout.readline()
        began_s = time.perf_counter()
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate()[0] for process in running]
    seconds, cpu_s = time.perf_counter() - began_s, service.cpu_s() - before_s
    ended: list[dict[str, Any]] = [json.loads(output.splitlines()[-1]) for output in outputs]
    placed = sum(len(one["placed"]) for one in ended)
    met: Counter[str] = sum((Counter(one["met"]) for one in ended), Counter())
    failed = sum(count for what, count in met.items() if what.split(" ")[1].startswith("5"))
    over = placed - slots
    told_of = "exactly full" if not over else f"{over} over-committed" if over > 0 else f"{-over} slots left"
    table.add_storm(service, seconds, cpu_s, placed, f"{told_of}, {failed} answers of 5xx")


def on(service: Service, table: Table, parts: Sequence[str], hosts: int) -> None:
    """Measures one service with so many hosts."""
    if "candidates" in parts:
        candidates(table, service, hosts)
    if "claims" in parts:
        claims(table, service, hosts)
    if "candidates" in parts and hosts == 100:
        wide(table, service)


def main() -> int:
    """Runs what is asked for; returns 1 where the peer could not be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", default="100,1000,10000", help="of Tenet")
    parser.add_argument("--peer-hosts", default="100,1000", help="of the peer; empty: without it")
    parser.add_argument("--parts", type=Names("parts", PARTS), default=PARTS)
    parser.add_argument("--keep", action="store_true", help="put the table into docs/performance.md")
    given = parser.parse_args()
    table = Table()
    with tempfile.TemporaryDirectory(prefix="tenet-placement-") as name:
        folders = iter(range(1_000))

        def folder() -> Path:
            made = Path(name) / str(next(folders))
            made.mkdir()
            return made

        for hosts in _numbers(given.hosts):
            with tenet(folder()) as service:
                fill(service, hosts, 512)
                on(service, table, given.parts, hosts)
        if "storm" in given.parts:
            with tenet(folder()) as service:
                fill(service, STORM_HOSTS, SLOTS_OF_HOST)
                storm(table, service)
        try:
            for hosts in _numbers(given.peer_hosts):
                with peer(folder(), _hosts(hosts, 512)) as service:
                    on(service, table, given.parts, hosts)
            if "storm" in given.parts and given.peer_hosts:
                with peer(folder(), _hosts(STORM_HOSTS, SLOTS_OF_HOST)) as service:
                    storm(table, service)
        except (ToolMissing, FetchFailed, PeerDidNotStart) as error:
            print(error, file=sys.stderr)
            return 1
    if given.keep:
        how = report.provenance(report.bench_command(sys.argv[1:], "bench-placement"))
        report.write(Section("placement", "\n".join(table.rows), []), how)
    return 0


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def _hosts(hosts: int, slots: int) -> str:
    return json.dumps({"hosts": hosts, "inventories": of_host(slots), "traits": TRAITS})
