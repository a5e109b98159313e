"""Claims that have to be confirmed: confirmed, released, and freed where neither came in time.

Whether a claim is confirmed or has expired is decided by who is the first to change the records of its consumers, and
not by a clock: both check the versions of all of them. A sweeper looks at its clock before it begins, and whoever
confirms does not: a confirmation that comes late and finds the consumers as they were is as good as one in time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec.structs import replace

from tenet.placement import keys
from tenet.placement.context import Answer, Asked, Context
from tenet.placement.errors import NOT_HELD, BadRequest, ClaimExpired, ClaimRefused, NotFound
from tenet.placement.ops.allocations import freeing
from tenet.placement.ops.committing import Plan, PlanAgain
from tenet.placement.rules.stored import encode_consumer
from tenet.placement.rules.stored_claims import encode_last_claim
from tenet.placement.rules.validation import canonical_uuid
from tenet.store.contract import IsVersion, Put, Version, Write

if TYPE_CHECKING:
    from tenet.placement.model import Consumer, Reservation
    from tenet.placement.rules.stored_claims import LastClaim

_NO_CONTENT: Final = 204

_Read: TypeAlias = "tuple[Consumer, Version]"


async def confirm_claim(context: Context, asked: Asked) -> Answer:
    """Makes what a claim has its consumers' own: ``POST /v1/claims/{consumer_uuid}/confirm``.

    Two round trips, one more for a gang, and a commit in the partition of each consumer; no commit where it was
    confirmed before. Where a claim is named (``claim``), no other one is confirmed.

    Raises:
        NotFound: nothing was ever claimed for the consumer.
        ClaimExpired: what it had was freed, because it was not confirmed in time.
        ClaimRefused: it was given back, or another claim was made for it.
    """
    uuid, claim = _consumer_of(asked), _claim_of(asked)
    deadline = asked.deadline

    async def plan() -> tuple[Plan, Reservation | None]:
        found, last = await _look(context, uuid, deadline)
        if claim is not None and claim != last.claim:
            raise ClaimRefused(f"The last claim for consumer {uuid} is {last.claim}, and not {claim}.", NOT_HELD)
        if found is None:
            # What is noted about it came with its end, and may have come after it was looked at.
            raise _lost(uuid, (await context.claims.before([uuid], deadline=deadline))[uuid].last or last)
        reserved = found[0].reserved
        if reserved is None:
            return Plan(()), None
        members = await _members(context, reserved, deadline)
        writes: list[Write] = [
            Put(keys.consumer_key(one.uuid), encode_consumer(replace(one, reserved=None))) for one, _ in members
        ]
        writes += context.expiry.pointers_gone(reserved)
        return Plan(writes, [IsVersion(keys.consumer_key(one.uuid), version) for one, version in members]), reserved

    confirmed = await context.committer.carry_out(plan, deadline=deadline)
    if confirmed is not None:
        context.expiry.forget(confirmed)
    return Answer(_NO_CONTENT)


async def release_claim(context: Context, asked: Asked) -> Answer:
    """Frees what a consumer has: ``DELETE /v1/claims/{consumer_uuid}``. Two round trips and a commit; again: nothing.

    Of a gang it frees this consumer alone.

    Raises:
        NotFound: nothing was ever claimed for the consumer.
    """
    uuid = _consumer_of(asked)

    async def plan() -> tuple[Plan, None]:
        found, _ = await _look(context, uuid, asked.deadline)
        return (Plan(()) if found is None else freeing([found])), None

    await context.committer.carry_out(plan, deadline=asked.deadline)
    return Answer(_NO_CONTENT)


async def expire_claim(context: Context, uuid: str, *, deadline: float) -> list[str]:
    """Frees what the consumers of a claim have that was not confirmed in time: all that are left of it, or none.

    Args:
        context: what it works with.
        uuid: of one of its consumers.
        deadline: when to give up.

    Returns:
        The consumers that have nothing any more; none where there was nothing to do.
    """

    async def plan() -> tuple[Plan, list[str]]:
        found = await context.reader.consumer(uuid, deadline=deadline)
        now_ms = context.clock.wall_ms()
        reserved = None if found is None else found[0].reserved
        if reserved is None or reserved.expires_ms > now_ms:
            return Plan(()), []
        members = await _members(context, reserved, deadline)
        gone = [one.uuid for one, _ in members]
        before = await context.claims.before(gone, deadline=deadline)
        plan = freeing(members)
        notes = [
            Put(keys.last_claim_key(one), encode_last_claim(replace(last, expired_ms=now_ms)))
            for one, last in ((one, before[one].last) for one in gone)
            if last is not None and last.claim == reserved.claim
        ]
        return replace(plan, writes=[*plan.writes, *notes]), gone

    return await context.committer.carry_out(plan, deadline=deadline)


def _consumer_of(asked: Asked) -> str:
    given = asked.path["consumer_uuid"]
    uuid = canonical_uuid(given)
    if uuid is None:
        raise NotFound(f"No claim was made for consumer '{given}'")
    return uuid


def _claim_of(asked: Asked) -> str | None:
    """Returns the claim that a request names, or None."""
    parameters = asked.parameters
    unknown = sorted(parameters.keys() - {"claim"})
    if unknown:
        raise BadRequest(f"Invalid query string parameters: there is no parameter {unknown[0]!r}, only 'claim'.")
    given = parameters.get("claim")
    uuid = canonical_uuid(given)
    if given is not None and uuid is None:
        raise BadRequest(f"Invalid query string parameters: 'claim' is {given!r}, and not a uuid.")
    return uuid


async def _look(context: Context, uuid: str, deadline: float) -> tuple[_Read | None, LastClaim]:
    """Returns a consumer, or None, and its last claim; two round trips at once.

    Raises:
        NotFound: nothing was ever claimed for it.
    """
    found, before = await asyncio.gather(
        context.reader.consumer(uuid, deadline=deadline), context.claims.before([uuid], deadline=deadline)
    )
    last = before[uuid].last
    if last is None:
        raise NotFound(f"No claim was made for consumer '{uuid}'")
    return found, last


async def _members(context: Context, reserved: Reservation, deadline: float) -> list[_Read]:
    """Returns the consumers of a claim that still wait for its confirmation; one round trip.

    Raises:
        PlanAgain: there is none any more.
    """
    found = await context.reader.consumers(reserved.consumers, deadline=deadline)
    members = [
        one
        for one in found.values()
        if one is not None and one[0].reserved is not None and one[0].reserved.claim == reserved.claim
    ]
    if not members:
        raise PlanAgain
    return members


def _lost(uuid: str, last: LastClaim) -> ClaimExpired | ClaimRefused:
    if last.expired_ms:
        return ClaimExpired(f"The claim {last.claim} for consumer {uuid} was not confirmed in time, and has expired.")
    return ClaimRefused(f"Consumer {uuid} has nothing any more: what claim {last.claim} gave it was freed.", NOT_HELD)
