"""PartiQL statements are read as they were written, whatever is in them; what is none is refused in clear words."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tenet.tables.errors import ValidationException
from tenet.tables.rules.partiql.expressions import LEVELS_MAX, OPERATORS_MAX
from tenet.tables.rules.partiql.lexer import RESERVED, tokens_of
from tenet.tables.rules.partiql.statements import parse
from tenet.tables.rules.partiql.tree import Constant, Insert, Name, Parameter, Select, Statement, Tuple, Update
from tests.unit.tables.outcomes import outcome_of, refusal_of
from tests.unit.tables.partiql_texts import plain, statement_text, statements

WORDS = (
    *("select", "from", "where", "insert", "into", "value", "update", "set", "remove", "delete", "returning", "all"),
    *("old", "new", "*", "and", "or", "not", "between", "in", "is", "missing", "null", "exists", "order", "by", "desc"),
    *("(", ")", "[", "]", "{", "}", "<<", ">>", ",", ":", ".", "=", "<>", "<", "+", "-", "?", ";", "'a'", '"b"', "c"),
    *(
        "1",
        "1.5e3",
        "size",
        "begins_with",
        "list_append",
        "set_add",
        "'",
        '"',
        "`x`",
        "--",
        "/*",
        "é",
        "\x00",
        "#",
        "!",
    ),
)
NOT_WELL_FORMED = "Statement wasn't well formed, can't be processed: "
TRAILING = NOT_WELL_FORMED + "Unexpected token after expression"


@given(statements)
def test_what_is_written_is_read(statement: Statement) -> None:
    read = parse(statement_text(statement)).statement
    assert plain(read) == plain(statement)
    assert statement_text(plain(read)) == statement_text(plain(statement))


@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join) | st.text(max_size=60))
@example("select * from t where a = 'x")
@example("")
def test_garbage_is_refused_and_nothing_else(text: str) -> None:
    parsed, refusal = outcome_of(lambda: parse(text))
    assert (parsed is None) == bool(refusal)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM t WHERE " + "(" * 4_000 + "a = 1" + ")" * 4_000,
        "SELECT * FROM t WHERE " + "(" * 8_000,
        "INSERT INTO t VALUE {'a': " + "[" * 4_000 + "]" * 4_000 + "}",
        "INSERT INTO t VALUE " + "{'a':" * 1_500,
        "INSERT INTO t VALUE {'a': " + "<<" * 4_000,
        "SELECT * FROM t WHERE " + "size(" * 1_500 + "a",
        "SELECT * FROM t WHERE a IN " + "(" * 8_000,
        "SELECT * FROM t WHERE " + "a BETWEEN (" * 300,
    ],
)
def test_statements_that_nest_too_deep_are_refused(text: str) -> None:
    message = refusal_of(lambda: parse(text))
    assert message.startswith(NOT_WELL_FORMED + f"Expressions are nested more than {LEVELS_MAX} levels deep at 1:")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM t WHERE " + "NOT " * 2_000 + "a = 1",
        "UPDATE t SET a = " + "a+" * 4_000 + "1 WHERE p = 1",
        "SELECT * FROM t WHERE a = " + "-" * 8_000 + "1",
        "SELECT * FROM t WHERE a " + "IS NULL " * 900,
        "SELECT * FROM t WHERE a = " + "b=" * 4_000 + "1",
    ],
)
def test_statements_with_too_many_operators_are_refused(text: str) -> None:
    # Two hyphens begin a comment, so that of many there is one, or none.
    if "--" in text:
        assert refusal_of(lambda: parse(text)).startswith(NOT_WELL_FORMED)
    else:
        assert refusal_of(lambda: parse(text)) == (
            f"The expression contains too many operators; operator count: {OPERATORS_MAX + 1}"
        )


def test_as_deep_as_may_be() -> None:
    depth = LEVELS_MAX - 1
    parsed = parse("SELECT * FROM t WHERE " + "(" * depth + "a = 1" + ")" * depth)
    assert plain(parsed.statement) == plain(parse("SELECT * FROM t WHERE a = 1").statement)
    assert refusal_of(lambda: parse("SELECT * FROM t WHERE " + "(" * 100 + "a = 1" + ")" * 100))


def test_many_conditions_stand_side_by_side() -> None:
    select = parse("SELECT * FROM t WHERE " + " AND ".join(["a = 1"] * 300)).statement
    assert isinstance(select, Select)
    assert len(select.where.operands) == 300  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a OR b AND NOT c = d", "a OR (b AND (NOT (c = d)))"),
        ("NOT a = 1 AND b = 2", "(NOT (a = 1)) AND (b = 2)"),
        ("a + b - c * d", "(a + b) - (c * d)"),
        ("a = b + 1", "a = (b + 1)"),
        ("a BETWEEN 1 AND 2 AND b = 3", "(a BETWEEN 1 AND 2) AND (b = 3)"),
        ("a NOT BETWEEN 1 AND 2", "NOT (a BETWEEN 1 AND 2)"),
        ("a NOT IN [1]", "NOT (a IN [1])"),
        ("a NOT LIKE 'x'", "NOT (a LIKE 'x')"),
        ("a IS NOT MISSING", "NOT (a IS MISSING)"),
        ("a != 1", "a <> 1"),
        ("a = - 1", "a = -1"),
        ("a = - - 1", "a = 1"),
        ("m['x'] = 1", "m.x = 1"),
        ('m["x"][0] = 1', "m.x[0] = 1"),
        ("a = 1.50e1", "a = 15"),
        ("a[-0] = 1", "a[0] = 1"),
        ("a = 1 -- to the end\n AND /* or\n not */ b = 2", "a = 1 AND b = 2"),
        ("A = 1 and SIZE(a) > 0", "A = 1 AND size(a) > 0"),
    ],
)
def test_how_strongly_operators_bind(text: str, same: str) -> None:
    def tree(where: str) -> Statement:
        return plain(parse(f"SELECT * FROM t WHERE {where}").statement)

    assert tree(text) == tree(same)


def test_parameters_are_counted_from_the_left() -> None:
    parsed = parse("UPDATE t SET a = ?, b = [?, {'x': ?}] WHERE p = ? AND c IN (?, ?)")
    assert parsed.parameters == 6
    assert isinstance(parsed.statement, Update)
    assert parsed.statement.assignments[0].value == Parameter(0, "1:18:1")


def test_parsed_statements_are_kept() -> None:
    text = "SELECT a FROM kept"
    assert parse(text) is parse(text)
    long = f"SELECT a FROM t WHERE b = '{'x' * 2_000}'"
    assert parse(long) is not parse(long)


def test_places_are_lines_and_columns() -> None:
    parsed = parse("INSERT INTO t VALUE {\n  'a': 1,\n  'é': ''\n}").statement
    assert isinstance(parsed, Insert)
    assert isinstance(parsed.item, Tuple)
    assert parsed.item.members[1] == (Constant({"S": "é"}, "3:3:3"), Constant({"S": ""}, "3:8:2"))


def test_names_need_quotes_where_they_are_keywords() -> None:
    for word in sorted(RESERVED - {"select", "null", "true", "false", "missing", "value", "pivot", "distinct"}):
        assert refusal_of(lambda name=word: parse(f"SELECT {name} FROM t")).startswith(NOT_WELL_FORMED), word  # type: ignore[misc]
        statement = parse(f'SELECT "{word}" FROM t').statement
        assert isinstance(statement, Select)
        assert statement.projection == (Name((word,), f"1:8:{len(word) + 2}"),)


def test_tokens_end_where_the_next_ones_may_begin() -> None:
    text = "SELECT 'it''s', \"a\"\"b\" <<1.5>>"
    assert [text[token.start : token.end] for token in tokens_of(text)][:-1] == [
        *("SELECT", "'it''s'", ",", '"a""b"', "<<", "1.5", ">>")
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELEC * FROM t", NOT_WELL_FORMED + "Expected data manipulation at 1:1:5"),
        ("SELECT p,* FROM t", NOT_WELL_FORMED + "Unexpected term at 1:10:1"),
        ("SELECT * FROM", NOT_WELL_FORMED + "Unexpected end of statement at 1:14:0"),
        ("SELECT * t", NOT_WELL_FORMED + "Expected FROM at 1:10:1"),
        ("SELECT order FROM t", NOT_WELL_FORMED + "Unexpected keyword at 1:8:5"),
        ("SELECT * FROM t\nWHERE a == 1", NOT_WELL_FORMED + "Unexpected term at 2:10:1"),
        ("SELECT * FROM t WHERE a = 'x", NOT_WELL_FORMED + "Invalid character at 1:27:1"),
        ("SELECT * FROM t /* WHERE a = 1", NOT_WELL_FORMED + "Invalid character at 1:17:1"),
        ("SELECT * FROM t WHERE a IS FOO", NOT_WELL_FORMED + "Expected type name at 1:28:3"),
        ("UPDATE t WHERE a = 1", NOT_WELL_FORMED + "Expected data manipulation at 1:10:5"),
        ("UPDATE t SET a = 1 REMOVE b, c WHERE p = 1", TRAILING),
        ("INSERT INTO t VALUE {'p': 1} IF NOT EXISTS", TRAILING),
        ("INSERT INTO t VALUE {'p': 1} ON CONFLICT DO NOTHING", TRAILING),
        ("SELECT * FROM t; SELECT * FROM t", "Only one operation is allowed in a statement."),
        (
            "UPDATE t SET a = + ? WHERE p = 1",
            "Incorrect number of operands for operator or function; operator or function: +, number of operands: 1",
        ),
        ("DROP TABLE t", "Unsupported operation: DropTable"),
        ("CREATE TABLE t", "Unsupported operation: CreateTable"),
        ("SELECT a AS b FROM t", "Aliasing is not supported"),
        ("SELECT * FROM t AS u", "Aliasing is not supported"),
        ("SELECT * FROM t u", "Aliasing is not supported"),
        ("SELECT DISTINCT a FROM t", "Unsupported token in expression: DISTINCT"),
        ("SELECT VALUE a FROM t", "Select projection doesn't support value or pivot keywords"),
        ("SELECT * FROM t, u", "Only select from a single table or index is supported."),
        ("SELECT * FROM t LIMIT 3", "Unsupported clause: LIMIT at 1:17:5"),
        ("SELECT * FROM t GROUP BY a", "Unsupported clause: GROUP BY at 1:17:5"),
        ("SELECT count(*) FROM t", "Unexpected path component at 1:8:5"),
        ("SELECT 'a' FROM t", "Unexpected path component at 1:8:3"),
        ("SELECT a.* FROM t", "Changing item's hierarchy while reading isn't supported"),
        ('SELECT a."" FROM t', "Path component cannot be an empty string"),
        ("SELECT a[-1] FROM t", "List index is not within the allowable range; index: [-1] at 1:11:1"),
        ("SELECT a[2147483648] FROM t", "List index is not within the allowable range; index: [2147483648] at 1:10:10"),
        ("SELECT a[*] FROM t", NOT_WELL_FORMED + "Unexpected path component at 1:10:1"),
        ("SELECT * FROM 't'", "Unexpected from source"),
        ("SELECT * FROM t[0]", "Invalid list expression in source."),
        ("SELECT * FROM t.u.v", "A path may contain at most 2 components in the FROM clause"),
        ("UPDATE t.u SET a = 1 WHERE p = 1", "This operation is not supported on an index"),
        ("INSERT INTO t VALUE {'p': 1} RETURNING ALL OLD *", "RETURNING is not supported in INSERT"),
        ("INSERT INTO t VALUE {'p': `x`}", "Ion Literals are not supported: `x` under key root at 1:27:3"),
        (
            "INSERT INTO t << {'p': 1} >>",
            (
                "Unsupported operation: Inserting multiple items in a single statement is not supported, use "
                '"INSERT INTO tableName VALUE item" instead'
            ),
        ),
        (
            "INSERT INTO t.u VALUE {'p': 1}",
            "FROM clause may only contain a single table name in data manipulation statements",
        ),
        (
            "DELETE FROM t WHERE p = 1 RETURNING MODIFIED NEW *",
            (
                "Invalid returning clause: RETURNING MODIFIED NEW *. Only RETURNING ALL OLD * is allowed in DELETE "
                "statements."
            ),
        ),
        (
            "UPDATE t SET a = 1 WHERE p = 1 RETURNING ALL OLD a",
            "Expected '*' after ( MODIFIED | ALL ) ( NEW | OLD ) in RETURNING clause",
        ),
        (
            "UPDATE t SET a = 1 WHERE p = 1 RETURNING ALL OLD *, ALL NEW *",
            "Invalid syntax with multiple returning elements in RETURNING clause",
        ),
        ("UPDATE t SET a = 1 WHERE p = 1 RETURNING OLD *", NOT_WELL_FORMED + "Unexpected keyword at 1:42:3"),
        ("UPDATE t SET a = 1 WHERE p = 1 RETURNING ALL *", NOT_WELL_FORMED + "Unexpected term at 1:46:1"),
        (
            "SELECT * FROM t WHERE a = 1 AND EXISTS(SELECT * FROM t)",
            "Unsupported token in expression: SELECT at 1:40:6",
        ),
    ],
)
def test_what_is_no_statement_is_refused(text: str, message: str) -> None:
    assert refusal_of(lambda: parse(text)) == message


def test_a_refusal_is_a_validation_exception() -> None:
    with pytest.raises(ValidationException):
        parse("no statement")
