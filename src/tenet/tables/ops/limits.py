"""DescribeLimits (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeLimits.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context

#: The service's default quotas. Tenet does not hold tables to them: capacity is the machine's, not an account's.
_QUOTAS: Final = {
    "AccountMaxReadCapacityUnits": 80_000,
    "AccountMaxWriteCapacityUnits": 80_000,
    "TableMaxReadCapacityUnits": 40_000,
    "TableMaxWriteCapacityUnits": 40_000,
}


async def describe_limits(_context: Context, _caller: Caller, _request: dict[str, Any]) -> bytes:
    """Returns the capacity quotas that a new account has; no round trip."""
    return orjson.dumps(_QUOTAS)
