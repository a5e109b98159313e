"""What every commit has to write because of quotas, and whether it passes one.

Quotas are remembered, up to ``REMEMBERED_MAX`` projects, and looked at again where a commit was refused: every commit
checks the revision that it was made for. So a claim reads nothing more, unless it may be the one that is too much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from msgspec import Struct

from tenet.base.clock import NEVER
from tenet.placement import keys
from tenet.placement.rules.quotas import NO_QUOTA, cell_of, changes_of, check_quotas, decode_quota, quota_writes
from tenet.store.contract import Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tenet.placement.rules.claims import Move
    from tenet.placement.rules.quotas import Changes, Quota, Subject
    from tenet.store.contract import Key, Record, Store, Version, Write

REMEMBERED_MAX: Final = 10_000
#: Two records are read of each project.
_PROJECTS_AT_ONCE: Final = Limits.get_keys_max // 2


class Found(Struct, frozen=True):
    """What was read of a project's quota.

    Args:
        quota: ``NO_QUOTA`` where there never was one.
        version: of its record; None where there is none.
        counted: its revision as every commit checks it; below 0 where the project is shut, and then of the moment in
            which the quota was read.
    """

    quota: Quota
    version: Version | None
    counted: int


async def find_quotas(store: Store, projects: Sequence[str], *, deadline: float = NEVER) -> dict[str, Found]:
    """Returns the quotas of projects as they are now; a round trip for each 500, and one more where any is shut.

    Who opens a project adds to the number that it is shut with what makes it the revision of its quota. No other
    shutting draws that number, so that it lands only where nothing has happened since the number was read. But the
    quota must be the one of that moment, and each key of a ``get`` may be of another: of a project that is shut both
    are read together.
    """
    found: dict[str, Found] = {}
    for start in range(0, len(projects), _PROJECTS_AT_ONCE):
        some = projects[start : start + _PROJECTS_AT_ONCE]
        found |= _found_in(some, await store.get(_records_of(some), deadline=deadline))
        shut = [project for project in some if found[project].counted < 0]
        if shut:
            together = await store.read_together(_records_of(shut), deadline=deadline)
            found |= _found_in(shut, cast("Sequence[Record | None]", together))
    return found


def _records_of(projects: Iterable[str]) -> list[Key]:
    return [key for project in projects for key in (keys.quota_key(project), keys.quota_revision_key(project))]


def _found_in(projects: Sequence[str], records: Sequence[Record | None]) -> dict[str, Found]:
    return {
        project: Found(
            quota=NO_QUOTA if record is None else decode_quota(record.value),
            version=None if record is None else record.version,
            counted=0 if revision is None else revision.cells.get(keys.QUOTAS, 0),
        )
        for project, record, revision in zip(projects, records[::2], records[1::2], strict=True)
    }


class Quotas:
    """Reads quotas, and says what commits write because of them.

    Args:
        store: where they lie.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._remembered: dict[str, Quota] = {}

    async def read(self, projects: Iterable[str], *, deadline: float = NEVER) -> dict[str, Found]:
        """Returns the quotas of projects as they are now; as many round trips as ``find_quotas``."""
        found = await find_quotas(self._store, list(dict.fromkeys(projects)), deadline=deadline)
        for project, one in found.items():
            self._remember(project, one.quota)
        return found

    def _remember(self, project: str, quota: Quota) -> None:
        self._remembered.pop(project, None)
        if len(self._remembered) >= REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[project] = quota

    async def writes(self, moves: Sequence[Move], *, is_fresh: bool, deadline: float = NEVER) -> list[Write]:
        """Returns what a commit writes for quotas; no round trip as a rule, two where `is_fresh`.

        Args:
            moves: what it changes.
            is_fresh: whether to look how much projects have, because a commit was refused before.
            deadline: when to give up.

        Raises:
            QuotaExceeded: a project would have more than it may; told only where `is_fresh`.
        """
        changes = changes_of(moves)
        asked = changes if is_fresh else [project for project in changes if project not in self._remembered]
        known = {project: self._remembered[project] for project in changes if project in self._remembered}
        found = await self.read(asked, deadline=deadline) if asked else {}
        quotas = known | {project: one.quota for project, one in found.items()}
        if is_fresh:
            check_quotas(changes, quotas, await self._totals(changes, quotas, deadline))
        shut = {project: one.counted for project, one in found.items() if one.counted < 0}
        return quota_writes(changes, quotas, shut)

    async def _totals(
        self, changes: Changes, quotas: Mapping[str, Quota], deadline: float
    ) -> dict[tuple[str, Subject], int]:
        """Returns what projects have of what they may have only so much of, and want more of."""
        wanted = [
            (project, subject)
            for project, more in changes.items()
            for subject in quotas[project].by_subject
            if more.get(subject, 0) > 0
        ]
        records: list[Record | None] = []
        for start in range(0, len(wanted), Limits.get_keys_max):
            some = wanted[start : start + Limits.get_keys_max]
            asked = [keys.project_total_key(project, *subject) for project, subject in some]
            records += await self._store.get(asked, deadline=deadline)
        return {
            (project, subject): 0 if record is None else record.cells.get(cell_of(subject), 0)
            for (project, subject), record in zip(wanted, records, strict=True)
        }
