"""PartiQL statements as programs send them: what they answer, and the service's words where they are refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.tables.statements import Service

V = "ValidationException: "
D = V + "One or more parameter values were invalid: Input collection "
TOO_DEEP = V + "Nesting Levels have exceeded supported limits under "
INCOMPLETE = V + "Where clause does not contain a mandatory equality on all key attributes"


def numbers(service: Service, statement: str, *parameters: Any, **more: Any) -> list[int]:
    return [item["room"] for item in service.items(statement, *parameters, **more)]


# ---- SELECT ----------------------------------------------------------------------------------------------------------


def test_a_select_answers_parts_by_their_last_names(service: Service) -> None:
    assert service.items("SELECT map.x, map.parts[1], area, none FROM rooms WHERE house = 'a' AND room = 1") == [
        {"x": "y", "parts[1]": 2, "area": 10}
    ]
    assert service.items("SELECT \"map\".\"x\", map['parts'][0] FROM rooms WHERE house = 'b' AND room = 0") == [
        {"x": "y", "parts[0]": 1}
    ]
    assert service.run("SELECT none FROM notes")["Items"] == [{}]


@pytest.mark.parametrize(
    ("where", "rooms"),
    [
        ("house = 'a'", [0, 1, 2, 3]),
        ("'a' = house AND 2 <= room", [2, 3]),
        ("house = 'a' AND room BETWEEN 1 AND 2", [1, 2]),
        ("house = 'a' AND room > 0 AND room < 3", [1, 2]),
        ("house = 'a' AND room IN [1, 3]", [1, 3]),
        ("house = 'a' AND (room = 1 OR room = 3)", [1, 3]),
        ("house = 'a' AND NOT room = 1", [0, 2, 3]),
        ("house = 'a' AND room = 1 AND room = 2", []),
        ("house = 'a' AND house = 'b'", []),
        ("house = 'a' ORDER BY room DESC", [3, 2, 1, 0]),
        ("house = 'a' AND area >= 20 ORDER BY room DESC", [3, 2]),
        ("house IN ['b', 'a'] AND room <= 1 ORDER BY house DESC, room ASC", [0, 1, 0, 1]),
        ("house IN ('a') AND contains(tags, 'a') AND size(tags) = 2 AND map.parts[0] = 1", [0, 1, 2, 3]),
        ("house = 'a' AND contains(tags, 'c')", []),
        ("house = 'a' AND absent IS MISSING AND area IS NUMERIC AND kind IS NOT NULL AND map IS STRUCT", [0, 1, 2, 3]),
        ("house = 'a' AND map.parts = [1, 2] AND tags = <<'b', 'a'>>", [0, 1, 2, 3]),
        ("house = 'a' AND area != 0 AND attribute_type(area, 'N')", [1, 2, 3]),
        ("house = 'zz'", []),
    ],
)
def test_a_select_by_the_partition_key_is_a_query(service: Service, where: str, rooms: list[int]) -> None:
    assert numbers(service, f"SELECT room FROM rooms WHERE {where}") == rooms


def test_anything_else_is_a_scan(service: Service) -> None:
    for where in ("house = 'a' OR room >= 0", "begins_with(kind, 'k')", "room >= 0", "NOT house = 'c'", "1 = 1"):
        assert sorted(numbers(service, f"SELECT room FROM rooms WHERE {where}")) == [0, 0, 1, 1, 2, 2, 3, 3]
    for reads_more, where in ((False, "house = 'a'"), (True, "begins_with(house, 'a')")):
        answer = service.run(f"SELECT room FROM rooms WHERE {where}", ReturnConsumedCapacity="TOTAL", Limit=6)
        assert (len(answer["Items"]), "NextToken" in answer) == (4, reads_more)


def test_indexes_are_read_by_their_own_keys(service: Service) -> None:
    found = service.items("SELECT * FROM rooms.\"by-kind\" WHERE kind = 'k1' AND room > 1")
    assert sorted(item["house"] for item in found) == ["a", "b"]
    assert all(item.keys() == {"house", "room", "kind"} for item in found)
    # A local index fetches what it lacks from the table.
    assert service.items("SELECT area FROM rooms.\"by-kind-here\" WHERE house = 'a' AND kind = 'k1'") == [
        {"area": 10},
        {"area": 30},
    ]
    assert numbers(service, "SELECT room FROM rooms.\"by-kind\" WHERE kind = 'k1' ORDER BY room DESC") == [3, 3, 1, 1]


@pytest.mark.parametrize("where", ["house = 'a'", "house IN ['a', 'b'] AND area >= 10", "area >= 10", "1 = 1"])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 8, 9])
def test_pages_come_together(service: Service, where: str, limit: int) -> None:
    statement = f"SELECT house, room FROM rooms WHERE {where}"
    pages = [service.run(statement, Limit=limit)]
    while "NextToken" in pages[-1]:
        last = pages[-1]["LastEvaluatedKey"]
        assert last.keys() == {"house", "room"}
        assert len(pages[-1]["Items"]) <= limit
        pages.append(service.run(statement, Limit=limit, NextToken=pages[-1]["NextToken"]))
        assert len(pages) < 20
    assert [item for page in pages for item in page["Items"]] == service.run(statement)["Items"]


def test_pages_go_backwards_and_through_indexes(service: Service) -> None:
    for statement in (
        "SELECT room FROM rooms WHERE house IN ['a', 'b'] ORDER BY house DESC, room DESC",
        "SELECT house, room FROM rooms.\"by-kind\" WHERE kind IN ['k0', 'k1'] AND room < 3",
        'SELECT house, room FROM rooms."by-kind"',
    ):
        found: list[Any] = []
        token: dict[str, str] = {}
        while True:
            page = service.run(statement, Limit=1, **token)
            found += page["Items"]
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
        assert found == service.run(statement)["Items"]


def test_a_token_is_good_for_its_statement_alone(service: Service) -> None:
    statement = "SELECT room FROM rooms WHERE house = ?"
    token = service.run(statement, {"S": "a"}, Limit=1)["NextToken"]
    assert numbers(service, statement, {"S": "a"}, NextToken=token) == [1, 2, 3]
    mismatch = V + "NextToken does not match request"
    assert service.refusal(statement, {"S": "b"}, NextToken=token) == mismatch
    assert service.refusal("SELECT room FROM rooms", NextToken=token) == mismatch
    for broken in ("xx", "!", "é", "W10=", "bnVsbA==", "WzEsMiwzXQ==", token[:-8]):
        assert service.refusal(statement, {"S": "a"}, NextToken=broken) == V + "Invalid NextToken"


# ---- writes ----------------------------------------------------------------------------------------------------------


def test_an_insert_makes_an_item_of_every_type(service: Service) -> None:
    answer = service.run(
        "INSERT INTO notes VALUE {'id': 'it''s', 'n': -1.50e1, 'l': [1, 'x', true, null, <<'q'>>], "
        "'m': {'a': {}, 'b': []}, 'ss': <<'b', 'a'>>, 'ns': <<2, 1>>, 'bs': ?, 'é': ?}",
        {"BS": ["YQ=="]},
        {"N": "1.0"},
    )
    assert answer == {"Items": []}
    assert service.run("SELECT * FROM notes WHERE id = 'it''s'")["Items"] == [
        {
            "id": {"S": "it's"},
            "n": {"N": "-15"},
            "l": {"L": [{"N": "1"}, {"S": "x"}, {"BOOL": True}, {"NULL": True}, {"SS": ["q"]}]},
            "m": {"M": {"a": {"M": {}}, "b": {"L": []}}},
            "ss": {"SS": ["a", "b"]},
            "ns": {"NS": ["1", "2"]},
            "bs": {"BS": ["YQ=="]},
            "é": {"N": "1"},
        }
    ]


def test_an_insert_replaces_nothing(service: Service) -> None:
    assert service.refusal("INSERT INTO notes VALUE {'id': 'n', 'v': 2}") == (
        "DuplicateItemException: Duplicate primary key exists in table"
    )
    assert service.items("SELECT v FROM notes") == [{"v": 1}]


@pytest.mark.parametrize(
    ("change", "returning", "item"),
    [
        ("SET v = 2, w = 'x' SET u = [1] REMOVE none", "ALL NEW", {"id": "n", "v": 2, "w": "x", "u": [1]}),
        ("SET v = v + 1", "MODIFIED NEW", {"v": 2}),
        ("SET v = 10 - v - 2", "MODIFIED NEW", {"v": 7}),
        ("SET v = 5", "MODIFIED OLD", {"v": 1}),
        ("SET v = 5", "ALL OLD", {"id": "n", "v": 1}),
        ("SET v = {'a': [1]}", "MODIFIED NEW", {"v": {"a": [1]}}),
        ("SET w = v", "MODIFIED NEW", {"w": 1}),
        ("SET w = if_not_exists(w, 3)", "MODIFIED NEW", {"w": 3}),
        ("SET w = list_append([0], [1])", "MODIFIED NEW", {"w": [0, 1]}),
        ("SET w = set_add(w, <<'b', 'a'>>)", "MODIFIED NEW", {"w": {"SS": ["a", "b"]}}),
        ("SET v = NULL", "MODIFIED NEW", {"v": {"NULL": True}}),
        ('SET "#v" = 1, "a b" = 2', "MODIFIED NEW", {"#v": 1, "a b": 2}),
        ("REMOVE v", "MODIFIED OLD", {"v": 1}),
    ],
)
def test_an_update_returns_what_it_is_asked_for(
    service: Service, change: str, returning: str, item: dict[str, Any]
) -> None:
    assert service.items(f"UPDATE notes {change} WHERE id = 'n' RETURNING {returning} *") == [item]


def test_an_update_with_nothing_to_return_returns_nothing(service: Service) -> None:
    assert service.run("UPDATE notes SET v = 2 WHERE id = 'n'") == {"Items": []}
    assert service.run("UPDATE notes REMOVE v WHERE id = 'n' RETURNING MODIFIED NEW *") == {"Items": []}
    assert service.run("UPDATE notes SET fresh = 2 WHERE id = 'n' RETURNING MODIFIED OLD *") == {"Items": []}


def test_sets_grow_and_shrink(service: Service) -> None:
    key = "WHERE house = 'a' AND room = 0 RETURNING MODIFIED NEW *"
    assert service.items(f"UPDATE rooms SET tags = set_add(tags, <<'c', 'a'>>) {key}") == [
        {"tags": {"SS": ["a", "b", "c"]}}
    ]
    assert service.items(f"UPDATE rooms SET tags = set_delete(tags, ?) {key}", {"SS": ["a", "c"]}) == [
        {"tags": {"SS": ["b"]}}
    ]
    assert service.items(f"UPDATE rooms SET tags = set_delete(tags, <<'b'>>) {key}") == []


def test_an_update_changes_only_what_is_there(service: Service) -> None:
    failed = "ConditionalCheckFailedException: The conditional request failed"
    assert service.refusal("UPDATE notes SET v = 1 WHERE id = 'none'") == failed
    assert service.refusal("UPDATE notes REMOVE v WHERE id = 'none'") == failed
    assert service.refusal("UPDATE notes SET v = 2 WHERE id = 'n' AND v = 9") == failed
    assert service.items("SELECT * FROM notes") == [{"id": "n", "v": 1}]


def test_a_failed_condition_can_carry_the_item(service: Service) -> None:
    for statement in ("UPDATE notes SET v = 2 WHERE id = 'n' AND v = 9", "DELETE FROM notes WHERE id = 'n' AND v = 9"):
        with pytest.raises(Exception, match="conditional") as caught:
            service.run(statement, ReturnValuesOnConditionCheckFailure="ALL_OLD")
        assert caught.value.members == {"Item": {"id": {"S": "n"}, "v": {"N": "1"}}}  # type: ignore[attr-defined]


def test_a_delete_of_what_is_not_there_does_nothing(service: Service) -> None:
    assert service.run("DELETE FROM notes WHERE id = 'none' RETURNING ALL OLD *") == {"Items": []}
    assert service.run("DELETE FROM notes WHERE id = 'none' AND v = 9") == {"Items": []}
    assert service.items("DELETE FROM notes WHERE id = 'n' AND v = 1 RETURNING ALL OLD *") == [{"id": "n", "v": 1}]
    assert service.items("SELECT * FROM notes") == []


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT a, m.a FROM notes", V + "Duplicate identifiers in select clause: a"),
        (
            "SELECT * FROM ab",
            V + "Table name should be within the length [3, 255] and only contain 'a-z', 'A-Z', '0-9', '-', '_', '.'.",
        ),
        ("SELECT * FROM none", "ResourceNotFoundException: Requested resource not found"),
        ("SELECT * FROM rooms.none", V + "The table does not have the specified index: none"),
        (
            "SELECT area FROM rooms.\"by-kind\" WHERE kind = 'a'",
            V + "One or more parameter values were invalid: Global secondary index by-kind does not project [area]",
        ),
        (
            "SELECT * FROM rooms ORDER BY room",
            V + "Must have WHERE clause in the statement when using ORDER BY clause.",
        ),
        (
            "SELECT * FROM rooms WHERE area = 1 ORDER BY room",
            V + "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
        ),
        (
            "SELECT * FROM rooms WHERE house = 'a' ORDER BY area",
            V + "Variable reference area in ORDER BY clause must be part of the primary key",
        ),
        (
            "SELECT * FROM rooms WHERE house = 'a' ORDER BY 1",
            V + "Argument to ORDER BY must be of type VariableReference. Type: 1",
        ),
        (
            "SELECT * FROM rooms WHERE house = 'a' ORDER BY MISSING",
            V + "Argument to ORDER BY must be of type VariableReference. Type: MISSING",
        ),
        (
            "SELECT * FROM rooms WHERE house = 1",
            V + "Key attribute's data type should match its data type in table's schema: Key house",
        ),
        (
            "SELECT * FROM rooms WHERE house = 'a' AND begins_with(room, 'x')",
            V + "Key attribute's data type should match its data type in table's schema: Key room",
        ),
        (
            "SELECT * FROM rooms WHERE house = ''",
            (
                "ValidationException: One or more parameter values are not valid. The "
                "AttributeValue for a key attribute cannot contain an empty string value. Key: house"
            ),
        ),
        (
            f"SELECT * FROM notes WHERE id IN [{', '.join(map(repr, map(str, range(51))))}]",
            V + "Too many decomposed read operations for a given query.",
        ),
        ("SELECT * FROM notes WHERE v", V + "WHERE clause must contain an expression that resolves to a boolean"),
        ("SELECT * FROM notes WHERE size(v)", V + "WHERE clause must contain an expression that resolves to a boolean"),
        ("SELECT * FROM notes WHERE v AND id = 'n'", V + "The arguments to AND/OR must be Expressions"),
        ("SELECT * FROM notes WHERE NOT v", V + "The argument to NOT must be a Type or Expression"),
        (
            "SELECT * FROM notes WHERE v = 1 AND ['a', [v]]",
            V + "Unsupported data type: VariableReference under key root[1][0] at 1:44:1",
        ),
        (
            "SELECT * FROM notes WHERE NOT ('a', MISSING OR v)",
            V + "Unsupported data type: NAry under key root[1] at 1:45:2",
        ),
        (
            "SELECT * FROM notes WHERE v = 1 AND {'k': MISSING}",
            V + "Unsupported data type: LiteralMissing under key root.k at 1:43:7",
        ),
        (
            "SELECT * FROM notes WHERE NOT <<v>>",
            V + "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags at 1:33:1",
        ),
        ("SELECT * FROM notes WHERE NOT ['a', {'k': 1}]", V + "The argument to NOT must be a Type or Expression"),
        (
            "SELECT * FROM notes WHERE v = [size(v)]",
            V + "Unsupported data type: NAry under key root[0] at 1:32:4",
        ),
        ("SELECT * FROM notes WHERE v = MISSING", V + "MISSING must be compared using IS operator"),
        ("SELECT * FROM notes WHERE v + 1 = 2", V + "Unsupported operator in Condition Expression. Operator: +"),
        ("SELECT * FROM notes WHERE -v = 2", V + "Unsupported operator in Condition Expression. Operator: -"),
        ("SELECT * FROM notes WHERE v LIKE 'a'", V + "Unsupported operator in Condition Expression. Operator: like"),
        (
            "SELECT * FROM notes WHERE v IS SYMBOL",
            V + "Unsupported data type for IS operator: SYMBOL. Supported data "
            "types are [MISSING, NULL, BOOLEAN, BLOB, STRING, NUMERIC, STRUCT, TUPLE, LIST]",
        ),
        (
            "SELECT * FROM notes WHERE size(v) IS NULL",
            V + "The left hand side argument to IS must be a Variable Reference, Literal, or Path",
        ),
        (
            "SELECT * FROM notes WHERE v IN []",
            V + "IN operator must have a left hand argument of type Variable Reference "
            "and right hand argument of type Seq with at least one member",
        ),
        (
            "SELECT * FROM rooms WHERE house = 'a' AND begins_with()",
            V + "Incorrect number of operands for operator or function; operator or function: begins_with, number of "
            "operands: 0",
        ),
        ("SELECT * FROM notes WHERE foo(v)", V + "Unrecognized function: foo"),
        ("SELECT * FROM notes WHERE foo(v) = 1", V + "Unrecognized function: foo"),
        (
            "SELECT * FROM notes WHERE contains(v)",
            V + "Incorrect number of operands for operator or function; operator "
            "or function: contains, number of operands: 1",
        ),
        (
            "SELECT * FROM notes WHERE v < [1]",
            V + "Incorrect operand type for operator or function; operator or function: <, operand type: L",
        ),
        (
            "SELECT * FROM notes WHERE id.x = 1",
            V + "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: id",
        ),
        ("SELECT * FROM notes WHERE v = <<>>", V + "Empty bags are not supported at 1:31:2"),
        (
            "SELECT * FROM notes WHERE v = [w]",
            V + "Unsupported data type: VariableReference under key root[0] at 1:32:1",
        ),
        (
            "EXISTS(SELECT * FROM notes WHERE id = 'n' AND v = 1)",
            V + "EXISTS can only be used in ExecuteTransaction write requests.",
        ),
        ("UPDATE notes SET v = 1", INCOMPLETE),
        ("UPDATE notes SET v = 1 WHERE v = 1", INCOMPLETE),
        ("UPDATE notes SET v = 1 WHERE id IN ['n']", INCOMPLETE),
        ("UPDATE notes SET v = 1 WHERE id = 'n' OR id = 'm'", INCOMPLETE),
        ("UPDATE notes SET v = 1 WHERE id > 'n'", INCOMPLETE),
        ("DELETE FROM rooms WHERE house = 'a'", INCOMPLETE),
        (
            "DELETE FROM notes WHERE id = 'n' AND id = 'm'",
            V + "Multiple conditions on same key id. Only single item Update/Insert/Delete are supported",
        ),
        (
            "UPDATE notes SET id = 'm' WHERE id = 'n'",
            V + "One or more parameter values were invalid: Cannot update "
            "attribute id. This attribute is part of the key",
        ),
        (
            "UPDATE notes SET v = 1, v = 2 WHERE id = 'n'",
            V + "Two document paths overlap with each other; must remove or "
            "rewrite one of these paths; path one: [v], path two: [v]",
        ),
        (
            "UPDATE notes SET m.x = 1 WHERE id = 'n'",
            V + "The document path provided in the update expression is invalid for update",
        ),
        (
            "UPDATE notes SET v = w WHERE id = 'n'",
            V + "The provided expression refers to an attribute that does not exist in the item",
        ),
        ("UPDATE notes SET v = v * 2 WHERE id = 'n'", V + "Unsupported operator in Update Expression. Operator: *"),
        ("UPDATE notes SET v = v IS NULL WHERE id = 'n'", V + "IS operator is not supported in update expressions"),
        ("UPDATE notes SET v = MISSING WHERE id = 'n'", V + "MISSING must be compared using IS operator"),
        (
            "UPDATE notes SET v = size(v) WHERE id = 'n'",
            V + "The function is not allowed in an update expression; function: size",
        ),
        ("UPDATE notes SET v = foo(1) WHERE id = 'n'", V + "Unrecognized function: foo"),
        (
            "UPDATE notes SET v = list_append(v, 3) WHERE id = 'n'",
            V + "Incorrect operand type for operator or function; operator or function: list_append, operand type: N",
        ),
        (
            "UPDATE notes SET v = set_add(w, <<1>>) WHERE id = 'n'",
            V + "The first argument to SET_ADD must equal the assignment value",
        ),
        ("UPDATE notes SET v = set_add(v) WHERE id = 'n'", V + "SET_ADD must have exactly two arguments at 1:22:7"),
        (
            "UPDATE notes SET v = set_delete(v, 'x') WHERE id = 'n'",
            V + "The second argument to SET_DELETE must be a value with type SET at 1:33:1",
        ),
        (
            'UPDATE notes\nSET "v" = set_add("v", [1]) WHERE id = \'n\'',
            V + "The second argument to SET_ADD must be a value with type SET at 2:19:3",
        ),
        (
            "INSERT INTO notes VALUE 'x'",
            V + "Unsupported format in item expression. Please use struct format {...} to "
            "express item values for insert statement. at 1:25:3",
        ),
        ("INSERT INTO notes VALUE {'v': 1}", V + "Key attribute should be present in the item: Key id"),
        (
            "INSERT INTO notes VALUE {'id': 1}",
            V + "Key attribute's data type should match its data type in table's schema: Key id",
        ),
        ("INSERT INTO notes VALUE {'id': 'm', 'id': 'm'}", V + "Duplicate keys in tuple. Key: id under root at 1:37:4"),
        (
            "INSERT INTO notes VALUE {id: 'm'}",
            V + "Tuple keys must be of type String. Actual type: VariableReference under root at 1:26:2",
        ),
        (
            "INSERT INTO notes VALUE {'id': 'm', 'b': <<1, 'a'>>}",
            V + "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags",
        ),
        ("INSERT INTO notes VALUE {'id': 'm', 'b': <<1, 1.0>>}", D + "[1, 1.0] contains duplicates! under root"),
        ("SELECT * FROM notes WHERE v = [1, <<2, - 1, -1.>>]", D + "[2, -1, -1.] contains duplicates! under root[1]"),
        ("SELECT * FROM notes WHERE v = <<'a', 'a'>>", D + "[a, a] contains duplicates."),
        (
            "INSERT INTO notes VALUE {'id': 'm', 'b': MISSING}",
            V + "Unsupported data type: MISSING under key root at 1:42:7",
        ),
        (
            "INSERT INTO notes VALUE {'id': 'm', 'b': 1e200}",
            V + "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
        (
            "INSERT INTO notes VALUE {'id': 'm', 'l': " + "[" * 33 + "]" * 33 + "}",
            TOO_DEEP + "root" + "[0]" * 32,
        ),
        ("INSERT INTO notes VALUE {'id': 'm', 'l': " + "{'a':" * 32 + "1" + "}" * 33, TOO_DEEP + "root" + ".a" * 32),
        (
            "UPDATE notes SET l = {'a': " + "[" * 31 + "1" + "]" * 31 + "} WHERE id = 'n'",
            TOO_DEEP + "root.a" + "[0]" * 31,
        ),
        (
            "INSERT INTO rooms VALUE {'house': 'c', 'room': 1, 'kind': 1}",
            V + "One or more parameter values were invalid: "
            "Type mismatch for Index Key kind Expected: S Actual: N IndexName: by-kind",
        ),
    ],
)
def test_what_is_wrong_is_said_in_the_services_words(service: Service, statement: str, message: str) -> None:
    assert service.refusal(statement) == message


def test_parameters_have_to_be_there_and_right(service: Service) -> None:
    by_id = "SELECT * FROM notes WHERE id = ?"
    mismatch = V + "Number of parameters in request and statement don't match."
    assert service.refusal(by_id) == mismatch
    assert service.refusal("DELETE FROM notes WHERE id = ? AND v = ?", {"S": "n"}) == mismatch
    assert service.refusal(by_id, {"N": "x"}).startswith(V)
    assert service.refusal(by_id, {"S": "a", "N": "1"}) == (
        V
        + "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
    )
    # They are looked at before the statement is.
    doubled = D + "[a, a] contains duplicates."
    assert service.refusal("UPDATE notes SET WHERE", {"SS": ["a", "a"]}) == doubled
    # More than there are question marks does no harm.
    assert service.items(by_id, {"S": "n"}, {"S": "m"}) == [{"id": "n", "v": 1}]
    assert service.refusal("UPDATE notes SET v = set_add(v, ?) WHERE id = 'n'", {"N": "1"}) == (
        V + "The second argument to SET_ADD must be a value with type SET"
    )


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE notes SET v = [?] WHERE id = 'n'", "Unsupported data type: Parameter under key root[0] at 1:23:1"),
        (
            "INSERT INTO notes VALUE {'id': 'm', 'v': {'k': [1, ?]}}",
            "Unsupported data type: Parameter under key root.k[1] at 1:52:1",
        ),
        (
            "SELECT * FROM notes WHERE v = <<?>>",
            "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags at 1:33:1",
        ),
    ],
)
def test_a_parameter_is_a_value_and_no_part_of_one(service: Service, statement: str, message: str) -> None:
    assert service.refusal(statement, {"S": "x"}) == V + message
    assert service.items("SELECT * FROM notes") == [{"id": "n", "v": 1}]
    assert service.items("SELECT v FROM notes WHERE v IN [?, 2]", {"N": "1"}) == [{"v": 1}]


def test_a_statement_has_a_length(service: Service) -> None:
    filler = "x" * (8_192 - len("SELECT * FROM notes WHERE id = ''"))
    assert service.items(f"SELECT * FROM notes WHERE v = '{filler}x'") == []
    for statement, limit in (("", "greater than or equal to 1"), ("S" * 8_193, "less than or equal to 8192")):
        assert service.refusal(statement).endswith(f"Member must have length {limit}")


def test_statements_as_deep_and_long_as_may_be_are_carried_out(service: Service) -> None:
    deep, deeper = "v = 2", "v = 2"
    for _ in range(58):
        deep = f"NOT (v = 2 AND id = 'x' OR {deep})"
    for _ in range(70):
        deeper = f"NOT (NOT {deeper} AND v = 1)"
    for condition in (deep, "NOT NOT " * 140 + "v = 2", deeper):
        assert service.items(f"SELECT v FROM notes WHERE id = 'n' AND {condition}") == []
    assert service.refusal(f"UPDATE notes SET v = 2 WHERE id = 'n' AND {deep}").startswith("ConditionalCheckFailed")
    (item,) = service.items(f"UPDATE notes SET v = v{' + 1' * 290} WHERE id = 'n' RETURNING ALL NEW *")
    assert item == {"id": "n", "v": 291}
    inner = "[" * 30 + "]" * 30
    assert service.run(f"INSERT INTO notes VALUE {{'id': 'deep', 'l': {inner}}}") == {"Items": []}


@pytest.mark.parametrize(
    ("statement", "units", "consistent"),
    [
        ("SELECT * FROM notes WHERE id = 'n'", 0.5, 1.0),
        ("SELECT * FROM notes WHERE id = 'none'", 0.5, 1.0),
        ("SELECT * FROM notes", 0.5, 1.0),
        ("INSERT INTO notes VALUE {'id': 'm'}", 1.0, 1.0),
        ("UPDATE notes SET v = 2 WHERE id = 'n'", 1.0, 1.0),
        ("DELETE FROM notes WHERE id = 'none'", 1.0, 1.0),
    ],
)
def test_what_a_statement_takes(service: Service, statement: str, units: float, consistent: float) -> None:
    answer = service.run(statement, ReturnConsumedCapacity="TOTAL")
    assert answer["ConsumedCapacity"] == {"TableName": "notes", "CapacityUnits": units}
    service.run("DELETE FROM notes WHERE id = 'm'")
    answer = service.run(statement, ReturnConsumedCapacity="INDEXES", ConsistentRead=True)
    assert answer["ConsumedCapacity"]["Table"] == {"CapacityUnits": consistent}


def test_an_item_that_is_named_by_its_key_is_a_page_where_a_limit_is_given(service: Service) -> None:
    statement = "SELECT room FROM rooms WHERE house = 'a' AND room = 1"
    assert service.run(statement) == {"Items": [{"room": {"N": "1"}}]}
    page = service.run(statement, Limit=1)
    assert (page["Items"], page["LastEvaluatedKey"]) == (
        [{"room": {"N": "1"}}],
        {"house": {"S": "a"}, "room": {"N": "1"}},
    )
    assert service.run(statement, Limit=1, NextToken=page["NextToken"]) == {"Items": []}


def test_an_index_takes_its_own_capacity(service: Service) -> None:
    answer = service.run("SELECT * FROM rooms.\"by-kind\" WHERE kind = 'k0'", ReturnConsumedCapacity="INDEXES")
    assert answer["ConsumedCapacity"]["GlobalSecondaryIndexes"] == {"by-kind": {"CapacityUnits": 0.5}}
    moved = service.run(
        "UPDATE rooms SET kind = 'new' WHERE house = 'a' AND room = 0", ReturnConsumedCapacity="INDEXES"
    )["ConsumedCapacity"]
    assert moved["GlobalSecondaryIndexes"] == {"by-kind": {"CapacityUnits": 2.0}}
    assert service.refusal('SELECT * FROM rooms."by-kind"', ConsistentRead=True) == (
        V + "Consistent reads are not supported on global secondary indexes"
    )
