"""What stands in rows: it comes back as it was written, and damaged bytes are told as such."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.store.cassandra import encoding, rows
from tenet.store.cassandra.rows import Entry, IntendedEntry, IntendedWrite, Intent, Lock, Row
from tenet.store.contract import Version
from tenet.store.errors import StoreCorrupt

ids = st.binary(min_size=16, max_size=16)
nonces = st.binary(min_size=encoding.NONCE_BYTES, max_size=encoding.NONCE_BYTES)
times = st.integers(0, 2**63 - 1)
cells = st.dictionaries(st.text(max_size=8), st.integers(-(2**63), 2**63 - 1), max_size=4)
values = st.none() | st.binary(max_size=20)
locks = st.builds(Lock, ids, nonces, st.text("0123456789abcdef", min_size=16, max_size=16), st.binary(min_size=1))
entries = st.builds(Entry, ids, ids, st.binary(), st.binary(), values, values, st.text(max_size=8))
intents = st.builds(
    Intent,
    st.binary(max_size=8),
    st.lists(
        st.builds(IntendedWrite, st.sampled_from(range(4)), st.binary(), st.binary(), st.none() | cells), max_size=3
    ),
    st.lists(st.builds(IntendedEntry, st.integers(0, 6_000), st.binary(), values, values, st.text()), max_size=3),
    st.lists(st.binary(), max_size=3),
)


@given(st.binary())
def test_partition_keys(partition: bytes) -> None:
    assert encoding.to_key(partition) != b""
    assert encoding.from_key(encoding.to_key(partition)) == partition


@given(st.binary(), st.binary())
def test_partition_keys_are_in_the_same_order(one: bytes, other: bytes) -> None:
    assert (encoding.to_key(one) < encoding.to_key(other)) == (one < other)


@given(times, cells)
def test_cells(time: int, some: dict[str, int]) -> None:
    data = encoding.encode_cells(time, some)
    assert encoding.decode_cells(data) == some
    assert (data is None) == (not some)


@given(times, times, cells)
def test_the_bytes_of_cells_are_those_of_one_time_alone(one: int, other: int, some: dict[str, int]) -> None:
    if some:
        assert (encoding.encode_cells(one, some) == encoding.encode_cells(other, some)) == (one == other)


@given(locks)
def test_locks(lock: Lock) -> None:
    assert rows.decode_lock(rows.encode_lock(lock)) == lock


@given(entries)
def test_entries(entry: Entry) -> None:
    assert rows.decode_entry(rows.encode_entry(entry)) == entry


@given(intents)
def test_intents(intent: Intent) -> None:
    assert rows.decode_intent(rows.encode_intent(intent)) == intent


@given(nonces, ids)
def test_fates(nonce: bytes, version: bytes) -> None:
    fate = encoding.committed(nonce, Version(version))
    assert fate.startswith(encoding.COMMITTED)
    assert (encoding.nonce_of(fate), encoding.version_of(fate)) == (nonce, version)


def test_fates_are_told_apart_by_their_first_byte() -> None:
    assert len({encoding.COMMITTED, encoding.NEVER, encoding.GIVEN_UP, encoding.CARRIED_OUT}) == 4


@given(st.tuples(times, st.integers(0, 5_999)), st.tuples(times, st.integers(0, 5_999)))
def test_places_in_an_outbox_are_in_the_order_of_commits(one: tuple[int, int], other: tuple[int, int]) -> None:
    places = [rows.outbox_sort(b"12345678", *at) for at in (one, other)]
    assert (places[0] < places[1]) == (one < other)


@given(st.binary(min_size=16, max_size=16), values, st.binary(), st.binary())
def test_a_row_with_a_version_is_a_record(version: bytes, value: bytes | None, partition: bytes, sort: bytes) -> None:
    record = Row(version, value).record(partition, sort)
    assert record is not None
    assert (record.partition, record.sort, record.version, record.value) == (partition, sort, version, value or b"")
    assert dict(record.cells) == {}


def test_a_row_without_a_version_is_none_yet() -> None:
    assert Row(None, b"value").record(b"p", b"s") is None


DAMAGED = [b"", b"\x00", b"\xc1", b"\x90", b"\x94\x01", b"not what it was"]


@pytest.mark.parametrize("data", DAMAGED)
@pytest.mark.parametrize(
    ("decode", "said"),
    [
        (rows.decode_lock, "a lock cannot be read"),
        (rows.decode_intent, "what a commit intends cannot be read"),
        (rows.decode_entry, "a log entry cannot be read"),
    ],
)
def test_damaged_bytes(decode: Callable[[bytes], object], said: str, data: bytes) -> None:
    with pytest.raises(StoreCorrupt, match=said):
        decode(data)


@pytest.mark.parametrize("data", [b"short", b"12345678", b"12345678\xc1", b"12345678\x01", b"12345678\x81\xa1n\xa1x"])
def test_damaged_cells(data: bytes) -> None:
    with pytest.raises(StoreCorrupt, match="the cells of a record cannot be read"):
        encoding.decode_cells(data)


@pytest.mark.parametrize("version", [b"", b"short", bytes(17)])
def test_a_damaged_version(version: bytes) -> None:
    with pytest.raises(StoreCorrupt, match=f"the version of a record has {len(version)} bytes"):
        Row(version, b"x").record(b"p", b"s")


@pytest.mark.parametrize("cut", [0, 1, 5, 9])
def test_what_was_cut_off(cut: int) -> None:
    whole = rows.encode_lock(Lock(bytes(16), bytes(6), "0" * 16, b"\x00p"))
    with pytest.raises(StoreCorrupt):
        rows.decode_lock(whole[:cut])
