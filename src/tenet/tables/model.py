"""What the tables service knows about a table: its description as it is stored, and what follows from it."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, TypeAlias

import msgspec

from tenet.tables import keys as stored_keys

#: An attribute value in the form that goes over the wire, for instance ``{"S": "x"}`` or ``{"L": [{"N": "1"}]}``.
#: After ``rules.attributes`` has looked at it: valid, numbers in canonical text, binaries in canonical base64.
AttributeValue: TypeAlias = dict[str, Any]
#: An item, or the key of one: attribute values by name.
Item: TypeAlias = dict[str, AttributeValue]

KeyType: TypeAlias = Literal["S", "N", "B"]
TableStatus: TypeAlias = Literal["CREATING", "UPDATING", "DELETING", "ACTIVE"]
IndexStatus: TypeAlias = Literal["CREATING", "UPDATING", "DELETING", "ACTIVE"]
BillingMode: TypeAlias = Literal["PROVISIONED", "PAY_PER_REQUEST"]
StreamView: TypeAlias = Literal["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]
StreamStatus: TypeAlias = Literal["ENABLING", "ENABLED", "DISABLING", "DISABLED"]
Projection: TypeAlias = Literal["ALL", "KEYS_ONLY", "INCLUDE"]


class KeyAttribute(msgspec.Struct, frozen=True):
    """An attribute of a key schema with its scalar type."""

    name: str
    type: KeyType


class MoreKeyAttributes(msgspec.Struct, frozen=True):
    """What the key of a global index has behind its first attribute of a kind; up to three of each.

    Args:
        partition: the other attributes of the partition key.
        sort: the other attributes of the sort key, which has a first one then.
    """

    partition: tuple[KeyAttribute, ...] = ()
    sort: tuple[KeyAttribute, ...] = ()


class KeySchema(msgspec.Struct, frozen=True):
    """The key of a table or an index: a partition key, perhaps a sort key.

    Args:
        partition: the partition key, or its first attribute.
        sort: the sort key, or its first attribute.
        more: the other attributes of a key of several, which only a global index has; None for any other.
    """

    partition: KeyAttribute
    sort: KeyAttribute | None = None
    more: MoreKeyAttributes | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the key attributes, partition key first."""
        if self.more is not None:
            return tuple(attribute.name for attribute in self.attributes)
        return (self.partition.name,) if self.sort is None else (self.partition.name, self.sort.name)

    @property
    def attributes(self) -> tuple[KeyAttribute, ...]:
        """The key attributes, those of the partition key first."""
        return (*self.partitions, *self.sorts)

    @property
    def partitions(self) -> tuple[KeyAttribute, ...]:
        """All attributes of the partition key."""
        return (self.partition,) if self.more is None else (self.partition, *self.more.partition)

    @property
    def sorts(self) -> tuple[KeyAttribute, ...]:
        """All attributes of the sort key, in the order by which entries are sorted."""
        first = () if self.sort is None else (self.sort,)
        return first if self.more is None else (*first, *self.more.sort)


class Throughput(msgspec.Struct, frozen=True):
    """Provisioned capacity units per second; 0 and 0 for on-demand tables."""

    read: int = 0
    write: int = 0


class CapacityHistory(msgspec.Struct, frozen=True):
    """How provisioned capacity changed; times in milliseconds since 1970, 0 for never.

    Args:
        increased_ms: when it last rose.
        decreased_ms: when it last fell.
        decreases_today: how often it fell on the day (UTC) of `decreased_ms`.
    """

    increased_ms: int = 0
    decreased_ms: int = 0
    decreases_today: int = 0


class Index(msgspec.Struct, frozen=True, dict=True):
    """A secondary index.

    Args:
        name: 3 to 255 characters, unique in the table.
        number: 1 to 255, unique in the table for its life and never used again; names the index in stored keys.
        is_global: whether it is a global one; a local one shares the table's partition key.
        keys: its key schema.
        projection: which attributes it carries.
        included: the non-key attributes of an INCLUDE projection.
        status: of the index.
        throughput: of a global index.
        history: of its throughput.
        settings: members of its description that are kept and answered as they were given.
        is_late: whether it was added to a table that there was already, whose items may have key attributes of other
            types, or values that no key can have: these have no entry.
        since: of a late index that is kept from the log, for each shard the position behind which the log means
            something for it, from when it is filled until it is whole; else empty.
    """

    name: str
    number: int
    is_global: bool
    keys: KeySchema
    projection: Projection
    included: tuple[str, ...] = ()
    status: IndexStatus = "ACTIVE"
    throughput: Throughput = Throughput()
    history: CapacityHistory = CapacityHistory()
    settings: dict[str, Any] = {}
    is_late: bool = False
    since: tuple[int, ...] = ()

    @property
    def is_filling(self) -> bool:
        """Whether it does not hold all items yet."""
        return self.is_late and self.status == "CREATING"


