"""Frames: what is written is read however it is cut up, and nothing beyond a limit is kept."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.mesh.channel import BODY_BYTES_MAX
from tenet.mesh.errors import FrameTooLarge
from tenet.mesh.frames import (
    FRAME_BYTES_MAX,
    KIND_BYTES_MAX,
    TIMEOUT_MS_MAX,
    BadFrame,
    Failure,
    Frame,
    Frames,
    Hello,
    Reader,
    call_frame,
    check_body,
    frame,
    kind_bytes,
    notice_frame,
    read_call,
    read_failure,
    read_hello,
    read_notice,
)

KINDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=KIND_BYTES_MAX)
SENT = st.lists(st.tuples(st.sampled_from(Frames), st.integers(0, 2**32 - 1), st.binary(max_size=200)), max_size=20)


@given(SENT, st.lists(st.integers(1, 50), min_size=1))
def test_frames_are_read_as_they_were_written_however_they_are_cut_up(
    sent: list[tuple[Frames, int, bytes]], cuts: list[int]
) -> None:
    data = b"".join(frame(*one) for one in sent)
    reader, found, at, turn = Reader(), [], 0, 0
    while at < len(data):
        found += list(reader.feed(data[at : at + cuts[turn % len(cuts)]]))
        at, turn = at + cuts[turn % len(cuts)], turn + 1
    assert found == [Frame(*one) for one in sent]
    assert not reader.is_amid


def test_a_part_of_a_frame_is_told() -> None:
    reader = Reader()
    data = frame(Frames.KEEP)
    assert list(reader.feed(data[:-1])) == []
    assert reader.is_amid
    assert len(list(reader.feed(data[-1:] + data))) == 2
    assert not reader.is_amid


@pytest.mark.parametrize("length", [0, 4, FRAME_BYTES_MAX + 1, 2**32 - 1])
def test_a_length_beyond_its_bounds_is_refused_at_once(length: int) -> None:
    reader = Reader()
    with pytest.raises(BadFrame, match=f"a frame of {length} bytes"):
        list(reader.feed(length.to_bytes(4, "big") + b"\x07" + bytes(4)))


def test_a_reader_may_be_given_a_lower_bound() -> None:
    assert len(list(Reader(100).feed(frame(Frames.ANSWER, 1, bytes(95))))) == 1
    with pytest.raises(BadFrame, match="from 5 to 100 are taken"):
        list(Reader(100).feed(frame(Frames.ANSWER, 1, bytes(96))))


@pytest.mark.parametrize("what", [0, 9, 255])
def test_an_unknown_frame_is_refused(what: int) -> None:
    with pytest.raises(BadFrame, match=f"unknown sort {what}"):
        list(Reader().feed((5).to_bytes(4, "big") + bytes([what]) + bytes(4)))


@given(KINDS, st.floats(0.001, 4e6), st.binary(max_size=100), st.integers(0, 2**32 - 1))
def test_calls_and_notices_are_read_as_they_were_written(kind: str, timeout_s: float, body: bytes, call: int) -> None:
    (found,) = Reader().feed(call_frame(call, kind_bytes(kind), timeout_s, body))
    assert (found.what, found.call) == (Frames.CALL, call)
    read_kind, read_s, read_body = read_call(found.payload)
    assert (read_kind, read_body) == (kind, body)
    assert read_s == pytest.approx(timeout_s, abs=0.001)
    (found,) = Reader().feed(notice_frame(kind_bytes(kind), body))
    assert (found.what, read_notice(found.payload)) == (Frames.NOTICE, (kind, body))


@pytest.mark.parametrize(("timeout_s", "read_s"), [(0, 0.001), (-1, 0.001), (1e12, TIMEOUT_MS_MAX / 1000)])
def test_a_timeout_is_kept_within_what_a_frame_can_say(timeout_s: float, read_s: float) -> None:
    (found,) = Reader().feed(call_frame(1, b"k", timeout_s, b""))
    assert read_call(found.payload)[1] == read_s


@given(st.binary(max_size=80))
def test_any_payload_is_read_or_refused(payload: bytes) -> None:
    for read in (read_call, read_notice, read_hello, read_failure):
        try:
            read(payload)
        except BadFrame:
            continue


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x05abc", b"\x41" + bytes(65), b"\x02\xff\xff"])
def test_a_kind_that_is_none_is_refused(payload: bytes) -> None:
    with pytest.raises(BadFrame):
        read_notice(payload)
    with pytest.raises(BadFrame):
        read_call(bytes(4) + payload)


def test_who_greets_may_say_more_than_is_known() -> None:
    hello = Hello("1", "a:1", "1.0", 3)
    later = msgspec.json.encode(msgspec.to_builtins(hello) | {"colour": "red"})
    assert read_hello(later) == hello
    assert (
        read_failure(msgspec.json.encode(Failure(was_refused=True, code="C", message="m", retryable=False))).code == "C"
    )
    for damaged in (b"", b"{}", b"[]", b'{"incarnation":1}', b"\xff"):
        with pytest.raises(BadFrame):
            read_hello(damaged)


@pytest.mark.parametrize("kind", ["", "a" * 65, "ä"])
def test_a_kind_is_short_and_ascii(kind: str) -> None:
    with pytest.raises(ValueError, match=r"1 to 64|ascii"):
        kind_bytes(kind)


def test_a_body_has_a_limit() -> None:
    check_body(bytes(BODY_BYTES_MAX))
    too_large = bytes(BODY_BYTES_MAX + 1)
    with pytest.raises(FrameTooLarge, match="8388608"):
        call_frame(1, b"k", 1, too_large)
    with pytest.raises(FrameTooLarge, match="8388608"):
        notice_frame(b"k", too_large)
    (found,) = Reader().feed(call_frame(1, kind_bytes("k" * 64), 1, bytes(BODY_BYTES_MAX)))
    assert len(found.payload) == FRAME_BYTES_MAX - 5
