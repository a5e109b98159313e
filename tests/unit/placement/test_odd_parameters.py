"""Parameters of odd forms are refused by their name, and never taken for something else."""

from __future__ import annotations

import pytest

from tenet.placement.errors import BadRequest
from tenet.placement.rules.claim_lists import read_list
from tests.unit.placement.world import World, in_loop, memory

BAD, OK = 400, 200


@pytest.mark.parametrize("limit", ["0000010000", "0000001001", "00000000100000"])
def test_zeros_before_a_limit_do_not_hide_that_it_is_too_large(limit: str) -> None:
    with pytest.raises(BadRequest, match=f"'limit' is '{limit}'; it may be 1 to 1000"):
        read_list({"limit": limit})


def test_zeros_before_a_limit_do_not_make_it_too_small() -> None:
    assert read_list({"limit": "0000000000100"}).limit == 100


@in_loop
async def test_a_path_that_is_no_text_is_nobodys_quota() -> None:
    """Two different ids that are no UTF-8 would be the same project; a query with such an id is refused already."""
    async with World(memory()) as world:
        answers = [
            await world.send("PUT", "/v1/quotas/%ff", {"consumers": 1}),
            await world.send("GET", "/v1/quotas/%fe"),
        ]
        assert b'"limit":1' not in answers[1].body
        assert answers[0].status == BAD


@in_loop
async def test_a_list_of_a_project_whose_id_is_too_long_names_the_parameter() -> None:
    async with World(memory()) as world:
        for chars in (256, 5000):
            answer = await world.send("GET", f"/v1/claims?project_id={'p' * chars}")
            assert answer.status == BAD
            assert b"project_id" in answer.body
            assert b"Nothing was written" not in answer.body, "a list is no change"
