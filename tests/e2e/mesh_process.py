"""A node's network as a process of its own: listens, dials, answers ``echo``, and says on standard output who is there.

python -m tests.e2e.mesh_process DIRECTORY NODE SILENT_S [ADDRESS…]
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import uvloop

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.mesh.channel import NodeId
from tenet.mesh.credentials import CredentialFiles, Credentials
from tenet.mesh.link import LinkLimits
from tenet.mesh.network import Network


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def echo(_: NodeId, body: bytes) -> bytes:
    return body


async def anybody(_: NodeId, __: str) -> str:
    return ""


async def main(directory: Path, node: str, silent_s: float, addresses: list[str]) -> None:
    credentials = Credentials(NodeId(node), CredentialFiles.within(directory / node))
    limits = LinkLimits(keep_alive_s=0.1, silent_s=silent_s)
    network = Network(credentials, "1.0", anybody, clock=SystemClock(), ids=SystemIds(), limits=limits)
    network.handle("echo", echo)
    network.on_up(lambda peer: say(event="up", node=peer.node))
    network.on_down(lambda peer: say(event="down", node=peer.node))
    await network.start("127.0.0.1", 0)
    say(event="listening", address=network.address)
    for address in addresses:
        network.dial(address)
    await asyncio.Event().wait()


if __name__ == "__main__":
    _, place, name, silence, *others = sys.argv
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(Path(place), name, float(silence), others))
