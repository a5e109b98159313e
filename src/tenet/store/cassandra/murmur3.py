"""The token by which Cassandra's Murmur3Partitioner places a partition key.

MurmurHash3, x64, 128 bits (Appleby, 2011), of which the first 64 are taken, with one difference that Cassandra keeps
for compatibility: bytes of the tail are taken as signed (CASSANDRA-2975; org.apache.cassandra.utils.MurmurHash).
"""

from __future__ import annotations

from typing import Final

TOKEN_MIN: Final = -(2**63)
TOKEN_MAX: Final = 2**63 - 1
_MASK: Final = 2**64 - 1
_SIGN: Final = 0x80
_WORD: Final = 8
_C1: Final = 0x87C37B91114253D5
_C2: Final = 0x4CF5AD432745937F


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK


def _final(value: int) -> int:
    value = ((value ^ (value >> 33)) * 0xFF51AFD7ED558CCD) & _MASK
    value = ((value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53) & _MASK
    return value ^ (value >> 33)


def _signed(tail: bytes, first: int, last: int) -> int:
    """Returns the bytes of the tail from `last` down to `first`, each extended by its sign, one beside the other."""
    word = 0
    for at in range(last - 1, first - 1, -1):
        byte = tail[at]
        extended = byte | (_MASK ^ 0xFF) if byte & _SIGN else byte
        word ^= (extended << (8 * (at - first))) & _MASK
    return word


def token(key: bytes) -> int:
    """Returns the token of a partition key, -2**63 + 1 to 2**63 - 1."""
    h1 = h2 = 0
    whole = len(key) & ~15
    for at in range(0, whole, 16):
        k1 = int.from_bytes(key[at : at + 8], "little")
        k2 = int.from_bytes(key[at + 8 : at + 16], "little")
        h1 ^= (_rotated((k1 * _C1) & _MASK, 31) * _C2) & _MASK
        h1 = ((_rotated(h1, 27) + h2) * 5 + 0x52DCE729) & _MASK
        h2 ^= (_rotated((k2 * _C2) & _MASK, 33) * _C1) & _MASK
        h2 = ((_rotated(h2, 31) + h1) * 5 + 0x38495AB5) & _MASK
    tail = key[whole:]
    if len(tail) > _WORD:
        h2 ^= (_rotated((_signed(tail, 8, len(tail)) * _C2) & _MASK, 33) * _C1) & _MASK
    if tail:
        h1 ^= (_rotated((_signed(tail, 0, min(8, len(tail))) * _C1) & _MASK, 31) * _C2) & _MASK
    h1 ^= len(key)
    h2 ^= len(key)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    h1 = (_final(h1) + _final(h2)) & _MASK
    signed = h1 - 2**64 if h1 > TOKEN_MAX else h1
    return TOKEN_MAX if signed == TOKEN_MIN else signed
