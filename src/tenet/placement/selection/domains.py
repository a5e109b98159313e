"""Failure domains: what fails together.

The domain ``host`` is the top of a provider's tree. Every other one (``rack``, ``site``, or what an operator calls his)
is told by a custom trait: the rack of a provider is what follows ``CUSTOM_RACK_`` in a trait of its own, else of the
nearest ancestor that has one. A trait can be seen and set with every client of the Placement API and says which rack it
is, which an aggregate, a uuid without a name or a kind, does not; and a tree must not reach beyond one host, since what
is asked for without a suffix may come from all over a tree.

A provider without such a trait is in no known domain: it satisfies no demand about that kind of domain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from tenet.placement.model import SHARES, Provider
from tenet.placement.selection.contract import Option

HOST: Final = "host"
#: What kinds of domains may be called, as a pattern of JSON Schema.
KIND_PATTERN: Final = "^[a-z][a-z0-9_]{0,31}$"


def prefix_of(kind: str) -> str:
    """Returns what the traits begin with that tell the domains of a kind, for instance ``CUSTOM_RACK_``."""
    return f"CUSTOM_{kind.upper()}_"


def domains_of(option: Option, kind: str) -> frozenset[str] | None:
    """Returns the domains of a kind that an option lies in; None where a provider is in none that is known."""
    return domains_of_providers(option.local, kind, option.providers.get)


def domains_of_providers(
    uuids: Iterable[str], kind: str, find: Callable[[str], Provider | None]
) -> frozenset[str] | None:
    """Returns the domains of a kind that some providers lie in.

    Args:
        uuids: of the providers.
        kind: ``host``, or what the traits are named after.
        find: returns a provider or an ancestor by its uuid.

    Returns:
        None where one of them is in none that is known.
    """
    found: set[str] = set()
    for uuid in uuids:
        provider = find(uuid)
        if provider is None:
            return None
        if kind == HOST:
            found.add(provider.root)
            continue
        values = _told(provider, prefix_of(kind), find)
        if not values:
            return None
        found |= values
    return frozenset(found)


def local_of(uuids: Iterable[str], find: Callable[[str], Provider | None]) -> tuple[str, ...]:
    """Returns those of some providers that share nothing with other trees; all, where all share or are not known.

    Args:
        uuids: of the providers that a consumer has something of.
        find: returns a provider by its uuid.
    """
    every = tuple(uuids)
    known = {uuid: find(uuid) for uuid in every}
    return tuple(uuid for uuid, one in known.items() if one is None or SHARES not in one.traits) or every


def _told(provider: Provider, prefix: str, find: Callable[[str], Provider | None]) -> set[str]:
    above: Provider | None = provider
    while above is not None:
        values = {trait.removeprefix(prefix) for trait in above.traits if trait.startswith(prefix)}
        if values or above.parent is None:
            return values
        above = find(above.parent)
    return set()
