"""A provider as the records of its partition tell it, as of one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from tenet.placement import keys
from tenet.placement.model import Capability, Inventory, Provider
from tenet.placement.rules.capabilities import decode_capabilities
from tenet.placement.rules.stored import Description, decode_description, decode_inventory
from tenet.store.contract import Record, Version


class Snapshot(Struct, frozen=True):
    """A provider as it was at one moment, with what a commit has to check.

    Args:
        uuid: of the provider.
        description: beside its counts.
        version: of the description's record.
        generation: see ``Provider``.
        revision: raised by every change of an inventory.
        children: how many providers have it as their parent.
        inventories: by resource class.
        changed_ms: when each inventory was last changed.
        used: by resource class; 0 where nothing is in use.
        capabilities: by name.
    """

    uuid: str
    description: Description
    version: Version
    generation: int
    revision: int
    children: int
    inventories: dict[str, Inventory]
    changed_ms: dict[str, int]
    used: dict[str, int]
    capabilities: Mapping[str, Capability] = {}

    def provider(self, root: str) -> Provider:
        """Returns it as the read model has it.

        Args:
            root: uuid of the top of its tree, which is not stored with it.
        """
        described = self.description
        return Provider(
            uuid=self.uuid,
            name=described.name,
            parent=described.parent or None,
            root=root,
            generation=self.generation,
            aggregates=frozenset(described.aggregates),
            traits=frozenset(described.traits),
            inventories=self.inventories,
            used=self.used,
            updated_ms=described.updated_ms,
            capabilities=self.capabilities,
            revision=self.revision,
            version=self.version,
        )

    def is_described_as(self, provider: Provider) -> bool:
        """Tells whether it is described as the read model has a provider: what claims choose by, but for amounts."""
        described = self.description
        return (
            provider.parent == (described.parent or None)
            and provider.traits == frozenset(described.traits)
            and provider.aggregates == frozenset(described.aggregates)
            and provider.capabilities == self.capabilities
        )


def snapshot_of(uuid: str, records: Sequence[Record]) -> Snapshot | None:
    """Returns a provider from the records of its partition, or None where it does not exist.

    Args:
        uuid: in its usual form.
        records: those of ``keys.SNAPSHOT``.

    Raises:
        StoreCorrupt: one cannot be read.
    """
    described: Record | None = None
    counts: dict[str, int] = {}
    inventories: dict[str, Inventory] = {}
    changed_ms: dict[str, int] = {}
    used: dict[str, int] = {}
    capabilities: Mapping[str, Capability] = {}
    for record in records:
        if record.sort == keys.DESCRIPTION:
            described = record
        elif record.sort == keys.COUNTS:
            counts = dict(record.cells)
        elif record.sort == keys.CAPABILITIES:
            capabilities = decode_capabilities(record.value)
        elif keys.is_inventory(record.sort):
            name = keys.class_of(record.sort)
            inventories[name], changed_ms[name] = decode_inventory(record.value)
        elif keys.is_used(record.sort):
            used[keys.class_of(record.sort)] = record.cells.get(keys.USED, 0)
    if described is None:
        return None
    return Snapshot(
        uuid=uuid,
        description=decode_description(described.value),
        version=described.version,
        generation=counts.get(keys.GENERATION, 0),
        revision=counts.get(keys.INVENTORIES, 0),
        children=counts.get(keys.CHILDREN, 0),
        inventories=inventories,
        changed_ms=changed_ms,
        used={name: amount for name, amount in used.items() if amount},
        capabilities=capabilities,
    )
