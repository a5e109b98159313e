"""What conditions are refused for, in the service's words: the token, the first fault, the limits."""

from __future__ import annotations

import pytest

from tenet.tables.rules.conditions import compile_condition
from tenet.tables.rules.reserved_words import RESERVED_WORDS
from tests.unit.tables.expressions import VALUES, bindings_for
from tests.unit.tables.outcomes import outcome_of, refusal_of

REDUNDANT = "The expression has redundant parentheses;"
RESERVED = "Attribute name is a reserved keyword; reserved keyword: "
NO_NAME = "An expression attribute name used in the document path is not defined; attribute name: "
NO_VALUE = "An expression attribute value used in expression is not defined; attribute value: "
NO_FUNCTION = "Invalid function name; function: "
NOT_HERE = "The function is not allowed in a condition expression; function: "
NOT_THIS_WAY = "The function is not allowed to be used this way in an expression; function: "
COUNT = "Incorrect number of operands for operator or function; operator or function: "
NO_PATH = "Operator or function requires a document path; operator or function: "
WRONG_TYPE = "Incorrect operand type for operator or function; operator or function: "
NOT_DISTINCT = (
    "The first operand must be distinct from the remaining operands for this operator or function; operator: "
)
TYPE_NAMES = "valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"


def said(text: str) -> str:
    message = outcome_of(lambda: compile_condition(text, bindings_for(text)))[1]
    assert not message or message.startswith("Invalid ConditionExpression: ")
    return message.removeprefix("Invalid ConditionExpression: ")


def syntax(token: str, near: str) -> str:
    return f'Syntax error; token: "{token}", near: "{near}"'


@pytest.mark.parametrize(
    "text",
    [
        "a = :s",
        ":s = a",
        "a<>:s",
        "a = b.c",
        "a.b[0][1].c = :s",
        "#a.#b[0] = :s",
        "a [0] . b = :s",
        "a[ 0 ] = :s",
        "a[2147483647] = :s",
        "a\t=\r\n:s",
        "not a = :s",
        "NOT NOT NOT a = :s",
        "NOT (NOT a = :s)",
        "(a = :s)",
        "(a) = (:s)",
        "((a) = (:s))",
        "((a = :s) AND b = :s)",
        "((a = :s) AND (b = :s))",
        "(a = :s AND (NOT (b = :s)))",
        "(NOT a = :s)",
        "a BETWEEN :s2 AND :s AND b between (:s) and (:s)",
        "(a BETWEEN :s AND :s)",
        "a IN (:s)",
        "a in (:s, :n, b, size(b))",
        "a IN ((:s))",
        "attribute_exists (a)",
        "attribute_exists((a))",
        "(attribute_exists(a))",
        "size((a)) = :n",
        "(size(a)) = :n",
        "NOT (size(a)) = :n",
        "size(a) = size(a)",
        "size(:s) = :n",
        "size(:m) < size(:b)",
        "begins_with((a),(:s))",
        "begins_with(:s,:s)",
        "begins_with(a, b)",
        "contains(:n, :s)",
        "contains(:s,:s)",
        "contains(size(a), :n)",
        "attribute_type(:t, :typ)",
        "size(a) < :s",
        "a < size(b)",
        "a BETWEEN size(b) AND :s",
        "if_not_exists = :s",
        "attribute_exists = :s",
        "a.b.c.d.e = :s OR a = :s OR NOT b = :s AND a <> :s",
        ".".join(["x"] * 32) + " = :s",
        "x" + "[0]" * 31 + " = :s",
    ],
)
def test_valid_conditions(text: str) -> None:
    bindings = bindings_for(text, {":typ": {"S": "SS"}, **VALUES})
    compile_condition(text, bindings)
    bindings.check_all_used()


