"""Checks the values of key attributes: of keys, of items that are put, and for secondary indexes.

Source: "Service, account, and table quotas" of the Developer Guide; texts as dynalite 4 and dynoxide 1.5 recorded them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from tenet.store.contract import Key
from tenet.tables.errors import ValidationException
from tenet.tables.keys import ITEM_PREFIX, item_key
from tenet.tables.rules.multi_attribute_keys import PARTITION_BYTES_MAX, SORT_BYTES_MAX, check_together
from tenet.tables.rules.sizes import binary_bytes, text_bytes

if TYPE_CHECKING:
    from tenet.tables.model import AttributeValue, Index, Item, KeyAttribute, KeySchema, Table

PARTITION_KEY_BYTES_MAX: Final = PARTITION_BYTES_MAX
SORT_KEY_BYTES_MAX: Final = SORT_BYTES_MAX

_PARTITION_AND_SORT: Final = 2

KEY_MISMATCH: Final = "The provided key element does not match the schema"
_INVALID: Final = "One or more parameter values were invalid:"
_NOT_VALID: Final = "One or more parameter values are not valid."
_EMPTY: Final = "The AttributeValue for a key attribute cannot contain an empty {} value."


class EmptyKeyValue(ValidationException):
    """A key attribute is empty; a transaction is refused for it as a whole, and not cancelled."""


def plain_key(table: Table, key: Item) -> Key | None:
    """Returns where the item of a key lies, if the key is right and made of strings, as most are.

    What ``check_item``, `check_key` and ``keys.item_key`` come to for such a key, at a fifth of the cost.

    Args:
        table: the table.
        key: as parsed.

    Returns:
        The place; None says nothing but that the key has to be looked at closely.
    """
    return _plain(table, key) if len(key) == table.key_count else None


def place_of_key(table: Table, key: Item) -> Key:
    """Checks the key that a request names an item by, and returns where the item lies.

    Args:
        table: the table.
        key: canonical attribute values by name.

    Raises:
        ValidationException: as for `check_key`.
    """
    place = plain_key(table, key)
    if place is None:
        check_key(key, table.keys)
        place = item_key(table, key)
    return place


def place_of_item(table: Table, item: Item) -> Key:
    """Checks the key attributes of an item that is to be written, and returns where it lies.

    Args:
        table: its table.
        item: the item, canonical.

    Raises:
        ValidationException: as for `check_item_keys`.
    """
    place = _plain(table, item)
    if place is None:
        check_item_keys(item, table)
        return item_key(table, item)
    if table.indexes:
        check_index_keys(item, table)
    return place


def _plain(table: Table, item: Item) -> Key | None:
    """Returns where an item lies, if its key attributes are strings, and neither empty nor too long."""
    names = table.plain_key_names
    try:
        if len(names) == _PARTITION_AND_SORT:
            partition, sort = item[names[0]], item[names[1]]
            if len(partition) == len(sort) == 1:
                first, second = partition["S"].encode(), sort["S"].encode()
                if 0 < len(first) <= SORT_KEY_BYTES_MAX and 0 < len(second) <= SORT_KEY_BYTES_MAX:
                    return Key(table.space, first, ITEM_PREFIX + second)
        elif names:
            partition = item[names[0]]
            if len(partition) == 1 and 0 < len(first := partition["S"].encode()) <= PARTITION_KEY_BYTES_MAX:
                return Key(table.space, first, ITEM_PREFIX)
    except (LookupError, TypeError, AttributeError):
        # An attribute is missing, has another type, or is none: whoever looks closely will say so.
        return None
    return None


def check_key(key: Item, keys: KeySchema) -> None:
    """Checks the key that a request names an item by.

    Args:
        key: canonical attribute values by name.
        keys: the table's key schema.

    Raises:
        ValidationException: it has other attributes than the schema, or a value that no key can have.
    """
    sort = keys.sort
    if len(key) != (1 if sort is None else 2):
        raise ValidationException(KEY_MISMATCH)
    _check_named(key, keys.partition, is_partition=True)
    if sort is not None:
        _check_named(key, sort, is_partition=False)


def _check_named(key: Item, attribute: KeyAttribute, *, is_partition: bool) -> None:
    value = key.get(attribute.name)
    if value is None or attribute.type not in value:
        raise ValidationException(KEY_MISMATCH)
    check_key_value(attribute, value, is_partition=is_partition)


def check_item_keys(item: Item, table: Table) -> None:
    """Checks the key attributes of an item that is to be written, those of secondary indexes included.

    Args:
        item: the item, canonical.
        table: its table.

    Raises:
        ValidationException: a key attribute is missing or of another type, or has a value that no key can have.
    """
    keys = table.keys
    _check_of_item(item, keys.partition, is_partition=True)
    if keys.sort is not None:
        _check_of_item(item, keys.sort, is_partition=False)
    if table.indexes:
        check_index_keys(item, table)


def _check_of_item(item: Item, attribute: KeyAttribute, *, is_partition: bool) -> None:
    value = item.get(attribute.name)
    if value is None:
        raise ValidationException(f"{_INVALID} Missing the key {attribute.name} in the item")
    if attribute.type not in value:
        raise ValidationException(
            f"{_INVALID} Type mismatch for key {attribute.name} expected: {attribute.type} actual: {next(iter(value))}"
        )
    check_key_value(attribute, value, is_partition=is_partition)


def check_key_value(attribute: KeyAttribute, value: AttributeValue, *, is_partition: bool) -> None:
    """Checks a key attribute's value, which has its type: not empty, and not too long.

    Args:
        attribute: of the key schema.
        value: canonical.
        is_partition: whether it is the partition key, which may be longer.

    Raises:
        ValidationException: it is empty, or longer than 2,048 or 1,024 bytes.
    """
    if attribute.type == "N":
        return
    content = value[attribute.type]
    if not content:
        raise EmptyKeyValue(f"{_NOT_VALID} {_EMPTY.format(_WORDS[attribute.type])} Key: {attribute.name}")
    size = text_bytes(content) if attribute.type == "S" else binary_bytes(content)
    if size > SORT_KEY_BYTES_MAX:
        check_length(size, is_partition=is_partition)


def check_length(size_bytes: int, *, is_partition: bool) -> None:
    """Checks the length of a partition key or a sort key, of all its attributes together where it has several.

    Args:
        size_bytes: of the value.
        is_partition: whether it is the partition key, which may be longer.

    Raises:
        ValidationException: it is longer than 2,048 or 1,024 bytes.
    """
    if is_partition and size_bytes > PARTITION_KEY_BYTES_MAX:
        _refuse(f"Size of hashkey has exceeded the maximum size limit of{PARTITION_KEY_BYTES_MAX} bytes")
    if not is_partition and size_bytes > SORT_KEY_BYTES_MAX:
        _refuse(f"Aggregated size of all range keys has exceeded the size limit of {SORT_KEY_BYTES_MAX} bytes")


def _refuse(why: str) -> NoReturn:
    raise ValidationException(f"{_INVALID} {why}")


def can_be_key(value: AttributeValue, attribute: KeyAttribute, *, is_partition: bool) -> bool:
    """Whether an attribute value, canonical, can be a key's: of its type, not empty, and not too long."""
    content = value.get(attribute.type)
    if content is None or attribute.type == "N":
        return content is not None
    size_bytes = text_bytes(content) if attribute.type == "S" else binary_bytes(content)
    return 0 < size_bytes <= (PARTITION_KEY_BYTES_MAX if is_partition else SORT_KEY_BYTES_MAX)


