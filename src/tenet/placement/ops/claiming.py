"""Selects and claims in one call: ``/v1/claims``.

The choice is made from the read model; the commit decides. It checks that the consumers have nothing, that nothing was
claimed for them but what is known, that the consumers which the claim is to be near to or far from are where they were,
that the providers are described as they were when they were chosen, and, as every claim, that there is room. Where it
is refused, what it was about is read again and chosen anew, a bounded number of times.

Where a commit that is refused costs little, nothing is read before the first one: it is planned for consumers for which
nothing was ever claimed, as nearly all are. Whatever else such a plan ends with than a commit, the consumers are read
then: the request may have its answer already.

What was asked and what came of it is stored in the same commit, and each consumer knows its last claim: the same
request again gets the same answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec.structs import replace

from tenet.base.ids import uuid4_text
from tenet.placement import keys
from tenet.placement.context import Answer, Asked, Context
from tenet.placement.errors import (
    CLAIMED_OTHERWISE,
    NO_PLACE,
    BadRequest,
    ClaimRefused,
    Conflict,
    Contended,
    NotFound,
    PlacementError,
    QuotaExceeded,
    Unavailable,
)
from tenet.placement.model import Reservation
from tenet.placement.ops.claims import NEVER_CLAIMED, Before
from tenet.placement.ops.committing import TRIES_MAX, Plan
from tenet.placement.rules.claim_lists import encode_entry
from tenet.placement.rules.claim_requests import ClaimRequest, names_in, read_claim, read_claim_body
from tenet.placement.rules.claim_schemas import DOCUMENT_BYTES_MAX
from tenet.placement.rules.claims import (
    Move,
    Wanted,
    amounts_moved,
    check_fit,
    consumer_writes,
    move_of,
    provider_writes,
    providers_of,
    used_writes,
)
from tenet.placement.rules.openapi import openapi_document
from tenet.placement.rules.resources.translating import plain_claim
from tenet.placement.rules.stored_claims import LastClaim, encode_claim, encode_last_claim, state_of
from tenet.placement.rules.validation import canonical_uuid
from tenet.placement.selection.constraints import Other
from tenet.placement.selection.domains import domains_of_providers, local_of
from tenet.placement.selection.selecting import Chosen, Selection, WhyNot, selecting
from tenet.store.contract import Add, Check, IsVersion, Limits, Put, Version, Write
from tenet.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from tenet.placement.model import Consumer, Provider
    from tenet.placement.rules.snapshots import Snapshot

_OK: Final = 200
_CREATED: Final = 201
_SEED_BYTES: Final = 6
_MS: Final = 1000

#: What was read of consumers.
_Found = dict[str, "tuple[Consumer, Version] | None"]


async def make_claim(context: Context, asked: Asked) -> Answer:
    """Selects and claims: ``POST /v1/claims``.

    One commit over the providers, the consumers and their projects. One round trip to read before it on an engine where
    a commit over partitions is dear, or where it names other consumers; one more where custom names are used, and where
    the commit was refused: one for the consumers, and one or two for the providers chosen, before each further commit.
    Where the claim is refused, one to read, and a commit in one partition.

    Raises:
        BadRequest: the body is malformed, or names a class, trait or plugin that does not exist.
        ClaimRefused: there is no place, or a consumer has something that this claim did not give it.
        QuotaExceeded: a project would have more than it may.
        Contended: others were faster every time.
    """
    sent = read_claim_body(asked.body)
    document = plain_claim(sent, context.classes)
    classes, traits = names_in(document)
    classes -= set(await context.names.missing_classes(sorted(classes), deadline=asked.deadline))
    traits -= set(await context.names.missing_traits(sorted(traits), deadline=asked.deadline))
    request = read_claim(document, classes=classes, traits=traits, sent=sent)
    claiming = _Claiming(context, asked, request)
    try:
        body, is_new = await context.committer.carry_out(claiming.plan, deadline=asked.deadline)
    except (ClaimRefused, QuotaExceeded) as refused:
        refusal = refused
    except StoreError:
        # The first commit of a request that has its answer already changes nothing, so that its failure is no answer.
        given = await claiming.answer_if_assumed()
        if given is None:
            raise
        return Answer(_OK, body=given)
    else:
        location = f"/v1/claims/{request.claimants[0].uuid}" if is_new else ""
        return Answer(_CREATED if is_new else _OK, body=body, location=location)
    finally:
        claiming.count_choices()
    await context.journal.note_refusal(uuid4_text(context.ids), sent, refusal, deadline=asked.deadline)
    raise refusal


async def show_claim(context: Context, asked: Asked) -> Answer:
    """Shows the last claim of a consumer: ``GET /v1/claims/{consumer_uuid}``. Three round trips.

    Raises:
        NotFound: nothing was ever claimed for it through ``/v1/claims``.
    """
    given = asked.path["consumer_uuid"]
    uuid = canonical_uuid(given)
    last = None if uuid is None else (await context.claims.before([uuid], deadline=asked.deadline))[uuid].last
    body = None if last is None else await context.claims.document(last.claim, deadline=asked.deadline)
    if body is None:
        raise NotFound(f"No claim was made for consumer '{given}'")
    document: dict[str, Any] = orjson.loads(body)
    now, lasts = await asyncio.gather(
        context.reader.consumers(document["consumers"], deadline=asked.deadline),
        context.claims.before(list(document["consumers"]), deadline=asked.deadline),
    )
    states: dict[str, str] = {}
    for one, told in document["consumers"].items():
        wanted = {uuid: on["resources"] for uuid, on in told["allocations"].items()}
        found = now[one]
        states[one] = state_of(document["claim"], wanted, None if found is None else found[0], lasts[one].last)
    document["states"] = states
    document["held"] = {one: state in {"held", "reserved"} for one, state in states.items()}
    return Answer(_OK, document)


async def show_openapi(context: Context, asked: Asked) -> Answer:
    """Shows what ``/v1`` takes and answers: ``GET /v1/openapi.json``."""
    del context, asked
    return Answer(_OK, openapi_document())


class _NotAtOnceError(Exception):
    """Raised where a choice takes long, which is made for nothing where the request has its answer already."""


class _Claiming:
    """One claim, until it is made.

    Args:
        context: what it works with.
        asked: the request.
        request: what it means.
    """

    def __init__(self, context: Context, asked: Asked, request: ClaimRequest) -> None:
        self._context = context
        self._asked = asked
        self._request = request
        self._uuids = [one.uuid for one in request.claimants]
        self._claim = uuid4_text(context.ids)
        self._now_ms = context.clock.wall_ms()
        self._seed = int.from_bytes(context.ids.draw(_SEED_BYTES))
        self._filters = [context.plugins.filter(one) for one in request.filters]
        self._weighers = [context.plugins.weigher(one) for one in request.weighers]
        self._reserved = self._reservation()
        #: Whether it may be planned for consumers that have nothing and never had, which the commit checks. Others that
        #: it names have to be known beforehand.
        self._may_assume = context.claims.may_be_assumed and not request.others
        self._is_assumed = False
        #: What the last choice was about, to be read again before the next one.
        self._doubtful: set[str] = set()
        self._choices = 0

    def count_choices(self) -> None:
        """Counts how often it was chosen; for a request that had its answer already nothing was."""
        if self._choices:
            self._context.counts.claim_choices.count(self._choices)

    async def plan(self) -> tuple[Plan, tuple[bytes, bool]]:
        """Implements ``Planner``: the answer, and whether the claim is made now."""
        refusal: PlacementError | None = None
        was_assumed, self._is_assumed = self._is_assumed, False
        if self._may_assume:
            self._may_assume = False
            try:
                planned = await self._planned(*_unclaimed(self._uuids), at_once=True)
            except _NotAtOnceError:
                self._choices = 0
            except PlacementError as refused:
                refusal = refused
            else:
                self._is_assumed = True
                return planned
        found, before = await self._context.claims.of(self._uuids, self._request.others, deadline=self._asked.deadline)
        given = await self._answer_given(found, before)
        if given is not None:
            return Plan(()), (given, False)
        if refusal is not None:
            raise refusal
        if was_assumed and any(one.count for one in before.values()):
            # It was refused for what was assumed: the providers chosen are as good as they were.
            self._doubtful.clear()
            self._choices = 0
        return await self._planned(found, before)

    async def answer_if_assumed(self) -> bytes | None:
        """Returns the answer that this request got before, where nothing was read when it was planned; else None."""
        if not self._is_assumed:
            return None
        try:
            found, before = await self._context.claims.of(self._uuids, (), deadline=self._asked.deadline)
            return await self._answer_given(found, before)
        except (StoreError, ClaimRefused):
            return None

    async def _planned(
        self, found: _Found, before: Mapping[str, Before], *, at_once: bool = False
    ) -> tuple[Plan, tuple[bytes, bool]]:
        """Chooses, and returns the plan and the answer for consumers as they were read, or are assumed to be.

        Raises:
            _NotAtOnceError: to choose takes so long that others have to go first; only with `at_once`.
            ClaimRefused: there is no place.
            BadRequest: the claim is too large for one commit.
            Contended: others were faster every time.
            Unavailable: no place was found in time.
        """
        for _ in range(TRIES_MAX):
            chosen = await self._choose(found, at_once=at_once)
            moves = self._moves(chosen, found)
            # What the model says is committed at first, since the commit checks it; it is read where that was refused.
            relied_on = await self._as_read(chosen, moves) if self._doubtful else _as_known(chosen)
            self._doubtful = {uuid for one in chosen for uuid in one.option.providers}
            if relied_on is not None:
                body = self._document(chosen)
                plan = self._plan(moves, relied_on, found, before, body)
                if self._reserved is not None:
                    pointers = await self._context.expiry.pointers(self._reserved, deadline=self._asked.deadline)
                    plan = replace(plan, writes=[*plan.writes, *pointers])
                return plan, (body, True)
        raise Contended("The providers chosen changed every time. Nothing was written; try again.")

    async def _answer_given(self, found: _Found, before: Mapping[str, Before]) -> bytes | None:
        """Returns the answer that this request got before; None where it may be carried out now.

        Raises:
            ClaimRefused: a consumer has something that this claim did not give it.
        """
        lasts = {one.last for one in before.values() if one.last is not None}
        if len(lasts) == 1 and all(one.last is not None for one in before.values()):
            (last,) = lasts
            if last.digest == self._request.digest:
                self._choices = 0
                return await self._context.claims.document(last.claim, deadline=self._asked.deadline)
        for uuid in self._uuids:
            if found[uuid] is not None:
                self._choices = 0
                raise ClaimRefused(
                    f"Consumer {uuid} has allocations that this claim did not give it.", CLAIMED_OTHERWISE
                )
        return None

    # ---- choosing ----------------------------------------------------------------------------------------------------

    async def _choose(self, found: _Found, *, at_once: bool) -> list[Chosen]:
        """Returns what each consumer gets; what the last choice was about is read first.

        Raises:
            _NotAtOnceError: it takes so long that others have to go first; only with `at_once`.
            ClaimRefused: there is no place.
            Unavailable: none was found in time.
        """
        keeper = self._context.keeper
        held = {uuid: list(_allocations_of(found[uuid])) for uuid in self._request.others}
        unknown = {one for uuids in held.values() for one in uuids if keeper.fleet.get(one) is None}
        await keeper.refresh(sorted(self._doubtful | unknown))
        fleet = keeper.fleet
        kinds = {one.over for one in (*self._request.affinity, *self._request.anti_affinity)}
        others = {
            uuid: Other({kind: domains_of_providers(local_of(all_of_it, fleet.get), kind, fleet.get) for kind in kinds})
            for uuid, all_of_it in held.items()
        }
        self._seed += 1
        self._choices += 1
        steps = selecting(fleet, Selection(self._request, self._filters, self._weighers, others, self._seed))
        result = _next(steps)
        while result is None:
            if at_once:
                raise _NotAtOnceError
            await asyncio.sleep(0)
            if self._context.clock.monotonic_s() > self._asked.deadline:
                raise Unavailable("No place was found in time. Nothing was written; try again, or ask for less.")
            result = _next(steps)
        if isinstance(result, WhyNot):
            missing = "; ".join(result.missing)
            raise ClaimRefused(
                f"There is no place for consumer {result.consumer}: missing is {missing}.", NO_PLACE, result.told
            )
        return result

    async def _as_read(self, chosen: Sequence[Chosen], moves: Sequence[Move]) -> dict[str, Snapshot] | None:
        """Returns the providers that were chosen, and their ancestors; a round trip for each, all at once.

        Returns:
            None where they are not as they were taken to be, or have no room.
        """
        uuids = sorted({uuid for one in chosen for uuid in one.option.providers})
        read = self._context.reader.find
        found = await asyncio.gather(*(read(uuid, deadline=self._asked.deadline) for uuid in uuids))
        snapshots = {snapshot.uuid: snapshot for snapshot in found if snapshot is not None}
        return snapshots if self._holds(chosen, moves, snapshots) else None

    def _holds(self, chosen: Sequence[Chosen], moves: Sequence[Move], snapshots: Mapping[str, Snapshot]) -> bool:
        """Tells whether the providers are as they were taken to be, and have room."""
        for one in chosen:
            for uuid, provider in one.option.providers.items():
                snapshot = snapshots.get(uuid)
                if snapshot is None or not snapshot.is_described_as(provider):
                    return False
        try:
            check_fit(
                moves,
                {uuid: snapshot.inventories for uuid, snapshot in snapshots.items()},
                {uuid: snapshot.used for uuid, snapshot in snapshots.items()},
            )
        except Conflict:
            return False
        return True

    # ---- writing -----------------------------------------------------------------------------------------------------

    def _moves(self, chosen: Sequence[Chosen], found: _Found) -> list[Move]:
        moves = []
        for one in chosen:
            who = one.claimant
            allocations = {uuid: dict(resources) for uuid, resources in one.option.candidate.allocations.items()}
            before, version = found[who.uuid] or (None, None)
            wanted = Wanted(who.uuid, who.project, who.user, who.type, allocations, self._reserved)
            move = move_of(wanted, before, version, self._now_ms)
            assert move is not None
            moves.append(move)
        return moves

    def _document(self, chosen: Sequence[Chosen]) -> bytes:
        document = orjson.dumps(
            {
                "claim": self._claim,
                "claimed_ms": self._now_ms,
                **({} if self._reserved is None else {"expires_ms": self._reserved.expires_ms}),
                "consumers": {
                    one.claimant.uuid: {
                        "allocations": {
                            uuid: {"resources": resources}
                            for uuid, resources in one.option.candidate.allocations.items()
                        },
                        "mappings": one.option.candidate.mappings,
                        "reason": one.reason,
                    }
                    for one in chosen
                },
                "request": self._request.document,
            }
        )
        if len(document) > DOCUMENT_BYTES_MAX:
            raise BadRequest(
                f"The claim and its result have {len(document)} bytes; they may have {DOCUMENT_BYTES_MAX}. "
                "Claim for fewer consumers at once."
            )
        return document

    def _reservation(self) -> Reservation | None:
        """Returns until when the claim has to be confirmed, or None: the same however often it is tried."""
        if self._request.expires_s is None:
            return None
        return Reservation(self._claim, self._now_ms + self._request.expires_s * _MS, tuple(self._uuids))

    def _plan(
        self,
        moves: Sequence[Move],
        relied_on: Mapping[str, Snapshot | Provider],
        consumers: _Found,
        before: Mapping[str, Before],
        body: bytes,
    ) -> Plan:
        writes, checks = consumer_writes(moves)
        writes += provider_writes(moves, relied_on)
        writes += used_writes(amounts_moved(moves), {uuid: one.inventories for uuid, one in relied_on.items()})
        providers = providers_of(moves)
        writes += self._claim_writes(before, body, providers)
        checks += [IsVersion(keys.provider_key(uuid), one.version) for uuid, one in relied_on.items()]
        checks += _unmoved(self._request.others, consumers)
        if len(checks) > Limits.checks_max:
            raise BadRequest(
                f"The claim is about {len(checks)} consumers, providers and ancestors of providers; one commit can "
                f"check {Limits.checks_max}. Claim for fewer consumers at once."
            )
        return Plan(writes, checks, providers, moves, only_uses=True)

    def _claim_writes(self, before: Mapping[str, Before], body: bytes, providers: list[str]) -> list[Write]:
        """Returns the writes of the claim itself, and of its place in lists.

        Exact counts keep a request that comes twice from landing twice.
        """
        last = encode_last_claim(LastClaim(self._claim, self._request.digest))
        writes: list[Write] = [Put(keys.claim_key(self._claim), encode_claim(body))]
        entry = encode_entry(providers)
        projects = dict.fromkeys(one.project for one in self._request.claimants)
        writes += [Put(keys.entry_key(project, self._now_ms, self._claim), entry) for project in projects]
        for uuid in self._uuids:
            count = before[uuid].count + 1
            writes.append(Put(keys.last_claim_key(uuid), last))
            writes.append(Add(keys.claims_count_key(uuid), keys.CLAIMS, 1, at_least=count, at_most=count))
        return writes


def _unclaimed(uuids: Sequence[str]) -> tuple[_Found, dict[str, Before]]:
    """Returns what is read of consumers that have nothing, and for which nothing was ever claimed."""
    return dict.fromkeys(uuids), dict.fromkeys(uuids, NEVER_CLAIMED)


def _next(steps: Generator[None, None, list[Chosen] | WhyNot]) -> list[Chosen] | WhyNot | None:
    """Takes a step; returns the result after the last one."""
    try:
        next(steps)
    except StopIteration as end:
        result: list[Chosen] | WhyNot = end.value
        return result
    return None


def _unmoved(others: Iterable[str], found: _Found) -> list[Check]:
    """Returns the checks that other consumers are where they were, or still have nothing."""
    checks: list[Check] = []
    for uuid in others:
        one = found[uuid]
        checks.append(IsVersion(keys.consumer_key(uuid), None if one is None else one[1]))
    return checks


def _allocations_of(found: tuple[Consumer, Version] | None) -> dict[str, dict[str, int]]:
    return {} if found is None else found[0].allocations


def _as_known(chosen: Sequence[Chosen]) -> dict[str, Provider] | None:
    """Returns the providers that were chosen, and their ancestors, as the model had them.

    Returns:
        None where one of them changed while the consumers of a gang were placed one after the other.
    """
    known: dict[str, Provider] = {}
    for one in chosen:
        for uuid, provider in one.option.providers.items():
            first = known.setdefault(uuid, provider)
            if (first.version, first.revision) != (provider.version, provider.revision):
                return None
    return known
