"""Programs with the AWS SDK for Java 2 and tables: the Enhanced Client, and the Kinesis Client Library on a stream.

They run as their users run them, with what `tenet env --for java` prints and nothing else: TLS, signed requests.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import ledger
from tests.conformance.ledger import Ledger, check_whole
from tests.conformance.packages import JAVA, TABLE_CLIENTS
from tests.servers import Server, clean_environment

pytestmark = pytest.mark.time_limit_s(400)

Names = Callable[[str], str]
#: A small virtual machine that is up soon.
SMALL = ("-Xmx200m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
ARTICLES = 12
#: The library waits for up to 30 s before the first worker of an application looks for shards.
LEASES_S_MAX = 120
WORKERS = ("early", "late")


def command(kind: str, folder: Path, program: str, *more: str) -> list[str]:
    """Compiles a program with all that lies beside it, and returns how it is run."""
    lib = f"{TABLE_CLIENTS.ensure() / kind / 'lib'}/*"
    classes = folder / "classes"
    compiler = ["javac", "-J-XX:TieredStopAtLevel=1", "-cp", lib, "-sourcepath", str(JAVA), "-d", str(classes)]
    subprocess.run([*compiler, str(JAVA / f"{program}.java")], check=True, timeout=120)
    return ["java", *SMALL, "-cp", f"{classes}:{lib}", *more, program]


def test_enhanced_client(server: Server, tmp_path: Path, fresh_name: Names) -> None:
    done = subprocess.run(
        [*command("enhanced", tmp_path, "Theatre"), fresh_name("theatre")],
        env=clean_environment(**server.variables("java")),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines() == ["ok"], done.stdout + done.stderr


# ---- the Kinesis Client Library --------------------------------------------------------------------------------------


class Stock:
    """A table whose changes are followed, and somebody who changes it all the time.

    Args:
        client: of boto3.
        name: the table's.
    """

    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self.name = name
        self.counts = dict.fromkeys((f"article-{number}" for number in range(ARTICLES)), 0)
        self.is_over = threading.Event()

    def make(self) -> str:
        """Makes the table, and returns the ARN of its stream."""
        made = self.client.create_table(
            TableName=self.name,
            AttributeDefinitions=[{"AttributeName": "article", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "article", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        self.client.get_waiter("table_exists").wait(TableName=self.name)
        return str(made["TableDescription"]["LatestStreamArn"])

    def change_all(self) -> None:
        """Raises the count of every article by one."""
        for article in self.counts:
            self.client.update_item(
                TableName=self.name,
                Key={"article": {"S": article}},
                UpdateExpression="ADD #count :one",
                ExpressionAttributeNames={"#count": "count"},
                ExpressionAttributeValues={":one": {"N": "1"}},
            )
            self.counts[article] += 1

    def close(self) -> None:
        """Removes every article, and ends the stream; readers find the end of each of its shards."""
        for article in self.counts:
            self.client.delete_item(TableName=self.name, Key={"article": {"S": article}})
            self.counts[article] += 1
        self.client.update_table(TableName=self.name, StreamSpecification={"StreamEnabled": False})

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Changes all articles, again and again, for the length of a block."""

        def work() -> None:
            while not self.is_over.wait(0.1):
                self.change_all()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            self.is_over.set()
            thread.join()


class Workers:
    """Processes that follow a stream together.

    Args:
        folder: where their ledger and what they print are.
        start: the command for a worker, but for its name and the ledger.
        variables: the environment.
    """

    def __init__(self, folder: Path, start: list[str], variables: dict[str, str]) -> None:
        self.folder = folder
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in WORKERS:
            with (folder / f"{name}.log").open("wb") as log:
                self.processes[name] = subprocess.Popen(
                    [*start, name, str(self.ledger)], env=variables, stdout=log, stderr=subprocess.STDOUT
                )

    def read(self) -> Ledger:
        """Returns what the ledger says by now."""
        with self.ledger.open(encoding="utf-8", newline="") as lines:
            return ledger.read(lines)

    def wait(self, is_so: Callable[[Ledger], bool]) -> Ledger:
        """Waits until the ledger says something; raises with what workers printed where it does not."""
        until = time.monotonic() + LEASES_S_MAX
        while not is_so(found := self.read()):
            is_alive = any(process.poll() is None for process in self.processes.values())
            assert is_alive, self.printed()
            assert time.monotonic() < until, f"{found}\n{self.printed()}"
            time.sleep(0.2)
        return found

    def printed(self, count: int = 30) -> str:
        """Returns the last lines of each worker."""
        return "\n".join(
            f"{name}:\n" + "\n".join((self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-count:])
            for name in WORKERS
        )

    def kill(self, name: str) -> None:
        """Ends a worker between two instructions."""
        self.processes[name].kill()
        self.processes[name].wait()

    def end(self) -> None:
        """Lets workers give their leases back, and end; whoever does not is killed."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def shard_ids(client: Any, stream: str) -> set[str]:
    """Returns the names of all shards that a stream has had."""
    names: set[str] = set()
    page: dict[str, Any] = {"LastEvaluatedShardId": None}
    while "LastEvaluatedShardId" in page:
        start = page["LastEvaluatedShardId"]
        more = {} if start is None else {"ExclusiveStartShardId": start}
        page = client.describe_stream(StreamArn=stream, **more)["StreamDescription"]
        names.update(shard["ShardId"] for shard in page["Shards"])
    return names


def test_a_consumer_of_the_kinesis_client_library(server: Server, tmp_path: Path, fresh_name: Names) -> None:
    client, application = server.client(), fresh_name("ledger")
    stock = Stock(client, fresh_name("stock"))
    stream = stock.make()
    start = [*command("kcl", tmp_path, "Ledger"), application, stream]
    with ExitStack() as stack:
        workers = Workers(tmp_path, start, clean_environment(**server.variables("java")))
        stack.callback(workers.end)
        with stock.busy():
            # One takes all leases and hands some over to the other one, which is there from then on.
            found = workers.wait(lambda so_far: set(so_far.records) == set(WORKERS))
            [heir, doomed] = sorted(WORKERS, key=lambda name: len(found.begun(name)))
            workers.kill(doomed)
            found = workers.read()
            # A shard that has split is read to its end before those that follow it.
            left = found.begun(doomed) - found.ended
            workers.wait(lambda so_far: so_far.begun(heir) >= left)
        stock.close()
        shards = shard_ids(server.client("dynamodbstreams"), stream)
        found = workers.wait(lambda so_far: so_far.ended == shards)
    check_whole(found, stock.counts)
    # The library has said in its tables how far it is, and nothing that it asked for was refused as not done.
    leases = client.scan(TableName=application, ConsistentRead=True)["Items"]
    assert {lease["leaseKey"]["S"]: lease["checkpoint"]["S"] for lease in leases} == dict.fromkeys(shards, "SHARD_END")
    printed = workers.printed(10_000)
    assert "is not available in this version of Tenet" not in printed
