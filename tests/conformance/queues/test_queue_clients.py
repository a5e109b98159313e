"""Programs of users with clients of the SQS API, old and new, in Python, Java and Go, against Tenet as it starts."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from tests.conformance.packages import AWS_CLI, OLD_AWS_CLI, Package
from tests.conformance.queues.clients import python_of, run, run_celery, run_java, run_old_boto3
from tests.servers import Server

pytestmark = pytest.mark.time_limit_s(400)

GO = Path(__file__).parents[1] / "go" / "queues"
Names = Callable[[str], str]


def test_boto3_of_the_query_protocol(server: Server, tmp_path: Path, fresh_name: Names) -> None:
    run_old_boto3(server, tmp_path, fresh_name("boxes"))


@pytest.mark.parametrize(("program", "version"), [("Orders", "v1"), ("Parcels", "v2"), ("Crates", "v2")])
def test_java(program: str, version: str, server: Server, tmp_path: Path, fresh_name: Names) -> None:
    run_java(program, version, server, tmp_path, fresh_name(program.lower()))


@pytest.mark.parametrize("transport", ["server", "plain_server"])
def test_celery(transport: str, request: pytest.FixtureRequest, tmp_path: Path, fresh_name: Names) -> None:
    run_celery(request.getfixturevalue(transport), tmp_path, fresh_name("tasks"))


def test_go(server: Server, tmp_path: Path, fresh_name: Names) -> None:
    built = tmp_path / "queues"
    subprocess.run(["go", "build", "-o", str(built), "."], cwd=GO, check=True, timeout=300)
    assert run([str(built), fresh_name("letters")], server, tmp_path).splitlines()[-1] == "ok"


# ---- the resource API of boto3 ---------------------------------------------------------------------------------------


def test_boto3_resource(server: Server, fresh_name: Names) -> None:
    import boto3

    exports = server.exports
    sqs = boto3.resource(
        "sqs",
        endpoint_url=server.endpoint,
        verify=exports["AWS_CA_BUNDLE"],
        region_name=exports["AWS_DEFAULT_REGION"],
        aws_access_key_id=exports["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=exports["AWS_SECRET_ACCESS_KEY"],
    )
    name = fresh_name("resource")
    queue = sqs.create_queue(QueueName=name, Attributes={"ReceiveMessageWaitTimeSeconds": "2"}, tags={"a": "b"})
    assert queue.url == sqs.get_queue_by_name(QueueName=name).url
    assert queue.url.startswith(server.endpoint)
    queue.set_attributes(Attributes={"VisibilityTimeout": "11"})
    queue.reload()
    assert queue.attributes["VisibilityTimeout"] == "11"
    sent = queue.send_messages(Entries=[{"Id": str(n), "MessageBody": f"body {n}"} for n in range(10)])
    assert len(sent["Successful"]) == 10
    assert "Failed" not in sent
    bodies: set[str] = set()
    while len(bodies) < 10:
        for message in queue.receive_messages(MaxNumberOfMessages=10):
            bodies.add(message.body)
            message.delete()
    assert bodies == {f"body {n}" for n in range(10)}
    client = sqs.meta.client
    pages = client.get_paginator("list_queues").paginate(QueueNamePrefix=name, PaginationConfig={"PageSize": 1})
    assert [url for page in pages for url in page["QueueUrls"]] == [queue.url]
    queue.delete()
    with pytest.raises(client.exceptions.QueueDoesNotExist) as caught:
        queue.send_message(MessageBody="too late")
    assert caught.value.response["Error"] == {
        "Message": "The specified queue does not exist.",
        "Code": "AWS.SimpleQueueService.NonExistentQueue",
        "QueryErrorCode": "QueueDoesNotExist",
        "Type": "Sender",
    }


# ---- many at once ----------------------------------------------------------------------------------------------------


async def _produce_and_consume(client: Any, url: str, count: int) -> list[str]:
    """Sends from many tasks and receives in others; returns every body that was deleted."""
    seen: list[str] = []

    async def produce(first: int) -> None:
        for number in range(first, count, 8):
            await client.send_message(QueueUrl=url, MessageBody=str(number))

    async def consume() -> None:
        while len(seen) < count:
            answer = await client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            messages = answer.get("Messages", [])
            entries = [{"Id": str(at), "ReceiptHandle": one["ReceiptHandle"]} for at, one in enumerate(messages)]
            if entries:
                deleted = await client.delete_message_batch(QueueUrl=url, Entries=entries)
                assert len(deleted["Successful"]) == len(entries)
            seen.extend(one["Body"] for one in messages)

    await asyncio.gather(*(produce(first) for first in range(8)), *(consume() for _consumer in range(6)))
    return seen


def test_aiobotocore(server: Server, fresh_name: Names) -> None:
    exports, count = server.exports, 400

    async def program() -> list[str]:
        async with get_session().create_client(
            "sqs",
            endpoint_url=server.endpoint,
            verify=exports["AWS_CA_BUNDLE"],
            region_name=exports["AWS_DEFAULT_REGION"],
            aws_access_key_id=exports["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=exports["AWS_SECRET_ACCESS_KEY"],
            config=AioConfig(max_pool_connections=20),
        ) as client:
            url = (await client.create_queue(QueueName=fresh_name("many")))["QueueUrl"]
            seen = await asyncio.wait_for(_produce_and_consume(client, url, count), 120)
            await client.delete_queue(QueueUrl=url)
            return seen

    seen = asyncio.run(program())
    assert sorted(map(int, seen)) == list(range(count))


# ---- the command line ------------------------------------------------------------------------------------------------


class CommandLine:
    """The AWS command line, version 1.

    Args:
        package: a release of it.
        server: the server that it is told of.
        folder: where it runs.
    """

    def __init__(self, package: Package, server: Server, folder: Path) -> None:
        self.package = package
        self.server = server
        self.folder = folder

    def __call__(self, *arguments: str) -> Any:
        """Runs a command for queues; returns what it prints, or None where that is nothing."""
        # Version 1 has addresses of its own for queues, which stand above the environment, and below this option.
        command = [python_of(self.package), "-m", "awscli", "--endpoint-url", self.server.endpoint, "sqs", *arguments]
        printed = run([*command, "--output", "json"], self.server, self.folder)
        return json.loads(printed) if printed.strip() else None

    def receive(self, url: str) -> dict[str, Any]:
        """Receives the one message that is to be there."""
        wanted = ("--message-attribute-names", "All", "--attribute-names", "All")
        [message] = self("receive-message", "--queue-url", url, "--wait-time-seconds", "5", *wanted)["Messages"]
        return dict(message)


@pytest.mark.parametrize(
    ("package", "of_missing"),
    [
        pytest.param(AWS_CLI, r"The specified queue does not exist\.", id="json"),
        pytest.param(OLD_AWS_CLI, r"The specified queue does not exist for this wsdl version\.", id="query"),
    ],
)
def test_aws_cli(package: Package, of_missing: str, server: Server, tmp_path: Path, fresh_name: Names) -> None:
    aws, name = CommandLine(package, server, tmp_path), fresh_name("cli")
    url = aws("create-queue", "--queue-name", name, "--attributes", "VisibilityTimeout=60", "--tags", "team=cli")[
        "QueueUrl"
    ]
    assert aws("list-queues", "--queue-name-prefix", name)["QueueUrls"] == [url]
    attributes = json.dumps({"color": {"DataType": "String", "StringValue": "blue"}})
    sent = aws("send-message", "--queue-url", url, "--message-body", "hello", "--message-attributes", attributes)
    message = aws.receive(url)
    assert (message["MessageId"], message["Body"]) == (sent["MessageId"], "hello")
    assert message["MessageAttributes"]["color"]["StringValue"] == "blue"
    handle = ("--receipt-handle", message["ReceiptHandle"])
    aws("change-message-visibility", "--queue-url", url, *handle, "--visibility-timeout", "0")
    again = aws.receive(url)
    assert (again["MessageId"], again["Attributes"]["ApproximateReceiveCount"]) == (sent["MessageId"], "2")
    aws("delete-message", "--queue-url", url, "--receipt-handle", again["ReceiptHandle"])
    entries = json.dumps([{"Id": "near", "MessageBody": "1"}, {"Id": "far", "MessageBody": "2", "DelaySeconds": 901}])
    both = aws("send-message-batch", "--queue-url", url, "--entries", entries)
    assert ([one["Id"] for one in both["Successful"]], [one["Id"] for one in both["Failed"]]) == (["near"], ["far"])
    aws("set-queue-attributes", "--queue-url", url, "--attributes", "DelaySeconds=7")
    told = aws("get-queue-attributes", "--queue-url", url, "--attribute-names", "All")["Attributes"]
    assert (told["VisibilityTimeout"], told["DelaySeconds"], told["ApproximateNumberOfMessages"]) == ("60", "7", "1")
    assert aws("list-queue-tags", "--queue-url", url)["Tags"] == {"team": "cli"}
    aws("purge-queue", "--queue-url", url)
    with pytest.raises(AssertionError, match=r"PurgeQueueInProgress.*allowed every 60 seconds"):
        aws("purge-queue", "--queue-url", url)
    aws("delete-queue", "--queue-url", url)
    # What the error is called, and its words, depend on the protocol.
    with pytest.raises(AssertionError, match=rf"AWS\.SimpleQueueService\.NonExistentQueue.*{of_missing}"):
        aws("get-queue-url", "--queue-name", name)
