"""Conditions of PartiQL as operands of others: values of type BOOL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.tables.statements import Service, served

V = "ValidationException: "
FAILED = "ConditionalCheckFailedException: The conditional request failed"
WRONG_TYPE = V + "Incorrect operand type for operator or function; operator or function: {}, operand type: {}"
#: What is beside the key of the only note.
PARTS = "'n': 1, 'flag': 'right', 'yes': true, 'l': [true], 'm': {'t': true}"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("truths")) as service:
        yield service


@pytest.fixture
def service(started: Service) -> Service:
    started.run("DELETE FROM notes WHERE id = 'n'")
    started.run(f"INSERT INTO notes VALUE {{'id': 'n', {PARTS}}}")
    return started


def is_found(service: Service, condition: str, *parameters: Any) -> bool:
    """Whether a condition holds for the note; the same for a filter and a condition of a write."""
    found = service.items(f"SELECT id FROM notes WHERE id = 'n' AND {condition}", *parameters) == [{"id": "n"}]
    assert (service.items(f"SELECT id FROM notes WHERE {condition}", *parameters) == [{"id": "n"}]) is found
    update = f"UPDATE notes SET seen = 1 WHERE id = 'n' AND ({condition})"
    if found:
        service.run(update, *parameters)
    else:
        assert service.refusal(update, *parameters) == FAILED
    return found


@pytest.mark.parametrize(
    "condition",
    [
        # Captured from the service.
        "attribute_exists(nope) = false",
        "true = attribute_exists(n)",
        "attribute_exists(n) <> 1",
        "contains(nope, 'z') = false",
        "(n BETWEEN 0 AND 5) = true",
        "(n = 5 OR flag = 'x') = false",
        "attribute_exists(nope) IN [true, false]",
        "attribute_exists(n) = attribute_exists(flag)",
        "attribute_exists(n) = yes",
        # As DynamoDB Local has them too.
        "n = 1 = true",
        "(n = 1) = (n = 1)",
        "(n = 1) = m.t",
        "(n = 1 AND flag = 'right') = l[0]",
        "(NOT n = 1) = false",
        "(nope > 1) = false",
        "(nope <> 1) <> nope",
        "(n IS MISSING) = false",
        "(n IS NUMERIC) <> null",
        "(n IN [2]) NOT IN (true)",
        "yes IN [1, n = 1]",
        "contains(l, n = 1)",
        "attribute_type(n = 1, 'BOOL')",
        "NOT contains(n = 1, 'x')",
        "((n = 2) = (flag = 'x')) = true",
        "(1 < 2) = true",
        "attribute_exists(id) = true",
        "n <> (1, 2) AND size((1, 2)) = 2",
    ],
)
def test_a_condition_can_be_an_operand_of_another_one(service: Service, condition: str) -> None:
    assert is_found(service, condition)
    assert not is_found(service, f"({condition}) = false")


@pytest.mark.parametrize(
    "condition",
    [
        "attribute_exists(n) = 1",
        "NOT attribute_exists(n) = true",
        "(attribute_exists(n) = true) = false",
        "attribute_exists(n) = flag",
        "attribute_exists(n) = nope",
        "(n = 1) = 'true'",
        "(n = 1) IN [1, 'true', nope]",
        "contains(l, n = 2)",
        "(n = 1) = size(flag)",
        "n = 1 = 1",
        "id = attribute_exists(n)",
    ],
)
def test_what_a_condition_is_not_equal_to_finds_nothing(service: Service, condition: str) -> None:
    assert not is_found(service, condition)


def test_a_condition_is_compared_with_parameters(service: Service) -> None:
    yes, no = {"BOOL": True}, {"BOOL": False}
    for _ in range(2):
        assert is_found(service, "attribute_exists(n) = ?", yes)
        assert not is_found(service, "attribute_exists(n) = ?", no)
        assert is_found(service, "(n = ?) = ?", {"N": "1.0"}, yes)
        assert is_found(service, "? IN [?, n = ?]", no, {"N": "1"}, {"N": "2"})


def test_a_delete_looks_at_it_where_there_is_an_item(service: Service) -> None:
    assert service.refusal("DELETE FROM notes WHERE id = 'n' AND attribute_exists(n) = false") == FAILED
    assert service.run("DELETE FROM notes WHERE id = 'none' AND attribute_exists(n) = true") == {"Items": []}
    assert service.run("DELETE FROM notes WHERE id = 'n' AND attribute_exists(n) = true") == {"Items": []}
    assert service.items("SELECT * FROM notes") == []


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">="])
def test_a_condition_has_no_order(service: Service, operator: str) -> None:
    for condition in (
        f"attribute_exists(n) {operator} false",
        f"0 {operator} (n = 1)",
        f"nope {operator} (n IS MISSING)",
        f"(n = 1) {operator} [1]",
    ):
        said = service.refusal(f"SELECT * FROM notes WHERE {condition}")
        assert said == WRONG_TYPE.format(operator, "BOOL")
    assert service.refusal(f"SELECT * FROM notes WHERE [1] {operator} (n = 1)") == WRONG_TYPE.format(operator, "L")


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("(n = 1) BETWEEN false AND true", WRONG_TYPE.format("BETWEEN", "BOOL")),
        ("n BETWEEN 0 AND attribute_exists(n)", WRONG_TYPE.format("BETWEEN", "BOOL")),
        ("begins_with(flag, n = 1)", WRONG_TYPE.format("begins_with", "BOOL")),
        ("begins_with(n = 1, 'a')", WRONG_TYPE.format("begins_with", "BOOL")),
        ("size(n = 1) = 1", WRONG_TYPE.format("size", "BOOL")),
        ("attribute_type(n, n = 1)", WRONG_TYPE.format("attribute_type", "BOOL")),
        ("(n > [1]) > true", WRONG_TYPE.format(">", "L")),
        (
            "attribute_exists(n = 1)",
            V + "Operator or function requires a document path; operator or function: attribute_exists",
        ),
        (
            "(n = n) = true",
            V + "The first operand must be distinct from the remaining operands for this operator or function; "
            "operator: =, first operand: [n]",
        ),
        (
            "(n = 1) IS MISSING",
            V + "The left hand side argument to IS must be a Variable Reference, Literal, or Path",
        ),
        ("(n = 1) = MISSING", V + "MISSING must be compared using IS operator"),
        ("(n AND m) = true", V + "The arguments to AND/OR must be Expressions"),
        ("(NOT n) = true", V + "The argument to NOT must be a Type or Expression"),
        ("foo(n) = true", V + "Unrecognized function: foo"),
        ("exists(n) = true", V + "Unrecognized function: exists"),
        ("(n = 1) + 1 = 2", V + "Unsupported operator in Condition Expression. Operator: +"),
        ("n = [n = 1]", V + "Unsupported data type: NAry under key root[0] at 1:34:1"),
    ],
)
def test_what_takes_no_condition_refuses_it(service: Service, condition: str, message: str) -> None:
    assert service.refusal(f"SELECT * FROM notes WHERE {condition}") == message


def test_a_write_finds_its_key_in_no_operand(service: Service) -> None:
    assert service.refusal("UPDATE notes SET seen = 1 WHERE (id = 'n') = true") == (
        V + "Where clause does not contain a mandatory equality on all key attributes"
    )
    assert service.items("SELECT id FROM notes WHERE (id = 'n') = true") == [{"id": "n"}]


def test_an_update_computes_no_conditions(service: Service) -> None:
    for value in ("(n = 1)", "n = 1", "if_not_exists(x, n = 1)", "n + (n = 1)"):
        assert service.refusal(f"UPDATE notes SET x = {value} WHERE id = 'n'") == (
            V + "Unsupported operator in Update Expression. Operator: ="
        )


def nested(start: str, levels: int, around: str) -> str:
    """A condition that stands within others so many levels deep."""
    for _ in range(levels):
        start = around.format(start)
    return start


@pytest.mark.parametrize(
    "condition",
    [
        "n = 1" + " = true" * 299,
        "n = 1" + " <> false" * 299,
        "n = 1" + " IN [true]" * 299,
        nested("n = 1", 98, "true = ({})") + " = true" * 201,
        nested("n = 1", 98, "contains(l, {})") + " = true" * 201,
        nested("n = 1", 49, "true IN [{}]") + " <> false" * 250,
        nested("n = 1", 74, "contains(l, n = 1 AND {})") + " = true" * 77,
        nested("n = 1", 59, "contains(l, n = 2 OR n = 1 AND {})") + " = true" * 4,
        nested("n = 1", 99, "(NOT NOT {}) = true"),
    ],
)
def test_conditions_as_deep_and_long_as_may_be_are_tested(service: Service, condition: str) -> None:
    assert service.items(f"SELECT id FROM notes WHERE {condition}") == [{"id": "n"}]


def test_conditions_that_are_deeper_or_longer_are_refused(service: Service) -> None:
    said = service.refusal("SELECT id FROM notes WHERE n = 1" + " = true" * 300)
    assert said == V + "The expression contains too many operators; operator count: 301"
    said = service.refusal(f"SELECT id FROM notes WHERE {nested('n = 1', 100, '({}) = true')}")
    assert "Expressions are nested more than 100 levels deep" in said


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (
            "attribute_exists(n) = :v",
            "The function is not allowed to be used this way in an expression; function: attribute_exists",
        ),
        ("(n = :v) = :v", 'Syntax error; token: "=", near: ") = :v"'),
        ("n = :v = :v", 'Syntax error; token: "=", near: ":v = :v"'),
    ],
)
def test_expressions_of_other_operations_have_no_conditions_as_operands(
    service: Service, expression: str, message: str
) -> None:
    with pytest.raises(Exception, match="FilterExpression") as refused:
        service(
            "Scan", TableName="notes", FilterExpression=expression, ExpressionAttributeValues={":v": {"BOOL": True}}
        )
    assert str(refused.value) == f"Invalid FilterExpression: {message}"
