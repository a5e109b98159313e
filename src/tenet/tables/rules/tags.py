"""What tags a table may have, and which resources have tags.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Tagging.html (50 per resource, keys of 1 to 128
characters, values of 0 to 256, no keys that begin with ``aws:``; letters, numbers, white space, ``+ - = . _ : / @``).
The words are those of captures of October 2026, which are the same in us-east-1 and us-west-2.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from tenet.tables.errors import AccessDeniedException, ValidationException

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TAGS_MAX: Final = 50
KEY_CHARACTERS_MAX: Final = 128
VALUE_CHARACTERS_MAX: Final = 256
_SIGNS: Final = frozenset("+-=._:/@")
#: Of Unicode's general categories: letters with their marks, numbers, separators.
_CATEGORIES: Final = frozenset("LMNZ")

_INVALID: Final = "One or more parameter values were invalid: "
_INDEX_ARN: Final = re.compile(r"arn:aws[a-z-]*:dynamodb:[^:]+:[0-9]{12}:table/[a-zA-Z0-9_.-]{3,255}/index/.+")
_DYNAMODB_ARN: Final = re.compile(r"arn:aws[a-z-]*:dynamodb:.*", re.DOTALL)
_TABLE_ARN: Final = re.compile(r"arn:aws[a-z-]*:dynamodb:[^:]+:([0-9]{12}):table/([a-zA-Z0-9_.-]{3,255})")


def tagged_table(operation: str, account: str, arn: str | None) -> str:
    """Returns the name of the table that an operation on tags is for.

    Args:
        operation: its name.
        account: the caller's tenant.
        arn: its ResourceArn; None where it is missing.

    Raises:
        ValidationException: it is not the ARN of a table.
        AccessDeniedException: the table is another tenant's.
    """
    if arn is None:
        raise ValidationException("Invalid TableArn")
    match = _TABLE_ARN.fullmatch(arn)
    if match is None:
        raise ValidationException(_fault_of_arn(arn))
    if match[1] != account:
        raise AccessDeniedException(
            f"User: arn:aws:iam::{account}:root is not authorized to perform: dynamodb:{operation} on resource: {arn} "
            f"because no resource-based policy allows the dynamodb:{operation} action"
        )
    return match[2]


def _fault_of_arn(arn: str) -> str:
    """Returns what is wrong with an ARN that is no table's."""
    if not arn.startswith("arn:"):
        return f"{_INVALID}ARNs must start with 'arn:': {arn}"
    if _DYNAMODB_ARN.fullmatch(arn) is None:
        return f"{_INVALID}Provided Arn is not a DynamoDB resource arn: {arn}"
    if _INDEX_ARN.fullmatch(arn) is not None:
        return (
            f"{_INVALID}Invalid resource arn provided, only table or stream is accepted. Provided resource arn: {arn}"
        )
    return f"Invalid TableArn: Invalid ResourceArn provided as input {arn}"


def with_tags(tags: Mapping[str, str], given: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Returns a table's tags after some were set.

    Args:
        tags: those that it has.
        given: as in a request, their types already checked.

    Raises:
        ValidationException: a key is reserved or stands there twice, a key or a value is missing, too long or has a
            character that is not allowed, or there would be too many.
    """
    new: dict[str, str] = {}
    for tag in given:
        key, value = tag.get("Key"), tag.get("Value")
        if key is None or not _is_key(key):
            raise _invalid_key(key)
        if value is None or len(value) > VALUE_CHARACTERS_MAX or not _has_allowed_characters(value):
            raise ValidationException(f"The Tag Value provided is invalid, Value: {_printed(value)}")
        if key.lower().startswith("aws:"):
            raise ValidationException(f"Tag Key cannot be prefixed with aws:, Key: {key}")
        if key in new:
            raise ValidationException(f"Duplicate Tag Keys provided as input: Duplicate Tag Key found {key}")
        new[key] = value
    after = {**tags, **new}
    if len(after) > TAGS_MAX:
        raise _too_many()
    return after


def check_keys(keys: Sequence[str]) -> None:
    """Checks the keys of tags that are to be removed, whether a table has them or not.

    Raises:
        ValidationException: one can be no tag's key, or there are more than a table can have.
    """
    for key in keys:
        if not _is_key(key):
            raise _invalid_key(key)
    if len(keys) > TAGS_MAX:
        raise _too_many()


def _is_key(key: str) -> bool:
    return 0 < len(key) <= KEY_CHARACTERS_MAX and _has_allowed_characters(key)


def _invalid_key(key: str | None) -> ValidationException:
    return ValidationException(f"The Tag Key provided is invalid, Key: {_printed(key)}")


def _too_many() -> ValidationException:
    return ValidationException("Number of Tags exceed the current limit for the provided ResourceArn")


def _printed(text: str | None) -> str:
    return "null" if text is None else text


def _has_allowed_characters(text: str) -> bool:
    return all(character in _SIGNS or unicodedata.category(character)[0] in _CATEGORIES for character in text)


def required(name: str, given: Sequence[object] | None, what: str) -> None:
    """Checks that a list of tags or of their keys is there and not empty.

    Args:
        name: of the parameter, as the service prints it.
        given: the list, or None.
        what: what its elements are called.

    Raises:
        ValidationException: it is not.
    """
    if given is None:
        raise ValidationException(
            f"1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
        )
    if not given:
        raise ValidationException(f"Atleast one {what} needs to be provided as Input.")
