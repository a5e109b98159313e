"""Opens the store that the settings name; engines are found by their entry point, never imported."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Final, cast

from tenet.app.configuration import ConfigurationError
from tenet.store.contract import OpenEngine

if TYPE_CHECKING:
    from tenet.app.data_directory import DataDirectory
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Engine

GROUP: Final = "tenet.engines"


async def open_store(directory: DataDirectory, *, clock: Clock, ids: Ids) -> Engine:
    """Opens the engine that ``store.url`` names.

    Args:
        directory: says which engine, and where.
        clock: time.
        ids: randomness.

    Raises:
        ConfigurationError: no such engine is installed.
        StoreLocked: another process holds the data.
        StoreCorrupt: the data is of a later version, or damaged.
    """
    name, location = directory.engine_and_location
    found = metadata.entry_points(group=GROUP, name=name)
    if not found:
        known = ", ".join(sorted(entry.name for entry in metadata.entry_points(group=GROUP)))
        raise ConfigurationError([f"`store.url` names the engine '{name}'; installed are: {known}."])
    open_engine = cast(OpenEngine, next(iter(found)).load())
    return await open_engine(location, clock=clock, ids=ids)
