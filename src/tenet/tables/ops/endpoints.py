"""DescribeEndpoints (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeEndpoints.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context

CACHE_MINUTES: Final = 1_440


async def describe_endpoints(_context: Context, caller: Caller, _request: dict[str, Any]) -> bytes:
    """Returns the address that was called, which is where a client shall go on calling; no round trip."""
    address = caller.host or f"dynamodb.{caller.region}.amazonaws.com"
    return orjson.dumps({"Endpoints": [{"Address": address, "CachePeriodInMinutes": CACHE_MINUTES}]})
