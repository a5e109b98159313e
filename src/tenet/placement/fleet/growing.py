"""A fleet whose providers come one by one, in any order: the roots of those below one that is moved move with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tenet.placement.fleet.fleet import Fleet

if TYPE_CHECKING:
    from tenet.placement.model import Provider
    from tenet.placement.rules.snapshots import Snapshot


class GrowingFleet:
    """A fleet, and which of its providers came before their parents."""

    def __init__(self) -> None:
        #: The providers; others do not change it.
        self.fleet = Fleet()
        #: By a parent that is not here, the providers right below it.
        self._orphans: dict[str, set[str]] = {}
        #: Providers that are there and were left out.
        self.left_out: set[str] = set()

    def root_of(self, snapshot: Snapshot) -> str | None:
        """Returns the root of a provider's tree; None where its parent is not here.

        Args:
            snapshot: the provider as it was read.
        """
        parent = snapshot.description.parent
        if not parent:
            return snapshot.uuid
        above = self.fleet.get(parent)
        return None if above is None else above.root

    def line(self, uuid: str) -> list[str]:
        """Returns the uuids from a provider up to the root of its tree, as far as they are known here.

        Args:
            uuid: of the provider; empty for none.
        """
        found: dict[str, None] = {}
        provider = self.fleet.seen(uuid)
        while provider is not None and provider.uuid not in found:
            found[provider.uuid] = None
            provider = self.fleet.seen(provider.parent or "")
        return list(found)

    def put(self, provider: Provider) -> None:
        """Takes a provider in, with what is below it where its tree is another than before.

        Args:
            provider: with the root of its tree.

        Raises:
            ValueError: an inventory has a capacity that is no number. Nothing was taken in.
            OverflowError: or an infinite one.
        """
        for inventory in provider.inventories.values():
            _ = inventory.capacity
        before = self.fleet.get(provider.uuid)
        self.fleet.put(provider)
        self.left_out.discard(provider.uuid)
        if provider.parent is not None and self.fleet.get(provider.parent) is None:
            self._orphans.setdefault(provider.parent, set()).add(provider.uuid)
        if before is not None and before.root != provider.root:
            self._move_below({provider.uuid}, before.root, provider.root)
        for uuid in self._orphans.pop(provider.uuid, ()):
            child = self.fleet.get(uuid)
            if child is not None and child.parent == provider.uuid and child.root != provider.root:
                self.fleet.put(replace(child, root=provider.root))
                self._move_below({uuid}, child.root, provider.root)

    def remove(self, uuid: str) -> None:
        """Forgets a provider, which has none below it; one that is not known is none to forget."""
        self.left_out.discard(uuid)
        self.fleet.remove(uuid)

    def leave_out(self, uuid: str) -> None:
        """Forgets a provider that is still there and may come again, with others below it."""
        self.left_out.add(uuid)
        before = self.fleet.get(uuid)
        if before is None:
            return
        below = {one.uuid for one in self.fleet.tree(before.root) if one.parent == uuid}
        if below:
            self._orphans.setdefault(uuid, set()).update(below)
        self.fleet.remove(uuid)

    def _move_below(self, moved: set[str], root_before: str, root: str) -> None:
        """Gives the providers below some that were moved their new root."""
        below: dict[str, list[Provider]] = {}
        for one in self.fleet.tree(root_before):
            if one.parent is not None and one.uuid not in moved:
                below.setdefault(one.parent, []).append(one)
        coming = list(moved)
        while coming:
            for one in below.pop(coming.pop(), ()):
                self.fleet.put(replace(one, root=root))
                coming.append(one.uuid)
