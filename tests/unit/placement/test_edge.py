"""The protocol edge: versions, who may ask, types of bodies and answers, errors, and pages of other origins."""

from __future__ import annotations

import base64
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
import pytest

from tenet.base.clock import ManualClock
from tenet.base.errors import TenetError
from tenet.placement.api import Keys, KnownKey, Policy
from tenet.placement.errors import BadRequest, PlacementError, Unauthorized, VersionNotAcceptable
from tenet.placement.http import PlacementService
from tenet.placement.routes import ROUTES
from tenet.placement.rules.accepting import error_type, quality
from tenet.placement.rules.microversions import LATEST, read_version
from tenet.placement.rules.policy import Rule, Sender
from tenet.store.errors import OutcomeUnknown, StoreUnavailable
from tenet.wire.door import NOBODY, Principal, Request
from tenet.wire.errors import BodyTooLarge, Overloaded, Throttled
from tests.unit.placement.world import World, in_loop, memory, uuid_of

OK, CREATED, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 200, 201, 401, 403, 404
TENANT, ROOT = "1" * 12, "0" * 12
KEYS = {
    "AKIATENANT": KnownKey("secret-of-tenant", TENANT, is_root=False),
    "AKIAROOT": KnownKey("secret", ROOT, is_root=True),
}


def headers_of(response: Any) -> dict[str, str]:
    return dict(response.headers)


@pytest.mark.parametrize(
    ("header", "version"),
    [
        (None, 0),
        ("", 0),
        ("placement 1.7", 7),
        ("placement latest", LATEST),
        ("PLACEMENT 1.39", 39),
        ("compute 2.1, placement 1.3", 3),
        ("placement 1.3, placement 1.4", 4),
        ("compute 2.1", 0),
        ("placement", 0),
    ],
)
def test_the_microversion_is_the_last_one_for_the_service(header: str | None, version: int) -> None:
    assert read_version(header) == version


@pytest.mark.parametrize("text", ["1.40", "2.0", "0.9", "1.-1"])
def test_a_microversion_that_is_none_is_not_acceptable(text: str) -> None:
    with pytest.raises(VersionNotAcceptable, match=f"Unacceptable version header: {text}"):
        read_version(f"placement {text}")


@pytest.mark.parametrize("text", ["1", "new", "1.x", "1.2.3"])
def test_what_is_no_version_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest, match=f"Invalid microversion: invalid version string: {text}"):
        read_version(f"placement {text}")


@in_loop
async def test_a_version_that_does_not_exist_is_told_with_those_that_do() -> None:
    async with World(memory()) as world:
        error = (await world.ask("GET", "/resource_providers", version="1.99", status=406))["errors"][0]
        assert (error["min_version"], error["max_version"]) == ("1.0", "1.39")
        assert "code" not in error


@in_loop
async def test_answers_say_their_version_and_that_it_matters() -> None:
    async with World(memory()) as world:
        for path in ("/", "/nothing"):
            headers = headers_of(await world.send("GET", path, version="1.5"))
            assert headers["openstack-api-version"] == "placement 1.5"
            assert headers["vary"] == "openstack-api-version"
            assert headers["x-openstack-request-id"] == "req-01234567-89ab-cdef-0123-456789abcdef"


@in_loop
async def test_times_are_told_from_1_15_on() -> None:
    clock = ManualClock(1_700_000_000_000)
    async with World(memory(clock), clock=clock) as world:
        host = await world.provider(1)
        clock.advance_ms(60_000)
        later = headers_of(await world.send("GET", f"/resource_providers/{host}", version="1.15"))
        assert later["cache-control"] == "no-cache"
        assert parsedate_to_datetime(later["last-modified"]).timestamp() == 1_700_000_000
        now = headers_of(await world.send("GET", f"/resource_providers/{host}/usages", version="1.15"))
        assert parsedate_to_datetime(now["last-modified"]).timestamp() == 1_700_000_060
        earlier = headers_of(await world.send("GET", f"/resource_providers/{host}", version="1.14"))
        assert "last-modified" not in earlier
        assert "cache-control" not in earlier