@pytest.mark.parametrize(
    ("text", "token", "near"),
    [
        (" ", "<EOF>", " "),
        ("a", "<EOF>", "a"),
        ("a  ", "<EOF>", "a  "),
        ("  a", "<EOF>", "a"),
        ("a b", "b", "a b"),
        (" a b ", "b", "a b "),
        ("a   b   c", "b", "a   b   c"),
        ("a =", "<EOF>", "="),
        ("a = \n", "<EOF>", "= \n"),
        ("= :s", "=", "= :s"),
        ("=", "=", "="),
        ("a = :s b", "b", ":s b"),
        ("a = :s AND", "<EOF>", "AND"),
        ("a = :s AND and", "and", "AND and"),
        ("AND", "AND", "AND"),
        ("NOT", "<EOF>", "NOT"),
        ("NOT a", "<EOF>", "a"),
        ("NOT (a)", "<EOF>", ")"),
        ("NOT =", "=", "NOT ="),
        (":s", "<EOF>", ":s"),
        ("a == :s", "=", "== :s"),
        ("a != :s", "!", "a !="),
        ("a >< b", "<", ">< b"),
        ("a < > b", ">", "< > b"),
        ("a > :s)", ")", ":s)"),
        ("(a = :s", "<EOF>", ":s"),
        ("()", ")", "()"),
        ("(a)", "<EOF>", ")"),
        ("(a = :s) = :s", "=", ") = :s"),
        ("a = (b = :s)", "=", "b = :s"),
        ("(a OR b)", "OR", "a OR b"),
        ("(a = :s AND b)", ")", "b)"),
        (") a", ")", ") a"),
        ("(" * 1000, "<EOF>", "("),
        ("a. = :s", "=", ". = :s"),
        (".a = :s", ".", ".a"),
        ("a..b = :s", ".", "..b"),
        ("a.", "<EOF>", "."),
        ("a.1 = :s", "1", ".1 ="),
        ("a.:s = b", ":s", ".:s ="),
        ("a[-1] = :s", "-", "[-1"),
        ("a[] = :s", "]", "[] ="),
        ("a[x] = :s", "x", "[x]"),
        ("a[#a] = :s", "#a", "[#a]"),
        ("a[:s] = :s", ":s", "[:s]"),
        ("a[0 = :s", "=", "0 = :s"),
        ("a[00] = :s", "0", "00]"),
        ("a[01] = :s", "1", "01]"),
        ("a[1.5] = :s", ".", "1.5"),
        ("a[0]b = :s", "b", "]b ="),
        ("# = :s", "#", "# ="),
        ("# a = :s", "#", "# a"),
        ("a = :", ":", "= :"),
        ("a # b", "#", "a # b"),
        ("$a = :s", "$", "$a"),
        ("a-b = :s", "-", "a-b"),
        ("_a = :s", "_", "_a"),
        ("1a = :s", "1", "1a"),
        ("a = 1", "1", "= 1"),
        ('a = "x"', '"', '= "x'),
        ("a = 'x'", "'", "= 'x"),
        ("a = :s; b", ";", ":s; b"),
        ("\\ = a", "\\", "\\ ="),
        ("é = :s", "é", "é ="),
        ("a = :sé", "é", ":sé"),
        ("a\x0b= :s", "\x0b", "a\x0b="),
        ("a\u00a0= :s", "\u00a0", "a\u00a0="),
        ("\U0001f600 = :s", "\U0001f600", "\U0001f600 ="),
        ("add = :s", "add", "add ="),
        ("x.set = :s", "set", ".set ="),
        ("between = :s", "between", "between ="),
        ("a BETWEEN :s", "<EOF>", ":s"),
        ("a BETWEEN :s OR :s", "OR", ":s OR :s"),
        ("a IN :s", ":s", "IN :s"),
        ("a IN ()", ")", "()"),
        ("a IN (:s,)", ")", ",)"),
        ("a IN (b c)", "c", "b c)"),
        ("a NOT IN (:s)", "NOT", "a NOT IN"),
        ("attribute_exists", "<EOF>", "attribute_exists"),
        ("attribute_exists(", "<EOF>", "("),
        ("attribute_exists()", ")", "()"),
        ("f(a,)", ")", ",)"),
        ("f(a b)", "b", "a b)"),
        ("size(a) size(b)", "size", ") size("),
        ("a = :s + :s", "+", ":s + :s"),
        ("a, b", ",", "a, b"),
    ],
)
def test_syntax_errors_name_the_token_and_what_is_near(text: str, token: str, near: str) -> None:
    assert said(text) == syntax(token, near)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The expression can not be empty;"),
        ("((a = :s))", REDUNDANT),
        ("(((a = :s)))", REDUNDANT),
        ("(a = :s) AND ((b = :s))", REDUNDANT),
        ("((attribute_exists(a)))", REDUNDANT),
        ("NOT ((a = :s))", REDUNDANT),
        ("((a)) = :s", REDUNDANT),
        ("a = ((:s))", REDUNDANT),
        ("((a = :s)) AND a = = :s", REDUNDANT),
        ("(" * 1000 + "a = :s" + ")" * 1000, REDUNDANT),
        ("a[2147483648] = name", "List index is not within the allowable range; index: [2147483648]"),
        ("a[99999999999] = :s", "List index is not within the allowable range; index: [99999999999]"),
        ("name = :s", RESERVED + "name"),
        ("Name.x = :s", RESERVED + "Name"),
        ("x.ABORT[0] = :s", RESERVED + "ABORT"),
        ("size = :s", RESERVED + "size"),
        ("a = null", RESERVED + "null"),
        ("begins_with(name, :n)", RESERVED + "name"),
        ("name = :s AND foo(a)", RESERVED + "name"),
        ("a = :zz AND name = :s", RESERVED + "name"),
        ("foo(a)", NO_FUNCTION + "foo"),
        ("foo(name) = :zz", NO_FUNCTION + "foo"),
        ("ATTRIBUTE_EXISTS(a)", NO_FUNCTION + "ATTRIBUTE_EXISTS"),
        ("list_append(a, :s)", NOT_HERE + "list_append"),
        ("a = if_not_exists(b, :s)", NOT_HERE + "if_not_exists"),
        ("size(a)", NOT_THIS_WAY + "size"),
        ("size(name)", NOT_THIS_WAY + "size"),
        ("#zz = :s AND size(b)", NOT_THIS_WAY + "size"),
        ("attribute_exists(a) = :s", NOT_THIS_WAY + "attribute_exists"),
        ("(attribute_exists(a)) = :s", NOT_THIS_WAY + "attribute_exists"),
        ("a = begins_with(b, :s)", NOT_THIS_WAY + "begins_with"),
        ("size(contains(a, b)) = :n", NOT_THIS_WAY + "contains"),
        ("#zz = :zz", NO_NAME + "#zz"),
        ("a.#zz = :s", NO_NAME + "#zz"),
        (":zz = #zz", NO_VALUE + ":zz"),
        ("begins_with(:zz)", NO_VALUE + ":zz"),
        ("begins_with(:zz, :n)", NO_VALUE + ":zz"),
        ("a BETWEEN :zz AND :n", NO_VALUE + ":zz"),
        ("begins_with(a)", COUNT + "begins_with, number of operands: 1"),
        ("attribute_exists(a, b)", COUNT + "attribute_exists, number of operands: 2"),
        ("size(a, b) = :n", COUNT + "size, number of operands: 2"),
        ("contains(a, b, c)", COUNT + "contains, number of operands: 3"),
        ("attribute_type(a)", COUNT + "attribute_type, number of operands: 1"),
        ("attribute_exists(:s)", NO_PATH + "attribute_exists"),
        ("attribute_not_exists(size(a))", NO_PATH + "attribute_not_exists"),
        ("begins_with(a, :n)", WRONG_TYPE + "begins_with, operand type: N"),
        ("begins_with(:l, a)", WRONG_TYPE + "begins_with, operand type: L"),
        ("begins_with(a, size(b))", WRONG_TYPE + "begins_with, operand type: N"),
        ("size(:n) = :n", WRONG_TYPE + "size, operand type: N"),
        ("size(:t) = :n", WRONG_TYPE + "size, operand type: BOOL"),
        ("size(size(a)) = :n", WRONG_TYPE + "size, operand type: N"),
        ("a < :t", WRONG_TYPE + "<, operand type: BOOL"),
        (":ss >= a", WRONG_TYPE + ">=, operand type: SS"),
        ("a BETWEEN :l AND :l", WRONG_TYPE + "BETWEEN, operand type: L"),
        ("attribute_type(a, :n)", WRONG_TYPE + "attribute_type, operand type: N"),
        ("attribute_type(a, b)", WRONG_TYPE + "attribute_type, operand type: {NS,SS,L,BS,N,M,B,BOOL,NULL,S}"),
        ("attribute_type(a, :s)", f"Invalid attribute type name found; type: x, {TYPE_NAMES}"),
        ("a = a", NOT_DISTINCT + "=, first operand: [a]"),
        ("a < #a", NOT_DISTINCT + "<, first operand: [a]"),
        ("a.b[0] <> a.b[0]", NOT_DISTINCT + "<>, first operand: [a, b, [0]]"),
        ("a BETWEEN :s AND a", NOT_DISTINCT + "BETWEEN, first operand: [a]"),
        ("a IN (b, a)", NOT_DISTINCT + "IN, first operand: [a]"),
        ("contains(a, a)", NOT_DISTINCT + "contains, first operand: [a]"),
        ("begins_with(a, a)", NOT_DISTINCT + "begins_with, first operand: [a]"),
        ("a = a AND b = :zz", NOT_DISTINCT + "=, first operand: [a]"),
        ("a = a AND name = :s", RESERVED + "name"),
        (
            "a BETWEEN :s AND :n",
            (
                "The BETWEEN operator requires same data type for lower and upper bounds; "
                "lower bound operand: AttributeValue: {S:x}, upper bound operand: AttributeValue: {N:1}"
            ),
        ),
        (
            "a BETWEEN :n2 AND :n",
            (
                "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; "
                "lower bound operand: AttributeValue: {N:2}, upper bound operand: AttributeValue: {N:1}"
            ),
        ),
        (
            "a IN (" + ",".join([":s"] * 101) + ")",
            "The IN operator is provided with too many operands; number of operands: 101",
        ),
        (".".join(["x"] * 33) + " = :s", "The document path has too many nesting levels; nesting levels: 33"),
        ("x" + "[0]" * 32 + " = :s", "The document path has too many nesting levels; nesting levels: 33"),
        ("x" + "[0]" * 40 + " = name", RESERVED + "name"),
    ],
)
def test_faults_behind_the_syntax(text: str, message: str) -> None:
    assert said(text) == message


