"""Finds the installation that a command is about: the server that runs on a data directory, or the directory itself."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tenet.app.access import NotStartedYet
from tenet.app.administration import CoreAdministration
from tenet.app.core import Core
from tenet.app.data_directory import DataDirectory
from tenet.app.diagnosis import diagnose_core
from tenet.app.remote import NotReached, RemoteAdministration
from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.errors import StoreCorrupt, StoreLocked

if TYPE_CHECKING:
    from tenet.app.configuration import Configuration
    from tenet.app.messages import Administration
    from tenet.base.clock import Clock

#: How often a server that is waited for is asked.
_ASK_AGAIN_S: Final = 0.1


@asynccontextmanager
async def reach(
    configuration: Configuration, *, kept: Callable[[Path], None] | None = None
) -> AsyncIterator[Administration]:
    """Yields the administration of an installation.

    Args:
        configuration: says where it lies.
        kept: given where an empty store will do instead of one that cannot be opened, as for a restore; it is told
            where the damaged one is kept.

    Raises:
        NotStartedYet: nothing was ever started there.
        NotReached: a process holds the data directory and does not answer.
        StoreCorrupt: the store is damaged, or of a later version, and no other will do.
    """
    directory = DataDirectory(configuration.settings)
    remote = remote_of(directory)
    trouble = remote.trouble() if remote is not None else "it is starting, or stopping"
    if remote is not None and not trouble:
        yield remote
        return
    if directory.root_key() is None and directory.running() is None:
        raise NotStartedYet.in_directory(directory)
    async with _opened(directory, configuration, trouble, kept) as administration:
        yield administration


@asynccontextmanager
async def _opened(
    directory: DataDirectory, configuration: Configuration, trouble: str, kept: Callable[[Path], None] | None
) -> AsyncIterator[CoreAdministration]:
    clock, ids = SystemClock(), SystemIds()
    try:
        core = await Core.open(directory, clock=clock, ids=ids)
    except StoreLocked as error:
        raise NotReached(f"{error.message}; that process does not answer: {trouble}") from error
    except StoreCorrupt:
        if kept is None:
            raise
        kept(directory.set_store_aside())
        core = await Core.open(directory, clock=clock, ids=ids)
    try:
        yield CoreAdministration(core, clock=clock, diagnose=lambda: diagnose_core(core, configuration))
    finally:
        await core.close()


def remote_of(directory: DataDirectory) -> RemoteAdministration | None:
    """Returns the administration of the server that announced itself in a data directory; it may be gone."""
    running, root_key = directory.running(), directory.root_key()
    if running is None or root_key is None:
        return None
    ca_file = directory.ca_file if running.endpoint.startswith("https") else None
    return RemoteAdministration(running.endpoint, root_key=root_key, ca_file=ca_file, clock=SystemClock())


def wait_until_ready(configuration: Configuration, wait_s: float, clock: Clock) -> None:
    """Returns once the server of a data directory is ready to serve.

    Args:
        configuration: says which directory.
        wait_s: how long at most; 0 asks once.
        clock: time.

    Raises:
        NotReached: it is not ready by then; the message says why.
    """
    directory = DataDirectory(configuration.settings)
    until_s = clock.monotonic_s() + wait_s
    while trouble := why_not_ready(directory):
        if clock.monotonic_s() >= until_s:
            raise NotReached(f"not ready after {wait_s:g} s: {trouble}")
        time.sleep(_ASK_AGAIN_S)


def why_not_ready(directory: DataDirectory) -> str:
    """Returns why no server serves a data directory, or "" where one does."""
    remote = remote_of(directory)
    return remote.trouble("/readyz") if remote is not None else f"no server runs on {directory.path}"
