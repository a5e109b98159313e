"""The administrative API: for the root key alone, by path and method, with errors that say what is wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tenet.app.admin import AdminService
from tenet.app.administration import CannotBackUp
from tenet.app.messages import (
    PREFIX,
    AuthorityMade,
    AuthorityWanted,
    BackupWanted,
    CopyNamed,
    CopyShown,
    Diagnosis,
    Figures,
    FileNamed,
    InvitationMade,
    InvitationShown,
    InvitationWanted,
    KeyMade,
    KeyShown,
    KeysSealed,
    KeyWanted,
    NodeShown,
    RootKeyMade,
    RootKeyWanted,
    SettingsTaken,
)
from tenet.wire.door import Principal, Request
from tenet.wire.errors import Throttled

ROOT = Principal("AKIAROOT", "000000000000", is_root=True)

COPY = CopyShown("sqlite:/a", "sqlite:/b", "running", "copying", "s", 2, 1, 30, 400, 5, 6, 0, 70)


class Asked:
    """An administration that notes what it was asked for; the real ones are tested with real servers."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    async def create_key(self, wanted: KeyWanted) -> KeyMade:
        self.calls.append(wanted)
        return KeyMade("AKIA", "secret", wanted.tenant)

    async def list_keys(self) -> list[KeyShown]:
        self.calls.append("list")
        return []

    async def revoke_key(self, access_key_id: str) -> None:
        self.calls.append(("revoke", access_key_id))

    async def rotate_master_key(self) -> KeysSealed:
        self.calls.append("rotate")
        return KeysSealed(3)

    async def rotate_root_key(self, wanted: RootKeyWanted) -> RootKeyMade:
        self.calls.append(wanted)
        return RootKeyMade("AKIANEW", [])

    async def reload_settings(self) -> SettingsTaken:
        self.calls.append("reload")
        return SettingsTaken(["logs.level"], [], "https://127.0.0.1:1")

    async def invite_node(self, wanted: InvitationWanted) -> InvitationMade:
        self.calls.append(wanted)
        return InvitationMade("token", ["127.0.0.1:1"])

    async def list_invitations(self) -> list[InvitationShown]:
        self.calls.append("invitations")
        return [InvitationShown("0123456789abcdef", 7, 8, "one")]

    async def withdraw_invitation(self, invitation_id: str) -> None:
        self.calls.append(("withdraw", invitation_id))

    async def rotate_authority(self, wanted: AuthorityWanted) -> AuthorityMade:
        self.calls.append(wanted)
        return AuthorityMade("00", [], 0, 0)

    async def list_nodes(self) -> list[NodeShown]:
        self.calls.append("nodes")
        return [NodeShown("one", "serving", "127.0.0.1:1", 7, is_connected=True)]

    async def drain_node(self, node: str, *, is_over: bool) -> None:
        self.calls.append(("drain", node, is_over))

    async def remove_node(self, node: str) -> None:
        self.calls.append(("remove", node))

    async def backup(self, wanted: BackupWanted) -> Figures:
        raise CannotBackUp(f"{wanted.path} exists")

    async def restore(self, named: FileNamed) -> Figures:
        self.calls.append(("restore", named.path))
        return Figures(named.path, 1)

    async def begin_copy(self, named: CopyNamed) -> CopyShown:
        self.calls.append(("copy", named.source, named.target))
        return COPY

    async def show_copy(self) -> CopyShown:
        self.calls.append("show copy")
        return COPY

    async def end_copy(self, named: CopyNamed) -> None:
        self.calls.append(("end copy", named.source, named.target))

    async def diagnosis(self) -> Diagnosis:
        return Diagnosis(server={}, settings={}, store={}, requests=[], limits={}, certificate={})


def ask(method: str, path: str, body: bytes = b"", who: Principal = ROOT) -> tuple[int, Any, Asked]:
    asked = Asked()
    request = Request(method, PREFIX + path, "", {}, body, principal=who)
    answer = asyncio.run(AdminService(asked).answer(request))
    return answer.status, msgspec.json.decode(answer.body), asked


def test_a_key_is_made_as_wanted() -> None:
    status, answer, asked = ask("POST", "/keys", b'{"tenant":"000000000007","access_key_id":"one"}')
    assert status == 200
    assert answer == {"access_key_id": "AKIA", "secret_access_key": "secret", "tenant": "000000000007"}
    assert asked.calls == [KeyWanted("000000000007", "one")]


