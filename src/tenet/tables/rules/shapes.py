"""Whether a request has its operation's shape: types, required members, enumerations, lengths, patterns, ranges.

Every operation's shape is compiled once into nested functions that only say yes or no, so that a valid request costs a
few dictionary look-ups. Only where they say no is the request looked at again, slowly, to convert what the service
converts and to collect the messages of what it refuses.

What it leaves to others: attribute values are taken as they come (``rules.attributes``), as are rules that no shape can
say (``rules.table_definition`` and the operations).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tenet.tables.errors import ValidationException
from tenet.tables.rules.shape_constraints import (
    endless,
    endless_from,
    endless_violation,
    table_name_problem,
    violations,
)
from tenet.tables.rules.shape_conversion import convert, convert_request
from tenet.tables.rules.shape_facts import TABLE_ARN_SHAPE, TABLE_NAME, TABLE_NAME_FIRST
from tenet.tables.rules.shape_model import ATTRIBUTE_VALUE, REQUESTS, SHAPES

if TYPE_CHECKING:
    from tenet.tables.rules.shape_model import Shape

#: Says whether a value is right. Where its JSON type alone decides, it is that type, which saves a call.
_Test: TypeAlias = Callable[[Any], bool] | type

#: So many elements of a list that is far too long are printed.
_BEGINNING: Final = 1_000
#: So many names are remembered.
NAMES_MAX: Final = 10_000
#: So many sequences of members are remembered of a structure.
_MEMBERS_MAX: Final = 256


def check_shape(operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """Returns the request, or a corrected copy of it where the service is lenient (null members, ``"true"``, 1.5).

    Args:
        operation: the name of an operation of the API.
        request: as parsed.

    Raises:
        SerializationException: a value has a JSON type that cannot be converted.
        ValidationException: with the text of every constraint that does not hold, at most ten.
    """
    test = _tests.get(operation)
    if test is None:
        test = _tests[operation] = _structure_test(REQUESTS[operation])
    if test(request):
        return request
    shape = REQUESTS[operation]
    _refuse_endless(shape, request)
    converted = convert_request(shape, request)
    if operation in TABLE_NAME_FIRST:
        problem = table_name_problem(operation, converted.get("TableName"))
        if problem is not None:
            raise ValidationException(problem)
    problems = violations(shape, converted)
    if problems:
        plural = "s" if len(problems) > 1 else ""
        raise ValidationException(f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}")
    return converted


def check_json_types(operation: str, request: dict[str, Any]) -> None:
    """Checks the JSON types of all that a request carries, attribute values included.

    The service does so before anything else. Here every part is checked where it is first used, which is enough for a
    request that is carried out; one that is refused may have been refused for something else before.

    Args:
        operation: the name of an operation; nothing is checked of one whose requests are not known.
        request: as parsed, no value of it made canonical yet.

    Raises:
        SerializationException: a value has a JSON type that cannot be converted; the first in the order of the request.
    """
    shape = REQUESTS.get(operation)
    if shape is not None:
        convert_request(shape, request)


def _refuse_endless(shape: Shape, request: dict[str, Any]) -> None:
    """Refuses a list or map that is far too long before all of it is converted, looked through and printed."""
    found = endless(shape, request)
    if found is not None:
        of, value, path = found
        some = islice(value.items() if isinstance(value, dict) else value, _BEGINNING)
        beginning = convert(of, dict(some) if isinstance(value, dict) else list(some))
        raise ValidationException(f"1 validation error detected: {endless_violation(of, beginning, path)}")


# ---- compilation -----------------------------------------------------------------------------------------------------


def _test(shape: Shape) -> _Test:
    """Returns a function that says whether a value has the shape as it stands; a null never has."""
    if shape.name == ATTRIBUTE_VALUE:
        return dict
    if shape.name == TABLE_ARN_SHAPE:
        return _is_table_name
    return _BY_KIND[shape.kind](shape)


def _call(test: _Test) -> Callable[[Any], bool]:
    """Returns a test as something that can be called."""
    if isinstance(test, type):
        return lambda value: type(value) is test
    return test


def _is_table_name(value: Any) -> bool:
    if type(value) is not str:
        return False
    if value in _names:
        return True
    if TABLE_NAME.fullmatch(value) is None:
        return False
    if len(_names) >= NAMES_MAX:
        _names.clear()
    _names.add(value)
    return True


class _Structure:
    """Tests for one structure.

    Programs send the same members over and over. For a sequence of names and types that was right before, all that is
    left to look at are the members whose type does not tell.
    """

    __slots__ = ("_known", "_required", "_tests")

    def __init__(self, shape: Shape) -> None:
        self._tests = {name: _test(SHAPES[of]) for name, of in shape.members.items()}
        self._required = shape.required
        self._known: dict[tuple[Any, ...], tuple[tuple[str, Callable[[Any], bool]], ...]] = {}

    def is_right(self, value: Any) -> bool:
        """Whether a value is such a structure as it stands."""
        if type(value) is not dict:
            return False
        left = self._known.get((*value, *map(type, value.values())))
        if left is None:
            return self._is_right_at_first(value)
        for name, test in left:  # noqa: SIM110 (a generator takes twice the time)
            if not test(value[name]):
                return False
        return True

    def _is_right_at_first(self, value: dict[str, Any]) -> bool:
        left = []
        for name, member in value.items():
            test = self._tests.get(name)
            if isinstance(test, type):
                if type(member) is not test:
                    return False
            elif test is not None:
                if not test(member):
                    return False
                left.append((name, test))
        if not value.keys() >= self._required:
            return False
        if len(self._known) < _MEMBERS_MAX and len(value) <= len(self._tests):
            self._known[*value, *map(type, value.values())] = tuple(left)
        return True


def _structure_test(shape: Shape) -> Callable[[Any], bool]:
    return _Structure(shape).is_right


def _list_test(shape: Shape) -> _Test:
    low, high = shape.min or 0, shape.max if shape.max is not None else endless_from(shape)
    if shape.member == ATTRIBUTE_VALUE:
        return lambda value: type(value) is list and low <= len(value) <= high
    of_member = _call(_test(SHAPES[shape.member]))
    return lambda value: type(value) is list and low <= len(value) <= high and all(map(of_member, value))


def _map_test(shape: Shape) -> _Test:
    low, high = shape.min or 0, shape.max if shape.max is not None else endless_from(shape)
    if high == math.inf:
        return dict
    if shape.value == ATTRIBUTE_VALUE:
        return lambda value: type(value) is dict and low <= len(value) <= high
    of_key, of_value = SHAPES[shape.key], _call(_test(SHAPES[shape.value]))
    if not _is_bounded(of_key):
        return lambda value: type(value) is dict and low <= len(value) <= high and all(map(of_value, value.values()))
    test_key = _call(_test(of_key))
    return lambda value: (
        type(value) is dict
        and low <= len(value) <= high
        and all(map(test_key, value))
        and all(map(of_value, value.values()))
    )


def _string_test(shape: Shape) -> _Test:
    if shape.enum:
        values = frozenset(shape.enum)
        return lambda value: type(value) is str and value in values
    if not _is_bounded(shape):
        return str
    # Lengths count UTF-16 units, of which a character has at most two; whoever may pass by that is looked at slowly.
    low, high = shape.min or 0, shape.max // 2 if shape.max is not None else 1 << 62
    if not shape.pattern:
        return lambda value: type(value) is str and low <= len(value) <= high
    matches = re.compile(shape.pattern).fullmatch
    return lambda value: type(value) is str and low <= len(value) <= high and matches(value) is not None


def _is_bounded(shape: Shape) -> bool:
    """Whether a string of the shape has any constraint."""
    return bool(shape.enum or shape.pattern or shape.min or shape.max is not None or shape.name == TABLE_ARN_SHAPE)


def _number_test(shape: Shape) -> _Test:
    low = shape.min if shape.min is not None else -(1 << 31)
    high = shape.max if shape.max is not None else (1 << 31) - 1
    return lambda value: type(value) is int and low <= value <= high


def _boolean_test(_shape: Shape) -> _Test:
    return bool


def _slow_test(_shape: Shape) -> _Test:
    return _is_never_right


def _is_never_right(_value: object) -> bool:
    return False


_BY_KIND: Final[dict[str, Callable[[Shape], _Test]]] = {
    "structure": _structure_test,
    "list": _list_test,
    "map": _map_test,
    "string": _string_test,
    "boolean": _boolean_test,
    "integer": _number_test,
    "long": _number_test,
    # Seldom used: always looked at slowly, which gives the same answer.
    "double": _slow_test,
    "timestamp": _slow_test,
    "blob": _slow_test,
}

#: What was compiled; an operation is when it is first called.
_tests: Final[dict[str, Callable[[Any], bool]]] = {}
#: Names and ARNs of tables that were right before.
_names: Final[set[str]] = set()
