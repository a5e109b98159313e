"""The names and values that a request hands to its expressions, and which of them the expressions use.

One ``Bindings`` serves all expressions of a request (in a transaction: of one of its items). Every expression that is
compiled with it notes what it uses; when all are, ``check_all_used`` refuses what is left over.

Source: "Expression attribute names" and "Expression attribute values" of the Developer Guide; texts as dynalite 4 and
DynamoDB Local 3.3 have them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn

from tenet.tables.errors import ValidationException
from tenet.tables.rules.attributes import (
    ATTRIBUTE_NAME_BYTES_MAX,
    SUBSTITUTES_BYTES_MAX,
    check_expression_values,
    check_name,
)
from tenet.tables.rules.paths import check_apart

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tenet.tables.model import AttributeValue, Item
    from tenet.tables.rules.operand_checks import Check
    from tenet.tables.rules.paths import ResolvedPath
    from tenet.tables.rules.syntax_tree import Path

PLACEHOLDER_CHARS_MAX: Final = 255
#: The most bytes of a name with its placeholder.
_NAME_BYTES_MAX: Final = ATTRIBUTE_NAME_BYTES_MAX + PLACEHOLDER_CHARS_MAX
_NAME: Final = re.compile(r"#[A-Za-z0-9_]{1,254}", re.ASCII)
_VALUE: Final = re.compile(r":[A-Za-z0-9_]{1,254}", re.ASCII)
#: Names on a document path.
LEVELS_MAX: Final = 32


class Bindings:
    """``ExpressionAttributeNames`` and ``ExpressionAttributeValues`` of a request, checked and canonical.

    Args:
        names: attribute names by placeholder (``#name``); None where the request has none.
        values: attribute values by placeholder (``:value``), made canonical in place; None where there are none.

    Raises:
        ValidationException: a map is empty, or a key or a value is not valid; the first one, names before values. Or
            they are too large.
        SerializationException: a value is not of the JSON type that its member asks for.
    """

    __slots__ = ("_used", "checks", "names", "values")

    def __init__(self, names: Mapping[str, str] | None = None, values: Item | None = None) -> None:
        if names is not None:
            _check_names(names)
        value_bytes = 0 if values is None else _check_values(values)
        self.names: Mapping[str, str] = names or {}
        if len(self.names) * _NAME_BYTES_MAX + value_bytes > SUBSTITUTES_BYTES_MAX:
            _check_bytes(self.names, value_bytes)
        self.values: Mapping[str, AttributeValue] = values or {}
        self._used: list[tuple[str, ...]] = []
        #: What the expressions ask of the values.
        self.checks: list[Check] = []

    def resolve(self, path: Path) -> ResolvedPath:
        """Returns a path with the attributes' own names.

        Raises:
            ValidationException: a placeholder is not defined, or the path has more than 32 elements.
        """
        if len(path.elements) > LEVELS_MAX:
            raise ValidationException(
                f"The document path has too many nesting levels; nesting levels: {len(path.elements)}"
            )
        return tuple(
            self._name(element) if isinstance(element, str) and element[0] == "#" else element
            for element in path.elements
        )

    def resolve_apart(self, document_paths: Iterable[Path]) -> list[ResolvedPath]:
        """Returns paths that are to stand side by side with the attributes' own names.

        Raises:
            ValidationException: one cannot be resolved; else, two overlap or conflict.
        """
        resolved = [self.resolve(path) for path in document_paths]
        check_apart(resolved)
        return resolved

    def _name(self, placeholder: str) -> str:
        name = self.names.get(placeholder)
        if name is None:
            raise ValidationException(
                f"An expression attribute name used in the document path is not defined; attribute name: {placeholder}"
            )
        return name

    def value(self, placeholder: str) -> AttributeValue:
        """Returns the value of a placeholder.

        Raises:
            ValidationException: it is not defined.
        """
        value = self.values.get(placeholder)
        if value is None:
            raise undefined_value(placeholder)
        return value

    def note(self, placeholders: tuple[str, ...], checks: Iterable[Check]) -> None:
        """Notes the names and values that an expression uses, and what it asks of the values."""
        self._used.append(placeholders)
        self.checks.extend(checks)

    def check_all_used(self) -> None:
        """Checks that the expressions use every name and every value.

        Raises:
            ValidationException: one is not used; names before values.
        """
        used: set[str] = set().union(*self._used)
        # All that is used is defined, so that the numbers are equal only where nothing is left over.
        if len(used) != len(self.names) + len(self.values):
            _refuse_unused("ExpressionAttributeNames", self.names, used)
            _refuse_unused("ExpressionAttributeValues", self.values, used)


def undefined_value(placeholder: str) -> ValidationException:
    """Returns the error for a value that the request does not have."""
    return ValidationException(
        f"An expression attribute value used in expression is not defined; attribute value: {placeholder}"
    )


def _refuse_unused(parameter: str, given: Iterable[str], used: set[str]) -> None:
    unused = ", ".join(placeholder for placeholder in given if placeholder not in used)
    if unused:
        raise ValidationException(f"Value provided in {parameter} unused in expressions: keys: {{{unused}}}")


def _check_names(names: Mapping[str, str]) -> None:
    if not names:
        raise ValidationException("ExpressionAttributeNames must not be empty")
    for placeholder in names:
        if not _NAME.fullmatch(placeholder):
            length = f" size of key: {len(placeholder)}"
            _refuse_placeholder("ExpressionAttributeNames", placeholder, length)
    for placeholder, name in names.items():
        # Every character has at most four bytes.
        if not name or len(name) > ATTRIBUTE_NAME_BYTES_MAX // 4:
            _check_name(placeholder, name)


def _check_name(placeholder: str, name: str) -> None:
    try:
        check_name(name)
    except ValidationException as error:
        raise ValidationException(
            f"ExpressionAttributeNames contains invalid value: {error.message} for key {placeholder}"
        ) from error


def _check_bytes(names: Mapping[str, str], value_bytes: int) -> None:
    """Checks how large names and values are, and how large both together."""
    name_bytes = sum(len(placeholder) + len(name.encode()) for placeholder, name in names.items())
    if name_bytes > SUBSTITUTES_BYTES_MAX:
        raise ValidationException("ExpressionAttributeNames exceeds max size")
    if value_bytes > SUBSTITUTES_BYTES_MAX:
        raise ValidationException("ExpressionAttributeValues exceeds max size")
    if name_bytes + value_bytes > SUBSTITUTES_BYTES_MAX:
        raise ValidationException(
            "Combined size of ExpressionAttributeNames and ExpressionAttributeValues exceeds max size"
        )


def _check_values(values: Item) -> int:
    """Checks values, and returns their bytes with those of their placeholders."""
    if not values:
        raise ValidationException("ExpressionAttributeValues must not be empty")
    for placeholder in values:
        if not _VALUE.fullmatch(placeholder):
            _refuse_placeholder("ExpressionAttributeValues", placeholder)
    return check_expression_values(values)


def _refuse_placeholder(parameter: str, placeholder: str, length: str = "") -> NoReturn:
    if len(placeholder) > PLACEHOLDER_CHARS_MAX:
        raise ValidationException(
            f"{parameter} contains invalid key: The expression attribute map contains a key that is too long;{length}"
        )
    raise ValidationException(f'{parameter} contains invalid key: Syntax error; key: "{placeholder}"')
