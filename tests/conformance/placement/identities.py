"""A real Keystone as a process of its own, with what tests have in it, and the ``openstack`` command beside it."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conformance.packages import KEYSTONE, OPENSTACK_PLACEMENT
from tests.servers import Server, clean_environment

PROGRAM = Path(__file__).parent / "programs" / "identity.py"
ADMIN_PASSWORD, SERVICE_PASSWORD, USER_PASSWORD = "secret-of-admin", "secret-of-placement", "secret-of-ada"
COMMAND_S_MAX = 120


class Identity:
    """A Keystone that runs.

    Args:
        process: it.
        url: where it listens.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url
        self._admin = self.token("admin", ADMIN_PASSWORD, "admin")

    def token(self, user: str, password: str, project: str | None) -> str:
        """Returns a token of a user for a project; for the whole installation where there is none."""
        domain = {"name": "Default"}
        who = {"name": user, "domain": domain, "password": password}
        scope = {"system": {"all": True}} if project is None else {"project": {"name": project, "domain": domain}}
        auth = {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}
        request = urllib.request.Request(
            f"{self.url}/v3/auth/tokens",
            json.dumps({"auth": auth}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as told:
            return str(told.headers["x-subject-token"])

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Asks its API as an administrator; returns the document of the answer."""
        given = {"x-auth-token": self._admin, "content-type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/v3{path}", data, given, method=method)
        with urllib.request.urlopen(request, timeout=30) as told:
            answer = told.read()
        return json.loads(answer) if answer else None

    def make_user(self, name: str, password: str, project: str, role: str) -> None:
        """Makes a user with a role in a project, which is made where it is not there."""
        projects = self.ask("GET", f"/projects?name={project}")["projects"]
        found = projects[0] if projects else self.ask("POST", "/projects", {"project": {"name": project}})["project"]
        user = self.ask("POST", "/users", {"user": {"name": name, "password": password}})["user"]
        (of_role,) = self.ask("GET", f"/roles?name={role}")["roles"]
        self.ask("PUT", f"/projects/{found['id']}/users/{user['id']}/roles/{of_role['id']}")

    def project_id(self, name: str) -> str:
        (project,) = self.ask("GET", f"/projects?name={name}")["projects"]
        return str(project["id"])

    def revoke(self, token: str) -> None:
        """Revokes a token."""
        self.ask("DELETE", "/auth/tokens", x_subject_token=token)


@contextmanager
def identity_running(folder: Path) -> Iterator[Identity]:
    """A Keystone for the length of a block, in a folder that it makes."""
    python = KEYSTONE.ensure() / "bin" / "python"
    log = folder.with_name(folder.name + ".log")
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [str(python), "-P", str(PROGRAM), str(folder), ADMIN_PASSWORD],
            env=clean_environment(PYTHONPATH=""),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    with process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, log.read_text(encoding="utf-8")[-3000:]
            found = Identity(process, url)
            found.make_user("placement", SERVICE_PASSWORD, "service", "service")
            yield found
        finally:
            process.kill()


def settings_for(identity: Identity, folder: Path, **more: str) -> dict[str, str]:
    """Returns the variables that tell Tenet of a Keystone."""
    password = folder / "password-of-placement"
    password.write_text(SERVICE_PASSWORD + "\n", encoding="utf-8")
    password.chmod(0o600)
    # A Keystone that shares two processors with all other tests is slow.
    told = {"AUTH_URL": f"{identity.url}/v3", "PASSWORD_FILE": str(password), "TIMEOUT_S": "25", **more}
    return {f"TENET_KEYSTONE_{name}": value for name, value in told.items()}


class Command:
    """The ``openstack`` command as a user of Keystone.

    Args:
        identity: which Keystone.
        server: whose certificate is trusted.
        user: name.
        password: of the user.
        project: name.
    """

    def __init__(self, identity: Identity, server: Server, user: str, password: str, project: str) -> None:
        self._program = OPENSTACK_PLACEMENT.ensure() / "bin" / "openstack"
        self._environment: Mapping[str, str] = clean_environment(
            PYTHONPATH="",
            OS_AUTH_URL=f"{identity.url}/v3",
            OS_USERNAME=user,
            OS_PASSWORD=password,
            OS_PROJECT_NAME=project,
            OS_USER_DOMAIN_NAME="Default",
            OS_PROJECT_DOMAIN_NAME="Default",
            OS_IDENTITY_API_VERSION="3",
            OS_PLACEMENT_API_VERSION="1.39",
            OS_CACERT=server.exports["AWS_CA_BUNDLE"],
            HOME=os.devnull,
        )

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Runs a command line, without ``openstack`` at its beginning."""
        return subprocess.run(
            [str(self._program), *line.split()],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_S_MAX,
            check=False,
        )

    def told(self, line: str) -> Any:
        """Runs a command line that has to succeed; returns the document that it prints."""
        done = self.run(f"{line} -f json")
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return json.loads(done.stdout)

    def refused(self, line: str) -> str:
        """Runs a command line that has to fail; returns what it says."""
        done = self.run(line)
        assert done.returncode != 0, f"{line}: {done.stdout}"
        return done.stderr
