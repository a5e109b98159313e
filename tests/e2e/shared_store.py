"""A store that processes share over a Unix socket: the reference engine in the process that serves it.

Each call is a pickled tuple of its name, arguments and options; the answer a pickled pair of whether it went well, and
its result or error. For processes that a test starts, and nobody else.
"""

from __future__ import annotations

import asyncio
import itertools
import pickle
from pathlib import Path
from typing import Any

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import Capabilities, Watch
from tenet.store.errors import StoreUnavailable
from tenet.store.memory import MemoryEngine

_LENGTH_BYTES = 4


async def read_frame(reader: asyncio.StreamReader) -> Any:
    length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
    return pickle.loads(await reader.readexactly(length))


def write_frame(writer: asyncio.StreamWriter, value: object) -> None:
    body = pickle.dumps(value)
    writer.write(len(body).to_bytes(_LENGTH_BYTES, "big") + body)


class SharedStore:
    """Serves an engine at a path."""

    def __init__(self) -> None:
        self.engine = MemoryEngine(clock=SystemClock(), ids=SystemIds())
        self._server: asyncio.Server
        self._connected: set[asyncio.Task[None]] = set()

    async def start(self, path: Path) -> None:
        self._server = await asyncio.start_unix_server(self._serve, path)

    async def close(self) -> None:
        self._server.close()
        for task in self._connected:
            task.cancel()
        await asyncio.gather(*self._connected, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connected.add(task)
        try:
            while True:
                number, name, arguments, options = await read_frame(reader)
                try:
                    write_frame(writer, (number, True, await getattr(self.engine, name)(*arguments, **options)))
                except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
                    write_frame(writer, (number, False, error))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connected.discard(task)
            writer.close()


class SharedStoreClient:
    """An engine that asks the process which serves it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count()
        self._local = MemoryEngine(clock=SystemClock(), ids=SystemIds())
        self._listening = asyncio.get_running_loop().create_task(self._listen(reader))

    @classmethod
    async def open(cls, path: Path) -> SharedStoreClient:
        return cls(*await asyncio.open_unix_connection(path))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            number, is_good, value = await read_frame(reader)
            waiting = self._waiting.pop(number)
            if waiting.done():
                continue
            if is_good:
                waiting.set_result(value)
            else:
                waiting.set_exception(value)

    async def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        if self._listening.done():
            raise StoreUnavailable("the process that serves the store has gone")
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        write_frame(self._writer, (number, name, arguments, options))
        return await self._waiting[number]

    @property
    def capabilities(self) -> Capabilities:
        return self._local.capabilities

    def watch(self, space: str, partition: bytes | None = None) -> Watch:
        return self._local.watch(space, partition)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *arguments, **options: self._call(name, *arguments, **options)
