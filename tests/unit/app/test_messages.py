"""What is wrong with a key that a command asks for is said of the option that is wrong, and of no other."""

from __future__ import annotations

import pytest

from tenet.app.messages import KeyWanted, mistakes_in


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
