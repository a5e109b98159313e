"""What tags of queues may be.

Source: Amazon SQS Developer Guide, "Amazon SQS cost allocation tags"; API Reference, TagQueue.
"""

from __future__ import annotations

from typing import Final
from unicodedata import category

from tenet.queues.errors import InvalidParameterValue

TAGS_MAX: Final = 50
_KEY_CHARS_MAX: Final = 128
_VALUE_CHARS_MAX: Final = 256
_SYMBOLS: Final = frozenset("_.:/=+-@")
#: Letters, numbers and separators, as Unicode has them.
_CATEGORIES: Final = frozenset("LNZ")
_ONLY: Final = "may only contain unicode letters, digits, whitespace, or one of these symbols: _ . : / = + - @'"


def check_tags(tags: dict[str, str], queue: str) -> None:
    """Refuses tags that a queue cannot have.

    Args:
        tags: all of its tags by key, as they are to be.
        queue: its name.

    Raises:
        InvalidParameterValue: it cannot have them.
    """
    if len(tags) > TAGS_MAX:
        raise InvalidParameterValue(f"Too many tags added for queue {queue}.")
    for key, value in tags.items():
        if not 1 <= len(key) <= _KEY_CHARS_MAX:
            raise InvalidParameterValue("Tag keys must be between 1 and 128 characters in length.")
        if len(value) > _VALUE_CHARS_MAX:
            raise InvalidParameterValue("Tag values must be between 0 and 256 characters in length.")
        if key.lower().startswith("aws:"):
            raise InvalidParameterValue("Tag keys may not begin with 'aws:', which is reserved for system use.")
        if not _is_clean(key):
            raise InvalidParameterValue(f"Tag keys {_ONLY}")
        if not _is_clean(value):
            raise InvalidParameterValue(f"Tag values {_ONLY}")


def _is_clean(text: str) -> bool:
    return all(char in _SYMBOLS or category(char)[0] in _CATEGORIES for char in text)
