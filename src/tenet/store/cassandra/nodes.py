"""The nodes of the cluster as this process sees them: which of them to send to, and which to leave alone.

A node that is frozen or cut off keeps its connections for a while, and whatever is sent through it waits. So every node
is asked something small four times a second; one that does not answer is left alone until it does again, and what still
waits for it is sent through another one. Where none answers, none is: it is more likely that this process has no time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import structlog

from tenet.store.cassandra.patience import Patience

#: How long a node may take to answer a probe, at the most where all of them are slow, and how often each is asked at
#: the most; seconds.
PROBE_S: Final = 0.25
PROBE_S_MAX: Final = 0.5
_EVERY_S: Final = 0.25
#: How many probes a second this process sends at the most, to all nodes together.
_PROBES_PER_S: Final = 40
#: How often in a row a node must not answer before it is left alone, and answer before it is used again.
_SILENT: Final = 3
_BACK: Final = 2

_log = structlog.get_logger(__name__)


class Nodes:
    """Which nodes answer.

    Args:
        addresses: of all nodes that may be sent to.
        probe: asks a node something small; raises, or returns False, where no answer comes.
        on_silent: told when a node has come to be left alone.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        probe: Callable[[str], Awaitable[bool]],
        on_silent: Callable[[], None] = lambda: None,
    ) -> None:
        self.addresses = list(addresses)
        self._probe = probe
        self._on_silent = on_silent
        self._silent: dict[str, int] = {}
        self._left_alone: set[str] = set()
        self._watches: list[asyncio.Task[None]] = []
        self._turn = 0
        self._patience = Patience(PROBE_S, PROBE_S_MAX)
        self._race: asyncio.Task[str | None] | None = None

    @property
    def left_alone(self) -> Sequence[str]:
        """The nodes that are not sent to at present."""
        return sorted(self._left_alone)

    @property
    def in_use(self) -> Sequence[str]:
        """The nodes that are sent to at present."""
        return [address for address in self.addresses if address not in self._left_alone]

    @property
    def answering(self) -> int:
        """How many nodes answered when they were last asked."""
        return sum(not self._silent.get(address, 0) for address in self.in_use)

    def ways(self, rounds: int) -> Iterator[str]:
        """Gives profiles to send by, one after the other: through a replica of the key, then through each node.

        Args:
            rounds: how often every node gets its turn.
        """
        yield self._usual()
        self._turn += 1
        for _ in range(rounds):
            usable = self.in_use or self.addresses
            for at in range(len(usable)):
                yield only(usable[(self._turn + at) % len(usable)])

    def _usual(self) -> str:
        if not self._left_alone or len(self._left_alone) == len(self.addresses):
            return USUAL
        if len(self._left_alone) == 1:
            return without(next(iter(self._left_alone)))
        usable = self.in_use
        return only(usable[self._turn % len(usable)])

    def watch(self) -> None:
        """Begins to ask the nodes whether they are there, until ``close``."""
        loop = asyncio.get_running_loop()
        self._watches = [loop.create_task(self._watch(address)) for address in self.addresses]

    async def _watch(self, address: str) -> None:
        every_s = max(_EVERY_S, len(self.addresses) / _PROBES_PER_S)
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            self._note(address, has_answered=await self._answers(address))
            await asyncio.sleep(max(0.0, begun + every_s - loop.time()))

    async def quickest(self) -> str | None:
        """Asks the nodes that are in use something small, and returns the first that answers; None where none does.

        Whoever wants to know while they are asked gets the same answer.
        """
        if self._race is None or self._race.done():
            self._race = asyncio.get_running_loop().create_task(self._first_to_answer())
        return await asyncio.shield(self._race)

    async def _first_to_answer(self) -> str | None:
        asked = {asyncio.ensure_future(self._answers(one)): one for one in self.in_use}
        waiting = set(asked)
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    if one.result():
                        return asked[one]
        finally:
            for one in waiting:
                one.cancel()
        return None

    async def _answers(self, address: str) -> bool:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(self._patience.seconds):
                has_answered = await self._probe(address)
        except Exception:  # noqa: BLE001 (whatever it is: no answer)
            return False
        self._patience.note(loop.time() - begun)
        return has_answered

    def _note(self, address: str, *, has_answered: bool) -> None:
        """Counts a probe: below 0 the answers of a node that is left alone, above 0 the silences of one that is not."""
        count = self._silent.get(address, 0)
        if address in self._left_alone:
            count = count - 1 if has_answered else 0
            if count <= -_BACK:
                self._left_alone.discard(address)
                count = 0
                _log.warning("a node of the cluster answers again", node=address)
        else:
            count = self._silent[address] = 0 if has_answered else count + 1
            if count >= _SILENT and self.answering:
                self._left_alone.add(address)
                count = 0
                _log.error(
                    "a node of the cluster does not answer: requests go through the others until it does", node=address
                )
                self._on_silent()
        self._silent[address] = count

    async def close(self) -> None:
        """Ends what goes on in the background."""
        tasks = [*self._watches, *([] if self._race is None else [self._race])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


#: The profile that sends through a replica of the key.
USUAL: Final = ""


def only(address: str) -> str:
    """Returns the name of the profile that sends through one node."""
    return f"only {address}"


def without(address: str) -> str:
    """Returns the name of the profile that sends through a replica of the key which is not this node."""
    return f"without {address}"
