"""The names and values of a request: their own faults, what expressions refer to, and what is left over."""

from __future__ import annotations

from typing import Any

import pytest

from tenet.tables.errors import SerializationException
from tenet.tables.rules.bindings import Bindings
from tenet.tables.rules.conditions import compile_condition
from tenet.tables.rules.projections import compile_projection
from tenet.tables.rules.updates import compile_update
from tests.unit.tables.outcomes import refusal_of

NAMES_UNUSED = "Value provided in ExpressionAttributeNames unused in expressions: keys: "
VALUES_UNUSED = "Value provided in ExpressionAttributeValues unused in expressions: keys: "


@pytest.mark.parametrize(
    ("names", "values", "message"),
    [
        ({}, None, "ExpressionAttributeNames must not be empty"),
        (None, {}, "ExpressionAttributeValues must not be empty"),
        ({}, {}, "ExpressionAttributeNames must not be empty"),
        ({"a": "b"}, None, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "a"'),
        ({"#": "b"}, None, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "#"'),
        ({"#a-b": "b"}, None, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "#a-b"'),
        ({"#é": "b"}, None, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "#é"'),
        ({"#a\n": "b"}, None, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "#a\n"'),
        ({"#a": ""}, None, "ExpressionAttributeNames contains invalid value: Empty attribute name for key #a"),
        (
            {"#a": "x" * 65_536},
            None,
            (
                "ExpressionAttributeNames contains invalid value: "
                "Attribute name is too large, must be less than 65536 bytes for key #a"
            ),
        ),
        (
            {"#" + "a" * 255: "b"},
            None,
            (
                "ExpressionAttributeNames contains invalid key: "
                "The expression attribute map contains a key that is too long; size of key: 256"
            ),
        ),
        (
            None,
            {":" + "a" * 255: {"S": "x"}},
            (
                "ExpressionAttributeValues contains invalid key: "
                "The expression attribute map contains a key that is too long;"
            ),
        ),
        (None, {"v": {"S": "x"}}, 'ExpressionAttributeValues contains invalid key: Syntax error; key: "v"'),
        (None, {":": {"S": "x"}}, 'ExpressionAttributeValues contains invalid key: Syntax error; key: ":"'),
        (
            None,
            {":v": {"N": "x"}, "w": {"S": "x"}},
            'ExpressionAttributeValues contains invalid key: Syntax error; key: "w"',
        ),
        (
            None,
            {":v": {"NS": []}},
            (
                "ExpressionAttributeValues contains invalid value: One or more parameter values were invalid: "
                "An number set  may not be empty for key :v"
            ),
        ),
        ({"a": "b"}, {":v": {}}, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "a"'),
    ],
)
def test_names_and_values_of_their_own(names: Any, values: Any, message: str) -> None:
    assert refusal_of(lambda: Bindings(names, values)) == message


def large_names(total: int) -> dict[str, str]:
    """Names that have so many bytes together with their placeholders."""
    names = {f"#{number:02}": "x" * 60_000 for number in range(34)}
    rest = total - sum(len(placeholder) + len(name) for placeholder, name in names.items())
    return names | {"#r": "y" * (rest - 2)}


MAX = 2 * 1024 * 1024
NAMES_TOO_LARGE = "ExpressionAttributeNames exceeds max size"
VALUES_TOO_LARGE = "ExpressionAttributeValues exceeds max size"
TOGETHER_TOO_LARGE = "Combined size of ExpressionAttributeNames and ExpressionAttributeValues exceeds max size"


@pytest.mark.parametrize(
    ("names", "values", "message"),
    [
        (large_names(MAX), None, ""),
        (large_names(MAX + 1), None, NAMES_TOO_LARGE),
        (large_names(MAX + 1), {":v": {"S": "x" * MAX}}, NAMES_TOO_LARGE),
        (None, {":v": {"S": "x" * (MAX - 2)}}, ""),
        (None, {":v": {"S": "x" * (MAX - 1)}}, VALUES_TOO_LARGE),
        (None, {":v": {"S": "é" * (MAX // 2)}}, VALUES_TOO_LARGE),
        (None, {f":{number}": {"S": "x" * 400_000} for number in range(6)}, VALUES_TOO_LARGE),
        (None, {f":{number}": {"S": "x" * 400_000} for number in range(9)}, VALUES_TOO_LARGE),
        ({"#a": "é" * 10}, {":v": {"S": "x" * (MAX - 24)}}, ""),
        ({"#a": "é" * 10}, {":v": {"S": "x" * (MAX - 23)}}, TOGETHER_TOO_LARGE),
        (large_names(MAX - 9), {":v": {"S": "x" * 8}}, TOGETHER_TOO_LARGE),
        (large_names(MAX - 10), {":v": {"S": "x" * 8}}, ""),
    ],
)
def test_names_and_values_have_two_mebibytes_together(names: Any, values: Any, message: str) -> None:
    if not message:
        assert Bindings(names, values).values == (values or {})
    else:
        assert refusal_of(lambda: Bindings(names, values)) == message


def test_a_value_of_the_wrong_json_type() -> None:
    with pytest.raises(SerializationException, match=r"^NUMBER_VALUE cannot be converted to String$"):
        Bindings(None, {":v": {"S": 1}})


@pytest.mark.parametrize("placeholder", ["1", "_", "a", "A1_b", "x" * 254])
def test_placeholders_are_letters_digits_and_underscores(placeholder: str) -> None:
    bindings = Bindings({f"#{placeholder}": "a"}, {f":{placeholder}": {"S": "x"}})
    assert compile_condition(f"#{placeholder} = :{placeholder}", bindings).test({"a": {"S": "x"}})
    bindings.check_all_used()


def test_values_become_canonical() -> None:
    bindings = Bindings(None, {":v": {"NS": ["2.0", "1"]}})
    assert bindings.values == {":v": {"NS": ["1", "2"]}}


def test_all_expressions_of_a_request_count_as_use() -> None:
    bindings = Bindings({"#a": "a", "#b": "b", "#c": "c"}, {":v": {"S": "x"}, ":w": {"S": "y"}, ":x": {"S": "z"}})
    compile_update("SET #a = :v", bindings)
    assert refusal_of(bindings.check_all_used) == NAMES_UNUSED + "{#b, #c}"
    compile_projection("#b, #c.x", bindings)
    assert refusal_of(bindings.check_all_used) == VALUES_UNUSED + "{:w, :x}"
    compile_condition("#a = :v OR (#b = :w AND size(:x) > :w)", bindings)
    bindings.check_all_used()


def test_use_does_not_depend_on_evaluation() -> None:
    bindings = Bindings(None, {":v": {"S": "x"}, ":w": {"S": "y"}})
    condition = compile_condition("a = :v OR a = :w", bindings)
    bindings.check_all_used()
    assert condition.test({"a": {"S": "x"}})


def test_nothing_given_and_nothing_used() -> None:
    bindings = Bindings()
    assert compile_condition("attribute_exists(a)", bindings).test({"a": {"S": "x"}})
    bindings.check_all_used()


def test_one_text_means_other_attributes_with_other_names() -> None:
    for name in ("a", "b", "c", "a"):
        bindings = Bindings({"#n": name}, {":v": {"S": name}})
        condition = compile_condition("#n = :v", bindings)
        assert condition.names == {name}
        assert condition.test({name: {"S": name}})
        assert not condition.test({"x": {"S": name}})


def test_a_kept_expression_is_checked_against_every_requests_values() -> None:
    text = "begins_with(a, :v)"
    assert compile_condition(text, Bindings(None, {":v": {"S": "x"}})).test({"a": {"S": "xy"}})
    for values, message in (
        (
            {":v": {"N": "1"}},
            "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
        ),
        ({":w": {"S": "x"}}, "An expression attribute value used in expression is not defined; attribute value: :v"),
    ):
        said = refusal_of(lambda values=values: compile_condition(text, Bindings(None, values)))  # type: ignore[misc]
        assert said == f"Invalid ConditionExpression: {message}"
    assert compile_condition(text, Bindings(None, {":v": {"S": "y"}})).test({"a": {"S": "yx"}})
