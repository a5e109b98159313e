"""Tokens of a real Keystone: the ``openstack`` command logs in there, and finds Tenet in the catalog.

Part of the full rounds: the Keystone takes half a minute to be made, and its packages a while to be fetched.
"""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conformance.placement.identities import (
    ADMIN_PASSWORD,
    USER_PASSWORD,
    Command,
    Identity,
    identity_running,
    settings_for,
)
from tests.conformance.placement.novas import Nova
from tests.rounds import LONG
from tests.servers import Server, running

CACHE_S = 2.0
NOVA_CONFIGURATION = """
[placement]
auth_type = password
auth_url = {url}
username = nova
password = {password}
project_name = service
user_domain_name = Default
project_domain_name = Default
region_name = RegionOne
cafile = {authority}
"""
HOST, INSTANCE = str(uuid4()), str(uuid4())


def answered(server: Server, path: str, token: str) -> tuple[int, str, Mapping[str, str]]:
    """Asks placement with a token; returns status, text and headers."""
    request = urllib.request.Request(
        f"{server.endpoint}/placement{path}",
        headers={"x-auth-token": token, "openstack-api-version": "placement 1.39"},
    )
    context = ssl.create_default_context(cafile=server.exports["AWS_CA_BUNDLE"])
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as told:
            return told.status, told.read().decode(), dict(told.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def check_administrator(admin: Command, endpoint: str) -> None:
    """The two commands of the documents put Tenet into the catalog; then it is administered by its entry there."""
    admin.told("service create --name placement placement")
    admin.told(f"endpoint create --region RegionOne placement public {endpoint}/placement")
    made = admin.told(f"resource provider create rack-1 --uuid {HOST}")
    assert (made["uuid"], made["name"]) == (HOST, "rack-1")
    admin.told(f"resource provider inventory set {HOST} --resource VCPU=8 --resource MEMORY_MB=4096")
    assert [one["name"] for one in admin.told("resource provider list")] == ["rack-1"]


def check_allocation(admin: Command, project: str) -> None:
    owner = f"--project-id {project} --user-id somebody --consumer-type INSTANCE"
    admin.told(f"resource provider allocation set {INSTANCE} --allocation rp={HOST},VCPU=2,MEMORY_MB=512 {owner}")
    (shown,) = admin.told(f"resource provider allocation show {INSTANCE}")
    assert shown["resources"] == {"VCPU": 2, "MEMORY_MB": 512}
    assert {one["resource_class"]: one["usage"] for one in admin.told(f"resource provider usage show {HOST}")} == {
        "VCPU": 2,
        "MEMORY_MB": 512,
    }


def check_nova(identity: Identity, server: Server, folder: Path) -> None:
    """Nova logs in as it does everywhere, finds Tenet in the catalog, reports hosts, and places instances."""
    identity.make_user("nova", USER_PASSWORD, "service", "service")
    authority = server.exports["AWS_CA_BUNDLE"]
    told = {"url": f"{identity.url}/v3", "password": USER_PASSWORD, "authority": authority}
    nova = Nova(folder, NOVA_CONFIGURATION.format(**told))
    nova.run("fleet", 2)
    (result,) = nova.results({"schedule": nova.begin("schedule", "schedule", 1, 20)}).values()
    assert result["done"]["boot"]


def check_reader(reader: Command, own: str, other: str) -> None:
    """A reader sees what his own project uses, and nothing else; he changes nothing."""
    used = {one["resource_class"]: one["usage"] for one in reader.told(f"resource usage show {own}")}
    assert used == {"INSTANCE": {"VCPU": 2, "MEMORY_MB": 512, "consumer_count": 1}}
    for line in (
        f"resource usage show {other}",
        "resource provider list",
        f"resource provider show {HOST}",
        "resource provider create mine",
        f"resource provider allocation delete {INSTANCE}",
        f"resource provider delete {HOST}",
    ):
        assert "403" in reader.refused(line), line


def check_tokens(identity: Identity, server: Server) -> None:
    good = identity.token("admin", ADMIN_PASSWORD, "admin")
    assert answered(server, "/resource_providers", good)[0] == 200
    # One of the whole installation has the role, but is of no project, which all policies ask for.
    system = identity.token("admin", ADMIN_PASSWORD, None)
    assert answered(server, "/resource_providers", system)[0] == 403
    for token in ("", "nonsense", good[:-4] + "AAAA"):
        status, _, headers = answered(server, "/resource_providers", token)
        assert (status, headers["www-authenticate"]) == (401, f'Keystone uri="{identity.url}/v3"')
    identity.revoke(good)
    revoked_s = time.monotonic()
    while answered(server, "/resource_providers", good)[0] == 200:
        assert time.monotonic() - revoked_s < CACHE_S + 1
        time.sleep(0.05)
    assert answered(server, "/resource_providers", good)[0] == 401


def check_outage(identity: Identity, server: Server) -> None:
    """Without Keystone nobody is let in, access keys are, and nothing waits for long."""
    unknown = identity.token("admin", ADMIN_PASSWORD, "admin")
    identity.process.kill()
    identity.process.wait()
    began_s = time.monotonic()
    for _ in range(3):
        status, text, _ = answered(server, "/resource_providers", unknown)
        assert status == 503
        assert "Keystone, which knows whose token this is, does not answer" in text
    assert time.monotonic() - began_s < 5
    key = f"{server.exports['AWS_ACCESS_KEY_ID']}:{server.exports['AWS_SECRET_ACCESS_KEY']}"
    status, text, _ = answered(server, "/resource_providers", key)
    assert status == 200
    assert "rack-1" in [one["name"] for one in json.loads(text)["resource_providers"]]
    lines = [json.loads(line) for line in server.log.read_text(encoding="utf-8").splitlines()]
    assert any(line.get("event") == "Keystone does not validate tokens" for line in lines)
    assert unknown not in server.log.read_text(encoding="utf-8")


if LONG:

    @pytest.mark.time_limit_s(1_200)
    def test_tokens_of_a_real_keystone_open_what_their_roles_open(tmp_path: Path) -> None:
        with identity_running(tmp_path / "keystone") as identity:
            identity.make_user("ada", USER_PASSWORD, "web", "reader")
            settings = settings_for(identity, tmp_path, CACHE_S=str(CACHE_S))
            with running(tmp_path / "data", environment=settings) as server:
                admin = Command(identity, server, "admin", ADMIN_PASSWORD, "admin")
                reader = Command(identity, server, "ada", USER_PASSWORD, "web")
                check_administrator(admin, server.endpoint)
                check_allocation(admin, identity.project_id("web"))
                check_reader(reader, identity.project_id("web"), identity.project_id("admin"))
                check_nova(identity, server, tmp_path)
                check_tokens(identity, server)
                check_outage(identity, server)