TOO_MANY = "The expression contains too many operators; operator count: 301"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" OR ".join(["a = :s"] * 150), ""),
        (" OR ".join(["a = :s"] * 151), TOO_MANY),
        ("NOT " * 299 + "a = :s", ""),
        ("NOT " * 300 + "a = :s", TOO_MANY),
        ("NOT " * 1000 + "a = :s", TOO_MANY),
        (" AND ".join(["attribute_exists(x)"] * 151), TOO_MANY),
        (" AND ".join(["a IN (:s)"] * 151), TOO_MANY),
        (" OR ".join(["size(a)=:n"] * 101), TOO_MANY),
        ("size(" * 600 + "a" + ")" * 600 + " = :n", WRONG_TYPE + "size, operand type: N"),
        (" OR ".join(["a = :s"] * 160) + " AND = :s", syntax("=", "AND = :s")),
        (" OR ".join(["a = :s"] * 160) + " AND name = :s", RESERVED + "name"),
        ("a = :s" + " " * 4090, ""),
        ("a = :s" + " " * 4091, "Expression size has exceeded the maximum allowed size;"),
        (" " * 4097, "Expression size has exceeded the maximum allowed size;"),
        ("é" * 2049, "Expression size has exceeded the maximum allowed size;"),
        ("(" * 4096, syntax("<EOF>", "(")),
    ],
)
def test_limits(text: str, message: str) -> None:
    assert said(text) == message


