"""The Keystone that the settings name: what contradicts, which files cannot be used, and what becomes of the rest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tenet.app.configuration import ConfigurationError, load
from tenet.app.data_directory import DataDirectory
from tenet.app.doctor import _modes
from tenet.app.identity import open_keystone
from tenet.app.identity_settings import KeystoneOptions
from tenet.app.machine import mistakes_in
from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.placement.errors import Unauthorized
from tenet.placement.rules.policy import Sender
from tenet.wire.tls import LocalAuthority
from tests.unit.placement.keystones import LocalKeystone, password_file, token_document
from tests.unit.placement.world import in_loop

URL = "https://keystone.example.org:5000/v3"


def problems_of(**given: str) -> tuple[str, ...]:
    """Returns what is wrong with settings, given as variables of the environment."""
    with pytest.raises(ConfigurationError) as caught:
        load(environment={f"TENET_{name}": value for name, value in given.items()}, look=mistakes_in)
    return caught.value.problems


def options(folder: Path, **more: str) -> KeystoneOptions:
    """Returns settings with a Keystone and a password."""
    given = {"AUTH_URL": URL, "PASSWORD_FILE": str(password_file(folder)), **more}
    environment = {f"TENET_KEYSTONE_{name}": value for name, value in given.items()}
    return load(environment=environment, look=mistakes_in).settings.keystone


def test_without_a_url_there_is_none() -> None:
    assert open_keystone(KeystoneOptions(), clock=SystemClock()) is None


@pytest.mark.parametrize(
    "url",
    [
        "keystone.example.org",
        "ftp://keystone",
        "https://",
        "https://user:secret@keystone",
        "https://keystone/v3?x=1",
        "https://keystone /",
        "https://keystone/#v3",
        "https://keystöne",
        "https://[keystone]",
    ],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    (problem,) = problems_of(KEYSTONE_AUTH_URL=url)
    assert "`keystone.auth_url`" in problem
    assert "as in `https://keystone.example.org:5000/v3`" in problem


@pytest.mark.parametrize("url", ["https://keystone:99999/v3", "https://[:::1]/v3"])
def test_a_url_that_only_looks_like_one_is_refused(url: str, tmp_path: Path) -> None:
    problems = problems_of(KEYSTONE_AUTH_URL=url, KEYSTONE_PASSWORD_FILE=str(password_file(tmp_path)))
    assert [problem.partition(",")[0] for problem in problems] == [f"`keystone.auth_url` is '{url}'"]


def test_a_public_url_ends_no_header() -> None:
    (problem,) = problems_of(KEYSTONE_PUBLIC_URL='https://keystone/"evil')
    assert "`keystone.public_url`" in problem


@pytest.mark.parametrize("name", ["password_file", "ca_file", "public_url"])
def test_what_belongs_to_no_keystone_is_told(name: str) -> None:
    (problem,) = problems_of(**{f"KEYSTONE_{name.upper()}": URL})
    assert problem == f"`keystone.{name}` is set and `keystone.auth_url` is not: no Keystone would be asked."


def test_a_keystone_needs_a_password() -> None:
    (problem,) = problems_of(KEYSTONE_AUTH_URL=URL, KEYSTONE_USERNAME="tenet")
    assert "name the file with the password of the user tenet" in problem


def test_nobody_is_asked_where_everybody_is_believed(tmp_path: Path) -> None:
    (problem,) = problems_of(
        KEYSTONE_AUTH_URL=URL,
        KEYSTONE_PASSWORD_FILE=str(password_file(tmp_path)),
        PLACEMENT_AUTHENTICATION="none",
    )
    assert "no Keystone asked" in problem


def test_http_is_spoken_on_this_machine_alone(tmp_path: Path) -> None:
    password = str(password_file(tmp_path))
    (problem,) = problems_of(KEYSTONE_AUTH_URL="http://keystone:5000", KEYSTONE_PASSWORD_FILE=password)
    assert "Take its https URL, or set `keystone.plaintext`" in problem
    for url in ("http://127.0.0.1:5000/v3", "http://[::1]:5000", "http://localhost/identity"):
        assert open_keystone(options(tmp_path, AUTH_URL=url), clock=SystemClock()) is not None
    with capture_logs() as lines:
        found = options(tmp_path, AUTH_URL="http://keystone:5000", PLAINTEXT="true")
        assert open_keystone(found, clock=SystemClock()) is not None
    assert [(line["log_level"], line["url"]) for line in lines] == [("warning", "http://keystone:5000")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file or directory"),
        (b"", "password in one line"),
        (b"\xff", "utf-8"),
        (b"a\nb\n", "in one line"),
    ],
)
def test_a_password_that_cannot_be_used_is_told_and_never_shown(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    (problem,) = problems_of(KEYSTONE_AUTH_URL=URL, KEYSTONE_PASSWORD_FILE=str(file))
    assert problem.startswith(f"`keystone.password_file` is '{file}', which ")
    assert says in problem
    # What becomes of the file later stops no server.
    assert open_keystone(KeystoneOptions(auth_url=URL, password_file=str(file)), clock=SystemClock()) is not None


def test_authorities_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    password = str(password_file(tmp_path))
    for name in ("nothing.pem", "password"):
        (problem,) = problems_of(
            KEYSTONE_AUTH_URL=URL, KEYSTONE_PASSWORD_FILE=password, KEYSTONE_CA_FILE=str(tmp_path / name)
        )
        assert "which is no PEM file with certificates" in problem


def test_the_bounds_of_times_are_told() -> None:
    (problem,) = problems_of(KEYSTONE_CACHE_S="86400")
    assert "number of seconds, 0 to 3,600" in problem
    assert "0.1 to 30" in problems_of(KEYSTONE_TIMEOUT_S="0")[0]


def test_the_doctor_looks_who_may_read_the_password(tmp_path: Path) -> None:
    found = load(flags={"data": str(tmp_path / "data")}).settings
    file = password_file(tmp_path)
    file.chmod(0o640)
    assert _modes(DataDirectory(found), str(file))[str(file)] == 0o640
    assert not _modes(DataDirectory(found), "")


@in_loop
async def test_what_is_set_is_what_is_asked(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path, clock=SystemClock(), ids=SystemIds())
    await asyncio.to_thread(authority.ensure, ["localhost"])
    from tenet.wire.tls import server_context

    async with LocalKeystone(server_context(authority.files.certificate, authority.files.private_key)) as local:
        local.tokens["good"] = token_document("Cloud_Admin", "reader")
        found = options(
            tmp_path,
            AUTH_URL=f"{local.url}/v3",
            CA_FILE=str(authority.files.authority),
            USERNAME="tenet",
            USER_DOMAIN="services",
            PROJECT="cloud",
            PROJECT_DOMAIN="projects",
            ADMIN_ROLES="cloud_admin, Operator",
            READER_ROLES="",
        )
        keystone = open_keystone(found, clock=SystemClock())
        assert keystone is not None
        assert await keystone.sender("good") == Sender("user", "project", frozenset({"admin"}))
        with pytest.raises(Unauthorized):
            await keystone.sender("bad")
        auth = local.bodies[0]["auth"]
        user = auth["identity"]["password"]["user"]
        assert (user["name"], user["domain"]["name"]) == ("tenet", "services")
        assert auth["scope"]["project"] == {"name": "cloud", "domain": {"name": "projects"}}
        await keystone.close()
