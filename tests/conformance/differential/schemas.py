"""The tables of the differential test: every shape of key, every kind and projection of index, both billing modes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

PARTITION = "p"
SORT = "r"
#: Attributes that are keys of indexes, by name, with their type.
INDEX_ATTRIBUTES = {"g": "S", "h": "N", "k": "B"}
#: The attribute that indexes with the projection INCLUDE carry.
INCLUDED = "s"


@dataclass(frozen=True)
class Index:
    """A secondary index.

    Args:
        name: its name.
        keys: names of its key attributes, partition first.
        projection: ALL, KEYS_ONLY or INCLUDE.
        is_global: whether it is a global one.
    """

    name: str
    keys: tuple[str, ...]
    projection: str
    is_global: bool


@dataclass(frozen=True)
class Schema:
    """A table.

    Args:
        name: its name, the same on every target.
        keys: type of each key attribute, partition first.
        indexes: its secondary indexes.
        is_provisioned: whether it is billed by provisioned capacity.
    """

    name: str
    keys: tuple[tuple[str, str], ...]
    indexes: tuple[Index, ...] = ()
    is_provisioned: bool = False

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names of the key attributes, partition first."""
        return tuple(name for name, _ in self.keys)

    def type_of(self, name: str) -> str:
        """Type of an attribute that is a key of the table or of an index."""
        return dict(self.keys).get(name) or INDEX_ATTRIBUTES[name]

    def create_request(self) -> Json:
        """The CreateTable request that makes it."""
        used = {*self.key_names, *(name for index in self.indexes for name in index.keys)}
        request: Json = {
            "TableName": self.name,
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": self.type_of(name)} for name in sorted(used)
            ],
            "KeySchema": _key_schema(self.key_names),
            "BillingMode": "PROVISIONED" if self.is_provisioned else "PAY_PER_REQUEST",
        }
        if self.is_provisioned:
            request["ProvisionedThroughput"] = _THROUGHPUT
        for member, is_global in (("LocalSecondaryIndexes", False), ("GlobalSecondaryIndexes", True)):
            indexes = [self._index_request(index) for index in self.indexes if index.is_global == is_global]
            if indexes:
                request[member] = indexes
        return request

    def _index_request(self, index: Index) -> Json:
        projection: Json = {"ProjectionType": index.projection}
        if index.projection == "INCLUDE":
            projection["NonKeyAttributes"] = [INCLUDED]
        request: Json = {"IndexName": index.name, "KeySchema": _key_schema(index.keys), "Projection": projection}
        if index.is_global and self.is_provisioned:
            request["ProvisionedThroughput"] = _THROUGHPUT
        return request


_THROUGHPUT = {"ReadCapacityUnits": 1_000, "WriteCapacityUnits": 1_000}


def _key_schema(names: tuple[str, ...]) -> list[Json]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=False)]


def _plain() -> list[Schema]:
    schemas = []
    for partition in "SNB":
        schemas.append(Schema(f"plain-{partition}", ((PARTITION, partition),)))
        schemas += [
            Schema(f"plain-{partition}{sort}", ((PARTITION, partition), (SORT, sort)), is_provisioned=sort == "B")
            for sort in "SNB"
        ]
    return schemas


def _local(name: str, sort: str, projection: str) -> Index:
    return Index(name, (PARTITION, sort), projection, is_global=False)


def _global(name: str, keys: str, projection: str) -> Index:
    return Index(name, tuple(keys), projection, is_global=True)


INDEXED = Schema(
    "indexed",
    ((PARTITION, "S"), (SORT, "S")),
    (
        _local("local-all", "g", "ALL"),
        _local("local-include", "h", "INCLUDE"),
        _local("local-keys", "k", "KEYS_ONLY"),
        _global("global-all", "g", "ALL"),
        _global("global-include", "gh", "INCLUDE"),
        _global("global-keys", "kp", "KEYS_ONLY"),
        _global("global-turned", "rp", "ALL"),
    ),
)
INDEXED_WITHOUT_SORT = Schema(
    "indexed-without-sort",
    ((PARTITION, "N"),),
    (_global("global-all", "hg", "ALL"), _global("global-keys", "g", "KEYS_ONLY")),
    is_provisioned=True,
)
SCHEMAS = (*_plain(), INDEXED, INDEXED_WITHOUT_SORT)
