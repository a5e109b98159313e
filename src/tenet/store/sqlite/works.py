"""The writes of the contract that are no commits: spaces, settling, discarding. Each is a job of the writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias, TypeVar

from tenet.store.contract import Commit, Committed, NeverCommitted, Range, Settled, SpaceOptions
from tenet.store.errors import SpaceNotFound
from tenet.store.sqlite import spaces
from tenet.store.sqlite.apply import Transaction
from tenet.store.sqlite.keys import bounds
from tenet.store.sqlite.outcomes import until_ms_of
from tenet.store.sqlite.schema import FORMAT_VERSION
from tenet.store.sqlite.spaces import Space
from tenet.store.validate import check_change

T = TypeVar("T")
#: Carries a job out; yields None whenever the loop should have a turn, and at last the result.
Work: TypeAlias = Callable[[Transaction], Iterator[T]]

DISCARDED_PER_JOB: Final = 200


def ensure_space(name: str, options: SpaceOptions) -> Work[Space]:
    """Makes a space, or changes it to these options."""

    def work(transaction: Transaction) -> Iterator[Space]:
        space = transaction.catalogue.get(name)
        if space is None:
            transaction.has_written = True
            space = spaces.create(transaction.connection, name, options)
        elif space.options != options:
            check_change(space.info(), options)
            transaction.has_written = True
            space = spaces.change(transaction.execute, space, options, time=transaction.time)
        yield space

    return work


def drop_space(name: str) -> Work[bool]:
    """Takes a space out of the catalogue; yields whether there was one."""

    def work(transaction: Transaction) -> Iterator[bool]:
        space = transaction.catalogue.get(name)
        if space is not None:
            transaction.has_written = True
            spaces.drop(transaction.connection, space)
        yield space is not None

    return work


def settle(commit: Commit) -> Work[Settled]:
    """Finds out whether a commit took effect; if it has not, writes down that it never may."""
    commit_id = commit.id

    def work(transaction: Transaction) -> Iterator[Settled]:
        version = transaction.find(commit_id)
        if version is not None:
            yield Committed(version)
            return
        if not transaction.is_fenced(commit_id):
            transaction.has_written = True
            transaction.fenced.add(commit_id)
            transaction.execute("INSERT INTO fences (id, until_ms) VALUES (?, ?)", (commit_id, until_ms_of(commit_id)))
        yield NeverCommitted(commit_id)

    return work


def discard(space: Space, partition: bytes, within: Range) -> Work[int]:
    """Removes some records of a range of a partition; yields how many."""
    lower, upper = bounds(partition, within)
    sql = (
        f"DELETE FROM {space.records} WHERE id IN"
        f" (SELECT id FROM {space.records} WHERE key >= ? AND key < ? ORDER BY key LIMIT {DISCARDED_PER_JOB})"
    )

    def work(transaction: Transaction) -> Iterator[int]:
        if not transaction.catalogue.has(space):
            raise SpaceNotFound(f"there is no space {space.name!r}")
        transaction.execute(sql, (lower, upper))
        removed = transaction.connection.changes()
        transaction.has_written = transaction.has_written or removed > 0
        yield removed

    return work


def probe(transaction: Transaction) -> Iterator[bool]:
    """Writes a page as it is, to find out whether the disk takes anything again; yields True."""
    transaction.has_written = True
    transaction.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    yield True
