"""What sweepers commit together keeps the limits of a commit, and holds no key twice."""

from __future__ import annotations

from tenet.store.contract import Append, Delete, IsPresent, Key, Limits, Put, Write
from tenet.store.expiry_batches import Item, packed


def item_of(number: int, *more: Write, partition: bytes = b"p", value: bytes = b"") -> Item:
    key = Key("s", partition, b"%d" % number)
    return Item([IsPresent(key)], [Delete(key), *more], [Append(key, value, None)])


def sizes(items: list[Item], *, partitions_max: int = 6_000, is_grouped: bool = False) -> list[int]:
    batches = list(packed(items, partitions_max, is_grouped=is_grouped))
    assert [item for batch in batches for item in batch] == items
    return [len(batch) for batch in batches]


def test_nothing_is_no_commit() -> None:
    assert sizes([]) == []


def test_as_many_as_a_commit_may_check() -> None:
    assert sizes([item_of(number) for number in range(250)]) == [Limits.checks_max, Limits.checks_max, 50]


def test_values_are_bounded() -> None:
    assert sizes([item_of(number, value=bytes(1024 * 1024)) for number in range(10)]) == [4, 4, 2]
    put = Put(Key("s", b"q", b""), bytes(2 * 1024 * 1024))
    assert sizes([item_of(1, value=bytes(2 * 1024 * 1024)), item_of(2, put), item_of(3, value=b"x")]) == [2, 1]


def test_values_that_are_removed_are_bounded_too() -> None:
    items = [Item([], [Delete(Key("s", b"p", b"%d" % number))], removed_bytes=1_500_000) for number in range(5)]
    assert sizes(items) == [2, 2, 1]


def test_one_that_is_too_large_goes_alone() -> None:
    huge = item_of(1, *(Delete(Key("s", b"q", b"%d" % number)) for number in range(5_000)))
    assert sizes([item_of(0), huge, item_of(2)]) == [1, 1, 1]


def test_a_key_is_written_once() -> None:
    shared = Delete(Key("s", b"q", b"shared"))
    assert sizes([item_of(1, shared), item_of(2), item_of(3, shared), item_of(4)]) == [2, 2]


def test_partitions_are_bounded() -> None:
    items = [item_of(number, partition=b"p%d" % number) for number in range(70)]
    assert sizes(items, partitions_max=30) == [30, 30, 10]
    assert sizes([item_of(number) for number in range(70)], partitions_max=30) == [70]


def test_groups_keep_to_their_partition() -> None:
    items = [item_of(number, partition=b"p%d" % (number // 3)) for number in range(8)]
    assert sizes(items, is_grouped=True) == [3, 3, 2]
