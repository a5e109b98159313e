"""Every key that the queues service writes, and the names of its spaces.

==================== ============ ============================== ====================================================
space                partition    sort                           value
==================== ============ ============================== ====================================================
``queues.messages``  queue's id   ``h``                          the head: counters, and whose the queue is
``queues.messages``  queue's id   ``m`` + sequence number        a segment: messages that were written together
``queues.messages``  queue's id   ``s`` + sequence number        which messages of that segment are gone
``queues.messages``  queue's id   ``r`` + number                 receives: which messages, how often, until when
``queues.messages``  queue's id   ``d`` + sequence number        deduplication ids that were taken up together
``queues.moves``     queue's id   ``t`` + time                   a task that moves messages out of that queue
``queues.moves``     queue's id   ``a``                          which of these tasks goes on
``queues.catalog``   account      ``q`` + queue name             a queue's description
``queues.catalog``   account      ``x`` + queue name             when a queue of that name was deleted
``queues.catalog``   account      ``g`` + queue's id             a deleted queue whose messages may not be gone yet
``queues.catalog``   account      ``a``                          cell ``queues``: how many there are
==================== ============ ============================== ====================================================

A queue's id is 16 random bytes that are never used again; clients are told the first 8 at the most, and receipt
handles are sealed with it. Numbers and times are 8 bytes, the most significant first, so that they sort as they count.
A segment has the sequence number of its first message.
"""

from __future__ import annotations

from typing import Final

from tenet.base.keycodec import prefix_end
from tenet.store.contract import Key, Range

MESSAGES_SPACE: Final = "queues.messages"
MOVES_SPACE: Final = "queues.moves"
CATALOG_SPACE: Final = "queues.catalog"

HEAD: Final = b"h"
SEGMENT: Final = b"m"
GONE: Final = b"s"
RECEIVES: Final = b"r"
DEDUPLICATION: Final = b"d"
TASK: Final = b"t"
ACTIVE: Final = b"a"
#: Sort keys of the tasks of a queue.
TASKS: Final = Range(b"t", b"u")
#: The sort key of what says which one goes on.
ACTIVES: Final = Range(b"a", b"b")

_NUMBER_BYTES: Final = 8


def head_key(queue_id: bytes) -> Key:
    """Returns where the head of a queue lies."""
    return Key(MESSAGES_SPACE, queue_id, HEAD)


def numbered_key(queue_id: bytes, kind: bytes, number: int) -> Key:
    """Returns where a numbered record of a queue lies.

    Args:
        queue_id: 16 bytes.
        kind: ``SEGMENT``, ``GONE``, ``RECEIVES`` or ``DEDUPLICATION``.
        number: 0 to 2**64 - 1.
    """
    return Key(MESSAGES_SPACE, queue_id, kind + number.to_bytes(_NUMBER_BYTES, "big"))


def numbers_of(kind: bytes, lower: int = 0, upper: int | None = None) -> Range:
    """Returns the range of the records of a kind.

    Args:
        kind: as in `numbered_key`.
        lower: the first number.
        upper: the number behind the last one; None: there is no end.
    """
    end = bytes((kind[0] + 1,)) if upper is None else kind + upper.to_bytes(_NUMBER_BYTES, "big")
    return Range(kind + lower.to_bytes(_NUMBER_BYTES, "big"), end)


def number_of(sort: bytes) -> int:
    """Returns the number of a numbered record, of its sort key."""
    return int.from_bytes(sort[1 : 1 + _NUMBER_BYTES], "big")


def task_key(queue_id: bytes, started_ms: int) -> Key:
    """Returns where a task lies that moves messages out of a queue.

    Args:
        queue_id: of the queue that messages are taken from.
        started_ms: milliseconds since 1970-01-01 UTC; no two tasks of a queue have the same.
    """
    return Key(MOVES_SPACE, queue_id, TASK + started_ms.to_bytes(_NUMBER_BYTES, "big"))


def active_task_key(queue_id: bytes) -> Key:
    """Returns where it stands which task of a queue goes on; absent where none does."""
    return Key(MOVES_SPACE, queue_id, ACTIVE)


# ---- the catalog -----------------------------------------------------------------------------------------------------

#: The cell of an account's record that counts its queues.
QUEUES_CELL: Final = "queues"

_QUEUE: Final = b"q"
_DELETED: Final = b"x"
_REMAINS: Final = b"g"
#: Sort keys of what is known of deleted queues.
CATALOG_DELETED: Final = Range(b"x", b"y")
#: Sort keys of deleted queues whose messages may not be gone yet.
CATALOG_REMAINS: Final = Range(b"g", b"h")


def queue_key(account: str, name: str) -> Key:
    """Returns where a queue lies.

    Args:
        account: the tenant, 12 digits.
        name: the queue's name, ASCII.
    """
    return Key(CATALOG_SPACE, account.encode("ascii"), _QUEUE + name.encode("ascii"))


def deleted_key(account: str, name: str) -> Key:
    """Returns where it is noted when a queue of a name was deleted."""
    return Key(CATALOG_SPACE, account.encode("ascii"), _DELETED + name.encode("ascii"))


def remains_key(account: str, queue_id: bytes) -> Key:
    """Returns where it is noted that messages of a deleted queue may be left."""
    return Key(CATALOG_SPACE, account.encode("ascii"), _REMAINS + queue_id)


def account_key(account: str) -> Key:
    """Returns where the figures of an account lie."""
    return Key(CATALOG_SPACE, account.encode("ascii"), b"a")


def queues_within(prefix: str, after: str) -> Range:
    """Returns the range of an account's queues whose names begin with `prefix`, behind the name `after`."""
    lower = _QUEUE + prefix.encode("ascii")
    behind = _QUEUE + after.encode("ascii") + b"\x00"
    return Range(max(lower, behind) if after else lower, prefix_end(lower))
