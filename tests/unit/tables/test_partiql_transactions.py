"""Which item a statement of a transaction or a batch names, and what is told first where several things are wrong.

The service's own answers, by the captures of 2026-09-17 that the tests of floci publish (floci-io/floci#3798).
"""

from __future__ import annotations

from typing import Any

import pytest

from tenet.tables.errors import TransactionCanceledException
from tests.unit.tables.statements import Service, refusal_of

V = "ValidationException: "
AT = V + "Validation failed in TransactStatements[{}]: "
FIRST = AT.format(0)
NO_KEY = "Select statements within {} must specify the primary key in the where clause."
NO_CHECK = FIRST + "EXISTS() must contain a single item read with additional condition"
NO_ITEM = "The provided key element does not match the schema"
NO_TABLE = "Requested resource not found"
INVALID = "One or more parameter values were invalid: "
#: The items of `fill`, and nothing else.
NOTES = [{"id": "n", "v": 1}]
FINE, ROOM = "UPDATE notes SET v = 2 WHERE id = 'n'", "SELECT * FROM rooms WHERE house = 'a' AND room = 1"


def statement(text: str, *parameters: Any) -> dict[str, Any]:
    return {"Statement": text, "Parameters": list(parameters)}


def reasons(service: Service, *statements: Any, **more: Any) -> list[tuple[str, str | None]]:
    """Carries out a transaction that is to be cancelled, and returns the codes and texts of its reasons."""
    with pytest.raises(TransactionCanceledException) as caught:
        service.transact(*statements, **more)
    found = [(reason["Code"], reason.get("Message")) for reason in caught.value.members["CancellationReasons"]]
    assert caught.value.message.endswith(f"[{', '.join(code for code, _ in found)}]")
    return found


def deep(levels: int) -> Any:
    value: Any = {"S": "x"}
    for _ in range(levels):
        value = {"M": {"a": value}}
    return value


# ---- which item is read ----------------------------------------------------------------------------------------------

ONE_ITEM: list[Any] = [
    "(room = 1) AND house = 'a' AND house = 'a'",
    "house IN ['a'] AND room IN [1]",
    "(house IN ['a']) AND house = 'a' AND 1.0 = room",
    statement("house IN [?] AND room = ? AND room = 1", {"S": "a"}, {"N": "1.0"}),
    "room = 1 AND (house = 'a' AND (room = 1 AND house = 'a'))",
]
NO_SINGLE_ITEM: list[Any] = [
    "house IN ['b'] AND house = 'a' AND room = 1",
    "house = 'a' AND room = 1 AND area = 10",
    "house = 'a' AND room = 1 AND house = 'b'",
    "house = 'a' AND room IN [1, 2]",
    "house = 'a' AND room >= 1 AND room = 1",
    "house = 'a'",
    "room = 1",
    "area = 10",
    statement("house = ? AND house = ? AND room = 1", {"S": "a"}, {"S": "b"}),
]


def select(where: Any) -> Any:
    if isinstance(where, str):
        return f"SELECT area FROM rooms WHERE {where}"
    return where | {"Statement": select(where["Statement"])}


@pytest.mark.parametrize("where", ONE_ITEM)
def test_a_key_may_be_told_twice_and_by_in_with_one_value(service: Service, where: Any) -> None:
    assert service.transact(select(where))["Responses"] == [{"Item": {"area": {"N": "10"}}}]
    assert service.batch(select(where))["Responses"] == [{"TableName": "rooms", "Item": {"area": {"N": "10"}}}]


@pytest.mark.parametrize("where", NO_SINGLE_ITEM)
def test_nothing_but_one_whole_key_may_stand_there(service: Service, where: Any) -> None:
    told = AT.format(1) + NO_KEY.format("ExecuteTransaction")
    assert refusal_of(lambda: service.transact(ROOM, select(where))) == told
    error = {"Code": "ValidationError", "Message": NO_KEY.format("BatchExecuteStatement")}
    assert service.batch(select(where))["Responses"] == [{"Error": error}]


