"""A JSON text without its strings is what is left of it when a parser has skipped them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.base.json_text import without_strings

LEAVES = st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('a"\\{}[],:\n'))
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text('"\\{'), inner))


@given(VALUES)
def test_brackets_that_are_left_are_those_of_objects_and_lists(value: object) -> None:
    def count(one: object) -> int:
        if isinstance(one, dict):
            return 1 + sum(map(count, one.values()))
        return 1 + sum(map(count, one)) if isinstance(one, list) else 0

    left = without_strings(json.dumps(value).encode())
    assert left.count(b"{") + left.count(b"[") == count(value)
    assert b'"' not in left


@pytest.mark.parametrize(
    ("text", "left"),
    [(b"", b""), (b"[1]", b"[1]"), (rb'["a\"[", {}]', b"[, {}]"), (rb'["\\", []]', b"[, []]"), (b'[] "[[[', b"[] ")],
)
def test_what_is_left(text: bytes, left: bytes) -> None:
    assert without_strings(text) == left
