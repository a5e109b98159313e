"""What the tests of the rules share: looking at a result and a refusal alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from tenet.tables.errors import TablesError

Result = TypeVar("Result")


def refusal_of(call: Callable[[], object]) -> str:
    """Returns the message with which a call refuses; fails where it does not."""
    with pytest.raises(TablesError) as caught:
        call()
    return caught.value.message


def outcome_of(call: Callable[[], Result]) -> tuple[Result | None, str]:
    """Returns what a call gives and an empty text, or None and the message with which it refuses."""
    try:
        return call(), ""
    except TablesError as error:
        return None, error.message
