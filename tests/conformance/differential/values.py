"""Strategies of attribute values: few enough to meet again, edges included, and ones that the service refuses."""

from __future__ import annotations

from typing import Any, TypeAlias

from hypothesis import strategies as st

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


def key_values(kind: str) -> st.SearchStrategy[Value]:
    """Values that a key attribute of a type may have: few, so that operations meet on the same item."""
    texts = {
        "S": ["a", "b", "é", "😀", "10"],
        "N": ["0", "1", "1.0", "-1", "10", "1E-130"],
        "B": ["YQ==", "AA==", "/w=="],
    }
    return st.sampled_from(texts[kind]).map(lambda text: {kind: text})


def _sets(kind: str, members: list[str]) -> st.SearchStrategy[Value]:
    return st.lists(st.sampled_from(members), min_size=1, max_size=4, unique=True).map(lambda some: {kind: some})


#: Numbers that differ in value, so that a set of them has no doubles.
_DISTINCT_NUMBERS = ["0", "1", "2", "-1", "10", "0.5", "3", "1E-130", "1E125"]


def scalars(kind: str) -> st.SearchStrategy[Value]:
    """Values of a scalar type."""
    if kind == "BOOL":
        return st.booleans().map(lambda truth: {"BOOL": truth})
    if kind == "NULL":
        return st.just({"NULL": True})
    texts = {"S": ["", *STRINGS], "N": NUMBERS, "B": ["", *BINARIES]}[kind]
    return st.sampled_from(texts).map(lambda text: {kind: text})


def values(kind: str, depth: int = 2) -> st.SearchStrategy[Value]:
    """Values of a type, or of any.

    Args:
        kind: a DynamoDB type, or ``any``.
        depth: how many lists and maps may lie in one another.
    """
    if kind == "any":
        kinds = TYPES if depth else (*SCALAR_TYPES, "SS", "NS", "BS")
        return st.sampled_from(kinds).flatmap(lambda one: values(one, depth))
    if kind == "L":
        return st.lists(values("any", depth - 1), max_size=3).map(lambda some: {"L": some})
    if kind == "M":
        members = st.dictionaries(st.sampled_from(MEMBERS), values("any", depth - 1), max_size=3)
        return members.map(lambda some: {"M": some})
    if kind == "SS":
        return _sets("SS", ["", *STRINGS[:6]])
    if kind == "NS":
        return _sets("NS", _DISTINCT_NUMBERS)
    if kind == "BS":
        return _sets("BS", ["", *BINARIES])
    return scalars(kind)


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

#: Values that the service refuses wherever they stand.
refused_values: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from(REFUSED_NUMBERS).map(lambda text: {"N": text}), st.sampled_from(_REFUSED)
)

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

#: JSON that is no attribute value.
wrong_json: st.SearchStrategy[Any] = st.sampled_from(_WRONG_JSON)
