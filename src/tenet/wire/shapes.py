"""The shapes of the heads that clients send: read by one regular expression, where a parser takes three times as long.

A client sends the same headers in the same order and spelling again and again; only their values change. What is known
of it is that shape, and nothing of any request. An expression reads a small part of what HTTP/1.1 allows (RFC 9112), in
which no two parsers could disagree on where a message ends: ``POST /``, values of at least one character without space
around them, one length in digits, nothing twice, and no header that changes how a message is read. Whatever else comes
is left to the parser, which would have read the same (``test_shapes.py`` compares the two), except that the parser
refuses control characters that may be kept (RFC 9110, section 5.5: all but CR, LF and NUL).
"""

from __future__ import annotations

import re
from typing import Final

from tenet.wire.headers import KNOWN_NAMES

#: Longer heads are the parser's.
HEAD_BYTES_MAX: Final = 4096

_LINE: Final = "POST / HTTP/1.1"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_READ_OTHERWISE: Final = frozenset({"expect", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"})
#: What stands for a value, of these headers and of all others. That there is no CR or NUL in one is checked apart.
_VALUES: Final = {"content-length": "([0-9]{1,8})", "connection": "([Kk]eep-[Aa]live)"}
_VALUE: Final = r"(?![ \t])(.+)(?<![ \t])"

_SHAPES_MAX: Final = 256
#: Heads of more headers are the parser's: the time to make an expression grows with them.
_HEADERS_MAX: Final = 40
#: Making an expression takes about a millisecond: strangers must not be able to ask for many.
_MAKE_EVERY_S: Final = 0.05
#: Shapes seen once, by their hashes, which are remembered; one is made for a client that sends the same again.
_SEEN_MAX: Final = 4096


class Shape:
    """One shape.

    Args:
        spelled: names of the headers in their order, as they are written.
    """

    __slots__ = ("length_at", "match", "names")

    def __init__(self, spelled: tuple[str, ...]) -> None:
        #: The same in lower case.
        self.names = tuple(KNOWN_NAMES.get(name.encode("ascii")) or name.lower() for name in spelled)
        #: Which of them is the length of the body.
        self.length_at = self.names.index("content-length") if spelled else 0
        lines = [f"{re.escape(name)}: {_VALUES.get(name.lower(), _VALUE)}\r\n" for name in spelled]
        #: Matches a head at the beginning of a text; its groups are the values of the headers.
        self.match = re.compile(f"{re.escape(_LINE)}\r\n{''.join(lines)}\r\n" if spelled else "(?!)").match


#: Of a client that is not known yet.
NONE_YET: Final = Shape(())


class Shapes:
    """The shapes that a server's clients have, in all a bounded number."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Shape] = {}
        self._seen: set[int] = set()
        self._next_s = 0.0

    def find(self, text: str, now_s: float) -> Shape | None:
        """Returns the shape of a head; None if it has to be left to the parser.

        Args:
            text: what a client sent, from the beginning of a message, decoded as ISO 8859-1.
            now_s: seconds on a monotonic clock.
        """
        head, end, _ = text.partition("\r\n\r\n")
        line, *lines = head.split("\r\n")
        if not end or line != _LINE:
            return None
        spelled = tuple([line.partition(":")[0] for line in lines])
        shape = self._known.get(spelled)
        if shape is None and self._is_seen_again(spelled) and now_s >= self._next_s and _is_plain(spelled):
            self._next_s = now_s + _MAKE_EVERY_S
            shape = Shape(spelled)
            if not shape.match(text):
                return None
            if len(self._known) >= _SHAPES_MAX:
                self._known.clear()
            self._known[spelled] = shape
        return shape

    def _is_seen_again(self, spelled: tuple[str, ...]) -> bool:
        if len(spelled) > _HEADERS_MAX:
            return False
        seen, known = self._seen, hash(spelled)
        if known in seen:
            return True
        if len(seen) >= _SEEN_MAX:
            seen.clear()
        seen.add(known)
        return False


def _is_plain(spelled: tuple[str, ...]) -> bool:
    names = {name.lower() for name in spelled}
    return (
        len(names) == len(spelled)
        and {"host", "content-length"} <= names
        and names.isdisjoint(_READ_OTHERWISE)
        and all(map(_TOKEN.fullmatch, spelled))
    )
