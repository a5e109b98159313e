"""Takes changed settings over while the server runs: all that may change, or none where one is wrong.

The order is that of what can fail: the settings are read and judged, a new listener is opened, the certificate is read;
from then on nothing fails any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from tenet.app.catalogue import settings as declared
from tenet.app.configuration import changed
from tenet.app.machine import mistakes_in
from tenet.base.errors import TenetError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tenet.app.certificates import Certificates
    from tenet.app.configuration import Configuration
    from tenet.wire.listener import Listener
    from tenet.wire.server import Edge

_log = structlog.get_logger(__name__)


class Reloading:
    """Reads the settings of a server again, one time after the other.

    Args:
        configuration: what the server was started with.
        edge: its listener.
        certificates: what that shows its clients.
        listening: says of an address what is wrong where it cannot be listened on.
        take: puts settings in force that cannot be refused any more; is called with the listener changed already.
    """

    def __init__(
        self,
        configuration: Configuration,
        edge: Edge,
        certificates: Certificates,
        *,
        listening: Callable[[str], AbstractContextManager[tuple[str, int]]],
        take: Callable[[Configuration], None],
    ) -> None:
        self._configuration = configuration
        self._edge = edge
        self._certificates = certificates
        self._listening = listening
        self._take = take
        self._one_at_a_time = asyncio.Lock()
        self._asked: set[asyncio.Task[None]] = set()
        #: Names of settings that have other values since, which the next start takes over.
        self.at_next_start: list[str] = []

    def soon(self) -> None:
        """Reads the settings again as soon as it can, and says in the log what came of it."""
        task = asyncio.get_running_loop().create_task(self._told())
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _told(self) -> None:
        try:
            await self.now()
        except TenetError as error:
            _log.error("settings are not taken over", reason=error.message)

    async def now(self) -> tuple[list[str], list[str]]:
        """Reads the settings again and takes over those that may change.

        Returns:
            Names of the settings whose new values are in force, and of those that the next start takes over.

        Raises:
            ConfigurationError: names every mistake; nothing was changed.
            AddressTaken: the new address is in use; nothing was changed.
            TlsUnusable: the certificate cannot be used; nothing was changed.
        """
        async with self._one_at_a_time:
            before = self._configuration
            found = before.again(look=mistakes_in)
            differing = changed(before.settings, found.settings)
            later = [name for name in differing if not declared()[name].running]
            now = [name for name in differing if name not in later]
            wanted = found.keeping(later, before)
            await self._change_edge(wanted, now)
            self._configuration, self.at_next_start = wanted, later
            self._take(wanted)
        _log.warning("settings are taken over", changed=now, at_next_start=later)
        return now, later

    async def _change_edge(self, wanted: Configuration, names: list[str]) -> None:
        listener = await self._opened(wanted) if "server.listen" in names else None
        with _closed_unless_used(listener):
            self._certificates.read_again(wanted.settings)
        if listener is not None:
            self._edge.change_listener(listener)

    async def _opened(self, wanted: Configuration) -> Listener | None:
        """Returns a listener on the address that is wanted; None where that is listened on already."""
        with self._listening(wanted.settings.server.listen) as (host, port):
            if (host, port) == self._edge.address:
                return None
            return await self._edge.open_listener(host, port, tls=self._certificates.shared)


@contextmanager
def _closed_unless_used(listener: Listener | None) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if listener is not None:
            listener.close()
        raise
