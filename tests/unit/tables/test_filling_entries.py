"""What is collected of an index that is filled comes back whole, in the order of the index, a few at a time."""

from __future__ import annotations

from random import Random

import pytest

from tenet.store.contract import Key, Put, Version, token
from tenet.tables.ops.indexing import entries
from tenet.tables.ops.indexing.entries import Entries, Entry

VERSION = Version(bytes(16))


def entry(number: int, *, partition: bytes, value: bytes = b"x") -> Entry:
    key = Key("items", b"p%d" % number, b"s")
    return Entry(key, VERSION, Put(Key("index", partition, b"%08d" % number), value))


def test_all_are_given_out_once_in_the_order_of_the_index() -> None:
    chance = Random(1)
    pages = [
        [entry(100 * page + at, partition=b"g%d" % chance.randrange(40)) for at in range(100)] for page in range(9)
    ]
    collected = Entries()
    for page in pages:
        collected.add(page)
    collected.add([])
    assert len(collected) == 900
    groups = list(collected.take(25))
    assert [len(group) for group in groups] == [25] * 36
    given = [one for group in groups for one in group]
    assert sorted(one.key for one in given) == sorted(one.key for page in pages for one in page)
    places = [(token(one.write.key.partition), one.write.key.partition, one.write.key.sort) for one in given]
    assert places == sorted(places)
    assert len(collected) == 0
    assert list(collected.take(25)) == []


def test_an_item_that_was_read_twice_comes_twice() -> None:
    collected = Entries()
    for value in (b"old", b"new"):
        collected.add([entry(1, partition=b"g", value=value)])
    assert [[one.write.value for one in group] for group in collected.take(1)] == [[b"old"], [b"new"]]


@pytest.mark.parametrize(("name", "limit"), [("ENTRIES_MAX", 3), ("ENTRIES_BYTES_MAX", 300)])
def test_it_is_full_by_count_and_by_bytes(name: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, name, limit)
    collected = Entries()
    for number in range(2):
        collected.add([entry(number, partition=b"g", value=bytes(100))])
        assert not collected.is_full
    collected.add([entry(2, partition=b"g", value=bytes(100))])
    assert collected.is_full
    assert list(collected.take(10))
    assert not collected.is_full
