"""What clients of a queue were told, and whether all of it can be true at once.

A ledger is told of every request before it is sent and of every answer when it is there, with times of one clock. It
fails where a message is received that

* nobody has sent, or whose deletion had been answered before the receive was asked for;
* of a FIFO queue: is hidden from everybody; or has another number than before; or overtakes one of its group that was
  sent, answered and not deleted;

and, at the end, where one is missing whose send was answered and whose deletion nobody asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tenet.queues.model import Received, Sent


@dataclass
class Entry:
    """What is known of a message; times in milliseconds."""

    group: str
    sent_ms: int | None = None
    sequence: int = 0
    message_id: str = ""
    hidden_until_ms: int = 0
    delete_asked: bool = False
    deleted_ms: int | None = None
    seen: bool = False
    message_ids: set[str] = field(default_factory=set)


class Ledger:
    """The book of one queue.

    Args:
        is_fifo: whether it is a FIFO queue.
        may_come_back: whether what was deleted may be received from who does not know of it.
    """

    def __init__(self, *, is_fifo: bool, may_come_back: bool = False) -> None:
        self.is_fifo = is_fifo
        self.may_come_back = may_come_back
        self.entries: dict[str, Entry] = {}
        self.receives = 0
        self.repeats = 0

    def ask_to_send(self, body: str, group: str = "") -> None:
        self.entries.setdefault(body, Entry(group))

    def sent(self, body: str, answer: Sent, now_ms: int) -> None:
        entry = self.entries[body]
        entry.sent_ms = now_ms if entry.sent_ms is None else entry.sent_ms
        entry.message_ids.add(answer.message_id)
        self._identify(body, entry, answer.message_id, answer.sequence_number)

    def received(self, messages: Sequence[Received], asked_ms: int, now_ms: int, visibility_ms: int) -> None:
        """Takes up what a receive returned."""
        earlier: set[str] = set()
        for message in messages:
            body = message.body
            assert body in self.entries, f"{body} was received, and nobody has sent it"
            entry = self.entries[body]
            entry.message_ids.add(message.message_id)
            # Who sends again what may have been sent has two messages of a standard queue, and deletes one of them.
            is_known = len(entry.message_ids) == 1 and not self.may_come_back
            assert not is_known or entry.deleted_ms is None or entry.deleted_ms >= asked_ms, (
                f"{body} was deleted at {entry.deleted_ms}, and received by who asked at {asked_ms}"
            )
            if self.is_fifo:
                self._identify(body, entry, message.message_id, message.sequence_number)
                assert entry.hidden_until_ms <= now_ms, (
                    f"{body} was received at {now_ms} and is hidden until {entry.hidden_until_ms}"
                )
                self._check_order(body, entry, earlier, asked_ms)
            earlier.add(body)
            self.repeats += entry.seen
            entry.seen = True
            entry.hidden_until_ms = asked_ms + visibility_ms
            self.receives += 1

    def ask_to_show(self, body: str) -> None:
        """Takes up that somebody asks for another visibility: from now on nobody knows."""
        self.entries[body].hidden_until_ms = 0

    def hidden(self, body: str, until_ms: int) -> None:
        """Takes up that somebody was told that a message stays hidden."""
        entry = self.entries[body]
        entry.hidden_until_ms = max(entry.hidden_until_ms, until_ms)

    def ask_to_delete(self, body: str) -> None:
        self.entries[body].delete_asked = True

    def deleted(self, body: str, now_ms: int) -> None:
        entry = self.entries[body]
        entry.deleted_ms = now_ms if entry.deleted_ms is None else entry.deleted_ms

    def owed(self) -> set[str]:
        """Returns the messages that have to be there."""
        return {body for body, entry in self.entries.items() if entry.sent_ms is not None and not entry.delete_asked}

    def _identify(self, body: str, entry: Entry, message_id: str, sequence: int) -> None:
        if self.is_fifo and entry.message_id:
            assert (entry.message_id, entry.sequence) == (message_id, sequence), f"{body} is there twice"
        entry.message_id, entry.sequence = message_id, sequence

    def _check_order(self, body: str, entry: Entry, earlier: set[str], asked_ms: int) -> None:
        for other, before in self.entries.items():
            if (
                before.group == entry.group
                and before.sent_ms is not None
                and before.sent_ms <= asked_ms
                and before.sequence < entry.sequence
                and not before.delete_asked
            ):
                assert other in earlier, f"{body} overtakes {other}"
