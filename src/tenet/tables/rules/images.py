"""An item before or after a write, in the two forms that it has: stored bytes and decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.tables.rules import stored

if TYPE_CHECKING:
    from tenet.store.contract import Record
    from tenet.tables.model import Item


class Image:
    """An item as it lies in the store, decoded when somebody looks; or the absence of one.

    Args:
        value: the stored bytes, or None where there is no item.
        item: the item, where it is at hand.
    """

    __slots__ = ("_item", "value")

    def __init__(self, value: bytes | None, item: Item | None = None) -> None:
        self.value = value
        self._item = item

    @classmethod
    def of_item(cls, item: Item, size: int) -> Image:
        """Returns the image of a valid, canonical item of `size` bytes by the service's rules."""
        return cls(stored.encode(item, size), item)

    @classmethod
    def of_record(cls, record: Record | None) -> Image:
        """Returns the image of what was read."""
        return ABSENT if record is None else cls(record.value)

    @property
    def exists(self) -> bool:
        """Whether there is an item."""
        return self.value is not None

    @property
    def item(self) -> Item | None:
        """The item, or None. Not to be changed: it may be looked at again."""
        if self._item is None and self.value is not None:
            self._item = stored.decode(self.value)
        return self._item

    @property
    def json(self) -> bytes:
        """The item's JSON as it goes over the wire; there must be one."""
        assert self.value is not None
        return stored.json_of(self.value)

    @property
    def stored_bytes(self) -> int:
        """The bytes that it takes in the store; 0 where there is none."""
        return 0 if self.value is None else len(self.value)

    def deflated(self) -> Image:
        """Returns the same item, or its absence, with its stored bytes compressed."""
        return self if self.value is None else Image(stored.deflated(self.value), self._item)

    @property
    def size(self) -> int:
        """The item's size in bytes by the service's rules; 0 where there is none."""
        return 0 if self.value is None else stored.size_of(self.value)


ABSENT: Final = Image(None)
#: Stands for what was there before a blind write, which nobody looked at: not ``ABSENT`` itself, which would be kept.
UNSEEN: Final = Image(None)