class Split(msgspec.Struct, frozen=True):
    """A split of a shard of a stream into two.

    Args:
        shard: the number of the shard that is split, as ``rules.stream_splits`` counts them.
        held: a position of its log; while `end` is not known, nothing behind it is handed out.
        end: the shard's last position, behind which its children begin; None until that is known.
        at_ms: when it was split, milliseconds since 1970; 0 while `end` is None.
    """

    shard: int
    held: int
    end: int | None = None
    at_ms: int = 0


class Stream(msgspec.Struct, frozen=True):
    """A stream of a table: a part of the log of its space.

    Args:
        label: names it among the table's streams: when it was asked for, to the millisecond.
        view: what its records tell of an item.
        created_ms: when it was asked for, milliseconds since 1970.
        status: a write goes into the log for it while it is ENABLED or DISABLING.
        starts: by shard of the log, the last position before it; empty where the log begins with it.
        ends: by shard of the log, its last position; empty until it is DISABLED.
        disabled_ms: when it was switched off, or 0.
        splits: of its shards, in the order in which they were begun.
        is_settled: whether it begins where all writers are known to go into it. Descriptions of before this was said
            have it false; there, streams that were made long enough ago are settled too.
    """

    label: str
    view: StreamView
    created_ms: int
    status: StreamStatus = "ENABLED"
    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    disabled_ms: int = 0
    splits: tuple[Split, ...] = ()
    is_settled: bool = False

    @property
    def is_on(self) -> bool:
        """Whether the table's owner has it switched on."""
        return self.status in {"ENABLING", "ENABLED"}


class Pending(msgspec.Struct, frozen=True):
    """What becomes of a table when its UPDATING is over.

    Args:
        billing: how it is billed from then on.
        throughput: its provisioned capacity.
        indexes: its indexes.
        deletion_protection: whether DeleteTable is refused.
        table_class: its class.
        settings: as ``Table.settings``.
        attribute_types: of all key attributes; None: as they are.
    """

    billing: BillingMode
    throughput: Throughput
    indexes: tuple[Index, ...]
    deletion_protection: bool
    table_class: str
    settings: dict[str, Any]
    attribute_types: dict[str, KeyType] | None = None


class TimeToLive(msgspec.Struct, frozen=True):
    """Whether items of a table expire, as it was last changed.

    Args:
        attribute: names when an item expires, 1 to 255 characters.
        is_enabled: whether they do.
        changed_ms: when it was changed, milliseconds since 1970.
        until_ms: when that change was over, milliseconds since 1970.
    """

    attribute: str
    is_enabled: bool
    changed_ms: int
    until_ms: int


