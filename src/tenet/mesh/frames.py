"""What goes over a connection between nodes, version 1, as bytes; without I/O.

A frame is its length in bytes behind this number (4 bytes), what it is (1), the call that it belongs to (4), and a
payload; all numbers are unsigned and in network order. A length beyond the limit is refused before anything of the
frame is kept. Which version is spoken, both sides agree upon in the TLS handshake (ALPN, RFC 7301), so that within one
version an unknown frame is an error.

| frame | of a call | payload |
|---|---|---|
| HELLO | no | ``Hello`` as JSON; the first frame of each side |
| CALL | yes | milliseconds until its deadline (4), length of the kind (1), the kind, the body |
| ANSWER | yes | the body |
| FAILURE | yes | ``Failure`` as JSON |
| CANCEL | yes | nothing; its caller waits no longer |
| NOTICE | no | length of the kind (1), the kind, the body |
| KEEP | no | nothing; its sender is alive |
| BYE | no | why its sender ends the connection, as text |
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from tenet.mesh.channel import BODY_BYTES_MAX
from tenet.mesh.errors import FrameTooLarge, MeshError

Content = TypeVar("Content", bound=Struct)

_LENGTH: Final = struct.Struct(">I")
_HEAD: Final = struct.Struct(">BI")
_CALL: Final = struct.Struct(">IB")
_PREFIX_BYTES: Final = _LENGTH.size + _HEAD.size

KIND_BYTES_MAX: Final = 64
TIMEOUT_MS_MAX: Final = 2**32 - 1
#: The longest that a frame's length may say.
FRAME_BYTES_MAX: Final = _HEAD.size + _CALL.size + KIND_BYTES_MAX + BODY_BYTES_MAX


class BadFrame(MeshError):
    """What arrived is no frame. The connection is of no use any more."""

    code = "BadFrame"
    http_status = 400


class Frames(IntEnum):
    """What a frame is."""

    HELLO = 1
    CALL = 2
    ANSWER = 3
    FAILURE = 4
    CANCEL = 5
    NOTICE = 6
    KEEP = 7
    BYE = 8


class Frame(Struct, frozen=True, gc=False):
    """A frame that arrived.

    Args:
        what: which frame it is.
        call: the call that it belongs to; 0 for none.
        payload: what it carries.
    """

    what: Frames
    call: int
    payload: bytes


class Hello(Struct, frozen=True):
    """How a node introduces itself. Fields may be added; those that a version does not know it ignores.

    Args:
        incarnation: names its process.
        address: ``HOST:PORT`` that others reach it at.
        release: the version of Tenet that it runs.
        attempt: counts what the dialling side has dialled; 0 from the other side.
    """

    incarnation: str
    address: str
    release: str
    attempt: int


class Failure(Struct, frozen=True):
    """Why there is no answer to a call.

    Args:
        was_refused: whether the call was not begun at all.
        code: of the error.
        message: what is wrong.
        retryable: whether the same call may succeed later.
    """

    was_refused: bool
    code: str
    message: str
    retryable: bool


class Reader:
    """Makes frames of bytes as they arrive.

    Args:
        bytes_max: the longest that a frame's length may say.
    """

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._buffer = bytearray()

    @property
    def is_amid(self) -> bool:
        """Whether a part of a frame has arrived and the rest has not."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yields the frames that are complete with these bytes.

        Raises:
            BadFrame: a length beyond the limit, or an unknown frame.
        """
        self._buffer += data
        begin, end = 0, len(self._buffer)
        try:
            while end - begin >= _PREFIX_BYTES:
                (length,) = _LENGTH.unpack_from(self._buffer, begin)
                if not _HEAD.size <= length <= self._bytes_max:
                    raise BadFrame(f"a frame of {length} bytes; from {_HEAD.size} to {self._bytes_max} are taken")
                until = begin + _LENGTH.size + length
                if until > end:
                    return
                frame = self._frame(begin, until)
                begin = until
                yield frame
        finally:
            del self._buffer[:begin]

    def _frame(self, begin: int, until: int) -> Frame:
        what, call = _HEAD.unpack_from(self._buffer, begin + _LENGTH.size)
        if what not in _KNOWN:
            raise BadFrame(f"a frame of the unknown sort {what}")
        return Frame(Frames(what), call, bytes(memoryview(self._buffer)[begin + _PREFIX_BYTES : until]))


_KNOWN: Final = frozenset(int(one) for one in Frames)


def frame(what: Frames, call: int = 0, payload: bytes = b"") -> bytes:
    """Returns a frame's bytes."""
    return _LENGTH.pack(_HEAD.size + len(payload)) + _HEAD.pack(what, call) + payload


