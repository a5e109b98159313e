"""What is collected of an index that is filled comes back whole, in the order of the index, a few at a time."""

from __future__ import annotations

from random import Random

import pytest

from tenet.store.contract import Key, Put, Version, token
from tenet.tables.ops.indexing.entries import GROUP_BYTES, Entries, Entry, grouped

VERSION = Version(bytes(16))


def entry(number: int, *, partition: bytes, value: bytes = b"x") -> Entry:
    key = Key("items", b"p%d" % number, b"s")
    return Entry(key, VERSION, Put(Key("index", partition, b"%08d" % number), value), len(partition) + len(value) + 10)


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
    groups = list(collected.take())
    assert [len(group) for group in groups] == [25] * 36
    given = [one for group in groups for one in group]
    assert sorted(one.key for one in given) == sorted(one.key for page in pages for one in page)
    places = [(token(one.write.key.partition), one.write.key.partition, one.write.key.sort) for one in given]
    assert places == sorted(places)
    assert len(collected) == 0
    assert list(collected.take()) == []


def test_an_item_that_was_read_twice_comes_twice() -> None:
    collected = Entries()
    for value in (b"old", b"new"):
        collected.add([entry(1, partition=b"g", value=value)])
    assert [one.write.value for group in collected.take() for one in group] == [b"old", b"new"]


@pytest.mark.parametrize(("value", "key"), [(1_000, 1), (1, 1_000)])
def test_what_they_take_is_known(value: int, key: int) -> None:
    collected = Entries()
    for number in range(5):
        collected.add([entry(number, partition=b"g" * key, value=bytes(value))])
    assert 5 * 1_001 <= collected.weight <= 5 * 2_000
    assert list(collected.take())
    assert collected.weight == 0


def test_a_commit_has_no_more_bytes_than_go_without_holding_others_up() -> None:
    sizes = [200_000, 200_000, 200_000, 700_000, 10, 10, *[30_000] * 20]
    some = [entry(number, partition=b"g", value=bytes(size)) for number, size in enumerate(sizes)]
    groups = list(grouped(some))
    assert [one for group in groups for one in group] == some
    assert [len(group) for group in groups][:4] == [2, 1, 1, 19]
    assert all(len(group) == 1 or sum(one.byte_count for one in group) <= GROUP_BYTES for group in groups)


def test_memory_is_let_go_of_as_it_is_given_out() -> None:
    gone: list[int] = []

    class Value(bytes):
        """Says when it is gone."""

        def __del__(self) -> None:
            gone.append(1)

    collected = Entries()
    for number in range(1_000):
        collected.add([entry(number, partition=b"g%d" % number, value=Value(100))])
    given = 0
    for group in collected.take():
        # Of each of the four runs one is held to be compared, and one that was just given out.
        assert len(gone) >= given - 8 - len(group)
        given += len(group)
    assert given == 1_000
