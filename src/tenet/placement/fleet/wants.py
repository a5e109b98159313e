"""What a request wants, decided for all providers at once.

A *want* is something that comes from one provider: a whole group with a suffix, or one resource class of the group
without one. For each want there are the places that it can come from within a tree, and those that share what they have
with other trees. From these follow the *anchors*: the roots of the trees that candidates are to be looked for in. They
are those where every want can be met by itself, and all of them as far as sums can tell; whether they can be met
together, ``trees`` finds out.

What counts where is the reference's (openstack-placement 16.0.0), and is not always alike:

* A group with a suffix looks at a provider's own aggregates; the group without one also lets a provider pass whose root
  is in the aggregates, and refuses one whose root is in a forbidden one.
* A provider that shares is used for other trees by the group without a suffix only if it is in the wanted aggregates
  itself, and not at all with ``in_tree``.
* A group without resources is met by providers that have a trait or an aggregate that it requires. One that requires
  neither is met by none, and ``in_tree`` does not bind it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tenet.placement.fleet.fleet import Fleet
from tenet.placement.fleet.sets import Mask
from tenet.placement.rules.candidate_requests import CandidateRequest, Group
from tenet.placement.rules.capabilities import Comparison


class Want(Struct, frozen=True):
    """What comes from one provider.

    Args:
        suffix: of the group that it belongs to.
        amounts: by resource class; empty where the group asks for none.
        own: by place, whether a provider there can meet it for its own tree.
        shared: the places of providers that can meet it for other trees.
    """

    suffix: str
    amounts: Mapping[str, int]
    own: Mask
    shared: frozenset[int]


class Wanted(Struct, frozen=True):
    """What a request wants of a fleet, as it is now.

    Args:
        wants: those of one group stand together, groups in the order of the request.
        together: of each of these choices a trait, or the capability that the providers of the group without a suffix
            have among them; empty where each of them has to have it by itself.
        anchors: by place, whether it is a root to look for candidates from.
        shape: the fleet's when this was decided.
    """

    wants: tuple[Want, ...]
    together: tuple[frozenset[str] | Comparison, ...]
    anchors: Mask
    shape: int


def decide(fleet: Fleet, request: CandidateRequest) -> Wanted:
    """Returns what a request wants of a fleet.

    Args:
        fleet: is not changed.
        request: names classes and traits that exist; others are found nowhere.
    """
    anchors = fleet.tops.copy()
    if request.root_required or request.root_forbidden:
        anchors &= fleet.passing(required=[(name,) for name in request.root_required], forbidden=request.root_forbidden)
    wants: list[Want] = []
    together: tuple[frozenset[str] | Comparison, ...] = ()
    for group in request.groups:
        if group.suffix or not (fleet.sharing or fleet.has_trees):
            found = [_from_one(fleet, group)]
        else:
            found = _from_several(fleet, group, anchors)
            if group.required or group.capabilities:
                together = (*group.required, *group.capabilities)
                _narrow_by_traits(fleet, group, found, anchors)
        for want in found:
            anchors &= reach(fleet, want)
        wants += found
        if not anchors.any():
            break
    if anchors.any():
        _narrow_by_totals(fleet, wants, anchors)
        if request.isolate:
            _narrow_by_count(fleet, wants, anchors)
    return Wanted(tuple(wants), together, anchors, fleet.shape)


def reach(fleet: Fleet, want: Want) -> Mask:
    """Returns by place whether it is the root of a tree that can have a want met, by itself or by one that shares."""
    reached = fleet.roots_of(want.own)
    return reached | fleet.reached_by(want.shared) if want.shared else reached


def _from_one(fleet: Fleet, group: Group) -> Want:
    """Returns the want of a group that one provider meets as a whole."""
    if not group.resources and not group.required and not group.member_of:
        return Want(group.suffix, group.resources, np.zeros(len(fleet.here), dtype=np.bool_), frozenset())
    own = fleet.passing(
        required=group.required,
        forbidden=group.forbidden,
        member_of=group.member_of,
        forbidden_aggregates=group.forbidden_aggregates,
    )
    for comparison in group.capabilities:
        own &= fleet.meeting(comparison)
    for name, amount in group.resources.items():
        own &= fleet.fitting(name, amount)
    if group.in_tree is not None:
        in_tree = fleet.in_tree(group.in_tree)
        if group.resources:
            own &= in_tree
        elif not in_tree.any():
            own[:] = False
    return Want(group.suffix, group.resources, own, frozenset(place for place in fleet.sharing if own[place]))


def _from_several(fleet: Fleet, group: Group, anchors: Mask) -> list[Want]:
    """Returns the wants of a group that several providers may meet, one for each class; narrows the anchors."""
    passing = fleet.passing(forbidden=group.forbidden)
    sharing = np.zeros(len(passing), dtype=np.bool_)
    sharing[list(fleet.sharing)] = group.in_tree is None
    sharing &= passing
    if group.in_tree is not None:
        passing &= fleet.in_tree(group.in_tree)
    if group.member_of:
        inside = fleet.passing(member_of=group.member_of)
        passing &= inside | inside[fleet.roots]
        sharing &= inside
    if group.forbidden_aggregates:
        outside = fleet.passing(forbidden_aggregates=group.forbidden_aggregates)
        passing &= outside
        sharing &= outside
        # The root of a tree speaks for all of it, for those that share with it as well.
        anchors &= outside
    wants = []
    for name, amount in group.resources.items():
        fitting = fleet.fitting(name, amount)
        shared = frozenset(np.flatnonzero(sharing & fitting).tolist())
        wants.append(Want(group.suffix, {name: amount}, passing & fitting, shared))
    return wants


def _narrow_by_traits(fleet: Fleet, group: Group, wants: list[Want], anchors: Mask) -> None:
    """Leaves out anchors where no provider that could be used has what the group's providers need to have."""
    own = np.logical_or.reduce([want.own for want in wants])
    shared = frozenset[int]().union(*(want.shared for want in wants))
    masks = [fleet.passing(required=[names]) for names in group.required]
    for having in (*masks, *map(fleet.meeting, group.capabilities)):
        use = Want(group.suffix, {}, own & having, frozenset(place for place in shared if having[place]))
        anchors &= reach(fleet, use)


