"""Statements that take time: batches of one partition go one after the other there, as rounds of Paxos do."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence

from tenet.base.dice import Dice
from tenet.store.cassandra.sending import Bound
from tests.cassandra_model.cluster import Fate, ModelDriver, Turns

#: What a conditional batch takes on the average, and the others against it.
CONDITIONAL_S = 0.010
_SHARES = {"conditional": 1.0, "read": 0.33, "write": 0.25}
_PARTITION = "WHERE p = ?"


class SlowTurns(Turns):
    """Lets statements take as long as they do on a cluster at work, in simulated time.

    Args:
        seed: by how much they differ.
    """

    def __init__(self, seed: int = 0) -> None:
        self._dice = Dice(seed)
        self._lines: defaultdict[tuple[str, object], asyncio.Lock] = defaultdict(asyncio.Lock)
        #: How many were sent, by kind.
        self.sent: Counter[str] = Counter()

    async def take(self, driver: ModelDriver, kind: str, bound: Sequence[Bound]) -> Fate:
        """Returns when the statement has taken effect."""
        self.sent[kind] += 1
        takes_s = CONDITIONAL_S * _SHARES.get(kind, 0.1) * (0.6 + 0.8 * self._dice.below(1_000) / 1_000)
        if kind != "conditional":
            await asyncio.sleep(takes_s)
            return Fate.DONE
        text, values = bound[0]
        head, _, behind = text.partition(_PARTITION)
        table = text.split()[1]
        async with self._lines[table, values[head.count("?")] if behind else text]:
            await asyncio.sleep(takes_s)
        return Fate.DONE
