"""The MD5 digests by which clients check that a message arrived as it was sent.

Source: Amazon SQS Developer Guide, "Calculating the MD5 message digest for message attributes".
"""

from __future__ import annotations

from base64 import b64decode
from hashlib import md5
from typing import Any, Final

_TEXT: Final = b"\x01"
_BINARY: Final = b"\x02"


def digest(data: bytes) -> str:
    """Returns the MD5 of some bytes, 32 hexadecimal digits."""
    return md5(data, usedforsecurity=False).hexdigest()


def attributes_digest(attributes: dict[str, dict[str, Any]]) -> str:
    """Returns the MD5 of message attributes, 32 hexadecimal digits.

    Args:
        attributes: values in the form of the JSON protocol, binary ones as valid base64, by name.
    """
    parts: list[bytes] = []
    for name in sorted(attributes):
        attribute = attributes[name]
        _append(parts, name.encode())
        _append(parts, attribute["DataType"].encode())
        if "BinaryValue" in attribute:
            parts.append(_BINARY)
            _append(parts, b64decode(attribute["BinaryValue"]))
        else:
            parts.append(_TEXT)
            _append(parts, attribute["StringValue"].encode())
    return digest(b"".join(parts))


def _append(parts: list[bytes], part: bytes) -> None:
    parts.append(len(part).to_bytes(4, "big"))
    parts.append(part)
