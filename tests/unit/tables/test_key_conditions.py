"""Key conditions: what they are refused for, and that the ranges they read are the items that they mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.tables import keys
from tenet.tables.model import AttributeValue, Index, KeyAttribute, KeySchema, KeyType
from tenet.tables.rules.bindings import Bindings
from tenet.tables.rules.key_conditions import KeyCondition, compile_key_condition
from tests.unit.tables.expressions import VALUES, bindings_for
from tests.unit.tables.outcomes import outcome_of
from tests.unit.tables.values import BINARIES, NUMBERS, STRINGS, canonical, meaning

SCHEMA = KeySchema(KeyAttribute("a", "S"), KeyAttribute("b", "N"))
PARTITION_ONLY = KeySchema(KeyAttribute("a", "S"))
X: AttributeValue = {"S": "x"}
ONE: AttributeValue = {"N": "1"}
TWO: AttributeValue = {"N": "2"}

INVALID = "Invalid KeyConditionExpression: "
SHAPE = "Invalid condition in KeyConditionExpression: "
OPERATOR = "Invalid operator used in KeyConditionExpression: "
NESTED = "KeyConditionExpressions cannot contain nested operations"
ONCE = "KeyConditionExpressions must only contain one condition per key"
MISSED = "Query condition missed key schema element: "
UNSUPPORTED = "Query key condition not supported"
TOO_MANY = "The number of query conditions (3) exceeds the number of key attributes defined in the schema (2)"
INVALID_VALUE = "One or more parameter values were invalid: "
WRONG_TYPE = INVALID_VALUE + "Condition parameter type does not match schema type"
EMPTY = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty "


def looked_up(text: str, schema: KeySchema = SCHEMA) -> KeyCondition:
    bindings = bindings_for(text, {**VALUES, ":long": {"S": "x" * 2049}})
    conditions = compile_key_condition(text, bindings)
    bindings.check_all_used()
    conditions.check_form()
    return conditions.against(schema)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("a = :s", KeyCondition(X)),
        (":s = a", KeyCondition(X)),
        ("#a = :s", KeyCondition(X)),
        ("(a = :s)", KeyCondition(X)),
        ("a = :s AND b = :n", KeyCondition(X, "=", (ONE,))),
        ("b = :n AND a = :s", KeyCondition(X, "=", (ONE,))),
        ("((b = :n) AND (a = :s))", KeyCondition(X, "=", (ONE,))),
        ("a = :s AND b < :n", KeyCondition(X, "<", (ONE,))),
        ("a = :s AND :n < b", KeyCondition(X, ">", (ONE,))),
        ("a = :s AND :n <= b", KeyCondition(X, ">=", (ONE,))),
        ("a = :s AND :n > b", KeyCondition(X, "<", (ONE,))),
        ("a = :s AND b >= :n", KeyCondition(X, ">=", (ONE,))),
        ("a = :s AnD b BeTwEeN :n aNd :n2", KeyCondition(X, "BETWEEN", (ONE, TWO))),
    ],
)
def test_key_conditions(text: str, condition: KeyCondition) -> None:
    assert looked_up(text) == condition


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", INVALID + "The expression can not be empty;"),
        ("a", INVALID + 'Syntax error; token: "<EOF>", near: "a"'),
        ("a = :s AND b != :n", INVALID + 'Syntax error; token: "!", near: "b !="'),
        ("((a = :s)) AND b = :n", INVALID + "The expression has redundant parentheses;"),
        ("a = :zz", INVALID + "An expression attribute value used in expression is not defined; attribute value: :zz"),
        ("name = :s", INVALID + "Attribute name is a reserved keyword; reserved keyword: name"),
        ("a = :s AND dog(b, :n)", INVALID + "Invalid function name; function: dog"),
        ("a = :s AND BEGINS_WITH(b, :s)", INVALID + "Invalid function name; function: BEGINS_WITH"),
        (
            "a = :s AND begins_with(b, :n)",
            INVALID
            + "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
        ),
        ("a = :s OR b = :n", OPERATOR + "OR"),
        ("NOT a = :s", OPERATOR + "NOT"),
        ("a = :s AND NOT b = :n", OPERATOR + "NOT"),
        ("a = :s AND (b = :n OR b = :n2)", OPERATOR + "OR"),
        ("a <> :s", OPERATOR + "<>"),
        ("a = :s AND b IN (:n)", OPERATOR + "IN"),
        ("attribute_exists(a)", OPERATOR + "attribute_exists"),
        ("a = :s AND contains(b, :n)", OPERATOR + "contains"),
        ("a = :s AND size(b) = :n", NESTED),
        ("a = :s AND b = size(b)", NESTED),
        ("a = :s AND b BETWEEN size(a) AND :n", NESTED),
        (
            "a = :s AND :n BETWEEN b AND :n2",
            SHAPE + "BETWEEN operator must have the key attribute as its first operand",
        ),
        (
            "a = :s AND begins_with(:s, b)",
            SHAPE + "begins_with operator must have the key attribute as its first operand",
        ),
        ("a = b", SHAPE + "Multiple attribute names used in one condition"),
        (":s = :s", SHAPE + "No key attribute specified"),
        ("a.x = :s", "KeyConditionExpressions cannot have conditions on nested attributes"),
        ("a = :s AND b[0] = :n", "KeyConditionExpressions cannot have conditions on nested attributes"),
        ("a = :s AND a = :s", ONCE),
        ("a = :s AND b > :n AND b < :n2", ONCE),
        ("a = :s AND b = :n AND c = :n", TOO_MANY),
        ("b = :n", MISSED + "a"),
        ("c = :s", MISSED + "a"),
        ("c = :s AND b = :n", MISSED + "a"),
        ("a = :s AND c = :n", MISSED + "b"),
        ("a < :s", UNSUPPORTED),
        ("a BETWEEN :s AND :s", UNSUPPORTED),
        ("begins_with(a, :s)", UNSUPPORTED),
        ("a > :s AND b = :n", UNSUPPORTED),
        ("a = :n", WRONG_TYPE),
        ("a = :t", WRONG_TYPE),
        ("a = :s AND b = :s", WRONG_TYPE),
        ("a = :s AND begins_with(b, :s)", WRONG_TYPE),
        ("a = :e", EMPTY + "string value. Key: a"),
        (
            "a = :long",
            INVALID_VALUE + "Size of hashkey has exceeded the maximum size limit of2048 bytes",
        ),
    ],
)
def test_faults_in_key_conditions(text: str, message: str) -> None:
    assert outcome_of(lambda: looked_up(text))[1] == message


def test_a_table_without_a_sort_key() -> None:
    assert looked_up("a = :s", PARTITION_ONLY) == KeyCondition(X)
    assert outcome_of(lambda: looked_up("a = :s AND b = :n", PARTITION_ONLY))[1] == UNSUPPORTED
    assert outcome_of(lambda: looked_up("b = :n AND c = :s", PARTITION_ONLY))[1] == UNSUPPORTED


# ---- the ranges of sort keys ----------------------------------------------------------------------------------------

GLOBAL = Index(
    "gsi", 1, is_global=True, keys=KeySchema(KeyAttribute("p", "S"), KeyAttribute("k", "S")), projection="ALL"
)
LOCAL = Index(
    "lsi", 2, is_global=False, keys=KeySchema(KeyAttribute("p", "S"), KeyAttribute("k", "S")), projection="ALL"
)
CONTENTS: dict[KeyType, tuple[str, ...]] = {
    "S": (*(text for text in STRINGS if text), "a\x00", "a\x00b", "a\x01", "\x00", "b\U0010ffff"),
    "N": (*NUMBERS, "1e-130", "9e125", "-9e125", "12.5", "1.25"),
    "B": (*(text for text in BINARIES if text), "YQA=", "AA==", "//8="),
}
TESTS = {
    "=": lambda value, bounds: value == bounds[0],
    "<": lambda value, bounds: value < bounds[0],
    "<=": lambda value, bounds: value <= bounds[0],
    ">": lambda value, bounds: value > bounds[0],
    ">=": lambda value, bounds: value >= bounds[0],
    "BETWEEN": lambda value, bounds: bounds[0] <= value <= bounds[1],
    "begins_with": lambda value, bounds: value.startswith(bounds[0]),
}


def comparable(value: AttributeValue) -> Any:
    kind, content = meaning(value)
    return content.encode() if kind == "S" else content


@st.composite
def sort_conditions(draw: st.DrawFn) -> tuple[KeyType, str, list[AttributeValue], AttributeValue]:
    kind = draw(st.sampled_from(sorted(CONTENTS)))
    values = st.sampled_from(CONTENTS[kind]).map(lambda text: canonical({"v": {kind: text}})["v"])
    operator = draw(st.sampled_from([name for name in TESTS if kind != "N" or name != "begins_with"]))
    bounds = sorted((draw(values) for _ in range(2)), key=comparable)
    return kind, operator, bounds if operator == "BETWEEN" else bounds[:1], draw(values)


@given(sort_conditions(), st.sampled_from([None, GLOBAL, LOCAL]), st.binary(max_size=3))
def test_ranges_hold_the_sort_keys_that_the_condition_means(
    condition: tuple[KeyType, str, list[AttributeValue], AttributeValue], index: Index | None, behind: bytes
) -> None:
    kind, operator, bounds, value = condition
    texts = {
        "BETWEEN": "p = :p AND k BETWEEN :v0 AND :v1",
        "begins_with": "p = :p AND begins_with(k, :v0)",
    }
    text = texts.get(operator, f"p = :p AND k {operator} :v0")
    given_values = {":p": {"S": "x"}, **{f":v{at}": dict(bound) for at, bound in enumerate(bounds)}}
    schema = KeySchema(KeyAttribute("p", "S"), KeyAttribute("k", kind))
    found = compile_key_condition(text, Bindings(None, given_values)).against(schema)

    within = keys.sort_within(index, found.operator, found.values)
    prefix = keys.sort_prefix(index)
    sort = prefix + (keys.plain(value) if index is None else keys.delimited(value) + behind)
    is_within = within.lower <= sort and (within.upper is None or sort < within.upper)
    assert is_within == TESTS[operator](comparable(value), [comparable(bound) for bound in bounds])