def test_deep_conditions_are_evaluated() -> None:
    text = "a = :s"
    for level in range(149):
        text = f"b = :s2 {'AND' if level % 2 else 'OR'} ({text})"
    condition = compile_condition(text, bindings_for(text))
    assert condition.test({"a": {"S": "x"}, "b": {"S": "b"}})
    assert not condition.test({"a": {"S": "x"}})


def test_there_are_573_reserved_words() -> None:
    assert len(RESERVED_WORDS) == 573
    for word in RESERVED_WORDS:
        keyword = word in {"AND", "OR", "NOT", "IN", "BETWEEN", "SET", "ADD", "DELETE"}
        assert said(f"{word.lower()} = :s").startswith("Syntax error" if keyword else RESERVED)


@pytest.mark.parametrize("kind", ["FilterExpression", "ConditionExpression"])
def test_errors_name_the_parameter(kind: str) -> None:
    message = refusal_of(lambda: compile_condition("a", bindings_for(""), kind))  # type: ignore[arg-type]
    assert message == f'Invalid {kind}: Syntax error; token: "<EOF>", near: "a"'


def test_conditions_know_their_attributes() -> None:
    condition = compile_condition("a = :s AND (attribute_exists(b.c) OR size(#n[0]) > x)", bindings_for("#n :s"))
    assert condition.names == {"a", "b", "name", "x"}
    assert condition.nested_names == {"b", "name"}
