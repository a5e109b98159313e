"""Event patterns: which records a pipe lets through.

A pattern is a JSON object of the shape of the record. A list stands where the record has a value, and holds what the
value may be; of several members all have to match, of a list one. Where the record has a list, one of its elements has
to match. What may stand in a list:

========================================================  ==============================================================
``"text"``, ``12``, ``true``, ``null``                    the very value; a number matches one that is written alike
``{"prefix": "a"}``, ``{"suffix": "z"}``                  a text that begins or ends so
``{"prefix": {"equals-ignore-case": "a"}}``               the same whatever the case; ``suffix`` too
``{"equals-ignore-case": "a"}``                           a text, whatever the case
``{"anything-but": "a"}``, ``{"anything-but": [1, 2]}``   a value that is there, and none of these
``{"numeric": [">", 0, "<=", 5]}``                        a JSON number within bounds; ``=`` too
``{"exists": true}``, ``{"exists": false}``               whether there is a value that is neither object nor empty list
========================================================  ==============================================================

``"$or": [{…}, {…}]`` matches where one of the objects does. Numbers of DynamoDB items are texts in a record
(``{"N": "12"}``), so that ``numeric`` does not apply to them; that is so in the service as well.

Source: Amazon EventBridge User Guide, "Comparison operators for use in event patterns", column "Pipe support"; the
README of Event Ruler for lists within events and for ``$or``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import orjson

from tenet.pipes.errors import ValidationException

#: Tells whether a record, or a part of one, matches.
Test: TypeAlias = Callable[[Any], bool]

#: A pattern is nested so deep at the most.
DEPTH_MAX: Final = 50
#: Numbers lie between these (Event Ruler, "Numeric matching").
NUMBER_MAX: Final = 5.0e9

_FIELD: Final = "SourceParameters.FilterCriteria.Filters.Pattern"
_ABSENT: Final = object()
_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_UPPER: Final = {"<", "<="}
_LOWER: Final = {">", ">="}
_NOTHING: Final[Mapping[str, Any]] = {}


def compile_pattern(text: str) -> Test:
    """Returns the test that a pattern means.

    Args:
        text: the pattern as JSON.

    Raises:
        ValidationException: it is none, or has an operator that pipes do not take; nothing of it holds.
    """
    try:
        pattern = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _refusal(f"it is not JSON: {error}") from None
    return _object_test(pattern, "", 0)


def _object_test(pattern: object, where: str, depth: int) -> Test:
    if not isinstance(pattern, dict) or not pattern:
        raise _refusal(f"{where or 'it'} has to be an object that is not empty")
    if depth > DEPTH_MAX:
        raise _refusal(f"it is nested deeper than {DEPTH_MAX}")
    tests = [_member_test(name, value, f"{where}.{name}" if where else name, depth) for name, value in pattern.items()]

    def test(event: Any) -> bool:
        if isinstance(event, list):
            return any(test(one) for one in event) if event else test(_NOTHING)
        members = event if isinstance(event, dict) else _NOTHING
        return all(one(members) for one in tests)

    return test


def _member_test(name: str, value: object, where: str, depth: int) -> Test:
    if name == "$or" and isinstance(value, list):
        if len(value) < 2:  # noqa: PLR2004 (one alternative is none)
            raise _refusal(f"{where} needs two objects at least")
        choices = [_object_test(one, where, depth + 1) for one in value]
        return lambda members: any(choice(members) for choice in choices)
    if isinstance(value, dict):
        inner = _object_test(value, where, depth + 1)
        return lambda members: inner(members.get(name))
    if not isinstance(value, list) or not value:
        raise _refusal(f"{where} has to be a list that is not empty, or an object")
    return _leaf_test(name, [_value_test(one, where) for one in value])


def _leaf_test(name: str, tests: list[Test]) -> Test:
    def test(members: Any) -> bool:
        found = members.get(name, _ABSENT)
        if isinstance(found, list) and found:
            return any(one(value) for value in found for one in tests)
        if isinstance(found, dict | list):
            found = _ABSENT
        return any(one(found) for one in tests)

    return test


# ---- single values ---------------------------------------------------------------------------------------------------


def _value_test(wanted: object, where: str) -> Test:
    if isinstance(wanted, list):
        raise _refusal(f"{where} has a list within a list")
    if not isinstance(wanted, dict):
        return _equals(wanted)
    if len(wanted) != 1:
        raise _refusal(f"{where} has an object that is no single operator")
    ((name, argument),) = wanted.items()
    make = _OPERATORS.get(name)
    if make is None:
        raise _refusal(f"{where} has the operator '{name}'; pipes take {', '.join(sorted(_OPERATORS))}")
    return make(argument, f"{where} ({name})")


def _equals(wanted: object) -> Test:
    kind = type(wanted)
    return lambda value: type(value) is kind and value == wanted


def _text(argument: object, where: str) -> str:
    if not isinstance(argument, str):
        raise _refusal(f"{where} needs a text")
    return argument


def _ends(argument: object, where: str, *, is_prefix: bool) -> Test:
    holds = str.startswith if is_prefix else str.endswith
    if isinstance(argument, dict):
        if argument.keys() != {"equals-ignore-case"}:
            raise _refusal(f"{where} needs a text, or equals-ignore-case")
        folded = _text(argument["equals-ignore-case"], where).casefold()
        return lambda value: isinstance(value, str) and holds(value.casefold(), folded)
    wanted = _text(argument, where)
    if not wanted:
        raise _refusal(f"{where} needs a text that is not empty")
    return lambda value: isinstance(value, str) and holds(value, wanted)


def _ignoring_case(argument: object, where: str) -> Test:
    folded = _text(argument, where).casefold()
    return lambda value: isinstance(value, str) and value.casefold() == folded


def _anything_but(argument: object, where: str) -> Test:
    others = argument if isinstance(argument, list) else [argument]
    are_texts = all(isinstance(one, str) for one in others)
    are_numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in others)
    if not others or not (are_texts or are_numbers):
        raise _refusal(f"{where} needs a text or a number, or a list of either kind")
    tests = [_equals(one) for one in others]
    return lambda value: value is not _ABSENT and not any(test(value) for test in tests)


def _numeric(argument: object, where: str) -> Test:
    if not isinstance(argument, list) or len(argument) not in {2, 4}:
        raise _refusal(f"{where} needs a comparison and a number, or two of them")
    bounds = [_bound(argument[at], argument[at + 1], where) for at in range(0, len(argument), 2)]
    if len(bounds) > 1 and {argument[0] in _LOWER, argument[2] in _UPPER} != {True}:
        raise _refusal(f"{where} needs a lower bound, then an upper one")

    def test(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return all(compare(value, bound) for compare, bound in bounds)

    return test


def _bound(name: object, number: object, where: str) -> tuple[Callable[[float, float], bool], float]:
    compare = _COMPARISONS.get(name) if isinstance(name, str) else None
    if compare is None:
        raise _refusal(f"{where} compares by one of {', '.join(_COMPARISONS)}")
    if isinstance(number, bool) or not isinstance(number, int | float) or abs(number) > NUMBER_MAX:
        raise _refusal(f"{where} needs numbers from {-NUMBER_MAX:.0f} to {NUMBER_MAX:.0f}")
    return compare, number


def _exists(argument: object, where: str) -> Test:
    if not isinstance(argument, bool):
        raise _refusal(f"{where} needs true or false")
    return lambda value: (value is not _ABSENT) is argument


_OPERATORS: Final[Mapping[str, Callable[[object, str], Test]]] = {
    "anything-but": _anything_but,
    "equals-ignore-case": _ignoring_case,
    "exists": _exists,
    "numeric": _numeric,
    "prefix": lambda argument, where: _ends(argument, where, is_prefix=True),
    "suffix": lambda argument, where: _ends(argument, where, is_prefix=False),
}


def _refusal(reason: str) -> ValidationException:
    return ValidationException.of(_FIELD, f"Invalid event pattern: {reason}.")
