"""Keys of several attributes, which global indexes may have: up to four in the partition key, and in the sort key.

A Query gives every attribute of the partition key by equality, and those of the sort key from the left: by equality
too, but for the last one that it names. Source: "Multi-attribute keys pattern" of the Developer Guide; texts and
their order as the peer dynoxide 3.2 captured them in October 2026, sizes as DynamoDB Local 3.3 has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from tenet.tables.errors import ValidationException
from tenet.tables.rules.sizes import value_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenet.tables.model import Index, Item, KeyAttribute, KeySchema, Table
    from tenet.tables.rules.key_conditions import OneCondition

#: Attributes of one kind, HASH or RANGE.
ATTRIBUTES_MAX: Final = 4
#: Bytes of all attributes of a partition key together, and of a sort key.
PARTITION_BYTES_MAX: Final = 2_048
SORT_BYTES_MAX: Final = 1_024

_INVALID: Final = "One or more parameter values were invalid: "
_PAIR: Final = ("HASH", "RANGE")
_MUST_BE_EQUAL: Final = "must have equality conditions specified in the query"


def check_global_schema(schema: Sequence[Mapping[str, str]]) -> None:
    """Checks the key schema of a global index, whose attributes are defined.

    Args:
        schema: its elements, one at least.

    Raises:
        ValidationException: the elements are too many of a kind, in a wrong order, or one stands twice.
    """
    names = [element["AttributeName"] for element in schema]
    kinds = [element["KeyType"] for element in schema]
    if kinds[0] != "HASH":
        raise ValidationException("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if len(set(names)) < len(names):
        if tuple(kinds) == _PAIR:
            raise ValidationException("Both the Hash Key and the Range Key element in the KeySchema have the same name")
        raise ValidationException("The KeySchema contains multiple key attributes with the same name")
    if kinds != sorted(kinds):
        raise ValidationException(
            _INVALID + "All HASH key attributes must precede RANGE key attributes in the KeySchema"
        )
    for kind in _PAIR:
        if kinds.count(kind) > ATTRIBUTES_MAX:
            raise ValidationException(
                _INVALID + f"The KeySchema exceeds the maximum allowed number of {kind} key attributes"
            )


def check_number(count: int, keys: KeySchema) -> None:
    """Checks that a Query has no more conditions than the key has attributes.

    Raises:
        ValidationException: it has.
    """
    if count > len(keys.names):
        raise ValidationException(
            f"The number of query conditions ({count}) exceeds the number of key attributes defined in the schema "
            f"({len(keys.names)})"
        )


def conditions_by_kind(
    conditions: Mapping[str, OneCondition], keys: KeySchema
) -> tuple[list[OneCondition], list[OneCondition]]:
    """Returns the conditions on the partition key, all of them equalities, and those on the sort key from the left.

    Args:
        conditions: of a Query, by attribute; not more than the key has attributes.
        keys: with several attributes.

    Raises:
        ValidationException: an attribute of the partition key is not given by equality, one of the sort key is passed
            over, or has another condition though one on a further attribute follows; or one is of no key.
    """
    partition = [attribute.name for attribute in keys.partitions]
    missing = _not_equal(partition, conditions)
    if missing:
        raise ValidationException(f"HASH key attributes {', '.join(missing)} {_MUST_BE_EQUAL}")
    sort = [attribute.name for attribute in keys.sorts]
    named = [name for name in sort if name in conditions]
    if len(partition) + len(named) < len(conditions):
        _missed(next(name for name in sort if name not in conditions))
    for name in named:
        missing = _not_equal(sort[: sort.index(name)], conditions)
        if missing:
            raise ValidationException(
                f"RANGE key attributes {', '.join(missing)} {_MUST_BE_EQUAL} because a condition is present on key "
                f"attribute {name}"
            )
    return [conditions[name] for name in partition], [conditions[name] for name in named]


def _not_equal(names: Sequence[str], conditions: Mapping[str, OneCondition]) -> list[str]:
    return [name for name in names if name not in conditions or conditions[name].operator != "="]


def _missed(name: str) -> NoReturn:
    raise ValidationException(f"Query condition missed key schema element: {name}")


def refuse_statement(table: Table, index_name: str | None) -> None:
    """Refuses a SELECT from an index with a key of several attributes, as the service does.

    It does so before all else that it says of the index, and says it of the table, of which it reads everything else.

    Args:
        table: the table.
        index_name: what the statement reads; None for the table itself.

    Raises:
        ValidationException: it is such an index.
    """
    index = None if index_name is None else table.index(index_name)
    if index is not None and index.keys.more is not None:
        raise ValidationException(
            "PartiQL statements cannot be executed on tables with multi-attribute HASH keys or multi-attribute RANGE "
            "keys."
        )


def can_hold(index: Index, item: Item) -> bool:
    """Whether the key attributes of an item, each of which the index can hold, are not too long together.

    Args:
        index: with a key of several attributes.
        item: has all of them.
    """
    keys = index.keys
    return _bytes(item, keys.partitions) <= PARTITION_BYTES_MAX and _bytes(item, keys.sorts) <= SORT_BYTES_MAX


def check_together(item: Item, index: Index, before: Item | None) -> None:
    """Checks that the key attributes of an item are not too long together.

    Where one of a kind is missing, or stays there with another type, the item has no entry, and no sum.

    Args:
        item: canonical; each of its key attributes was checked by itself.
        index: with a key of several attributes.
        before: the item before, where the index was added later and there was one: what it could not hold may stay.

    Raises:
        ValidationException: the attributes of the partition key have more than 2,048 bytes together, or those of the
            sort key more than 1,024.
    """
    for kind, attributes, most in (
        ("HASH", index.keys.partitions, PARTITION_BYTES_MAX),
        ("RANGE", index.keys.sorts, SORT_BYTES_MAX),
    ):
        if len(attributes) == 1 or not all(each.type in item.get(each.name, ()) for each in attributes):
            continue
        names = [attribute.name for attribute in attributes]
        if before is not None and all(item[name] == before.get(name) for name in names):
            continue
        size_bytes = _bytes(item, attributes)
        if size_bytes > most:
            raise ValidationException(
                f"Aggregate size for {kind} key attributes {', '.join(names)} of index {index.name} has exceeded limit "
                f"{most} bytes, with actual size {size_bytes} bytes"
            )


def _bytes(item: Item, attributes: Sequence[KeyAttribute]) -> int:
    return sum(value_bytes(item[attribute.name]) for attribute in attributes)
