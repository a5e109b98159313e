"""What conditions mean: cases from the service's documents, and random ones against a plain evaluator."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any
from zlib import crc32

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tenet.tables.model import AttributeValue, Item
from tenet.tables.rules.bindings import Bindings
from tenet.tables.rules.conditions import compile_condition
from tests.unit.tables.outcomes import outcome_of
from tests.unit.tables.values import NAMES, canonical, items, meaning, scalars, values

ITEM: Item = {
    "s": {"S": "hello"},
    "n": {"N": "5"},
    "b": {"B": "/wA="},
    "t": {"BOOL": True},
    "z": {"NULL": True},
    "l": {"L": [{"N": "1"}, {"S": "x"}, {"L": [{"N": "2"}]}, {"SS": ["a", "b"]}]},
    "m": {"M": {"k": {"N": "1"}, "deep": {"M": {"er": {"L": [{"S": "end"}]}}}}},
    "ss": {"SS": ["a", "b"]},
    "ns": {"NS": ["1", "2.5"]},
    "bs": {"BS": ["AA==", "/w=="]},
    "e": {"S": ""},
}


def holds(text: str, item: Item | None = ITEM, **given_values: AttributeValue) -> bool:
    bindings = Bindings(None, {f":{name}": value for name, value in given_values.items()} or None)
    condition = compile_condition(text, bindings)
    bindings.check_all_used()
    return condition.test(item)


def s(text: str) -> AttributeValue:
    return {"S": text}


def n(text: str) -> AttributeValue:
    return {"N": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("s = :v", s("hello")),
        ("n = :v", n("5.0")),
        ("n = :v", n("0.5e1")),
        ("ss = :v", {"SS": ["b", "a"]}),
        ("ns = :v", {"NS": ["2.50", "1"]}),
        ("bs = :v", {"BS": ["/w==", "AA=="]}),
        ("t = :v", {"BOOL": True}),
        ("z = :v", {"NULL": True}),
        ("l = :v", {"L": [n("1"), s("x"), {"L": [n("2")]}, {"SS": ["b", "a"]}]}),
        ("m = :v", {"M": {"deep": {"M": {"er": {"L": [s("end")]}}}, "k": n("1.0")}}),
        ("m.k = :v", n("1")),
        ("m.deep.er[0] = :v", s("end")),
        ("l[2][0] = :v", n("2")),
        ("gone <> :v", n("1")),
        ("l[9] <> :v", n("1")),
        ("s <> :v", n("5")),
        ("n < :v", n("10")),
        ("n <= :v", n("5")),
        ("n > :v", n("-5")),
        (":v >= n", n("5.000")),
        ("s < :v", s("hellp")),
        ("s > :v", s("Hello")),
        ("e < :v", s("a")),
        ("b > :v", {"B": "fw=="}),
        ("b >= :v", {"B": "/wA="}),
        ("n BETWEEN :v AND :v", n("5")),
        ("s BETWEEN e AND :v", s("i")),
        ("n IN (s, :v)", n("5")),
        ("ss IN (:v)", {"SS": ["a", "b"]}),
        ("begins_with(s, :v)", s("he")),
        ("begins_with(s, :v)", s("")),
        ("begins_with(b, :v)", {"B": "/w=="}),
        ("begins_with(:v, s)", s("hello world")),
        ("contains(s, :v)", s("ell")),
        ("contains(b, :v)", {"B": "AA=="}),
        ("contains(ss, :v)", s("a")),
        ("contains(ns, :v)", n("2.50")),
        ("contains(bs, :v)", {"B": "AA=="}),
        ("contains(l, :v)", {"L": [n("2")]}),
        ("contains(l, :v)", {"SS": ["b", "a"]}),
        ("size(s) = :v", n("5")),
        ("size(b) = :v", n("2")),
        ("size(ss) = :v", n("2")),
        ("size(l) = :v", n("4")),
        ("size(m) = :v", n("2")),
        ("size(e) < :v", n("1")),
        ("size(gone) <> :v", n("0")),
        ("size(n) <> :v", n("1")),
        ("size(l[1]) = size(m.deep) AND size(s) = n AND n > :v", n("0")),
        ("attribute_type(l[3], :v)", s("SS")),
        ("attribute_type(:v, :v)", s("S")),
        ("attribute_exists(m.deep.er[0]) AND n = :v", n("5")),
        ("attribute_not_exists(m.deep.er[1]) AND n = :v", n("5")),
        ("n = :v OR gone = :v AND gone = :v", n("5")),
        ("NOT n = :v OR n = :v", n("5")),
        ("NOT (n = :v AND gone = :v)", n("5")),
    ],
)
def test_conditions_that_hold(text: str, value: AttributeValue) -> None:
    assert holds(text, v=value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("gone = :v", n("1")),
        ("n = :v", s("5")),
        ("ss = :v", {"NS": ["1"]}),
        ("ss = :v", {"SS": ["a"]}),
        ("l = :v", {"L": [s("x"), n("1")]}),
        ("n < :v", s("9")),
        ("l < :v", n("9")),
        ("gone < :v", n("9")),
        (":v < gone", n("9")),
        ("n BETWEEN :v AND gone", n("1")),
        ("n BETWEEN :v AND s", n("1")),
        ("gone IN (:v, gone2)", n("1")),
        ("n IN (:v)", n("6")),
        ("begins_with(n, :v)", s("5")),
        ("begins_with(b, :v)", s("/")),
        ("begins_with(gone, :v)", s("")),
        ("contains(n, :v)", n("5")),
        ("contains(s, :v)", n("5")),
        ("contains(ss, :v)", n("1")),
        ("contains(ns, :v)", s("1")),
        ("contains(m, :v)", s("k")),
        ("contains(gone, :v)", s("")),
        ("size(n) = :v", n("1")),
        ("size(t) >= :v", n("0")),
        ("size(gone) = :v", n("0")),
        ("size(s) = :v", s("5")),
        ("attribute_type(gone, :v)", s("S")),
        ("attribute_type(n, :v)", s("NS")),
        ("attribute_exists(s.k) OR n = :v", n("6")),
        ("attribute_exists(l.k) OR attribute_exists(m[0]) OR n = :v", n("6")),
        ("NOT n = :v AND n = :v", n("5")),
        ("gone = gone2 OR n = :v", n("6")),
        ("gone < gone2 OR n = :v", n("6")),
    ],
)
def test_conditions_that_do_not_hold(text: str, value: AttributeValue) -> None:
    assert not holds(text, v=value)


def test_two_missing_attributes_are_unequal() -> None:
    assert holds("gone <> gone2")
    assert not holds("gone = gone2")


@pytest.mark.parametrize(("text", "size"), [("é", 1), ("\U0001f600", 2), ("a\u0301", 2)])
def test_the_size_of_a_string_counts_utf_16(text: str, size: int) -> None:
    assert holds("size(a) = :v", {"a": s(text)}, v=n(str(size)))


def test_an_item_that_does_not_exist_has_no_attributes() -> None:
    assert holds("attribute_not_exists(pk)", None)
    assert holds("pk <> :v", None, v=s("x"))
    assert not holds("attribute_exists(pk)", None)


# ---- random conditions against a plain evaluator ---------------------------------------------------------------------

#: An operand: how it is written, the values that it uses, and what it gives for an item.
Operand = tuple[str, dict[str, AttributeValue], Callable[[Item], Any]]
#: A condition in the same form.
Condition = tuple[str, dict[str, AttributeValue], Callable[[Item], bool]]

MISSING = ("missing", None)


def look_up(item: Item, path: list[str | int]) -> Any:
    found: Any = ("M", {name: meaning(value) for name, value in item.items()})
    for element in path:
        kind, content = found
        has_member = kind == "M" and isinstance(element, str) and element in content
        has_element = kind == "L" and isinstance(element, int) and element < len(content)
        if not has_member and not has_element:
            return MISSING
        found = content[element]
    return found


@cache
@st.composite
def path_operands(draw: st.DrawFn) -> Operand:
    path: list[str | int] = [draw(st.sampled_from(NAMES))]
    path += draw(st.lists(st.one_of(st.sampled_from(NAMES[:2]), st.integers(0, 2)), max_size=2))
    text = "".join(f"[{element}]" if isinstance(element, int) else f".{element}" for element in path).lstrip(".")
    return text, {}, lambda item: look_up(item, path)


@cache
@st.composite
def value_operands(draw: st.DrawFn, of: st.SearchStrategy[AttributeValue]) -> Operand:
    value = draw(of)
    name = f":v{crc32(repr(value).encode())}"
    return name, {name: value}, lambda _item: meaning(value)


def sized(found: Any) -> Any:
    kind, content = found
    if kind in {"N", "BOOL", "NULL", "missing"}:
        return MISSING
    return "N", Decimal(len(content.encode("utf-16-le")) // 2 if kind == "S" else len(content))


@cache
@st.composite
def size_operands(draw: st.DrawFn) -> Operand:
    text, used, read = draw(path_operands())
    return f"size({text})", used, lambda item: sized(read(item))


@cache
def operands(of: st.SearchStrategy[AttributeValue]) -> st.SearchStrategy[Operand]:
    return st.one_of(path_operands(), value_operands(of), size_operands())


def in_order(left: Any, right: Any, comparator: str) -> bool:
    if left[0] != right[0] or left[0] not in {"S", "N", "B"}:
        return False
    first, second = ((x[1].encode() if x[0] == "S" else x[1]) for x in (left, right))
    holding = {"<": first < second, "<=": first <= second, ">": first > second, ">=": first >= second}
    return bool(holding[comparator])


def same(left: Any, right: Any) -> bool:
    return MISSING not in (left, right) and bool(left == right)


@st.composite
def comparisons(draw: st.DrawFn) -> Condition:
    comparator = draw(st.sampled_from(["=", "<>", "<", "<=", ">", ">="]))
    of = values() if comparator in {"=", "<>"} else scalars()
    (left, used, read_left), (right, more, read_right) = draw(operands(of)), draw(operands(of))
    assume(left != right)

    def test(item: Item) -> bool:
        one, two = read_left(item), read_right(item)
        if comparator in {"=", "<>"}:
            return same(one, two) is (comparator == "=")
        return in_order(one, two, comparator)

    return f"{left} {comparator} {right}", used | more, test


@st.composite
def ranges(draw: st.DrawFn) -> Condition:
    parts = [draw(operands(scalars())) for _ in range(3)]
    texts = [part[0] for part in parts]
    bounds = [meaning(next(iter(part[1].values()))) for part in parts[1:] if part[1]]
    assume(texts[0] not in texts[1:])
    assume(len(bounds) < 2 or in_order(bounds[0], bounds[1], "<="))

    def test(item: Item) -> bool:
        value, lower, upper = (part[2](item) for part in parts)
        return in_order(value, lower, ">=") and in_order(value, upper, "<=")

    return f"{texts[0]} BETWEEN {texts[1]} AND {texts[2]}", parts[0][1] | parts[1][1] | parts[2][1], test


@st.composite
def memberships(draw: st.DrawFn) -> Condition:
    text, used, read = draw(operands(values()))
    options = draw(st.lists(operands(values()), min_size=1, max_size=3))
    assume(all(option[0] != text for option in options))
    for option in options:
        used = used | option[1]

    def test(item: Item) -> bool:
        return any(same(read(item), option[2](item)) for option in options)

    return f"{text} IN ({', '.join(option[0] for option in options)})", used, test


@cache
def texts() -> st.SearchStrategy[AttributeValue]:
    return scalars().filter(lambda value: "N" not in value)


def is_prefix(value: Any, prefix: Any) -> bool:
    return value[0] == prefix[0] and value[0] in {"S", "B"} and value[1].startswith(prefix[1])


def is_within(container: Any, part: Any) -> bool:
    kind, content = container
    if part == MISSING:
        return False
    if kind == "L":
        return part in content
    if kind in {"S", "B"}:
        return part[0] == kind and part[1] in content
    return kind == f"{part[0]}S" and part[1] in content


@st.composite
def calls(draw: st.DrawFn) -> Condition:
    function = draw(
        st.sampled_from(["attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains"])
    )
    text, used, read = draw(path_operands())
    if function in {"attribute_exists", "attribute_not_exists"}:
        return f"{function}({text})", used, lambda item: (read(item) != MISSING) is (function == "attribute_exists")
    if function == "attribute_type":
        kind = draw(st.sampled_from(["S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"]))
        return f"attribute_type({text}, :t{kind})", {f":t{kind}": s(kind)}, lambda item: read(item)[0] == kind
    other, more, read_other = draw(
        st.one_of(path_operands(), value_operands(texts() if function == "begins_with" else values()))
    )
    assume(text != other)
    test = is_prefix if function == "begins_with" else is_within
    return f"{function}({text}, {other})", used | more, lambda item: test(read(item), read_other(item))


def joined(conditions: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    @st.composite
    def build(draw: st.DrawFn) -> Condition:
        word = draw(st.sampled_from(["AND", "OR", "NOT"]))
        text, used, test = draw(conditions)
        if word == "NOT":
            return f"NOT ({text})", used, lambda item: not test(item)
        other, more, test_other = draw(conditions)
        combine = all if word == "AND" else any
        return f"({text}) {word} ({other})", used | more, lambda item: combine([test(item), test_other(item)])

    return build()


def conditions() -> st.SearchStrategy[Condition]:
    simple = st.one_of(comparisons(), ranges(), memberships(), calls())
    return st.recursive(simple, joined, max_leaves=6)


@given(conditions(), items())
def test_conditions_mean_what_a_plain_evaluator_says(condition: Condition, item: Item) -> None:
    text, used, test = condition
    bindings = Bindings(None, canonical(dict(used)) or None)
    assert compile_condition(text, bindings).test(item) == test(item)


PRIORITIES = st.lists(
    st.tuples(st.sampled_from(["", "NOT ", "NOT NOT "]), st.booleans(), st.sampled_from(["AND", "OR"])),
    min_size=1,
    max_size=6,
)


@given(PRIORITIES)
def test_not_binds_before_and_and_before_or(parts: list[tuple[str, bool, str]]) -> None:
    texts, pythons = [], []
    for negation, truth, junction in parts:
        texts += [f"{negation}a {'=' if truth else '<>'} :v", junction]
        pythons += [f"{negation.lower()}{truth}", junction.lower()]
    condition, said = outcome_of(lambda: compile_condition(" ".join(texts[:-1]), Bindings(None, {":v": s("x")})))
    assert not said
    assert condition is not None
    assert condition.test({"a": s("x")}) == eval(" ".join(pythons[:-1]))
