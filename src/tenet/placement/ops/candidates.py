"""Lists allocation candidates from the read model."""

from __future__ import annotations

from msgspec.structs import replace

from tenet.placement.context import NOW, Answer, Asked, Context
from tenet.placement.fleet.candidates import search
from tenet.placement.ops.listing import known_names
from tenet.placement.ops.pieces import written
from tenet.placement.rules.candidate_answers import write_answer
from tenet.placement.rules.candidate_requests import read_candidate_request


async def list_allocation_candidates(context: Context, asked: Asked) -> Answer:
    """Lists ways to claim what is asked for: ``GET /allocation_candidates``. From the read model.

    Others have their turn while it searches and writes; a long answer leaves while it is found.

    Raises:
        BadRequest: the request is malformed, or names a class or trait that does not exist.
        Unavailable: the search did not end in time.
    """
    classes, traits = await known_names(context, asked)
    request = read_candidate_request(asked.query_string, asked.version, classes=classes, traits=traits)
    fleet = context.keeper.fleet
    pieces = write_answer(search(fleet, request), request, asked.version, fleet.tree)
    return replace(await written(context, asked, pieces), modified_ms=NOW)
