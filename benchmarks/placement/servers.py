"""Tenet, and the placement service of OpenStack as its operators run it: under uWSGI, over MariaDB, on loopback."""

from __future__ import annotations

import http.client
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests import servers
from tests.conformance.packages import MARIADB, PLACEMENT_SERVER
from tests.conformance.peers import PeerDidNotStart, free_port

TENET, PEER = "Tenet", "openstack-placement"
PROCESSES, THREADS = 2, 10
START_S_MAX = 120.0
STOP_S_MAX = 20.0
_TICKS = os.sysconf("SC_CLK_TCK")

#: What hosts are made by in the peer's database: one statement each for 10,000 rows, where requests would take minutes.
_FILL = """
import json, sys, uuid, pymysql
given = json.loads(sys.argv[1])
base = pymysql.connect(unix_socket=given["socket"], user="root", database="placement", autocommit=False)
with base.cursor() as ask:
    ask.execute("SELECT name, id FROM resource_classes")
    classes = dict(ask.fetchall())
    ask.execute("SELECT name, id FROM traits")
    traits = dict(ask.fetchall())
    numbers = range(1, given["hosts"] + 1)
    ask.executemany(
        "INSERT INTO resource_providers (id, uuid, name, generation, root_provider_id) VALUES (%s, %s, %s, 1, %s)",
        [(number, str(uuid.UUID(int=number)), f"host-{number}", number) for number in numbers],
    )
    ask.executemany(
        "INSERT INTO inventories (resource_provider_id, resource_class_id, total, reserved, min_unit, max_unit,"
        " step_size, allocation_ratio) VALUES (%s, %s, %s, 0, 1, %s, 1, %s)",
        [
            (number, classes[name], total, total, ratio)
            for number in numbers
            for name, (total, ratio) in given["inventories"].items()
        ],
    )
    ask.executemany(
        "INSERT INTO resource_provider_traits (trait_id, resource_provider_id) VALUES (%s, %s)",
        [(traits[name], number) for number in numbers for name in given["traits"]],
    )
base.commit()
"""


@dataclass(frozen=True)
class Service:
    """A placement service that runs.

    Args:
        name: of the product.
        endpoint: URL, its path included.
        token: of an administrator.
        pids: of its processes; those that these started count as well.
    """

    name: str
    endpoint: str
    token: str
    pids: tuple[int, ...]

    def cpu_s(self) -> float:
        """Returns how much CPU it has used, in seconds, its database included."""
        return sum(_cpu_s(pid) for pid in _with_children(self.pids))


@contextmanager
def tenet(folder: Path) -> Iterator[Service]:
    """Tenet as it ships, in one process on the embedded engine."""
    with servers.running(folder / "tenet", "--plaintext") as server:
        token = f"{server.exports['AWS_ACCESS_KEY_ID']}:{server.exports['AWS_SECRET_ACCESS_KEY']}"
        yield Service(TENET, f"{server.endpoint}/placement", token, (server.process.pid,))


@contextmanager
def peer(folder: Path, hosts: str) -> Iterator[Service]:
    """The service of OpenStack with hosts in its database.

    Args:
        folder: an empty one.
        hosts: JSON: ``hosts``, ``inventories`` and ``traits`` as ``_FILL`` reads them; the socket is added.

    Raises:
        ToolMissing: Debian's tools are not here.
        FetchFailed: it could not be downloaded or built.
        PeerDidNotStart: it did not come up.
    """
    placement = PLACEMENT_SERVER.ensure()
    with _database(folder) as (socket, database):
        url = f"mysql+pymysql://root@localhost/placement?unix_socket={socket}"
        settings = folder / "placement.conf"
        settings.write_text(
            f"[DEFAULT]\ndebug = False\nlog_file = {folder / 'placement.log'}\n"
            f"[api]\nauth_strategy = noauth2\n[placement_database]\nconnection = {url}\nmax_pool_size = {THREADS}\n"
            "[placement]\nrandomize_allocation_candidates = True\n",
            encoding="utf-8",
        )
        environment = os.environ | {"OS_PLACEMENT_CONFIG_DIR": str(folder), "PATH": f"{placement}/bin:/usr/bin:/bin"}
        _call([f"{placement}/bin/placement-manage", "--config-file", str(settings), "db", "sync"], environment)
        port, log = free_port(), folder / "uwsgi.log"
        command = [f"{placement}/bin/uwsgi", "--master", "--die-on-term", "--lazy-apps", "--enable-threads"]
        command += ["--processes", str(PROCESSES), "--threads", str(THREADS), "--http-keepalive", "--add-header"]
        command += ["Connection: Keep-Alive", "--http11-socket", f"127.0.0.1:{port}", "--disable-logging"]
        command += ["--manage-script-name", "--mount", "/placement=placement.wsgi.api:application"]
        command += ["--home", str(placement)]
        with log.open("ab") as output, _process(command, environment, output.fileno()) as server:
            endpoint = f"http://127.0.0.1:{port}/placement"
            _await(lambda: _answers(port), server, log)
            # Names of classes and traits are in the database once it has answered.
            fill = hosts[:-1] + f', "socket": "{socket}"}}'
            _call([f"{placement}/bin/python", "-c", _FILL, fill], environment)
            yield Service(PEER, endpoint, "admin", (server.pid, database))


