"""Finds the installation that a command is about: the server that runs on a data directory, or the directory itself."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from tenet.app.access import NotStartedYet
from tenet.app.administration import CoreAdministration
from tenet.app.clustering import StoreGone, check_store, node_of
from tenet.app.core import Core
from tenet.app.data_directory import DataDirectory
from tenet.app.diagnosis import diagnose_core
from tenet.app.engines import holds_something, is_missing, needing_to_write, open_store, restore_closed_store
from tenet.app.logs import set_up_for_command
from tenet.app.messages import Figures, FileNamed
from tenet.app.moving import Mover
from tenet.app.remote import QUESTION_S_MAX, NotReached, RemoteAdministration, Trust
from tenet.app.unusable_keys import unusable_keys
from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.errors import CopyRefused, StoreCorrupt, StoreLocked, StoreOfLaterVersion
from tenet.store.guard import guarded
from tenet.wire.master import MasterKeys

if TYPE_CHECKING:
    from tenet.app.configuration import Configuration
    from tenet.app.messages import Administration, CopyNamed, CopyShown
    from tenet.base.clock import Clock

#: How often a server that is waited for is asked.
_ASK_AGAIN_S: Final = 0.1
#: What a question may take, however little is left of the time to wait: a busy machine does not answer at once.
_QUESTION_S_MIN: Final = 1.0


@asynccontextmanager
async def reach(configuration: Configuration) -> AsyncIterator[Administration]:
    """Yields the administration of an installation.

    Args:
        configuration: says where it lies.

    Raises:
        StoreGone: no server runs, and there is no store.
        NotStartedYet: nothing was ever started there.
        NotReached: a process holds the data directory and does not answer.
        StoreOfLaterVersion: a later version wrote the store.
        StoreCorrupt: the store is damaged.
    """
    directory = DataDirectory(configuration.settings)
    remote = remote_of(directory)
    trouble = remote.trouble() if remote is not None else "it is starting, or stopping"
    if remote is not None and not trouble:
        yield remote
        return
    if directory.root_key() is None and directory.running() is None:
        raise NotStartedYet.in_directory(directory)
    check_store(directory)
    async with _opened(directory, configuration, trouble) as administration:
        yield administration


class Copies(Protocol):
    """What can be asked about copies of a store."""

    async def begin_copy(self, named: CopyNamed) -> CopyShown:
        """Begins to copy the store, or resumes it; it goes on in the background."""
        ...

    async def show_copy(self) -> CopyShown:
        """Returns how far the copy is that was begun last."""
        ...

    async def end_copy(self, named: CopyNamed) -> None:
        """Gives a copy up."""
        ...


class _OwnCopies:
    """Copies that this process makes itself."""

    def __init__(self, mover: Mover) -> None:
        self.begin_copy = mover.begin
        self.end_copy = mover.end
        self._mover = mover

    async def show_copy(self) -> CopyShown:
        """Returns how far the copy is that was begun last."""
        return self._mover.shown()


@asynccontextmanager
async def reach_copies(configuration: Configuration) -> AsyncIterator[tuple[Copies, bool]]:
    """Yields who copies the store of an installation, and whether that is a server, which goes on by itself.

    Args:
        configuration: says where it lies, and which store is copied.

    Raises:
        NotReached: a process holds the store and does not answer.
        StoreError: it cannot be opened.
    """
    directory, clock, ids = DataDirectory(configuration.settings), SystemClock(), SystemIds()
    remote = remote_of(directory)
    trouble = remote.trouble() if remote is not None else "it is starting, or stopping"
    if remote is not None and not trouble:
        yield remote, True
        return
    if is_missing(directory):
        raise CopyRefused(f"FROM: there is no store in {directory.engine_and_location[1]}")
    set_up_for_command()
    try:
        store = await open_store(directory, clock=clock, ids=ids)
    except StoreLocked as error:
        raise NotReached(f"{error.message}; that process does not answer: {trouble}") from error
    guard = guarded(store, clock)
    mover = Mover(directory, guard, clock=clock, ids=ids, owner=node_of(directory))
    try:
        yield _OwnCopies(mover), False
    finally:
        await mover.close()
        await guard.close()


async def restore(configuration: Configuration, named: FileNamed, kept: Callable[[Path], None]) -> Figures:
    """Replaces everything in the store of an installation by what a backup holds, be it gone or too damaged to open.

    Args:
        configuration: says where the installation lies.
        named: the backup.
        kept: is told where a damaged store is kept.

    Raises:
        StoreOfLaterVersion: a later version wrote the store, which is no reason to replace it.
        TenetError: as from ``reach``, or the backup could not be restored; the store is left as it was.
    """
    async with AsyncExitStack() as stack:
        try:
            administration = await stack.enter_async_context(reach(configuration))
        except StoreOfLaterVersion:
            raise
        except (StoreCorrupt, StoreGone) as error:
            return await _restore_closed(configuration, named, kept, error)
        return await administration.restore(named)


async def _restore_closed(
    configuration: Configuration, named: FileNamed, kept: Callable[[Path], None], trouble: StoreCorrupt | StoreGone
) -> Figures:
    directory, clock, ids = DataDirectory(configuration.settings), SystemClock(), SystemIds()
    began_s = clock.monotonic_s()
    set_up_for_command()
    # What else could keep the restored store from being opened is found out before anything is replaced.
    MasterKeys.open(directory.master_key_file, ids, may_create=directory.root_key() is None)
    place = directory.place_for_damaged_store() if holds_something(directory) else None
    with needing_to_write(directory):
        if not await restore_closed_store(directory, named.path, place):
            raise trouble
    if place is not None:
        kept(place)
    core = await Core.open(directory, clock=clock, ids=ids)
    warning = unusable_keys(core.ring.list())
    await core.close()
    return Figures(named.path, round((clock.monotonic_s() - began_s) * 1000), warning=warning)


@asynccontextmanager
async def _opened(
    directory: DataDirectory, configuration: Configuration, trouble: str
) -> AsyncIterator[CoreAdministration]:
    clock, ids = SystemClock(), SystemIds()
    set_up_for_command()
    try:
        core = await Core.open(directory, clock=clock, ids=ids)
    except StoreLocked as error:
        raise NotReached(f"{error.message}; that process does not answer: {trouble}") from error
    try:
        yield CoreAdministration(core, clock=clock, diagnose=lambda: diagnose_core(core, configuration))
    finally:
        await core.close()


def remote_of(directory: DataDirectory) -> RemoteAdministration | None:
    """Returns the administration of the server that announced itself in a data directory; it may be gone."""
    running, root_key = directory.running(), directory.root_key()
    if running is None or root_key is None:
        return None
    trust = Trust(directory.ca_file)
    if running.certificate_file:
        trust = Trust(Path(running.certificate_file), is_of_operator=True)
    return RemoteAdministration(running.endpoint, root_key=root_key, trust=trust, clock=SystemClock())


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
    left_s = wait_s
    while trouble := why_not_ready(directory, s_max=max(left_s, _QUESTION_S_MIN)):
        left_s = until_s - clock.monotonic_s()
        if left_s <= 0:
            raise NotReached(f"not ready after {wait_s:g} s: {trouble}")
        time.sleep(min(_ASK_AGAIN_S, left_s))


def why_not_ready(directory: DataDirectory, *, s_max: float = QUESTION_S_MAX) -> str:
    """Returns why no server serves a data directory, or "" where one does.

    Args:
        directory: the data directory.
        s_max: seconds that the answer may take.
    """
    remote = remote_of(directory)
    if remote is None:
        return f"no server runs on {directory.path}"
    return remote.trouble("/readyz", s_max=s_max)
