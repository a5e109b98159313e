"""Key attributes: of requests, of items, of secondary indexes."""

from __future__ import annotations

import base64

import pytest

from tenet.tables.model import Index, Item, KeyAttribute, KeySchema, KeyType, Table
from tenet.tables.rules.key_values import check_index_keys, check_item_keys, check_key, check_scalar_access
from tests.unit.tables.outcomes import outcome_of

NO_MATCH = "The provided key element does not match the schema"
INVALID = "One or more parameter values were invalid: "
EMPTY = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty "
TOO_LONG_PARTITION = INVALID + "Size of hashkey has exceeded the maximum size limit of2048 bytes"
TOO_LONG_SORT = INVALID + "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
SCALARS = "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: "


def schema(partition: KeyType, sort: KeyType | None = None, names: str = "ab") -> KeySchema:
    return KeySchema(KeyAttribute(names[0], partition), KeyAttribute(names[1], sort) if sort else None)


def table(keys: KeySchema, *indexes: Index) -> Table:
    return Table(
        account="1" * 12,
        name="abc",
        id="0" * 32,
        region="us-east-1",
        created_ms=0,
        keys=keys,
        attribute_types={},
        indexes=indexes,
    )


def index(name: str, keys: KeySchema, *, is_global: bool = True) -> Index:
    return Index(name=name, number=1, is_global=is_global, keys=keys, projection="ALL")


def said(check: object) -> str:
    assert callable(check)
    return outcome_of(check)[1]


@pytest.mark.parametrize(
    ("keys", "key", "message"),
    [
        (schema("S"), {"a": {"S": "x"}}, ""),
        (schema("N"), {"a": {"N": "1"}}, ""),
        (schema("B"), {"a": {"B": "YQ=="}}, ""),
        (schema("S", "N"), {"a": {"S": "x"}, "b": {"N": "1"}}, ""),
        (schema("S"), {}, NO_MATCH),
        (schema("S"), {"x": {"S": "x"}}, NO_MATCH),
        (schema("S"), {"a": {"N": "1"}}, NO_MATCH),
        (schema("S"), {"a": {"S": "x"}, "b": {"S": "x"}}, NO_MATCH),
        (schema("S", "N"), {"a": {"S": "x"}}, NO_MATCH),
        (schema("S", "N"), {"a": {"S": "x"}, "c": {"N": "1"}}, NO_MATCH),
        (schema("S", "N"), {"a": {"S": "x"}, "b": {"S": "1"}}, NO_MATCH),
        (schema("S"), {"a": {"S": ""}}, EMPTY + "string value. Key: a"),
        (schema("B"), {"a": {"B": ""}}, EMPTY + "binary value. Key: a"),
        (schema("S", "S"), {"a": {"S": "x"}, "b": {"S": ""}}, EMPTY + "string value. Key: b"),
        (schema("S"), {"a": {"S": "x" * 2048}}, ""),
        (schema("S"), {"a": {"S": "x" * 2049}}, TOO_LONG_PARTITION),
        (schema("S"), {"a": {"S": "é" * 1024}}, ""),
        (schema("S"), {"a": {"S": "é" * 1025}}, TOO_LONG_PARTITION),
        (schema("B"), {"a": {"B": base64.b64encode(b"x" * 2048).decode()}}, ""),
        (schema("B"), {"a": {"B": base64.b64encode(b"x" * 2049).decode()}}, TOO_LONG_PARTITION),
        (schema("S", "S"), {"a": {"S": "x"}, "b": {"S": "x" * 1024}}, ""),
        (schema("S", "S"), {"a": {"S": "x"}, "b": {"S": "x" * 1025}}, TOO_LONG_SORT),
        (schema("S", "B"), {"a": {"S": "x"}, "b": {"B": base64.b64encode(b"x" * 1025).decode()}}, TOO_LONG_SORT),
        (schema("S", "S"), {"a": {"S": "x" * 2049}, "b": {"S": ""}}, TOO_LONG_PARTITION),
    ],
)
def test_the_key_of_a_request(keys: KeySchema, key: Item, message: str) -> None:
    assert said(lambda: check_key(key, keys)) == message