def test_a_write_names_its_key_in_parentheses_too(service: Service) -> None:
    assert service.items("UPDATE notes SET v = 3 WHERE v = 1 AND (v = 1 AND id = 'n') RETURNING ALL NEW *") == [
        {"id": "n", "v": 3}
    ]
    assert service.items("DELETE FROM notes WHERE v = 3 AND (id = 'n' AND v = 3) RETURNING ALL OLD *") == [
        {"id": "n", "v": 3}
    ]


def test_members_of_transactions_of_items_mean_nothing(service: Service) -> None:
    change = "UPDATE rooms SET q = 1 WHERE house = 'a' AND room = 1"
    assert service.transact(change, ReturnItemCollectionMetrics="SIZE") == {"Responses": []}
    token = {"ClientRequestToken": "meant-once"}
    assert service.transact(change, TransactItems=[], **token) == {"Responses": []}
    other = change.replace("q = 1", "q = 2")
    refused = refusal_of(lambda: service.transact(other, TransactItems=[], **token))
    assert refused.startswith("IdempotentParameterMismatchException")


def test_a_batch_names_an_item_once_however_it_is_named(service: Service) -> None:
    twice = "SELECT * FROM rooms WHERE house IN ['a'] AND room = 1"
    assert refusal_of(lambda: service.batch(ROOM, twice)) == V + "Provided list of item keys contains duplicates"


def test_a_key_of_another_type_is_told_in_the_words_of_its_operation(service: Service) -> None:
    wrong = "SELECT * FROM rooms WHERE house = 1 AND room = 1"
    error = "Key attribute's data type should match its data type in table's schema: Key house"
    assert service.batch(wrong)["Responses"] == [{"Error": {"Code": "ValidationError", "Message": error}}]
    # Before that an item stands twice.
    assert reasons(service, ROOM, ROOM, wrong) == [("None", None), ("None", None), ("ValidationError", NO_ITEM)]
    assert reasons(service, statement("SELECT * FROM notes WHERE id = ?", {"N": "1"})) == [("ValidationError", NO_ITEM)]


def test_what_no_key_can_have_is_told_as_in_transactions_of_items(service: Service) -> None:
    empty = "cannot contain an empty string value. Key: id"
    assert refusal_of(lambda: service.transact("SELECT * FROM notes WHERE id = ''")).endswith(empty)
    long = reasons(service, statement("SELECT * FROM notes WHERE id = ?", {"S": "x" * 2049}))
    assert long == [("ValidationError", INVALID + "Size of hashkey has exceeded the maximum size limit of2048 bytes")]


# ---- which item is checked -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    ["house IN ['a'] AND room = 1 AND area = 10", "house = 'a' AND area = 10", "room = 1", "house = 'a' AND room = 1"],
)
def test_a_check_names_its_item_by_equality(service: Service, where: str) -> None:
    assert refusal_of(lambda: service.transact(f"EXISTS(SELECT * FROM rooms WHERE {where})", FINE)) == NO_CHECK
    assert service.items("SELECT * FROM notes") == NOTES


def test_a_check_reads_by_the_first_value_of_its_key(service: Service) -> None:
    check = "EXISTS(SELECT * FROM rooms WHERE house = 'a' AND room = 1 AND house = '{}' AND area = 10)"
    failed = ("ConditionalCheckFailed", "The conditional request failed")
    assert reasons(service, check.format("b"), FINE) == [failed, ("None", None)]
    assert service.items("SELECT * FROM notes") == NOTES
    assert service.transact(check.format("a"), FINE) == {"Responses": []}
    # The second value is the condition that there has to be.
    assert service.transact("EXISTS(SELECT * FROM notes WHERE id = 'n' AND id = 'n')") == {"Responses": []}


def test_a_check_stands_in_transactions_alone(service: Service) -> None:
    check = "EXISTS(SELECT * FROM notes WHERE id = 'n' AND v = 1)"
    error = {"Code": "ValidationError", "Message": "EXISTS can only be used in ExecuteTransaction write requests."}
    assert service.batch(check, FINE)["Responses"] == [{"Error": error}, {"TableName": "notes"}]


