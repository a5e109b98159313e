"""The nodes of the cluster as this process sees them: which of them to send to, and which to leave alone.

A node that is frozen or cut off keeps its connections for a while, and whatever is sent through it waits. So when one
statement was not answered in time, every node is asked something small; those that do not answer are left alone until
they do again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import structlog

#: How long a node may take to answer a probe, and how often nodes that did not are asked again; seconds.
PROBE_S: Final = 0.25
_AGAIN_S: Final = 0.5
#: How often in a row a node must not answer before it is left alone, and answer before it is used again.
_SILENT: Final = 2
_BACK: Final = 2

_log = structlog.get_logger(__name__)


class Nodes:
    """Which nodes answer.

    Args:
        addresses: of all nodes that may be sent to.
        probe: asks a node something small; raises, or returns False, where no answer comes.
    """

    def __init__(self, addresses: Sequence[str], probe: Callable[[str], Awaitable[bool]]) -> None:
        self.addresses = list(addresses)
        self._probe = probe
        self._silent: dict[str, int] = {}
        self._left_alone: set[str] = set()
        self._probing: asyncio.Task[None] | None = None
        self._turn = 0

    @property
    def left_alone(self) -> Sequence[str]:
        """The nodes that are not sent to at present."""
        return sorted(self._left_alone)

    def ways(self, rounds: int) -> Iterator[str]:
        """Gives profiles to send by, one after the other: through a replica of the key, then through each node.

        Args:
            rounds: how often every node gets its turn.
        """
        yield self._usual()
        self._turn += 1
        for _ in range(rounds):
            usable = [address for address in self.addresses if address not in self._left_alone] or self.addresses
            for at in range(len(usable)):
                yield only(usable[(self._turn + at) % len(usable)])

    def _usual(self) -> str:
        if not self._left_alone or len(self._left_alone) == len(self.addresses):
            return USUAL
        if len(self._left_alone) == 1:
            return without(next(iter(self._left_alone)))
        usable = [address for address in self.addresses if address not in self._left_alone]
        return only(usable[self._turn % len(usable)])

    def suspect(self) -> None:
        """Says that a statement was not answered in time: finds out which node it may have been."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.get_running_loop().create_task(self._probe_on())

    async def _probe_on(self) -> None:
        """Asks all nodes, and goes on while any of them is silent."""
        while True:
            answers = await asyncio.gather(*map(self._answers, self.addresses))
            for address, has_answered in zip(self.addresses, answers, strict=True):
                self._note(address, has_answered=has_answered)
            if not self._silent and not self._left_alone:
                return
            await asyncio.sleep(_AGAIN_S if all(answers) or self._left_alone else 0)

    async def quickest(self) -> str | None:
        """Asks the nodes that are in use something small, and returns the first that answers; None where none does."""
        asked = {
            asyncio.ensure_future(self._answers(one)): one for one in self.addresses if one not in self._left_alone
        }
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
        try:
            async with asyncio.timeout(2 * PROBE_S):
                return await self._probe(address)
        except Exception:  # noqa: BLE001 (whatever it is: no answer)
            return False

    def _note(self, address: str, *, has_answered: bool) -> None:
        """Counts a probe: below 0 the answers of a node that is left alone, above 0 the silences of one that is not."""
        count = self._silent.get(address, 0)
        if address in self._left_alone:
            count = count - 1 if has_answered else 0
            if count <= -_BACK:
                self._left_alone.discard(address)
                _log.warning("a node of the cluster answers again", node=address)
        elif has_answered:
            count = 0
        else:
            count += 1
            if count >= _SILENT:
                self._left_alone.add(address)
                count = 0
                _log.error(
                    "a node of the cluster does not answer: requests go through the others until it does", node=address
                )
        if count and (address in self._left_alone or count > 0):
            self._silent[address] = count
        else:
            self._silent.pop(address, None)

    async def close(self) -> None:
        """Ends what goes on in the background."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)


#: The profile that sends through a replica of the key.
USUAL: Final = ""


def only(address: str) -> str:
    """Returns the name of the profile that sends through one node."""
    return f"only {address}"


def without(address: str) -> str:
    """Returns the name of the profile that sends through a replica of the key which is not this node."""
    return f"without {address}"
