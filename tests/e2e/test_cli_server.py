"""``tenet up`` from its start to its stop, and what it refuses, as an operator meets it."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import stat
import subprocess
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.servers import TENET, clean_environment, running, start, tenet


def make_table(client: Any, name: str = "things") -> None:
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_started_again_everything_is_there(tmp_path: Path, number: signal.Signals) -> None:
    first = start(tmp_path / "data")
    client = first.client()
    make_table(client)
    client.put_item(TableName="things", Item={"id": {"S": "a"}, "n": {"N": "1"}})
    assert first.stop(number) == 0
    assert not (tmp_path / "data" / "running.json").exists()
    with running(tmp_path / "data") as second:
        assert second.exports["AWS_SECRET_ACCESS_KEY"] == first.exports["AWS_SECRET_ACCESS_KEY"]
        found = second.client().get_item(TableName="things", Key={"id": {"S": "a"}})
        assert found["Item"] == {"id": {"S": "a"}, "n": {"N": "1"}}


def test_what_was_acknowledged_before_a_kill_is_there(tmp_path: Path) -> None:
    first = start(tmp_path / "data")
    client = first.client()
    make_table(client)
    for number in range(50):
        client.put_item(TableName="things", Item={"id": {"S": str(number)}})
    first.kill()
    with running(tmp_path / "data") as second:
        assert second.client().scan(TableName="things", Select="COUNT")["Count"] == 50


def test_a_request_that_has_begun_is_answered_before_the_stop(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--plaintext") as server:
        host, port = server.endpoint.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
            while b"healthy" not in urllib.request.urlopen(server.endpoint, timeout=10).read():
                pass
            # As when make passes on what the whole group has got: two signals are one wish.
            server.process.send_signal(signal.SIGTERM)
            server.process.send_signal(signal.SIGINT)
            connection.sendall(b"}")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 4")
        assert server.process.wait(timeout=20) == 0


def test_asked_again_it_stops_at_once(tmp_path: Path) -> None:
    environment = {"TENET_SERVER_DRAIN_MS": "60000"}
    with running(tmp_path / "data", "--plaintext", environment=environment) as server:
        host, port = server.endpoint.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
            while b"healthy" not in urllib.request.urlopen(server.endpoint, timeout=10).read():
                pass
            code = None
            while code is None:
                server.process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    code = server.process.wait(timeout=0.1)
    assert code == 130


def test_a_second_server_on_the_directory_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        refused = tenet("up", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
        assert refused.returncode == 4
        assert f"in use by the process {server.process.pid}" in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert server.client().list_tables()["TableNames"] == []


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = tenet("up", "--data", str(tmp_path / "data"), "--listen", address)
        assert refused.returncode == 4
        assert refused.stderr == (
            f"tenet: {address} is in use by another process; listen elsewhere with --listen HOST:PORT.\n"
        )
        assert list(tmp_path.iterdir()) == []
        # A directory that is there already keeps what a start puts into it.
        (tmp_path / "data").mkdir()
        assert tenet("up", "--data", str(tmp_path / "data"), "--listen", address).returncode == 4
    start(tmp_path / "data").stop()


def test_an_address_of_another_machine_is_a_wrong_setting_and_leaves_nothing_behind(tmp_path: Path) -> None:
    refused = tenet("up", "--data", str(tmp_path / "data"), "--listen", "203.0.113.1:8000")
    assert refused.returncode == 3
    assert refused.stderr.startswith("tenet: `server.listen` is '203.0.113.1:8000', which cannot be listened on: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_plaintext_is_refused_where_others_could_listen(tmp_path: Path, address: str) -> None:
    refused = tenet("up", "--data", str(tmp_path / "data"), "--plaintext", "--listen", address)
    assert refused.returncode == 3
    assert "loopback" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_plaintext_warns(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--plaintext") as server:
        assert server.endpoint.startswith("http://127.0.0.1:")
        assert "AWS_CA_BUNDLE" not in server.exports
        assert server.client().list_tables()["TableNames"] == []
    assert "http without TLS" in server.log.read_text(encoding="utf-8")


def test_secrets_on_disk_are_private_and_the_master_key_lies_apart(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        secret = server.exports["AWS_SECRET_ACCESS_KEY"]
        made = server.command("keys", "create", "--secret", "a-secret-of-mine")
        assert made.returncode == 0, made.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".log"]
    public = {"ca.pem", "ca.p12", "server.pem"}
    assert [str(path) for path in files if path.stat().st_mode & 0o077 and path.name not in public] == []
    assert stat.S_IMODE((tmp_path / "data.master-key").stat().st_mode) == 0o600
    for path in (tmp_path / "data" / "store").iterdir():
        content = path.read_bytes()
        assert b"a-secret-of-mine" not in content
        assert secret.encode() not in content


def test_strangers_and_tampered_requests_are_refused(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        with pytest.raises(ClientError) as unknown:
            server.client(access_key_id="AKIANOBODY0000000000").list_tables()
        assert code_of(unknown) == "UnrecognizedClientException"
        with pytest.raises(ClientError) as wrong:
            server.client(secret_access_key="not the secret").list_tables()
        assert code_of(wrong) == "InvalidSignatureException"


def test_streams_have_the_endpoint_of_their_tables(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        streams = server.client("dynamodbstreams")
        assert streams.list_streams()["Streams"] == []
        with pytest.raises(ClientError) as refused:
            streams.describe_stream(
                StreamArn="arn:aws:dynamodb:us-east-1:000000000000:table/none/stream/2026-01-01T00:00:00.000"
            )
    assert code_of(refused) == "ResourceNotFoundException"


def test_what_is_not_there_is_refused_in_clear_words(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server, pytest.raises(ClientError) as refused:
        server.client("dynamodb").list_backups()
    assert code_of(refused) == "ValidationException"
    assert "ListBackups is not available in this version of Tenet" in str(refused.value)


def test_the_certificate_is_the_local_authoritys(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(server.endpoint, timeout=10)
        context = ssl.create_default_context(cafile=server.exports["AWS_CA_BUNDLE"])
        with urllib.request.urlopen(server.endpoint, timeout=10, context=context) as answer:
            assert answer.read().startswith(b"healthy: ")


def test_settings_are_taken_over_while_it_runs(tmp_path: Path) -> None:
    file = tmp_path / "tenet.toml"
    file.write_text("version = 1\n[limits]\nrequests_per_s_max = 1\nrequests_burst = 1\n", encoding="utf-8")
    with running(tmp_path / "data", "--config", str(file)) as server:
        client = server.client()
        client.meta.events.register("before-send", lambda **_: None)
        file.write_text("version = 1\n[limits]\nrequests_per_s_max = 0\n", encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        for _ in range(20):
            assert "TableNames" in client.list_tables()
        file.write_text("version = 1\n[limits]\nrequests_per_s_maximum = 0\n", encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        assert "TableNames" in client.list_tables()


def test_wrong_settings_stop_a_start_with_one_message(tmp_path: Path) -> None:
    file = tmp_path / "tenet.toml"
    file.write_text('version = 1\n[logs]\nlevle = "info"\n', encoding="utf-8")
    refused = tenet("up", "--data", str(tmp_path / "data"), "--config", str(file))
    assert refused.returncode == 3
    assert "`logs.levle` is no setting (did you mean `logs.level`?)" in refused.stderr
    checked = tenet("config", "check", str(file))
    assert (checked.returncode, checked.stderr) == (3, refused.stderr)
    file.write_text('version = 1\n[logs]\nlevel = "debug"\n', encoding="utf-8")
    checked = tenet("config", "check", str(file))
    assert checked.returncode == 0
    assert f"logs.level = 'debug'  (file {file})" in checked.stdout


def test_the_lines_to_export_work_in_a_shell(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        script = f"""
            eval "$('{TENET}' env --data '{server.data}')"
            "{TENET.parent}/python" -c '
