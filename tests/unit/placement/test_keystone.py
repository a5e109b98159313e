"""Keystone is asked about a token once, within bounds, and nobody is let in whom it does not know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tenet.base.clock import ManualClock, SystemClock
from tenet.base.ids import SystemIds
from tenet.placement import keystone as keystone_module
from tenet.placement.api import Account, Keys, KeysAndTokens, Keystone, KeystoneSettings, Meanings
from tenet.placement.errors import Unauthorized, Unavailable
from tenet.placement.outgoing import ANSWER_BYTES_MAX, NotAnswered, ask
from tenet.placement.rules.policy import Sender
from tenet.wire.door import Request, Response
from tenet.wire.tls import LocalAuthority, server_context
from tests.unit.placement.keystones import (
    LocalKeystone,
    Says,
    always,
    answer,
    drop,
    password_file,
    silence,
    to_validations,
    token_document,
)
from tests.unit.placement.test_edge import KEYS, headers_of
from tests.unit.placement.world import World, in_loop, memory

MEANINGS = Meanings(frozenset({"admin"}), frozenset({"service"}), frozenset({"reader"}))
ADA = Sender("user", "project", frozenset({"reader"}))


class Pair:
    """Keystone, and what asks it."""

    def __init__(self, local: LocalKeystone, asking: Keystone, clock: ManualClock) -> None:
        self.local = local
        self.asking = asking
        self.clock = clock

    async def trouble(self, token: str = "good") -> str:
        """Shows a token that nobody can be asked about; returns what is said."""
        with pytest.raises(Unavailable) as raised:
            await self.asking.sender(token)
        return raised.value.message

    @property
    def outcomes(self) -> dict[str, float]:
        return {outcome: value for (outcome,), value in self.asking.measures()[0].values.items()}  # type: ignore[union-attr]


@asynccontextmanager
async def pair(
    folder: Path, *, password: str | None = None, ca_file: Path | None = None, **more: Any
) -> AsyncIterator[Pair]:
    """A Keystone that knows a token of a reader, and what asks it with a clock of its own."""
    tls = more.pop("tls", None)
    async with LocalKeystone(tls) as local:
        local.tokens["good"] = token_document("reader")
        clock = ManualClock(SystemClock().wall_ms())
        settings = KeystoneSettings(
            auth_url=more.pop("auth_url", local.url),
            account=Account("placement", "Default", "service", "Default"),
            password_file=password_file(folder) if password is None else password_file(folder, password),
            ca_file=ca_file,
            cache_s=more.pop("cache_s", 60.0),
            timeout_s=more.pop("timeout_s", 5.0),
            meanings=MEANINGS,
        )
        asking = Keystone(settings, clock=clock)
        try:
            yield Pair(local, asking, clock)
        finally:
            await asking.close()


# ---- asking ----------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_good_token_is_asked_about_once(tmp_path: Path) -> None:
    async with pair(tmp_path) as found:
        for _ in range(3):
            assert await found.asking.sender("good") == ADA
        assert found.local.counts == {"POST": 1, "GET": 1}
        assert found.outcomes == {"valid": 1, "refused": 0, "failed": 0}
        user = found.local.bodies[0]["auth"]["identity"]["password"]["user"]
        assert (user["name"], user["domain"]) == ("placement", {"name": "Default"})


@in_loop
async def test_what_is_shown_many_times_at_once_is_asked_about_once(tmp_path: Path) -> None:
    async with pair(tmp_path) as found:
        senders = await asyncio.gather(*(found.asking.sender("good") for _ in range(100)))
        assert senders == [ADA] * 100
        assert found.local.counts == {"POST": 1, "GET": 1}


@in_loop
async def test_who_goes_away_does_not_take_the_answer_from_others(tmp_path: Path) -> None:
    async with pair(tmp_path) as found:
        first = asyncio.ensure_future(found.asking.sender("good"))
        others = [asyncio.ensure_future(found.asking.sender("good")) for _ in range(3)]
        await asyncio.sleep(0)
        first.cancel()
        assert await asyncio.gather(*others) == [ADA] * 3
        with pytest.raises(asyncio.CancelledError):
            await first


@in_loop
async def test_a_revoked_token_is_believed_for_as_long_as_is_set(tmp_path: Path) -> None:
    async with pair(tmp_path, cache_s=30.0) as found:
        await found.asking.sender("good")
        del found.local.tokens["good"]
        found.clock.advance_ms(29_999)
        assert await found.asking.sender("good") == ADA
        found.clock.advance_ms(1)
        with pytest.raises(Unauthorized):
            await found.asking.sender("good")


@in_loop
async def test_no_token_outlives_itself(tmp_path: Path) -> None:
    async with pair(tmp_path, cache_s=3600.0) as found:
        found.local.tokens["short"] = token_document("reader", lasts_s=20)
        found.local.tokens["over"] = token_document("reader", lasts_s=-20)
        await found.asking.sender("short")
        found.clock.advance_ms(21_000)
        with capture_logs() as lines:
            for token in ("short", "over"):
                with pytest.raises(Unauthorized):
                    await found.asking.sender(token)
        assert [line["event"] for line in lines] == [
            "a token is expired by the clock of this machine, but not by that of Keystone"
        ] * 2


@in_loop
async def test_no_time_asks_for_every_request(tmp_path: Path) -> None:
    async with pair(tmp_path, cache_s=0.0) as found:
        for _ in range(3):
            await found.asking.sender("good")
        with pytest.raises(Unauthorized):
            await found.asking.sender("bad")
        assert found.local.counts["GET"] == 4


@in_loop
async def test_a_bad_token_is_remembered_for_a_moment(tmp_path: Path) -> None:
    async with pair(tmp_path) as found:
        for _ in range(3):
            with pytest.raises(Unauthorized):
                await found.asking.sender("new")
        assert found.local.counts["GET"] == 1
        found.local.tokens["new"] = token_document("reader")
        found.clock.advance_ms(5_000)
        assert await found.asking.sender("new") == ADA
        assert found.outcomes == {"valid": 1, "refused": 1, "failed": 0}


@in_loop
async def test_what_cannot_be_a_token_is_not_asked_about(tmp_path: Path) -> None:
    async with pair(tmp_path) as found:
        for token in ("", "two words", "x" * 10_000, "line\nend", "tökén"):
            with pytest.raises(Unauthorized):
                await found.asking.sender(token)
        assert not found.local.counts


@in_loop
async def test_so_many_tokens_are_remembered_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystone_module, "KNOWN_MAX", 2)
    monkeypatch.setattr(keystone_module, "REFUSED_MAX", 2)
    async with pair(tmp_path) as found:
        for name in ("one", "two", "three"):
            found.local.tokens[name] = token_document("reader")
        for name in ("one", "two", "one", "three", "one"):
            await found.asking.sender(name)
        assert found.local.counts["GET"] == 3
        await found.asking.sender("two")
        assert found.local.counts["GET"] == 4
        for name in ("bad", "worse", "worst", "bad"):
            with pytest.raises(Unauthorized):
                await found.asking.sender(name)
        assert found.local.counts["GET"] == 8
        # Those that are good are still known: bad ones push out bad ones alone.
        await found.asking.sender("two")
        assert found.local.counts["GET"] == 8


# ---- Tenet's own token -----------------------------------------------------------------------------------------------


@in_loop
async def test_the_own_token_is_renewed_before_it_ends(tmp_path: Path) -> None:
    async with pair(tmp_path, cache_s=0.0) as found:
        found.local.own_lasts_s = 100.0
        await found.asking.sender("good")
        found.clock.advance_ms(39_000)
        await found.asking.sender("good")
        assert found.local.counts["POST"] == 1
        found.clock.advance_ms(2_000)
        await found.asking.sender("good")
        assert found.local.counts["POST"] == 2


@in_loop
async def test_an_own_token_that_was_revoked_is_made_anew(tmp_path: Path) -> None:
    async with pair(tmp_path, cache_s=0.0) as found:
        await found.asking.sender("good")
        found.local.own.clear()
        senders = await asyncio.gather(*(found.asking.sender(name) for name in ("good", "good")))
        assert senders == [ADA, ADA]
        assert found.local.counts["POST"] == 2


@in_loop
async def test_a_password_is_changed_without_a_restart(tmp_path: Path) -> None:
    async with pair(tmp_path, password="wrong") as found:
        with capture_logs() as lines:
            assert "does not answer" in await found.trouble()
        assert lines[0]["reason"] == "the password of the user placement is refused"
        password_file(tmp_path)
        found.clock.advance_ms(10_000)
        assert await found.asking.sender("good") == ADA
        assert found.outcomes == {"valid": 1, "refused": 0, "failed": 1}


@in_loop
async def test_a_wrong_password_is_not_tried_until_the_user_is_locked_out(tmp_path: Path) -> None:
    async with pair(tmp_path, password="wrong") as found:
        await asyncio.gather(*(found.trouble(f"token-{number}") for number in range(20)))
        found.clock.advance_ms(9_999)
        await found.trouble()
        assert found.local.counts == {"POST": 1}
        found.clock.advance_ms(1)
        await found.trouble()
        assert found.local.counts == {"POST": 2}


@in_loop
async def test_a_password_that_cannot_be_read_lets_nobody_in(tmp_path: Path) -> None:
    async with pair(tmp_path) as found:
        (tmp_path / "password").unlink()
        with capture_logs() as lines:
            await found.trouble()
        assert lines[0]["reason"].startswith("the password cannot be read:")
        assert not found.local.counts


# ---- a Keystone that is ill ------------------------------------------------------------------------------------------


def chunked(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


ILL: dict[str, Says] = {
    "fails": always(answer(500, b"<html>")),
    "is overloaded": to_validations(answer(503)),
    "throttles": to_validations(answer(429)),
    "forbids": to_validations(answer(403)),
    "does not know the own token, however new": to_validations(answer(401)),
    "sends elsewhere": to_validations(answer(302, b"", Location="http://localhost:1/")),
    "is something else": always(answer(200, b"<html>It works!</html>")),
    "answers something else": to_validations(answer(200, {"token": {"roles": []}})),
    "gives no token": always(answer(201, token_document("service"))),
    "gives a token that is none": always(answer(201, token_document("service"), X_Subject_Token="two words")),
    "speaks no HTTP": always(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "ends in the middle": to_validations(answer(200, b"{", Content_Length="1000")),
    "ends before it began": drop,
    "changes the protocol": to_validations(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "says too much": to_validations(answer(200, b" " * (ANSWER_BYTES_MAX + 1))),
    "says too much of itself": to_validations(b"HTTP/1.1 200 OK\r\n" + b"X-More: more\r\n" * 100_000),
}


@pytest.mark.parametrize("kind", ILL)
@in_loop
async def test_nobody_is_let_in_where_keystone_is_ill(kind: str, tmp_path: Path) -> None:
    async with pair(tmp_path) as found:
        found.local.says = ILL[kind]
        with capture_logs() as lines:
            assert await found.trouble() == keystone_module._DOWN
        assert (lines[0]["event"], lines[0]["log_level"]) == ("Keystone does not validate tokens", "error")
        assert found.outcomes == {"valid": 0, "refused": 0, "failed": 1}
        found.local.says = None
        found.clock.advance_ms(1_000)
        assert await found.asking.sender("good") == ADA


@pytest.mark.parametrize("status", [400, 404])
@in_loop
async def test_a_token_that_keystone_takes_for_none_is_refused(status: int, tmp_path: Path) -> None:
    async with pair(tmp_path) as found:
        found.local.says = to_validations(answer(status))
        with pytest.raises(Unauthorized):
            await found.asking.sender("odd")


@in_loop
async def test_silence_is_waited_for_so_long_and_then_no_more_for_a_moment(tmp_path: Path) -> None:
    async with pair(tmp_path, timeout_s=0.2) as found:
        await found.asking.sender("good")
        found.local.says = silence
        asked = found.local.counts["GET"]
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        ticking = asyncio.ensure_future(ticks(began_s + 0.15))
        await asyncio.gather(*(found.trouble("other") for _ in range(20)))
        assert 0.15 < loop.time() - began_s < 2
        assert await ticking >= 5
        for _ in range(20):
            await found.trouble("other")
        assert found.local.counts["GET"] == asked + 1
        # Whom Keystone has told of before is let in meanwhile.
        assert await found.asking.sender("good") == ADA
        found.clock.advance_ms(60_000)
        await found.trouble("good")


async def ticks(until_s: float) -> int:
    """Counts how often the loop turns to somebody who asks for every 10 ms."""
    count, loop = 0, asyncio.get_running_loop()
    while loop.time() < until_s:
        await asyncio.sleep(0.01)
        count += 1
    return count


@in_loop
async def test_a_keystone_that_is_not_there_is_known_at_once(tmp_path: Path) -> None:
    async with pair(tmp_path) as found:
        found.local._server.close()
        assert "Nothing was done; try again" in await found.trouble()


@in_loop
async def test_so_many_wait_for_keystone_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystone_module, "ASKING_MAX", 3)
    monkeypatch.setattr(keystone_module, "WAITING_MAX", 5)
    async with pair(tmp_path, timeout_s=0.5) as found:
        await found.asking.sender("good")
        found.local.says = silence
        waiting = [asyncio.ensure_future(found.trouble(f"token-{number % 3}")) for number in range(4)]
        await asyncio.sleep(0.05)
        assert "Too many tokens" in await found.trouble("token-3")
        waiting.append(asyncio.ensure_future(found.trouble("token-0")))
        await asyncio.sleep(0)
        assert "Too many tokens" in await found.trouble("token-0")
        assert await found.asking.sender("good") == ADA
        assert set(await asyncio.gather(*waiting)) == {keystone_module._DOWN}
        assert not found.asking._asking
        assert found.asking._waiting == 0


@in_loop
async def test_closing_ends_what_is_asked(tmp_path: Path) -> None:
    async with pair(tmp_path) as found:
        found.local.says = silence
        waiting = asyncio.ensure_future(found.trouble())
        await asyncio.sleep(0.05)
        await found.asking.close()
        assert await waiting == keystone_module._DOWN


# ---- how it is reached -----------------------------------------------------------------------------------------------


def authority_in(folder: Path) -> LocalAuthority:
    folder.mkdir()
    authority = LocalAuthority(folder, clock=SystemClock(), ids=SystemIds())
    authority.ensure(["localhost"])
    return authority


@in_loop
async def test_keystone_is_believed_with_a_certificate_of_the_authority_alone(tmp_path: Path) -> None:
    one, other = (authority_in(tmp_path / name) for name in ("one", "other"))
    context = server_context(one.files.certificate, one.files.private_key)
    async with pair(tmp_path, tls=context, ca_file=one.files.authority) as found:
        assert await found.asking.sender("good") == ADA
    async with pair(tmp_path, tls=context, ca_file=other.files.authority) as found:
        with capture_logs() as lines:
            await found.trouble()
        assert "CERTIFICATE_VERIFY_FAILED" in lines[0]["reason"]
        assert not found.local.counts
    async with pair(tmp_path, tls=context) as found:
        await found.trouble()


@in_loop
async def test_authorities_that_are_none_let_nobody_in_until_they_are(tmp_path: Path) -> None:
    one = authority_in(tmp_path / "one")
    file = tmp_path / "ca.pem"
    file.write_text("no certificate", encoding="utf-8")
    context = server_context(one.files.certificate, one.files.private_key)
    async with pair(tmp_path, tls=context, ca_file=file) as found:
        with capture_logs() as lines:
            await found.trouble()
        assert f"the authorities in {file} cannot be read" in lines[0]["reason"]
        file.write_bytes(one.files.authority.read_bytes())
        assert await found.asking.sender("good") == ADA


@pytest.mark.parametrize(
    "told",
    [
        answer(200, b"body"),
        chunked(b"body"),
        b"HTTP/1.0 200 OK\r\n\r\nbody",
    ],
)
@in_loop
async def test_answers_may_have_any_frame(told: bytes) -> None:
    async with LocalKeystone() as local:
        local.says = always(told)
        found = await ask("GET", local.url, {}, tls=None)
        assert (found.status, found.body) == (200, b"body")


@in_loop
async def test_where_nobody_listens_is_no_answer() -> None:
    with pytest.raises(NotAnswered):
        await ask("GET", "http://127.0.0.1:1/", {}, tls=None)


# ---- at the edge -----------------------------------------------------------------------------------------------------


@in_loop
async def test_roles_of_keystone_open_what_they_open_in_the_reference(tmp_path: Path) -> None:
    async with pair(tmp_path) as found:
        senders = KeysAndTokens(Keys(KEYS.get), found.asking, "https://keystone:5000")
        found.local.tokens["admin"] = token_document("admin", project="other")
        found.local.tokens["service"] = token_document("service", project="other")
        found.local.tokens["member"] = token_document("member")
        found.local.tokens["system"] = token_document("admin", project=None, system={"all": True})
        async with World(memory(), authenticator=senders) as world:

            async def ask_for(path: str, token: str) -> Response:
                return await world.send("GET", path, x_auth_token=token)

            for token in ("admin", "service", "AKIAROOT:secret"):
                assert (await ask_for("/resource_providers", token)).status == 200
            for token in ("good", "member", "system", "AKIATENANT:secret-of-tenant"):
                assert (await ask_for("/resource_providers", token)).status == 403
            assert (await ask_for("/usages?project_id=project", "good")).status == 200
            assert (await ask_for("/usages?project_id=other", "good")).status == 403
            assert (await ask_for("/usages?project_id=project", "member")).status == 403
            made = await world.send("POST", "/resource_providers", {"name": "host"}, x_auth_token="good")
            assert made.status == 403


@in_loop
async def test_who_shows_no_good_token_is_told_where_there_are_some(tmp_path: Path) -> None:
    async with pair(tmp_path) as found:
        senders = KeysAndTokens(Keys(KEYS.get), found.asking, "https://keystone:5000")
        async with World(memory(), authenticator=senders, is_loaded=False) as world:
            for headers in ({"x_auth_token": "bad"}, {"x_auth_token": ""}, {"x_auth_token": "AKIAROOT:wrong"}):
                refused = await world.send("GET", "/resource_providers", **headers)
                assert refused.status == 401
                assert headers_of(refused)["www-authenticate"] == 'Keystone uri="https://keystone:5000"'
            # A token of Keystone is none of OAuth: it has a header of its own.
            assert (await world.send("GET", "/traits", x_auth_token="", authorization="Bearer good")).status == 401
            assert (await world.send("GET", "/", x_auth_token="bad")).status == 200
            found.local.says = always(answer(500))
            assert keystone_module._DOWN in await world.refused("GET", "/traits", status=503, x_auth_token="new")


@in_loop
async def test_a_request_has_its_token_looked_at_once(tmp_path: Path) -> None:
    async with pair(tmp_path, cache_s=0.0) as found:
        found.local.tokens["admin"] = token_document("admin")
        senders = KeysAndTokens(Keys(KEYS.get), found.asking, "https://keystone:5000")
        async with World(memory(), authenticator=senders) as world:
            headers = {"x-auth-token": "admin", "openstack-api-version": "placement 1.39"}
            request = Request("GET", "/placement/traits", "", headers, b"", request_id="A" * 52)
            authenticate = world.service.mount.authenticate
            assert authenticate is not None
            request.principal = await authenticate(request)
            assert (request.principal.access_key_id, request.principal.tenant) == ("user", "project")
            assert not request.principal.is_root
            assert (await world.service.answer(request)).status == 200
            assert found.local.counts["GET"] == 1
