"""What a filter and a weigher are: the interface that plugins implement.

A plugin is named by an entry point of its package, in the group ``tenet.placement.filters`` or
``tenet.placement.weighers``. What the entry point names is called with the parameters of the request, and returns an
object with the attribute ``interface``, the version of this interface that it was written for, and the one method of
``Filter`` or ``Weigher``. It is pure: no I/O, no clock, and no randomness but the question's seed, so that a choice can
be made again from what the answer tells, without a server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from msgspec import Struct

from tenet.placement.model import Provider
from tenet.placement.rules.candidate_answers import Candidate
from tenet.placement.rules.candidate_requests import CandidateRequest

#: Version of the interface. A plugin for another one is refused when a request names it.
INTERFACE: Final = 1
#: A score that takes an option out of the choice, where others are left.
OUT: Final = float("-inf")


class Option(Struct, frozen=True):
    """One way to place one consumer.

    Args:
        candidate: what it would have, and where.
        providers: by uuid, the providers that it takes from and all their ancestors; ``used`` contains what earlier
            members of the same gang take.
        local: uuids of the providers that it takes from and that share nothing; all that it takes from, where all
            share. They are what is in a failure domain.
    """

    candidate: Candidate
    providers: Mapping[str, Provider]
    local: tuple[str, ...]

    @property
    def roots(self) -> frozenset[str]:
        """Uuids of the hosts that it is on: the tops of the trees of its local providers."""
        return frozenset(self.providers[uuid].root for uuid in self.local)


class Question(Struct, frozen=True):
    """For whom something is chosen.

    Args:
        consumer: uuid.
        request: what it asks for.
        seed: any number; the same one gives the same answer.
    """

    consumer: str
    request: CandidateRequest
    seed: int


class Filter(Protocol):
    """Says which options will do."""

    @property
    def interface(self) -> int:
        """The version of this interface that it was written for."""
        ...

    def keep(self, options: Sequence[Option], question: Question) -> Sequence[bool]:
        """Returns of each option whether it will do.

        Args:
            options: 1 and more, a part of all that there are; an option's fate does not depend on the others.
            question: for whom.
        """
        ...


class Weigher(Protocol):
    """Says which options are better."""

    @property
    def interface(self) -> int:
        """The version of this interface that it was written for."""
        ...

    def weigh(self, options: Sequence[Option], question: Question) -> Sequence[float]:
        """Returns a score for each option, in any unit; more is better, ``OUT`` is none.

        The scores are brought to 0 to 1 and multiplied as the request says before those of several weighers are added.

        Args:
            options: 1 and more, all among which is chosen.
            question: for whom.
        """
        ...


#: Makes a plugin of the parameters in a request; raises ``ValueError`` with words for the client where they are wrong.
MakeFilter: TypeAlias = Callable[[Mapping[str, Any]], Filter]
MakeWeigher: TypeAlias = Callable[[Mapping[str, Any]], Weigher]


class NamedFilter(Struct, frozen=True):
    """A filter and what a request calls it."""

    name: str
    filter: Filter


class NamedWeigher(Struct, frozen=True):
    """A weigher, what a request calls it, and what its scores are multiplied with; below 0 turns it around."""

    name: str
    multiplier: float
    weigher: Weigher
