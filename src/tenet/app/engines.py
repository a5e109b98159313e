"""Opens the store that the settings name; engines are found by their entry point, never imported."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

from tenet.app.configuration import ConfigurationError, Mistake
from tenet.store.contract import OpenEngine
from tenet.store.errors import DiskFull, InvalidRequest, ReadOnlyStore

if TYPE_CHECKING:
    from tenet.app.data_directory import DataDirectory
    from tenet.app.settings import Settings
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Engine

GROUP: Final = "tenet.engines"
RESTORES_GROUP: Final = "tenet.restores"
LOCATIONS_GROUP: Final = "tenet.locations"

#: How the place of a store begins that is reached over the network, and so by several processes.
_NETWORK: Final = "//"
#: The engine whose store is files in a directory; its own, and the one that says whether a store was opened there.
_IN_FILES: Final = "sqlite"
STORE_FILE: Final = "tenet.db"
LOCK_FILE: Final = "tenet.lock"
#: Engines whose data one process has for itself, whatever their place looks like.
_EMBEDDED: Final = frozenset({"memory", "sqlite"})


class CheckLocation(Protocol):
    """What the entry points of the group ``tenet.locations`` name: finds mistakes in where a store is said to be.

    It asks nobody over a network, so that settings can be checked before the store is there.
    """

    def __call__(self, location: str, /) -> object:
        """Checks the location.

        Args:
            location: as for ``contract.OpenEngine``.

        Raises:
            InvalidRequest: the engine could not be opened with it on this machine; the message names the part.
        """
        ...


class RestoreClosed(Protocol):
    """What the entry points of the group ``tenet.restores`` name: puts a backup in the place of a store that is closed.

    It does for a store that is too damaged to be opened what ``Backups.restore`` does for an open one.
    """

    def __call__(self, location: str, path: str, /, *, kept_in: str | None = None) -> None:
        """Restores the backup; durable when it returns. Blocks, and is meant for a thread.

        Args:
            location: as for ``contract.OpenEngine``.
            path: the backup.
            kept_in: a folder to be made, which the old store is kept in; None where nobody wants it any more.

        Raises:
            StoreLocked: another process holds the data.
            InvalidRequest: there is no such backup, or it cannot be read.
            StoreCorrupt: the file is no backup of this engine, is damaged, or of a later version.
            DiskFull: there is no room for it beside the old store. In every case the old store is left as it was.
        """
        ...


def is_shared(directory: DataDirectory) -> bool:
    """Tells whether several processes can have the store of a data directory open at once."""
    name, location = directory.engine_and_location
    return name not in _EMBEDDED and location.startswith(_NETWORK)


def is_missing(directory: DataDirectory) -> bool:
    """Tells whether the store of a data directory is one in files, of which there are none."""
    _, location = directory.engine_and_location
    return not location.startswith(_NETWORK) and not Path(location).exists()


def is_gone(directory: DataDirectory) -> bool:
    """Tells whether there is no store in the place of one in files, and nobody has said that one may begin empty.

    That is said by an empty file of the lock: a process that has opened the store, or has tried to, writes into it.
    """
    name, location = directory.engine_and_location
    lock = Path(location, LOCK_FILE)
    if name != _IN_FILES or Path(location, STORE_FILE).exists():
        return False
    return not lock.exists() or lock.stat().st_size > 0


def holds_something(directory: DataDirectory) -> bool:
    """Tells whether anything but the lock lies in the place of a store in files, be it no more than a part of one."""
    place = Path(directory.engine_and_location[1])
    return place.is_dir() and any(path.is_file() and path.name != LOCK_FILE for path in place.iterdir())


@cache
def _installed() -> Mapping[str, metadata.EntryPoint]:
    """Returns the engines that are installed, by name."""
    return {entry.name: entry for entry in sorted(metadata.entry_points(group=GROUP))}


@cache
def _checks() -> Mapping[str, metadata.EntryPoint]:
    """Returns the checks of locations that are installed, by the name of the engine."""
    return {entry.name: entry for entry in metadata.entry_points(group=LOCATIONS_GROUP)}


def mistakes_in(settings: Settings) -> list[Mistake]:
    """Returns what is wrong with the store that the settings name: the engine, or what its own check finds."""
    name, _, location = settings.store.url.partition(":")
    if name not in _installed():
        known = ", ".join(_installed())
        return [Mistake(("store.url",), f"`store.url` names the engine '{name}'; installed are: {known}.")]
    checks = _checks()
    if name in checks:
        try:
            cast(CheckLocation, checks[name].load())(location)
        except InvalidRequest as error:
            return [Mistake(("store.url",), f"`store.url`: {error.message}.")]
    return []


async def open_store(directory: DataDirectory, *, clock: Clock, ids: Ids) -> Engine:
    """Opens the engine that ``store.url`` names.

    Args:
        directory: says which engine, and where.
        clock: time.
        ids: randomness.

    Raises:
        ConfigurationError: no such engine is installed, or it cannot be opened with what the URL says.
        StoreLocked: another process holds the data.
        StoreOfLaterVersion: the data is of a later version.
        StoreCorrupt: the data is damaged.
    """
    name, location = directory.engine_and_location
    mistakes = mistakes_in(directory.settings)
    if mistakes:
        raise ConfigurationError([mistake.text for mistake in mistakes])
    open_engine = cast(OpenEngine, _installed()[name].load())
    return await open_engine(location, clock=clock, ids=ids)


async def restore_closed_store(directory: DataDirectory, path: str, kept_in: Path | None) -> bool:
    """Puts a backup in the place of a store that is gone, or too damaged to be opened.

    Args:
        directory: says which engine, and where.
        path: the backup.
        kept_in: a free name, under which the damaged store is kept; None where there is none.

    Returns:
        Whether it was done; False where the engine has no way to restore one.

    Raises:
        StoreError: it could not be restored; the damaged store is left as it was.
    """
    name, location = directory.engine_and_location
    found = metadata.entry_points(group=RESTORES_GROUP, name=name)
    if not found:
        return False
    restore = cast(RestoreClosed, next(iter(found)).load())
    await asyncio.to_thread(restore, location, path, kept_in=str(kept_in) if kept_in else None)
    return True


@contextmanager
def needing_to_write(directory: DataDirectory) -> Iterator[None]:
    """Says of a disk that refuses writes what that means for what has to write before anything is opened.

    Raises:
        DiskFull: there is no room.
        ReadOnlyStore: the directory cannot be written to.
    """
    location = directory.engine_and_location[1]
    try:
        yield
    except DiskFull as error:
        raise DiskFull(
            f"no room is left on the disk of {location}, and without some the store cannot be opened. Free some, then"
            " try again"
        ) from error
    except ReadOnlyStore as error:
        raise ReadOnlyStore(
            f"the directory {location} cannot be written to, and so the store cannot be opened. Mount it writable, or"
            " give this user the right to write, then try again"
        ) from error
