"""What workers of the Kinesis Client Library wrote down of a stream, and whether that is what they were to see.

A ledger is a file to which all workers append, a line per event, in `java/Ledger.java`:

    begin       worker, shard, checkpoint from which it reads on
    record      worker, shard, sequence number, event, key, count behind the change, count before it or ``-``
    checkpoint  worker, shard, sequence number
    refused     worker, shard, sequence number: the worker had lost its lease
    lost, stopped, ended    worker, shard

The item of a key is made with the count 1 and raised by one with every change; its removal has the next count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

#: Where a shard is read from its beginning.
BEGINNING = "TRIM_HORIZON"


class WrongLedger(AssertionError):
    """A record is missing, wrong, out of order, or seen twice where it may not be."""


@dataclass
class Ledger:
    """What has been read of a ledger so far.

    Args:
        counts: the highest count of each key, 0 where nothing was seen.
        saved: the last checkpoint of each shard.
        reading: by worker and shard, the sequence number behind which its next record stands.
        records: how many records each worker has had.
        ended: the shards whose end was seen.
        again: how many records came more than once.
        unsaved: by worker and shard, how many records it has had since it said how far it is.
    """

    counts: dict[str, int] = field(default_factory=dict)
    saved: dict[str, int] = field(default_factory=dict)
    reading: dict[tuple[str, str], int] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    again: int = 0
    unsaved: dict[tuple[str, str], int] = field(default_factory=dict)

    def begun(self, worker: str) -> set[str]:
        """Returns the shards that a worker has begun to read."""
        return {shard for name, shard in self.reading if name == worker}


def read(lines: Iterable[str]) -> Ledger:
    """Reads a ledger and returns what it says; a line that was cut off by a kill is left out.

    Raises:
        WrongLedger: it is not what the library and the stream promise.
    """
    ledger = Ledger()
    for line in lines:
        what, *fields = line.rstrip("\n").split("\t")
        if not line.endswith("\n"):
            continue
        if what == "begin":
            _begin(ledger, *fields)
        elif what == "record":
            _record(ledger, fields)
        elif what == "checkpoint":
            worker, shard, sequence = fields
            ledger.saved[shard] = int(sequence)
            ledger.unsaved[worker, shard] = 0
        elif what == "ended":
            ledger.ended.add(fields[1])
    return ledger


def _begin(ledger: Ledger, worker: str, shard: str, checkpoint: str) -> None:
    """A worker begins where another one has said that it was, and not before that."""
    after = 0 if checkpoint == BEGINNING else int(checkpoint)
    if after < ledger.saved.get(shard, 0):
        raise WrongLedger(f"{worker} begins {shard} at {after}, before the checkpoint {ledger.saved[shard]}")
    ledger.reading[worker, shard] = after
    ledger.unsaved[worker, shard] = 0


def _record(ledger: Ledger, fields: Sequence[str]) -> None:
    """A record stands behind the one before it, and is the next change of its item, or one that was seen."""
    worker, shard, sequence, event, key, count, before = fields
    where = f"{worker} in {shard}: {event} of {key} to {count} from {before}"
    if int(sequence) <= ledger.reading[worker, shard]:
        raise WrongLedger(f"{where}: not behind {ledger.reading[worker, shard]}")
    ledger.reading[worker, shard] = int(sequence)
    number, highest = int(count), ledger.counts.get(key, 0)
    if number > highest + 1:
        raise WrongLedger(f"{where}: nothing between {highest} and that was seen")
    if (event == "INSERT") != (number == 1) or before != ("-" if number == 1 else str(number - 1)):
        raise WrongLedger(f"{where}: that is no change of such an item")
    ledger.again += number <= highest
    ledger.counts[key] = max(number, highest)
    ledger.records[worker] = ledger.records.get(worker, 0) + 1
    ledger.unsaved[worker, shard] += 1


def check_whole(ledger: Ledger, wanted: Mapping[str, int]) -> None:
    """Raises WrongLedger where the last count of a key is another one than was written."""
    if ledger.counts != wanted:
        differing = {
            key: (ledger.counts.get(key), wanted.get(key))
            for key in ledger.counts.keys() | wanted.keys()
            if ledger.counts.get(key) != wanted.get(key)
        }
        raise WrongLedger(f"seen and written: {differing}")