def _narrow_by_totals(fleet: Fleet, wants: list[Want], anchors: Mask) -> None:
    """Leaves out anchors whose trees have less of a class altogether than all wants of it ask for."""
    for name in {name for want in wants for name in want.amounts}:
        asking = [want for want in wants if name in want.amounts]
        amounts = [want.amounts[name] for want in asking]
        if len(amounts) > 1:
            most = fleet.most(name)
            least = min(amounts)
            anchors &= _summed(fleet, asking, most) >= sum(amounts)
            # What is left of a provider that is less than the smallest of them is of no use to any.
            anchors &= _summed(fleet, asking, most // least) >= len(amounts)


def _narrow_by_count(fleet: Fleet, wants: list[Want], anchors: Mask) -> None:
    """Leaves out anchors whose trees have fewer providers than groups that have to come from different ones."""
    apart = [want for want in wants if want.suffix]
    if len(apart) > 1:
        anchors &= _summed(fleet, apart, np.ones(len(anchors), dtype=np.int32)) >= len(apart)


def _summed(fleet: Fleet, wants: list[Want], values: NDArray[np.int32]) -> NDArray[np.float64]:
    """Returns by root what the places that any of some wants can be met at have together; shared ones count for all."""
    usable = np.logical_or.reduce([want.own for want in wants])
    shared = frozenset[int]().union(*(want.shared for want in wants))
    places = np.flatnonzero(usable)
    summed = np.bincount(fleet.roots[places], weights=values[places], minlength=len(usable)).astype(np.float64)
    if shared:
        summed += values[list(shared)].sum()
    return summed
