"""The writes of the contract that are no commits: spaces and settling. Each is a job of the writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias, TypeVar

from tenet.store.contract import Commit, Committed, NeverCommitted, Settled, SpaceOptions
from tenet.store.sqlite import spaces
from tenet.store.sqlite.apply import Transaction
from tenet.store.sqlite.outcomes import until_ms_of
from tenet.store.sqlite.schema import FORMAT_VERSION
from tenet.store.sqlite.spaces import Space
from tenet.store.validate import check_change

T = TypeVar("T")
#: Carries a job out; yields None whenever the loop should have a turn, and at last the result.
Work: TypeAlias = Callable[[Transaction], Iterator[T]]


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


def probe(transaction: Transaction) -> Iterator[bool]:
    """Writes a page as it is, to find out whether the disk takes anything again; yields True."""
    transaction.has_written = True
    transaction.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    yield True
