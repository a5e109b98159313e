"""Whatever text comes as an expression: it is taken or refused in order, and soon."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.tables.errors import ValidationException
from tenet.tables.rules.bindings import Bindings
from tenet.tables.rules.conditions import compile_condition
from tenet.tables.rules.expressions import EXPRESSION_BYTES_MAX
from tenet.tables.rules.key_conditions import compile_key_condition
from tenet.tables.rules.projections import compile_projection
from tenet.tables.rules.updates import compile_update
from tests.unit.tables.expressions import bindings_for
from tests.unit.tables.values import items

#: Takes a text; what it gives is tried on an item.
Compile = Callable[[str, Bindings], object]
#: About thirty times what the slowest takes.
TAKEN_S_MAX = 1.0
COMPILERS: list[Compile] = [compile_condition, compile_update, compile_projection, compile_key_condition]

TOKENS = """
a b c.d a[0] a[1].b #a #b #zz :s :n :l :ss :m :t :zz name size attribute_exists(a) begins_with(a,:s) size(a)
if_not_exists(a,:n) list_append(a,:l) f( a=:s = <> < <= > >= + - ( ) [ ] , . 99999999999 ! é
AND OR NOT BETWEEN IN SET REMOVE ADD DELETE
""".strip()


def compile_and_use(compile_: Compile, text: str, item: dict[str, object]) -> str:
    """Compiles a text and applies the outcome; returns what it was refused with, or an empty text."""
    try:
        compiled = compile_(text, bindings_for(text))
        for use in ("test", "apply"):
            method = getattr(compiled, use, None)
            if method is not None:
                method(*([item, {}] if compile_ is compile_update else [item]))
    except ValidationException as error:
        return error.message
    return ""


@given(st.lists(st.sampled_from(TOKENS.split()), max_size=14).map(" ".join), items())
def test_any_tokens_are_taken_or_refused(text: str, item: dict[str, object]) -> None:
    for compile_ in COMPILERS:
        compile_and_use(compile_, text, item)


@given(st.text(max_size=40))
def test_any_text_is_taken_or_refused(text: str) -> None:
    for compile_ in COMPILERS:
        compile_and_use(compile_, text, {})


@given(st.lists(st.sampled_from(TOKENS.split()), min_size=1, max_size=6), st.integers(1, 400))
def test_repeated_texts_are_taken_or_refused(tokens: list[str], count: int) -> None:
    text = " ".join(tokens * count)[:EXPRESSION_BYTES_MAX]
    for compile_ in COMPILERS:
        compile_and_use(compile_, text, {})


def taken_s(compile_: Compile, text: str) -> float:
    """How much of the processor a text takes, seconds."""
    begin = time.process_time()
    compile_and_use(compile_, text, {})
    return time.process_time() - begin


def filled(head: str, part: str, tail: str = "", separator: str = "") -> str:
    """The longest expression of a head, as many parts as fit, and a tail for each of them."""
    count = (EXPRESSION_BYTES_MAX - len(head)) // (len(part) + len(tail) + len(separator))
    return head + separator.join([part] * count) + tail * count


@pytest.mark.thorough
@pytest.mark.parametrize(
    "text",
    [
        filled("", "("),
        filled("", "(", ")"),
        filled("a = ", "("),
        filled("", "NOT "),
        filled("", "NOT(", ")"),
        filled("", "f("),
        filled("", "size(", ")"),
        filled("", "size("),
        filled("a", "[0]"),
        filled("a", ".b"),
        filled("", "a = :s AND (", ")"),
        filled("", "a = :s OR(b = :s AND(", "))"),
        filled("", "a = :s", separator=" OR "),
        filled("a IN (", ":s", separator=","),
        filled("a ", "BETWEEN :n AND "),
        filled("SET a = ", "("),
        filled("SET a = ", "if_not_exists(a,", ")"),
        filled("SET a = ", "list_append(", ")"),
        filled("SET ", "a=:n", separator=","),
        filled("REMOVE ", "a.b.c.d", separator=","),
        filled("", "ADD a :n "),
        filled("", "a", separator=","),
        filled("", "a.b[0]", separator=","),
        filled("", "#"),
        filled("", ":"),
        filled("", "9"),
        filled("", "<"),
        filled("", "="),
        filled("", "é")[: EXPRESSION_BYTES_MAX // 2],
        filled("", " "),
    ],
)
def test_the_longest_expressions_take_little_time(text: str) -> None:
    for compile_ in COMPILERS:
        # The better of two: what other tests have left may be collected meanwhile.
        assert min(taken_s(compile_, text) for _ in range(2)) < TAKEN_S_MAX
