"""What updates and projections are refused for, in the service's words."""

from __future__ import annotations

import pytest

from tenet.tables.rules.projections import compile_projection
from tenet.tables.rules.updates import compile_update
from tests.unit.tables.expressions import bindings_for
from tests.unit.tables.outcomes import outcome_of

RESERVED = "Attribute name is a reserved keyword; reserved keyword: "
REDUNDANT = "The expression has redundant parentheses;"
NO_NAME = "An expression attribute name used in the document path is not defined; attribute name: "
NO_VALUE = "An expression attribute value used in expression is not defined; attribute value: "
NOT_HERE = "The function is not allowed in an update expression; function: "
NOT_THIS_WAY = "The function is not allowed to be used this way in an expression; function: "
COUNT = "Incorrect number of operands for operator or function; operator or function: "
WRONG_TYPE = "Incorrect operand type for operator or function; operator or function: "
WRONG_OPERAND = "Incorrect operand type for operator or function; operator: "
NO_PATH = "Operator or function requires a document path; operator or function: "
TWO_PATHS = (
    "Two document paths {} with each other; must remove or rewrite one of these paths; path one: {}, path two: {}"
)


def said(text: str) -> str:
    message = outcome_of(lambda: compile_update(text, bindings_for(text)))[1]
    assert not message or message.startswith("Invalid UpdateExpression: ")
    return message.removeprefix("Invalid UpdateExpression: ")


def projection_said(text: str) -> str:
    message = outcome_of(lambda: compile_projection(text, bindings_for(text)))[1]
    assert not message or message.startswith("Invalid ProjectionExpression: ")
    return message.removeprefix("Invalid ProjectionExpression: ")


@pytest.mark.parametrize(
    "text",
    [
        "SET b = :s",
        "set b=:s",
        "sEt b = :s, c.d[0] = b REMOVE e, f[1] ADD g :n, h.i :ss DELETE j :ns",
        "REMOVE z SET x = :n",
        "SET x = :n add y :n",
        "SET b = :n + :n2",
        "SET b = b - :n",
        "SET b = (:n + :n)",
        "SET b = (:n) + :n",
        "SET b = :n + (:n)",
        "SET b = ((:n) + (:n))",
        "SET b = (:n)",
        "SET b = (if_not_exists(b, :n))",
        "SET b = if_not_exists(b, :s)",
        "SET b = if_not_exists((c), (:n)) - if_not_exists(d.e, c)",
        "SET b = if_not_exists(c, if_not_exists(d, :n))",
        "SET b = list_append(:l, if_not_exists(b, :l))",
        "SET b = list_append(if_not_exists(b, :s), :l)",
        "SET if_not_exists = :s, b = list_append",
        "SET x = a.b, y = a[1]",
        "SET " + ",".join(f"x{index}=:n" for index in range(299)),
        "REMOVE " + ",".join(f"x{index}" for index in range(310)),
    ],
)
def test_valid_updates(text: str) -> None:
    assert said(text) == ""


