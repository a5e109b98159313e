"""Where the item of a request's key lies, told at sight where its table is known and its key plain, as most are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenet.tables.rules.attributes import check_item
from tenet.tables.rules.key_values import plain_key

if TYPE_CHECKING:
    from tenet.store.contract import Key
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Table


def at_sight(context: Context, caller: Caller, request: dict[str, Any]) -> tuple[Table | None, Key | None]:
    """Returns the table and the place that a request's key names, as far as they are found without a round trip.

    Where there is no place, the key was checked as far as it can be without its table, and made canonical.

    Args:
        context: the service.
        caller: who asks.
        request: has ``TableName`` and ``Key``.

    Raises:
        SerializationException: a value of the key is not of the JSON type that its member asks for.
        ValidationException: a value of the key breaks a rule of its type.
    """
    key = request["Key"]
    table = context.catalog.known(caller.account, request["TableName"])
    place = None if table is None else plain_key(table, key)
    if place is None:
        check_item(key)
    return table, place
