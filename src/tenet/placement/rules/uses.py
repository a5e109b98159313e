"""What a commit left in use, as its own answer tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tenet.placement import keys
from tenet.store.contract import Add, Key, Write


class Uses(Struct):
    """What a commit left of one provider.

    Args:
        generation: of the provider since.
        raised: by how much the commit raised it: by one for each of those that went together in it.
        revision: of its inventories.
        used: what is in use since, of each class that the commit added to.
    """

    generation: int
    raised: int
    revision: int
    used: dict[str, int]


def uses_left(cells: Mapping[Key, Mapping[str, int]], writes: Iterable[Write]) -> dict[str, Uses]:
    """Returns what a commit left of each provider whose generation it raised.

    Args:
        cells: all cells of each record that it added to, as ``Committed`` has them.
        writes: of the commit.
    """
    raised = {write.key: write.amount for write in writes if isinstance(write, Add) and write.cell == keys.GENERATION}
    found: dict[str, Uses] = {}
    of_providers = [(key, left) for key, left in cells.items() if key.space == keys.PROVIDERS_SPACE]
    for key, left in of_providers:
        if key.sort == keys.COUNTS and key in raised:
            uuid = keys.uuid_text(key.partition)
            found[uuid] = Uses(left[keys.GENERATION], raised[key], left.get(keys.INVENTORIES, 0), {})
    for key, left in of_providers:
        if keys.is_used(key.sort):
            uses = found.get(keys.uuid_text(key.partition))
            if uses is not None:
                uses.used[keys.class_of(key.sort)] = left.get(keys.USED, 0)
    return found
