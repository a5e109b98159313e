"""The filters that come with Tenet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tenet.placement.selection.contract import INTERFACE, MakeFilter, Option, Question
from tenet.placement.selection.domains import domains_of
from tenet.placement.selection.parameters import number, refuse_others, texts


class Headroom:
    """Leaves a share of what there is free: of each class that is taken, ``share`` of the capacity (0 to 1) at least.

    Parameters: ``share``, 0.1 by default; ``resource_classes``, those that it is about, all by default.
    """

    interface: Final = INTERFACE

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        refuse_others(parameters, ("share", "resource_classes"))
        self._share = number(parameters, "share", 0.1, at_least=0, at_most=1)
        self._classes = texts(parameters, "resource_classes")

    def keep(self, options: Sequence[Option], question: Question) -> Sequence[bool]:
        """Implements ``Filter``."""
        del question
        return [self._leaves_enough(option) for option in options]

    def _leaves_enough(self, option: Option) -> bool:
        for uuid, taken in option.candidate.allocations.items():
            provider = option.providers[uuid]
            for name, amount in taken.items():
                if self._classes is not None and name not in self._classes:
                    continue
                capacity = provider.inventories[name].capacity
                if capacity - provider.used.get(name, 0) - amount < self._share * capacity:
                    return False
        return True


class Providers:
    """Takes from certain providers, or from all others, by uuid or name; a host stands for its whole tree.

    Parameters: ``only``, ``except``.
    """

    interface: Final = INTERFACE

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        refuse_others(parameters, ("only", "except"))
        self._only = texts(parameters, "only")
        self._except = texts(parameters, "except") or frozenset()

    def keep(self, options: Sequence[Option], question: Question) -> Sequence[bool]:
        """Implements ``Filter``."""
        del question
        return [all(self._may_be(uuid, option) for uuid in option.candidate.allocations) for option in options]

    def _may_be(self, uuid: str, option: Option) -> bool:
        provider = option.providers[uuid]
        root = option.providers[provider.root]
        called = {provider.uuid, provider.name, root.uuid, root.name}
        return called.isdisjoint(self._except) and (self._only is None or not called.isdisjoint(self._only))


class Domains:
    """Takes from certain failure domains, or from all others.

    Parameters: ``over``, the kind of domain, ``rack`` by default; ``only``, ``except``.
    """

    interface: Final = INTERFACE

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        refuse_others(parameters, ("over", "only", "except"))
        over = parameters.get("over", "rack")
        if not isinstance(over, str):
            raise ValueError("'over' has to be the name of a kind of domain")  # noqa: TRY004 - what contract.py asks for
        self._over = over
        self._only = texts(parameters, "only")
        self._except = texts(parameters, "except") or frozenset()

    def keep(self, options: Sequence[Option], question: Question) -> Sequence[bool]:
        """Implements ``Filter``."""
        del question
        return [self._may_be(domains_of(option, self._over)) for option in options]

    def _may_be(self, domains: frozenset[str] | None) -> bool:
        if domains is None:
            return False
        return domains.isdisjoint(self._except) and (self._only is None or domains <= self._only)


FILTERS: Final[Mapping[str, MakeFilter]] = {"domains": Domains, "headroom": Headroom, "providers": Providers}
