"""Legacy conditions: their errors, and that they hold exactly where a plain model says that they do."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.tables.errors import SerializationException
from tenet.tables.model import Item
from tenet.tables.rules.attributes import EMPTY_VALUE
from tenet.tables.rules.legacy_conditions import expected_of, filter_of
from tests.unit.tables import values
from tests.unit.tables.outcomes import refusal_of

A = {"S": "a"}
ONE = {"N": "1"}
INVALID = "One or more parameter values were invalid: "
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "LT": operator.lt,
    "LE": operator.le,
    "GT": operator.gt,
    "GE": operator.ge,
}


def comparing(comparison: str, *operands: Any) -> dict[str, Any]:
    return {"ComparisonOperator": comparison, "AttributeValueList": copy.deepcopy(list(operands))}


# ---- the model -------------------------------------------------------------------------------------------------------


def holds(comparison: str, value: Any, operands: list[Any]) -> bool:
    """Whether a condition holds for a value and what it is compared with, all as ``values.meaning`` gives them."""
    if comparison in {"NULL", "NOT_NULL"}:
        return (value is None) is (comparison == "NULL")
    if comparison == "NE":
        return bool(value != operands[0])
    if value is None:
        return False
    kind, content = value
    if comparison in {"EQ", "IN"}:
        return bool(value in operands)
    if comparison in ORDERS:
        return kind == operands[0][0] and ORDERS[comparison](_ordinal(kind, content), _ordinal(*operands[0]))
    if comparison == "BETWEEN":
        low, high = operands
        return bool(kind == low[0] and _ordinal(*low) <= _ordinal(kind, content) <= _ordinal(*high))
    if comparison == "BEGINS_WITH":
        return bool(kind == operands[0][0] and content.startswith(operands[0][1]))
    return has_part(kind, content, operands[0]) is (comparison == "CONTAINS")


def _ordinal(kind: str, content: Any) -> Any:
    return content.encode() if kind == "S" else content


def has_part(kind: str, content: Any, part: tuple[str, Any]) -> bool:
    part_kind, part_content = part
    if kind == "L":
        return part in content
    if kind in {"S", "B"}:
        return kind == part_kind and part_content in content
    return kind == f"{part_kind}S" and part_content in content


def _of_kinds(*kinds: str) -> st.SearchStrategy[Any]:
    return values.scalars().filter(lambda value: next(iter(value)) in kinds)


def _bounds() -> st.SearchStrategy[list[Any]]:
    """Two scalars of one type, the lower one first."""

    def ordered(both: tuple[Any, Any]) -> list[Any]:
        return sorted(both, key=lambda value: _ordinal(*values.meaning(value)))

    alike = st.tuples(values.scalars(), values.scalars()).filter(lambda both: both[0].keys() == both[1].keys())
    return alike.map(ordered)


def _operands(comparison: str) -> st.SearchStrategy[list[Any]]:
    if comparison in {"NULL", "NOT_NULL"}:
        return st.just([])
    if comparison == "BETWEEN":
        return _bounds()
    if comparison == "IN":
        kinds = st.sampled_from("SNB")
        return kinds.flatmap(lambda kind: st.lists(_of_kinds(kind), min_size=1, max_size=3))
    if comparison == "BEGINS_WITH":
        return _of_kinds("S", "B").map(lambda value: [value])
    if comparison in {"EQ", "NE"}:
        return values.values().map(lambda value: [value])
    return values.scalars().map(lambda value: [value])


COMPARISONS = (*ORDERS, "EQ", "NE", "NULL", "NOT_NULL", "BETWEEN", "IN", "BEGINS_WITH", "CONTAINS", "NOT_CONTAINS")


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    names = draw(st.lists(st.sampled_from(values.NAMES), max_size=3, unique=True))
    found = {}
    for name in names:
        comparison = draw(st.sampled_from(COMPARISONS))
        found[name] = comparing(comparison, *draw(_operands(comparison)))
    return found


def model(wanted: dict[str, dict[str, Any]], joined: str | None, item: Item) -> bool:
    results = []
    for name, condition in wanted.items():
        value = values.meaning(item[name]) if name in item else None
        operands = [values.meaning(operand) for operand in condition["AttributeValueList"]]
        results.append(holds(condition["ComparisonOperator"], value, operands))
    return any(results) if joined == "OR" else all(results)


@given(conditions(), st.sampled_from(("AND", "OR", None)), values.items())
def test_conditions_hold_where_the_model_says_so(
    wanted: dict[str, dict[str, Any]], joined: str | None, item: Item
) -> None:
    expected = not wanted or model(wanted, joined, item)
    for compiled in (filter_of(copy.deepcopy(wanted), joined), expected_of(copy.deepcopy(wanted), joined)):
        assert (compiled is None) is (not wanted)
        if compiled is not None:
            assert compiled.test(item) is expected
            assert compiled.names == set(wanted)
            assert compiled.nested_names == set()


# ---- what is meant of absent attributes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "is_met"),
    [
        (comparing("NE", A), True),
        (comparing("NULL"), True),
        ({"Exists": False}, True),
        (comparing("NOT_NULL"), False),
        (comparing("EQ", A), False),
        (comparing("NOT_CONTAINS", A), False),
        (comparing("CONTAINS", A), False),
        (comparing("LE", A), False),
        ({"Value": A}, False),
    ],
)
def test_what_conditions_mean_of_what_is_absent(condition: dict[str, Any], *, is_met: bool) -> None:
    compiled = expected_of({"a": condition}, None)
    assert compiled is not None
    assert compiled.test(None) is is_met
    assert compiled.test({"b": A}) is is_met


def test_names_are_no_paths() -> None:
    compiled = filter_of({"a.b": comparing("EQ", A), "c[0]": comparing("NULL")}, None)
    assert compiled is not None
    assert compiled.test({"a.b": A})
    assert not compiled.test({"a": {"M": {"b": A}}})
    assert not compiled.test({"a.b": A, "c[0]": A})


@pytest.mark.parametrize(
    ("wanted", "item", "is_met"),
    [
        ({"Value": A}, {"a": A}, True),
        ({"Value": A, "Exists": True}, {"a": A}, True),
        ({"Value": {"N": "1.0"}}, {"a": ONE}, True),
        ({"Value": A}, {"a": ONE}, False),
        ({"Exists": False}, {"a": {"NULL": True}}, False),
        ({"Value": A, "ComparisonOperator": "GT"}, {"a": {"S": "b"}}, True),
        ({"Value": A, "ComparisonOperator": "IN"}, {"a": A}, True),
        ({"ComparisonOperator": "NOT_NULL"}, {"a": {"NULL": True}}, True),
    ],
)
def test_what_is_expected_can_be_said_in_several_ways(wanted: dict[str, Any], item: Item, *, is_met: bool) -> None:
    compiled = expected_of({"a": copy.deepcopy(wanted)}, None)
    assert compiled is not None
    assert compiled.test(item) is is_met


# ---- errors ----------------------------------------------------------------------------------------------------------


def of_arguments(comparison: str) -> str:
    return f"{INVALID}Invalid number of argument(s) for the {comparison} ComparisonOperator"


def of_type(comparison: str, kind: str) -> str:
    return f"{INVALID}ComparisonOperator {comparison} is not valid for {kind} AttributeValue type"


SAME_TYPE = f"{INVALID}AttributeValues inside AttributeValueList must be of same type"
BOUNDS = "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (comparing("EQ"), of_arguments("EQ")),
        ({"ComparisonOperator": "EQ", "AttributeValueList": []}, of_arguments("EQ")),
        (comparing("EQ", A, A), of_arguments("EQ")),
        (comparing("NULL", A), of_arguments("NULL")),
        (comparing("IN"), of_arguments("IN")),
        (comparing("BETWEEN", A), of_arguments("BETWEEN")),
        (comparing("BETWEEN", A, A, A), of_arguments("BETWEEN")),
        (comparing("GT", {"BOOL": True}), of_type("GT", "BOOL")),
        (comparing("BEGINS_WITH", ONE), of_type("BEGINS_WITH", "N")),
        (comparing("CONTAINS", {"SS": ["a"]}), of_type("CONTAINS", "SS")),
        (comparing("NOT_CONTAINS", {"L": []}), of_type("NOT_CONTAINS", "L")),
        (comparing("IN", A, {"SS": ["a"]}), of_type("IN", "SS")),
        (comparing("BETWEEN", {"NS": ["1"]}, {"NS": ["1"]}), of_type("BETWEEN", "NS")),
        (comparing("IN", A, ONE), SAME_TYPE),
        (comparing("BETWEEN", A, ONE), SAME_TYPE),
        (comparing("BETWEEN", {"N": "10"}, {"N": "9"}), BOUNDS),
        (comparing("BETWEEN", {"S": "b"}, A), BOUNDS),
        (comparing("EQ", A, {"N": "x"}), "The parameter cannot be converted to a numeric value: x"),
        (comparing("EQ", {}), EMPTY_VALUE),
        (
            comparing("EQ", None),
            EMPTY_VALUE,
        ),
        (comparing("EQ", {"SS": []}), f"{INVALID}An string set  may not be empty"),
    ],
)
def test_conditions_that_are_refused(condition: dict[str, Any], message: str) -> None:
    assert refusal_of(lambda: filter_of({"a": copy.deepcopy(condition)}, None)) == message
    assert refusal_of(lambda: expected_of({"a": copy.deepcopy(condition)}, None)) == message


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({}, "Value must be provided when Exists is null"),
        ({"Exists": True}, "Value must be provided when Exists is true"),
        ({"Exists": False, "Value": A}, "Value cannot be used when Exists is false"),
        ({"Exists": False, "ComparisonOperator": "EQ"}, "Exists and ComparisonOperator cannot be used together"),
        ({"Value": A, "AttributeValueList": [A]}, "Value and AttributeValueList cannot be used together"),
        ({"AttributeValueList": [A]}, "AttributeValueList can only be used with a ComparisonOperator"),
        ({"ComparisonOperator": "GE"}, "Value or AttributeValueList must be used with ComparisonOperator: GE"),
    ],
)
def test_expectations_that_contradict_themselves(wanted: dict[str, Any], message: str) -> None:
    assert refusal_of(lambda: expected_of({"x.y": wanted}, None)) == f"{INVALID}{message} for Attribute: x.y"


def test_what_is_expected_is_no_larger_than_an_item() -> None:
    large = {"S": "x" * 300_000}
    assert expected_of({"a": {"Value": large}}, None) is not None
    told = "Item size has exceeded the maximum allowed size"
    assert refusal_of(lambda: expected_of({"a": {"Value": large}, "b": {"Value": large}}, None)) == told


def test_one_of_thousands_is_found() -> None:
    compiled = filter_of({"a": comparing("IN", *({"N": str(number)} for number in range(9_000)))}, None)
    assert compiled is not None
    assert compiled.test({"a": {"N": "8999"}})
    assert not compiled.test({"a": {"N": "9000"}})
    assert not compiled.test({"a": {"S": "1"}})


def test_there_are_as_many_conditions_as_an_expression_has_operators() -> None:
    wanted = {f"a{number}": comparing("NULL") for number in range(300)}
    compiled = filter_of(wanted, "AND")
    assert compiled is not None
    assert compiled.test({"b": A})
    assert not compiled.test({"a299": A})
    told = f"{INVALID}More than 300 conditions"
    assert refusal_of(lambda: filter_of(wanted | {"b": comparing("NULL")}, None)) == told
    assert refusal_of(lambda: expected_of(wanted | {"b": {"Exists": False}}, None)) == told


@pytest.mark.parametrize("name", ["", "x" * 65_536])
def test_names_have_a_length(name: str) -> None:
    for told in (
        refusal_of(lambda: filter_of({name: comparing("NULL")}, None)),
        refusal_of(lambda: expected_of({name: {"Exists": False}}, None)),
    ):
        assert told == (
            "Attribute name is too large, must be less than 65536 bytes" if name else "Empty attribute name"
        )


def test_values_of_another_json_type_are_told_as_that() -> None:
    with pytest.raises(SerializationException, match="NUMBER_VALUE cannot be converted to String"):
        filter_of({"a": comparing("EQ", {"S": 1})}, None)
