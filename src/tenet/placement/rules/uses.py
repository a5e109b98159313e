"""What a commit left in use, as its own answer tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tenet.placement import keys
from tenet.store.contract import Key

#: What a commit tells that says nothing.
NOTHING_TOLD: Final[Mapping[Key, Mapping[str, int]]] = {}


class Uses(Struct):
    """What a commit left of one provider.

    Args:
        generation: of the provider since.
        revision: of its inventories.
        used: what is in use since, of each class that the commit added to.
    """

    generation: int
    revision: int
    used: dict[str, int]


def uses_left(cells: Mapping[Key, Mapping[str, int]]) -> dict[str, Uses]:
    """Returns what a commit left of each provider whose generation it raised.

    Args:
        cells: all cells of each record that it added to, as ``Committed`` has them.
    """
    found: dict[str, Uses] = {}
    of_providers = [(key, left) for key, left in cells.items() if key.space == keys.PROVIDERS_SPACE]
    for key, left in of_providers:
        if key.sort == keys.COUNTS and keys.GENERATION in left:
            uuid = keys.uuid_text(key.partition)
            found[uuid] = Uses(left[keys.GENERATION], left.get(keys.INVENTORIES, 0), {})
    for key, left in of_providers:
        if keys.is_used(key.sort):
            uses = found.get(keys.uuid_text(key.partition))
            if uses is not None:
                uses.used[keys.class_of(key.sort)] = left.get(keys.USED, 0)
    return found