@pytest.mark.parametrize(
    ("keys", "item", "message"),
    [
        (schema("S"), {"a": {"S": "x"}, "v": {"L": []}}, ""),
        (schema("S"), {"v": {"S": "x"}}, INVALID + "Missing the key a in the item"),
        (schema("S", "N"), {"a": {"S": "x"}}, INVALID + "Missing the key b in the item"),
        (schema("S"), {"a": {"N": "1"}}, INVALID + "Type mismatch for key a expected: S actual: N"),
        (schema("S"), {"a": {"NULL": True}}, INVALID + "Type mismatch for key a expected: S actual: NULL"),
        (schema("S", "N"), {"b": {"S": "x"}}, INVALID + "Missing the key a in the item"),
        (schema("S"), {"a": {"S": ""}}, EMPTY + "string value. Key: a"),
        (schema("S"), {"a": {"S": "x" * 2049}}, TOO_LONG_PARTITION),
        (schema("S", "B"), {"a": {"S": "x"}, "b": {"B": ""}}, EMPTY + "binary value. Key: b"),
    ],
)
def test_the_key_attributes_of_an_item(keys: KeySchema, item: Item, message: str) -> None:
    assert said(lambda: check_item_keys(item, table(keys))) == message


GLOBAL = index("gsi", schema("S", "N", "cd"))
LOCAL = index("lsi", schema("S", "B", "ae"), is_global=False)
NOT_FOR_INDEX = (
    "One or more parameter values are not valid. A value specified for a secondary index key is not supported. "
    "The AttributeValue for a key attribute cannot contain an empty "
)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, ""),
        ({"c": {"S": "x"}}, ""),
        ({"c": {"S": "x"}, "d": {"N": "0"}, "e": {"B": "YQ=="}}, ""),
        ({"c": {"N": "1"}}, INVALID + "Type mismatch for Index Key c Expected: S Actual: N IndexName: gsi"),
        ({"d": {"NULL": True}}, INVALID + "Type mismatch for Index Key d Expected: N Actual: NULL IndexName: gsi"),
        ({"e": {"S": "x"}}, INVALID + "Type mismatch for Index Key e Expected: B Actual: S IndexName: lsi"),
        (
            {"e": {"S": "x"}, "d": {"S": "x"}},
            INVALID + "Type mismatch for Index Key d Expected: N Actual: S IndexName: gsi",
        ),
        ({"c": {"S": ""}}, NOT_FOR_INDEX + "string value. IndexName: gsi, IndexKey: c"),
        ({"e": {"B": ""}}, NOT_FOR_INDEX + "binary value. IndexName: lsi, IndexKey: e"),
        (
            {"c": {"S": "x" * 2049}},
            INVALID + "Size limit exceeded for Index Key c Actual Size: 2049 bytes Max Size: 2048 bytes IndexName: gsi",
        ),
        (
            {"e": {"B": base64.b64encode(b"x" * 1025).decode()}},
            INVALID + "Size limit exceeded for Index Key e Actual Size: 1025 bytes Max Size: 1024 bytes IndexName: lsi",
        ),
    ],
)
def test_the_index_key_attributes_of_an_item(attributes: Item, message: str) -> None:
    indexed = table(schema("S"), LOCAL, GLOBAL)
    item = {"a": {"S": "x"}, **attributes}
    assert said(lambda: check_item_keys(item, indexed)) == message
    assert said(lambda: check_index_keys(item, indexed)) == message


@pytest.mark.parametrize(
    ("nested_names", "message"),
    [
        ((), ""),
        (("v", "w"), ""),
        (("a",), SCALARS + "Key: a"),
        (("b", "v"), SCALARS + "Key: b"),
        (("c",), SCALARS + "IndexKey: c"),
        (("c", "b"), SCALARS + "Key: b"),
    ],
)
def test_no_path_leads_into_a_key(nested_names: tuple[str, ...], message: str) -> None:
    assert said(lambda: check_scalar_access(frozenset(nested_names), table(schema("S", "N"), GLOBAL))) == message
