"""From the text of an expression to what is compiled of it, and the caches between.

Parsing depends on the text alone, compiling on the text and the names; the values come with each request. So parsed
expressions are kept by their text, and compiled ones with them by their names. Nothing of a request's values is kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Generic, NoReturn, TypeVar, cast

from tenet.tables.errors import ValidationException
from tenet.tables.rules.condition_parser import parse_condition
from tenet.tables.rules.name_checks import check_condition_names, check_projection_names, check_update_names
from tenet.tables.rules.syntax_tree import ConditionTree, Path, Tree, UpdateAction, ValueName, in_order
from tenet.tables.rules.update_parser import parse_projection, parse_update

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tenet.tables.rules.bindings import Bindings
    from tenet.tables.rules.operand_checks import Check
    from tenet.tables.rules.syntax_tree import Kind

EXPRESSION_BYTES_MAX: Final = 4_096
#: Longer texts are parsed every time: they are rare, and the memory of the caches has a bound.
_KEPT_CHARS_MAX: Final = 1_024
_KEPT_TEXTS: Final = 512
#: With how many sets of names one parsed expression is kept.
_KEPT_NAMINGS: Final = 8

_Trees = TypeVar("_Trees")
_Compiled = TypeVar("_Compiled")


class Parsed(Generic[_Trees]):
    """A parsed expression with what was compiled of it.

    Args:
        trees: what the text says.
        parts: all of its parts.

    Attributes:
        names: the placeholders of names that it uses, each once.
        used: the placeholders of names and values that it uses.
        compiled: by the attribute names that `names` stand for; with the checks that the values must pass.
    """

    __slots__ = ("compiled", "names", "trees", "used")

    def __init__(self, trees: _Trees, parts: Iterable[Tree]) -> None:
        self.trees = trees
        names: dict[str, None] = {}
        values: dict[str, None] = {}
        for part in parts:
            if isinstance(part, ValueName):
                values[part.name] = None
            elif isinstance(part, Path):
                names.update((name, None) for name in part.elements if isinstance(name, str) and name[0] == "#")
        self.names = tuple(names)
        self.used = (*names, *values)
        self.compiled: dict[tuple[str | None, ...], tuple[tuple[Check, ...], object]] = {}


def compiled_with(
    parsed: Parsed[_Trees],
    bindings: Bindings,
    compile_: Callable[[_Trees, Bindings], tuple[list[Check], _Compiled]],
) -> _Compiled:
    """Returns what an expression compiles to with a request's names, after checking it against the values.

    Args:
        parsed: the expression.
        bindings: the names and values.
        compile_: checks and compiles; always the same one for an expression.

    Raises:
        ValidationException: names or values do not fit.
    """
    naming = tuple(map(bindings.names.get, parsed.names))
    kept = parsed.compiled.get(naming)
    if kept is None:
        found, compiled = compile_(parsed.trees, bindings)
        checks = tuple(found)
        if len(parsed.compiled) >= _KEPT_NAMINGS:
            parsed.compiled.clear()
        parsed.compiled[naming] = (checks, compiled)
    else:
        checks, compiled = kept[0], cast("_Compiled", kept[1])
        for check in checks:
            check(bindings.values)
    bindings.note(parsed.used, checks)
    return compiled


def parsed_condition(text: str) -> Parsed[ConditionTree]:
    """Parses a condition or filter, or finds it in the cache."""
    return _kept_condition(text) if len(text) <= _KEPT_CHARS_MAX else _parse_condition(text)


def parsed_key_condition(text: str) -> Parsed[ConditionTree]:
    """Parses a key condition, or finds it in the cache: its own, since the same text compiles to something else."""
    return _kept_key_condition(text) if len(text) <= _KEPT_CHARS_MAX else _parse_condition(text)


def parsed_update(text: str) -> Parsed[tuple[UpdateAction, ...]]:
    """Parses an update, or finds it in the cache."""
    return _kept_update(text) if len(text) <= _KEPT_CHARS_MAX else _parse_update(text)


def parsed_projection(text: str) -> Parsed[tuple[Path, ...]]:
    """Parses a projection, or finds it in the cache."""
    return _kept_projection(text) if len(text) <= _KEPT_CHARS_MAX else _parse_projection(text)


def refuse(kind: Kind, error: ValidationException) -> NoReturn:
    """Raises an expression's error with the name of its parameter."""
    raise ValidationException(f"Invalid {kind}: {error.message}") from error


def _check_size(text: str) -> None:
    if not text:
        raise ValidationException("The expression can not be empty;")
    if len(text) > EXPRESSION_BYTES_MAX or len(text.encode()) > EXPRESSION_BYTES_MAX:
        raise ValidationException("Expression size has exceeded the maximum allowed size;")


def _parse_condition(text: str) -> Parsed[ConditionTree]:
    _check_size(text)
    tree = parse_condition(text)
    check_condition_names(tree)
    return Parsed(tree, in_order(tree))


def _parse_update(text: str) -> Parsed[tuple[UpdateAction, ...]]:
    _check_size(text)
    actions = parse_update(text)
    check_update_names(actions)
    return Parsed(actions, [part for action in actions for part in in_order(action)])


def _parse_projection(text: str) -> Parsed[tuple[Path, ...]]:
    _check_size(text)
    paths = parse_projection(text)
    check_projection_names(paths)
    return Parsed(paths, paths)


_kept_condition = lru_cache(_KEPT_TEXTS)(_parse_condition)
_kept_key_condition = lru_cache(_KEPT_TEXTS)(_parse_condition)
_kept_update = lru_cache(_KEPT_TEXTS)(_parse_update)
_kept_projection = lru_cache(_KEPT_TEXTS)(_parse_projection)
