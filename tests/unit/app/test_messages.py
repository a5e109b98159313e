"""What is wrong with a key that a command asks for is said of the option that is wrong; nodes are shown as they are."""

from __future__ import annotations

import pytest

from tenet.app.administration import node_shown
from tenet.app.messages import KeyWanted, NodeShown, mistakes_in
from tenet.mesh.governing import NodeInfo
from tenet.mesh.records import State


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (KeyWanted(), []),
        (KeyWanted("123456789012", "abc", "12345678"), []),
        (KeyWanted("12"), ["--tenant is '12'; an account is 12 digits."]),
        (KeyWanted(access_key_id="a-b"), ["--id is 'a-b'; an access key id is 3 to 128 of A-Z, a-z, 0-9 and _."]),
        (KeyWanted(secret_access_key="x" * 129), ["--secret has 129 characters; a secret has 8 to 128."]),
        (
            KeyWanted("x" * 12, secret_access_key="hush"),
            [
                "--tenant is 'xxxxxxxxxxxx'; an account is 12 digits.",
                "--secret has 4 characters; a secret has 8 to 128.",
            ],
        ),
    ],
)
def test_each_mistake_is_said_of_its_option(wanted: KeyWanted, says: list[str]) -> None:
    assert mistakes_in(wanted) == says


@pytest.mark.parametrize(
    ("state", "is_there", "dead_since_ms", "is_connected", "shown"),
    [
        ("serving", True, 0, True, "serving"),
        ("draining", True, 0, False, "draining"),
        ("serving", False, 5, False, "dead"),
        ("draining", False, 5, None, "dead"),
        ("serving", False, 0, False, "off"),
        # Connected before it begins to work, and for as long as it takes to come back after an eviction.
        ("serving", False, 0, True, "serving"),
        ("serving", False, 5, True, "serving"),
        ("removed", False, 5, False, "removed"),
    ],
)
def test_a_node_that_is_not_there_is_not_listed_as_serving(
    state: State, is_there: bool, dead_since_ms: int, is_connected: bool | None, shown: str
) -> None:
    info = NodeInfo("n", state, "h:1", 3, is_there, dead_since_ms)
    expected = NodeShown("n", shown, "h:1", 3, is_connected, 5 if shown == "dead" else 0)
    assert node_shown(info, is_connected=is_connected) == expected