# ---- which item is written -------------------------------------------------------------------------------------------


def test_writes_that_name_no_single_item_are_reasons(service: Service) -> None:
    update = "UPDATE rooms SET area = 0"
    found = reasons(
        service,
        f"{update} WHERE house = 'a'",
        f"{update} WHERE house IN ['a'] AND room = 1",
        f"{update} WHERE house = 'a' AND room = 1 AND house = 'b'",
        f"{update} WHERE house = 'a' AND room = '1'",
        update,
        "DELETE FROM rooms WHERE room = 1",
        "INSERT INTO rooms VALUE {'house': 'c'}",
        "INSERT INTO rooms VALUE {'house': 'c', 'room': '1'}",
        FINE,
    )
    twice = "Multiple conditions on same key house. Only single item Update/Insert/Delete are supported"
    assert found == [
        ("ValidationError", NO_ITEM),
        ("ValidationError", NO_ITEM),
        ("ValidationError", twice),
        ("ValidationError", NO_ITEM),
        ("ValidationError", NO_ITEM),
        ("ValidationError", NO_ITEM),
        ("ValidationError", INVALID + "Missing the key room in the item"),
        ("ValidationError", INVALID + "Type mismatch for key room expected: N actual: S"),
        ("None", None),
    ]
    assert service.items("SELECT * FROM notes") == NOTES
    assert service.items("SELECT area FROM rooms WHERE house = 'a'") == [{"area": 10 * room} for room in range(4)]


def test_a_write_by_itself_is_told_as_before(service: Service) -> None:
    update = "UPDATE rooms SET area = area + [1]"
    incomplete = V + "Where clause does not contain a mandatory equality on all key attributes"
    for where in ("", " WHERE house = 'a'", " WHERE house IN ['a'] AND room = 1"):
        assert service.refusal(update + where) == incomplete
    assert service.refusal("UPDATE rooms SET area = 0 WHERE house = 'a' AND room = '1'").startswith(
        V + "Key attribute's data type should match"
    )
    assert service.run("UPDATE rooms SET area = 0 WHERE house = 'a' AND room = 1 AND house = 'a'") == {"Items": []}
    assert service.refusal("INSERT INTO rooms VALUE {'house': 'c'}") == (
        V + "Key attribute should be present in the item: Key room"
    )


# ---- tables that are not there ---------------------------------------------------------------------------------------


def test_a_table_that_is_not_there_is_a_reason(service: Service) -> None:
    missing = ("ResourceNotFound", NO_TABLE)
    returning = "UPDATE none SET a = 1 WHERE id = 'n' RETURNING ALL NEW *"
    assert reasons(service, returning, "DELETE FROM none WHERE id = 'n'", FINE) == [missing, missing, ("None", None)]
    check = "EXISTS(SELECT * FROM none.idx WHERE id = 'n')"
    assert reasons(service, check, "INSERT INTO none VALUE 5") == [missing, missing]
    assert reasons(service, ROOM, "SELECT * FROM none.idx WHERE id = 'n'") == [("None", None), missing]
    both = reasons(service, "DELETE FROM none", "DELETE FROM rooms", FINE)
    assert both == [missing, ("ValidationError", NO_ITEM), ("None", None)]
    assert service.items("SELECT * FROM notes") == NOTES


@pytest.mark.parametrize(
    ("statements", "why"),
    [
        (
            ("UPDATE none SET a = 1 WHERE id = 'n'", f"{FINE} RETURNING ALL NEW *"),
            "RETURNING clause is not supported in ExecuteTransaction.",
        ),
        (
            ("SELECT * FROM none WHERE id = 'n'", "SELECT * FROM rooms.idx WHERE id = 'n'"),
            "Reads on indices are not supported within transactions.",
        ),
        (
            ("DELETE FROM rooms", "EXISTS(SELECT * FROM rooms.idx WHERE id = 'n')"),
            "Operations on indices are not supported in transactions",
        ),
        (
            ("SELECT * FROM rooms WHERE house = 1 AND room = 1", "SELECT * FROM rooms"),
            NO_KEY.format("ExecuteTransaction"),
        ),
    ],
)
def test_a_statement_that_is_wrong_comes_before_reasons(service: Service, statements: Any, why: str) -> None:
    assert refusal_of(lambda: service.transact(*statements)) == AT.format(1) + why


