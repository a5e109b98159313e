"""The nodes of the cluster as this process sees them: which of them to send to, and which to leave alone.

A node that is frozen or cut off keeps its connections for a while, and whatever is sent through it waits. So every node
is asked something small four times a second; one that does not answer is left alone until it does again, and what still
waits for it is sent through another one. Where none answers, none is: it is more likely that this process has no time.

A node may answer and yet not reach the others, which a statement needs. So once a statement was not answered in time,
and of those that are left alone, nodes are asked for something that a majority must answer for some seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import Final

import structlog

from tenet.base.clock import NEVER
from tenet.store.cassandra.patience import Patience

#: How long a node may take to answer a probe, at the most where all of them are slow, and how often each is asked at
#: the most; seconds.
PROBE_S: Final = 0.25
PROBE_S_MAX: Final = 0.5
_EVERY_S: Final = 0.25
#: How many probes a second this process sends at the most, to all nodes together.
_PROBES_PER_S: Final = 40
#: For how long nodes are asked whether they reach the others, after a statement was not answered in time; seconds.
_DOUBTED_S: Final = 5.0
#: How often in a row a node must not answer before it is left alone, and answer before it is used again.
_SILENT: Final = 3
_BACK: Final = 2

_log = structlog.get_logger(__name__)


class Nodes:
    """Which nodes answer.

    Args:
        addresses: of all nodes that may be sent to.
        probe: asks a node something small; raises, or returns False, where no answer comes.
        reaches: asks a node for something that a majority of replicas must answer, in the same way.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        probe: Callable[[str], Awaitable[bool]],
        reaches: Callable[[str], Awaitable[bool]],
    ) -> None:
        self.addresses = list(addresses)
        self._probe = probe
        self._reaches = reaches
        #: Told when a node has come to be left alone.
        self.on_silent: Callable[[], None] = lambda: None
        self._silent: dict[str, int] = {}
        self._is_there: dict[str, bool] = {}
        #: How often in a row each was asked and did not answer, whether or not it is left alone.
        self._unanswered: dict[str, int] = {}
        self._left_alone: set[str] = set()
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._turn = 0
        self._patience = Patience(PROBE_S, PROBE_S_MAX)
        #: What nodes are asked because somebody wants to know at once.
        self._questions: dict[str, asyncio.Task[bool]] = {}
        self._doubted_until = 0.0

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
        """How many nodes answered when they were last asked, whether or not they reach the others."""
        return sum(self._is_there.get(address, True) for address in self.addresses)

    def usual(self) -> str:
        """Returns the profile to send by first: through a replica of the key, as far as it answers."""
        if not self._left_alone or len(self._left_alone) == len(self.addresses):
            return USUAL
        if len(self._left_alone) == 1:
            return without(next(iter(self._left_alone)))
        usable = self.in_use
        return only(usable[self._turn % len(usable)])

    def not_answering(self, *, least: int = _SILENT) -> Sequence[str]:
        """Returns the nodes that do not answer, those included that are not left alone because no other is better.

        Args:
            least: how many times in a row they must not have answered.
        """
        found = {one for one in self.addresses if self._unanswered.get(one, 0) >= least}
        return sorted(found | self._left_alone)

    def others(self, rounds: int) -> Iterator[str]:
        """Gives profiles to send by when the usual one was of no use: through each node, one after the other.

        Args:
            rounds: how often every node gets its turn.
        """
        self._turn += 1
        for _ in range(rounds):
            usable = self.in_use or self.addresses
            for at in range(len(usable)):
                yield only(usable[(self._turn + at) % len(usable)])

    def watch(self, addresses: Sequence[str] = ()) -> None:
        """Begins to ask the nodes whether they are there, until ``close``.

        Args:
            addresses: of the nodes, where they were not known yet.
        """
        self.update(addresses or self.addresses)

    def update(self, addresses: Sequence[str]) -> None:
        """Takes over which nodes there are: asks new ones, and forgets those that are gone.

        Args:
            addresses: of all nodes that may be sent to.
        """
        self.addresses = list(addresses)
        for address in [one for one in self._watches if one not in self.addresses]:
            self._watches.pop(address).cancel()
            self._left_alone.discard(address)
            self._silent.pop(address, None)
            self._unanswered.pop(address, None)
        loop = asyncio.get_running_loop()
        for address in self.addresses:
            if address not in self._watches:
                self._watches[address] = loop.create_task(self._watch(address))

    async def _watch(self, address: str) -> None:
        every_s = max(_EVERY_S, len(self.addresses) / _PROBES_PER_S)
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            is_doubted = begun < self._doubted_until or address in self._left_alone
            has_answered = await self._answers(address, is_doubted=is_doubted)
            self._unanswered[address] = 0 if self._is_there[address] else self._unanswered.get(address, 0) + 1
            self._note(address, has_answered=has_answered)
            await asyncio.sleep(max(0.0, begun + every_s - loop.time()))

    async def quickest(self, *, but: Collection[str] = (), until: float = NEVER) -> str | None:
        """Asks the nodes that are in use, and returns the first that answers and reaches a majority.

        Whoever wants to know while they are asked gets the same answers.

        Args:
            but: profiles of nodes that are not asked for.
            until: when to give up.

        Returns:
            The address; None where none does.
        """
        loop = asyncio.get_running_loop()
        self._doubted_until = loop.time() + _DOUBTED_S
        asked = {self._question(address): address for address in self.in_use if only(address) not in but}
        waiting = set(asked)
        while waiting:
            timeout_s = None if until == NEVER else max(0.0, until - loop.time())
            done, waiting = await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            for question in done:
                if question.result():
                    return asked[question]
            if not done:
                break
        return None

    async def first_to_reach_others(self) -> str | None:
        """Returns the first of all nodes, in the order of their addresses, that reaches a majority; None for none.

        Processes that ask at the same time are told of the same node, as long as they can reach it.
        """
        asked = {address: self._question(address) for address in self.in_use}
        for address, question in asked.items():
            if await asyncio.shield(question):
                return address
        return None

    def _question(self, address: str) -> asyncio.Task[bool]:
        """Returns what a node is being asked, or asks it."""
        task = self._questions.get(address)
        if task is None or task.done():
            task = asyncio.get_running_loop().create_task(self._answers(address, is_doubted=True))
            self._questions[address] = task
        return task

    async def _answers(self, address: str, *, is_doubted: bool) -> bool:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        is_there = False
        try:
            async with asyncio.timeout(self._patience.seconds):
                is_there = await self._probe(address)
            self._patience.note(loop.time() - begun)
            if is_there and is_doubted:
                async with asyncio.timeout(PROBE_S_MAX):
                    return await self._reaches(address)
        except Exception:  # noqa: BLE001 (whatever it is: no answer)
            return False
        finally:
            self._is_there[address] = is_there
        return is_there

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
            if count >= _SILENT and any(not self._silent.get(other, 0) for other in self.in_use):
                self._left_alone.add(address)
                count = 0
                _log.error(
                    "a node of the cluster does not answer: requests go through the others until it does", node=address
                )
                self.on_silent()
        self._silent[address] = count

    async def close(self) -> None:
        """Ends what goes on in the background."""
        tasks = [*self._watches.values(), *self._questions.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


#: The profile that sends through a replica of the key.
USUAL: Final = ""


def only(address: str) -> str:
    """Returns the name of the profile that sends through one node."""
    return f"only {address}"


def is_only(profile: str) -> bool:
    """Returns whether a profile sends through one node, which can be told from it."""
    return profile.startswith(only(""))


def without(address: str) -> str:
    """Returns the name of the profile that sends through a replica of the key which is not this node."""
    return f"without {address}"
