"""Quotas in an audit: the totals that they limit are added up a second time from the consumers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tenet.placement import keys
from tenet.placement.rules.quotas import NO_QUOTA, Quota, Subject, cell_of, decode_quota, summed

if TYPE_CHECKING:
    from tenet.store.contract import Record


class QuotaBooks:
    """The quotas of all projects, and what they count."""

    def __init__(self) -> None:
        self._quotas: dict[str, Quota] = {}
        self._revisions: dict[str, int] = {}
        self._totals: dict[tuple[str, Subject], int] = {}
        self._sums: dict[str, dict[Subject, int]] = {}

    def takes(self, project: str, record: Record) -> bool:
        """Takes in a record of a project's partition, if it is about its quota; returns whether it is.

        Raises:
            StoreCorrupt: it cannot be read.
        """
        if record.sort == keys.QUOTA:
            self._quotas[project] = decode_quota(record.value)
        elif record.sort == keys.QUOTA_REVISION:
            self._revisions[project] = record.cells.get(keys.QUOTAS, 0)
        elif keys.is_total(record.sort):
            subject = keys.split_total_key(record.sort)
            self._totals[project, subject] = record.cells.get(cell_of(subject), 0)
        else:
            return False
        return True

    def compare(self, counted: Mapping[tuple[str, str, str, str], int]) -> Iterator[tuple[str, str, str]]:
        """Returns what is wrong: the rule, the project, and what is found.

        Args:
            counted: what consumers have by project, user, consumer type and class; how many, where the class is empty.
        """
        by_project: dict[str, list[tuple[tuple[str, str, str], int]]] = {}
        for (project, *rest), amount in counted.items():
            user, consumer_type, name = rest
            by_project.setdefault(project, []).append(((user, consumer_type, name), amount))
        self._sums = {project: summed(found) for project, found in by_project.items()}
        for project in sorted(self._quotas.keys() | self._revisions.keys()):
            quota, revision = self._quotas.get(project, NO_QUOTA), self._revisions.get(project, 0)
            # Below 0 it is shut, by somebody who was killed before he opened it again: the next claim does.
            if quota.revision != revision and revision >= 0:
                yield "quota-differs", project, f"the quota is of revision {quota.revision}, {revision} is counted"
            for subject in quota.by_subject:
                total, found = self._totals.get((project, subject), 0), self._used(project, subject)
                if total != found:
                    yield "quota-differs", project, f"{_told(subject)}: {total} by the total, {found} by its consumers"

    def above(self) -> Iterator[tuple[str, str]]:
        """Returns which projects have more than they may, and of what; after ``compare``."""
        for project, quota in self._quotas.items():
            for subject, limit in quota.by_subject.items():
                used = self._used(project, subject)
                if used > limit:
                    yield project, f"{_told(subject)}: {used} in use, {limit} allowed; nothing is added until it fits"

    def _used(self, project: str, subject: Subject) -> int:
        return self._sums.get(project, {}).get(subject, 0)


def _told(subject: Subject) -> str:
    return f"{subject[1] or 'consumers'} of {subject[0] or 'all types'}"