# ---- what is told with the statement ---------------------------------------------------------------------------------

_MANY = ", ".join(["1"] * 101)
_PLUS = "Incorrect operand type for operator or function; operator or function: +, operand type: L"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (
            "INSERT INTO notes VALUE {'id': 'x', 'x': [<<'a', 'a'>>]}",
            INVALID + "Input collection [a, a] contains duplicates.",
        ),
        ("UPDATE notes SET v = v + [1] WHERE id = 'n'", _PLUS),
        ("UPDATE notes SET v = v + [1] WHERE id = 1", _PLUS),
        (statement("UPDATE notes SET v = v + ? WHERE id = 'n'", {"L": []}), _PLUS),
        (
            f"DELETE FROM notes WHERE id = 'n' AND v IN [{_MANY}]",
            "The IN operator is provided with too many operands; number of operands: 101",
        ),
        (
            "UPDATE notes SET v = 1, v.x = 2 WHERE id = 'n'",
            (
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [v], "
                "path two: [v, x]"
            ),
        ),
    ],
)
def test_what_is_wrong_whichever_item_is_named_is_told_with_the_statement(
    service: Service, wrong: Any, why: str
) -> None:
    assert refusal_of(lambda: service.transact("DELETE FROM rooms", wrong)) == AT.format(1) + why


def test_reads_too_are_told_with_the_statement(service: Service) -> None:
    many = f"SELECT * FROM rooms WHERE house IN [{_MANY}] AND room = 1"
    why = "The IN operator is provided with too many operands; number of operands: 101"
    assert refusal_of(lambda: service.transact(many)) == FIRST + why
    ordered = "SELECT * FROM notes WHERE id = 'n' ORDER BY v"
    why = "Variable reference v in ORDER BY clause must be part of the primary key"
    assert refusal_of(lambda: service.transact(ordered)) == FIRST + why


def test_what_a_parameter_makes_of_an_item_is_a_reason(service: Service) -> None:
    too_deep = statement("UPDATE rooms SET map.deep = ? WHERE house = 'a' AND room = 1", deep(31))
    why = "Nesting Levels have exceeded supported limits"
    assert reasons(service, too_deep, FINE) == [("ValidationError", why), ("None", None)]
    assert service.batch(too_deep)["Responses"] == [
        {"Error": {"Code": "ValidationError", "Message": why}, "TableName": "rooms"}
    ]
    large = statement("INSERT INTO notes VALUE {'id': 'x', 'a': ?, 'b': ?}", {"S": "x" * 410_000}, {"S": "x"})
    assert reasons(service, large) == [("ValidationError", "Item size has exceeded the maximum allowed size")]


# ---- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    ["DELETE FROM none WHERE id = 'n'", "DELETE FROM rooms", "UPDATE notes SET v = v + [1] WHERE id = 'm'"],
)
def test_a_transaction_that_is_refused_leaves_no_token(service: Service, wrong: str) -> None:
    token = f"token-{len(wrong)}"
    refusal_of(lambda: service.transact(FINE, wrong, ClientRequestToken=token))
    assert service.items("SELECT * FROM notes") == NOTES
    assert service.transact(FINE, ClientRequestToken=token) == {"Responses": []}
    assert service.items("SELECT * FROM notes") == [{"id": "n", "v": 2}]
    # A token that was used is told before reasons.
    again = refusal_of(lambda: service.transact(FINE, "DELETE FROM rooms", ClientRequestToken=token))
    assert again.startswith("IdempotentParameterMismatchException")
