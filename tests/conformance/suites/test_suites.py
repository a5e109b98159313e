"""Libraries on DynamoDB and SQS with their own tests, as published, against Tenet: over TLS, every request signed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conformance.packages import AIODYNAMO, GO_TABLES, NODE_PROGRAMS, TASKIQ_AIO_SQS
from tests.conformance.peers import PEERS
from tests.conformance.peers import running as running_peer
from tests.conformance.suites.libraries import AIODYNAMO_LIBRARY, CONNECT_DYNAMODB, DYNAMO, DYNOGELS, TASKIQ, Library
from tests.conformance.suites.outcomes import check, of_go, of_xml
from tests.servers import Server, clean_environment, running

SUITE_S_MAX = 300
pytestmark = pytest.mark.time_limit_s(SUITE_S_MAX + 300)

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all suites, and for nothing else: they leave tables behind and list what there is."""
    with running(tmp_path_factory.mktemp("suites") / "data") as started:
        assert started.endpoint.startswith("https://")
        yield started


def carry_out(command: list[str], folder: Path, server: Server, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a suite's own runner, which may fail, with what Tenet printed and what the suite takes besides."""
    return subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(**dict(server.exports), **environment),
        capture_output=True,
        text=True,
        timeout=SUITE_S_MAX,
        check=False,
    )


def check_report(library: Library, report: Path, done: subprocess.CompletedProcess[str]) -> None:
    """Checks a suite by the report that its runner has written."""
    assert report.exists(), done.stdout + done.stderr
    check(of_xml(report), library.tests, library.known)


def on_demand_tables(server: Server, *names: str) -> None:
    """Makes the tables of dynamo's suite, which reads more in a second than those that it makes itself are for."""
    client = server.client()
    for name in names:
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": attribute, "AttributeType": kind}
                for attribute, kind in (("UserID", "N"), ("Time", "S"), ("Msg", "S"))
            ],
            KeySchema=[{"AttributeName": "UserID", "KeyType": "HASH"}, {"AttributeName": "Time", "KeyType": "RANGE"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "Msg-Time-index",
                    "KeySchema": [
                        {"AttributeName": "Msg", "KeyType": "HASH"},
                        {"AttributeName": "Time", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )


def test_dynamo(server: Server) -> None:
    on_demand_tables(server, "Widgets", "Widgets-Sprockets")
    done = carry_out(
        ["go", "test", "-json", "-count=1", DYNAMO.name],
        GO_TABLES,
        server,
        DYNAMO_TEST_ENDPOINT=server.endpoint,
        DYNAMO_TEST_REGION=server.exports["AWS_REGION"],
        DYNAMO_TEST_TABLE="Widgets",
    )
    found = of_go(done.stdout.splitlines())
    assert found.count(), done.stderr
    check(found, DYNAMO.tests, DYNAMO.known)


def test_aiodynamo(server: Server, tmp_path: Path) -> None:
    report, folder = tmp_path / "report.xml", AIODYNAMO.ensure()
    command = [str(folder / "bin" / "python"), "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "redirect"]
    done = carry_out(
        [*command, f"--junitxml={report}", "tests/integration"],
        folder / "sdist" / f"aiodynamo-{AIODYNAMO_LIBRARY.version}",
        server,
        PYTHONPATH=str(PROGRAMS),
        SSL_CERT_FILE=server.exports["AWS_CA_BUNDLE"],
        DYNAMODB_URL="https://127.0.0.1/",
        DYNAMODB_FLAVOR="real",
        TENET_PORT_OF_443=str(urlsplit(server.endpoint).port),
    )
    check_report(AIODYNAMO_LIBRARY, report, done)


@pytest.mark.parametrize(
    ("library", "arguments"),
    [
        (CONNECT_DYNAMODB, ["node_modules/connect-dynamodb/test/test.js"]),
        (DYNOGELS, ["--require", str(PROGRAMS / "dynogels.cjs"), "node_modules/dynogels/test/integration"]),
    ],
    ids=lambda value: value.name if isinstance(value, Library) else "",
)
def test_mocha(library: Library, arguments: list[str], server: Server, tmp_path: Path) -> None:
    report, folder = tmp_path / "report.xml", NODE_PROGRAMS.ensure()
    mocha = ["node_modules/.bin/mocha", "--timeout", "30000", "--reporter", "xunit", "--reporter-option"]
    done = carry_out(
        [*mocha, f"output={report}", *arguments],
        folder,
        server,
        ENDPOINT=server.endpoint,
        NODE_PATH=str(folder / "node_modules"),
        NODE_EXTRA_CA_CERTS=server.exports["AWS_CA_BUNDLE"],
    )
    check_report(library, report, done)


def test_taskiq_aio_sqs(tmp_path: Path) -> None:
    """Its tests make queues of the same names again and again; large messages lie in S3, for which moto stands in."""
    report, folder = tmp_path / "report.xml", TASKIQ_AIO_SQS.ensure()
    command = [str(folder / "bin" / "python"), "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    with (
        running(tmp_path / "data", environment={"TENET_QUEUES_DELETED_S": "0"}) as server,
        running_peer(PEERS["moto"], tmp_path) as moto,
    ):
        assert server.endpoint.startswith("https://")
        left_out = [f"--deselect={name}" for name in TASKIQ.left_out]
        done = carry_out(
            [*command, "-p", "from_environment", f"--junitxml={report}", *left_out, "tests"],
            folder / "sdist" / f"taskiq_aio_sqs-{TASKIQ.version}",
            server,
            PYTHONPATH=str(PROGRAMS),
            AWS_ENDPOINT_URL_S3=moto.endpoint,
        )
    check_report(TASKIQ, report, done)