@in_loop
async def test_places_are_told_with_the_host_that_was_asked() -> None:
    async with World(memory()) as world:
        made = await world.send("POST", "/resource_providers", {"name": "one", "uuid": uuid_of(1)}, version="1.0")
        assert made.status == CREATED
        assert made.body == b""
        assert headers_of(made)["location"] == f"https://cloud:8000/placement/resource_providers/{uuid_of(1)}"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/html", "text/html"),
        ("text/html;q=0.1, application/json", "application/json"),
        ("text/plain", "text/plain"),
    ],
)
def test_errors_are_told_in_the_type_that_is_taken(accept: str, kind: str) -> None:
    assert error_type(accept) == kind


def test_the_nearest_range_says_how_much_a_type_is_liked() -> None:
    accept = "text/*;q=0.5, text/html;q=0.2, */*;q=0.1"
    assert [quality(accept, kind) for kind in ("text/html", "text/plain", "application/json")] == [0.2, 0.5, 0.1]
    assert quality("text/html", "application/json") == 0
    assert quality("text/html;q=much", "text/html") == 0


@in_loop
async def test_errors_are_pages_and_texts_for_those_who_ask() -> None:
    async with World(memory()) as world:
        page = await world.send("GET", "/resource_providers/<b>", accept="text/html")
        assert page.content_type.startswith("text/html")
        assert b"<h1>404 Not Found</h1>" not in page.body  # a page that takes no JSON is refused before that
        assert b"<h1>406 Not Acceptable</h1>" in page.body
        text = await world.send("DELETE", "/resource_providers/none", accept="text/plain")
        assert text.body.startswith(b"404 Not Found\n\nThe resource could not be found.")


@in_loop
async def test_the_last_line_of_a_detail_says_what_is_wrong() -> None:
    """The ``openstack`` command shows nothing else."""
    async with World(memory()) as world:
        detail = await world.refused("POST", "/resource_providers", {"name": "one", "uuid": "<b>no</b>"}, status=400)
        explanation, _, told = detail.split("\n")
        assert explanation.startswith("The server could not comply with the request")
        assert told.startswith(" JSON does not validate: 'no' is not a 'uuid'  Failed validating 'format' in schema")
        assert told.endswith("'no'  ")


@in_loop
async def test_a_method_that_a_path_does_not_take_is_told_with_those_it_does() -> None:
    async with World(memory()) as world:
        response = await world.send("PATCH", "/resource_providers")
        assert response.status == 405
        assert headers_of(response)["allow"] == "GET, POST"
        detail = orjson.loads(response.body)["errors"][0]["detail"]
        assert detail.startswith("The method PATCH is not allowed for this resource.")


@pytest.mark.parametrize(
    ("method", "path", "before", "missing", "since"),
    [
        ("GET", "/traits", "1.5", 404, "1.6"),
        ("GET", "/resource_classes", "1.1", 404, "1.2"),
        ("GET", "/usages?project_id=p", "1.8", 404, "1.9"),
        ("GET", f"/resource_providers/{uuid_of(1)}/aggregates", "1.0", 404, "1.1"),
        ("DELETE", f"/resource_providers/{uuid_of(1)}/inventories", "1.4", 405, "1.5"),
        ("GET", "/allocation_candidates?resources=VCPU:1", "1.9", 404, "1.10"),
    ],
)
@in_loop
async def test_what_is_new_is_not_there_before(method: str, path: str, before: str, missing: int, since: str) -> None:
    async with World(memory()) as world:
        await world.provider(1)
        text = await world.refused(method, path, status=missing, version=before)
        assert f"It is there from microversion {since} on, and the request is of {before}, which the header" in text
        assert (await world.send(method, path, version=since)).status in {200, 204}


@in_loop
async def test_a_body_has_to_be_json_that_fits() -> None:
    async with World(memory()) as world:
        path = "/resource_providers"
        assert "Malformed JSON" in await world.refused("POST", path, b"{", status=400)
        text = await world.refused("POST", path, {"nam": 1}, status=400)
        assert "JSON does not validate: " in text
        no_type = await world.send("POST", path, b"{}", content_type="")
        assert b"content-type header required when content-length > 0" in no_type.body
        other = await world.refused("POST", path, b"x", status=415, content_type="text/plain")
        assert "The media type text/plain is not supported, use application/json" in other
        assert "The media type None is not supported" in await world.refused("PUT", f"{path}/x", status=415)


