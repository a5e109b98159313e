"""Quotas of projects: what the consumers of a project may have together, as bounds of counts in the very commit.

A project whose quota limits a class, or its consumers, has a *total* of it: one count beside those by user and type.
A claim adds to it within the limit, so that no order of claims passes it. All of it hangs on the quota's *revision*,
which every change of what a project has checks: it knows which totals are kept, and under which limits, or is planned
again.

A project is *shut* while what it leaves behind is removed (``ops.project_upkeep``): its revision is then counted below
0, at a number that only who shut it knows, so that no commit passes. Whoever wants to change what it has takes the
revision back to where it belongs in his own commit, which makes the removal fail.

A total that was not kept is made right while claims go on: first it is kept, then what is missing of it is added. What
is missing does not change in between, because from then on every claim adds the same to the total and to the counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from tenet.placement import keys
from tenet.placement.errors import BadRequest, QuotaExceeded
from tenet.placement.model import PROJECT_CHARS_MAX
from tenet.placement.rules.quota_schemas import LIMITS_MAX, PUT_QUOTA
from tenet.placement.rules.stored import FORMAT
from tenet.placement.rules.validation import read_body
from tenet.store.contract import Add, Put, Write
from tenet.store.formats import decode_marked

if TYPE_CHECKING:
    from tenet.placement.rules.claims import Move

#: What is limited: a consumer type, empty for all of them, and a resource class, empty for the number of consumers.
Subject: TypeAlias = tuple[str, str]
#: How much of each subject more or less a project has, by project.
Changes: TypeAlias = dict[str, dict[Subject, int]]


class Quota(Struct, frozen=True, array_like=True):
    """The quota of a project.

    Args:
        revision: raised by every change of it; 0: there never was one.
        limits: in force, each 0 and more; what is not in it is not limited.
        counted: of which subjects totals are kept; those that are limited, and perhaps others.
        updated_ms: when it was changed, milliseconds since 1970.
    """

    revision: int = 0
    limits: tuple[tuple[str, str, int], ...] = ()
    counted: tuple[Subject, ...] = ()
    updated_ms: int = 0

    @property
    def by_subject(self) -> dict[Subject, int]:
        """The limits."""
        return {(consumer_type, name): limit for consumer_type, name, limit in self.limits}


NO_QUOTA: Final = Quota()
NOTHING_SHUT: Final[Mapping[str, int]] = {}

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Quota)


def encode_quota(quota: Quota) -> bytes:
    """Returns the stored form of a quota."""
    return FORMAT + _encoder.encode(quota)


def decode_quota(value: bytes) -> Quota:
    """Returns a quota.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    return decode_marked(value, _decoder, "a quota", mark=FORMAT)


# ---- what claims do about it -----------------------------------------------------------------------------------------


def changes_of(moves: Sequence[Move]) -> Changes:
    """Returns what projects have more or less after some changes; every project concerned is in it."""
    changes: Changes = {}
    for move in moves:
        for consumer, sign in move.sides:
            of_project = changes.setdefault(consumer.project, {})
            amounts = [("", 1)]
            amounts += [(name, one) for resources in consumer.allocations.values() for name, one in resources.items()]
            for name, amount in amounts:
                for subject in (("", name), (consumer.type, name)):
                    of_project[subject] = of_project.get(subject, 0) + sign * amount
    return changes


def quota_writes(changes: Changes, quotas: Mapping[str, Quota], shut: Mapping[str, int] = NOTHING_SHUT) -> list[Write]:
    """Returns the writes that keep totals within limits, and check that the quotas are what was read.

    Args:
        changes: from ``changes_of``.
        quotas: of each project in it.
        shut: what is counted as the revision of projects that are shut; they are opened.
    """
    writes: list[Write] = []
    for project, more in changes.items():
        quota = quotas[project]
        writes.append(revision_write(project, quota.revision, shut.get(project, quota.revision)))
        limits = quota.by_subject
        for subject in quota.counted:
            amount = more.get(subject, 0)
            if amount:
                at_most = limits.get(subject) if amount > 0 else None
                writes.append(total_add(project, subject, amount, at_most))
    return writes


def revision_write(project: str, revision: int, counted: int) -> Add:
    """Returns the add that makes a project's revision another one; refused where it is not what was read any more.

    Args:
        project: id of the project.
        revision: what it is to be.
        counted: what was read.
    """
    return Add(keys.quota_revision_key(project), keys.QUOTAS, revision - counted, at_least=revision, at_most=revision)


def total_add(project: str, subject: Subject, amount: int, at_most: int | None = None) -> Add:
    """Returns the add to a total of a project, which is never below 0."""
    return Add(keys.project_total_key(project, *subject), cell_of(subject), amount, at_least=0, at_most=at_most)


def cell_of(subject: Subject) -> str:
    """Returns the cell in which a subject is counted."""
    return keys.USED if subject[1] else keys.CONSUMERS