def call_frame(call: int, kind: bytes, timeout_s: float, body: bytes) -> bytes:
    """Returns a call's bytes.

    Args:
        call: its number.
        kind: as from ``kind_bytes``.
        timeout_s: until its deadline.
        body: what is asked.

    Raises:
        FrameTooLarge: the body is larger than a frame carries.
    """
    check_body(body)
    timeout_ms = min(max(round(timeout_s * 1000), 1), TIMEOUT_MS_MAX)
    return frame(Frames.CALL, call, _CALL.pack(timeout_ms, len(kind)) + kind + body)


def read_call(payload: bytes) -> tuple[str, float, bytes]:
    """Returns a call's kind, seconds until its deadline, and body.

    Raises:
        BadFrame: it is none.
    """
    try:
        timeout_ms, length = _CALL.unpack_from(payload)
    except struct.error:
        raise BadFrame("a call that ends before its kind") from None
    kind, body = _split(payload, _CALL.size, length)
    return kind, timeout_ms / 1000, body


def notice_frame(kind: bytes, body: bytes) -> bytes:
    """Returns a notice's bytes.

    Raises:
        FrameTooLarge: the body is larger than a frame carries.
    """
    check_body(body)
    return frame(Frames.NOTICE, 0, bytes([len(kind)]) + kind + body)


def read_notice(payload: bytes) -> tuple[str, bytes]:
    """Returns a notice's kind and body.

    Raises:
        BadFrame: it is none.
    """
    if not payload:
        raise BadFrame("a notice without a kind")
    return _split(payload, 1, payload[0])


def read_hello(payload: bytes) -> Hello:
    """Returns how a node introduces itself.

    Raises:
        BadFrame: it does not.
    """
    return _decoded(payload, Hello)


def read_failure(payload: bytes) -> Failure:
    """Returns why there is no answer.

    Raises:
        BadFrame: it does not say so.
    """
    return _decoded(payload, Failure)


def kind_bytes(kind: str) -> bytes:
    """Returns a kind as it is sent.

    Raises:
        ValueError: it is empty, too long, or not ASCII.
    """
    encoded = kind.encode("ascii")
    if not 1 <= len(encoded) <= KIND_BYTES_MAX:
        raise ValueError(f"a kind has 1 to {KIND_BYTES_MAX} characters, {kind!r} has not")
    return encoded


def check_body(body: bytes) -> None:
    """Refuses a body that is larger than a frame carries.

    Raises:
        FrameTooLarge: it is.
    """
    if len(body) > BODY_BYTES_MAX:
        raise FrameTooLarge(f"a body of {len(body)} bytes is larger than the limit of {BODY_BYTES_MAX}")


def _split(payload: bytes, begin: int, length: int) -> tuple[str, bytes]:
    until = begin + length
    if not 1 <= length <= KIND_BYTES_MAX or until > len(payload):
        raise BadFrame(f"a kind of {length} bytes; 1 to {KIND_BYTES_MAX} are taken")
    try:
        return payload[begin:until].decode("ascii"), payload[until:]
    except UnicodeDecodeError:
        raise BadFrame("a kind that is not ASCII") from None


def _decoded(payload: bytes, kind: type[Content]) -> Content:
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadFrame(f"a {kind.__name__} that cannot be read") from None
