"""Client tokens of transactions: a request that was carried out within 10 minutes is not carried out again.

A token is used in the very commit that it guards: the commit adds 1 to a cell that may not pass 1, so that of two
requests with one token only one can land, whatever races or crashes. What it was used for lies beside the cell.

Source: "Idempotency" of
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-apis-txwriteitems.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, Self

import orjson
from msgspec import Struct

from tenet.store.contract import Add, Delete, IsVersion, Put
from tenet.store.expiry import Removal
from tenet.store.landing import land
from tenet.tables import keys
from tenet.tables.errors import IdempotentParameterMismatchException, TransactionInProgressException

if TYPE_CHECKING:
    from tenet.store.contract import Key, Record, Write
    from tenet.tables.context import Caller, Context

#: For so long a token stands for the request that it was used with.
VALID_MS: Final = 10 * 60 * 1000


class Token(Struct, frozen=True):
    """A token and what it is used for.

    Args:
        text: 1 to 36 characters.
        digest: of the request without the members that may differ.
        until_ms: when it is forgotten, milliseconds since 1970.
    """

    text: str
    digest: bytes
    until_ms: int

    @classmethod
    def of(cls, request: dict[str, Any], now_ms: int) -> Self | None:
        """Returns the token of a request, or None where it has none."""
        text = request.get("ClientRequestToken")
        if not text:
            return None
        content = request["TransactItems"] if "TransactItems" in request else request["TransactStatements"]
        canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        return cls(text, hashlib.sha256(canonical).digest(), now_ms + VALID_MS)

    async def writes(self, context: Context, caller: Caller) -> list[Write]:
        """Returns what uses the token, to be committed with what it guards; it will be forgotten in time.

        No round trip where commits over partitions are cheap, else one.
        """
        cell, detail = keys.token_keys(caller.account, self.text)
        value = self.until_ms.to_bytes(8, "big") + self.digest
        pointers = context.expiry.pointers_for(detail, self.until_ms)
        announced = await context.expiry.announce(pointers, deadline=caller.deadline)
        return [Add(cell, keys.USED_CELL, 1, at_most=1), Put(detail, value), *announced]


class TokenRule:
    """When client tokens are forgotten. Implements ``tenet.store.expiry.ExpiryRule``."""

    def expires_ms(self, key: Key, record: Record) -> int | None:  # noqa: ARG002 - the protocol's
        """Returns when the record of what a token was used for is due, milliseconds since 1970."""
        return int.from_bytes(record.value[:8], "big")

    def removal(self, key: Key, record: Record) -> Removal:  # noqa: ARG002 - the protocol's
        """Returns what goes with it: that the token was used."""
        return Removal((Delete(keys.token_cell(key)),))


async def replayed(context: Context, caller: Caller, token: Token, *, must_exist: bool = False) -> bool:
    """Returns whether the request of a token was carried out before; one round trip.

    Args:
        context: the service.
        caller: whose token it is.
        token: the token.
        must_exist: whether somebody was just seen to use it.

    Raises:
        IdempotentParameterMismatchException: it was used for another request.
        TransactionInProgressException: it was seen in use, and is gone again.
    """
    cell, detail = keys.token_keys(caller.account, token.text)
    (record,) = await context.store.get((detail,), deadline=caller.deadline)
    if record is not None and int.from_bytes(record.value[:8], "big") > context.clock.wall_ms():
        if record.value[8:] != token.digest:
            raise IdempotentParameterMismatchException(
                "The request uses the same client token as a previous, but non-identical request."
                " Do not reuse a client token with different requests, unless the requests are identical"
            )
        return True
    if record is not None:
        await land(
            context.store,
            (Delete(cell), Delete(detail)),
            (IsVersion(detail, record.version),),
            clock=context.clock,
            ids=context.ids,
            deadline=caller.deadline,
        )
    if must_exist:
        raise TransactionInProgressException("The transaction with the given request token is already in progress.")
    return False