@pytest.mark.parametrize(
    ("text", "token", "near"),
    [
        (" ", "<EOF>", " "),
        ("a", "a", "a"),
        ("FOO b = :s", "FOO", "FOO b"),
        ("SET", "<EOF>", "SET"),
        ("SET ", "<EOF>", "SET "),
        ("SET a", "<EOF>", "a"),
        ("SET a =", "<EOF>", "="),
        ("SET b = :s,", "<EOF>", ","),
        ("SET b = :s c = :s", "c", ":s c ="),
        ("SET b == :s", "=", "== :s"),
        ("SET b = :s AND c = :s", "AND", ":s AND c"),
        ("SET b = :s,REMOVE c", "REMOVE", ",REMOVE c"),
        ("SET set = :s", "set", "SET set ="),
        ("SET SET", "SET", "SET SET"),
        ("SET x = :n SET", "<EOF>", "SET"),
        ("SET x = :n SET y = ", "<EOF>", "= "),
        ("SET x = :n REMOVE", "<EOF>", "REMOVE"),
        ("SET :s = b", ":s", "SET :s ="),
        ("SET (x) = :n", "(", "SET (x"),
        ("SET _123 = :s", "_", "SET _123"),
        ("SET b = :n + :n + :n", "+", ":n + :n"),
        ("SET b = (:n + :n) + :n", "+", ") + :n"),
        ("SET b = :n + (:n + :n)", "+", ":n + :n"),
        ("SET b = if_not_exists(b, :n + :n)", "+", ":n + :n"),
        ("SET b = :n * :n", "*", ":n * :n"),
        ("SET b = -:n", "-", "= -:n"),
        ("SET b = :n +- :n", "-", "+- :n"),
        ("SET b = :n +", "<EOF>", "+"),
        ("SET b = (:n", "<EOF>", ":n"),
        ("SET b = (:n + :n", "<EOF>", ":n"),
        ("SET b = :n)", ")", ":n)"),
        ("SET b = ()", ")", "()"),
        ("SET b = :s; REMOVE c", ";", ":s; REMOVE"),
        ("SET b[01] = :s", "1", "01]"),
        ("SET b = 1", "1", "= 1"),
        ("REMOVE", "<EOF>", "REMOVE"),
        ("REMOVE b,", "<EOF>", ","),
        ("REMOVE b c", "c", "b c"),
        ("REMOVE :s", ":s", "REMOVE :s"),
        ("REMOVE b = :s", "=", "b = :s"),
        ("ADD", "<EOF>", "ADD"),
        ("ADD b", "<EOF>", "b"),
        ("ADD b = :n", "=", "b = :n"),
        ("ADD b c", "c", "b c"),
        ("ADD b (:n)", "(", "b (:n"),
        ("ADD b, c :n", ",", "b, c"),
        ("ADD b if_not_exists(b,:n)", "if_not_exists", "b if_not_exists("),
        ("DELETE b c", "c", "b c"),
        ("DELETE b :ss DELETE", "<EOF>", "DELETE"),
    ],
)
def test_syntax_errors_in_updates(text: str, token: str, near: str) -> None:
    assert said(text) == f'Syntax error; token: "{token}", near: "{near}"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The expression can not be empty;"),
        ("SET x = ((:n))", REDUNDANT),
        ("SET x = ((:n + :n))", REDUNDANT),
        ("SET x = ((:n)) + :n", REDUNDANT),
        ("SET b = :s SET c = :s", 'The "SET" section can only be used once in an update expression;'),
        ("REMOVE b SET a = :s REMOVE c", 'The "REMOVE" section can only be used once in an update expression;'),
        ("ADD b :n ADD c :n", 'The "ADD" section can only be used once in an update expression;'),
        ("DELETE b :ss DELETE c :ss", 'The "DELETE" section can only be used once in an update expression;'),
        ("SET x = :n SET x = :n", 'The "SET" section can only be used once in an update expression;'),
        ("SET name = :s", RESERVED + "name"),
        ("SET b.name = :s", RESERVED + "name"),
        ("SET b = size", RESERVED + "size"),
        ("SET x = b, x = name", RESERVED + "name"),
        ("SET x = foo(name)", "Invalid function name; function: foo"),
        ("SET x = IF_NOT_EXISTS(b, :s)", "Invalid function name; function: IF_NOT_EXISTS"),
        ("SET x = size(a)", NOT_HERE + "size"),
        ("SET x = :n, x = size(a)", NOT_HERE + "size"),
        ("SET x = attribute_exists(a)", NOT_HERE + "attribute_exists"),
        ("SET x = if_not_exists(size(a), :n)", NOT_HERE + "size"),
        ("SET x = list_append(list_append(b, :l), :l)", NOT_THIS_WAY + "list_append"),
        ("SET x = if_not_exists(b, list_append(:l, :l))", NOT_THIS_WAY + "list_append"),
        ("SET x = list_append(:l, :l) + :n", NOT_THIS_WAY + "list_append"),
        ("SET b = :s, b = :s", TWO_PATHS.format("overlap", "[b]", "[b]")),
        ("SET b = :s, b = :s, #zz = :s", NO_NAME + "#zz"),
        ("SET b = :zz, #b = :s", TWO_PATHS.format("overlap", "[b]", "[b]")),
        ("SET b = :s, b.c = :s", TWO_PATHS.format("overlap", "[b]", "[b, c]")),
        ("SET b.c = :s, b = :s", TWO_PATHS.format("overlap", "[b, c]", "[b]")),
        ("SET b[0].x = :s, b[0] = :s", TWO_PATHS.format("overlap", "[b, [0], x]", "[b, [0]]")),
        ("SET b = :s REMOVE b", TWO_PATHS.format("overlap", "[b]", "[b]")),
        ("ADD b :t, b :n", TWO_PATHS.format("overlap", "[b]", "[b]")),
        ("SET b[0] = :s, b.c = :s", TWO_PATHS.format("conflict", "[b, [0]]", "[b, c]")),
        ("SET b.c = :s REMOVE b[0]", TWO_PATHS.format("conflict", "[b, c]", "[b, [0]]")),
        ("SET b.c.d = :s, b.c[2] = :s", TWO_PATHS.format("conflict", "[b, c, d]", "[b, c, [2]]")),
        ("SET x = :zz, #zz = :n", NO_NAME + "#zz"),
        ("SET x = #zz", NO_NAME + "#zz"),
        ("SET x = :zz", NO_VALUE + ":zz"),
        ("SET x = :t + :zz", NO_VALUE + ":zz"),
        ("ADD b :s SET x = :zz", NO_VALUE + ":zz"),
        ("SET x = :s + :n, y = list_append(:s, :l) DELETE z :zz", NO_VALUE + ":zz"),
        ("SET x = :s + :n, y = if_not_exists(:s, :s)", NO_PATH + "if_not_exists"),
        ("ADD b :s SET x = list_append(:l)", COUNT + "list_append, number of operands: 1"),
        ("SET x = if_not_exists(b, :s), c = :zz", NO_VALUE + ":zz"),
        ("DELETE x :zz", NO_VALUE + ":zz"),
        ("SET x = :s + :n", WRONG_TYPE + "+, operand type: S"),
        ("SET x = b - :ss", WRONG_TYPE + "-, operand type: SS"),
        ("SET x = :z + :t", WRONG_TYPE + "+, operand type: NULL"),
        ("SET x = list_append(:s, :l)", WRONG_TYPE + "list_append, operand type: S"),
        ("SET x = list_append(b, :n)", WRONG_TYPE + "list_append, operand type: N"),
        ("SET x = list_append(:l)", COUNT + "list_append, number of operands: 1"),
        ("SET x = if_not_exists(b)", COUNT + "if_not_exists, number of operands: 1"),
        ("SET x = if_not_exists(b, :s, :s)", COUNT + "if_not_exists, number of operands: 3"),
        ("SET x = if_not_exists(:s, :s)", NO_PATH + "if_not_exists"),
        ("SET x = if_not_exists(if_not_exists(a, :s), :s)", NO_PATH + "if_not_exists"),
        (
            "SET x = if_not_exists(b, b)",
            (
                "The first operand must be distinct from the remaining operands for this operator or function; "
                "operator: if_not_exists, first operand: [b]"
            ),
        ),
        ("ADD b :s", WRONG_OPERAND + "ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND"),
        ("ADD b :t", WRONG_OPERAND + "ADD, operand type: BOOLEAN, typeSet: ALLOWED_FOR_ADD_OPERAND"),
        ("ADD b :z", WRONG_OPERAND + "ADD, operand type: NULL, typeSet: ALLOWED_FOR_ADD_OPERAND"),
        ("ADD b :b", WRONG_OPERAND + "ADD, operand type: BINARY, typeSet: ALLOWED_FOR_ADD_OPERAND"),
        ("ADD b :l", WRONG_OPERAND + "ADD, operand type: LIST, typeSet: ALLOWED_FOR_ADD_OPERAND"),
        ("DELETE b :n", WRONG_OPERAND + "DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND"),
        ("DELETE b :m", WRONG_OPERAND + "DELETE, operand type: MAP, typeSet: ALLOWED_FOR_DELETE_OPERAND"),
        (
            "SET " + ",".join(f"x{index}=:n+:n" for index in range(301)),
            "The expression contains too many operators; operator count: 301",
        ),
        ("SET x" + "[0]" * 32 + " = :n", "The document path has too many nesting levels; nesting levels: 33"),
        ("SET x = " + "(" * 4000, 'Syntax error; token: "<EOF>", near: "("'),
        ("SET x = " + "(" * 1000 + ":n" + ")" * 1000, REDUNDANT),
    ],
)
def test_faults_in_updates(text: str, message: str) -> None:
    assert said(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", ""),
        ("a,#b , c.d[0],c.d[2].e", ""),
        (",".join(f"a{index}" for index in range(400)), ""),
        ("", "The expression can not be empty;"),
        (" ", 'Syntax error; token: "<EOF>", near: " "'),
        ("a,", 'Syntax error; token: "<EOF>", near: ","'),
        (",a", 'Syntax error; token: ",", near: ",a"'),
        ("a,,b", 'Syntax error; token: ",", near: ",,b"'),
        ("a b, name", 'Syntax error; token: "b", near: "a b,"'),
        ("(a)", 'Syntax error; token: "(", near: "(a"'),
        (":v", 'Syntax error; token: ":v", near: ":v"'),
        ("a = b", 'Syntax error; token: "=", near: "a = b"'),
        ("size(a)", 'Syntax error; token: "(", near: "size(a"'),
        ("a, set", 'Syntax error; token: "set", near: ", set"'),
        ("a[1.5]", 'Syntax error; token: ".", near: "1.5"'),
        ("a, name", RESERVED + "name"),
        ("name.a, #zz", RESERVED + "name"),
        ("a, #zz", NO_NAME + "#zz"),
        ("a,a", TWO_PATHS.format("overlap", "[a]", "[a]")),
        ("#zz, a.a, a", NO_NAME + "#zz"),
        ("a.a, a, #zz", NO_NAME + "#zz"),
        ("x[0],x[0].a", TWO_PATHS.format("overlap", "[x, [0]]", "[x, [0], a]")),
        ("a.b, a[0]", TWO_PATHS.format("conflict", "[a, b]", "[a, [0]]")),
        ("a" + ".b" * 32, "The document path has too many nesting levels; nesting levels: 33"),
        ("a" * 4097, "Expression size has exceeded the maximum allowed size;"),
    ],
)
def test_faults_in_projections(text: str, message: str) -> None:
    assert projection_said(text) == message
