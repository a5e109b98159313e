"""The canonical form of a request, which AWS Signature Version 4 signs.

Source: AWS IAM User Guide, "Create a signed AWS API request", section "Create a canonical request". The rules here are
those of every service but S3: the path is normalised (RFC 3986, section 5.2.4) and each segment encoded once more.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import Final
from urllib.parse import quote, unquote_to_bytes

_SPACES: Final = re.compile("  +")
_CANONICAL_QUERY: Final = re.compile(r"(?:[A-Za-z0-9\-._~=&]|%[0-9A-F]{2})*")


def canonical_path(path: str) -> str:
    """Returns the path in canonical form.

    Args:
        path: percent-encoded, as it was sent.
    """
    if path == "/":
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment and segment != ".":
            kept.append(segment)
    normal = "/" + "/".join(kept)
    if kept and path.endswith("/"):
        normal += "/"
    return quote(normal.encode("latin-1"), safe="/~-._")


def canonical_query(query: str, *, without: str | None = None) -> str:
    """Returns the query with its parameters encoded the one way that is signed, and sorted.

    Args:
        query: what followed the question mark, as it was sent.
        without: the name of a parameter that is left out; a presigned URL leaves its signature out.
    """
    if not query:
        return ""
    encoded = _CANONICAL_QUERY.fullmatch(query) is not None
    pairs = []
    for part in query.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        if not encoded or "=" in value:
            name, value = _encode(name), _encode(value)
        if name != without:
            pairs.append((name, value))
    pairs.sort()
    return "&".join(f"{name}={value}" for name, value in pairs)


def _encode(text: str) -> str:
    return quote(unquote_to_bytes(text.encode("latin-1")), safe="-._~")


class CanonicalHeaders:
    """Makes the lines of the signed headers: runs of spaces collapsed, an absent header as an empty one.

    Args:
        names: the signed headers in lower case, in the order in which they were signed.
    """

    __slots__ = ("_names", "_template", "_values")

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        # Two names at least make a tuple of what is got.
        self._values = itemgetter(*names, names[0])
        self._template = "".join([name.replace("%", "%%") + ":%s\n" for name in names]) + "%.0s"

    def lines(self, headers: dict[str, str]) -> str:
        """Returns a line for each signed header.

        Args:
            headers: by lower-case name; values without space around them, repeated ones joined by a comma.
        """
        try:
            lines = self._template % self._values(headers)
        except KeyError:
            return self.lines({**dict.fromkeys(self._names, ""), **headers})
        return _SPACES.sub(" ", lines) if "  " in lines else lines
