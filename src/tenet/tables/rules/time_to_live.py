"""Time to live: how it is switched on and off, and which items are expired.

Sources: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html and "Using time to
live" of the Developer Guide; texts as users of the service quote them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson

from tenet.tables.errors import ResourceInUseException, ValidationException
from tenet.tables.model import TimeToLive
from tenet.tables.rules import stored
from tenet.tables.rules.table_update import check_is_active

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.tables.model import Item, Table

#: So long after a change the next one is refused, as the documentation has it; captures of October 2026 were refused
#: after 1,811 seconds and not after 1,872.
CHANGE_MS_MIN: Final = 3_600_000
#: What is longer past is left alone: five years, leap days not counted, so that nothing goes that is younger than that.
AGE_S_MAX: Final = 5 * 365 * 86_400


def changed(now: TimeToLive | None, wanted: Mapping[str, Any], *, now_ms: int, until_ms: int) -> TimeToLive:
    """Returns the time to live of a table after a change.

    Args:
        now: as it is.
        wanted: TimeToLiveSpecification of the request, its shape already checked.
        now_ms: the time, milliseconds since 1970.
        until_ms: when the change is over.

    Raises:
        ValidationException: it is so already, is on for another attribute, or was changed within the last hour.
    """
    attribute, is_wanted = wanted["AttributeName"], wanted["Enabled"]
    is_enabled = now is not None and now.is_enabled
    if is_enabled and now is not None and now.attribute != attribute:
        raise ValidationException(
            f"TimeToLive is active on a different AttributeName: current AttributeName is {now.attribute}"
        )
    if is_enabled == is_wanted:
        raise ValidationException(f"TimeToLive is already {'enabled' if is_wanted else 'disabled'}")
    if now is not None and now_ms - now.changed_ms < CHANGE_MS_MIN:
        raise ValidationException("Time to live has been modified multiple times within a fixed interval")
    return TimeToLive(attribute, is_wanted, now_ms, until_ms)


def check_describable(table: Table) -> None:
    """Checks that the time to live of a table can be described.

    Raises:
        ValidationException: the table is being made or deleted.
    """
    if table.status in {"CREATING", "DELETING"}:
        raise ValidationException(
            f"Cannot describe time to live while table is in {table.status} state: "
            f"Current table state is {table.status}"
        )


def check_changeable(table: Table) -> None:
    """Checks that the time to live of a table can be changed; while the table is updated it can.

    Raises:
        ResourceInUseException: the table is being made or deleted.
    """
    if table.status == "CREATING":
        # Not in the words that all other operations have for it.
        raise ResourceInUseException(
            f"Attempt to change a resource which is still in use: Table {table.name} is being created"
        )
    if table.status == "DELETING":
        check_is_active(table)


def status(now: TimeToLive | None, now_ms: int) -> str:
    """Returns the TimeToLiveStatus at a time, milliseconds since 1970."""
    if now is None:
        return "DISABLED"
    if now_ms < now.until_ms:
        return "ENABLING" if now.is_enabled else "DISABLING"
    return "ENABLED" if now.is_enabled else "DISABLED"


def describe(now: TimeToLive | None, now_ms: int) -> dict[str, str]:
    """Returns the TimeToLiveDescription at a time, milliseconds since 1970; without the attribute where it is off."""
    found = status(now, now_ms)
    if now is None or found == "DISABLED":
        return {"TimeToLiveStatus": found}
    return {"TimeToLiveStatus": found, "AttributeName": now.attribute}


def attribute_of(now: TimeToLive | None, now_ms: int) -> str | None:
    """Returns the attribute by which items expire at a time, milliseconds since 1970; None: they do not."""
    return now.attribute if now is not None and status(now, now_ms) == "ENABLED" else None


def is_expired(item: Item | None, attribute: str, now_ms: int) -> bool:
    """Whether an item is to go.

    Args:
        item: the item, or None.
        attribute: names when it expires: seconds since 1970, as a Number; anything else never expires.
        now_ms: the time, milliseconds since 1970.
    """
    text = (item or {}).get(attribute, {}).get("N")
    if text is None:
        return False
    now_s = Decimal(now_ms).scaleb(-3)
    return now_s - AGE_S_MAX <= Decimal(text) < now_s


class Sieve:
    """Finds among stored items those that are expired, and decodes hardly any others.

    Args:
        attribute: names when an item expires.
    """

    __slots__ = ("_attribute", "_trace")

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute
        #: What the bytes of an item hold that has a number under this name, at the top or further down.
        self._trace = orjson.dumps(attribute) + b':{"N":'

    def may_expire(self, value: bytes) -> bool:
        """Whether it has to be decoded: False is certain."""
        return value[0] != stored.PLAIN or self._trace in value

    def is_expired(self, value: bytes, now_ms: int) -> bool:
        """Whether a stored item is expired at a time, milliseconds since 1970."""
        return self.may_expire(value) and is_expired(stored.decode(value), self._attribute, now_ms)
