"""What became of commits: which ids took effect, and which never may.

The truth lies in the file, in the tables ``commits`` and ``fences``, and is written by the transaction that it is
about. Memory keeps the youngest ids and, for all older ones, between which times they were made: an id that was made
later than any of those cannot be in the file, so that a new commit costs no read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import apsw
from msgspec import Struct

from tenet.store.contract import CommitId, Limits, Version, commit_id_ms
from tenet.store.sqlite.schema import Execute

#: An id and its hybrid time less the row's first, as they lie in ``commits.ids``.
ENTRY_BYTES: Final = 20
_ID_BYTES: Final = 16
_RECENT_MAX: Final = 16_384
_WINDOW_MS: Final = Limits.settle_window_s * 1000


class _Stretch(Struct, gc=False):
    """Rows of ``commits`` whose ids are no longer in memory, and when those were made."""

    first: int
    last: int
    made_from_ms: int
    made_to_ms: int


class Outcomes:
    """The commits of the settle window.

    Args:
        connection: the writer's connection.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute: Execute = connection.execute
        self._young: dict[CommitId, Version] = {}
        self._old: dict[CommitId, Version] = {}
        self._stretches: list[_Stretch] = []
        self._forgotten_to_ms = -1
        self._fences: dict[CommitId, int] = {}
        #: The largest hybrid time that a transaction has used.
        self.last_time = 0
        #: Nothing will appear any more with a hybrid time at or below this one that is not there yet.
        self.closed_time = 0

    def load(self) -> None:
        """Reads what the file holds, without its ids."""
        execute = self._execute
        newest = execute("SELECT last, until_ms FROM commits ORDER BY first DESC LIMIT 1").fetchall()
        if newest:
            self.last_time = self.closed_time = newest[0][0]
            until_ms = execute("SELECT max(until_ms) FROM commits").fetchall()[0][0]
            self._forget(_Stretch(0, self.last_time, 0, until_ms - _WINDOW_MS))
        self._fences = dict(execute("SELECT id, until_ms FROM fences").fetchall())

    def is_fenced(self, commit_id: CommitId) -> bool:
        """Whether the commit was settled as never committed."""
        return commit_id in self._fences

    def find(self, commit_id: CommitId) -> Version | None:
        """Returns the version of a commit that took effect, or None."""
        version = self._young.get(commit_id) or self._old.get(commit_id)
        if version is not None or commit_id_ms(commit_id) > self._forgotten_to_ms:
            return version
        return self._find_stored(commit_id)

    def _find_stored(self, commit_id: CommitId) -> Version | None:
        made_ms = commit_id_ms(commit_id)
        for stretch in reversed(self._stretches):
            if not stretch.made_from_ms <= made_ms <= stretch.made_to_ms:
                continue
            rows = self._execute(
                "SELECT first, tail, ids FROM commits WHERE first BETWEEN ? AND ? AND instr(ids, ?)",
                (stretch.first, stretch.last, commit_id),
            ).fetchall()
            for first, tail, ids in rows:
                version = _version_in(first, tail, ids, commit_id)
                if version is not None:
                    return version
        return None

    def remember(self, committed: dict[CommitId, Version], fenced: Iterable[CommitId], last: int) -> None:
        """Takes up the ids of a transaction that is durable.

        Args:
            committed: what it committed.
            fenced: what it keeps from ever taking effect.
            last: the last hybrid time that it used.
        """
        self._fences.update((commit_id, until_ms_of(commit_id)) for commit_id in fenced)
        self.last_time = self.closed_time = max(self.last_time, last)
        self._young.update(committed)
        if len(self._young) < _RECENT_MAX:
            return
        if self._old:
            made = [commit_id_ms(commit_id) for commit_id in self._old]
            times = [int.from_bytes(version[:8], "big") for version in self._old.values()]
            # The row of the oldest id may begin before it: at the most with the last time of the stretch before.
            begin = self._stretches[-1].last if self._stretches else 0
            self._forget(_Stretch(begin, max(times), min(made), max(made)))
        self._old, self._young = self._young, {}

    def doubt(self, committed: dict[CommitId, Version], first: int, last: int) -> None:
        """Notes a transaction of which only the file can say whether it took effect."""
        made = [commit_id_ms(commit_id) for commit_id in committed]
        if made:
            self._forget(_Stretch(first, last, min(made), max(made)))
        self.last_time = max(self.last_time, last)

    def _forget(self, stretch: _Stretch) -> None:
        self._stretches.append(stretch)
        self._forgotten_to_ms = max(self._forgotten_to_ms, stretch.made_to_ms)

    def prune(self, now_ms: int) -> None:
        """Drops from memory what the window has left behind."""
        self._fences = {name: until_ms for name, until_ms in self._fences.items() if until_ms >= now_ms}
        self._stretches = [one for one in self._stretches if one.made_to_ms + _WINDOW_MS >= now_ms]


def entry_of(commit_id: CommitId, offset: int) -> bytes:
    """Returns how an id lies in ``commits.ids``."""
    return commit_id + offset.to_bytes(ENTRY_BYTES - _ID_BYTES, "big")


def until_ms_of(commit_id: CommitId) -> int:
    """Returns when an id may be forgotten, milliseconds since 1970-01-01 UTC."""
    return commit_id_ms(commit_id) + _WINDOW_MS


def version_of(time: int, tail: bytes) -> Version:
    """Returns the version of a hybrid time, with the site and the nonce."""
    return Version(time.to_bytes(8, "big") + tail)


def _version_in(first: int, tail: bytes, ids: bytes, commit_id: CommitId) -> Version | None:
    for at in range(0, len(ids), ENTRY_BYTES):
        if ids[at : at + _ID_BYTES] == commit_id:
            return version_of(first + int.from_bytes(ids[at + _ID_BYTES : at + ENTRY_BYTES], "big"), tail)
    return None
