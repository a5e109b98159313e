"""The load generator of the benchmarks: its own tests, and a short run of every workload against Tenet."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import generator, judge, sections, servers
from benchmarks.generator import SOURCE, WORKLOADS, GeneratorError, QueueLoad, Target
from benchmarks.sections import Pace

ITEMS = 1_000


def go(*arguments: str) -> str:
    done = subprocess.run(["go", *arguments], cwd=SOURCE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with servers.tenet(tmp_path_factory.mktemp("load")) as running:
        generator.prepare(running, items=ITEMS)
        yield running


@pytest.mark.time_limit_s(180)
def test_its_own_tests_pass() -> None:
    go("vet", "./...")
    assert "ok" in go("test", "./...")


def test_its_source_is_formatted() -> None:
    done = subprocess.run(["gofmt", "-l", "."], cwd=SOURCE, capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_without_go_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(generator, "BINARY", tmp_path / "load")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("go") is None
    with pytest.raises(GeneratorError, match="install Go"):
        generator.build()


@pytest.mark.time_limit_s(180)
def test_every_workload_is_answered_without_an_error(target: Target) -> None:
    names = [*WORKLOADS, "hot", "own"]
    rows = generator.measure(target, names, connections=[1, 8], seconds=0.3, warm_up_s=0.1, items=ITEMS)
    assert [(row.workload, row.connections) for row in rows] == [(name, count) for name in names for count in (1, 8)]
    for row in rows:
        assert row.errors == 0, row
        assert row.lost_updates == 0, row
        assert row.operations > 0, row
        assert 0 < row.p50_ms <= row.p99_ms <= row.max_ms


def test_a_rate_is_offered_whatever_the_answers(target: Target) -> None:
    (row,) = generator.measure(target, ["get"], connections=[16], seconds=1, rate_per_s=100, items=ITEMS)
    assert row.errors == 0
    assert row.operations <= 100
    assert row.operations + row.unsent >= 90


def test_a_long_partition_is_paged_through(target: Target) -> None:
    found = generator.pages(target, count=10, rounds=5)
    assert (found.pages, found.rounds) == (10, 5)
    assert found.ratio == pytest.approx(found.page_last_p50_ms / found.page_2_p50_ms)


@pytest.mark.time_limit_s(180)
@pytest.mark.parametrize(
    "load",
    [
        QueueLoad("send"),
        QueueLoad("send", batch=10, is_fifo=True),
        QueueLoad("drain", backlog=1_000),
        QueueLoad("drain", backlog=1_000, is_fifo=True),
        QueueLoad("deliver", rate_per_s=50),
    ],
    ids=lambda load: f"{load.workload}{'-fifo' if load.is_fifo else ''}",
)
def test_every_load_on_a_queue_is_answered_without_an_error(target: Target, load: QueueLoad) -> None:
    row = generator.queue(target, load, seconds=0.5, warm_up_s=0.1)
    assert row.errors == 0, row
    assert row.operations > 0, row
    assert 0 < row.p50_ms <= row.p99_ms <= row.max_ms


def test_refused_requests_are_errors_with_their_names(target: Target) -> None:
    stranger = dataclasses.replace(target, secret_access_key="not the secret")
    (row,) = generator.measure(stranger, ["get"], connections=[2], seconds=0.3, items=ITEMS)
    assert row.operations == 0
    assert set(row.error_kinds) == {"400 InvalidSignatureException"}


def test_a_table_that_is_missing_is_a_clear_error(target: Target) -> None:
    with pytest.raises(GeneratorError, match="ResourceNotFoundException"):
        generator.measure(target, ["hot"], seconds=0.1, table="nowhere")


@pytest.mark.alone
def test_a_hot_item_costs_nobody_but_itself(target: Target) -> None:
    found = sections.rounds_of(
        Pace(rounds=3, seconds=1.0),
        {name: sections.measurement(target, name, Pace(1, 1.0)) for name in ("hot", "own")},
    )
    verdicts = judge.judge_hot(found["hot"], found["own"])
    assert all(verdict.passed for verdict in verdicts), verdicts
