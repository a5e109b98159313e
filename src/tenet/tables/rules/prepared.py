"""What requests with the same expressions, names and placeholders have in common, so that it is found out once.

A program sends the same few expressions over and over, with other values each time. That its names and placeholders
are well-formed, that every one is used and every one that is used is there, and what the expressions compile to, all
depend on the texts alone. Nothing of a request's values is kept; they are checked every time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from tenet.tables.errors import ValidationException
from tenet.tables.rules.attributes import SUBSTITUTES_BYTES_MAX, check_expression_values

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from tenet.tables.model import AttributeValue
    from tenet.tables.rules.operand_checks import Check

T = TypeVar("T")

#: So many requests are kept, if their texts together are no longer than this; the memory that they take has a bound.
_KEPT_MAX: Final = 512
_KEPT_CHARS_MAX: Final = 2_048
#: However large names are that are kept, so many bytes of values have room beside them.
_VALUES_BYTES_MAX: Final = SUBSTITUTES_BYTES_MAX - 4 * _KEPT_CHARS_MAX
_NO_VALUES: Final[Mapping[str, AttributeValue]] = {}


class Prepared(Generic[T]):
    """The compiled expressions of one kind of request, by all of the request that they depend on.

    Args:
        expressions: the parameters that hold the expressions.
        with_values: returns compiled expressions with the values of another request.
    """

    def __init__(self, expressions: Sequence[str], with_values: Callable[[T, Mapping[str, AttributeValue]], T]) -> None:
        self._expressions = expressions
        self._with_values = with_values
        self._kept: dict[Hashable, tuple[T, tuple[Check, ...]]] = {}

    def find(self, request: Mapping[str, Any]) -> T | None:
        """Returns the compiled expressions of a request like one that was right before, or None.

        None too where a value does not fit its expression: whoever compiles anew finds out how to say so.

        Args:
            request: its shape already checked; its values are made canonical in place.

        Raises:
            SerializationException: a value is not of the JSON type that its member asks for.
            ValidationException: a value breaks a rule of its type; the message names its placeholder.
        """
        found = self._kept.get(self._key(request))
        if found is None:
            return None
        compiled, checks = found
        values = request.get("ExpressionAttributeValues")
        if values is None:
            return compiled
        if check_expression_values(values) > _VALUES_BYTES_MAX:
            # Names and values together may be too large.
            return None
        try:
            for check in checks:
                check(values)
        except ValidationException:
            return None
        return self._with_values(compiled, values)

    def keep(self, request: Mapping[str, Any], compiled: T, checks: Sequence[Check]) -> None:
        """Keeps the compiled expressions of a request in which everything was right.

        Args:
            request: the request.
            compiled: its expressions.
            checks: what they ask of the values.
        """
        names = request.get("ExpressionAttributeNames") or {}
        texts = (*(request.get(expression, "") for expression in self._expressions), *names, *names.values())
        if sum(map(len, texts)) > _KEPT_CHARS_MAX:
            return
        if len(self._kept) >= _KEPT_MAX:
            self._kept.clear()
        self._kept[self._key(request)] = (self._with_values(compiled, _NO_VALUES), tuple(checks))

    def _key(self, request: Mapping[str, Any]) -> Hashable:
        get = request.get
        names, values = get("ExpressionAttributeNames"), get("ExpressionAttributeValues")
        return (
            *map(get, self._expressions),
            None if names is None else tuple(names.items()),
            None if values is None else tuple(values),
        )
