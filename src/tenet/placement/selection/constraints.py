"""Where the consumers of a claim may be beside each other and beside others, as filters over options."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from tenet.placement.rules.claim_requests import Nearness, Spread
from tenet.placement.selection.contract import Option
from tenet.placement.selection.domains import domains_of


class Other(Struct, frozen=True):
    """Another consumer that a claim names: of each kind of domain, where it is.

    Args:
        domains: by kind; None: in none that is known. Empty where it has nothing.
    """

    domains: Mapping[str, frozenset[str] | None]


class Gang:
    """The consumers of one claim that have a place by now.

    Args:
        spread: over them.
        affinity: to each other and to others.
        anti_affinity: from each other and from others.
        others: by uuid.
    """

    def __init__(
        self,
        spread: Sequence[Spread],
        affinity: Sequence[Nearness],
        anti_affinity: Sequence[Nearness],
        others: Mapping[str, Other],
    ) -> None:
        alone = tuple(Spread(one.over, 1) for one in anti_affinity if not one.others)
        self._spread = (*spread, *alone)
        self._affinity = affinity
        self._anti_affinity = tuple(one for one in anti_affinity if one.others)
        self._others = others
        self._counts: dict[str, Counter[str]] = {one.over: Counter() for one in self._spread}
        self._common: dict[str, frozenset[str]] = {}
        #: Amounts that the members take, by provider and class.
        self.taken: dict[str, dict[str, int]] = {}

    def add(self, option: Option) -> None:
        """Takes note of where a member is."""
        for uuid, resources in option.candidate.allocations.items():
            taken = self.taken.setdefault(uuid, {})
            for name, amount in resources.items():
                taken[name] = taken.get(name, 0) + amount
        for kind, counts in self._counts.items():
            counts.update(domains_of(option, kind) or ())
        for one in self._affinity:
            if not one.others:
                domains = domains_of(option, one.over) or frozenset()
                self._common[one.over] = self._common.get(one.over, domains) & domains

    def own_domains(self, option: Option) -> frozenset[tuple[str, frozenset[str]]]:
        """Returns what an option would bind the gang to: of each kind, the domains that all have to be in."""
        kinds = {one.over for one in self._affinity if not one.others}
        return frozenset((kind, domains_of(option, kind) or frozenset()) for kind in kinds)

    def refusal(self, option: Option) -> str | None:
        """Returns the name of the first of these demands that an option does not meet; None where it meets all."""
        for one in self._spread:
            domains = domains_of(option, one.over)
            if domains is None or any(self._counts[one.over][domain] >= one.at_most for domain in domains):
                return f"spread({one.over})"
        for near in self._affinity:
            if not self._is_near(option, near):
                return f"affinity({near.over})"
        for far in self._anti_affinity:
            if not self._is_far(option, far):
                return f"anti-affinity({far.over})"
        return None

    def _is_near(self, option: Option, near: Nearness) -> bool:
        domains = domains_of(option, near.over)
        if not domains:
            return False
        if not near.others:
            return domains <= self._common.get(near.over, domains)
        for uuid in near.others:
            where = self._others[uuid].domains.get(near.over)
            if not where or not domains <= where:
                return False
        return True

    def _is_far(self, option: Option, far: Nearness) -> bool:
        domains = domains_of(option, far.over)
        if domains is None:
            return False
        for uuid in far.others:
            where = self._others[uuid].domains.get(far.over, frozenset())
            if where is None or domains & where:
                return False
        return True
