"""A node as a process of its own that does background jobs: says which, and writes numbered lines under its leases.

python -m tests.e2e.work_process DIRECTORY NODE
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, cast

import uvloop

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.mesh.channel import NodeId
from tenet.mesh.cooperation import Cooperation
from tenet.mesh.credentials import CredentialFiles, Credentials
from tenet.mesh.jobs import Job, Tenure
from tenet.mesh.network import Network
from tenet.store.contract import Commit, Committed, Engine, Key, Put, new_commit_id
from tests.e2e.shared_store import SharedStoreClient

SPACE = "ledger"
SHARDS = 6
CLOCK, IDS = SystemClock(), SystemIds()


def say(**what: object) -> None:
    print(json.dumps({**what, "at_s": CLOCK.monotonic_s()}), flush=True)


def partition_of(shard: int) -> bytes:
    return b"shard %d" % shard


def job(node: str) -> Job:
    async def run(tenure: Tenure) -> None:
        say(event="runs", node=node, shard=tenure.shard, number=tenure.number)
        partition = partition_of(tenure.shard)
        (record,) = await tenure.store.get((Key(SPACE, partition, b"count"),))
        count = 0 if record is None else int(record.value)
        while True:
            # Blindly, where it believes the end to be: only the lease keeps others from writing here.
            line = Put(Key(SPACE, partition, b"line/%08d" % count), b"%d" % tenure.number)
            writes = (line, Put(Key(SPACE, partition, b"count"), b"%d" % (count + 1)))
            outcome = await tenure.store.commit(Commit(new_commit_id(CLOCK, IDS), writes))
            assert isinstance(outcome, Committed), outcome
            say(event="wrote", shard=tenure.shard, number=tenure.number, line=count)
            count += 1
            await asyncio.sleep(0.02)

    return Job("ledger", run, shards=SHARDS, lease_key=lambda shard: Key(SPACE, partition_of(shard), b"lease"))


async def anybody(_: NodeId, __: str) -> str:
    return ""


async def main(directory: Path, node: str) -> None:
    store: Any = await SharedStoreClient.open(directory / "store")
    credentials = Credentials(NodeId(node), CredentialFiles.within(directory / node))
    network = Network(credentials, "1.0", anybody, clock=CLOCK, ids=IDS)
    await network.start("127.0.0.1", 0)
    cooperation = Cooperation(cast("Engine", store), network, clock=CLOCK, ids=IDS, address=network.address)
    await cooperation.supervisor.add(job(node))
    await cooperation.begin()
    say(event="joined", node=node)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(Path(sys.argv[1]), sys.argv[2]))
