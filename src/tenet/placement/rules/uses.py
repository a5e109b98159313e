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
    found: dict[bytes, Uses] = {}
    for write in writes:
        if isinstance(write, Add) and write.cell == keys.GENERATION:
            left = cells.get(write.key)
            if left is not None:
                uses = Uses(left[keys.GENERATION], write.amount, left.get(keys.INVENTORIES, 0), {})
                found[write.key.partition] = uses
    for key, left in cells.items():
        if key.space == keys.PROVIDERS_SPACE and keys.is_used(key.sort):
            of_provider = found.get(key.partition)
            if of_provider is not None:
                of_provider.used[keys.class_of(key.sort)] = left.get(keys.USED, 0)
    return {keys.uuid_text(partition): uses for partition, uses in found.items()}
