"""The process that the nodes of a cluster are children of; it lives as long as somebody uses the cluster.

Whoever uses the cluster holds a connection to the keeper's socket. The kernel closes it when that process ends, by
kill -9 too; when the last one is gone for LINGER_S, the keeper kills the nodes and ends, unless it was told to stay.
Where the keeper itself is killed, the kernel ends the nodes (Linux), or the next keeper does (everywhere).

Requests and answers are lines of JSON: {"op": "pause", "node": 2} and {"result": ...} or {"error": "..."}.

    python -m tools.cluster.keeper SPEC JAVA LIBRARY fresh|kept
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from tools.cluster.node import CannotStart, Node
from tools.cluster.spec import Spec

#: Between one process of a run that lets go and the next that takes hold.
LINGER_S = 3.0
#: On a busy machine, from the moment at which it listens to the first connection.
FIRST_USER_S_MAX = 10.0
#: A node that was asked to end drains first.
STOP_S_MAX = 30.0
KILL_S_MAX = 10.0
LOCK_S_MAX = 60.0
SIGNALS = {"kill9": signal.SIGKILL, "pause": signal.SIGSTOP, "resume": signal.SIGCONT}


class Keeper:
    """Holds the nodes and answers requests about them.

    Args:
        spec: the cluster.
        java: the Java program.
        library: the folder of Cassandra's jars.
    """

    def __init__(self, spec: Spec, java: Path, library: Path) -> None:
        self.spec = spec
        self.nodes = {number: Node(spec, number, java, library) for number in spec.numbers}
        self._users = 0
        self._unused_since = 0.0
        self._stays = False
        self._is_over = asyncio.Event()

    async def run(self) -> None:
        """Serves until nobody uses the cluster any more, or it is told to stop."""
        self.spec.socket.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, self.spec.socket)
        # Cleaning up may have taken long; whoever made this keeper can only come from now on.
        self._unused_since = time.monotonic() + FIRST_USER_S_MAX
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._is_over.set)
        try:
            while not self._is_over.is_set() and not self._is_unused():
                try:
                    await asyncio.wait_for(self._is_over.wait(), 0.5)
                except TimeoutError:
                    continue
        finally:
            # Whoever comes now starts another keeper, which waits for this one's lock.
            self.spec.socket.unlink(missing_ok=True)
            server.close()
            for node in self.nodes.values():
                node.send(signal.SIGKILL)

    def _is_unused(self) -> bool:
        return not self._stays and not self._users and time.monotonic() - self._unused_since > LINGER_S

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._users += 1
        try:
            while line := await reader.readline():
                try:
                    answer = {"result": await self._answer(json.loads(line))}
                except CannotStart as error:
                    answer = {"error": str(error)}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass  # whoever asked is gone
        finally:
            self._users -= 1
            self._unused_since = time.monotonic()
            writer.close()

    async def _answer(self, request: dict[str, Any]) -> Any:
        operation = request["op"]
        if operation == "spec":
            return self.spec.to_json()
        if operation == "stay":
            self._stays = True
        elif operation == "shutdown":
            await asyncio.gather(*(self._stop(node) for node in self.nodes.values()))
            self._is_over.set()
        elif operation == "start":
            self.nodes[request["node"]].start()
        elif operation == "stop":
            await self._stop(self.nodes[request["node"]])
        elif operation in SIGNALS:
            await self._signal(self.nodes[request["node"]], SIGNALS[operation])
        return {"stays": self._stays, "nodes": [node.state for node in self.nodes.values()]}

    async def _signal(self, node: Node, number: signal.Signals) -> None:
        node.send(number)
        if number == signal.SIGKILL:
            await _ended(node, KILL_S_MAX)

    async def _stop(self, node: Node) -> None:
        """Lets it drain and end, and kills it where it does not."""
        node.send(signal.SIGCONT)
        node.send(signal.SIGTERM)
        await _ended(node, STOP_S_MAX)
        await self._signal(node, signal.SIGKILL)


async def _ended(node: Node, limit_s: float) -> None:
    until = time.monotonic() + limit_s
    while node.is_running and time.monotonic() < until:  # noqa: ASYNC110  only asking keeps the process number its own
        await asyncio.sleep(0.02)


def _lock(folder: Path) -> TextIO:
    """Waits for an earlier keeper, which may be ending, and takes its place."""
    file = (folder / "keeper.lock").open("w", encoding="ascii")
    until = time.monotonic() + LOCK_S_MAX
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise CannotStart(f"another keeper holds {file.name}") from None
            time.sleep(0.1)
        else:
            return file


def _check_kept(spec: Spec, *, is_fresh: bool) -> None:
    """Refuses to start with the data of a cluster of another size, whose tokens were others."""
    file = spec.folder / "nodes"
    if not is_fresh and file.exists() and file.read_text(encoding="ascii") != str(spec.nodes):
        raise CannotStart(
            f"the data on {spec.network} is of {file.read_text(encoding='ascii')} nodes: start with --fresh"
        )
    file.write_text(str(spec.nodes), encoding="ascii")


def main() -> int:
    """Cleans up after an earlier keeper and serves; returns 1 where an earlier one does not go away."""
    spec = Spec(**json.loads(sys.argv[1]))
    java, library, is_fresh = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4] == "fresh"
    try:
        with _lock(spec.folder):
            keeper = Keeper(spec, java, library)
            for node in keeper.nodes.values():
                node.end_stale()
                if is_fresh:
                    node.clear()
            _check_kept(spec, is_fresh=is_fresh)
            asyncio.run(keeper.run())
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
