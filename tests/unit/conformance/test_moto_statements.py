"""What is forgiven moto in statements is what it is known for, and nothing in statements that it reads."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.conformance.differential.answers import SUCCESS
from tests.conformance.differential.compare import CONTENTS, OUTCOME, Difference
from tests.conformance.differential.known_entries import explain
from tests.conformance.differential.known_of_moto_statements import has_other_forms
from tests.conformance.differential.plain_statements import plain_sequence
from tests.conformance.differential.schemas import SCHEMAS, Json
from tests.conformance.differential.statements import statement_sequence

READ = 'SELECT * FROM "plain-S" WHERE "p" = \'a\''
INSERT = "INSERT INTO \"plain-S\" VALUE {'p': 'a', 'x': 3}"
UPDATE = 'UPDATE "plain-S" SET s = ? WHERE "p" = \'a\''
DONE = f"{SUCCESS}: "


def difference(
    member: str, ours: Any, theirs: Any, *statements: str, operation: str = "ExecuteStatement"
) -> Difference:
    parts = [{"Statement": statement} for statement in statements]
    request: Json = {"Statements": parts} if operation == "BatchExecuteStatement" else {"TransactStatements": parts}
    return Difference("moto", operation, parts[0] if operation == "ExecuteStatement" else request, member, ours, theirs)


def name_of(found: Difference) -> str | None:
    known = explain(found)
    return None if known is None else known.name


@pytest.mark.parametrize(
    ("statement", "parameters", "is_read"),
    [
        (READ, [], True),
        ('SELECT s, t FROM "plain-SS" WHERE p = ? AND "r" = ?', [{"S": "a"}, {"S": "b"}], True),
        ('SELECT s FROM "plain-N" WHERE p = ?', [{"N": "1.0"}], False),
        ('SELECT * FROM "plain-S" WHERE p = 1', [], False),
        ('SELECT * FROM "indexed"."global-all" WHERE g = \'a\'', [], False),
        ('SELECT * FROM "plain-S"', [], False),
        ("SELECT * FROM \"plain-S\" WHERE p = 'a' OR p = 'b'", [], False),
        ("SELECT * FROM \"plain-S\" WHERE p = 'it''s'", [], False),
        (INSERT, [], True),
        ("INSERT INTO \"plain-S\" VALUE {'p': ?}", [{"S": "a"}], False),
        (UPDATE, [{"SS": ["a"]}], True),
        ("UPDATE \"plain-S\" SET s = s + 1 WHERE p = 'a'", [], False),
        ('UPDATE "plain-N" SET s = ? WHERE p = ?', [{"N": "1"}, {"N": "1"}], False),
        ("UPDATE \"plain-S\" REMOVE s WHERE p = 'a' RETURNING ALL OLD *", [], False),
        ("DELETE FROM \"plain-S\" WHERE p = 'a'", [], True),
        ('DELETE FROM "plain-S" WHERE p = ?', [{"S": "a"}], False),
    ],
)
def test_moto_reads_plain_statements(statement: str, parameters: list[Json], is_read: bool) -> None:
    part = {"Statement": statement, "Parameters": parameters}
    alone = Difference("moto", "ExecuteStatement", part, OUTCOME, DONE, "no answer")
    among = Difference(
        "moto", "ExecuteTransaction", {"TransactStatements": [{"Statement": READ}, part]}, OUTCOME, "", ""
    )
    assert has_other_forms(alone) is has_other_forms(among) is not is_read
    assert name_of(alone) == (None if is_read else "moto-forms-of-statements")


@pytest.mark.parametrize(
    ("member", "ours", "theirs"),
    [
        (OUTCOME, DONE, "no answer"),
        (OUTCOME, DONE, "ResourceNotFoundException: no"),
        (OUTCOME, "ResourceNotFoundException: no", DONE),
        (OUTCOME, "ValidationException: no", DONE),
        ("message", "no", "never"),
        ("Items", [{"p": {"S": "a"}}], [{"p": {"S": "b"}}]),
        ("Items", [], [{"p": {"S": "b"}}]),
        (CONTENTS, [], [{"p": {"S": "a"}}]),
    ],
)
@pytest.mark.parametrize("statement", [READ, INSERT, UPDATE])
def test_nothing_else_is_forgiven_in_them(statement: str, member: str, ours: Any, theirs: Any) -> None:
    assert name_of(difference(member, ours, theirs, statement)) is None


def test_conditions_and_items_that_are_there_are_forgiven_where_moto_says_that_it_did_it() -> None:
    failed, there = "ConditionalCheckFailedException: no", "DuplicateItemException: no"
    assert name_of(difference(OUTCOME, failed, DONE, UPDATE)) == "moto-unconditional-statements"
    assert name_of(difference(OUTCOME, there, DONE, INSERT)) == "moto-inserts-over-items"
    assert name_of(difference(OUTCOME, failed, there, UPDATE)) is None
    assert name_of(difference(OUTCOME, DONE, failed, UPDATE)) is None
    twice = "ValidationException: Transaction request cannot include multiple operations on one item"
    two = difference(OUTCOME, twice, DONE, INSERT, UPDATE, operation="ExecuteTransaction")
    assert name_of(two) == "moto-statements-together"


ITEM = {"Item": {"p": {"S": "a"}, "n": {"N": "1.0"}}}
SAME = {"Item": {"p": {"S": "a"}, "n": {"N": "1"}}}
OTHER = {"Item": {"p": {"S": "b"}}}


def test_transactions_of_reads_may_be_answered_in_part() -> None:
    def known(ours: list[Json], theirs: list[Json]) -> str | None:
        return name_of(difference("Responses", ours, theirs, READ, READ, operation="ExecuteTransaction"))

    assert known([{}, ITEM], [SAME]) == "moto-answers-of-statements"
    assert known([OTHER, ITEM], [SAME]) == "moto-attributes-named-m"
    assert known([{}, ITEM], [OTHER]) is None
    assert known([ITEM, OTHER], [OTHER, ITEM, OTHER, {"Item": {}}]) is None


def test_batches_may_differ_in_what_was_not_done() -> None:
    def known(ours: list[Json], theirs: list[Json]) -> str | None:
        return name_of(difference("Responses", ours, theirs, INSERT, UPDATE, operation="BatchExecuteStatement"))

    done = {"TableName": "plain-S"}
    failed = done | {"Error": {"Code": "ConditionalCheckFailed", "Message": "no"}}
    invalid = done | {"Error": {"Code": "ValidationError", "Message": "no"}}
    assert known([failed, done], [done, done]) == "moto-unconditional-batches"
    assert known([failed, invalid], [done, done]) is None
    assert known([done, failed], [done | OTHER, done]) is None


def test_plain_statements_are_read_by_moto_and_come_in_all_kinds() -> None:
    kinds, tables = set(), set()
    for seed in range(200):
        for step in plain_sequence(Random(seed))[2:]:
            assert not has_other_forms(Difference("moto", step.operation, step.request, OUTCOME, "", "")), step.request
            parts = next(
                (step.request[name] for name in ("Statements", "TransactStatements") if name in step.request), None
            )
            for part in parts or [step.request]:
                kinds.add((step.operation, part["Statement"].split(" ")[0]))
                tables.add(part["Statement"].split('"')[1])
    operations = ("ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction")
    assert kinds == {(name, word) for name in operations for word in ("SELECT", "INSERT", "UPDATE", "DELETE")}
    assert tables == {schema.name for schema in SCHEMAS if all(kind == "S" for _, kind in schema.keys)}


def test_most_other_statements_are_not() -> None:
    steps = [step for seed in range(50) for step in statement_sequence(Random(seed))[2:]]
    unread = [
        step for step in steps if has_other_forms(Difference("moto", step.operation, step.request, OUTCOME, "", ""))
    ]
    assert len(unread) > len(steps) * 0.7
