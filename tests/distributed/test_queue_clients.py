"""Programs of users with queues, old and in other languages, against ``tenet up`` over a real cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.queues.clients import run_celery, run_java, run_old_boto3
from tests.servers import Server, running


@pytest.fixture
def server(node_data: Path, store_url: str) -> Iterator[Server]:
    with running(node_data, "--store", store_url) as found:
        yield found


def test_celery(server: Server, tmp_path: Path) -> None:
    run_celery(server, tmp_path, "tasks")


@pytest.mark.parametrize(("program", "version"), [("Orders", "v1"), ("Parcels", "v2"), ("Crates", "v2")])
def test_java(program: str, version: str, server: Server, tmp_path: Path) -> None:
    run_java(program, version, server, tmp_path, program.lower())


def test_boto3_of_the_query_protocol(server: Server, tmp_path: Path) -> None:
    run_old_boto3(server, tmp_path, "boxes")
