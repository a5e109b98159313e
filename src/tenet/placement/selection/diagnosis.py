"""Why a fleet has no candidate for a request: each condition by itself, and what is left of the trees after each.

A tree is left as long as each condition so far can be met in it; where the conditions of a group have to be met by one
provider, by the same one. Sharing providers count for the trees that they share with. It is a column operation for each
condition, and no search.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from tenet.placement.fleet.fleet import Fleet
from tenet.placement.fleet.sets import Mask
from tenet.placement.rules.candidate_requests import CandidateRequest, Group

#: What stands in place of a condition's name where each is met, and not all together.
TOGETHER: Final = "all conditions together in one tree"


class Condition(Struct, frozen=True):
    """One condition of a request, and what it did.

    Args:
        group: suffix of the group; ``root`` for conditions about the top of a tree.
        condition: what kind it is: ``resources``, ``required``, ``forbidden``, ``member_of``, …
        asked: the amount by class, or names.
        met_by_providers: how many meet it, whatever else they do not meet.
        removed_providers: how many trees were left before it and are not any more; trees are told by their tops.
        left: how many are left.
        largest_free: of a resource class, the largest amount that one claim could get anywhere.
    """

    group: str
    condition: str
    asked: Any
    met_by_providers: int
    removed_providers: int
    left: int
    largest_free: int | None = None

    @property
    def told(self) -> dict[str, Any]:
        """As a document has it."""
        document: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__}
        if self.largest_free is None:
            del document["largest_free"]
        return document


def explain(fleet: Fleet, request: CandidateRequest) -> tuple[list[Condition], list[str]]:
    """Returns what each condition of a request removed, and what was missing, in words.

    Args:
        fleet: is not changed.
        request: names classes and traits that exist.
    """
    return _Explanation(fleet, request).result()


class _Explanation:
    def __init__(self, fleet: Fleet, request: CandidateRequest) -> None:
        self._fleet = fleet
        self._request = request
        self._left: Mask = fleet.tops.copy()
        self._found: list[Condition] = []

    def result(self) -> tuple[list[Condition], list[str]]:
        self._root()
        for group in self._request.groups:
            self._group(group)
        if self._left.any():
            left = int(self._left.sum())
            self._found.append(Condition("", TOGETHER, None, 0, left, 0))
        return self._found, self._missing()

    def _missing(self) -> list[str]:
        """Returns the conditions that nobody meets; where there are none, the one that left nothing."""
        nowhere = [one for one in self._found if not one.met_by_providers and one.condition != TOGETHER]
        if nowhere:
            return [_words(one) for one in nowhere]
        last = next(one for one in self._found if not one.left)
        if last.condition == TOGETHER:
            return [_words(last)]
        return [f"{_words(last)}; of the {last.removed_providers} that meet what was asked before it, none does"]

    def _root(self) -> None:
        fleet = self._fleet
        for name in sorted(self._request.root_required):
            self._narrow("root", "required", name, fleet.passing(required=[(name,)]), is_of_root=True)
        for name in sorted(self._request.root_forbidden):
            self._narrow("root", "forbidden", name, fleet.passing(forbidden=(name,)), is_of_root=True)

    def _group(self, group: Group) -> None:
        fleet = self._fleet
        is_of_one = bool(group.suffix) or not (fleet.sharing or fleet.has_trees)
        own = fleet.here.copy()
        for kind, asked, mask in self._conditions(group):
            largest = fleet.largest(next(iter(asked))) if kind == "resources" else None
            if is_of_one:
                own = own & mask
            self._narrow(group.suffix, kind, asked, mask, own if is_of_one else mask, largest=largest)

    def _conditions(self, group: Group) -> Iterator[tuple[str, Any, Mask]]:
        fleet = self._fleet
        inherits = not group.suffix
        for name, amount in group.resources.items():
            yield "resources", {name: amount}, fleet.fitting(name, amount)
        for names in group.required:
            yield "required", sorted(names), fleet.passing(required=[names])
        for comparison in group.capabilities:
            yield "capabilities", comparison.told, fleet.meeting(comparison)
        if group.forbidden:
            yield "forbidden", sorted(group.forbidden), fleet.passing(forbidden=group.forbidden)
        for uuids in group.member_of:
            inside = fleet.passing(member_of=[uuids])
            yield "member_of", sorted(uuids), inside | inside[fleet.roots] if inherits else inside
        if group.forbidden_aggregates:
            outside = fleet.passing(forbidden_aggregates=group.forbidden_aggregates)
            told = sorted(group.forbidden_aggregates)
            yield "forbidden_aggregates", told, outside & outside[fleet.roots] if inherits else outside
        if group.in_tree is not None:
            yield "in_tree", group.in_tree, fleet.in_tree(group.in_tree)

    def _narrow(
        self,
        group: str,
        kind: str,
        asked: Any,
        alone: Mask,
        together: Mask | None = None,
        *,
        largest: int | None = None,
        is_of_root: bool = False,
    ) -> None:
        fleet = self._fleet
        used = alone if together is None else together
        if is_of_root:
            reached = used
        else:
            reached = fleet.roots_of(used)
            sharing = [place for place in fleet.sharing if used[place]]
            if sharing:
                reached = reached | fleet.reached_by(sharing)
        before = int(self._left.sum())
        self._left = self._left & reached
        left = int(self._left.sum())
        self._found.append(Condition(group, kind, asked, int(alone.sum()), before - left, left, largest))


def _words(one: Condition) -> str:
    where = f" of group {one.group!r}" if one.group else ""
    if one.condition == "resources":
        ((name, amount),) = one.asked.items()
        free = f"; the most that one provider can give is {one.largest_free}"
        if not one.met_by_providers and one.largest_free is not None and one.largest_free >= amount:
            free += ", in steps or from a least amount on that do not allow this one"
        return f"resource {name}: {amount} wanted{where}{free}"
    if one.condition == "required":
        names = one.asked if isinstance(one.asked, str) else " or ".join(one.asked)
        return f"trait {names}{where}"
    if one.condition == "capabilities":
        ((name, comparison),) = one.asked.items()
        terms = " and ".join(f"{kind} {operand}" for kind, operand in comparison.items())
        return f"capability {name} {terms}{where}"
    if one.condition == TOGETHER:
        return f"{TOGETHER}: each is met, not all at once"
    asked = one.asked if isinstance(one.asked, str) else ", ".join(one.asked)
    return f"{one.condition} {asked}{where}"