def check_quotas(changes: Changes, quotas: Mapping[str, Quota], totals: Mapping[tuple[str, Subject], int]) -> None:
    """Refuses what passes a limit. What is above it may stay, and become less.

    Args:
        changes: from ``changes_of``.
        quotas: of each project in it.
        totals: what they have before the changes, of what is limited.

    Raises:
        QuotaExceeded: a project would have more than it may, and more than it has.
    """
    for project, more in changes.items():
        for subject, limit in sorted(quotas[project].by_subject.items()):
            amount, used = more.get(subject, 0), totals.get((project, subject), 0)
            if amount > 0 and used + amount > limit:
                raise QuotaExceeded(
                    f"Quota exceeded for {_told(subject)} of project '{project}': {amount} more wanted, {used} of "
                    f"{limit} in use."
                )


def _told(subject: Subject) -> str:
    consumer_type, name = subject
    what = name or "consumers"
    return f"{what} of the type {consumer_type}" if consumer_type else what


# ---- setting and showing ---------------------------------------------------------------------------------------------


def check_project(project: str) -> str:
    """Returns the id of a project as a path has it.

    Raises:
        BadRequest: it is too long.
    """
    if len(project) > PROJECT_CHARS_MAX:
        raise BadRequest(f"The project has {len(project)} characters; it may have {PROJECT_CHARS_MAX}.")
    return project


def read_quota(body: bytes) -> dict[Subject, int]:
    """Returns the limits that a body asks for.

    Raises:
        BadRequest: it is malformed, or has more limits than a quota may.
    """
    document = read_body(body, PUT_QUOTA)
    limits = _limits_of("", document)
    for consumer_type, one in document.get("consumer_types", {}).items():
        limits |= _limits_of(consumer_type, one)
    if len(limits) > LIMITS_MAX:
        raise BadRequest(f"The quota has {len(limits)} limits; it may have {LIMITS_MAX}.")
    return limits


def _limits_of(consumer_type: str, one: Mapping[str, Any]) -> dict[Subject, int]:
    limits = {(consumer_type, name): limit for name, limit in one.get("resources", {}).items()}
    if "consumers" in one:
        limits[consumer_type, ""] = one["consumers"]
    return limits


def summed(counted: Iterable[tuple[tuple[str, str, str], int]]) -> dict[Subject, int]:
    """Returns what a project has of each subject, from its counts by user, consumer type and class."""
    sums: dict[Subject, int] = {}
    for (_, consumer_type, name), amount in counted:
        for subject in (("", name), (consumer_type, name)):
            sums[subject] = sums.get(subject, 0) + amount
    return sums


def quota_document(project: str, quota: Quota, used: Mapping[Subject, int]) -> dict[str, Any]:
    """Returns a quota as it is answered: of each subject that is limited or in use the limit, the use and what is left.

    Args:
        project: id of the project.
        quota: of it.
        used: from ``summed``.
    """
    limits = quota.by_subject
    shown: dict[str, dict[str, Any]] = {}
    for subject in sorted({*limits, *(subject for subject, amount in used.items() if amount), ("", "")}):
        consumer_type, name = subject
        limit, amount = limits.get(subject), used.get(subject, 0)
        entry = {"limit": limit, "used": amount, "left": None if limit is None else max(0, limit - amount)}
        of_type = shown.setdefault(consumer_type, {"resources": {}})
        if name:
            of_type["resources"][name] = entry
        else:
            of_type["consumers"] = entry
    return {"project_id": project, **shown.pop(""), "consumer_types": shown, "updated_ms": quota.updated_ms or None}


def changed(quota: Quota, limits: Mapping[Subject, int], now_ms: int) -> Quota:
    """Returns a quota with other limits; totals are kept of what is limited, and of nothing else."""
    listed = tuple(sorted((consumer_type, name, limit) for (consumer_type, name), limit in limits.items()))
    return Quota(quota.revision + 1, listed, tuple(sorted(limits)), now_ms)


def counting(quota: Quota, subjects: Iterable[Subject]) -> Quota:
    """Returns a quota with the limits that it has, which keeps totals of further subjects."""
    return Quota(quota.revision + 1, quota.limits, tuple(sorted({*quota.counted, *subjects})), quota.updated_ms)


def put_writes(project: str, quota: Quota, missing: Mapping[Subject, int], counted: int) -> list[Write]:
    """Returns the writes that put a quota in the place of the one before.

    Args:
        project: id of the project.
        quota: from ``changed`` or ``counting``.
        missing: what has to be added to its totals.
        counted: what was read as its revision.
    """
    return [
        Put(keys.quota_key(project), encode_quota(quota)),
        revision_write(project, quota.revision, counted),
        *(total_add(project, subject, amount) for subject, amount in missing.items() if amount),
    ]
