"""Pointers: which partitions have log entries on their way to the log.

An entry is written into the outbox of its own partition, in the commit's own batch, and moved into the log afterwards.
So that it is found there, a pointer to the partition is written before it, and the batch makes sure that the pointer
still stands. Pointers have *epochs*, which the partition's column ``pe`` tells, behind the id of the log: it is k
where the pointer of epoch k stands, and -k where it was taken away when the outbox was empty, and the next commit has
to write the one of epoch k first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenet.store.cassandra.schema import LOG_ID_BYTES, equal
from tenet.store.contract import log_shard
from tenet.store.errors import InvalidRequest

if TYPE_CHECKING:
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.sending import Bound
    from tenet.store.cassandra.unit import Believed, Unit


def encode_pointer(log_id: bytes, epoch: int) -> bytes:
    """Returns the bytes of the column ``pe``."""
    return log_id + epoch.to_bytes(8, "big", signed=True)


def epoch_of(log_id: bytes, pointer: bytes | None) -> int:
    """Returns the epoch in the column ``pe``; 0 where there is none of this log."""
    if pointer is None or not pointer.startswith(log_id):
        return 0
    return int.from_bytes(pointer[LOG_ID_BYTES:], "big", signed=True)


class Pointers:
    """Writes pointers.

    Args:
        driver: the cluster.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def point(self, unit: Unit, believed: Believed, deadline: float) -> None:
        """Writes the pointer that the next batch relies on, unless it stands as far as is known."""
        if epoch_of(unit.space.log_id, believed.pointer) > 0:
            return
        options = unit.space.log
        if options is None:
            raise InvalidRequest(f"the space {unit.space.name} has no log")
        shard = log_shard(unit.partition, options.shards)
        pointer = (unit.space.log_statements.point, [unit.space.log_id, shard, unit.key, _next(unit, believed)])
        await self._driver.write([pointer], deadline=deadline)

    def condition(self, unit: Unit, believed: Believed) -> Bound:
        """Returns the statement by which a batch makes sure that the pointer stands, and says so."""
        condition, wanted = equal("pe", believed.pointer)
        return unit.space.statements.point + condition, [self.standing(unit, believed), unit.key, *wanted]

    def standing(self, unit: Unit, believed: Believed) -> bytes:
        """Returns the column ``pe`` as a batch that relies on the pointer leaves it."""
        return encode_pointer(unit.space.log_id, _next(unit, believed))


def _next(unit: Unit, believed: Believed) -> int:
    return abs(epoch_of(unit.space.log_id, believed.pointer)) or 1
