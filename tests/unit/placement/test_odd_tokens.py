"""Whatever is answered in the place of a token is one that says who somebody is, or none; and nothing in between."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.placement.rules.policy import Policy
from tenet.placement.rules.tokens import Meanings, NoToken, read_token
from tests.unit.placement.keystones import token_document

MEANINGS = Meanings(frozenset({"admin", "root"}), frozenset({"service"}), frozenset({"reader"}))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**20) | st.sampled_from(["", "admin", "2026-11-22", "9999-99-99"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "name"]), inner, max_size=2),
    max_leaves=5,
)
_MEMBERS = ("user", "project", "roles", "expires_at", "system", "domain")


@given(st.dictionaries(st.sampled_from(_MEMBERS), _JSON))
def test_a_token_with_anything_in_it_is_one_or_none(changes: dict[str, Any]) -> None:
    document = token_document()
    document["token"].update(changes)
    try:
        token = read_token(json.dumps(document).encode(), MEANINGS)
    except NoToken:
        return
    assert isinstance(token.sender.user, str)
    assert token.sender.user
    assert isinstance(token.sender.project, str)
    assert token.sender.roles <= {"admin", "service", "reader"}
    assert type(token.expires_ms) is int
    if not token.sender.project:
        assert not Policy().allows("project_reader", token.sender, "anybody")


@given(st.binary(max_size=40) | _JSON.map(lambda one: json.dumps(one).encode()))
def test_anything_else_is_none(body: bytes) -> None:
    with pytest.raises(NoToken):
        read_token(body, MEANINGS)


@given(st.lists(st.sampled_from(["Admin", "ROOT", "member", "Reader", "service", "admins"])))
def test_roles_count_by_their_names_in_any_case_and_order(names: list[str]) -> None:
    document = token_document()
    document["token"]["roles"] = [{"id": f"r{number}", "name": name} for number, name in enumerate(names)]
    found = read_token(json.dumps(document).encode(), MEANINGS).sender.roles
    meant = {"admin": "admin", "root": "admin", "reader": "reader", "service": "service"}
    assert found == {meant[name.lower()] for name in names if name.lower() in meant}
