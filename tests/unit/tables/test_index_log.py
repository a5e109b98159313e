"""What the log is told of a write, and what is made of it: the same indexes as where entries go with their items."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tenet.store.contract import Append, Delete, Key
from tenet.tables import keys
from tenet.tables.model import Index, Item, KeyAttribute, KeySchema, Projection, Table
from tenet.tables.rules import index_log
from tenet.tables.rules.images import ABSENT, Image
from tenet.tables.rules.index_log import entry_writes, is_by_keys, logged_changes, space_options
from tenet.tables.rules.indexes import changes
from tenet.tables.rules.sizes import item_bytes


def index(number: int, partition: str, sort: str | None, projection: Projection, *, is_global: bool = True) -> Index:
    schema = KeySchema(KeyAttribute(partition, "S"), KeyAttribute(sort, "S") if sort else None)
    included = ("e",) if projection == "INCLUDE" else ()
    return Index(f"index-{number}", number, is_global, schema, projection, included)


INDEXES = (
    index(1, "g", None, "ALL"),
    index(2, "g", "h", "KEYS_ONLY"),
    index(3, "h", "r", "INCLUDE"),
    index(4, "p", "h", "INCLUDE", is_global=False),
)
TABLE = Table(
    account="1" * 12,
    name="things",
    id="0" * 32,
    region="us-east-1",
    created_ms=0,
    keys=KeySchema(KeyAttribute("p", "S"), KeyAttribute("r", "S")),
    attribute_types=dict.fromkeys("prgh", "S"),
    indexes=INDEXES,
)
PLACES = [{"p": {"S": "p"}, "r": {"S": number}} for number in "12"]


def image(item: Item | None) -> Image:
    return ABSENT if item is None else Image.of_item(item, item_bytes(item))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, Item | None]]:
    """Changes of two items: which one, and what it becomes."""
    more = st.fixed_dictionaries(
        {}, optional={name: st.sampled_from([{"S": "x"}, {"S": "y\x00"}]) for name in ("g", "h", "e", "f")}
    )
    change = st.tuples(st.integers(0, 1), st.none() | more)
    found = draw(st.lists(change, max_size=12))
    return [(at, None if item is None else PLACES[at] | item) for at, item in found]


def apply(entries: dict[Key, bytes], writes: Any) -> None:
    for write in writes:
        if isinstance(write, Delete):
            entries.pop(write.key, None)
        else:
            entries[write.key] = write.value


@given(history=histories(), by_keys=st.lists(st.booleans(), min_size=12, max_size=12), late=st.integers(0, 12))
def test_the_log_makes_the_same_indexes(history: list[tuple[int, Item | None]], by_keys: list[bool], late: int) -> None:
    """Also where entries tell keys alone, and the item is looked up when it has long become another."""
    states: list[list[Image]] = [[ABSENT, ABSENT]]
    at_once: dict[Key, bytes] = {}
    #: Which item each entry is about, how many states there were by then, and the entry.
    told: list[tuple[int, int, Append]] = []
    for (at, item), by_reference in zip(history, by_keys, strict=False):
        old, new = states[-1][at], image(item)
        place = keys.item_key(TABLE, PLACES[at])
        apply(at_once, changes(TABLE, old, new).writes)
        logged = logged_changes(TABLE, place, old, new, by_reference=by_reference)
        assert {write.key.space for write in logged.writes} <= {TABLE.space}, "local entries alone go with the item"
        assert logged.units == changes(TABLE, old, new).units
        told += [(at, len(states), append) for append in logged.appends]
        assert all(append.key == place for append in logged.appends)
        states.append([new if number == at else state for number, state in enumerate(states[-1])])
    from_log: dict[Key, bytes] = {}
    for at, since, append in told:
        new = Image(append.new)
        if is_by_keys(new):
            # What is looked up is at least as new as the entry.
            new = states[min(since + late, len(states) - 1)][at]
        apply(from_log, entry_writes(TABLE, TABLE.global_indexes, Image(append.old), new))
    wanted = {key: value for key, value in at_once.items() if key.space != TABLE.space}
    assert {key: Image(value).item for key, value in from_log.items()} == {
        key: Image(value).item for key, value in wanted.items()
    }


def test_what_changes_no_global_index_is_not_told() -> None:
    place = keys.item_key(TABLE, PLACES[0])
    plain = image(PLACES[0] | {"f": {"S": "x"}})
    assert logged_changes(TABLE, place, ABSENT, plain).appends == ()
    with_local = logged_changes(TABLE, place, ABSENT, image(PLACES[0] | {"h": {"S": "x"}}))
    assert [write.key.space for write in with_local.writes] == [TABLE.space]
    assert len(with_local.appends) == 1, "the third index is one by h"


def test_a_large_item_is_told_by_its_keys() -> None:
    place = keys.item_key(TABLE, PLACES[0])
    large = image(PLACES[0] | {"g": {"S": "x"}, "f": {"S": "f" * index_log.LOGGED_BYTES_MAX}})
    (append,) = logged_changes(TABLE, place, ABSENT, large).appends
    assert append.old is None
    assert is_by_keys(Image(append.new))
    assert Image(append.new).item == PLACES[0] | {"g": {"S": "x"}}
    (small,) = logged_changes(TABLE, place, ABSENT, image(PLACES[0] | {"g": {"S": "x"}})).appends
    assert not is_by_keys(Image(small.new))


def test_what_an_index_cannot_hold_is_not_told_for_it() -> None:
    late = Index("late", 9, is_global=True, keys=KeySchema(KeyAttribute("f", "S")), projection="ALL", is_late=True)
    table = msgspec.structs.replace(TABLE, indexes=(*TABLE.indexes, late))
    large = image(PLACES[0] | {"g": {"S": "x"}, "f": {"S": "f" * index_log.LOGGED_BYTES_MAX}})
    (append,) = logged_changes(table, keys.item_key(table, PLACES[0]), ABSENT, large).appends
    assert Image(append.new).item == PLACES[0] | {"g": {"S": "x"}}


def test_only_a_table_with_global_indexes_has_a_log_and_only_where_it_is_needed() -> None:
    plain = Table("1" * 12, "plain", "1" * 32, "us-east-1", 0, TABLE.keys, {}, INDEXES[3:])
    assert space_options(TABLE, TABLE.space, is_logging=True, now_ms=0).log is not None
    for table, space, is_logging in (
        (TABLE, TABLE.space, False),
        (TABLE, keys.index_space(TABLE.id, 1), True),
        (plain, plain.space, True),
    ):
        assert space_options(table, space, is_logging=is_logging, now_ms=0).log is None


@given(sort=st.binary(min_size=1, max_size=4), partition=st.binary(min_size=1, max_size=4))
def test_marks_lie_where_no_entry_can(sort: bytes, partition: bytes) -> None:
    binary = KeySchema(KeyAttribute("p", "B"))
    by_sort = Index(
        "i", 1, is_global=True, keys=KeySchema(KeyAttribute("g", "B"), KeyAttribute("s", "B")), projection="ALL"
    )
    alone = Index("j", 2, is_global=True, keys=KeySchema(KeyAttribute("g", "B")), projection="ALL")
    table = Table("1" * 12, "b", "2" * 32, "us-east-1", 0, binary, {}, (by_sort, alone))
    item = {name: {"B": b64encode(value).decode()} for name, value in (("p", partition), ("g", b"\x00"), ("s", sort))}
    for one in table.indexes:
        key = keys.entry_key(table, one, item)
        assert key.sort >= keys.GLOBAL_ENTRIES.lower
        assert not keys.is_mark(key)
        mark = keys.mark_key(key.space, key.partition, 3)
        assert keys.is_mark(mark)
        assert mark.sort < keys.GLOBAL_ENTRIES.lower