@in_loop
async def test_codes_are_told_from_1_23_on() -> None:
    async with World(memory()) as world:
        await world.provider(1)
        again = {"name": "provider-1"}
        old = await world.ask("POST", "/resource_providers", again, status=409, version="1.22")
        new = await world.ask("POST", "/resource_providers", again, status=409, version="1.23")
        assert "code" not in old["errors"][0]
        assert new["errors"][0]["code"] == "placement.duplicate_name"


# ---- who may ask -----------------------------------------------------------------------------------------------------


def tokens(key: str) -> list[dict[str, str]]:
    return [
        {"x_auth_token": key},
        {"x_auth_token": "", "authorization": f"Bearer {key}"},
        {"x_auth_token": "", "authorization": "Basic " + base64.b64encode(key.encode()).decode()},
    ]


@in_loop
async def test_keys_are_shown_in_three_ways() -> None:
    async with World(memory(), authenticator=Keys(KEYS.get)) as world:
        for headers in tokens("AKIAROOT:secret"):
            assert (await world.send("GET", "/resource_providers", **headers)).status == OK
        for headers in tokens("AKIATENANT:secret-of-tenant"):
            assert (await world.send("GET", "/resource_providers", **headers)).status == FORBIDDEN
            assert (await world.send("GET", f"/usages?project_id={TENANT}", **headers)).status == OK
            assert (await world.send("GET", f"/usages?project_id={ROOT}", **headers)).status == FORBIDDEN


@pytest.mark.parametrize("key", ["AKIAROOT:wrong", "AKIAROOT:", "AKIAROOT", "NOBODY:secret", "NOBODY:", ":", ""])
@in_loop
async def test_a_key_that_is_not_known_is_refused(key: str) -> None:
    async with World(memory(), authenticator=Keys(KEYS.get)) as world:
        for headers in tokens(key):
            refused = await world.send("GET", "/resource_providers", **headers)
            assert refused.status == UNAUTHORIZED
            assert headers_of(refused)["www-authenticate"].startswith("Basic")
            told = refused.body.decode()
            assert "There is no such access key, or its secret" in told or "Nothing was sent that says who" in told
            assert "secret-of-tenant" not in told
        garbled = await world.send("GET", "/resource_providers", x_auth_token="", authorization="Basic %%%")
        assert garbled.status == UNAUTHORIZED
        silent = await world.refused("GET", "/resource_providers", status=UNAUTHORIZED, x_auth_token="")
        assert "Send an access key as user and password of HTTP basic, or as ID:SECRET in X-Auth-Token" in silent
        assert (await world.send("GET", "/", x_auth_token="")).status == OK


ROLES: dict[Rule, list[tuple[str, bool, bool]]] = {
    "admin_or_service": [("admin", True, True), ("service", True, True), ("reader", False, False)],
    "service": [("admin", True, False), ("service", True, True), ("member", False, False)],
    "project_reader": [("admin", True, True), ("reader", True, True), ("member", False, False)],
    "open": [("", True, True)],
}


def test_roles_open_what_the_rules_say() -> None:
    for rule, cases in ROLES.items():
        for role, older, newer in cases:
            sender = Sender("user", "project", frozenset({role}))
            assert Policy().allows(rule, sender, "project") == older
            assert Policy(enforces_new_defaults=True).allows(rule, sender, "project") == newer
            assert Policy(is_open=True).allows(rule, sender)
    system = Sender("user", "", frozenset({"admin"}), is_system=True)
    assert not Policy().allows("admin_or_service", system)
    assert not Policy().allows("project_reader", Sender("user", "other", frozenset({"reader"})), "project")


@in_loop
async def test_who_may_not_is_told_which_policy_says_so() -> None:
    async with World(memory()) as world:
        text = await world.refused("GET", "/resource_providers", status=FORBIDDEN, x_auth_token="somebody")
        assert "Policy does not allow placement:resource_providers:list to be performed." in text


