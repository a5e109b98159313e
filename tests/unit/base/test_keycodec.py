"""The key encodings: their order, that they come apart again, and the bounds of ranges."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.base.keycodec import (
    delimit,
    encode_number,
    escape,
    prefix_end,
    split_delimited,
    split_number,
    successor,
)

#: Byte strings with many zeros and 0xff, which encodings trip over.
tricky_bytes = st.lists(st.sampled_from([b"\x00", b"\x01", b"\xff", b"a", b"b"]), max_size=6).map(b"".join)


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """Any number that DynamoDB has, as canonical text."""
    digits = str(draw(st.integers(min_value=1, max_value=10**38 - 1))).rstrip("0")
    exponent = draw(st.integers(min_value=-130, max_value=125))
    sign = draw(st.sampled_from(["", "-"]))
    value = format(Decimal(f"{sign}{digits[0]}.{digits[1:]}E{exponent}"), "f")
    return draw(st.sampled_from([value, "0"]))


def encode_pair(pair: tuple[bytes, bytes]) -> bytes:
    return delimit(pair[0]) + pair[1]


@given(tricky_bytes, tricky_bytes)
def test_delimited_byte_strings_sort_as_the_byte_strings_do(left: bytes, right: bytes) -> None:
    assert (delimit(left) < delimit(right)) == (left < right)


@given(tricky_bytes, tricky_bytes)
def test_no_delimited_byte_string_is_a_prefix_of_another(left: bytes, right: bytes) -> None:
    assert left == right or not delimit(left).startswith(delimit(right))


@given(st.tuples(tricky_bytes, tricky_bytes), st.tuples(tricky_bytes, tricky_bytes))
def test_joined_encodings_sort_as_tuples_do(left: tuple[bytes, bytes], right: tuple[bytes, bytes]) -> None:
    assert (encode_pair(left) < encode_pair(right)) == (left < right)


@given(tricky_bytes, tricky_bytes, tricky_bytes)
def test_delimited_byte_strings_come_apart_again(before: bytes, data: bytes, behind: bytes) -> None:
    encoded = before + delimit(data) + behind
    assert split_delimited(encoded, len(before)) == (data, len(before) + len(delimit(data)))


def test_a_byte_string_without_its_end_does_not_come_apart() -> None:
    with pytest.raises(ValueError, match="no end"):
        split_delimited(b"ab\x00\xff")


@given(tricky_bytes, tricky_bytes)
def test_escaping_keeps_what_begins_with_what(data: bytes, prefix: bytes) -> None:
    assert delimit(data).startswith(escape(prefix)) == data.startswith(prefix)


@given(numbers(), numbers())
def test_numbers_sort_by_value(left: str, right: str) -> None:
    assert (encode_number(left) < encode_number(right)) == (Decimal(left) < Decimal(right))


@given(numbers(), numbers())
def test_no_number_is_a_prefix_of_another(left: str, right: str) -> None:
    assert left == right or not encode_number(left).startswith(encode_number(right))


@given(tricky_bytes, numbers(), tricky_bytes)
def test_numbers_come_apart_again(before: bytes, text: str, behind: bytes) -> None:
    encoded = before + encode_number(text) + behind
    assert split_number(encoded, len(before)) == (text, len(before) + len(encode_number(text)))


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("0", 1), ("1", 3), ("-1", 3), ("10", 3), ("12", 3), ("123", 4), ("0.5", 3), ("1" + "0" * 125, 3), ("9" * 38, 21)],
)
def test_the_encoding_of_a_number_is_short(text: str, size_bytes: int) -> None:
    assert len(encode_number(text)) == size_bytes


@pytest.mark.parametrize("encoded", [b"", b"\x07\x80\x14", b"\x03", b"\x03\x82", b"\x03\x82\x15", b"\x01\x7d\xea"])
def test_what_is_no_encoded_number_is_refused(encoded: bytes) -> None:
    with pytest.raises(ValueError, match="the encoding"):
        split_number(encoded)


@given(tricky_bytes, tricky_bytes)
def test_the_successor_leaves_no_room(key: bytes, other: bytes) -> None:
    assert (other > key) == (other >= successor(key))


@given(tricky_bytes, tricky_bytes)
def test_the_end_of_a_prefix_bounds_what_begins_with_it(prefix: bytes, other: bytes) -> None:
    end = prefix_end(prefix)
    assert other.startswith(prefix) == (prefix <= other and (end is None or other < end))
