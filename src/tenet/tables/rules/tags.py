"""What tags a table may have, and which resources have tags.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Tagging.html (50 per resource, keys of 1 to 128
characters, values of 0 to 256, no keys that begin with ``aws:``; letters, numbers, white space, ``+ - = . _ : / @``).
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from tenet.tables.errors import AccessDeniedException, ValidationException

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TAGS_MAX: Final = 50
_SIGNS: Final = frozenset("+-=._:/@")
#: Of Unicode's general categories: letters with their marks, numbers, separators.
_CATEGORIES: Final = frozenset("LMNZ")

_INVALID: Final = "One or more parameter values were invalid: "
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
        raise ValidationException(f"Invalid TableArn: Invalid ResourceArn provided as input {arn}")
    if match[1] != account:
        raise AccessDeniedException(
            f"User: arn:aws:iam::{account}:root is not authorized to perform: dynamodb:{operation} on resource: {arn} "
            f"because no resource-based policy allows the dynamodb:{operation} action"
        )
    return match[2]


def with_tags(tags: Mapping[str, str], given: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Returns a table's tags after some were set.

    Args:
        tags: those that it has.
        given: as in a request, their shape already checked.

    Raises:
        ValidationException: a key is reserved or stands there twice, a key or a value has a character that is not
            allowed, or there would be too many.
    """
    new: dict[str, str] = {}
    for tag in given:
        key = tag["Key"]
        if key.lower().startswith("aws:"):
            raise ValidationException(_INVALID + "aws: prefixed tag key names are not allowed for external use.")
        _check_characters("key", key)
        _check_characters("value", tag["Value"])
        if key in new:
            raise ValidationException(_INVALID + f"Duplicate tag key: {key}")
        new[key] = tag["Value"]
    after = {**tags, **new}
    if len(after) > TAGS_MAX:
        raise ValidationException(_INVALID + f"Too many tags: tag limit is {TAGS_MAX}")
    return after


def _check_characters(part: str, text: str) -> None:
    """Checks the characters of a tag; which of them is wrong is said in words of ours, the service's are not known."""
    if not all(character in _SIGNS or unicodedata.category(character)[0] in _CATEGORIES for character in text):
        raise ValidationException(
            _INVALID + f"Tag {part} contains invalid characters: {text}. Allowed are letters, white space, numbers and "
            "+ - = . _ : / @"
        )


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