class Table(msgspec.Struct, frozen=True, dict=True):
    """A table as it is stored, one record each in the catalog.

    Args:
        account: the tenant, 12 digits.
        name: 3 to 255 characters of a-z, A-Z, 0-9, _ . -
        id: the TableId, a UUID; names the table's spaces, so that a table made again under the name shares nothing.
        region: as in its ARN.
        created_ms: when, milliseconds since 1970.
        keys: its primary key.
        indexes: global and local ones, in the order of their creation.
        attribute_types: every attribute of a key schema with its type, in the order of the definitions.
        status: of the table.
        billing: how it is billed and throttled.
        throughput: provisioned capacity units per second.
        deletion_protection: whether DeleteTable is refused.
        table_class: STANDARD or STANDARD_INFREQUENT_ACCESS.
        tags: by key.
        settings: members of the description that are kept and answered as they were given, for instance
            ``SSEDescription``; by member name, in the form of the answer.
        next_index_number: the ``Index.number`` that comes next.
        revision: counts the changes of this description.
        status_until_ms: when a transition of `status` that takes time is over; 0 where none runs.
        history: of its throughput.
        on_demand_ms: when it was switched to PAY_PER_REQUEST, the last switches, oldest first, milliseconds since 1970.
        class_changed_ms: when `table_class` was last set by an update, or 0.
        class_changed_before_ms: when it was set before that, or 0.
        pending: what it becomes when its UPDATING is over, or None.
        followers: who reads its changes from the log of its space, by the names that the store knows them by.
        streams: its streams, oldest first; at most the last one is switched on.
        is_indexed_later: whether it has lost its last global index: if it is given one again, its log has not to begin
            anew where global indexes are kept from it.
        time_to_live: whether its items expire; None: that was never asked for.
    """

    account: str
    name: str
    id: str
    region: str
    created_ms: int
    keys: KeySchema
    attribute_types: dict[str, KeyType]
    indexes: tuple[Index, ...] = ()
    status: TableStatus = "CREATING"
    billing: BillingMode = "PROVISIONED"
    throughput: Throughput = Throughput()
    deletion_protection: bool = False
    table_class: str = "STANDARD"
    tags: dict[str, str] = {}
    settings: dict[str, Any] = {}
    next_index_number: int = 1
    revision: int = 1
    status_until_ms: int = 0
    history: CapacityHistory = CapacityHistory()
    on_demand_ms: tuple[int, ...] = ()
    class_changed_ms: int = 0
    pending: Pending | None = None
    followers: tuple[str, ...] = ()
    streams: tuple[Stream, ...] = ()
    is_indexed_later: bool = False
    time_to_live: TimeToLive | None = None
    class_changed_before_ms: int = 0

    @property
    def arn(self) -> str:
        """Its Amazon Resource Name."""
        return f"arn:aws:dynamodb:{self.region}:{self.account}:table/{self.name}"

    @cached_property
    def key_count(self) -> int:
        """How many attributes its primary key has."""
        return len(self.keys.names)

    @cached_property
    def plain_key_names(self) -> tuple[str, ...]:
        """Names of its key attributes where all of them are strings; else empty."""
        attributes = (self.keys.partition, self.keys.sort)
        return self.keys.names if all(one is None or one.type == "S" for one in attributes) else ()

    @cached_property
    def space(self) -> str:
        """The name of the space of its items and local index entries."""
        return stored_keys.table_space(self.id)

    @cached_property
    def projections(self) -> dict[str, frozenset[str]]:
        """Which attributes an index carries, by index name; for those that do not carry all."""
        return {
            index.name: frozenset((*self.keys.names, *index.keys.names, *index.included))
            for index in self.indexes
            if index.projection != "ALL"
        }

    @cached_property
    def local_indexes(self) -> tuple[Index, ...]:
        """Its local secondary indexes."""
        return tuple(index for index in self.indexes if not index.is_global)

    @cached_property
    def global_indexes(self) -> tuple[Index, ...]:
        """Its global secondary indexes."""
        return tuple(index for index in self.indexes if index.is_global)

    @property
    def coming_indexes(self) -> tuple[Index, ...]:
        """The global indexes that it is given by the update that runs."""
        if self.pending is None:
            return ()
        known = {index.number for index in self.indexes}
        return tuple(index for index in self.pending.indexes if index.number not in known)

    @property
    def has_log_for_indexes(self) -> bool:
        """Whether its log is kept for global indexes, where they are kept from the log."""
        return bool(self.global_indexes) or self.is_indexed_later

    @cached_property
    def looks_back(self) -> bool:
        """Whether a write has to know the item as it was: for the table's indexes, or for those who follow it."""
        return bool(self.indexes or self.is_told)

    @cached_property
    def is_told(self) -> bool:
        """Whether a write tells the log what it changes: for those who follow the table, or for its stream."""
        return bool(self.followers or self.streaming)

    @cached_property
    def streaming(self) -> Stream | None:
        """The stream that writes go into, or None.

        Also one that is being switched off: as long as some writers go into it, those that know more do so too. Where
        it ends is read from the log behind that.
        """
        return next((stream for stream in self.streams if stream.status in {"ENABLED", "DISABLING"}), None)

    @cached_property
    def is_limited(self) -> bool:
        """Whether anything limits the throughput of the table or of one of its indexes."""
        if self.billing == "PROVISIONED":
            return True
        return "OnDemandThroughput" in self.settings or any("OnDemandThroughput" in i.settings for i in self.indexes)

    def index(self, name: str) -> Index | None:
        """Returns the index of that name, or None."""
        return next((index for index in self.indexes if index.name == name), None)


class Departed(msgspec.Struct, frozen=True):
    """A table that was deleted, whose streams can still be read.

    Args:
        table: as it was at its end; none of its streams is on.
        is_empty: whether its items are gone from its space, which stays for the sake of its log.
    """

    table: Table
    is_empty: bool = False
