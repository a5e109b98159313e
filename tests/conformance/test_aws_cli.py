"""The AWS command line, as an operator uses it: knows nothing but the variables that Tenet printed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.packages import AWS_CLI
from tests.servers import Server, clean_environment

pytestmark = pytest.mark.time_limit_s(300)


class Cli:
    """``aws dynamodb`` against a server.

    Args:
        server: the server.
        folder: where files for ``file://`` lie.
    """

    def __init__(self, server: Server, folder: Path) -> None:
        self._python = AWS_CLI.ensure() / "bin" / "python"
        self._folder = folder
        self._environment = clean_environment(AWS_PAGER="", HOME=str(folder), **server.exports)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._python), "-m", "awscli", "dynamodb", *arguments],
            env=self._environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--output", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None


@pytest.fixture
def cli(server: Server, tmp_path: Path) -> Cli:
    return Cli(server, tmp_path)


def test_operator_keeps_an_inventory(cli: Cli, tmp_path: Path, fresh_name: Callable[[str], str]) -> None:
    table = fresh_name("hosts")
    named = ("--table-name", table)
    created = cli.json(
        "create-table",
        *named,
        *("--attribute-definitions", "AttributeName=rack,AttributeType=S", "AttributeName=slot,AttributeType=N"),
        *("--key-schema", "AttributeName=rack,KeyType=HASH", "AttributeName=slot,KeyType=RANGE"),
        *("--billing-mode", "PAY_PER_REQUEST", "--tags", "Key=team,Value=metal"),
    )
    assert created["TableDescription"]["TableName"] == table
    assert cli.run("wait", "table-exists", *named).returncode == 0
    puts = [{"PutRequest": {"Item": {"rack": {"S": "r1"}, "slot": {"N": str(slot)}}}} for slot in range(1, 21)]
    (tmp_path / "hosts.json").write_text(json.dumps({table: puts}), encoding="utf-8")
    assert cli.json("batch-write-item", "--request-items", "file://hosts.json") == {"UnprocessedItems": {}}

    key = '{"rack": {"S": "r1"}, "slot": {"N": "7"}}'
    updated = cli.json(
        *("update-item", *named, "--key", key, "--update-expression", "SET #s = :s", "--return-values", "ALL_NEW"),
        *("--expression-attribute-names", '{"#s": "state"}'),
        *("--expression-attribute-values", '{":s": {"S": "broken"}}'),
    )
    assert updated["Attributes"]["state"] == {"S": "broken"}
    text = cli.run(
        *("query", *named, "--key-condition-expression", "rack = :r AND slot > :u", "--output", "text"),
        *("--expression-attribute-values", '{":r": {"S": "r1"}, ":u": {"N": "17"}}'),
        *("--query", "Items[].slot.N"),
    )
    assert text.stdout.split() == ["18", "19", "20"], text.stderr

    first = cli.json("scan", *named, "--max-items", "15", "--page-size", "4")
    rest = cli.json("scan", *named, "--starting-token", first["NextToken"], "--page-size", "4")
    assert (len(first["Items"]), len(rest["Items"])) == (15, 5)
    assert cli.json("delete-table", *named)["TableDescription"]["TableStatus"] == "DELETING"
    assert cli.run("wait", "table-not-exists", *named).returncode == 0


def test_errors_are_told(cli: Cli) -> None:
    done = cli.run("describe-table", "--table-name", "no-such-table")
    assert done.returncode == 255
    assert "(ResourceNotFoundException) when calling the DescribeTable operation" in done.stderr
    assert "Requested resource not found: Table: no-such-table not found" in done.stderr
