"""Finds the filters and weighers that requests may name: Tenet's own, and those that other packages bring."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import metadata
from typing import Any, Final, TypeVar

from msgspec import Struct

from tenet.placement.errors import BadRequest
from tenet.placement.rules.claim_requests import Plugin
from tenet.placement.selection.contract import (
    INTERFACE,
    Filter,
    MakeFilter,
    MakeWeigher,
    NamedFilter,
    NamedWeigher,
    Weigher,
)
from tenet.placement.selection.filters import FILTERS
from tenet.placement.selection.weighers import WEIGHERS

FILTERS_GROUP: Final = "tenet.placement.filters"
WEIGHERS_GROUP: Final = "tenet.placement.weighers"

Made = TypeVar("Made", Filter, Weigher)


class Plugins(Struct, frozen=True):
    """Filters and weighers by name.

    Args:
        filters: make filters.
        weighers: make weighers.
    """

    filters: Mapping[str, MakeFilter]
    weighers: Mapping[str, MakeWeigher]

    def filter(self, asked: Plugin) -> NamedFilter:
        """Returns a filter as a request wants it.

        Raises:
            BadRequest: there is none of that name, or its parameters are wrong.
        """
        return NamedFilter(asked.name, _make(self.filters, asked, "filter"))

    def weigher(self, asked: Plugin) -> NamedWeigher:
        """Returns a weigher as a request wants it.

        Raises:
            BadRequest: there is none of that name, or its parameters are wrong.
        """
        return NamedWeigher(asked.name, asked.multiplier, _make(self.weighers, asked, "weigher"))


def installed_plugins() -> Plugins:
    """Returns Tenet's own plugins and those of all installed packages, which cannot take the name of one of Tenet's."""
    return Plugins(
        {**installed(FILTERS_GROUP), **FILTERS},
        {**installed(WEIGHERS_GROUP), **WEIGHERS},
    )


def installed(group: str) -> dict[str, Callable[..., Any]]:
    """Returns what installed packages bring under a group of entry points, by name.

    Each is loaded when it is first called: one that cannot be loaded harms nobody else.
    """
    return {entry.name: _lazily(entry) for entry in _entry_points(group, tuple(sys.path))}


@lru_cache(maxsize=8)
def _entry_points(group: str, _path: tuple[str, ...]) -> metadata.EntryPoints:
    """Returns entry points of all packages under a path; to find them takes reading the metadata of every package."""
    return metadata.entry_points(group=group)


def _lazily(entry: metadata.EntryPoint) -> Callable[..., Any]:
    def make(*given: Any) -> Any:
        return entry.load()(*given)

    return make


def _make(known: Mapping[str, Callable[[Mapping[str, Any]], Made]], asked: Plugin, what: str) -> Made:
    maker = known.get(asked.name)
    if maker is None:
        raise BadRequest(f"There is no {what} {asked.name!r}; there are: {', '.join(sorted(known))}.")
    try:
        made = maker(asked.parameters)
    except ValueError as error:
        raise BadRequest(f"The {what} {asked.name!r} refuses its parameters: {error}.") from None
    if made.interface != INTERFACE:
        raise BadRequest(
            f"The {what} {asked.name!r} is written for version {made.interface} of the interface; this is {INTERFACE}."
        )
    return made
