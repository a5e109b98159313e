"""Deduplication of a FIFO queue: what was sent with an id within the last five minutes is not sent again.

What stands for an id leads to the sequence number of the message that was sent with it, whether that is still there
or not. Ids are written with the messages that bear them, a record per commit, and forgotten in the order in which
they came.

Source: "Message deduplication ID",
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from tenet.queues.rules.stored import Deduplicated

#: How long an id is remembered.
VALID_MS: Final = 5 * 60 * 1000
#: How many records are removed with one commit.
REMOVED_MAX: Final = 64


class Deduplication:
    """The ids of a queue."""

    def __init__(self) -> None:
        self._sequences: dict[bytes, int] = {}
        self._records: deque[tuple[int, Deduplicated]] = deque()
        self._obsolete: deque[int] = deque()

    def find(self, key: bytes) -> int | None:
        """Returns the sequence number of the message that was sent with an id; None: there is none.

        Args:
            key: what stands for the id (``rules.receipts.deduplication_key``).
        """
        return self._sequences.get(key)

    def remember(self, number: int, taken_up: Deduplicated) -> None:
        """Takes up ids that are stored.

        Args:
            number: of their record.
            taken_up: the ids; not before those that were taken up last.
        """
        self._sequences.update(zip(taken_up.keys, taken_up.sequences, strict=True))
        self._records.append((number, taken_up))

    def forget(self, now_ms: int) -> None:
        """Finds ids no more whose time has passed.

        Args:
            now_ms: milliseconds since 1970-01-01 UTC.
        """
        records = self._records
        while records and records[0][1].at_ms + VALID_MS <= now_ms:
            number, taken_up = records.popleft()
            for key, sequence in zip(taken_up.keys, taken_up.sequences, strict=True):
                if self._sequences.get(key) == sequence:
                    del self._sequences[key]
            self._obsolete.append(number)

    @property
    def is_empty(self) -> bool:
        """Whether no id is remembered."""
        return not self._records

    def first_ms(self) -> int | None:
        """Returns when the next id is forgotten, milliseconds since 1970-01-01 UTC; None: none is remembered."""
        return self._records[0][1].at_ms + VALID_MS if self._records else None

    def obsolete(self) -> list[int]:
        """Returns numbers of records that can be removed, some at a time."""
        obsolete = self._obsolete
        return [obsolete.popleft() for _ in range(min(len(obsolete), REMOVED_MAX))]

    def first_record(self, behind: int) -> int:
        """Returns the number below which there is no record that is needed, or has to be removed.

        Args:
            behind: the number of the next one.
        """
        if self._obsolete:
            return self._obsolete[0]
        return self._records[0][0] if self._records else behind

    def put_back(self, numbers: list[int]) -> None:
        """Takes up that records could not be removed."""
        self._obsolete.extendleft(reversed(numbers))
