"""Order-preserving encodings: byte strings that sort as the values do that they stand for.

Two kinds of encoding are kept apart:

* *Plain*: the bytes of a string or a binary as they are. They sort rightly where nothing follows them.
* *Delimited*: no encoding is a prefix of another one, so that they can be joined, and the join sorts as the tuple of
  the values does. Numbers are always delimited.

What a key consists of, its users decide.
"""

from __future__ import annotations

from typing import Final

#: Ends a delimited byte string: sorts before every byte that could follow in a longer one.
_END: Final = b"\x00\x01"
#: Stands for a zero byte within a delimited byte string.
_ESCAPED_ZERO: Final = b"\x00\xff"

_NEGATIVE: Final = 0x01
_ZERO: Final = 0x02
_POSITIVE: Final = 0x03
_ENCODED_ZERO: Final = bytes((_ZERO,))
#: The exponent of the first significant digit goes from -130 to 125, which fills a byte.
_EXPONENT_OFFSET: Final = 130
_COMPLEMENT: Final = bytes(255 - byte for byte in range(256))


def delimit(data: bytes) -> bytes:
    """Returns the delimited encoding of a byte string: its zero bytes escaped, and an end put behind it.

    Args:
        data: 0 bytes or more; the encoding is 2 bytes longer, plus 1 for every zero byte.
    """
    if 0 in data:
        data = data.replace(b"\x00", _ESCAPED_ZERO)
    return data + _END


def escape(data: bytes) -> bytes:
    """Returns what the delimited encodings of all byte strings that begin with `data` begin with."""
    return data.replace(b"\x00", _ESCAPED_ZERO)


def split_delimited(encoded: bytes, start: int = 0) -> tuple[bytes, int]:
    """Returns the byte string whose delimited encoding begins at `start`, and where the encoding ends.

    Raises:
        ValueError: there is no delimited byte string.
    """
    end = encoded.find(_END, start)
    if end < 0:
        raise ValueError("the encoding has no end")
    return encoded[start:end].replace(_ESCAPED_ZERO, b"\x00"), end + len(_END)


def encode_number(text: str) -> bytes:
    """Returns the delimited encoding of a number: 1 byte of sign, 1 of exponent, 1 for two digits.

    Within the digits a byte is twice the pair, plus one where another pair follows (the scheme of SQLite4's key
    encoding). Negative numbers are the complement of their absolute value.

    Args:
        text: a decimal number without an exponent, of magnitude 1E-130 to below 1E126, or zero; no superfluous zeros.
    """
    negative = text[0] == "-"
    if negative:
        text = text[1:]
    whole, _, fraction = text.partition(".")
    if whole != "0":
        exponent = len(whole) - 1
        digits = (whole + fraction).rstrip("0")
    else:
        digits = fraction.lstrip("0")
        if not digits:
            return _ENCODED_ZERO
        exponent = len(digits) - len(fraction) - 1
    if len(digits) & 1:
        digits += "0"
    out = bytearray((_POSITIVE, exponent + _EXPONENT_OFFSET))
    out += bytes([2 * int(digits[at : at + 2]) + 1 for at in range(0, len(digits), 2)])
    out[-1] -= 1
    if negative:
        return bytes((_NEGATIVE,)) + out[1:].translate(_COMPLEMENT)
    return bytes(out)


def split_number(encoded: bytes, start: int = 0) -> tuple[str, int]:
    """Returns the number whose encoding begins at `start`, as text without an exponent, and where the encoding ends.

    Raises:
        ValueError: there is no encoded number.
    """
    sign = encoded[start] if start < len(encoded) else 0
    if sign == _ZERO:
        return "0", start + 1
    if sign not in (_NEGATIVE, _POSITIVE):
        raise ValueError("the encoding has no sign")
    last = 0 if sign == _POSITIVE else 1
    end = start + 2
    while end < len(encoded) and encoded[end] & 1 != last:
        end += 1
    if end >= len(encoded):
        raise ValueError("the encoding of the number has no end")
    end += 1
    body = encoded[start + 1 : end]
    if sign == _NEGATIVE:
        body = body.translate(_COMPLEMENT)
    digits = "".join(f"{byte >> 1:02d}" for byte in body[1:]).rstrip("0")
    text = _plain(digits, body[0] - _EXPONENT_OFFSET)
    return ("-" + text if sign == _NEGATIVE else text), end


def _plain(digits: str, exponent: int) -> str:
    """Returns ``d.ddd`` times ten to the exponent without an exponent."""
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    whole = exponent + 1
    if len(digits) <= whole:
        return digits + "0" * (whole - len(digits))
    return digits[:whole] + "." + digits[whole:]


def successor(key: bytes) -> bytes:
    """Returns the smallest byte string that is larger than `key`."""
    return key + b"\x00"


def prefix_end(prefix: bytes) -> bytes | None:
    """Returns the smallest byte string that is larger than all that begin with `prefix`; None: there is none."""
    kept = prefix.rstrip(b"\xff")
    if not kept:
        return None
    return kept[:-1] + bytes((kept[-1] + 1,))
