"""Opens the service when it is first asked for something, and again where that failed.

Where nobody uses placement it costs nothing: no space is made, no log is followed, and what only it needs is not even
imported. Where it does not open, it says so itself, and the services beside it do not know.
"""

from __future__ import annotations

import asyncio
import math
import sys
from contextlib import suppress
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from tenet.placement.counts import Counts
from tenet.placement.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.placement.opening import Opened
    from tenet.placement.rules.policy import Policy
    from tenet.store.contract import Store

_OPENING: Final = "tenet.placement.opening"
#: What is imported for it alone and loads shared libraries.
_NATIVE: Final = ("numpy", "rpds", "_ctypes")
_PIECE_BYTES: Final = 1 << 20
#: How long after a failure the next request may try again, seconds.
_AGAIN_S: Final = 1.0
#: How many refused claims are kept of a project, unless an operator says otherwise.
REFUSED_MAX: Final = 1_000

_log = structlog.get_logger(__name__)


class Loader:
    """Opens the service once.

    Args:
        store: where everything lies.
        clock: time.
        ids: randomness.
        policy: who may do what.
        is_shared: whether other processes commit to the store.
        refused_max: how many refused claims are kept of a project, about.
        when_open: called once it is open.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        ids: Ids,
        policy: Policy,
        is_shared: bool,
        refused_max: int = REFUSED_MAX,
        when_open: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._policy = policy
        self._is_shared = is_shared
        self._refused_max = refused_max
        self._when_open = when_open
        self._task: asyncio.Task[Opened] | None = None
        self._again_s = -math.inf
        #: The service; None where it is not open yet.
        self.opened: Opened | None = None
        #: What the last attempt to open it has failed with; empty where none has.
        self.trouble = ""
        self.counts = Counts()

    async def open(self) -> Opened:
        """Opens the service, where it is not; a load of everything then.

        Raises:
            StoreError: the store could not serve.
        """
        return await asyncio.shield(self._begin()) if self.opened is None else self.opened

    async def ask(self, deadline: float) -> Opened:
        """Returns the service for a request, which waits for it as long as it has time.

        Args:
            deadline: of the request, in seconds on the monotonic clock.

        Raises:
            Unavailable: it does not open, or not in time.
        """
        if self.opened is not None:
            return self.opened
        now_s = self._clock.monotonic_s()
        if self._task is None and now_s < self._again_s:
            raise _unavailable()
        task = self._begin()
        await asyncio.wait([task], timeout=None if deadline == math.inf else max(0.0, deadline - now_s))
        if not task.done():
            raise Unavailable("The placement service is loading its providers. Nothing was done; try again.")
        if task.cancelled() or task.exception() is not None:
            raise _unavailable()
        return task.result()

    def _begin(self) -> asyncio.Task[Opened]:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._open())
            # The log has why it failed; nobody need be left who asks.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._task

    async def _open(self) -> Opened:
        try:
            if _OPENING not in sys.modules:
                # NumPy and the names of all of OpenStack take a while to import, in which others are served.
                await asyncio.to_thread(_import_opening)
            from tenet.placement.opening import open_service  # noqa: PLC0415 (see above)

            opened = await open_service(
                self._store,
                clock=self._clock,
                ids=self._ids,
                policy=self._policy,
                is_shared=self._is_shared,
                refused_max=self._refused_max,
                counts=self.counts,
            )
        except Exception as error:
            _log.exception("placement does not open")
            self.trouble = str(error) or type(error).__name__
            self._again_s = self._clock.monotonic_s() + _AGAIN_S
            raise
        finally:
            self._task = None
        self.opened, self.trouble = opened, ""
        if self._when_open is not None:
            await self._when_open()
        return opened

    async def close(self) -> None:
        """Stops opening, and following what others commit."""
        if self._task is not None:
            task = self._task
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self.opened is not None:
            await self.opened.context.keeper.close()
            await self.opened.context.expiry.close()


def _import_opening() -> None:
    """Imports what opens the service.

    Whoever loads a shared library keeps the interpreter to himself until the disk has given all of it. Where that takes
    seconds, as behind a start of the machine, nobody would be served, and the process would look as if it had stood
    still. To read a file keeps nobody else from running, and what has been read is loaded from memory.
    """
    for library in native_libraries():
        # One that cannot be read is told by whoever loads it, if anybody does.
        with suppress(OSError), library.open("rb", buffering=0) as file:
            while file.read(_PIECE_BYTES):
                pass
    import_module(_OPENING)


def native_libraries() -> list[Path]:
    """Returns the files of the shared libraries that opening the service loads, and some beside them."""
    found: list[Path] = []
    for name in _NATIVE:
        spec = find_spec(name)
        if spec is None or not spec.has_location or spec.origin is None:
            continue
        if spec.submodule_search_locations is None:
            found.append(Path(spec.origin))
            continue
        for folder in map(Path, spec.submodule_search_locations):
            found += [file for suffix in (EXTENSION_SUFFIXES[-1], ".dylib") for file in folder.rglob(f"*{suffix}")]
            # Where wheels for Linux have the libraries that they bring along.
            found += [file for file in folder.with_name(f"{name}.libs").glob("*.so*") if file.is_file()]
    return found


def _unavailable() -> Unavailable:
    return Unavailable("The placement service does not open now. Nothing was done; try again.")
