"""Several PartiQL statements in a call: batches, in which each stands for itself, and transactions, all or none."""

from __future__ import annotations

import pytest

from tenet.tables.errors import TransactionCanceledException
from tests.unit.tables.statements import Service, refusal_of

V = "ValidationException: "
INCOMPLETE = V + "Where clause does not contain a mandatory equality on all key attributes"


# ---- batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_reads_items_each_by_itself(service: Service) -> None:
    answer = service.batch(
        "SELECT area FROM rooms WHERE house = 'a' AND room = 1",
        {"Statement": "SELECT * FROM notes WHERE id = ?", "Parameters": [{"S": "n"}], "ConsistentRead": True},
        "SELECT * FROM notes WHERE id = 'none'",
        "SELECT * FROM rooms WHERE house = 'a'",
        "SELECT * FROM rooms WHERE house = 'b' AND room = 1 AND area = 1",
        "SELECT * FROM rooms.\"by-kind\" WHERE kind = 'a' AND room = 1",
        "SELECT * FROM none WHERE id = 'n'",
        "SELEC",
        ReturnConsumedCapacity="TOTAL",
    )
    no_item = {
        "Error": {
            "Code": "ValidationError",
            "Message": "Select statements within BatchExecuteStatement must specify the primary key in the where clause.",  # noqa: E501 - as it is
        }
    }
    assert answer["Responses"] == [
        {"TableName": "rooms", "Item": {"area": {"N": "10"}}},
        {"TableName": "notes", "Item": {"id": {"S": "n"}, "v": {"N": "1"}}},
        {"TableName": "notes"},
        no_item,
        no_item,
        no_item,
        {"Error": {"Code": "ResourceNotFound", "Message": "Requested resource not found"}},
        {
            "Error": {
                "Code": "ValidationError",
                "Message": "Statement wasn't well formed, can't be processed: Expected data manipulation at 1:1:5",
            }
        },
    ]
    assert answer["ConsumedCapacity"] == [
        {"TableName": "rooms", "CapacityUnits": 0.5},
        {"TableName": "notes", "CapacityUnits": 1.5},
    ]


