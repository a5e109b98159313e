"""A server whose settings change while clients use it: what changes at once, what does not, and what is refused."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.conformance.peers import free_port
from tests.servers import Server, start

CLIENTS = 3
#: How long anything may take to show, on a busy machine.
SHOWN_S_MAX = 30.0
ONCE = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=30)


class Settings:
    """A settings file, and the server that was started with it.

    Args:
        folder: where both lie.
        listen: where the server listens at first.
    """

    def __init__(self, folder: Path, listen: str) -> None:
        self.file = folder / "tenet.toml"
        self.data = folder / "data"
        self.values: dict[str, dict[str, Any]] = {"server": {"listen": listen}}
        self.write()

    def write(self, **sections: Mapping[str, Any]) -> None:
        """Writes the file anew: what it had, with other values in some sections."""
        for name, values in sections.items():
            self.values[name] = {**self.values.get(name, {}), **values}
        lines = ["version = 1"]
        for name, values in self.values.items():
            lines += [f"[{name}]", *(f"{setting} = {json.dumps(value)}" for setting, value in values.items())]
        self.file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def endpoint(self) -> str:
        """Where the server says that it serves."""
        return str(json.loads((self.data / "running.json").read_text(encoding="utf-8"))["endpoint"])


class Clients:
    """Clients that try nothing twice, and look before each request where the server is.

    Args:
        server: which one.
        settings: say where it is.
    """

    def __init__(self, server: Server, settings: Settings) -> None:
        self._server = server
        self._settings = settings
        self._is_over = threading.Event()
        self.answered: dict[str, int] = {}
        self.failed: list[str] = []

    @contextmanager
    def at_work(self) -> Iterator[Clients]:
        """Lets them put and get items for the length of a block."""
        threads = [threading.Thread(target=self._work, args=(at,)) for at in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join()

    def wait_answered(self, endpoint: str, more: int = 20) -> None:
        """Waits until an address has answered a number of further requests."""
        until_s, target = time.monotonic() + SHOWN_S_MAX, self.answered.get(endpoint, 0) + more
        while self.answered.get(endpoint, 0) < target:
            assert time.monotonic() < until_s, f"{endpoint} does not answer: {self.answered}, {self.failed}"
            time.sleep(0.02)

    def _work(self, at: int) -> None:
        endpoint, client, number = "", None, 0
        while not self._is_over.is_set():
            now = self._settings.endpoint()
            if client is None or now != endpoint:
                endpoint, client = now, client_of(self._server, now)
            key = {"id": {"S": f"{at}-{number // 2}"}}
            try:
                if number % 2 == 0:
                    client.put_item(TableName="items", Item=key)
                elif client.get_item(TableName="items", Key=key, ConsistentRead=True).get("Item") != key:
                    self.failed.append(f"{endpoint}: {key} is not there")
            except Exception as error:  # noqa: BLE001 - whatever a client is told counts
                self.failed.append(f"{endpoint}: {error!r}")
            number += 1
            self.answered[endpoint] = self.answered.get(endpoint, 0) + 1
            time.sleep(0.01)


def client_of(server: Server, endpoint: str) -> Any:
    """A client of an address that tries nothing twice."""
    return boto3.client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name=server.exports["AWS_DEFAULT_REGION"],
        aws_access_key_id=server.exports["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=server.exports["AWS_SECRET_ACCESS_KEY"],
        verify=server.exports["AWS_CA_BUNDLE"],
        config=ONCE,
    )


def changes_while_clients_go_on(folder: Path, environment: Mapping[str, str], start_s_max: float = 30.0) -> None:
    """The scenario: every kind of change and of mistake, under load.

    Args:
        folder: for the server's data and its settings file.
        environment: further variables of the server, its store among them.
        start_s_max: how long its start may take.
    """
    first, second = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    settings = Settings(folder, first)
    server = start(
        settings.data,
        "--config",
        str(settings.file),
        environment=environment,
        start_s_max=start_s_max,
        listens_by_settings=True,
    )
    try:
        client = client_of(server, settings.endpoint())
        client.create_table(
            TableName="items",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        client.get_waiter("table_exists").wait(TableName="items", WaiterConfig={"Delay": 1})
        clients = Clients(server, settings)
        with clients.at_work():
            clients.wait_answered(f"https://{first}")
            mistakes_change_nothing(server, settings, clients)
            the_log_changes(server, settings, clients)
            the_address_changes(server, settings, clients, first, second)
        assert not clients.failed, clients.failed
        limits_change(server, settings)
    finally:
        server.stop()


def mistakes_change_nothing(server: Server, settings: Settings, clients: Clients) -> None:
    assert server.command("config", "reload").stdout == "No setting has changed.\n"
    good, before = dict(settings.values), settings.endpoint()
    settings.write(
        logs={"levle": "debug", "sample_ratio": 2.0},
        limits={"in_flight_max": 0},
        server={"listen": "127.0.0.1:99999"},
    )
    refused = server.command("config", "reload")
    assert refused.returncode == 3, refused.stderr
    for setting in ("logs.levle", "logs.sample_ratio", "limits.in_flight_max", "server.listen"):
        assert f"`{setting}`" in refused.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings.values = dict(good)
        settings.write(server={"listen": f"127.0.0.1:{taken.getsockname()[1]}"}, logs={"level": "error"})
        refused = server.command("config", "reload")
        assert refused.returncode == 4, refused.stderr
        assert "is in use by another process" in refused.stderr
    settings.values = good
    settings.write()
    assert settings.endpoint() == before
    assert server.command("config", "reload").stdout == "No setting has changed.\n"
    clients.wait_answered(before)


def the_log_changes(server: Server, settings: Settings, clients: Clients) -> None:
    def lines_of_requests() -> int:
        return server.log.read_text(encoding="utf-8").count('"operation":"PutItem"')

    settings.write(logs={"sample_ratio": 1.0})
    assert server.command("config", "reload").stdout == "logs.sample_ratio: changed.\n"
    until_s, before = time.monotonic() + SHOWN_S_MAX, lines_of_requests()
    while lines_of_requests() < before + 5:
        assert time.monotonic() < until_s, "requests leave no lines"
        time.sleep(0.02)
    settings.write(logs={"level": "error"})
    assert server.command("config", "reload").stdout == "logs.level: changed.\n"
    quiet = lines_of_requests()
    clients.wait_answered(settings.endpoint())
    # What was on its way to the file when the level changed may still arrive.
    assert lines_of_requests() <= quiet + CLIENTS


def the_address_changes(server: Server, settings: Settings, clients: Clients, first: str, second: str) -> None:
    settings.write(server={"listen": second}, tables={"tables_max": 7})
    done = server.command("config", "reload")
    assert done.stdout == (
        "server.listen: changed.\ntables.tables_max: takes effect at the next start.\n"
        f"It serves at https://{second} now; so says `tenet env`.\n"
    )
    clients.wait_answered(f"https://{second}")
    host, _, port = first.rpartition(":")
    with closing(socket.socket()) as nobody:
        assert nobody.connect_ex((host, int(port))) != 0
    assert "takes effect at the next start" in server.command("config", "reload").stdout
    settings.write(server={"listen": first})
    server.process.send_signal(signal.SIGHUP)
    clients.wait_answered(f"https://{first}")


def limits_change(server: Server, settings: Settings) -> None:
    settings.write(limits={"tenant_requests_per_s_max": 1.0})
    assert "limits.tenant_requests_per_s_max: changed." in server.command("config", "reload").stdout
    client = client_of(server, settings.endpoint())
    try:
        for _ in range(20):
            client.list_tables()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ThrottlingException"  # noqa: PT017 - one of many has to be refused
    else:
        raise AssertionError("the limit does not hold")
    settings.write(limits={"tenant_requests_per_s_max": 0.0})
    assert "limits.tenant_requests_per_s_max: changed." in server.command("config", "reload").stdout
    for _ in range(20):
        client.list_tables()