def test_every_route_but_the_root_is_guarded() -> None:
    for path, methods in ROUTES.items():
        for route in (route for routes in methods.values() for route in routes):
            assert route.rule != "open" or path in {"", "/", "/usages", "/v1/claims", "/v1/quotas/{project_id}"}
            assert route.action or path in {"", "/"}


# ---- pages of other origins, and what the edge refuses ---------------------------------------------------------------


@in_loop
async def test_only_pages_of_known_origins_may_call() -> None:
    asks = {"access_control_request_method": "GET", "access_control_request_headers": "openstack-api-version"}
    async with World(memory(), cors_origins=("https://console",)) as world:
        known = headers_of(await world.send("OPTIONS", "/traits", origin="https://console", **asks))
        assert known["access-control-allow-origin"] == "https://console"
        assert known["access-control-allow-headers"] == "openstack-api-version"
        asks["access_control_request_headers"] = "openstack-api-version, cookie"
        more = headers_of(await world.send("OPTIONS", "/traits", origin="https://console", **asks))
        assert "access-control-allow-headers" not in more
        other = headers_of(await world.send("GET", "/traits", origin="https://elsewhere"))
        assert "access-control-allow-origin" not in other
    async with World(memory()) as closed:
        assert (await closed.send("OPTIONS", "/traits", origin="https://console", **asks)).status == 405


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Throttled("slower"), 429),
        (Overloaded("stopping"), 503),
        (BodyTooLarge(), 413),
        (StoreUnavailable("down"), 503),
        (OutcomeUnknown("who knows"), 500),
        (PlacementError("odd"), 400),
    ],
)
@in_loop
async def test_errors_of_others_become_those_of_the_service(error: Exception, status: int) -> None:
    async with World(memory()) as world:
        service: PlacementService = world.service
        request = Request("GET", "/placement/traits", "", {}, b"", request_id="A" * 52)
        assert isinstance(error, TenetError)
        told = service.refuse(request, error)
        assert told.status == status
        assert orjson.loads(told.body)["errors"][0]["request_id"] == "req-aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"


# ---- before anything costs much --------------------------------------------------------------------------------------


async def authenticate(
    world: World, path: str, headers: dict[str, str], body: bytes = b"", method: str = "GET"
) -> Principal:
    """Asks the mount who sent a request, as the edge does before it looks at the body."""
    hook = world.service.mount.authenticate
    assert hook is not None
    return await hook(Request(method, f"/placement{path}", "", headers, body))


@in_loop
async def test_the_edge_knows_whose_key_a_request_shows() -> None:
    async with World(memory(), authenticator=Keys(KEYS.get)) as world:
        shown = {"x-auth-token": "AKIATENANT:secret-of-tenant"}
        known = await authenticate(world, "/usages", shown)
        assert (known.access_key_id, known.tenant, known.is_root) == ("AKIATENANT", TENANT, False)
        assert (await authenticate(world, "/usages", {"authorization": "Bearer AKIAROOT:secret"})).tenant == ROOT
        for path in ("/usages", "/nothing", "/v1/claims"):
            for headers in ({}, {"x-auth-token": "AKIATENANT:wrong"}, {"authorization": "Basic !!!"}):
                with pytest.raises(Unauthorized):
                    await authenticate(world, path, headers, b"x" * 100_000)


@in_loop
async def test_what_everybody_may_ask_has_no_large_body() -> None:
    async with World(memory(), authenticator=Keys(KEYS.get), cors_origins=("https://page",)) as world:
        asking = {"origin": "https://page", "access-control-request-method": "PUT"}
        for path, headers, method in (("", {}, "GET"), ("/", {}, "GET"), ("/usages", asking, "OPTIONS")):
            assert await authenticate(world, path, headers, method=method) is NOBODY
            with pytest.raises(BadRequest):
                await authenticate(world, path, headers, b"x" * 10_000, method)
            with pytest.raises(BadRequest):
                await authenticate(world, path, {**headers, "content-encoding": "gzip"}, b"x", method)


@in_loop
async def test_whom_nobody_proves_to_be_anybody_is_no_tenant() -> None:
    async with World(memory()) as world:
        assert await authenticate(world, "/usages", {"x-auth-token": "user:project"}) is NOBODY
        with pytest.raises(Unauthorized):
            await authenticate(world, "/usages", {})
