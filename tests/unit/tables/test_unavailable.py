"""What Tenet does not have is said by name; everything else of the API has a route."""

from __future__ import annotations

from typing import Any

import pytest

from tenet.tables.api import ROUTES, STREAM_ROUTES
from tenet.tables.errors import NotImplementedHere
from tenet.tables.rules import unavailable
from tenet.tables.rules.shape_model import REQUESTS
from tenet.tables.rules.unavailable import refuse_unavailable


def test_every_operation_of_the_api_is_either_routed_or_listed() -> None:
    assert {*ROUTES, *STREAM_ROUTES} | unavailable.OPERATIONS == set(REQUESTS)
    assert not set(ROUTES) & unavailable.OPERATIONS


def test_every_listed_parameter_exists() -> None:
    for operation, names in unavailable.PARAMETERS.items():
        assert names <= set(REQUESTS[operation].members), operation
        assert operation in ROUTES


def test_what_has_no_effect_can_be_asked_for() -> None:
    for operation in ("CreateTable", "UpdateTable"):
        assert set(unavailable.WITHOUT_EFFECT) <= set(REQUESTS[operation].members)
        assert not set(unavailable.WITHOUT_EFFECT) & unavailable.PARAMETERS[operation]


@pytest.mark.parametrize(
    ("operation", "request_", "name"),
    [
        ("CreateTable", {"ResourcePolicy": "{}"}, "ResourcePolicy"),
    ],
)
def test_a_parameter_is_refused_by_name(operation: str, request_: dict[str, Any], name: str) -> None:
    with pytest.raises(NotImplementedHere) as caught:
        refuse_unavailable(operation, request_)
    assert caught.value.message == (
        f"The parameter {name} of {operation} is not available in this version of Tenet;"
        " see docs/compat/tables.md in its source"
    )


def test_parameters_that_ask_for_nothing_pass() -> None:
    refuse_unavailable("CreateTable", {"VectorIndexes": []})
    refuse_unavailable("UpdateTable", {"ReplicaUpdates": []})