@contextmanager
def _database(folder: Path) -> Iterator[tuple[str, int]]:
    """MariaDB with an empty database: the path of its socket, and its process."""
    package, data = MARIADB.ensure(), folder / "mariadb"
    data.mkdir()
    socket, log = f"{folder}/db.sock", folder / "mariadb.log"
    libraries = [str(one) for one in (package / "usr" / "lib").glob("*-linux-gnu")]
    libraries += [str(one) for one in (package / "lib").glob("*-linux-gnu")]
    environment = os.environ | {"LD_LIBRARY_PATH": ":".join(libraries)}
    first = folder / "first.sql"
    _prepare(package, first)
    command = [f"{package}/usr/sbin/mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={socket}"]
    command += [
        f"--lc-messages-dir={package}/usr/share/mysql",
        f"--character-sets-dir={package}/usr/share/mysql/charsets",
    ]
    command += [f"--tmpdir={folder}"] + (["--user=root"] if os.geteuid() == 0 else [])
    with first.open("rb") as script:
        done = subprocess.run(
            [*command, "--bootstrap", "--log-warnings=0"],
            env=environment,
            stdin=script,
            capture_output=True,
            check=False,
        )
    if done.returncode:
        raise PeerDidNotStart(f"mariadb: {done.stderr[-2_000:].decode('utf-8', 'replace')}")
    command += ["--skip-networking", "--skip-grant-tables"]
    with log.open("ab") as output, _process(command, environment, output.fileno()) as server:
        _await(lambda: Path(socket).exists(), server, log)
        yield socket, server.pid


def _prepare(package: Path, first: Path) -> None:
    """Writes what mariadb-install-db would feed to the server."""
    share = package / "usr" / "share" / "mysql"
    texts = ["CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\n"]
    names = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
    texts += [(share / name).read_text(encoding="utf-8") for name in names if (share / name).exists()]
    texts.append("\nCREATE DATABASE placement CHARACTER SET utf8mb3;\n")
    first.write_text("SET @auth_root_socket=NULL;\n" + "\n".join(texts), encoding="utf-8")


@contextmanager
def _process(command: list[str], environment: dict[str, str], output: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(holds: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S_MAX
    while process.poll() is None and time.monotonic() < until:
        if holds():
            return
        time.sleep(0.2)
    raise PeerDidNotStart(log.read_text(encoding="utf-8", errors="replace")[-3_000:])


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with suppress(OSError, http.client.HTTPException):
        told = {"X-Auth-Token": "admin", "OpenStack-API-Version": "placement 1.39"}
        connection.request("GET", "/placement/traits?name=startswith:HW", headers=told)
        return connection.getresponse().status == http.client.OK
    return False


def _call(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=START_S_MAX, check=False)
    if done.returncode:
        raise PeerDidNotStart(f"{command[0]} ended with {done.returncode}: {done.stderr[-2_000:]}")


def _with_children(pids: tuple[int, ...]) -> set[int]:
    found, left = set[int](), list(pids)
    while left:
        pid = left.pop()
        found.add(pid)
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                left += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
    return found


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS
