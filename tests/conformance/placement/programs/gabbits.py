"""Runs the gabbi suite that is inside the openstack-placement package against servers of Tenet, over HTTP.

Runs in an environment of its own, which has openstack-placement and gabbi and nothing of Tenet. The package's fixtures
stay as they are: what they write with, functions on a database, is replaced by requests to the server.

    python gabbits.py RESULTS URL_OF_DEFAULT URL_OF_OPEN URL_OF_SECURE URL_OF_CORS [NAME_OF_FILE ...]

Where a URL is ``-``, the files that it would be for are left out.
"""

from __future__ import annotations

import json
import os
import sys
import time
import unittest
import uuid
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import gabbi.suitemaker
import gabbi.utils
import placement.tests.functional.fixtures.gabbits as theirs
import urllib3
from gabbi import fixture, handlers
from oslo_utils.fixture import uuidsentinel

GABBITS = Path(theirs.__file__).parent.parent / "gabbits"
#: Which server the files of a fixture are for; all others are for the first.
SERVERS = {"OpenPolicyFixture": 1, "SecureRBACPolicyFixture": 2, "CORSFixture": 3}
MICROVERSION = "1.37"
OK_MAX = 299
NO_SERVER = "-"
#: How many requests empty the service at the same time: over a network each waits for the store.
AT_ONCE = 8
#: Variables that the fixtures give a new uuid for each file.
VARIABLES = (
    "RP_UUID",
    "RP_NAME",
    "RP_UUID1",
    "RP_NAME1",
    "RP_UUID2",
    "RP_NAME2",
    "PROJECT_ID",
    "ADMIN_PROJECT_ID",
    "SERVICE_PROJECT_ID",
    "USER_ID",
    "PROJECT_ID_ALT",
    "USER_ID_ALT",
    "INSTANCE_UUID",
    "MIGRATION_UUID",
    "CONSUMER_UUID",
    "PARENT_PROVIDER_UUID",
    "ALT_PARENT_PROVIDER_UUID",
)


