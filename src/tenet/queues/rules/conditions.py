"""The conditions of policies.

Source: AWS Identity and Access Management User Guide, "IAM JSON policy elements: Condition operators".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from tenet.queues.rules.patterns import matches

_Test: TypeAlias = Callable[[str, str], bool]

_IF_EXISTS: Final = "IfExists"
_SETS: Final = ("ForAnyValue:", "ForAllValues:")
_NULL: Final = "Null"


def _within(network: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _moment(text: str) -> float:
    """Returns seconds since 1970 of a time as policies write it.

    Raises:
        ValueError: it is none.
    """
    if text.isdecimal():
        return float(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _by(convert: Callable[[str], float], compare: Callable[[float, float], bool]) -> _Test:
    def test(wanted: str, found: str) -> bool:
        try:
            return compare(convert(found), convert(wanted))
        except ValueError:
            return False

    return test


def _numbers(name: str, convert: Callable[[str], float]) -> dict[str, _Test]:
    return {
        f"{name}Equals": _by(convert, lambda found, wanted: found == wanted),
        f"{name}LessThan": _by(convert, lambda found, wanted: found < wanted),
        f"{name}LessThanEquals": _by(convert, lambda found, wanted: found <= wanted),
        f"{name}GreaterThan": _by(convert, lambda found, wanted: found > wanted),
        f"{name}GreaterThanEquals": _by(convert, lambda found, wanted: found >= wanted),
    }


_TESTS: Final[dict[str, _Test]] = {
    "StringEquals": lambda wanted, found: wanted == found,
    "StringEqualsIgnoreCase": lambda wanted, found: wanted.lower() == found.lower(),
    "StringLike": matches,
    "ArnEquals": matches,
    "ArnLike": matches,
    "Bool": lambda wanted, found: wanted.lower() == found.lower(),
    "IpAddress": _within,
    **_numbers("Numeric", float),
    **_numbers("Date", _moment),
}
#: Those that hold where none of the values matches.
_NEGATED: Final[dict[str, _Test]] = {
    "StringNotEquals": _TESTS["StringEquals"],
    "StringNotEqualsIgnoreCase": _TESTS["StringEqualsIgnoreCase"],
    "StringNotLike": matches,
    "ArnNotEquals": matches,
    "ArnNotLike": matches,
    "NotIpAddress": _within,
    "NumericNotEquals": _TESTS["NumericEquals"],
    "DateNotEquals": _TESTS["DateEquals"],
}
#: All that there are, in small letters; that of binary values is known, and never holds.
_OPERATORS: Final = frozenset(operator.lower() for operator in (*_TESTS, *_NEGATED, "BinaryEquals"))


def is_condition(condition: Any) -> bool:
    """Whether a condition is well formed: values by key by operator, and there are such operators."""
    if not isinstance(condition, dict):
        return False
    return all(
        _is_operator(operator) and isinstance(keys, dict) and all(_values(values) for values in keys.values())
        for operator, keys in condition.items()
    )


def _is_operator(name: str) -> bool:
    named = name.lower()
    for prefix in _SETS:
        named = named.removeprefix(prefix.lower())
    return named == _NULL.lower() or named.removesuffix(_IF_EXISTS.lower()) in _OPERATORS


def holds(condition: dict[str, dict[str, Any]], facts: dict[str, str], *, otherwise: bool) -> bool:
    """Whether all of a condition holds.

    Args:
        condition: well formed.
        facts: by key in small letters.
        otherwise: what an operator counts for that is not known here.
    """
    return all(
        _holds(operator, key.lower(), _values(values) or [], facts, otherwise=otherwise)
        for operator, keys in condition.items()
        for key, values in keys.items()
    )


def _holds(operator: str, key: str, values: list[str], facts: dict[str, str], *, otherwise: bool) -> bool:
    for prefix in _SETS:
        operator = operator.removeprefix(prefix)
    fact = facts.get(key)
    if operator == _NULL:
        return any((fact is None) == (value.lower() == "true") for value in values)
    may_be_missing = operator.endswith(_IF_EXISTS)
    operator = operator.removesuffix(_IF_EXISTS)
    test = _TESTS.get(operator)
    negated = _NEGATED.get(operator)
    if test is None and negated is None:
        return otherwise
    if fact is None:
        return may_be_missing or negated is not None
    if negated is not None:
        return not any(negated(value, fact) for value in values)
    assert test is not None
    return any(test(value, fact) for value in values)


def _values(value: Any) -> list[str] | None:
    """Returns the values of a key as texts; None where they are no scalars."""
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(element, str | bool | int | float) for element in found):
        return None
    return [str(element).lower() if isinstance(element, bool) else str(element) for element in found]
