"""Allocation candidates, and the JSON documents that tell of them.

What a document looks like depends on the microversion: allocations are a list before 1.12 and an object since; traits
stand in the summaries from 1.17, all resource classes and not only those that were asked for from 1.27, parents and
roots from 1.29, and which group is met by which providers (``mappings``) from 1.34.

Source: the Placement API reference, "List allocation candidates", and the microversion history.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import orjson
from msgspec import Struct

from tenet.placement.model import Provider
from tenet.placement.rules.candidate_requests import CandidateRequest
from tenet.placement.rules.standard_names import trait_rank

_AS_OBJECT: Final = 12
_TRAITS: Final = 17
_ALL_CLASSES: Final = 27
_TREES: Final = 29
_MAPPINGS: Final = 34
#: About so much of a document is handed on at a time.
PIECE_BYTES: Final = 64 * 1024


class Candidate(Struct, frozen=True):
    """One way to meet a request.

    Args:
        allocations: amounts by provider uuid and resource class, as a client would claim them.
        mappings: by suffix of a group, the uuids of the providers that meet it.
        roots: uuids of the roots of the trees that it takes from.
    """

    allocations: Mapping[str, Mapping[str, int]]
    mappings: Mapping[str, tuple[str, ...]]
    roots: frozenset[str]


def write_answer(
    candidates: Iterable[Candidate | None],
    request: CandidateRequest,
    version: int,
    tree: Callable[[str], Iterable[Provider]],
) -> Iterator[bytes]:
    """Writes the document of some candidates in pieces, as they are found.

    What is kept meanwhile is the names of the trees, or before 1.29 of the providers, that candidates take from.

    Args:
        candidates: those that the answer has, not more than the request's limit; None: there is none yet.
        request: what they were found for.
        version: the microversion's minor number.
        tree: returns the providers of a tree by the uuid of its root.

    Yields:
        A piece of about ``PIECE_BYTES``; the last one may be shorter, and those are empty between which nothing was
        found.
    """
    roots: dict[str, None] = {}
    taken: set[str] = set()
    piece = bytearray(b'{"allocation_requests":[')
    is_first = True
    for candidate in candidates:
        if candidate is None:
            yield b""
            continue
        if not is_first:
            piece += b","
        is_first = False
        piece += orjson.dumps(candidate_told(candidate, version))
        roots.update(dict.fromkeys(sorted(candidate.roots)))
        if request.one_per_tree:
            taken.update(candidate.allocations)
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    piece += b'],"provider_summaries":{'
    is_first = True
    for provider in (provider for root in roots for provider in tree(root)):
        # Whoever does not know of trees is told of the providers in his candidates alone.
        if request.one_per_tree and provider.uuid not in taken:
            continue
        if not is_first:
            piece += b","
        is_first = False
        piece += orjson.dumps(provider.uuid) + b":" + _written(provider_told(provider, request, version))
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    piece += b"}}"
    yield bytes(piece)


def candidate_told(candidate: Candidate, version: int) -> dict[str, Any]:
    """Returns a candidate as a document of a microversion has it.

    Args:
        candidate: what is told.
        version: the microversion's minor number.
    """
    if version < _AS_OBJECT:
        return {
            "allocations": [
                {"resource_provider": {"uuid": uuid}, "resources": resources}
                for uuid, resources in candidate.allocations.items()
            ]
        }
    told: dict[str, Any] = {
        "allocations": {uuid: {"resources": resources} for uuid, resources in candidate.allocations.items()}
    }
    if version >= _MAPPINGS:
        told["mappings"] = candidate.mappings
    return told


def provider_told(provider: Provider, request: CandidateRequest, version: int) -> dict[str, Any]:
    """Returns the summary of a provider.

    Args:
        provider: as it is now.
        request: whose classes are told of before 1.27.
        version: the microversion's minor number.
    """
    asked = {name for group in request.groups for name in group.resources}
    told: dict[str, Any] = {
        "resources": {
            name: {"capacity": inventory.capacity, "used": provider.used.get(name, 0)}
            for name, inventory in provider.inventories.items()
            if version >= _ALL_CLASSES or name in asked
        }
    }
    if version >= _TRAITS:
        told["traits"] = sorted(provider.traits, key=trait_rank)
    if version >= _TREES:
        told["parent_provider_uuid"] = provider.parent
        told["root_provider_uuid"] = provider.root
    return told


def _written(document: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(document)
    except TypeError:
        # A capacity of more than 64 bits: totals have 31, but ratios have no bound that matters.
        return json.dumps(document).encode()
