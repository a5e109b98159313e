"""Allocation candidates by trying everything: the rules as they are told, with no thought of cost.

Independent of the search: it knows neither columns nor wants nor conditions, and looks at whole combinations only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TypeAlias

from tenet.placement.model import Provider
from tenet.placement.rules.candidate_requests import CandidateRequest, Group
from tenet.placement.rules.capabilities import Comparison
from tests.unit.placement.fleets import SHARES

#: Amounts by provider and class, and providers by group.
Outcome: TypeAlias = tuple[frozenset[tuple[str, str, int]], frozenset[tuple[str, frozenset[str]]]]
#: A provider for each class of a group, or one for a group without any.
Choice: TypeAlias = tuple[tuple[str | None, Provider], ...]


def candidates(providers: Sequence[Provider], request: CandidateRequest) -> set[Outcome]:
    by_uuid = {provider.uuid: provider for provider in providers}
    found = set()
    for anchor in providers:
        if anchor.parent is not None or not _is_anchor(anchor, request):
            continue
        choices = [list(_choices(providers, by_uuid, anchor, group)) for group in request.groups]
        for combination in product(*choices):
            if _holds(by_uuid, request, combination):
                found.add(_outcome(request, combination))
    return found


def _is_anchor(anchor: Provider, request: CandidateRequest) -> bool:
    return request.root_required <= anchor.traits and not request.root_forbidden & anchor.traits


def _choices(
    providers: Sequence[Provider], by_uuid: dict[str, Provider], anchor: Provider, group: Group
) -> Iterator[Choice]:
    tree = [provider for provider in providers if provider.root == anchor.uuid]
    near = frozenset[str]().union(*(provider.aggregates for provider in tree))
    shared = [p for p in providers if p not in tree and SHARES in p.traits and p.aggregates & near]
    names = list(group.resources)
    if group.suffix or not names:
        for provider in (*tree, *shared):
            if _meets_alone(by_uuid, provider, group):
                yield tuple((name, provider) for name in names) or ((None, provider),)
        return
    usable = [p for p in tree if _may_give(by_uuid[p.root], p, group)]
    if group.in_tree is None:
        usable += [p for p in shared if _may_share(anchor, p, group)]
    elif group.in_tree not in by_uuid or by_uuid[group.in_tree].root != anchor.uuid:
        return
    for chosen in product(*([p for p in usable if _fits(p, name, group.resources[name])] for name in names)):
        traits = frozenset[str]().union(*(p.traits for p in chosen))
        can = all(any(_can(p, one) for p in chosen) for one in group.capabilities)
        if can and all(choice & traits for choice in group.required) and not traits & group.forbidden:
            yield tuple(zip(names, chosen, strict=True))


def _is_member(provider: Provider, group: Group) -> bool:
    return all(choice & provider.aggregates for choice in group.member_of)


def _may_give(root: Provider, provider: Provider, group: Group) -> bool:
    outside = not group.forbidden_aggregates & (provider.aggregates | root.aggregates)
    return outside and (_is_member(provider, group) or _is_member(root, group))


def _may_share(anchor: Provider, provider: Provider, group: Group) -> bool:
    return _is_member(provider, group) and not group.forbidden_aggregates & (provider.aggregates | anchor.aggregates)


def _meets_alone(by_uuid: dict[str, Provider], provider: Provider, group: Group) -> bool:
    if not group.resources and not group.required and not group.member_of:
        return False
    if group.in_tree is not None:
        if group.in_tree not in by_uuid:
            return False
        if group.resources and by_uuid[group.in_tree].root != provider.root:
            return False
    return (
        all(choice & provider.traits for choice in group.required)
        and not group.forbidden & provider.traits
        and all(_can(provider, one) for one in group.capabilities)
        and _is_member(provider, group)
        and not group.forbidden_aggregates & provider.aggregates
        and all(_fits(provider, name, amount) for name, amount in group.resources.items())
    )


def _can(provider: Provider, comparison: Comparison) -> bool:
    return comparison.is_met(provider.capabilities.get(comparison.name))


def _fits(provider: Provider, name: str, amount: int) -> bool:
    inventory = provider.inventories.get(name)
    return (
        inventory is not None
        and inventory.min_unit <= amount <= inventory.max_unit
        and amount % inventory.step_size == 0
        and provider.used.get(name, 0) + amount <= (inventory.total - inventory.reserved) * inventory.allocation_ratio
    )


def _holds(by_uuid: dict[str, Provider], request: CandidateRequest, combination: Sequence[Choice]) -> bool:
    alone = [choice[0][1].uuid for group, choice in zip(request.groups, combination, strict=True) if group.suffix]
    if request.isolate and len(set(alone)) < len(alone):
        return False
    chosen = {
        group.suffix: {p.uuid for _, p in choice} for group, choice in zip(request.groups, combination, strict=True)
    }
    for suffixes in request.same_subtree:
        together = set().union(*(chosen[suffix] for suffix in suffixes))
        if not any(all(top in _line(by_uuid, uuid) for uuid in together) for top in together):
            return False
    totals = _totals(request, combination)
    if request.one_per_tree:
        given = {uuid for uuid, _ in totals}
        if len({by_uuid[uuid].root for uuid in given}) < len(given):
            return False
    return all(_has_room(by_uuid[uuid], name, amount) for (uuid, name), amount in totals.items())


def _has_room(provider: Provider, name: str, amount: int) -> bool:
    inventory = provider.inventories[name]
    return amount <= inventory.max_unit and provider.used.get(name, 0) + amount <= inventory.capacity


def _line(by_uuid: dict[str, Provider], uuid: str) -> list[str]:
    line = [uuid]
    while (parent := by_uuid[line[-1]].parent) is not None:
        line.append(parent)
    return line


def _totals(request: CandidateRequest, combination: Sequence[Choice]) -> dict[tuple[str, str], int]:
    totals: dict[tuple[str, str], int] = {}
    for group, choice in zip(request.groups, combination, strict=True):
        for name, provider in choice:
            if name is not None:
                totals[provider.uuid, name] = totals.get((provider.uuid, name), 0) + group.resources[name]
    return totals


def _outcome(request: CandidateRequest, combination: Sequence[Choice]) -> Outcome:
    totals = _totals(request, combination)
    mappings = {
        (group.suffix, frozenset(p.uuid for _, p in choice))
        for group, choice in zip(request.groups, combination, strict=True)
    }
    return frozenset((uuid, name, amount) for (uuid, name), amount in totals.items()), frozenset(mappings)
