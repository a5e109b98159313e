"""Pipes from a table to a FIFO queue, with an unchanged SDK: a server that is killed again and again, and its store."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from tests.faults.pipes import ROLE, Anywhere, Trial, declare
from tests.rounds import rounds
from tests.servers import Server, end, running, start

CHANGES = rounds(100, 1_000)
KILLS = rounds(4, 40)


@pytest.mark.time_limit_s(rounds(240, 2_400))
def test_every_change_is_delivered_in_its_order(tmp_path: Path, seed: int) -> None:
    chance, data = random.Random(seed), tmp_path / "data"
    server = start(data, "--plaintext")
    listen = urlsplit(server.endpoint).netloc

    def disturb() -> None:
        nonlocal server
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.2, 1.0))
            server.kill()
            server = start(data, "--plaintext", "--listen", listen)

    try:
        trial = Trial(Anywhere([server]), declare(server), CHANGES)
        trial.run(disturb)
        trial.check()
    finally:
        end(server)


def test_an_unchanged_sdk_declares_stops_and_deletes_a_pipe(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        url = declare(server)
        pipes, table, queue = server.client("pipes"), server.client("dynamodb"), server.client("sqs")
        (listed,) = pipes.list_pipes(NamePrefix="ch")["Pipes"]
        pattern = '{"eventName": ["INSERT"], "dynamodb": {"NewImage": {"n": {"N": [{"anything-but": "0"}]}}}}'
        filters = {"FilterCriteria": {"Filters": [{"Pattern": pattern}]}, "DynamoDBStreamParameters": {"BatchSize": 5}}
        pipes.update_pipe(Name="changes", RoleArn=ROLE, SourceParameters=filters)
        arn = pipes.describe_pipe(Name="changes")["Arn"]
        assert listed["Arn"] == arn
        pipes.tag_resource(resourceArn=arn, tags={"team": "a", "tier": "b"})
        pipes.untag_resource(resourceArn=arn, tagKeys=["tier"])
        assert pipes.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "a"}
        for number in "012":
            table.put_item(TableName="orders", Item={"Id": {"S": "k"}, "n": {"N": number}})
            table.put_item(TableName="orders", Item={"Id": {"S": f"k-{number}"}, "n": {"N": number}})
        found: list[str] = []
        until = time.monotonic() + 20
        while len(found) < 2:
            assert time.monotonic() < until, found
            messages = queue.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", [])
            found += [orjson.loads(message["Body"])["dynamodb"]["Keys"]["Id"]["S"] for message in messages]
        assert sorted(found) == ["k-1", "k-2"]
        assert pipes.stop_pipe(Name="changes")["CurrentState"] == "STOPPING"
        assert pipes.start_pipe(Name="changes")["CurrentState"] == "STARTING"
        with pytest.raises(pipes.exceptions.ConflictException):
            declare_again(pipes, listed)
        assert pipes.delete_pipe(Name="changes")["DesiredState"] == "DELETED"
        with pytest.raises(pipes.exceptions.NotFoundException):
            pipes.describe_pipe(Name="changes")
        with pytest.raises(pipes.exceptions.ValidationException, match="without /stream/ behind it"):
            declare_again(pipes, listed | {"Source": listed["Source"] + "/stream/2026-01-01T00:00:00.000"})


def test_a_pipe_moves_with_its_store(tmp_path: Path) -> None:
    data, target = tmp_path / "data", f"sqlite:{tmp_path / 'there'}"
    with running(data) as server:
        declare(server)
        for number in range(20):
            put(server, number)
        server.client("pipes").stop_pipe(Name="changes")
        put(server, 20)
        refused = server.command("store", "copy", "sqlite:", target)
        assert refused.returncode == 1
        assert "has changes that it has not delivered" in refused.stderr
        server.client("pipes").start_pipe(Name="changes")
        done = server.command("store", "copy", "sqlite:", target)
        assert done.returncode == 0, done.stderr
    with running(data, "--store", target) as server:
        put(server, 21)
        queue = server.client("sqs")
        url = queue.get_queue_url(QueueName="changes.fifo")["QueueUrl"]
        found: list[int] = []
        until = time.monotonic() + 20
        while len(found) < 22:
            assert time.monotonic() < until, found
            for message in queue.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get(
                "Messages", []
            ):
                found.append(int(orjson.loads(message["Body"])["dynamodb"]["NewImage"]["n"]["N"]))
                queue.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        assert found == list(range(22))


def put(server: Server, number: int) -> None:
    item = {"Id": {"S": "k"}, "n": {"N": str(number)}}
    server.client("dynamodb").put_item(TableName="orders", Item=item)


def declare_again(pipes: Any, listed: dict[str, Any]) -> None:
    pipes.create_pipe(
        Name="changes",
        RoleArn=ROLE,
        Source=listed["Source"],
        Target=listed["Target"],
        SourceParameters={"DynamoDBStreamParameters": {"StartingPosition": "TRIM_HORIZON"}},
    )
