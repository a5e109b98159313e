"""Allocation candidates of a fleet, found as they are taken.

What is decided for all providers at once (``wants``) leaves the trees that are worth a look; they are searched one
after another (``trees``) as long as somebody takes what is found, so that a limit bounds the cost, and an answer
without one needs no memory for what it has already given.

A candidate belongs to the tree of a provider that does not share, and is found there alone. One that takes from sharing
providers only would be found again in every tree that they share with; those come last, and are looked for once for
each different set of providers that share with a tree.

A fleet that changes meanwhile is looked at anew, and the search goes on behind the tree that it has come to.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from tenet.placement.fleet.fleet import Fleet
from tenet.placement.fleet.sets import Mask
from tenet.placement.fleet.trees import Effort, search_tree
from tenet.placement.fleet.wants import Want, Wanted, decide, reach
from tenet.placement.rules.candidate_answers import Candidate
from tenet.placement.rules.candidate_requests import CandidateRequest

Places: TypeAlias = NDArray[np.intp]
#: So many places at a time become numbers of Python's, at first and at most: most searches end soon.
_LISTED: Final = 4
_LISTED_MAX: Final = 256
#: After so many trees others may have their turn: some milliseconds.
_TREES_A_TURN: Final = 32


def find(fleet: Fleet, request: CandidateRequest, *, turn: int = 0) -> Iterator[Candidate]:
    """Returns the candidates that a fleet has for a request, each once, up to the request's limit.

    Args:
        fleet: may change between one candidate and the next, not while one is looked for.
        request: names classes and traits that exist.
        turn: at which of the trees that are worth a look to begin, any number of 0 and more: with different ones,
            requests with a limit get different answers, and with random ones each tree is as likely as any other.
    """
    found = (candidate for candidate in search(fleet, request, turn=turn) if candidate is not None)
    return islice(found, request.limit)


def search(
    fleet: Fleet, request: CandidateRequest, *, turn: int = 0, is_again: bool = False
) -> Iterator[Candidate | None]:
    """Searches as ``find`` does, and lets go now and then where nothing is found; up to the request's limit.

    Args:
        fleet: may change between what is yielded.
        request: as for ``find``.
        turn: as for ``find``.
        is_again: whether the same object is searched for often, so that what is decided for it is worth to be kept.

    Yields:
        Candidates, and None where there was none for some milliseconds.
    """
    left = request.limit
    for candidate in _find(fleet, request, turn, is_again=is_again):
        yield candidate
        if candidate is not None and left is not None:
            left -= 1
            if not left:
                return


def _find(fleet: Fleet, request: CandidateRequest, turn: int, *, is_again: bool) -> Iterator[Candidate | None]:
    effort = Effort()
    wanted, found = _decided(fleet, request) if is_again else _decide(fleet, request)
    number = turn % max(1, len(found))
    start = int(found[number]) if number else 0
    first, then = found[number:], found[:number]
    while len(first) or len(then):
        for number, anchor in enumerate(chain(_listed(first), _listed(then))):
            yield from search_tree(fleet, wanted, request, anchor, is_pure=False, effort=effort)
            if number % _TREES_A_TURN == _TREES_A_TURN - 1:
                yield None
            if fleet.shape != wanted.shape:
                wanted, found = _decide(fleet, request)
                first, then = _behind(found, anchor, start)
                break
        else:
            break
    if fleet.sharing:
        yield from _find_shared(fleet, request, effort)


def _decide(fleet: Fleet, request: CandidateRequest) -> tuple[Wanted, Places]:
    """Returns what a request wants of a fleet, and the anchors that have something to give that is not shared."""
    wanted = decide(fleet, request)
    return wanted, np.flatnonzero(_with_local(fleet, wanted))


def _decided(fleet: Fleet, request: CandidateRequest) -> tuple[Wanted, Places]:
    """Returns the same, decided once for as long as nothing changes that it hangs on."""
    kept = fleet.decided(request)
    if kept is not None:
        return cast("tuple[Wanted, Places]", kept)
    decision = _decide(fleet, request)
    amounts = [one for group in request.groups for one in group.resources.items()]
    # Of a class that several groups ask for, it is also looked at how much there is altogether.
    if len(amounts) == len(dict(amounts)):
        fleet.keep_decision(request, decision, amounts)
    return decision


def _behind(anchors: Places, anchor: int, start: int) -> tuple[Places, Places]:
    """Returns what comes after an anchor among some in ascending order, where the search began at a place, all around.

    Returns:
        What comes first and what comes then.
    """
    if anchor < start:
        return anchors[(anchors > anchor) & (anchors < start)], anchors[:0]
    return anchors[anchors > anchor], anchors[anchors < start]


def _listed(anchors: Places) -> Iterator[int]:
    """Returns places one by one, read a few at a time."""
    first, size = 0, _LISTED
    while first < len(anchors):
        yield from anchors[first : first + size].tolist()
        first += size
        size = min(2 * size, _LISTED_MAX)


def _with_local(fleet: Fleet, wanted: Wanted) -> Mask:
    """Returns the anchors whose trees have something to give that is not shared."""
    if not fleet.sharing or not wanted.wants:
        return wanted.anchors
    own = np.logical_or.reduce([want.own for want in wanted.wants])
    own[list(fleet.sharing)] = False
    return wanted.anchors & fleet.roots_of(own)


def _find_shared(fleet: Fleet, request: CandidateRequest, effort: Effort) -> Iterator[Candidate | None]:
    """Returns the candidates that take from sharing providers alone."""
    given: set[frozenset[tuple[str, object]]] = set()
    while True:
        wanted = decide(fleet, request)
        for anchor in _one_of_each(fleet, wanted):
            for candidate in search_tree(fleet, wanted, request, anchor, is_pure=True, effort=effort):
                name = None if candidate is None else _name_of(candidate)
                if name is None or name in given:
                    yield None
                    continue
                given.add(name)
                yield candidate
            yield None
            if fleet.shape != wanted.shape:
                break
        else:
            return


def _name_of(candidate: Candidate) -> frozenset[tuple[str, object]]:
    """Returns what two candidates have alike where they are the same."""
    amounts = {(uuid, frozenset(taken.items())) for uuid, taken in candidate.allocations.items()}
    mappings = {("/" + suffix, frozenset(met)) for suffix, met in candidate.mappings.items()}
    return frozenset(amounts | mappings)


def _one_of_each(fleet: Fleet, wanted: Wanted) -> list[int]:
    """Returns anchors that every want can be met at by sharing providers, one at least for each different choice."""
    sharing = np.zeros(len(fleet.here), dtype=np.bool_)
    sharing[list(fleet.sharing)] = True
    anchors = wanted.anchors.copy()
    for want in wanted.wants:
        anchors &= reach(fleet, Want(want.suffix, want.amounts, want.own & sharing, want.shared))
        if not anchors.any():
            return []
    # Trees with sharing providers of their own may use these by other rules; there are few.
    with_own = fleet.roots_of(sharing) & anchors
    return [*np.flatnonzero(with_own).tolist(), *fleet.differing(anchors & ~with_own)]