class Api:
    """The service, as an administrator and a service in one.

    Args:
        url: its root.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool = urllib3.PoolManager(maxsize=AT_ONCE, retries=False)

    def call(self, method: str, path: str, body: Any = None, version: str = MICROVERSION) -> Any:
        """Sends a request, and returns the document of its answer."""
        headers = {
            "x-auth-token": "admin",
            "x-roles": "admin,service",
            "openstack-api-version": f"placement {version}",
            "accept": "application/json",
        }
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["content-type"] = "application/json"
        answer = self._pool.request(method, self.url + path, body=data, headers=headers)
        if answer.status > OK_MAX:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.data!r}")
        return json.loads(answer.data) if answer.data else None

    def clear(self) -> None:
        """Deletes everything that can be."""
        providers = self.call("GET", "/resource_providers")["resource_providers"]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            held = list(threads.map(self._consumers_of, (one["uuid"] for one in providers)))
            self._delete(threads, {f"/allocations/{one}" for some in held for one in some})
            left = {one["uuid"]: one["parent_provider_uuid"] for one in providers}
            while left:
                leaves = left.keys() - left.values()
                self._delete(threads, (f"/resource_providers/{one}" for one in leaves))
                left = {one: parent for one, parent in left.items() if one not in leaves}
            traits = self.call("GET", "/traits?name=startswith:CUSTOM_")["traits"]
            classes = (one["name"] for one in self.call("GET", "/resource_classes")["resource_classes"])
            self._delete(threads, (f"/traits/{name}" for name in traits))
            self._delete(threads, (f"/resource_classes/{name}" for name in classes if name.startswith("CUSTOM_")))

    def _consumers_of(self, provider: str) -> list[str]:
        return list(self.call("GET", f"/resource_providers/{provider}/allocations")["allocations"])

    def _delete(self, threads: ThreadPoolExecutor, paths: Iterable[str]) -> None:
        list(threads.map(lambda path: self.call("DELETE", path), paths))


class Provider:
    """A provider, as the fixtures use one."""

    def __init__(self, api: Api, one: str) -> None:
        self._api = api
        self.uuid = one

    def path(self, rest: str) -> str:
        """Returns the path of something of it."""
        return f"/resource_providers/{self.uuid}/{rest}"

    @property
    def generation(self) -> int:
        """As it is now."""
        return int(self._api.call("GET", f"/resource_providers/{self.uuid}")["generation"])

    def set_aggregates(self, aggregates: list[str]) -> None:
        """Replaces its aggregates; its generation stays, as it does in the fixtures."""
        self._api.call("PUT", self.path("aggregates"), list(aggregates), version="1.1")


class Written:
    """Stands in for the functions that the fixtures write with."""

    def __init__(self) -> None:
        self.api: Api

    def create_provider(self, _context: object, name: str, *aggregates: str, **more: str) -> Provider:
        """Makes a provider."""
        one = more.get("uuid") or getattr(uuidsentinel, name)
        body = {"name": name, "uuid": one, "parent_provider_uuid": more.get("parent")}
        self.api.call("POST", "/resource_providers", body)
        made = Provider(self.api, one)
        if aggregates:
            made.set_aggregates(list(aggregates))
        return made

    def add_inventory(self, provider: Provider, name: str, total: int, **more: Any) -> None:
        """Adds an inventory, making a custom class where there is none."""
        if name.startswith("CUSTOM_"):
            self.api.call("PUT", f"/resource_classes/{name}")
        body = {"resource_class": name, "total": total, "max_unit": total, **more}
        self.api.call("POST", provider.path("inventories"), body)

    def set_traits(self, provider: Provider, *traits: str) -> None:
        """Replaces the traits of a provider, making custom ones where there are none."""
        for name in traits:
            if name.startswith("CUSTOM_"):
                self.api.call("PUT", f"/traits/{name}")
        body = {"traits": list(traits), "resource_provider_generation": provider.generation}
        self.api.call("PUT", provider.path("traits"), body)

    def create_user_and_project(self, _context: object, prefix: str = "fake") -> tuple[Any, Any]:
        """Names a user and a project."""
        return SimpleNamespace(external_id=f"{prefix}-user"), SimpleNamespace(external_id=f"{prefix}-project")

    def ensure_consumer(self, _context: object, user: Any, project: Any, consumer_id: str | None = None) -> Any:
        """Names a consumer."""
        return SimpleNamespace(uuid=consumer_id or str(uuid.uuid4()), user=user, project=project)

    def set_allocation(self, _context: object, provider: Provider, consumer: Any, used: dict[str, int]) -> None:
        """Gives a new consumer what it is to have."""
        body = {
            "allocations": {provider.uuid: {"resources": used}},
            "project_id": consumer.project.external_id,
            "user_id": consumer.user.external_id,
            "consumer_generation": None,
        }
        self.api.call("PUT", f"/allocations/{consumer.uuid}", body)


class Named:
    """Stands in for a user, a project or a resource class of the fixtures."""

    def __init__(self, *_: object, context: object = None, external_id: str = "", name: str = "") -> None:
        del context
        self.external_id = external_id
        self._name = name

    def create(self) -> None:
        """Makes it where it is a class; users and projects come with their consumers."""
        if self._name:
            written.api.call("PUT", f"/resource_classes/{self._name}")


written = Written()


def start(self: fixture.GabbiFixture) -> None:
    """Begins a file: an empty service, and the variables that its requests have."""
    self.context = None
    written.api = apis[next((SERVERS[one.__name__] for one in type(self).__mro__ if one.__name__ in SERVERS), 0)]
    written.api.clear()
    for name in VARIABLES:
        os.environ[name] = str(uuid.uuid4())
    for suffix in ("", "1", "2"):
        os.environ[f"CUSTOM_RES_CLASS{suffix}"] = f"CUSTOM_IRON_NFV{suffix}"


def replace_fixtures() -> None:
    """Puts requests in the place of the database."""
    theirs.tb = written
    for name in ("user_obj", "project_obj", "rc_obj"):
        setattr(theirs, name, SimpleNamespace(User=Named, Project=Named, ResourceClass=Named))
    theirs.APIFixture.start_fixture = start
    theirs.APIFixture.stop_fixture = lambda _self: None
    for one in (theirs.CORSFixture, theirs.OpenPolicyFixture):
        one.start_fixture = start
        one.stop_fixture = lambda _self: None


def server_of(file: Path) -> int:
    """Returns which of the servers a file is for."""
    fixtures = gabbi.utils.load_yaml(yaml_file=str(file)).get("fixtures", [])
    return next((SERVERS[one] for one in fixtures if one in SERVERS), 0)


def suite_of(file: Path, urls: list[str]) -> unittest.TestSuite:
    """Returns the tests of one file, against the server that its fixture is for."""
    document = gabbi.utils.load_yaml(yaml_file=str(file))
    url = urlsplit(urls[server_of(file)])
    responses = [one() for one in handlers.RESPONSE_HANDLERS]
    suite: unittest.TestSuite = gabbi.suitemaker.test_suite_from_dict(
        unittest.TestLoader(),
        f"gabbits_{file.stem}",
        document,
        str(GABBITS),
        url.hostname,
        url.port,
        theirs,
        None,
        prefix=url.path,
        test_loader_name="gabbits",
        handlers=responses,
    )
    return suite


class Result(unittest.TestResult):
    """Counts tests, and keeps what failed."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0
        self.expected: list[str] = []

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802 (named by unittest)
        """Notes one that passed."""
        super().addSuccess(test)
        self.passed += 1

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802 (the same)
        """Notes one that the suite says has to fail."""
        super().addExpectedFailure(test, err)
        self.expected.append(test.id())


def main() -> None:
    """Runs all files, or those that are named, and writes what came of it."""
    results, urls, names = sys.argv[1], sys.argv[2:6], sys.argv[6:]
    apis.extend(Api(url) for url in urls)
    replace_fixtures()
    told: dict[str, Any] = {"passed": 0, "run": 0, "expected_failures": [], "failed": {}, "elapsed_s": {}}
    for file in sorted(GABBITS.glob("*.yaml")):
        if (names and file.stem not in names) or urls[server_of(file)] == NO_SERVER:
            continue
        result, began_s = Result(), time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            suite_of(file, urls).run(result)
        told["passed"] += result.passed
        told["run"] += result.testsRun
        told["elapsed_s"][file.stem] = round(time.monotonic() - began_s, 1)
        told["expected_failures"] += result.expected
        for test, why in [*result.failures, *result.errors]:
            told["failed"][f"{file.stem}: {test.id()}"] = why
        for test in result.unexpectedSuccesses:
            told["failed"][f"{file.stem}: {test.id()}"] = "was to fail"
    Path(results).write_text(json.dumps(told, indent=1))
    sys.stdout.write(f"{told['passed']} of {told['run']} passed\n")


apis: list[Api] = []
if __name__ == "__main__":
    main()
