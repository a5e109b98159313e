"""Random PartiQL statements as trees, and their texts: what the parser reads has to be what was written."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from hypothesis import strategies as st
from msgspec import structs

from tenet.tables.rules.partiql.lexer import RESERVED
from tenet.tables.rules.partiql.tree import (
    Apply,
    Assignment,
    Call,
    Constant,
    Delete,
    Exists,
    Expression,
    Insert,
    Is,
    Missing,
    Name,
    Order,
    Parameter,
    Select,
    Sequence,
    Source,
    Statement,
    Tuple,
    Update,
)

Tree = TypeVar("Tree")

NUMBERS = ("0", "1", "-1", "0.5", "-2.25", "100000000000000000000", "12345678901234567890123456789012345678")
TYPES = ("MISSING", "NULL", "BOOLEAN", "STRING", "NUMERIC", "STRUCT", "LIST")
FUNCTIONS = ("begins_with", "contains", "size", "attribute_type", "list_append", "foo")
BINARY = ("=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "||", "like")

names = st.text(min_size=1, max_size=6) | st.sampled_from(("a", "b", "select", "größe", 'quo"te', "it's", "#n"))
paths = st.tuples(names, st.lists(names | st.integers(0, 2**31 - 1), max_size=3)).map(lambda p: (p[0], *p[1]))
attributes = paths.map(Name)
constants: st.SearchStrategy[Any] = (
    st.text(max_size=6).map(lambda text: Constant({"S": text}))
    | st.sampled_from(NUMBERS).map(lambda text: Constant({"N": text}))
    | st.sampled_from((Constant({"BOOL": True}), Constant({"BOOL": False}), Constant({"NULL": True}), Missing()))
    | st.just(Parameter(0))
)


def _is_number(tree: Expression) -> bool:
    return isinstance(tree, Constant) and "N" in tree.value


def _wider(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    some = st.lists(inner, max_size=3).map(tuple)
    many = st.lists(inner, min_size=1, max_size=3).map(tuple)
    two = st.tuples(inner, inner)
    sequences = st.builds(Sequence, st.sampled_from(("list", "bag")), some)
    options = st.builds(Sequence, st.sampled_from(("list", "values")), many)
    return st.one_of(
        sequences,
        st.lists(two, max_size=3).map(lambda members: Tuple(tuple(members))),
        st.builds(Call, st.sampled_from(FUNCTIONS), some),
        st.builds(Apply, st.sampled_from(("and", "or")), st.tuples(inner, inner, inner) | two),
        st.builds(Apply, st.sampled_from(BINARY), two),
        st.builds(Apply, st.just("not"), st.tuples(inner)),
        st.builds(Apply, st.just("neg"), st.tuples(inner.filter(lambda tree: not _is_number(tree)))),
        st.builds(Apply, st.just("between"), st.tuples(inner, inner, inner)),
        st.builds(Apply, st.just("in"), st.tuples(inner, options)),
        st.builds(Is, inner, st.sampled_from(TYPES)),
    )


expressions: st.SearchStrategy[Expression] = st.recursive(constants | attributes, _wider, max_leaves=12)
where = st.none() | expressions
tables = st.builds(Source, st.tuples(names))
sources = tables | st.builds(Source, st.tuples(names, names))
selects = st.builds(
    Select,
    st.lists(attributes, max_size=3).map(tuple),
    sources,
    where,
    st.lists(st.builds(Order, expressions, st.booleans()), max_size=2).map(tuple),
)
updates = st.builds(
    Update,
    tables,
    st.lists(st.builds(Assignment, attributes, where), min_size=1, max_size=3).map(tuple),
    where,
    st.sampled_from(("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW")),
)
statements: st.SearchStrategy[Statement] = st.one_of(
    selects,
    selects.map(Exists),
    st.builds(Insert, tables, expressions),
    updates,
    st.builds(Delete, tables, where, st.sampled_from(("NONE", "ALL_OLD"))),
)


# ---- texts -----------------------------------------------------------------------------------------------------------


def quoted(name: str) -> str:
    """A name as it stands in a statement: in double quotes unless it needs none."""
    is_plain = name.isascii() and name.isidentifier() and name.lower() not in RESERVED
    return name if is_plain else '"' + name.replace('"', '""') + '"'


def path_text(path: tuple[str | int, ...]) -> str:
    """A path as it stands in a statement."""
    first, *rest = path
    steps = (f"[{step}]" if isinstance(step, int) else f".{quoted(step)}" for step in rest)
    return quoted(str(first)) + "".join(steps)


def _constant(tree: Constant) -> str:
    ((kind, content),) = tree.value.items()
    if kind == "S":
        return "'" + str(content).replace("'", "''") + "'"
    return {"NULL": "null", "BOOL": str(content).lower()}.get(kind, str(content))


def _between(start: str, parts: Any, end: str) -> str:
    return start + ", ".join(map(text_of, parts)) + end


def text_of(tree: Expression) -> str:
    """The text of an expression, all that is within it in parentheses."""
    match tree:
        case Constant():
            return _constant(tree)
        case Missing():
            return "missing"
        case Parameter():
            return "?"
        case Name():
            return path_text(tree.path)
        case Sequence():
            start, end = {"list": "[]", "bag": ("<<", ">>"), "values": "()"}[tree.kind]
            return _between(start, tree.elements, end)
        case Tuple():
            return "{" + ", ".join(f"{text_of(key)}: {text_of(value)}" for key, value in tree.members) + "}"
        case Call():
            return _between(f"{tree.function}(", tree.operands, ")")
        case Is():
            return f"({text_of(tree.operand)}) is {tree.type}"
        case Apply():
            return _applied(tree)


def _applied(tree: Apply) -> str:
    first, *others = (f"({text_of(part)})" for part in tree.operands)
    if tree.operator in ("not", "neg"):
        return f"{'not' if tree.operator == 'not' else '-'} {first}"
    if tree.operator == "between":
        return f"{first} between {others[0]} and {others[1]}"
    if tree.operator == "in":
        return f"{first} in {text_of(tree.operands[1])}"
    return f" {tree.operator} ".join((first, *others))


def statement_text(statement: Statement) -> str:
    """The text of a statement."""
    match statement:
        case Exists():
            return f"exists({statement_text(statement.select)})"
        case Select():
            order = ", ".join(f"{text_of(one.key)}{' desc' * one.is_descending}" for one in statement.order)
            listed = ", ".join(map(text_of, statement.projection)) or "*"
            text = f"select {listed} from {_source(statement.source)}{_where(statement.where)}"
            return text + (f" order by {order}" if order else "")
        case Insert():
            return f"INSERT INTO {_source(statement.source)} VALUE {text_of(statement.item)}"
        case Update():
            done = " ".join(map(_assignment, statement.assignments))
            return f"Update {_source(statement.source)} {done}{_where(statement.where)}{_returning(statement)}"
        case Delete():
            return f"delete\nFROM {_source(statement.source)}{_where(statement.where)}{_returning(statement)}"


def _source(source: Source) -> str:
    return ".".join(map(quoted, source.names))


def _where(tree: Expression | None) -> str:
    return "" if tree is None else f" where {text_of(tree)}"


def _assignment(assignment: Assignment) -> str:
    target = path_text(assignment.path.path)
    return f"remove {target}" if assignment.value is None else f"set {target} = {text_of(assignment.value)}"


def _returning(statement: Update | Delete) -> str:
    if statement.returning == "NONE":
        return ""
    which, when = statement.returning.split("_")
    return f" returning {which.replace('UPDATED', 'modified')} {when} *"


# ---- comparing -------------------------------------------------------------------------------------------------------


def plain(tree: Tree) -> Tree:
    """A tree without its places, the texts of its numbers, and the numbers of its parameters, and with conditions that
    lie in the first place of another of their kind beside its others, as the parser has them."""
    if isinstance(tree, tuple):
        return cast("Tree", tuple(map(plain, tree)))
    if not hasattr(tree, "__struct_fields__") or isinstance(tree, Source):
        return tree
    changes: dict[str, Any] = {name: plain(getattr(tree, name)) for name in cast("Any", tree).__struct_fields__}
    changes.update({name: value for name, value in (("at", ""), ("text", ""), ("index", 0)) if name in changes})
    if isinstance(tree, Apply) and tree.operator in ("and", "or"):
        first, *others = changes["operands"]
        if isinstance(first, Apply) and first.operator == tree.operator:
            changes["operands"] = (*first.operands, *others)
    return cast("Tree", structs.replace(cast("Any", tree), **changes))
