"""The order of versions: the same for everybody, whatever is written, and the same forwards and backwards."""

from __future__ import annotations

from functools import cmp_to_key
from itertools import pairwise
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from tenet.placement.fleet.capabilities import Capabilities
from tenet.placement.model import Capability
from tenet.placement.rules.capabilities import (
    Comparison,
    Term,
    capabilities_document,
    decode_capabilities,
    encode_capabilities,
    read_capabilities,
    read_comparisons,
    read_version,
)

_NUMBERS = st.sampled_from(["0", "1", "2", "9", "10", "00", "01", "010", "999999999"]) | st.integers(0, 99).map(str)
VERSIONS = st.lists(_NUMBERS, min_size=1, max_size=8).map(".".join)
VALUES = st.one_of(
    VERSIONS.map(lambda text: {"version": text}),
    st.integers(-3, 3).map(lambda number: {"integer": number}),
    st.sampled_from(["U46", "1.0", "1", "a"]).map(lambda text: {"string": text}),
    st.sets(st.sampled_from(["avx", "1", "a"])).map(lambda texts: {"set": sorted(texts)}),
)
OPERANDS = st.integers(-3, 3) | VERSIONS | st.sampled_from(["U46", "a", "avx"])
ORDERED = ("<", "<=", ">", ">=")


def holds(first: str, name: str, second: str) -> bool:
    """Tells whether a comparison holds of a version."""
    value = read_version(first)
    assert value is not None
    return Term(name, second).holds(value)


def value_of(document: dict[str, Any]) -> Capability:
    return read_capabilities({"x": document})["x"]


def asked(terms: dict[str, Any]) -> Comparison:
    (comparison,) = read_comparisons({"x": terms}, "capabilities")
    return comparison


@given(VERSIONS, VERSIONS)
def test_of_two_versions_one_is_less_or_both_are_equal(first: str, second: str) -> None:
    found = [name for name in ("<", "==", ">") if holds(first, name, second)]
    assert len(found) == 1
    assert holds(first, "!=", second) == (found != ["=="])
    assert holds(first, "<=", second) == (found != [">"])
    assert holds(first, ">=", second) == (found != ["<"])
    mirrored = {"<": ">", "==": "==", ">": "<"}
    assert holds(second, mirrored[found[0]], first)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_what_is_less_than_less_is_less(first: str, second: str, third: str) -> None:
    for name in ("<", "<=", "=="):
        if holds(first, name, second) and holds(second, name, third):
            assert holds(first, name, third)


@given(st.lists(VERSIONS, min_size=2, max_size=8))
def test_any_versions_can_be_put_in_order(texts: list[str]) -> None:
    def compare(first: str, second: str) -> int:
        return -1 if holds(first, "<", second) else int(holds(first, ">", second))

    in_order = sorted(texts, key=cmp_to_key(compare))
    assert all(holds(low, "<=", high) for low, high in pairwise(in_order))
    assert holds(in_order[0], "<=", in_order[-1])


@given(VERSIONS, st.integers(1, 7))
def test_zeros_at_the_end_and_before_a_number_change_no_order_and_no_text(text: str, zeros: int) -> None:
    parts = text.split(".")
    assume(len(parts) + zeros <= 8)
    longer = ".".join([*parts, *["0"] * zeros])
    wider = ".".join(part.zfill(9) for part in parts)
    for other in (longer, wider):
        assert holds(text, "==", other)
        assert not holds(text, "!=", other)
        version = read_version(other)
        assert version is not None
        assert version.text == other, "it is shown as it was given"


@given(VERSIONS, VERSIONS)
def test_between_a_version_and_the_next_of_it_lies_only_what_begins_like_it(text: str, other: str) -> None:
    """What is asked for as ">= 550.54, < 550.55" is every 550.54.x and nothing else."""
    numbers = [int(part) for part in text.split(".")]
    assume(numbers[-1] < 999_999_999)
    following = ".".join(map(str, [*numbers[:-1], numbers[-1] + 1]))
    beginning = [int(part) for part in other.split(".")]
    padded = [*beginning, *[0] * 8][: len(numbers)]
    assert (holds(other, ">=", text) and holds(other, "<", following)) == (padded == numbers)


@given(VALUES, OPERANDS)
def test_a_comparison_and_its_opposite_never_both_hold_and_hold_of_one_type_only(
    document: dict[str, Any], operand: int | str
) -> None:
    value = value_of(document)
    is_equal, is_other = (Term(name, operand).holds(value) for name in ("==", "!="))
    assert not (is_equal and is_other)
    assert Term("in", (operand,)).holds(value) == is_equal
    if isinstance(operand, str) and read_version(operand) is None:
        return
    less, at_most, more, at_least = (Term(name, operand).holds(value) for name in ORDERED[:4])
    assert (less or more) == (is_other and (less or more))
    assert at_most == (less or (is_equal and "string" not in document))
    assert at_least == (more or (is_equal and "string" not in document))


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES))
def test_what_is_stored_is_compared_as_what_was_sent(document: dict[str, dict[str, Any]]) -> None:
    given_ = read_capabilities(document)
    stored = decode_capabilities(encode_capabilities(given_))
    assert stored == given_
    assert capabilities_document(stored) == document


@given(st.lists(st.none() | VALUES, min_size=1, max_size=8), st.sampled_from(["==", "!=", *ORDERED]), VERSIONS)
def test_a_fleet_compares_as_one_does(documents: list[dict[str, Any] | None], name: str, operand: str) -> None:
    """Values that are equal in order and not in text are kept apart, and both are found."""
    held = Capabilities(len(documents))
    comparison = asked({name: operand})
    values = [None if one is None else value_of(one) for one in documents]
    for place, value in enumerate(values):
        held.put(place, {} if value is None else {"x": value})
    assert held.meeting(comparison, len(values)).tolist() == [comparison.is_met(value) for value in values]
    for place in range(0, len(values), 2):
        held.clear(place)
        values[place] = None
    assert held.meeting(comparison, len(values)).tolist() == [comparison.is_met(value) for value in values]
