"""The parts of the differential test do what they are for: they find differences, and forgive only what is free."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

import pytest

from tenet.tables.rules.shape_model import REQUESTS
from tests.conformance.differential.answers import Answer, by_value, comparable, message_form, parse
from tests.conformance.differential.compare import Difference, differences, seconded
from tests.conformance.differential.known_conditions import returns_more
from tests.conformance.differential.known_entries import KNOWN_DIFFERENCES, explain
from tests.conformance.differential.known_orders import check_of
from tests.conformance.differential.requests import Step, sequence
from tests.conformance.differential.schemas import SCHEMAS
from tests.conformance.differential.table_requests import table_sequence
from tests.conformance.peers import PEERS

STEP = Step("Scan", {"TableName": "plain-S"})
ORDERED = Step("Query", {"TableName": "plain-S"}, is_ordered=True)


def answer(**body: object) -> Answer:
    return parse(200, json.dumps(body).encode())


def refusal(text: str, kind: str = "com.amazon.coral.validate#ValidationException", member: str = "message") -> Answer:
    return parse(400, json.dumps({"__type": kind, member: text}).encode())


ITEMS = [{"p": {"S": "a"}, "s": {"SS": ["x", "y"]}}, {"p": {"S": "b"}}]
FAULT = "{} validation error detected: {} failed to satisfy constraint: Member must not be null"
FAULTS = "2 validation errors detected: {} failed to satisfy constraint: X; {} failed to satisfy constraint: X"
TURNED = [{"p": {"S": "b"}}, {"p": {"S": "a"}, "s": {"SS": ["y", "x"]}}]


def test_order_counts_where_it_is_promised() -> None:
    assert not differences(STEP, "moto", answer(Items=ITEMS), answer(Items=TURNED))
    assert differences(ORDERED, "moto", answer(Items=ITEMS), answer(Items=TURNED))


def test_every_part_of_an_answer_is_compared() -> None:
    ours = answer(Items=ITEMS, Count=2, ConsumedCapacity={"CapacityUnits": 1.0})
    found = differences(STEP, "moto", ours, answer(Items=ITEMS[:1], Count=1, ConsumedCapacity={"CapacityUnits": 1}))
    assert [difference.member for difference in found] == ["Count", "Items"]


def test_an_error_is_no_success_and_no_other_error() -> None:
    good, bad = answer(), refusal("no")
    missing = refusal("no", "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "Message")
    assert [difference.member for difference in differences(STEP, "moto", good, bad)] == ["outcome"]
    assert [difference.member for difference in differences(STEP, "moto", bad, missing)] == ["outcome"]
    assert [difference.member for difference in differences(STEP, "moto", bad, refusal("yes"))] == ["message"]
    assert not differences(STEP, "moto", bad, refusal("no", member="Message"))


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("1 validation error detected: Invalid x", "Invalid x", True),
        ("1 validation error detected: Value provided in x", "Value provided in x", True),
        (FAULT.format(1, "Value '' at 'tableName'"), FAULT.format(1, "Value at 'TableName'"), True),
        (
            FAULTS.format("Value '1' at 'a'", "Value null at 'b'"),
            FAULTS.format("Value null at 'b'", "Value '2' at 'a'"),
            True,
        ),
        (FAULT.format(1, "Value '1' at 'a'"), FAULT.format(1, "Value '1' at 'b'"), False),
        ("index does not project [a, b]", "index does not project [b, a]", True),
        ("index does not project [a, b]", "index does not project [b]", False),
        ("Invalid x", "Invalid y", False),
    ],
)
def test_texts_are_one_where_the_service_words_them_in_two_ways(one: str, other: str, is_same: bool) -> None:
    assert (message_form(one) == message_form(other)) is is_same


def test_numbers_are_compared_by_their_text_and_for_contents_by_value() -> None:
    one, other = {"a": {"L": [{"N": "1.0"}]}}, {"a": {"L": [{"N": "1"}]}}
    assert differences(STEP, "moto", answer(Item=one), answer(Item=other))
    assert by_value(one) == by_value(other)
    assert by_value({"N": "1" * 38}) != by_value({"N": "1" * 37 + "2"})
    assert by_value({"N": "0.5"}) != by_value({"N": "0.4" + "9" * 129})
    assert by_value({"N": "1" + "0" * 125}) != by_value({"N": "1" + "0" * 125 + "." + "0" * 129 + "1"})
    assert by_value({"NS": ["1", "2.0"]}) == by_value({"NS": ["2", "1.00"]})
    assert comparable(answer(Item=one), is_ordered=False) == {"outcome": "success", "Item": one}


def test_known_differences_are_written_out() -> None:
    names = [known.name for known in KNOWN_DIFFERENCES]
    assert len(set(names)) == len(names)
    for known in KNOWN_DIFFERENCES:
        assert set(known.witnesses) <= set(PEERS), known.name
        assert set(known.operations) <= set(REQUESTS), known.name
        assert known.reason.endswith("."), known.name
        assert known.source, known.name


def test_a_known_difference_excuses_nothing_else() -> None:
    def difference(witness: str, member: str, ours: object, theirs: object) -> Difference:
        return Difference(witness, "GetItem", {"TableName": "plain-S"}, member, ours, theirs)

    for witness in ("dynamodb-local", "dynalite", "dynoxide"):
        assert explain(difference(witness, "Item", {"a": {"S": "x"}}, {"a": {"S": "y"}})) is None
        assert explain(difference(witness, "outcome", "success: ", "ResourceNotFoundException: no")) is None
        assert explain(difference(witness, "outcome", "InternalServerError: no", "success: ")) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "is_more"),
    [
        ({"M": {"c": {"N": "1.0"}}}, {"M": {"b": {"S": "x"}, "c": {"N": "1"}}}, True),
        ({"L": [{"S": "b"}]}, {"L": [{"S": "a"}, {"S": "b"}]}, True),
        ({"M": {"c": {"S": "x"}}}, {"M": {"c": {"S": "y"}}}, False),
        ({"M": {"c": {"S": "x"}}}, {"M": {"b": {"S": "x"}}}, False),
        ({"S": "x"}, {"S": "y"}, False),
    ],
)
def test_more_of_what_was_updated_is_all_of_it_and_its_neighbours(ours: object, theirs: object, is_more: bool) -> None:
    request = {"ReturnValues": "UPDATED_NEW"}
    difference = Difference("dynamodb-local", "UpdateItem", request, "Attributes", {"d": ours}, {"d": theirs})
    assert returns_more(difference) is is_more
    assert not returns_more(replace(difference, request={"ReturnValues": "ALL_NEW"}))


def words(witness: str, ours: str, theirs: str) -> Difference:
    return Difference(witness, "TransactWriteItems", {}, "message", ours, theirs)


SYNTAX = 'Invalid UpdateExpression: Syntax error; token: "{}", near: "x"'
BOUNDS = "Invalid ConditionExpression: The BETWEEN operator requires same data type"


def test_another_fault_is_no_difference_as_long_as_no_two_witnesses_tell_it() -> None:
    ours, theirs = SYNTAX.format("a"), "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a}"
    alone = seconded([words("dynamodb-local", ours, theirs), words("dynoxide", ours, BOUNDS)])
    assert [explain(difference) is not None for difference in alone] == [True, True]
    together = seconded([words("dynamodb-local", ours, theirs), words("dynoxide", ours, theirs)])
    assert [explain(difference) is not None for difference in together] == [False, False]


def test_the_same_fault_is_told_in_the_same_words() -> None:
    assert explain(words("dynamodb-local", SYNTAX.format("a"), SYNTAX.format("b"))) is None
    assert explain(words("dynamodb-local", "The provided starting key is invalid", "starting key: no")) is None
    assert explain(words("dynamodb-local", SYNTAX.format("a"), "words of nobody's")) is None


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (SYNTAX.format("a"), SYNTAX.format("b"), True),
        (SYNTAX.format("a"), SYNTAX.format("a").replace("Update", "Condition"), False),
        (SYNTAX.format("a"), BOUNDS, False),
        ("Number overflow. Attempting", "Supplied AttributeValue is empty", True),
        (
            "Invalid UpdateExpression: An expression attribute x: #a",
            "Invalid UpdateExpression: An expression attribute x: #b",
            False,
        ),
        ("nothing", "that is known", True),
    ],
)
def test_texts_of_one_check_are_put_together(one: str, other: str, is_same: bool) -> None:
    assert (check_of(one) == check_of(other)) is is_same


def test_sequences_come_again_from_their_seed_and_are_many() -> None:
    made = [repr(sequence(Random(seed))) for seed in range(100)]
    assert made == [repr(sequence(Random(seed))) for seed in range(100)]
    assert len(set(made)) == 100
    tables = [repr(table_sequence(Random(seed))) for seed in range(100)]
    assert len(set(tables)) > 90


def test_sequences_reach_every_operation_and_every_table() -> None:
    steps = [step for seed in range(400) for step in sequence(Random(seed))]
    assert {step.operation for step in steps} == {
        *("PutItem", "GetItem", "UpdateItem", "DeleteItem", "Query", "Scan"),
        *("BatchGetItem", "BatchWriteItem", "TransactGetItems", "TransactWriteItems"),
    }
    text = repr(steps)
    assert all(f"'{schema.name}'" in text for schema in SCHEMAS)
    assert all(f"'IndexName': '{index.name}'" in text for schema in SCHEMAS for index in schema.indexes)
    faulty = sum(step.is_faulty for step in steps) / len(steps)
    assert 0.1 < faulty < 0.5
