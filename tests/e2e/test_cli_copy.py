"""``tenet store copy`` between embedded stores, while a server serves and where none runs."""

from __future__ import annotations

import shlex
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.moves import ONCE, TABLE, Writers, check, fill, item, make_table
from tests.servers import TENET, Server, clean_environment, running, start, tenet


def copy(server: Server, target: str, *options: str) -> subprocess.CompletedProcess[str]:
    return server.command("store", "copy", "sqlite:", target, *options)


def test_a_running_installation_moves_with_all_that_was_acknowledged(tmp_path: Path) -> None:
    data, target = tmp_path / "data", f"sqlite:{tmp_path / 'there'}"
    with running(data) as server:
        client = server.client(config=ONCE)
        make_table(client)
        filled = fill(client, 500)
        made = server.command("keys", "create", "--id", "mine", "--secret", "my-own-secret")
        assert made.returncode == 0
        writers = Writers(server)
        while len(writers.acknowledged) < 100:
            threading.Event().wait(0.01)
        done = copy(server, target)
        assert done.returncode == 0, done.stderr
        assert "records/s" in done.stderr
        writers.stop()
        # Clients are told what is going on, by an error that SDKs repeat; reads go on.
        assert set(writers.refusals) == {503}
        assert not writers.in_doubt
        check(client, filled, writers)
        # An operator is told too, and there is nothing to be done twice.
        assert "takes no writes" in server.command("doctor", "--output", str(tmp_path / "d.tar.gz")).stdout
        assert copy(server, target).returncode == 0
        refused = server.command("keys", "create", "--id", "late")
        assert (refused.returncode, "moves to" in refused.stderr) == (1, True)
    last = done.stdout.splitlines()[-1]
    assert shlex.split(last) == ["tenet", "up", "--data", str(data), "--store", target]
    # The old store is not served any more; the new one is, to the same keys.
    started = tenet("up", "--data", str(data), "--listen", "127.0.0.1:0")
    assert started.returncode == 1
    assert f"was moved to {target}" in started.stderr
    with running(data, "--store", target) as server:
        check(server.client(), filled, writers)
        mine = server.client(access_key_id="mine", secret_access_key="my-own-secret")
        mine.put_item(TableName=TABLE, Item=item("later", 1))
        # It has taken writes: there is no way back to the old one.
        back = tenet("store", "copy", "--abort", "sqlite:", target, "--data", str(data))
        assert back.returncode == 1
        assert "FROM is" in back.stderr


@pytest.mark.parametrize("killed", ["server", "command"])
def test_a_copy_goes_on_after_a_kill(tmp_path: Path, killed: str) -> None:
    data, target = tmp_path / "data", f"sqlite:{tmp_path / 'there'}"
    server = start(data)
    try:
        client = server.client(config=ONCE)
        make_table(client)
        filled = fill(client, 2_000)
        before = Writers(server)
        command = [str(TENET), "store", "copy", "sqlite:", target, "--data", str(data)]
        with subprocess.Popen(
            command, env=clean_environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        ) as copying:
            assert copying.stderr is not None
            copying.stderr.readline()
            if killed == "server":
                server.kill()
            else:
                copying.kill()
        if killed == "server":
            before.stop()
            server = start(data)
        # Where the server lives on, so do the first ones.
        after = Writers(server, first=4)
        done = copy(server, target)
        assert done.returncode == 0, done.stderr
        before.stop()
        after.stop()
    finally:
        server.stop()
    with running(data, "--store", target) as moved:
        check(moved.client(), filled, before, after)


def test_a_copy_where_no_server_runs_and_the_way_back(tmp_path: Path) -> None:
    data, target = tmp_path / "data", f"sqlite:{tmp_path / 'there'}"
    missing = tenet("store", "copy", "sqlite:", target, "--data", str(data))
    assert (missing.returncode, missing.stderr) == (1, f"tenet: FROM: there is no store in {data / 'store'}\n")
    with running(data) as server:
        make_table(server.client())
        filled = fill(server.client(), 50)
    done = tenet("store", "copy", "sqlite:", target, "--data", str(data))
    assert done.returncode == 0, done.stderr
    # Nothing was started there: the move can be taken back.
    undone = tenet("store", "copy", "--abort", "sqlite:", target, "--data", str(data))
    assert undone.returncode == 0, undone.stderr
    with running(data) as server:
        check(server.client(), filled)
    assert tenet("store", "copy", "sqlite:", target, "--data", str(data)).returncode == 0
    with running(data, "--store", target) as server:
        check(server.client(), filled)
        refused = server.command("store", "copy", target, "sqlite:")
        assert refused.returncode == 1
        assert "TO holds something already" in refused.stderr
        back = f"sqlite:{tmp_path / 'back'}"
        assert server.command("store", "copy", target, back).returncode == 0
        with pytest.raises(ClientError):
            server.client(config=ONCE).put_item(TableName=TABLE, Item=item("late", 1))
        # While it still serves: writes go on after the move was taken back.
        assert server.command("store", "copy", "--abort", target, back).returncode == 0
        server.client(config=ONCE).put_item(TableName=TABLE, Item=item("filled-0", 0))
        check(server.client(), filled)


def test_the_way_back_is_open_until_a_server_takes_requests_on_the_copy(tmp_path: Path) -> None:
    data, target = tmp_path / "data", f"sqlite:{tmp_path / 'there'}"
    with running(data) as server:
        make_table(server.client())
        filled = fill(server.client(), 50)
    assert tenet("store", "copy", "sqlite:", target, "--data", str(data)).returncode == 0
    # An operator has a look, and a start finds its port taken: neither has served a request.
    looked = tenet("keys", "list", "--data", str(data), TENET_STORE_URL=target)
    assert looked.returncode == 1
    assert "no server was started on it yet: `tenet up` takes it into service" in looked.stderr
    archive = str(tmp_path / "d.tar.gz")
    examined = tenet("doctor", "--data", str(data), "--output", archive, TENET_STORE_URL=target)
    assert "no server was started on it yet" in examined.stdout
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        failed = tenet("up", "--data", str(data), "--store", target, "--listen", listen)
    assert failed.returncode == 4
    assert "is in use by another process" in failed.stderr
    undone = tenet("store", "copy", "--abort", "sqlite:", target, "--data", str(data))
    assert undone.returncode == 0, undone.stderr
    with running(data) as server:
        check(server.client(), filled)


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    wrong = tenet("store", "copy", "nothing", "bogus:/x", "--data", str(tmp_path / "data"))
    assert wrong.returncode == 3
    first, second = wrong.stderr.splitlines()
    assert first.startswith("tenet: TO: `store.url` names the engine 'bogus'")
    assert second.startswith("tenet: FROM: command line: `store.url` is 'nothing'")
