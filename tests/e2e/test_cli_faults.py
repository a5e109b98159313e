"""What an operator meets when something is wrong: a server that may not write, hangs, is gone, or is not there yet."""

from __future__ import annotations

import resource
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.servers import TENET, Server, clean_environment, running, start, tenet

RECOVERY_S_MAX = 20


def make_table(server: Server) -> None:
    server.client().create_table(
        TableName="things",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def readiness(server: Server) -> tuple[int, str]:
    """Status and text of the page that a load balancer asks."""
    context = ssl.create_default_context(cafile=server.exports["AWS_CA_BUNDLE"])
    try:
        with urllib.request.urlopen(f"{server.endpoint}/readyz", timeout=10, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@contextmanager
def no_room(server: Server) -> Iterator[None]:
    """For the length of a block no file of the server can grow, which is what a full disk does to it."""
    limits = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limits)


def test_a_server_that_cannot_write_is_not_ready_says_why_and_recovers_by_itself(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        make_table(server)
        client = server.client(config=Config(retries={"total_max_attempts": 1}))
        client.put_item(TableName="things", Item={"id": {"S": "before"}})
        assert readiness(server) == (200, "ready\n")
        with no_room(server):
            with pytest.raises(ClientError) as refused:
                client.put_item(TableName="things", Item={"id": {"S": "lost"}})
            assert "The server's disk is full. Nothing was written" in str(refused.value)
            status, why = readiness(server)
            assert status == 503
            assert why.startswith("the store takes no writes: ")
            assert client.get_item(TableName="things", Key={"id": {"S": "before"}})["Item"]
            waited = server.command("env", "--wait=0.2")
            assert waited.returncode == 5
            assert "not ready after 0.2 s" in waited.stderr
            assert why.strip() in waited.stderr
            examined = server.command("doctor", "--output", str(tmp_path / "doctor.tar.gz"))
            assert f"- The store takes no writes: {why.strip().partition(': ')[2]}" in examined.stdout
        # Nobody writes: it is the server that finds out.
        assert server.command("env", f"--wait={RECOVERY_S_MAX}").returncode == 0
        assert readiness(server) == (200, "ready\n")
        client.put_item(TableName="things", Item={"id": {"S": "after"}})


def test_env_waits_until_the_first_start_is_done(tmp_path: Path) -> None:
    command = [str(TENET), "env", "--wait", "--data", str(tmp_path / "data")]
    with (
        subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True) as waiting,
        running(tmp_path / "data") as server,
    ):
        printed, _ = waiting.communicate(timeout=30)
        assert f"export AWS_ENDPOINT_URL={server.endpoint}\n" in printed
        assert waiting.returncode == 0


def test_env_says_that_nobody_serves(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        assert server.command("env").stderr == ""
    gone = tenet("env", "--data", str(tmp_path / "data"))
    assert gone.returncode == 0
    assert "export AWS_ENDPOINT_URL=" in gone.stdout
    assert gone.stderr == f"tenet: these lines do not work yet: no server runs on {tmp_path / 'data'}\n"
    waited = tenet("env", "--wait=0", "--data", str(tmp_path / "data"))
    assert (waited.returncode, waited.stdout) == (5, "")


def test_a_server_that_hangs_is_named_within_seconds(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--plaintext") as server:
        server.process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            refused = server.command("keys", "list")
            elapsed_s = time.monotonic() - began
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert refused.returncode == 5
        assert f"in use by the process {server.process.pid}" in refused.stderr
        assert elapsed_s < 30


def test_the_start_names_its_process_and_the_command_that_prints_the_lines_again(tmp_path: Path) -> None:
    with subprocess.Popen(
        [str(TENET), "up", "--data", str(tmp_path / "the data"), "--listen", "127.0.0.1:0"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert f", as process {process.pid};" in process.stdout.readline()
        printed: list[str] = []
        while "So does:" not in "".join(printed):
            printed.append(process.stdout.readline())
        command = printed.pop().partition("So does:")[2].strip()
        script = f"{command}; export -p | grep -c AWS_"
        done = subprocess.run(
            ["/bin/sh", "-euc", script], env=clean_environment(), capture_output=True, text=True, check=False
        )
        exports = sum(line.startswith("export AWS_") for line in printed)
        assert (done.stdout, done.stderr) == (f"{exports}\n", "")
        process.terminate()


def test_a_backup_takes_the_place_of_another_only_when_forced(tmp_path: Path) -> None:
    file = tmp_path / "backup.tenet"
    with running(tmp_path / "data") as server:
        file.write_bytes(b"mine")
        refused = server.command("backup", str(file))
        assert refused.returncode == 1
        assert "--force" in refused.stderr
        assert file.read_bytes() == b"mine"
        forced = server.command("backup", "--force", str(file))
        assert forced.returncode == 0, forced.stderr
        assert file.stat().st_mode & 0o077 == 0
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith("backup")] == ["backup.tenet"]
        assert server.command("restore", "--yes", str(file)).returncode == 0
        (tmp_path / "loose").symlink_to(tmp_path / "nowhere")
        for name, why in {
            "data/running.json": "a place of the installation's own files",
            "data/new": "a place of the installation's own files",
            "data.master-key": "a place of the installation's own files",
            "absent/backup": "there is no directory",
            ".": "is a directory",
            "loose": "is no ordinary file",
        }.items():
            refused = server.command("backup", "--force", str(tmp_path / name))
            assert refused.returncode == 1
            assert why in refused.stderr
    start(tmp_path / "data").stop()


def test_a_store_that_cannot_be_opened_is_kept_aside_by_a_restore(tmp_path: Path) -> None:
    file = tmp_path / "backup.tenet"
    with running(tmp_path / "data") as server:
        make_table(server)
        server.client().put_item(TableName="things", Item={"id": {"S": "a"}})
        assert server.command("backup", str(file)).returncode == 0
    damaged = bytes(range(256)) * 16 + (tmp_path / "data" / "store" / "tenet.db").read_bytes()[4096:]
    (tmp_path / "data" / "store" / "tenet.db").write_bytes(damaged)
    refused = tenet("up", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    assert refused.returncode == 1
    assert "is damaged" in refused.stderr
    restored = server.command("restore", "--yes", str(file))
    assert restored.returncode == 0, restored.stderr
    kept = tmp_path / "data" / "store.damaged-1"
    assert restored.stderr == f"tenet: the store could not be opened; it is kept in {kept}\n"
    assert (kept / "tenet.db").read_bytes() == damaged
    with running(tmp_path / "data") as again:
        assert again.client().get_item(TableName="things", Key={"id": {"S": "a"}})["Item"] == {"id": {"S": "a"}}


def test_no_command_makes_an_installation_but_up(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for command in (["keys", "list"], ["backup", "x"], ["env"], ["restore", "--yes", __file__]):
        refused = tenet(*command, "--data", str(tmp_path / "data"))
        assert refused.returncode == 1
        assert "no server was ever started on" in refused.stderr
    assert list(tmp_path.rglob("*")) == [tmp_path / "data"]


def test_the_doctor_says_what_it_found_even_where_its_archive_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"mine")
    for output, why in {"there": "there exists", "absent/x": "cannot be written: No such file"}.items():
        told = tenet("doctor", "--data", str(tmp_path / "data"), "--output", str(tmp_path / output))
        assert told.returncode == 1
        assert "Nothing could be found out" in told.stderr
        assert why in told.stderr
    assert (tmp_path / "there").read_bytes() == b"mine"
