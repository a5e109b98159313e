"""What projections keep of items: cases from the service, and random ones against a plain evaluator."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.tables.model import Item
from tenet.tables.rules.bindings import Bindings
from tenet.tables.rules.projections import Projection, compile_projection
from tests.unit.tables.values import NAMES, items, meaning


def n(number: int) -> dict[str, Any]:
    return {"N": str(number)}


ITEM: Item = {
    "p": {"S": "k"},
    "a": {"M": {"b": {"L": [n(2), n(4), {"M": {"x": {"S": "hi"}, "y": {"S": "yo"}}}]}, "c": n(5)}},
    "l": {"L": [n(0), {"L": [n(10), n(11)]}, {"L": [n(20), n(21)]}]},
    "a.b": {"S": "dotted"},
}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("p", {"p": {"S": "k"}}),
        ("p, zz", {"p": {"S": "k"}}),
        ("zz", {}),
        ("a", {"a": ITEM["a"]}),
        ("a.b", {"a": {"M": {"b": ITEM["a"]["M"]["b"]}}}),
        ("#dotted", {"a.b": {"S": "dotted"}}),
        ("a.b[0]", {"a": {"M": {"b": {"L": [n(2)]}}}}),
        ("a.b[2].y", {"a": {"M": {"b": {"L": [{"M": {"y": {"S": "yo"}}}]}}}}),
        ("a.b[2].y, a.b[0]", {"a": {"M": {"b": {"L": [n(2), {"M": {"y": {"S": "yo"}}}]}}}}),
        ("a.b[0], a.c", {"a": {"M": {"b": {"L": [n(2)]}, "c": n(5)}}}),
        ("l[2][0], l[0]", {"l": {"L": [n(0), {"L": [n(20)]}]}}),
        ("l[2][1], l[2][0], l[1][7]", {"l": {"L": [{"L": [n(20), n(21)]}]}}),
        ("a.x, a.b[0], x, a.b[3].x", {"a": {"M": {"b": {"L": [n(2)]}}}}),
        ("a.b[3]", {}),
        ("a.x.y", {}),
        ("a.b.x", {}),
        ("a[0]", {}),
        ("p.x", {}),
        ("p[0]", {}),
        ("a.b[0][0]", {}),
    ],
)
def test_projections(text: str, kept: Item) -> None:
    bindings = Bindings({"#dotted": "a.b"} if "#" in text else None)
    projection = compile_projection(text, bindings)
    bindings.check_all_used()
    before = copy.deepcopy(ITEM)
    assert projection.apply(ITEM) == kept
    assert before == ITEM


def test_projections_know_their_attributes() -> None:
    projection = compile_projection("a.b, a.c[0], p, l[1]", Bindings())
    assert projection.names == {"a", "p", "l"}
    assert projection.nested_names == {"a", "l"}


PATHS = st.lists(
    st.tuples(
        st.sampled_from(NAMES), st.lists(st.one_of(st.sampled_from(NAMES[:2]), st.integers(0, 2)), max_size=2)
    ).map(lambda parts: (parts[0], *parts[1])),
    max_size=4,
    unique=True,
)


def kept_of(found: Any, paths: list[tuple[str | int, ...]]) -> Any:
    """Returns what paths keep of a value's meaning, or None: by asking of each part whether a path leads there."""
    if () in paths:
        return found
    kind, content = found
    if kind not in {"M", "L"}:
        return None
    parts = content.items() if kind == "M" else enumerate(content)
    kept = {
        name: part
        for name, member in parts
        if (part := kept_of(member, [path[1:] for path in paths if path and path[0] == name and _fits(path, kind)]))
        is not None
    }
    if not kept:
        return None
    return (kind, kept) if kind == "M" else (kind, list(kept.values()))


def _fits(path: tuple[str | int, ...], kind: str) -> bool:
    return isinstance(path[0], int) is (kind == "L")


@given(PATHS, items())
def test_projections_keep_what_a_plain_evaluator_says(paths: list[tuple[str | int, ...]], item: Item) -> None:
    apart = [path for path in paths if not any(path[: len(other)] == other for other in paths if other != path)]
    kept = Projection(apart).apply(item)
    found = kept_of(("M", {name: meaning(value) for name, value in item.items()}), apart)
    assert {name: meaning(value) for name, value in kept.items()} == (found[1] if found else {})
