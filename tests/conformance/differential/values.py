"""Attribute values: few enough to meet again, edges included, and ones that the service refuses."""

from __future__ import annotations

import copy
from random import Random
from typing import Any, TypeAlias

Value: TypeAlias = dict[str, Any]

STRINGS = ["a", "b", "aa", "ab", "Z", "é", "😀", "\uffff", "0", " ", "10", "a\x00b", "ÿ", "a" * 70]
NUMBERS = [
    *("0", "1", "2", "3", "-1", "10", "100", "0.5", "-0.5", "3.14159"),
    *("-0", "1.0", "1.50", "+5", ".5", "5.", "00012", "1e2", "1E2", "1E-5", "123e-2"),
    *("12345678901234567890123456789012345678", "0.12345678901234567890123456789012345678"),
    *("9.9999999999999999999999999999999999999E+125", "-9.9999999999999999999999999999999999999E+125"),
    *("1E-130", "-1E-130", "1E125", "1" + "0" * 60),
]
BINARIES = ["YQ==", "YWI=", "AA==", "/w==", "AP8=", "YWE=", "gA=="]
REFUSED_NUMBERS = [
    *("", " ", "abc", " 1", "1 ", "0x1", "NaN", "Infinity", "1_000", "1,5", "1e", "--1", "1e126", "-1e126", "1e-131"),
    *("123456789012345678901234567890123456789", "1e99999999999999999999", "٣"),
]

#: The types that an attribute has mostly, so that paths and operators in expressions often fit.
ATTRIBUTES = {
    "n": "N",
    "m": "N",
    "s": "S",
    "t": "S",
    "b": "B",
    "f": "BOOL",
    "z": "NULL",
    "l": "L",
    "d": "M",
    "ss": "SS",
    "ns": "NS",
    "bs": "BS",
    "x": "any",
    "name": "S",
    "größe": "N",
    "a.b": "S",
    "size": "any",
}
SCALAR_TYPES = ("S", "N", "B", "BOOL", "NULL")
TYPES = (*SCALAR_TYPES, "L", "M", "SS", "NS", "BS")
MEMBERS = ("a", "b", "c", "name")


_KEYS = {
    "S": ["a", "b", "é", "😀", "10"],
    "N": ["0", "1", "1.0", "-1", "10", "1E-130"],
    "B": ["YQ==", "AA==", "/w=="],
}
#: Numbers that differ in value, so that a set of them has no doubles.
_MEMBERS = {
    "SS": ["", *STRINGS[:6]],
    "NS": ["0", "1", "2", "-1", "10", "0.5", "3", "1E-130", "1E125"],
    "BS": ["", *BINARIES],
}


def key_value(random: Random, kind: str) -> Value:
    """A value that a key attribute of a type may have: one of few, so that operations meet on the same item."""
    return {kind: random.choice(_KEYS[kind])}


def value(random: Random, kind: str, depth: int = 2) -> Value:
    """A value of a type, or of any.

    Args:
        random: where choices come from.
        kind: a DynamoDB type, or ``any``.
        depth: how many lists and maps may lie in one another.
    """
    if kind == "any":
        kind = random.choice(TYPES if depth else [one for one in TYPES if one not in {"L", "M"}])
    if kind == "L":
        return {"L": [value(random, "any", depth - 1) for _ in range(random.randint(0, 3))]}
    if kind == "M":
        members = random.sample(MEMBERS, random.randint(0, 3))
        return {"M": {member: value(random, "any", depth - 1) for member in members}}
    if kind in _MEMBERS:
        return {kind: random.sample(_MEMBERS[kind], random.randint(1, 4))}
    return _scalar(random, kind)


def _scalar(random: Random, kind: str) -> Value:
    if kind == "BOOL":
        return {"BOOL": random.random() < 0.5}
    if kind == "NULL":
        return {"NULL": True}
    return {kind: random.choice({"S": ["", *STRINGS], "N": NUMBERS, "B": ["", *BINARIES]}[kind])}


_REFUSED: list[Value] = [
    {},
    {"X": "a"},
    {"S": "a", "N": "1"},
    {"NULL": False},
    {"SS": []},
    {"NS": []},
    {"BS": []},
    {"SS": ["a", "b", "a"]},
    {"NS": ["1", "2", "1.0"]},
    {"BS": ["YQ==", "YQ=="]},
    {"NS": ["1", "abc"]},
    {"M": {"a": {}}},
    {"L": [{"N": "abc"}]},
    {"L": [{"SS": []}, {"N": "abc"}]},
    {"M": {"": {"S": "a"}}},
]

_WRONG_JSON: list[Any] = [
    "a",
    1,
    True,
    [],
    {"S": 1},
    {"S": True},
    {"S": ["a"]},
    {"S": {"S": "a"}},
    {"N": 1},
    {"N": 1.5},
    {"B": "YQ="},
    {"B": "Y"},
    {"B": "!!!!"},
    {"B": "YR=="},
    {"B": 1},
    {"BOOL": "maybe"},
    {"BOOL": 1},
    {"NULL": "maybe"},
    {"SS": "a"},
    {"SS": {"a": "b"}},
    {"SS": [1]},
    {"NS": [1]},
    {"L": "a"},
    {"L": {"S": "a"}},
    {"L": ["a"]},
    {"M": "a"},
    {"M": [{"S": "a"}]},
    {"M": {"a": "b"}},
]


def refused_value(random: Random) -> Value:
    """A value that the service refuses wherever it stands."""
    if random.random() < 0.5:
        return {"N": random.choice(REFUSED_NUMBERS)}
    return copy.deepcopy(random.choice(_REFUSED))


def wrong_json(random: Random) -> Any:
    """JSON that is no attribute value."""
    return copy.deepcopy(random.choice(_WRONG_JSON))