def test_a_batch_writes_what_it_can(service: Service) -> None:
    answer = service.batch(
        "UPDATE notes SET v = 2 WHERE id = 'n' RETURNING ALL NEW *",
        "INSERT INTO rooms VALUE {'house': 'a', 'room': 0}",
        {
            "Statement": "UPDATE rooms SET area = 1 WHERE house = 'a' AND room = 1 AND area = ?",
            "Parameters": [{"N": "99"}],
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        },
        "DELETE FROM notes WHERE id = 'none'",
        "UPDATE rooms SET map.none.x = 1 WHERE house = 'b' AND room = 1",
        "INSERT INTO notes VALUE {'id': 'new'}",
        "UPDATE notes SET v = 1",
    )["Responses"]
    item = answer[2]["Error"].pop("Item")
    assert item["area"] == {"N": "10"}
    assert answer == [
        {"TableName": "notes", "Item": {"id": {"S": "n"}, "v": {"N": "2"}}},
        {
            "Error": {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"},
            "TableName": "rooms",
        },
        {
            "Error": {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"},
            "TableName": "rooms",
        },
        {"TableName": "notes"},
        {
            "Error": {
                "Code": "ValidationError",
                "Message": "The document path provided in the update expression is invalid for update",
            },
            "TableName": "rooms",
        },
        {"TableName": "notes"},
        {"Error": {"Code": "ValidationError", "Message": INCOMPLETE.removeprefix(V)}},
    ]
    assert sorted(item["id"] for item in service.items("SELECT id FROM notes")) == ["n", "new"]


def test_a_batch_is_of_one_kind_and_names_an_item_once(service: Service) -> None:
    read, write = "SELECT * FROM notes WHERE id = 'n'", "UPDATE notes SET v = 5 WHERE id = 'n'"
    mixed = V + "Read and write requests together in the same batch is not supported."
    assert refusal_of(lambda: service.batch(read, write)) == mixed
    twice = V + "Provided list of item keys contains duplicates"
    assert refusal_of(lambda: service.batch(read, read)) == twice
    assert refusal_of(lambda: service.batch(write, write)) == twice
    assert "length less than or equal to 25" in refusal_of(lambda: service.batch(*[write] * 26))
    assert "length greater than or equal to 1" in refusal_of(service.batch)
    assert service.items("SELECT v FROM notes") == [{"v": 1}]
    many = [f"INSERT INTO notes VALUE {{'id': 'many-{number}'}}" for number in range(25)]
    assert service.batch(*many)["Responses"] == [{"TableName": "notes"}] * 25


# ---- transactions ----------------------------------------------------------------------------------------------------


def test_a_transaction_reads_one_moment(service: Service) -> None:
    answer = service.transact(
        "SELECT v FROM notes WHERE id = 'n'",
        {"Statement": "SELECT * FROM notes WHERE id = ?", "Parameters": [{"S": "none"}]},
        ReturnConsumedCapacity="TOTAL",
    )
    assert answer["Responses"] == [{"Item": {"v": {"N": "1"}}}, {}]
    assert answer["ConsumedCapacity"][0]["ReadCapacityUnits"] == 4.0


def test_a_transaction_writes_all(service: Service) -> None:
    answer = service.transact(
        "EXISTS(SELECT * FROM rooms WHERE house = 'a' AND room = 1 AND area = 10)",
        "UPDATE notes SET v = v + 1 WHERE id = 'n'",
        {"Statement": "INSERT INTO notes VALUE {'id': ?}", "Parameters": [{"S": "new"}]},
        "DELETE FROM rooms WHERE house = 'a' AND room = 2",
        "DELETE FROM rooms WHERE house = 'zz' AND room = 2 AND area = 1",
    )
    assert answer == {"Responses": []}
    assert service.items("SELECT * FROM notes WHERE id IN ['n', 'new']") == [{"id": "n", "v": 2}, {"id": "new"}]
    assert [item["room"] for item in service.items("SELECT room FROM rooms WHERE house = 'a'")] == [0, 1, 3]


def test_a_transaction_writes_all_or_nothing(service: Service) -> None:
    with pytest.raises(TransactionCanceledException) as caught:
        service.transact(
            "UPDATE notes SET v = 9 WHERE id = 'n'",
            "INSERT INTO rooms VALUE {'house': 'a', 'room': 0}",
            {
                "Statement": "EXISTS(SELECT * FROM rooms WHERE house = 'a' AND room = 1 AND area IS MISSING)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            },
            "EXISTS(SELECT * FROM rooms WHERE house = 'zz' AND room = 1 AND area IS MISSING)",
            "UPDATE notes SET v = 9 WHERE id = 'none'",
            "UPDATE rooms SET area = none WHERE house = 'b' AND room = 1",
        )
    reasons = caught.value.members["CancellationReasons"]
    assert reasons[2].pop("Item")["area"] == {"N": "10"}
    failed = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
    assert reasons == [
        {"Code": "None"},
        {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"},
        failed,
        failed,
        failed,
        {
            "Code": "ValidationError",
            "Message": "The provided expression refers to an attribute that does not exist in the item",
        },
    ]
    assert service.items("SELECT * FROM notes") == [{"id": "n", "v": 1}]


def test_a_transaction_with_a_token_is_carried_out_once(service: Service) -> None:
    statement = "UPDATE notes SET v = v + 1 WHERE id = 'n'"
    for _ in range(2):
        assert service.transact(statement, ClientRequestToken="once") == {"Responses": []}
    assert service.items("SELECT v FROM notes") == [{"v": 2}]
    answer = service.transact(statement, ClientRequestToken="once", ReturnConsumedCapacity="TOTAL")
    assert answer["ConsumedCapacity"][0]["ReadCapacityUnits"] == 2.0
    other = "UPDATE notes SET v = v + 2 WHERE id = 'n'"
    assert refusal_of(lambda: service.transact(other, ClientRequestToken="once")).startswith(
        "IdempotentParameterMismatchException"
    )


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (
            ("SELECT * FROM notes WHERE id = 'n'", "DELETE FROM notes WHERE id = 'm'"),
            "ExecuteTransaction API does not support both read and write operations in the same request.",
        ),
        (
            ("EXISTS(SELECT * FROM notes WHERE id = 'n' AND v = 1)", "SELECT * FROM notes WHERE id = 'm'"),
            "ExecuteTransaction API does not support both read and write operations in the same request.",
        ),
        (
            ("SELECT * FROM notes WHERE id = 'n'", "SELECT * FROM notes"),
            (
                "Validation failed in TransactStatements[1]: Select statements within ExecuteTransaction must specify "
                "the primary key in the where clause."
            ),
        ),
        (
            ("SELECT * FROM notes WHERE id = 'n' AND v = 1",),
            (
                "Validation failed in TransactStatements[0]: Select statements within ExecuteTransaction must specify "
                "the primary key in the where clause."
            ),
        ),
        (
            ("SELECT * FROM rooms.\"by-kind\" WHERE kind = 'a' AND room = 1",),
            "Validation failed in TransactStatements[0]: Reads on indices are not supported within transactions.",
        ),
        (
            ("DELETE FROM notes WHERE id = 'n' RETURNING ALL OLD *",),
            "Validation failed in TransactStatements[0]: RETURNING clause is not supported in ExecuteTransaction.",
        ),
        (
            ("EXISTS(SELECT * FROM notes WHERE id = 'n')",),
            (
                "Validation failed in TransactStatements[0]: EXISTS() must contain a single item read with additional "
                "condition"
            ),
        ),
        (
            ("EXISTS(SELECT * FROM notes WHERE v = 1)",),
            (
                "Validation failed in TransactStatements[0]: EXISTS() must contain a single item read with additional "
                "condition"
            ),
        ),
        (
            ("EXISTS(SELECT * FROM rooms.\"by-kind\" WHERE kind = 'a' AND room = 1)",),
            "Validation failed in TransactStatements[0]: Operations on indices are not supported in transactions",
        ),
        (
            ("DELETE FROM notes WHERE id = 'n'", "DELETE FROM notes WHERE id = 'n' AND v = 1"),
            "Transaction request cannot include multiple operations on one item",
        ),
    ],
)
def test_what_is_no_transaction_is_refused(service: Service, statements: tuple[str, ...], message: str) -> None:
    assert refusal_of(lambda: service.transact(*statements)) == V + message
    assert service.items("SELECT * FROM notes") == [{"id": "n", "v": 1}]


def test_a_transaction_has_up_to_100_statements(service: Service) -> None:
    many = [f"INSERT INTO notes VALUE {{'id': 'many-{number}'}}" for number in range(101)]
    assert "length less than or equal to 100" in refusal_of(lambda: service.transact(*many))
    assert service.transact(*many[:100]) == {"Responses": []}
    assert len(service.items("SELECT id FROM notes")) == 101