def test_without_a_body_everything_is_drawn() -> None:
    assert ask("POST", "/keys")[2].calls == [KeyWanted()]


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [
        ("GET", "/keys", "list"),
        ("GET", "/keys/", "list"),
        ("DELETE", "/keys/a_b", ("revoke", "a_b")),
        ("DELETE", "/keys/a%2Fb", ("revoke", "a/b")),
        ("POST", "/master-key/rotate", "rotate"),
        ("POST", "/root-key/rotate", RootKeyWanted()),
        ("POST", "/settings/reload", "reload"),
        ("POST", "/invitations", InvitationWanted(3_600)),
        ("GET", "/invitations", "invitations"),
        ("DELETE", "/invitations/0123456789abcdef", ("withdraw", "0123456789abcdef")),
        ("POST", "/authority/rotate", AuthorityWanted(3_600, cuts_off=False)),
        ("GET", "/nodes", "nodes"),
        ("DELETE", "/nodes/one", ("remove", "one")),
        ("PUT", "/drains/one", ("drain", "one", False)),
        ("DELETE", "/drains/one", ("drain", "one", True)),
        ("GET", "/copy", "show copy"),
    ],
)
def test_paths_lead_to_what_they_name(method: str, path: str, call: object) -> None:
    status, _, asked = ask(method, path)
    assert (status, asked.calls) == (200, [call])


def test_a_file_is_named_by_its_absolute_path() -> None:
    assert ask("POST", "/restore", b'{"path":"/tmp/b"}')[2].calls == [("restore", "/tmp/b")]
    status, answer, asked = ask("POST", "/restore", b'{"path":"b"}')
    assert (status, answer["code"], asked.calls) == (400, "InvalidBody", [])


def test_a_copy_is_named_by_both_of_its_stores() -> None:
    body = b'{"source":"sqlite:/a","target":"sqlite:/b"}'
    status, answer, asked = ask("PUT", "/copy", body)
    assert (status, answer["phase"], asked.calls) == (200, "copying", [("copy", "sqlite:/a", "sqlite:/b")])
    assert ask("DELETE", "/copy", body)[2].calls == [("end copy", "sqlite:/a", "sqlite:/b")]
    status, answer, asked = ask("PUT", "/copy", b'{"source":"sqlite:/a"}')
    assert (status, answer["code"], asked.calls) == (400, "InvalidBody", [])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nothing", b"", 404, "NotFound"),
        ("GET", "", b"", 404, "NotFound"),
        ("PUT", "/keys", b"", 405, "MethodNotAllowed"),
        ("POST", "/keys", b"{", 400, "InvalidBody"),
        ("POST", "/keys", b"\xff", 400, "InvalidBody"),
        ("POST", "/keys", b'{"tenant":"7"}', 400, "InvalidBody"),
        ("POST", "/keys", b'{"owner":"7"}', 400, "InvalidBody"),
        ("POST", "/keys", b'{"secret_access_key":"short"}', 400, "InvalidBody"),
        ("POST", "/backup", b'{"path":"/tmp/b"}', 400, "CannotBackUp"),
        ("POST", "/backup", b"", 400, "InvalidBody"),
        ("POST", "/invitations", b'{"expires_s":9}', 400, "InvalidBody"),
        ("POST", "/nodes/one", b"", 405, "MethodNotAllowed"),
    ],
)
def test_what_cannot_be_done_is_named(method: str, path: str, body: bytes, status: int, code: str) -> None:
    answered, answer, asked = ask(method, path, body)
    assert (answered, answer["code"]) == (status, code)
    assert answer["message"]
    assert asked.calls == []


@pytest.mark.parametrize("who", [Principal("AKIA", "000000000000"), Principal("", "")])
def test_only_the_root_key_may_administer(who: Principal) -> None:
    status, answer, asked = ask("GET", "/keys", who=who)
    assert (status, answer["code"], asked.calls) == (400, "AccessDeniedException", [])


def test_errors_of_the_edge_become_the_same_form() -> None:
    answer = AdminService(Asked()).refuse(Request("GET", PREFIX, "", {}, b""), Throttled("Slow down."))
    assert (answer.status, answer.error_code) == (400, "ThrottlingException")
    assert msgspec.json.decode(answer.body) == {"code": "ThrottlingException", "message": "Slow down."}
