"""Tokens of partition keys, as Cassandra's Murmur3Partitioner gives them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenet.store.cassandra.murmur3 import TOKEN_MAX, TOKEN_MIN, token

#: From `SELECT token(p)` of Apache Cassandra 5.0.9; the test of the real cluster asks for more of them.
KNOWN = {
    b"": 0,
    b"123": -7468325962851647638,
}


def test_known_ones() -> None:
    assert {key: token(key) for key in KNOWN} == KNOWN


@given(st.binary(max_size=80))
def test_they_lie_in_the_ring_and_never_at_its_beginning(key: bytes) -> None:
    assert TOKEN_MIN < token(key) <= TOKEN_MAX


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_different_keys_hardly_ever_share_one(one: bytes, other: bytes) -> None:
    assert (token(one) == token(other)) == (one == other)


def test_every_byte_counts_at_every_place_of_every_length() -> None:
    for length in range(1, 50):
        tokens = set()
        for at in range(length):
            for byte in (0x00, 0x7F, 0x80, 0xFF):
                tokens.add(token(bytes([1]) * at + bytes([byte]) + bytes([1]) * (length - at - 1)))
        assert len(tokens) == 4 * length


def test_they_are_spread_evenly() -> None:
    counts = [0] * 16
    for number in range(8_000):
        counts[(token(b"key-%d" % number) - TOKEN_MIN) >> 60] += 1
    assert min(counts) > 400
    assert max(counts) < 600
