"""Keys of several attributes: which ones there may be, where their entries lie, and what conditions say of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.store.errors import StoreOfLaterVersion
from tenet.store.formats import decode_marked
from tenet.tables import keys
from tenet.tables.errors import TablesError
from tenet.tables.model import (
    AttributeValue,
    Index,
    Item,
    KeyAttribute,
    KeySchema,
    MoreKeyAttributes,
    Pending,
    Table,
    Throughput,
)
from tenet.tables.ops.catalog import FORMAT, FORMAT_OF_SEVERAL, decode_table, encode_table
from tenet.tables.rules.attributes import check_item
from tenet.tables.rules.description import key_schema
from tenet.tables.rules.index_changes import changed_indexes, check_index_changes
from tenet.tables.rules.indexes import is_indexed
from tenet.tables.rules.key_conditions import KeyCondition, KeyConditions, OneCondition
from tenet.tables.rules.key_values import check_index_keys
from tenet.tables.rules.multi_attribute_keys import refuse_statement
from tenet.tables.rules.positions import check_query_position, position_of, scan_position
from tenet.tables.rules.table_definition import check_create, table_from
from tests.unit.tables.outcomes import outcome_of
from tests.unit.tables.test_key_conditions import CONTENTS, comparable
from tests.unit.tables.values import canonical

INVALID = "One or more parameter values were invalid: "
NOT_VALID = "One or more parameter values are not valid. "
NOT_SUPPORTED = (
    "A value specified for a secondary index key is not supported. "
    "The AttributeValue for a key attribute cannot contain an empty string value. "
)
UNDEFINED = INVALID + "Some index key attributes are not defined in AttributeDefinitions. "
TWICE = "The KeySchema contains multiple key attributes with the same name"
A, B, C, D = KeyAttribute("a", "S"), KeyAttribute("b", "S"), KeyAttribute("c", "N"), KeyAttribute("d", "B")
TWO_AND_TWO = KeySchema(A, C, MoreKeyAttributes((B,), (D,)))
ONE_AND_TWO = KeySchema(A, B, MoreKeyAttributes((), (C,)))
TWO_ALONE = KeySchema(A, None, MoreKeyAttributes((B,)))
ITEM: Item = {"p": {"S": "p"}, "a": {"S": "x"}, "b": {"S": "y"}, "c": {"N": "1"}, "d": {"B": "YQ=="}}


def index(schema: KeySchema = TWO_AND_TWO, **more: Any) -> Index:
    return Index("gsi", 1, is_global=True, keys=schema, projection="ALL", **more)


def table(*indexes: Index) -> Table:
    return Table(
        account="0" * 12,
        name="things",
        id="00000000-0000-0000-0000-000000000001",
        region="us-east-1",
        created_ms=0,
        keys=KeySchema(KeyAttribute("p", "S")),
        attribute_types={"p": "S"},
        indexes=indexes,
        next_index_number=2,
    )


def said(work: Callable[[], object]) -> str:
    try:
        work()
    except TablesError as error:
        return error.message
    return ""


# ---- definitions -----------------------------------------------------------------------------------------------------


def elements(schema: str) -> list[dict[str, str]]:
    """The key schema that a text like ``ha hb rc`` stands for."""
    kinds = {"h": "HASH", "r": "RANGE"}
    return [{"AttributeName": part[1:], "KeyType": kinds[part[0]]} for part in schema.split()]


def definition(schema: str, defined: str) -> dict[str, Any]:
    return {
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in defined],
        "GlobalSecondaryIndexes": [
            {"IndexName": "gsi", "KeySchema": elements(schema), "Projection": {"ProjectionType": "ALL"}}
        ],
        "KeySchema": elements("hp"),
        "BillingMode": "PAY_PER_REQUEST",
    }


def create(request: dict[str, Any]) -> Table:
    check_create(request)
    return table_from(request, account="0" * 12, name="abc", region="us-east-1", table_id="id", now_ms=1)


def add(request: dict[str, Any]) -> Table:
    """What UpdateTable makes of the index of a definition."""
    (wanted,) = request["GlobalSecondaryIndexes"]
    used = {element["AttributeName"] for element in wanted["KeySchema"]}
    update = {
        "AttributeDefinitions": [one for one in request["AttributeDefinitions"] if one["AttributeName"] in used],
        "GlobalSecondaryIndexUpdates": [{"Create": wanted}],
    }
    before = table()
    check_index_changes(update)
    return msgspec.structs.replace(before, indexes=changed_indexes(before, update, (), "PAY_PER_REQUEST"))


@pytest.mark.parametrize("make", [create, add])
@pytest.mark.parametrize(
    "schema", ["ha hb", "ha hb hc hd", "ha rb rc", "ha hb rc", "ha hb hc hd re rf rg ri", "hp ra rb", "ha hp rb"]
)
def test_keys_that_global_indexes_may_have(make: Callable[[dict[str, Any]], Table], schema: str) -> None:
    made = make(definition(schema, "p" + "".join(sorted({part[1:] for part in schema.split()} - {"p"}))))
    (found,) = made.indexes
    assert key_schema(found.keys) == elements(schema)
    assert found.keys.names == tuple(part[1:] for part in schema.split())
    assert found.keys.more is not None


@pytest.mark.parametrize("make", [create, add])
@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("ha hb hc hd he", INVALID + "The KeySchema exceeds the maximum allowed number of HASH key attributes"),
        ("ha rb rc rd re rf", INVALID + "The KeySchema exceeds the maximum allowed number of RANGE key attributes"),
        ("ha rb hc", INVALID + "All HASH key attributes must precede RANGE key attributes in the KeySchema"),
        ("ha ha", TWICE),
        ("ha rb rb", TWICE),
        ("ha hb ra", TWICE),
        ("ha ra", "Both the Hash Key and the Range Key element in the KeySchema have the same name"),
        ("ra hb", "Invalid KeySchema: The first KeySchemaElement is not a HASH key type"),
        ("ra rb", "Invalid KeySchema: The first KeySchemaElement is not a HASH key type"),
    ],
)
def test_keys_that_no_index_has(make: Callable[[dict[str, Any]], Table], schema: str, message: str) -> None:
    assert (
        said(lambda: make(definition(schema, "p" + "".join(sorted({part[1:] for part in schema.split()}))))) == message
    )


@pytest.mark.parametrize(
    ("schema", "defined", "message"),
    [
        ("ha hb", "pa", UNDEFINED + "Keys: [a, b], AttributeDefinitions: [p, a]"),
        ("ha hb rc", "pab", UNDEFINED + "Keys: [a, b, c], AttributeDefinitions: [p, a, b]"),
        ("ha hb rc", "pa", "Invalid KeySchema: Some index key attribute have no definition"),
        ("hb ha ha", "pa", UNDEFINED + "Keys: [b, a], AttributeDefinitions: [p, a]"),
    ],
)
def test_every_attribute_of_a_key_is_defined(schema: str, defined: str, message: str) -> None:
    assert said(lambda: create(definition(schema, defined))) == message


def test_definitions_that_no_attribute_of_a_key_uses() -> None:
    told = (
        INVALID
        + "Some AttributeDefinitions are not used. AttributeDefinitions: [p, a, b, c, x], keys used: [p, a, b, c]"
    )
    assert said(lambda: create(definition("ha hb rc", "pabcx"))) == told


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({"KeySchema": elements("hp ra rb")}, 2),
        ({"LocalSecondaryIndexes": [{"IndexName": "lsi", "KeySchema": elements("hp ra rb")}]}, 2),
        ({"GlobalSecondaryIndexes": [{"IndexName": "gsi", "KeySchema": elements("ha hb hc hd re rf rg ri rj")}]}, 8),
    ],
)
def test_how_many_attributes_a_key_has(changes: dict[str, Any], most: int) -> None:
    told = said(lambda: create(definition("ha hb", "pab") | changes))
    end = f"at 'keySchema' failed to satisfy constraint: Member must have length less than or equal to {most}"
    assert told.endswith(end)


def test_a_description_of_an_older_version_is_read() -> None:
    kept = table(index(KeySchema(A, C)))
    record = encode_table(kept)
    older = record.replace(b',"more":null', b"")
    assert older != record
    assert older.startswith(FORMAT)
    assert decode_table(older) == decode_table(record) == kept


def test_an_older_version_refuses_a_table_that_it_would_write_to_wrongly() -> None:
    now = table(index(KeySchema(A, C)), index())
    pending = Pending("PAY_PER_REQUEST", Throughput(), (index(),), False, "STANDARD", {})
    for kept in (now, msgspec.structs.replace(table(), pending=pending)):
        record = encode_table(kept)
        assert record.startswith(FORMAT_OF_SEVERAL)
        assert decode_table(record) == kept
        with pytest.raises(StoreOfLaterVersion):
            decode_marked(record, msgspec.json.Decoder(Table), "a table's description", mark=FORMAT)


# ---- where entries lie -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "partition", "sort"),
    [
        (KeySchema(A), b"x", b"p\x00\x01"),
        (KeySchema(A, C), b"x", b"\x03\x82\x14p\x00\x01"),
        (KeySchema(C, D), b"\x03\x82\x14", b"a\x00\x01p\x00\x01"),
        (ONE_AND_TWO, b"x", b"y\x00\x01\x03\x82\x14p\x00\x01"),
        (TWO_ALONE, b"\x00\x00\x00\x01xy", b"p\x00\x01"),
        (TWO_AND_TWO, b"\x00\x00\x00\x01xy", b"\x03\x82\x14a\x00\x01p\x00\x01"),
    ],
)
def test_where_entries_lie(schema: KeySchema, partition: bytes, sort: bytes) -> None:
    at = keys.entry_key(table(), index(schema), ITEM)
    assert (at.partition, at.sort) == (partition, sort)


types = st.lists(st.sampled_from(sorted(CONTENTS)), min_size=1, max_size=4)


@st.composite
def pairs_of_values(draw: st.DrawFn) -> tuple[list[AttributeValue], list[AttributeValue]]:
    kinds = draw(types)
    made = [[canonical({"v": {kind: draw(st.sampled_from(CONTENTS[kind]))}})["v"] for kind in kinds] for _ in "ab"]
    if draw(st.booleans()):
        # Values that differ late are what joins are mistaken about.
        same = draw(st.integers(0, len(kinds)))
        made[1][:same] = made[0][:same]
    return made[0], made[1]


@given(pairs_of_values())
def test_a_partition_stands_for_its_values_alone(pair: tuple[list[AttributeValue], list[AttributeValue]]) -> None:
    first, second = pair
    assert (keys.joined(first) == keys.joined(second)) == (first == second)


@given(pairs_of_values())
def test_sort_keys_sort_as_their_values_do(pair: tuple[list[AttributeValue], list[AttributeValue]]) -> None:
    first, second = pair
    attributes = [KeyAttribute(f"s{at}", next(iter(value))) for at, value in enumerate(first)]  # type: ignore[arg-type]
    schema = KeySchema(A, attributes[0], MoreKeyAttributes((B,), tuple(attributes[1:])))

    def sort(values: list[AttributeValue]) -> bytes:
        named = {attribute.name: value for attribute, value in zip(attributes, values, strict=True)}
        return keys.entry_key(table(), index(schema), ITEM | named).sort

    def order(values: list[AttributeValue]) -> list[Any]:
        return [comparable(value) for value in values]

    assert (sort(first) < sort(second)) == (order(first) < order(second))
    assert (sort(first) == sort(second)) == (first == second)


# ---- conditions ------------------------------------------------------------------------------------------------------

HASH_MISSING = "HASH key attributes {} must have equality conditions specified in the query"
RANGE_MISSING = (
    "RANGE key attributes {} must have equality conditions specified in the query because a condition is present on "
    "key attribute {}"
)
LONGER = INVALID + "Size of hashkey has exceeded the maximum size limit of2048 bytes"
LONGER_SORT = INVALID + "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
WRONG_TYPE = INVALID + "Condition parameter type does not match schema type"
VALUES: dict[str, AttributeValue] = {
    "a": ITEM["a"],
    "b": ITEM["b"],
    "c": ITEM["c"],
    "d": ITEM["d"],
    "x": {"S": "x"},
    "long": {"S": "x" * 1500},
    "empty": {"S": ""},
}
TWO = KeySchema(A, C, MoreKeyAttributes((B,), (KeyAttribute("d", "S"),)))
FOUR = KeySchema(A, B, MoreKeyAttributes((), (C, KeyAttribute("d", "S"), KeyAttribute("x", "S"))))


def conditions(text: str) -> KeyConditions:
    """The conditions that a text like ``a=a b=long c>c`` stands for: attribute, operator and value."""
    found = {}
    for part in text.split():
        operator = next(each for each in ("begins_with", "NE", "=", "<", ">") if each in part)
        name, value = part.split(operator)
        found[name] = OneCondition(name, operator, (value,))
    return KeyConditions(found, VALUES)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a=a b=b", KeyCondition(ITEM["a"], more=(ITEM["b"],))),
        ("b=b a=a", KeyCondition(ITEM["a"], more=(ITEM["b"],))),
        ("a=a b=b c=c", KeyCondition(ITEM["a"], "=", (ITEM["c"],), (ITEM["b"],))),
        ("c<c a=a b=b", KeyCondition(ITEM["a"], "<", (ITEM["c"],), (ITEM["b"],))),
        ("a=a b=b c=c d>d", KeyCondition(ITEM["a"], ">", (ITEM["d"],), (ITEM["b"],), (ITEM["c"],))),
        ("d=d c=c b=b a=a", KeyCondition(ITEM["a"], "=", (ITEM["d"],), (ITEM["b"],), (ITEM["c"],))),
    ],
)
def test_conditions_on_keys_of_several_attributes(text: str, wanted: KeyCondition) -> None:
    assert conditions(text).against(TWO_AND_TWO) == wanted


@pytest.mark.parametrize(
    ("schema", "text", "message"),
    [
        (TWO, "a=a", HASH_MISSING.format("b")),
        (TWO, "c=c", HASH_MISSING.format("a, b")),
        (TWO, "a=x b>b", HASH_MISSING.format("b")),
        (TWO, "a=x bNEb", HASH_MISSING.format("b")),
        (ONE_AND_TWO, "b=b", HASH_MISSING.format("a")),
        (ONE_AND_TWO, "a>a", HASH_MISSING.format("a")),
        (TWO, "a=a b=b d=x", RANGE_MISSING.format("c", "d")),
        (TWO, "a=a b=b c>c d=x", RANGE_MISSING.format("c", "d")),
        (FOUR, "a=a d=x", RANGE_MISSING.format("b, c", "d")),
        (FOUR, "a=a c=c d=x", RANGE_MISSING.format("b", "c")),
        (FOUR, "a=a c=c x=x", RANGE_MISSING.format("b", "c")),
        (FOUR, "a=a b>b c>c d=x", RANGE_MISSING.format("b", "c")),
        (FOUR, "a=a b=b c>c d=x x=x", RANGE_MISSING.format("c", "d")),
        (TWO, "a=a b=b x=x", "Query condition missed key schema element: c"),
        (TWO, "a=a b=b c=c x=x", "Query condition missed key schema element: d"),
        (TWO, "a=a b=b d=x x=x", "Query condition missed key schema element: c"),
        (
            TWO,
            "a=a b=b c=c d=x x=x",
            "The number of query conditions (5) exceeds the number of key attributes defined in the schema (4)",
        ),
        (
            TWO_ALONE,
            "a=a b=b c=c",
            "The number of query conditions (3) exceeds the number of key attributes defined in the schema (2)",
        ),
        (TWO, "a=c b=b", WRONG_TYPE),
        (TWO, "a=a b=c", WRONG_TYPE),
        (TWO, "a=a b=b c=x", WRONG_TYPE),
        (TWO, "a=a b=b c=c dbegins_withc", WRONG_TYPE),
        (TWO, "a=a b=b cNEc", "Attempted conditional constraint is not an indexable operation"),
        (TWO, "a=long b=long", LONGER),
        (TWO, "a=a b=b c=c d=long", LONGER_SORT),
        (ONE_AND_TWO, "a=a b=long c=c", LONGER_SORT),
        (
            TWO,
            "a=a b=empty",
            NOT_VALID + "The AttributeValue for a key attribute cannot contain an empty string value. Key: b",
        ),
    ],
)
def test_conditions_that_are_refused(schema: KeySchema, text: str, message: str) -> None:
    assert outcome_of(lambda: conditions(text).against(schema))[1] == message


def test_a_statement_reads_no_such_index() -> None:
    held = table(index(), msgspec.structs.replace(index(KeySchema(A, B)), name="plain"))
    told = (
        "PartiQL statements cannot be executed on tables with multi-attribute HASH keys or multi-attribute RANGE keys."
    )
    assert said(lambda: refuse_statement(held, "gsi")) == told
    for name in ("plain", "absent", None):
        refuse_statement(held, name)


# ---- starting keys ---------------------------------------------------------------------------------------------------

ONE_ROW = "The query can return at most one row and cannot be restarted"
OUTSIDE = "The provided starting key is outside query boundaries based on provided conditions"
PREDICATE = "The provided starting key does not match the range key predicate"
NO_KEY = "The provided starting key is invalid"
LATER: AttributeValue = {"N": "2"}


@pytest.mark.parametrize(
    ("changes", "text", "message"),
    [
        ({}, "a=a b=b", ""),
        ({}, "a=a b=b c=c", ""),
        ({"a": {"S": "z"}}, "a=a b=b", ONE_ROW),
        ({"a": {"S": "z"}}, "a=a b=b c<c", ONE_ROW),
        ({"b": {"S": "z"}}, "a=a b=b", OUTSIDE),
        ({"b": {"S": "z"}}, "a=a b=b c=c", ONE_ROW),
        ({"b": {"S": "z"}}, "a=a b=b c<c", PREDICATE),
        ({"c": LATER}, "a=a b=b", ""),
        ({"c": LATER}, "a=a b=b c=c", PREDICATE),
        ({"c": LATER}, "a=a b=b c=c d=d", PREDICATE),
        ({"c": LATER}, "a=a b=b c>c", ""),
        ({"d": {"B": "Yg=="}}, "a=a b=b c=c d=d", PREDICATE),
        ({"d": {"S": "a"}}, "a=a b=b", NO_KEY),
        ({"e": {"S": "a"}}, "a=a b=b", NO_KEY),
    ],
)
def test_starting_keys_of_queries(changes: Item, text: str, message: str) -> None:
    of, wanted = index(), conditions(text).against(TWO_AND_TWO)
    within = keys.everything_of(of)
    if wanted.operator:
        within = keys.sort_within(of, wanted.operator, wanted.values, wanted.before)
    start = ITEM | changes
    told = said(lambda: check_query_position(table(of), of, start, wanted, within))
    assert told == message
    if not message:
        at = keys.entry_key(table(of), of, start).sort
        assert check_query_position(table(of), of, start, wanted, within) == at


@pytest.mark.parametrize("name", ["p", "a", "b", "c", "d"])
def test_a_position_has_all_attributes_of_both_keys(name: str) -> None:
    of = index()
    assert position_of(table(of), of, ITEM | {"other": {"S": "x"}}) == ITEM
    at = keys.entry_key(table(of), of, ITEM)
    assert scan_position(table(of), of, ITEM) == (at.partition, at.sort)
    lacking = {each: value for each, value in ITEM.items() if each != name}
    assert said(lambda: scan_position(table(of), of, lacking)) == NO_KEY


def test_a_scan_goes_on_behind_no_key_that_is_longer_than_any() -> None:
    of = index(KeySchema(A, None, MoreKeyAttributes((B, KeyAttribute("e", "S")))))
    long = {"p": {"S": "p"}} | {name: {"S": "x" * 1_900} for name in ("a", "b", "e")}
    assert said(lambda: scan_position(table(of), of, long)) == NO_KEY


# ---- items -----------------------------------------------------------------------------------------------------------

TOGETHER = "Aggregate size for {} key attributes {} of index gsi has exceeded limit {} bytes, with actual size {} bytes"
ALONE = "Size limit exceeded for Index Key {} Actual Size: {} bytes Max Size: {} bytes IndexName: gsi"
HELD = index(TWO)


def text(size: int) -> AttributeValue:
    return {"S": "x" * size}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"a": text(1_500), "b": text(548)}, ""),
        ({"a": text(1_500), "b": text(549)}, TOGETHER.format("HASH", "a, b", 2_048, 2_049)),
        ({"a": text(2_049)}, INVALID + ALONE.format("a", 2_049, 2_048)),
        ({"d": text(1_022)}, ""),
        ({"d": text(1_023)}, TOGETHER.format("RANGE", "c, d", 1_024, 1_025)),
        ({"d": text(1_025)}, INVALID + ALONE.format("d", 1_025, 1_024)),
        ({"c": {"N": "123456789.123456789"}, "d": text(1_020)}, TOGETHER.format("RANGE", "c, d", 1_024, 1_031)),
        ({"b": {"N": "1"}}, INVALID + "Type mismatch for Index Key b Expected: S Actual: N IndexName: gsi"),
        ({"c": {"S": "1"}}, INVALID + "Type mismatch for Index Key c Expected: N Actual: S IndexName: gsi"),
        ({"d": {"NULL": True}}, INVALID + "Type mismatch for Index Key d Expected: S Actual: NULL IndexName: gsi"),
        (
            {"d": text(0)},
            NOT_VALID + NOT_SUPPORTED + "IndexName: gsi, IndexKey: d",
        ),
    ],
)
def test_what_items_may_have_in_the_key_of_an_index(changes: Item, message: str) -> None:
    item = ITEM | {"d": {"S": "a"}} | changes
    check_item(item)
    assert said(lambda: check_index_keys(item, table(HELD))) == message


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_an_item_without_one_attribute_has_no_entry_and_no_sum(name: str) -> None:
    item = ITEM | {"a": text(2_000), "b": text(2_000), "d": text(1_024)}
    lacking = {each: value for each, value in item.items() if each != name}
    assert not is_indexed(HELD, lacking)
    other = "RANGE" if name in "ab" else "HASH"
    assert said(lambda: check_index_keys(lacking, table(HELD))).startswith(f"Aggregate size for {other} key attributes")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({"a": text(2_000), "b": text(2_000)}, {"other": text(1)}, ""),
        ({"a": text(2_000), "b": text(2_000)}, {"b": text(1_999)}, TOGETHER.format("HASH", "a, b", 2_048, 3_999)),
        ({"a": {"L": [text(3_000)]}}, {"b": text(5)}, ""),
        ({"a": text(2_000)}, {"b": text(2_000)}, TOGETHER.format("HASH", "a, b", 2_048, 4_000)),
    ],
)
def test_what_a_late_index_cannot_hold_may_stay(before: Item, after: Item, message: str) -> None:
    late = index(TWO, is_late=True)
    old = {"p": ITEM["p"], **before}
    assert not is_indexed(late, old)
    new = old | after
    assert said(lambda: check_index_keys(new, table(late), is_update=True, before=old)) == message


@pytest.mark.parametrize(
    ("changes", "has"),
    [
        ({}, True),
        ({"a": text(2_000)}, True),
        ({"a": text(2_000), "b": text(49)}, False),
        ({"d": text(1_023)}, False),
        ({"b": {"N": "1"}}, False),
        ({"c": {"S": "1"}}, False),
        ({"d": text(0)}, False),
    ],
)
def test_which_items_a_late_index_holds(changes: Item, *, has: bool) -> None:
    assert is_indexed(index(TWO, is_late=True), ITEM | {"d": {"S": "a"}} | changes) == has
