"""What UpdateItem, PutItem and DeleteItem answer as ``Attributes``.

Source: "ReturnValues" of UpdateItem in the API Reference; nested paths as the tests of ScyllaDB's Alternator, which
also run against the service, have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenet.tables.rules.projections import Projection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tenet.tables.model import Item
    from tenet.tables.rules.paths import ResolvedPath


def returned_attributes(
    mode: str, old: Item | None, new: Item | None, paths: Iterable[ResolvedPath] = ()
) -> Item | None:
    """Returns the ``Attributes`` of an answer, or None where it has none.

    ``UPDATED_OLD`` and ``UPDATED_NEW`` read the paths of the update in the old or new item, as a projection would: of
    nested attributes only what the paths lead to. An element appended to a list is not at its path, and not returned;
    the element that moved to the place of a removed one is.

    Args:
        mode: ``NONE``, ``ALL_OLD``, ``ALL_NEW``, ``UPDATED_OLD`` or ``UPDATED_NEW``.
        old: the item before, None where there was none.
        new: the item after, None where there is none.
        paths: what the update touches (``Update.paths``).
    """
    if mode == "NONE":
        return None
    item = old if mode in ("ALL_OLD", "UPDATED_OLD") else new
    if item is None or mode in ("ALL_OLD", "ALL_NEW"):
        return item
    return Projection(paths).apply(item) or None
