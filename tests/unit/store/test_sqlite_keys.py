"""Stored keys keep partitions together and sorted, and slices divide them."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tenet.store.contract import EVERYTHING, Limits, Range
from tenet.store.sqlite.keys import HEAD_BYTES, bounds, prefix_of, slice_bounds

PARTITIONS = st.binary(max_size=40) | st.just(b"\xff" * Limits.partition_bytes_max)
SORTS = st.binary(max_size=20) | st.lists(st.sampled_from([b"", b"\x00", b"\xff", b"a"]), max_size=6).map(b"".join)


@given(PARTITIONS, SORTS)
def test_a_stored_key_is_taken_apart_again(partition: bytes, sort: bytes) -> None:
    prefix = prefix_of(partition)
    stored = prefix + sort
    assert (stored[HEAD_BYTES : len(prefix)], stored[len(prefix) :]) == (partition, sort)
    assert int.from_bytes(stored[4:HEAD_BYTES], "big") == len(partition)


@given(PARTITIONS, SORTS, SORTS)
def test_within_a_partition_the_order_is_that_of_the_sort_keys(partition: bytes, one: bytes, other: bytes) -> None:
    prefix = prefix_of(partition)
    assert (prefix + one < prefix + other) == (one < other)


@given(PARTITIONS, SORTS, SORTS, st.none() | SORTS)
@example(b"\xff" * Limits.partition_bytes_max, b"\xff" * 20, b"", None)
def test_bounds_hold_exactly_the_range(partition: bytes, sort: bytes, lower: bytes, upper: bytes | None) -> None:
    low, high = bounds(partition, Range(lower, upper))
    is_within = lower <= sort and (upper is None or sort < upper)
    assert (low <= prefix_of(partition) + sort < high) == is_within


@given(PARTITIONS, PARTITIONS, SORTS)
def test_bounds_hold_nothing_of_another_partition(partition: bytes, other: bytes, sort: bytes) -> None:
    low, high = bounds(partition, EVERYTHING)
    assert (low <= prefix_of(other) + sort < high) == (partition == other)


@given(PARTITIONS, SORTS, st.integers(1, Limits.slices_max))
def test_every_key_lies_in_exactly_one_slice(partition: bytes, sort: bytes, slice_count: int) -> None:
    stored = prefix_of(partition) + sort
    guess = int.from_bytes(stored[:4], "big") * slice_count >> 32
    near = range(max(0, guess - 2), min(slice_count, guess + 3))
    holding = [at for at in near if slice_bounds(at, slice_count)[0] <= stored < slice_bounds(at, slice_count)[1]]
    assert len(holding) == 1


@given(st.integers(1, 3_000))
def test_slices_join_without_a_gap(slice_count: int) -> None:
    ends = [slice_bounds(at, slice_count) for at in range(slice_count)]
    assert ends[0][0] == b"\x00" * 4
    assert ends[-1][1] > prefix_of(b"") + b"\xff" * 40
    assert all(ends[at][1] == ends[at + 1][0] for at in range(slice_count - 1))


def test_the_place_of_a_partition_never_changes() -> None:
    # It is part of the stored format: what is written today is looked for there in ten years.
    assert prefix_of(b"") == bytes.fromhex("000000000000")
    assert prefix_of(b"partition") == bytes.fromhex("d4a0f6920009") + b"partition"
    assert prefix_of(b"\x00\xff") == bytes.fromhex("ab63d8780002") + b"\x00\xff"
