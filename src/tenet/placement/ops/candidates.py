"""Lists allocation candidates from the read model."""

from __future__ import annotations

import asyncio

from tenet.placement.context import NOW, Answer, Asked, Context
from tenet.placement.fleet.candidates import find
from tenet.placement.ops.listing import known_names
from tenet.placement.rules.candidate_answers import write_answer
from tenet.placement.rules.candidate_requests import read_candidate_request


async def list_allocation_candidates(context: Context, asked: Asked) -> Answer:
    """Lists ways to claim what is asked for: ``GET /allocation_candidates``. From the read model.

    A long answer is written in pieces, between which other requests have their turn.

    Raises:
        BadRequest: the request is malformed, or names a class or trait that does not exist.
    """
    classes, traits = await known_names(context, asked)
    request = read_candidate_request(asked.query_string, asked.version, classes=classes, traits=traits)
    fleet = context.keeper.fleet
    pieces: list[bytes] = []
    for piece in write_answer(find(fleet, request), request, asked.version, fleet.tree):
        if pieces:
            await asyncio.sleep(0)
        pieces.append(piece)
    return Answer(200, body=b"".join(pieces), modified_ms=NOW)
