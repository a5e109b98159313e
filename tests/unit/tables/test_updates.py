"""What updates do to items: cases from the service, and random ones against a plain evaluator."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.tables.model import AttributeValue, Item, KeyAttribute, KeySchema
from tenet.tables.rules.attributes import check_item
from tenet.tables.rules.bindings import Bindings
from tenet.tables.rules.returns import returned_attributes
from tenet.tables.rules.updates import Update, compile_update
from tests.unit.tables.outcomes import outcome_of, refusal_of
from tests.unit.tables.values import NAMES, canonical, items, meaning, values

MISSING = "The provided expression refers to an attribute that does not exist in the item"
WRONG_TYPE = "An operand in the update expression has an incorrect data type"
INVALID_PATH = "The document path provided in the update expression is invalid for update"
OVERFLOW = "Number overflow. Attempting to store a number with magnitude larger than supported range"
KEY: Item = {"pk": {"S": "k"}}


def n(number: int | str) -> AttributeValue:
    return {"N": str(number)}


def numbers(*some: int) -> AttributeValue:
    return {"L": [n(number) for number in some]}


ITEM: Item = {
    **KEY,
    "s": {"S": "str"},
    "n": n(5),
    "l": numbers(0, 1, 2, 3),
    "m": {"M": {"x": n(1), "y": {"M": {"z": n(2), "l": numbers(7, 8)}}}},
    "ss": {"SS": ["a", "b"]},
    "ll": {"L": [numbers(1, 2), {"M": {"p": n(1)}}, n(9)]},
}
VALUES: Item = {
    ":n": n(1),
    ":s": {"S": "q"},
    ":l": numbers(10, 11),
    ":m": {"M": {"k": n(1)}},
    ":ss": {"SS": ["b", "c"]},
    ":ab": {"SS": ["a", "b"]},
    ":ns": {"NS": ["1"]},
}


def compiled(text: str) -> Update:
    used = {
        name: value for name, value in VALUES.items() if f"{name} " in f"{text} ".replace(",", " ").replace(")", " ")
    }
    bindings = Bindings(None, copy.deepcopy(used) or None)
    update = compile_update(text, bindings)
    bindings.check_all_used()
    return update


def updated(text: str, item: Item | None = ITEM) -> Item | None:
    before = copy.deepcopy(item)
    try:
        return compiled(text).apply(item, KEY)
    finally:
        assert item == before


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("SET q = :n", {"q": n(1)}),
        ("SET s = :s, n = s", {"s": {"S": "q"}, "n": {"S": "str"}}),
        ("SET n = n + :n", {"n": n(6)}),
        ("SET n = :n - n", {"n": n(-4)}),
        ("SET n = n - n", {"n": n(0)}),
        ("SET q = m.y.l[1]", {"q": n(8)}),
        ("SET m = :m, s = m.x", {"m": {"M": {"k": n(1)}}, "s": n(1)}),
        ("SET m.x = m.y", {"m": {"M": {"x": ITEM["m"]["M"]["y"], "y": ITEM["m"]["M"]["y"]}}}),
        ("SET m.q = :n", {"m": {"M": {**ITEM["m"]["M"], "q": n(1)}}}),
        ("SET q = if_not_exists(q, :n)", {"q": n(1)}),
        ("SET n = if_not_exists(n, :s)", {}),
        ("SET n = if_not_exists(n, q)", {}),
        ("SET n = if_not_exists(q, :n) + n", {"n": n(6)}),
        ("SET l = list_append(l, :l )", {"l": numbers(0, 1, 2, 3, 10, 11)}),
        ("SET l = list_append(:l, l)", {"l": numbers(10, 11, 0, 1, 2, 3)}),
        ("SET q = list_append(if_not_exists(q, :l), l)", {"q": numbers(10, 11, 0, 1, 2, 3)}),
        ("SET l[1] = :s", {"l": {"L": [n(0), {"S": "q"}, n(2), n(3)]}}),
        ("SET l[1] = l[2], l[2] = l[1]", {"l": numbers(0, 2, 1, 3)}),
        ("SET l[9] = :n", {"l": numbers(0, 1, 2, 3, 1)}),
        ("SET l[84] = l[1], l[37] = l[2], l[17] = l[3], l[4] = :n", {"l": numbers(0, 1, 2, 3, 1, 3, 2, 1)}),
        ("SET l[5] = :n REMOVE l[0]", {"l": numbers(1, 2, 3, 1)}),
        ("SET l[3] = n REMOVE l[1]", {"l": numbers(0, 2, 5)}),
        ("SET ll[0][5] = n REMOVE ll[2], ll[1].p", {"ll": {"L": [numbers(1, 2, 5), {"M": {}}]}}),
        ("REMOVE s, q", {"s": None}),
        ("REMOVE l[0], l[2], l[17]", {"l": numbers(1, 3)}),
        ("REMOVE m.x, m.y.l[0], m.q", {"m": {"M": {"y": {"M": {"z": n(2), "l": numbers(8)}}}}}),
        ("REMOVE l[0], l[1], l[2], l[3]", {"l": numbers()}),
        ("SET q = s REMOVE s", {"q": {"S": "str"}, "s": None}),
        ("ADD n :n", {"n": n(6)}),
        ("ADD q :n", {"q": n(1)}),
        ("ADD n :n SET q = n", {"n": n(6), "q": n(5)}),
        ("ADD ss :ss", {"ss": {"SS": ["a", "b", "c"]}}),
        ("ADD q :ss", {"q": {"SS": ["b", "c"]}}),
        ("ADD m.x :n, m.q :ss", {"m": {"M": {"x": n(2), "y": ITEM["m"]["M"]["y"], "q": {"SS": ["b", "c"]}}}}),
        ("ADD l[1] :n, l[9] :n", {"l": numbers(0, 2, 2, 3, 1)}),
        ("DELETE ss :ss", {"ss": {"SS": ["a"]}}),
        ("DELETE ss :ab", {"ss": None}),
        ("DELETE q :ss, m.q :ss, l[9] :ss", {}),
        (
            "SET a = :n, b = :n REMOVE s ADD c :n DELETE ss :ab",
            {"a": n(1), "b": n(1), "c": n(1), "s": None, "ss": None},
        ),
    ],
)
def test_updates(text: str, changes: dict[str, AttributeValue | None]) -> None:
    expected = {name: value for name, value in {**ITEM, **changes}.items() if value is not None}
    assert updated(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SET q = zz", MISSING),
        ("SET n = zz + :n", MISSING),
        ("SET n = m.zz.x", MISSING),
        ("SET q = l[9]", MISSING),
        ("SET l[9] = :n, q = l[9]", MISSING),
        ("SET l = list_append(zz, :l )", MISSING),
        ("SET q = if_not_exists(zz, qq)", MISSING),
        ("SET n = s + :n", WRONG_TYPE),
        ("SET n = if_not_exists(zz, s) + :n", WRONG_TYPE),
        ("SET n = list_append(n, :l )", WRONG_TYPE),
        ("SET n = list_append(:l, m)", WRONG_TYPE),
        ("ADD s :n", WRONG_TYPE),
        ("ADD n :ss", WRONG_TYPE),
        ("ADD ss :ns", WRONG_TYPE),
        ("ADD l :ss", WRONG_TYPE),
        ("DELETE ss :ns", WRONG_TYPE),
        ("DELETE n :ss", WRONG_TYPE),
        ("SET zz.q = :n", INVALID_PATH),
        ("SET zz[0] = :n", INVALID_PATH),
        ("SET n.q = :n", INVALID_PATH),
        ("SET n[0] = :n", INVALID_PATH),
        ("SET l.q = :n", INVALID_PATH),
        ("SET m[0] = :n", INVALID_PATH),
        ("SET l[9].q = :n", INVALID_PATH),
        ("REMOVE zz.q", INVALID_PATH),
        ("REMOVE m.q.r", INVALID_PATH),
        ("REMOVE l[9].q", INVALID_PATH),
        ("REMOVE n.q", INVALID_PATH),
        ("ADD zz.q :n", INVALID_PATH),
        ("DELETE m.q.r :ss", INVALID_PATH),
    ],
)
def test_updates_that_do_not_fit_the_item(text: str, message: str) -> None:
    assert refusal_of(lambda: updated(text)) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SET zz.a = qq", MISSING),
        ("SET zz.a = s + :n", WRONG_TYPE),
        ("SET n = s + :n, m = qq", WRONG_TYPE),
        ("SET m = qq, n = s + :n", MISSING),
        ("SET zz.a = :n, n = qq", MISSING),
        ("REMOVE zz.a SET n = qq", MISSING),
        ("ADD s :n SET n = qq", WRONG_TYPE),
        ("SET n = qq ADD s :n", WRONG_TYPE),
        ("SET m = qq DELETE n :ss", WRONG_TYPE),
        ("ADD zz.a :n, s :n", WRONG_TYPE),
        ("REMOVE zz.a DELETE n :ss", WRONG_TYPE),
        ("DELETE zz.a :ss SET n = qq", MISSING),
        ("ADD s :n, zz.a :n", WRONG_TYPE),
    ],
)
def test_which_of_several_faults_is_named(text: str, message: str) -> None:
    assert refusal_of(lambda: updated(text)) == message


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("SET q = :n", {**KEY, "q": n(1)}),
        ("ADD q :n", {**KEY, "q": n(1)}),
        ("ADD q :ss", {**KEY, "q": {"SS": ["b", "c"]}}),
        ("SET q = pk", {**KEY, "q": {"S": "k"}}),
        ("SET q = if_not_exists(q, :n) + :n", {**KEY, "q": n(2)}),
        ("SET q = :n REMOVE r", {**KEY, "q": n(1)}),
        ("REMOVE q", None),
        ("REMOVE q.r, l[0]", None),
        ("DELETE q :ss", None),
        ("REMOVE q DELETE r :ss", None),
    ],
)
def test_updates_of_no_item(text: str, item: Item | None) -> None:
    assert updated(text, None) == item


@pytest.mark.parametrize("text", ["SET q.r = :n", "SET l[0] = :n", "ADD q.r :n", "SET q.r = :n REMOVE s"])
def test_paths_into_nothing_of_no_item(text: str) -> None:
    assert refusal_of(lambda: updated(text, None)) == INVALID_PATH


def test_sums_out_of_range() -> None:
    item = {**KEY, "n": n("1" + "0" * 50)}
    assert refusal_of(lambda: updated("ADD n :n", item)) == OVERFLOW
    assert refusal_of(lambda: updated("SET n = n - :n", item)) == OVERFLOW


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SET n = n + :n, q = zz", MISSING),
        ("SET n = n + :n, q = s + :n", WRONG_TYPE),
        ("SET n = n + :n REMOVE zz.a", INVALID_PATH),
        ("SET zz.a = n + :n", INVALID_PATH),
        ("ADD n :n, s :n", WRONG_TYPE),
        ("ADD n :n, zz.a :n", INVALID_PATH),
        ("SET n = n + :n, m.q = :n", OVERFLOW),
    ],
)
def test_too_many_digits_are_told_after_all_else(text: str, message: str) -> None:
    item = {**ITEM, "n": n("1" + "0" * 50)}
    assert refusal_of(lambda: updated(text, item)) == message


def deep(levels: int) -> AttributeValue:
    value = n(1)
    for _ in range(levels):
        value = {"L": [value]}
    return value


def test_an_update_cannot_nest_deeper_than_an_item() -> None:
    item = {**KEY, "d": deep(30), "e": deep(31), "m": {"M": {}}}
    assert updated("SET m.x = d", item) == {**item, "m": {"M": {"x": deep(30)}}}
    assert refusal_of(lambda: updated("SET m.x = e", item)) == "Nesting Levels have exceeded supported limits"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SET pk = :n", "pk"),
        ("SET pk.x = :n", "pk"),
        ("SET q = :n REMOVE sk", "sk"),
        ("ADD sk :n", "sk"),
        ("DELETE pk[0] :ss", "pk"),
        ("SET q = pk", None),
    ],
)
def test_keys_are_left_alone(text: str, name: str | None) -> None:
    keys = KeySchema(KeyAttribute("pk", "S"), KeyAttribute("sk", "N"))
    said = outcome_of(lambda: compiled(text).check_keys(keys))[1]
    expected = f"Cannot update attribute {name}. This attribute is part of the key" if name else ""
    assert said == (f"One or more parameter values were invalid: {expected}" if name else "")


RETURNED: list[tuple[str, Item | None, Item | None]] = [
    ("SET n = n + :n", {"n": n(5)}, {"n": n(6)}),
    ("SET q = :n", None, {"q": n(1)}),
    ("SET n = :n, q = :n", {"n": n(5)}, {"n": n(1), "q": n(1)}),
    ("REMOVE s", {"s": {"S": "str"}}, None),
    ("REMOVE q", None, None),
    ("SET m.x = :n", {"m": {"M": {"x": n(1)}}}, {"m": {"M": {"x": n(1)}}}),
    ("SET m.q = :n", None, {"m": {"M": {"q": n(1)}}}),
    ("SET m.y.l[1] = :n, m.x = :s", {"m": {"M": {"y": {"M": {"l": numbers(8)}}, "x": n(1)}}},
     {"m": {"M": {"y": {"M": {"l": numbers(1)}}, "x": {"S": "q"}}}}),
    ("SET l[1] = :s, l[2] = :n", {"l": numbers(1, 2)}, {"l": {"L": [{"S": "q"}, n(1)]}}),
    ("SET l[9] = :n", None, None),
    ("REMOVE l[1]", {"l": numbers(1)}, {"l": numbers(2)}),
    ("REMOVE l[1], l[9]", {"l": numbers(1)}, {"l": numbers(2)}),
    ("DELETE ss :ab", {"ss": {"SS": ["a", "b"]}}, None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "old", "new"), RETURNED)
def test_what_an_update_returns(text: str, old: Item | None, new: Item | None) -> None:
    update = compiled(text)
    after = update.apply(ITEM, KEY)
    returned = {
        mode: returned_attributes(mode, ITEM, after, update.paths)
        for mode in ("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW")
    }
    assert returned == {"NONE": None, "ALL_OLD": ITEM, "ALL_NEW": after, "UPDATED_OLD": old, "UPDATED_NEW": new}


def test_what_is_returned_where_there_was_no_item() -> None:
    update = compiled("SET q = :n")
    after = update.apply(None, KEY)
    assert returned_attributes("ALL_OLD", None, after, update.paths) is None
    assert returned_attributes("UPDATED_OLD", None, after, update.paths) is None
    assert returned_attributes("UPDATED_NEW", None, after, update.paths) == {"q": n(1)}
    assert returned_attributes("ALL_NEW", None, None, update.paths) is None


# ---- random updates against a plain evaluator ------------------------------------------------------------------------


class Node:
    """A value that can be changed: members by name, elements by the index that they had."""

    def __init__(self, found: tuple[str, Any]) -> None:
        self.kind, content = found
        self.content: Any = content
        if self.kind == "M":
            self.content = {name: Node(member) for name, member in content.items()}
        elif self.kind == "L":
            self.content = {index: Node(element) for index, element in enumerate(content)}

    def meaning(self) -> tuple[str, Any]:
        if self.kind == "M":
            return "M", {name: node.meaning() for name, node in self.content.items()}
        if self.kind == "L":
            return "L", [self.content[index].meaning() for index in sorted(self.content)]
        return self.kind, self.content

    def child(self, element: str | int) -> Node | None:
        if self.kind != ("L" if isinstance(element, int) else "M"):
            return None
        found: Node | None = self.content.get(element)
        return found


class Refused(Exception):
    pass


#: An action: how it is written, its values, and what it makes of the value at its path (None: nothing; GONE: removed).
Action = tuple[str, list[str | int], Item, Callable[[Node, "tuple[str, Any] | None"], Any]]
GONE = object()


def look_up(root: Node, path: list[str | int]) -> tuple[str, Any] | None:
    node: Node | None = root
    for element in path:
        node = node.child(element) if node is not None else None
    return None if node is None else node.meaning()


def written(path: list[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]


PATHS = st.tuples(
    st.sampled_from(NAMES), st.lists(st.one_of(st.sampled_from(NAMES[:2]), st.integers(0, 3)), max_size=2)
).map(lambda parts: [parts[0], *parts[1]])
#: What an operand gives for an item; Refused where it is not there.
Read = Callable[[Node], "tuple[str, Any]"]


def required(root: Node, path: list[str | int]) -> tuple[str, Any]:
    found = look_up(root, path)
    if found is None:
        raise Refused(MISSING)
    return found


def placeholder(value: AttributeValue) -> str:
    return f":v{crc32(repr(value).encode())}"


@st.composite
def operands(draw: st.DrawFn, of: st.SearchStrategy[AttributeValue]) -> tuple[str, Item, Read]:
    path, value = draw(PATHS), draw(of)
    name = placeholder(value)
    form = draw(st.sampled_from(["path", "value", "if_not_exists"]))
    if form == "path":
        return written(path), {}, lambda root: required(root, path)
    if form == "value":
        return name, {name: value}, lambda _root: meaning(value)
    return f"if_not_exists({written(path)}, {name})", {name: value}, lambda root: look_up(root, path) or meaning(value)


def of_kind(found: tuple[str, Any], kind: str) -> Any:
    if found[0] != kind:
        raise Refused(WRONG_TYPE)
    return found[1]


NUMBERS = st.sampled_from(["1", "-2", "0.5"]).map(lambda text: {"N": text})
LISTS = st.lists(NUMBERS, max_size=2).map(lambda some: {"L": some})
ANY_OPERANDS, NUMBER_OPERANDS, LIST_OPERANDS = operands(values()), operands(NUMBERS), operands(LISTS)
SETS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, unique=True).map(lambda some: {"SS": some})


@st.composite
def set_actions(draw: st.DrawFn) -> Action:
    path = draw(PATHS)
    form = draw(st.sampled_from(["one", "+", "-", "list_append"]))
    if form == "one":
        text, used, read = draw(ANY_OPERANDS)
        return f"{written(path)} = {text}", path, used, lambda root, _old: read(root)
    (first, used, left), (second, more, right) = (
        draw(LIST_OPERANDS if form == "list_append" else NUMBER_OPERANDS) for _ in "12"
    )
    if form == "list_append":
        text = f"list_append({first}, {second})"
        return (
            f"{written(path)} = {text}",
            path,
            used | more,
            lambda root, _old: ("L", of_kind(left(root), "L") + of_kind(right(root), "L")),
        )

    def compute(root: Node, _old: object) -> tuple[str, Any]:
        one, two = of_kind(left(root), "N"), of_kind(right(root), "N")
        total = one + two if form == "+" else one - two
        if len(total.as_tuple().digits) > 28:  # more than Python's context keeps: left to the tests of numbers
            raise Refused(OVERFLOW)
        return "N", total

    return f"{written(path)} = {first} {form} {second}", path, used | more, compute


@st.composite
def remove_actions(draw: st.DrawFn) -> Action:
    path = draw(PATHS)
    return written(path), path, {}, lambda _root, _old: GONE


def added(old: tuple[str, Any] | None, value: tuple[str, Any]) -> tuple[str, Any]:
    if old is None:
        return value
    content = of_kind(old, value[0])
    return value[0], content + value[1] if value[0] == "N" else content | value[1]


def taken(old: tuple[str, Any] | None, value: tuple[str, Any]) -> Any:
    if old is None:
        return None
    left = of_kind(old, value[0]) - value[1]
    return (value[0], left) if left else GONE


@st.composite
def combining_actions(draw: st.DrawFn, section: str) -> Action:
    path, value = draw(PATHS), draw(st.one_of(NUMBERS, SETS) if section == "ADD" else SETS)
    name = placeholder(value)
    combine = added if section == "ADD" else taken
    return f"{written(path)} {name}", path, {name: value}, lambda _root, old: combine(old, meaning(value))


SECTIONS: dict[str, st.SearchStrategy[Action]] = {
    "SET": set_actions(),
    "REMOVE": remove_actions(),
    "ADD": combining_actions("ADD"),
    "DELETE": combining_actions("DELETE"),
}


def apart(one: list[str | int], two: list[str | int]) -> bool:
    """Whether two paths neither overlap nor disagree about what is a list."""
    for left, right in zip(one, two, strict=False):
        if left != right:
            return isinstance(left, int) is isinstance(right, int)
    return False


@st.composite
def updates(draw: st.DrawFn) -> tuple[str, list[Action]]:
    texts: list[str] = []
    chosen: list[Action] = []
    for section in draw(st.permutations(list(SECTIONS))):
        actions: list[Action] = []
        for action in draw(st.lists(SECTIONS[section], max_size=3)):
            if all(apart(action[1], other[1]) for other in chosen):
                actions.append(action)
                chosen.append(action)
        if actions:
            texts.append(f"{section} {', '.join(action[0] for action in actions)}")
    return " ".join(texts), chosen


def plainly_updated(item: Item, actions: list[Action]) -> Any:
    """Returns what an update makes of an item, or a set with one of the messages that may refuse it."""
    root, old = (Node(("M", {name: meaning(value) for name, value in item.items()})) for _ in "12")
    refusals, effects = set(), []
    for _text, path, _values, effect in actions:
        try:
            effects.append((path, effect(old, look_up(old, path))))
        except Refused as refusal:
            refusals.add(str(refusal))
        parent: Node | None = old
        for element in path[:-1]:
            parent = parent.child(element) if parent is not None else None
        if parent is None or parent.kind != ("L" if isinstance(path[-1], int) else "M"):
            refusals.add(INVALID_PATH)
    if refusals:
        return refusals
    for path, value in effects:
        node: Any = root
        for element in path[:-1]:
            node = node.child(element)
        if value is GONE:
            node.content.pop(path[-1], None)
        elif value is not None:
            node.content[path[-1]] = Node(value)
    return root.meaning()[1]


@given(updates(), items())
def test_updates_do_what_a_plain_evaluator_says(update: tuple[str, list[Action]], item: Item) -> None:
    text, actions = update
    if not actions:
        return
    used: Item = {}
    for action in actions:
        used |= action[2]
    bindings = Bindings(None, canonical(copy.deepcopy(used)) or None)
    before = copy.deepcopy(item)
    compiled_update, said = outcome_of(lambda: compile_update(text, bindings))
    if said:
        # Values of the wrong type are refused before any item is looked at.
        assert "Incorrect operand type" in said or "must be distinct" in said
        return
    assert compiled_update is not None
    after, said = outcome_of(lambda: compiled_update.apply(item, {}))
    assert item == before
    expected = plainly_updated(item, actions)
    if isinstance(expected, set):
        assert said in expected
        return
    assert said == ""
    assert after is not None
    assert {name: meaning(value) for name, value in after.items()} == expected
    canonical_after = copy.deepcopy(after)
    check_item(canonical_after)
    assert canonical_after == after
