"""How clients are led: paces, steps, endpoints, two SDKs on the same data; and one that fails is not overlooked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.clients import Clients, ClientsFailed, Load, Target
from tests.faults.history import CLIENTS_MAX, HistoryDamaged, read, write
from tests.faults.made import History
from tests.faults.verdict import judge
from tests.servers import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("clients")
    with running(folder / "data", environment={"TENET_STORE_URL": "memory:"}) as started:
        yield started


def target_of(server: Server, *endpoints: str) -> Target:
    return Target(endpoints or (server.endpoint,), server.exports, server.exports["AWS_CA_BUNDLE"])


def test_clients_keep_to_their_pace_and_take_their_steps(server: Server, tmp_path: Path) -> None:
    loads = [Load("counters", 2, rate=20, steps=20)]
    with Clients(target_of(server), tmp_path, seed=1).running(loads, seconds=60, name="pace") as run:
        pass
    for client in range(2):
        begins = [one.begin_ns for one in run.history if one.client == client]
        assert len(begins) == 20
        assert begins[0] >= run.begin_ns
        assert begins[-1] - begins[0] >= 19 * 50_000_000 * 0.99


def test_clients_of_two_sdks_and_two_endpoints_meet_in_the_same_data(server: Server, tmp_path: Path) -> None:
    target = target_of(server, server.endpoint, server.endpoint.replace("127.0.0.1", "localhost"))
    kinds = ("registers", "counters", "bank", "lists")
    loads = [Load(kind, 2, steps=25, language=language) for kind in kinds for language in ("python", "javascript")]
    with Clients(target, tmp_path, seed=1).running(loads, seconds=60, name="two") as run:
        pass
    assert judge(run.history).is_right, str(judge(run.history))
    asked = {one.client // CLIENTS_MAX for one in run.history if not one.is_last_look}
    assert asked == set(range(len(loads)))
    # Each saw what the other wrote: a value bears its writer's number.
    found = [one for one in run.history if one.workload == "registers" and one.got and not one.is_last_look]
    seen = {(one.client // CLIENTS_MAX, one.got // 10_000_000 // CLIENTS_MAX) for one in found}
    assert {(0, 1), (1, 0)} & seen


def test_clients_whose_process_fails_are_not_overlooked(server: Server, tmp_path: Path) -> None:
    credentials = {"AWS_ACCESS_KEY_ID": "AKIDWRONG", "AWS_SECRET_ACCESS_KEY": "wrong"}
    stranger = Target([server.endpoint], credentials, server.exports["AWS_CA_BUNDLE"])
    with (
        pytest.raises(ClientsFailed, match=r"(?s)instead of prepared.*UnrecognizedClientException"),
        Clients(stranger, tmp_path, seed=1).running([Load("counters", 1)], seconds=1),
    ):
        raise AssertionError("they cannot have been prepared")


def test_a_workload_without_a_last_look_is_a_mistake(server: Server, tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="take the last look"),
        Clients(target_of(server), tmp_path, seed=1).running([Load("lists", 1, language="javascript")], seconds=1),
    ):
        pass


def test_a_history_comes_back_as_it_was_written(tmp_path: Path) -> None:
    history = History("lists")
    moves = [("append", "x", [1]), ("read", "y", None)]
    history.add(5, 9, "append", "info", asked=moves, earlier=((5, 6, "unknown"),), error="Lost")
    history.add(0, 1, "read", got=[("read", "x", [])])
    write(tmp_path / "a.jsonl", history.operations)
    assert [(one.name, one.outcome, len(one.attempts)) for one in read([tmp_path / "a.jsonl"])] == [
        ("1.1", "ok", 1),
        ("0.0", "info", 2),
    ]


@pytest.mark.parametrize("cut", [1, 12, 40])
def test_a_history_that_ends_early_is_refused(tmp_path: Path, cut: int) -> None:
    history = History("registers")
    history.add(0, 1, "read", key="x")
    write(tmp_path / "whole.jsonl", history.operations)
    whole = (tmp_path / "whole.jsonl").read_bytes()
    (tmp_path / "cut.jsonl").write_bytes(whole[: len(whole) - cut - 1])
    with pytest.raises(HistoryDamaged, match=r"cut\.jsonl has no end mark"):
        read([tmp_path / "cut.jsonl"])
