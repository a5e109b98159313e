"""What became of commits: which ids took effect, and which never may.

The truth lies in the file, in the tables ``commits`` and ``fences``, and is written by the transaction that it is
about. Memory keeps the youngest ids and, for all older ones, between which times they were made: an id that was made
later than any of those cannot be in the file, so that a new commit costs no read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import apsw

from tenet.store.contract import CommitId, Limits, Version, commit_id_ms
from tenet.store.sqlite.schema import Execute

#: An id and the hybrid time of its version, as they lie in ``commits.ids``.
_ENTRY_BYTES: Final = 24
_ID_BYTES: Final = 16
_TIME_BYTES: Final = 8
#: Above every id that was made at a time.
_LAST_ID_OF_TIME: Final = b"\xff" * 10
_RECENT_MAX: Final = 16_384
_WINDOW_MS: Final = Limits.settle_window_s * 1000


class Outcomes:
    """The commits of the settle window.

    Args:
        connection: the writer's connection.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute: Execute = connection.execute
        self._young: dict[CommitId, Version] = {}
        self._old: dict[CommitId, Version] = {}
        #: The highest id that is, or was, in the file but not in memory.
        self._forgotten_to = CommitId(b"")
        self._fences: dict[CommitId, int] = {}
        #: The largest hybrid time that a transaction has used.
        self.last_time = 0
        #: Nothing will appear any more with a hybrid time at or below this one that is not there yet.
        self.closed_time = 0

    def load(self) -> None:
        """Reads what the file holds, without its ids."""
        times = self._execute("SELECT last FROM commits ORDER BY first DESC LIMIT 1").fetchall()
        if times:
            ((self.last_time,),) = times
            self.closed_time = self.last_time
            ((until_ms,),) = self._execute("SELECT max(until_ms) FROM commits").fetchall()
            made_ms = max(0, until_ms - _WINDOW_MS)
            self._forgotten_to = CommitId(made_ms.to_bytes(6, "big") + _LAST_ID_OF_TIME)
        self._fences = dict(self._execute("SELECT id, until_ms FROM fences").fetchall())

    def is_fenced(self, commit_id: CommitId) -> bool:
        """Whether the commit was settled as never committed."""
        return commit_id in self._fences

    def find(self, commit_id: CommitId) -> Version | None:
        """Returns the version of a commit that took effect, or None."""
        version = self._young.get(commit_id) or self._old.get(commit_id)
        if version is not None or commit_id > self._forgotten_to:
            return version
        return self._find_stored(commit_id)

    def is_new(self, commit_id: CommitId) -> bool:
        """Whether the id is surely neither one that took effect nor one that never may; False is no answer."""
        return (
            commit_id > self._forgotten_to
            and commit_id not in self._young
            and commit_id not in self._old
            and commit_id not in self._fences
        )

    def _find_stored(self, commit_id: CommitId) -> Version | None:
        rows = self._execute(
            "SELECT tail, ids FROM commits WHERE until_ms >= ? AND from_ms <= ? AND instr(ids, ?)",
            (until_ms_of(commit_id), commit_id_ms(commit_id), commit_id),
        ).fetchall()
        for tail, ids in rows:
            version = _version_in(tail, ids, commit_id)
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
        if len(self._young) >= _RECENT_MAX:
            if self._old:
                self._forget(self._old)
            self._old, self._young = self._young, {}

    def doubt(self, committed: dict[CommitId, Version], last: int) -> None:
        """Notes a transaction of which only the file can say whether it took effect; arguments as in `remember`."""
        self.last_time = max(self.last_time, last)
        if committed:
            self._forget(committed)

    def _forget(self, committed: dict[CommitId, Version]) -> None:
        highest = max(committed)
        self._forgotten_to = max(self._forgotten_to, highest)

    def prune(self, now_ms: int) -> None:
        """Drops fences that the window has left behind from memory."""
        self._fences = {name: until_ms for name, until_ms in self._fences.items() if until_ms >= now_ms}


def entries_of(committed: Mapping[CommitId, Version]) -> bytes:
    """Returns how the ids of a transaction lie in ``commits.ids``."""
    return b"".join([commit_id + version[:_TIME_BYTES] for commit_id, version in committed.items()])


def until_ms_of(commit_id: CommitId) -> int:
    """Returns when an id may be forgotten, milliseconds since 1970-01-01 UTC."""
    return commit_id_ms(commit_id) + _WINDOW_MS


def _version_in(tail: bytes, ids: bytes, commit_id: CommitId) -> Version | None:
    for at in range(0, len(ids), _ENTRY_BYTES):
        if ids[at : at + _ID_BYTES] == commit_id:
            return Version(ids[at + _ID_BYTES : at + _ENTRY_BYTES] + tail)
    return None
