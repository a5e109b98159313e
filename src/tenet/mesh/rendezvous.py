"""Who does what, as every node works it out alone from the same list of nodes: rendezvous hashing.

Each pair of a thing and a node has a weight, and the nodes with the largest weights get the thing (Thaler and
Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998). A node that goes takes only its own things with
it. Where things are few, chance alone would load some nodes twice as much as others, so that `spread` bounds the load,
as Mirrokni, Thorup and Zadimoghaddam do for consistent hashing ("Consistent Hashing with Bounded Loads", 2018).

Nothing but its arguments decides: every node gets the same answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

_WEIGHT_BYTES = 8


def weight(thing: str, node: str) -> int:
    """Returns how much a node and a thing belong together, 0 to 2**64 - 1."""
    text = f"{len(thing)}:{thing}{node}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=_WEIGHT_BYTES).digest(), "big")


def ranked(thing: str, nodes: Collection[str]) -> list[str]:
    """Returns the nodes, the one that the thing belongs to most first."""
    return sorted(nodes, key=lambda node: (weight(thing, node), node), reverse=True)


def spread(candidates: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Returns the node that each thing is given to.

    No node gets more than its share of all things, rounded up, unless others may not have them.

    Args:
        candidates: for each thing, the nodes that may have it. A thing without any is left out of the result.
    """
    nodes = {node for may in candidates.values() for node in may}
    things = [thing for thing, may in candidates.items() if may]
    share = -(-len(things) // max(1, len(nodes)))
    load = dict.fromkeys(nodes, 0)
    given: dict[str, str] = {}
    # Those that few may have choose first, so that the others find room beside them.
    for thing in sorted(things, key=lambda thing: (len(candidates[thing]), thing)):
        order = ranked(thing, candidates[thing])
        free = [node for node in order if load[node] < share]
        given[thing] = free[0] if free else min(order, key=lambda node: load[node])
        load[given[thing]] += 1
    return given
