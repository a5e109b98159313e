"""A server that takes tokens of Keystone: what its commands say about it, and what it does while Keystone is silent.

Keystone is a small server in this process; ``tests/conformance/placement`` has a real one.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.servers import Server, end, start, tenet
from tests.unit.placement.keystones import PASSWORD, LocalKeystone, drop, password_file, token_document
from tests.unit.placement.world import in_loop

TIMEOUT_S = 25.0


def settings(folder: Path, url: str, **more: str) -> dict[str, str]:
    file = password_file(folder)
    file.chmod(0o644)
    given = {"AUTH_URL": url, "PASSWORD_FILE": str(file), "CACHE_S": "0", "TIMEOUT_S": str(TIMEOUT_S), **more}
    return {f"TENET_KEYSTONE_{name}": value for name, value in given.items()}


def answered(server: Server, path: str, token: str = "") -> tuple[int, str, Mapping[str, str]]:
    context = ssl.create_default_context(cafile=server.exports["AWS_CA_BUNDLE"])
    request = urllib.request.Request(f"{server.endpoint}{path}", headers={"x-auth-token": token})
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as told:
            return told.status, told.read().decode(), dict(told.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


async def ask(server: Server, path: str, token: str = "") -> tuple[int, str, Mapping[str, str]]:
    return await asyncio.to_thread(answered, server, path, token)


async def check_silence(local: LocalKeystone, server: Server) -> None:
    """While Keystone says nothing, tables and access keys do not notice."""
    has_begun, is_over = asyncio.Event(), asyncio.Event()

    async def hold(_method: str, _path: str, _headers: dict[str, str]) -> None:
        has_begun.set()
        await is_over.wait()

    local.says = hold
    waiting = [asyncio.ensure_future(ask(server, "/placement/traits", "good")) for _ in range(3)]
    await has_begun.wait()
    client = server.client()
    assert (await asyncio.to_thread(client.list_tables))["TableNames"] == []
    key = f"{server.exports['AWS_ACCESS_KEY_ID']}:{server.exports['AWS_SECRET_ACCESS_KEY']}"
    assert (await ask(server, "/placement/resource_providers", key))[0] == 200
    assert not any(one.done() for one in waiting)
    is_over.set()
    # Traits came with version 1.6, which nobody asks for here; whose request it is, was known.
    assert [status for status, _, _ in await asyncio.gather(*waiting)] == [404] * 3


async def check_death(local: LocalKeystone, server: Server) -> None:
    """Whom Keystone is not there for is told so, and let in a moment after it is back."""
    local.says = drop
    for _ in range(2):
        status, text, _ = await ask(server, "/placement/resource_providers", "good")
        assert (status, "does not answer" in text) == (503, True)
    local.says = None
    await asyncio.sleep(1.1)
    assert (await ask(server, "/placement/resource_providers", "good"))[0] == 200


@in_loop
async def test_a_silent_keystone_holds_nobody_else(tmp_path: Path) -> None:
    async with LocalKeystone() as local:
        local.tokens["good"] = token_document("admin")
        server = await asyncio.to_thread(start, tmp_path / "data", environment=settings(tmp_path, local.url))
        try:
            assert (await ask(server, "/placement/resource_providers", "good"))[0] == 200
            status, _, headers = await ask(server, "/placement/resource_providers", "bad")
            assert (status, headers["www-authenticate"]) == (401, f'Keystone uri="{local.url}"')
            await check_silence(local, server)
            await check_death(local, server)
            _, metrics, _ = await ask(server, "/metrics")
            assert 'tenet_placement_tokens_asked_total{outcome="refused"} 1.0' in metrics
        finally:
            await asyncio.to_thread(end, server)
        log = server.log.read_text(encoding="utf-8")
        assert "Keystone does not validate tokens" in log
        assert not any(secret in log for secret in (PASSWORD, "own-1"))


def test_mistakes_are_told_before_a_start(tmp_path: Path) -> None:
    given = settings(tmp_path, "http://keystone.example.org:5000", PASSWORD_FILE=str(tmp_path / "nothing"))
    checked = tenet("config", "check", **given)
    assert checked.returncode != 0
    assert "`keystone.plaintext`" in checked.stderr
    assert "`keystone.password_file`" in checked.stderr
    assert tenet("config", "check", **settings(tmp_path, "https://keystone.example.org:5000")).returncode == 0


def test_the_doctor_shows_no_password(tmp_path: Path) -> None:
    given = settings(tmp_path, "https://keystone.example.org:5000")
    archive = tmp_path / "doctor.tar.gz"
    done = tenet("doctor", "--data", str(tmp_path / "data"), "--output", str(archive), **given)
    assert f"chmod 600 {tmp_path / 'password'}" in done.stdout
    with tarfile.open(archive) as opened:
        files = {member.name: opened.extractfile(member) for member in opened.getmembers()}
        texts = {name.rpartition("/")[2]: file.read().decode() for name, file in files.items() if file is not None}
    shown = json.loads(texts["settings.json"])
    assert shown["keystone.password_file"]["value"] == str(tmp_path / "password")
    assert not any(PASSWORD in text for text in texts.values())
