"""What is said to Keystone, and what its documents say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tenet.placement.rules.policy import Policy, Sender
from tenet.placement.rules.tokens import (
    TOKEN_CHARS_MAX,
    Account,
    Meanings,
    NoToken,
    Token,
    authentication,
    may_be_token,
    read_token,
    tokens_url,
)
from tests.unit.placement.keystones import token_document

USUAL = Meanings(frozenset({"admin"}), frozenset({"service"}), frozenset({"reader"}))


def read(document: Any, meanings: Meanings = USUAL) -> Token:
    return read_token(json.dumps(document).encode(), meanings)


@pytest.mark.parametrize(
    "url", ["https://keystone:5000", "https://keystone:5000/", "https://keystone:5000/v3", "https://keystone:5000/v3/"]
)
def test_the_version_may_stand_in_the_url(url: str) -> None:
    assert tokens_url(url) == "https://keystone:5000/v3/auth/tokens"
    assert tokens_url("http://cloud/identity") == "http://cloud/identity/v3/auth/tokens"


def test_authentication_names_user_project_and_their_domains() -> None:
    told = json.loads(authentication(Account("placement", "Users", "service", "Projects"), 'pass"wörd'))
    user = {"name": "placement", "domain": {"name": "Users"}, "password": 'pass"wörd'}
    assert told["auth"]["identity"] == {"methods": ["password"], "password": {"user": user}}
    assert told["auth"]["scope"] == {"project": {"name": "service", "domain": {"name": "Projects"}}}


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("gAAAAABn_-Zx9=", True),
        ("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiI.x-y_z", True),
        ("x" * TOKEN_CHARS_MAX, True),
        ("x" * (TOKEN_CHARS_MAX + 1), False),
        ("", False),
        ("two words", False),
        ("AKIA:secret", False),
        ("line\r\nX-Roles: admin", False),
        ("tökén", False),
        ("\x00", False),
    ],
)
def test_only_what_may_be_a_token_is_asked_about(text: str, may: bool) -> None:
    assert may_be_token(text) == may


def test_a_token_of_a_project_says_who_and_as_what() -> None:
    document = token_document("Reader", "member", "ADMIN", expires_at="2026-11-22T15:04:05.250000Z")
    assert read(document) == Token(Sender("user", "project", frozenset({"admin", "reader"})), 1_795_359_845_250)


def test_a_time_without_a_zone_is_in_utc() -> None:
    zones = [read(token_document(expires_at=f"2026-11-22T15:04:05{zone}")).expires_ms for zone in ("", "Z", "+00:00")]
    assert zones == [1_795_359_845_000] * 3
    assert read(token_document(expires_at="2026-11-22T16:04:05+01:00")).expires_ms == zones[0]


@pytest.mark.parametrize("scope", [{"system": {"all": True}}, {"domain": {"id": "default", "name": "Default"}}])
def test_a_token_of_the_system_or_a_domain_may_do_nothing(scope: dict[str, Any]) -> None:
    sender = read(token_document("admin", "service", "reader", project=None, **scope)).sender
    assert (sender.project, sender.is_system) == ("", True)
    for rule in ("admin_or_service", "service", "project_reader"):
        assert not Policy().allows(rule, sender, "project")


def test_a_token_without_a_scope_may_do_nothing() -> None:
    document = token_document(project=None)
    del document["token"]["roles"]
    sender = read(document).sender
    assert sender == Sender("user", "", frozenset())
    assert not Policy().allows("project_reader", sender, "")


def test_an_operator_says_which_roles_mean_what() -> None:
    own = Meanings(frozenset({"cloud_admin", "operator"}), frozenset(), frozenset({"member"}))
    assert read(token_document("admin", "service", "reader"), own).sender.roles == frozenset()
    assert read(token_document("Operator", "Member"), own).sender.roles == {"admin", "reader"}


@pytest.mark.parametrize(
    "spoil",
    [
        {"expires_at": "soon"},
        {"expires_at": None},
        {"expires_at": "99999-01-01T00:00:00Z"},
        {"user": None},
        {"user": {"name": "ada"}},
        {"user": {"id": 7}},
        {"user": {"id": ""}},
        {"user": [1]},
        {"project": {"name": "web"}},
        {"project": "web"},
        {"roles": [{"id": "x"}]},
        {"roles": ["admin"]},
        {"roles": 5},
        {"roles": [{"name": None}]},
    ],
)
def test_a_document_with_something_else_in_it_is_no_token(spoil: dict[str, Any]) -> None:
    document = token_document("admin")
    document["token"] |= spoil
    with pytest.raises(NoToken):
        read(document)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"token": null}', b'{"token": []}', b"<html>", b"\xff"])
def test_what_is_no_document_is_no_token(body: bytes) -> None:
    with pytest.raises(NoToken):
        read_token(body, USUAL)