import boto3
print(boto3.client("dynamodb").list_tables()["TableNames"])'
        """
        done = subprocess.run(
            ["/bin/sh", "-euc", script], env=clean_environment(), capture_output=True, text=True, check=False
        )
        assert done.stdout == "[]\n", done.stderr
        # What a session with AWS has left in the shell stands in no way.
        left = clean_environment(AWS_SESSION_TOKEN="of-another-key", AWS_PROFILE="nothere")
        done = subprocess.run(["/bin/sh", "-euc", script], env=left, capture_output=True, text=True, check=False)
        assert done.stdout == "[]\n", done.stderr


def test_env_needs_a_first_start(tmp_path: Path) -> None:
    refused = tenet("env", "--data", str(tmp_path / "data"))
    assert refused.returncode == 1
    assert "tenet up" in refused.stderr


def test_spans_go_where_the_settings_say(tmp_path: Path) -> None:
    spans = tmp_path / "spans.jsonl"
    environment = {"TENET_TRACES_FILE": str(spans)}
    with running(tmp_path / "data", environment=environment) as server, pytest.raises(ClientError):
        server.client().describe_table(TableName="absent")
    found = [json.loads(line) for line in spans.read_text(encoding="utf-8").splitlines()]
    assert [span["name"] for span in found] == ["dynamodb.DescribeTable"]
    assert found[0]["attributes"]["error.type"] == "ResourceNotFoundException"
    assert len(found[0]["context"]["trace_id"].removeprefix("0x")) == 32