def check_index_keys(item: Item, table: Table, *, is_update: bool = False, before: Item | None = None) -> None:
    """Checks the attributes of an item that are keys of secondary indexes; they may be missing.

    Args:
        item: the item, canonical.
        table: its table.
        is_update: whether an update expression made it, which is worded otherwise.
        before: the item before, where there was one: what an index that was added later cannot hold may stay.

    Raises:
        ValidationException: one is of another type, or has a value that no key can have; global indexes first.
    """
    for index in (*table.global_indexes, *table.local_indexes):
        keys = index.keys
        if keys.more is not None:
            _check_index_keys_of_several(item, index, before, is_update=is_update)
            continue
        if not _stays(index, keys.partition, item, before):
            _check_index_key(item, index, keys.partition, is_partition=True, is_update=is_update)
        if keys.sort is not None and not _stays(index, keys.sort, item, before):
            _check_index_key(item, index, keys.sort, is_partition=False, is_update=is_update)


def _check_index_keys_of_several(item: Item, index: Index, before: Item | None, *, is_update: bool) -> None:
    for is_partition, attributes in ((True, index.keys.partitions), (False, index.keys.sorts)):
        for attribute in attributes:
            if not _stays(index, attribute, item, before):
                _check_index_key(item, index, attribute, is_partition=is_partition, is_update=is_update)
    check_together(item, index, before if index.is_late else None)


def _stays(index: Index, attribute: KeyAttribute, item: Item, before: Item | None) -> bool:
    return index.is_late and before is not None and item.get(attribute.name) == before.get(attribute.name)


def _check_index_key(item: Item, index: Index, attribute: KeyAttribute, *, is_partition: bool, is_update: bool) -> None:
    value = item.get(attribute.name)
    if value is None:
        return
    if attribute.type not in value:
        raise ValidationException(
            f"{_INVALID} Type mismatch for Index Key {attribute.name} Expected: {attribute.type} "
            f"Actual: {next(iter(value))} IndexName: {index.name}"
        )
    if attribute.type == "N":
        return
    content = value[attribute.type]
    if not content:
        empty = _EMPTY.format(_WORDS[attribute.type])
        if is_update:
            raise EmptyKeyValue(
                f"{_NOT_VALID} The update expression attempted to update a secondary index key to a value that is not "
                f"supported. {empty}"
            )
        raise EmptyKeyValue(
            f"{_NOT_VALID} A value specified for a secondary index key is not supported. "
            f"{empty} IndexName: {index.name}, IndexKey: {attribute.name}"
        )
    size_bytes = text_bytes(content) if attribute.type == "S" else binary_bytes(content)
    most = PARTITION_KEY_BYTES_MAX if is_partition else SORT_KEY_BYTES_MAX
    if size_bytes > most:
        # As reports of programs quote the service.
        _refuse(
            f"Size limit exceeded for Index Key {attribute.name} Actual Size: {size_bytes} bytes Max Size: {most} bytes"
            f" IndexName: {index.name}"
        )


def check_scalar_access(nested_names: frozenset[str], table: Table) -> None:
    """Checks that no path of an expression leads into a key attribute, which is a scalar.

    Args:
        nested_names: attributes into which paths lead (``Condition.nested_names`` and the like).
        table: the table.

    Raises:
        ValidationException: one is a key attribute of the table, or of one of its indexes.
    """
    if not nested_names:
        return
    message = "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed:"
    for name in table.keys.names:
        if name in nested_names:
            raise ValidationException(f"{message} Key: {name}")
    for index in table.indexes:
        for name in index.keys.names:
            if name in nested_names:
                raise ValidationException(f"{message} IndexKey: {name}")


_WORDS: Final = {"S": "string", "B": "binary"}
