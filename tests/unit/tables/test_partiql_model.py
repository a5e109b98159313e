"""What PartiQL statements do to a table is what a plain model of it does: random items, conditions and changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rounds import examples
from tests.unit.tables.outcomes import outcome_of
from tests.unit.tables.statements import Service, refusal_of, served, simple

Item = dict[str, Any]
Key = tuple[str, int]

HOUSES, ROOMS = ("a", "b", "c"), (0, 1, 2, 3)
CHECKED = settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
OVERLAPPING = "Overlapping conditions with range keys are not supported in where clause"
FAILED = "ConditionalCheckFailedException: The conditional request failed"


@dataclass(frozen=True)
class Where:
    """A condition: its text, the parameters of it, and what it means.

    Args:
        text: with a question mark for each parameter.
        parameters: in order.
        holds: for an item.
    """

    text: str
    parameters: tuple[Any, ...]
    holds: Callable[[Item], bool]


def value(content: Any) -> dict[str, Any]:
    return {"S": content} if isinstance(content, str) else {"N": str(content)}


@st.composite
def comparisons(draw: st.DrawFn, names: tuple[str, ...] = ("house", "room", "size", "kind")) -> Where:
    name = draw(st.sampled_from(names))
    contents = st.sampled_from(HOUSES) if name in ("house", "kind") else st.integers(0, 3)
    operator = draw(st.sampled_from(("=", "=", "<>", "<", "<=", ">", ">=")))
    content = draw(contents)
    tests: dict[str, Callable[[Any, Any], bool]] = {
        "=": lambda a, b: a == b,
        "<>": lambda a, b: a != b,
        "<": lambda a, b: a is not None and a < b,
        "<=": lambda a, b: a is not None and a <= b,
        ">": lambda a, b: a is not None and a > b,
        ">=": lambda a, b: a is not None and a >= b,
    }

    def holds(item: Item) -> bool:
        return tests[operator](item.get(name), content)

    if draw(st.booleans()):
        return Where(f'"{name}" {operator} ?', (value(content),), holds)
    return Where(f'"{name}" {operator} {content!r}', (), holds)


@st.composite
def sequences(draw: st.DrawFn) -> Where:
    name = draw(st.sampled_from(("house", "room", "size")))
    contents = draw(st.lists(st.sampled_from(HOUSES if name == "house" else ROOMS), min_size=1, max_size=3))
    negated = draw(st.booleans())
    text = f'"{name}" {"NOT " * negated}IN [{", ".join("?" for _ in contents)}]'
    return Where(text, tuple(map(value, contents)), lambda item: (item.get(name) in contents) is not negated)


@st.composite
def ranges(draw: st.DrawFn) -> Where:
    low, high = sorted((draw(st.integers(0, 3)), draw(st.integers(0, 3))))
    name = draw(st.sampled_from(("room", "size")))
    return Where(
        f'"{name}" BETWEEN {low} AND ?', (value(high),), lambda item: name in item and low <= item[name] <= high
    )


def _begins(item: Item) -> bool:
    return bool(item.get("kind", "").startswith("a")) and "kind" in item


FIXED = st.sampled_from(
    (
        Where("kind IS MISSING", (), lambda item: "kind" not in item),
        Where('"size" IS NOT MISSING', (), lambda item: "size" in item),
        Where('"size" IS NUMERIC', (), lambda item: "size" in item),
        Where("begins_with(kind, 'a')", (), _begins),
        Where("contains(house, ?)", ({"S": "b"},), lambda item: "b" in item["house"]),
        Where("SIZE(house) = 1", (), lambda item: len(item["house"]) == 1),
        Where("attribute_type(\"size\", 'S')", (), lambda _item: False),
    )
)


def _both(parts: tuple[Where, Where]) -> Where:
    one, two = parts
    return Where(
        f"{one.text} AND ({two.text})",
        one.parameters + two.parameters,
        lambda item: one.holds(item) and two.holds(item),
    )


def _either(parts: tuple[Where, Where]) -> Where:
    one, two = parts
    return Where(
        f"({one.text} OR ({two.text}))",
        one.parameters + two.parameters,
        lambda item: one.holds(item) or two.holds(item),
    )


def _joined(inner: st.SearchStrategy[Where]) -> st.SearchStrategy[Where]:
    two = st.tuples(inner, inner)
    return two.map(_both) | two.map(_either)


def _wider(inner: st.SearchStrategy[Where]) -> st.SearchStrategy[Where]:
    def neither(one: Where) -> Where:
        return Where(f"NOT ({one.text})", one.parameters, lambda item: not one.holds(item))

    return st.tuples(inner, inner).map(_both) | _joined(inner) | inner.map(neither)


conditions = st.recursive(comparisons() | sequences() | ranges() | FIXED, _wider, max_leaves=4)


def _keyed(name: str, *others: str) -> st.SearchStrategy[Where]:
    """Conditions that mostly name partitions by this attribute, beside others."""
    named = comparisons((name,)).filter(lambda where: " = " in where.text)
    one = st.tuples(named, comparisons(others)).map(_both)
    return st.recursive(one | named, _joined, max_leaves=4) | st.tuples(
        named, st.recursive(comparisons(others), _joined, max_leaves=4)
    ).map(_both)


by_house = _keyed("house", "room", "room", "size")
by_kind = _keyed("kind", "room", "room", "house")
others = st.fixed_dictionaries(
    {}, optional={"size": st.integers(0, 3), "kind": st.sampled_from(("a", "b", "ab")), "log": st.just([])}
)
contents = st.dictionaries(st.tuples(st.sampled_from(HOUSES), st.sampled_from(ROOMS)), others, max_size=8)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("model")) as started:
        yield started


def filled(service: Service, model: dict[Key, Item]) -> dict[Key, Item]:
    """Brings the table to what the model holds, with statements."""
    for item in service.items("SELECT house, room FROM rooms"):
        service.run("DELETE FROM rooms WHERE house = ? AND room = ?", value(item["house"]), value(item["room"]))
    model = {key: {"house": key[0], "room": key[1], **item} for key, item in model.items()}
    for item in model.values():
        listed = ", ".join(f"'{name}': {content!r}" for name, content in item.items())
        service.run(f"INSERT INTO rooms VALUE {{{listed}}}")
    return model


def in_order(items: list[Item]) -> list[Item]:
    return sorted(items, key=lambda item: (item["house"], item["room"]))


def held(service: Service) -> list[Item]:
    return in_order(service.items("SELECT * FROM rooms", ConsistentRead=True))


def pages_of(service: Service, statement: str, parameters: tuple[Any, ...], limit: int | None) -> list[Item]:
    """The items of all pages of a SELECT, in the order in which they come."""
    more: dict[str, Any] = {} if limit is None else {"Limit": limit}
    found: list[Item] = []
    for _ in range(100):
        page = service.run(statement, *parameters, **more)
        found += [simple(item) for item in page["Items"]]
        if "NextToken" not in page:
            return found
        more["NextToken"] = page["NextToken"]
    raise AssertionError(statement)


@CHECKED
@given(model=contents, where=conditions | by_house, limit=st.none() | st.integers(1, 3))
def test_a_select_finds_what_its_condition_holds_for(
    service: Service, model: dict[Key, Item], where: Where, limit: int | None
) -> None:
    model = filled(service, model)
    statement = f"SELECT * FROM rooms WHERE {where.text}"
    found, refused = outcome_of(lambda: pages_of(service, statement, where.parameters, limit))
    if found is None:
        assert refused == OVERLAPPING
        return
    assert in_order(found) == in_order([item for item in model.values() if where.holds(item)])
    assert limit is None or found == pages_of(service, statement, where.parameters, None)


@CHECKED
@given(model=contents, where=by_kind, limit=st.none() | st.integers(1, 3))
def test_a_select_from_an_index_does_as_well(
    service: Service, model: dict[Key, Item], where: Where, limit: int | None
) -> None:
    model = filled(service, model)
    statement = f'SELECT house, room FROM rooms."by-kind" WHERE {where.text}'
    found, refused = outcome_of(lambda: pages_of(service, statement, where.parameters, limit))
    if found is None:
        assert refused == OVERLAPPING
        return
    expected = [key for key, item in model.items() if "kind" in item and where.holds(item)]
    assert sorted((item["house"], item["room"]) for item in found) == sorted(expected)
    assert limit is None or found == pages_of(service, statement, where.parameters, None)


@CHECKED
@given(model=contents, where=conditions, descending=st.booleans(), houses=st.sets(st.sampled_from(HOUSES), min_size=1))
def test_an_ordered_select_is_in_order(
    service: Service, model: dict[Key, Item], where: Where, descending: bool, houses: set[str]
) -> None:
    model = filled(service, model)
    order = "DESC" if descending else "ASC"
    marks = ", ".join("?" for _ in houses)
    found, refused = outcome_of(
        lambda: service.items(
            f"SELECT house, room FROM rooms WHERE house IN ({marks}) AND ({where.text}) "
            f"ORDER BY house {order}, room {order}",
            *map(value, sorted(houses)),
            *where.parameters,
        )
    )
    if found is None:
        assert refused == OVERLAPPING
        return
    expected = sorted((key for key, item in model.items() if key[0] in houses and where.holds(item)))
    assert [(item["house"], item["room"]) for item in found] == (expected[::-1] if descending else expected)


keys = st.tuples(st.sampled_from(HOUSES), st.sampled_from(ROOMS))


@CHECKED
@given(model=contents, key=keys, where=conditions)
def test_a_delete_takes_what_its_condition_holds_for(
    service: Service, model: dict[Key, Item], key: Key, where: Where
) -> None:
    model = filled(service, model)
    statement = f"DELETE FROM rooms WHERE house = ? AND room = ? AND ({where.text}) RETURNING ALL OLD *"
    parameters = (value(key[0]), value(key[1]), *where.parameters)
    # What is not there is not looked at, and a key twice with other values names no item.
    if key in model and not where.holds(model[key]):
        said = refusal_of(lambda: service.run(statement, *parameters))
        assert said == FAILED or "Multiple conditions on same key" in said
    else:
        returned, refusal = outcome_of(lambda: service.items(statement, *parameters))
        if refusal:
            assert key not in model
            assert "Multiple conditions on same key" in refusal
        else:
            assert returned == ([model.pop(key)] if key in model else [])
    assert held(service) == in_order(list(model.values()))


@dataclass(frozen=True)
class Assigned:
    """A change: its text and what it does to an item, which it may refuse by returning None."""

    text: str
    change: Callable[[Item], Item | None]


CHANGES = st.sampled_from(
    (
        Assigned('SET "size" = 7', lambda item: item | {"size": 7}),
        Assigned("SET kind = 'c', extra = 'x'", lambda item: item | {"kind": "c", "extra": "x"}),
        Assigned('SET "size" = "size" + 1', lambda item: item | {"size": item["size"] + 1} if "size" in item else None),
        Assigned(
            'SET "size" = 10 - "size"', lambda item: item | {"size": 10 - item["size"]} if "size" in item else None
        ),
        Assigned(
            "SET log = list_append(log, [1, 'x'])", lambda i: i | {"log": [*i["log"], 1, "x"]} if "log" in i else None
        ),
        Assigned("SET log = list_append(if_not_exists(log, []), [2])", lambda i: i | {"log": [*i.get("log", []), 2]}),
        Assigned("REMOVE kind", lambda item: {name: item[name] for name in item if name != "kind"}),
        Assigned('SET extra = kind REMOVE "size"', lambda i: _moved(i) if "kind" in i else None),
    )
)


def _moved(item: Item) -> Item:
    return {name: content for name, content in item.items() if name != "size"} | {"extra": item["kind"]}


@CHECKED
@given(model=contents, key=keys, change=CHANGES, minimum=st.none() | st.integers(0, 3))
def test_an_update_changes_what_is_there(
    service: Service, model: dict[Key, Item], key: Key, change: Assigned, minimum: int | None
) -> None:
    model = filled(service, model)
    condition = "" if minimum is None else f' AND "size" >= {minimum}'
    statement = f"UPDATE rooms {change.text} WHERE house = ? AND ? = room{condition} RETURNING ALL NEW *"
    old = model.get(key)
    holds = old is not None and (minimum is None or ("size" in old and old["size"] >= minimum))
    new = change.change(old) if old is not None and holds else None
    if new is None:
        said = service.refusal(statement, value(key[0]), value(key[1]))
        assert said == FAILED if not holds else said.startswith("ValidationException: The provided expression refers")
    else:
        assert service.items(statement, value(key[0]), value(key[1])) == [new]
        model[key] = new
    assert held(service) == in_order(list(model.values()))
