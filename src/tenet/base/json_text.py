"""What can be told of a JSON text without parsing it (RFC 8259)."""

from __future__ import annotations


def without_strings(text: bytes) -> bytes:
    """Returns a JSON text without its strings (RFC 8259, section 7), in time linear in its length, whatever it holds.

    A string that does not end is taken away to the end of the text.
    """
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(text.split(b'"')[::2])
