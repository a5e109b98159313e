"""What the benchmarks of queues make of rows, and where they are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.judge import Figures
from benchmarks.queues import judge, profile, run, sections
from benchmarks.queues.servers import ELASTICMQ_FILE, ELASTICMQ_MEMORY, RABBITMQ, TENET
from benchmarks.sections import Section
from tests.unit.benchmarks.test_judge import figures


def everywhere(**changes: object) -> dict[str, Figures]:
    return {load: figures(**changes) for load in (*sections.SENDS, *sections.DRAINS)}


def test_rates_are_judged_beside_each_peer() -> None:
    found = {
        TENET: everywhere(operations_per_s=1_600),
        ELASTICMQ_MEMORY: everywhere(operations_per_s=1_000),
        ELASTICMQ_FILE: everywhere(operations_per_s=500),
        RABBITMQ: {load: figures(operations_per_s=1_300) for load in ("send", "batch", "drain")},
    }
    passed = {verdict.what: verdict.passed for verdict in judge.judge_rates(found)}
    assert passed == {
        f"send, messages per second to {ELASTICMQ_MEMORY}": True,
        f"send, messages per second to {ELASTICMQ_FILE}": True,
        f"send, messages per second to {RABBITMQ}": False,
        f"batch, messages per second to {RABBITMQ}": False,
        f"drain, messages per second to {ELASTICMQ_MEMORY}": False,
        f"drain, messages per second to {ELASTICMQ_FILE}": True,
        f"FIFO send, messages per second to {ELASTICMQ_MEMORY}": True,
        f"FIFO send, messages per second to {ELASTICMQ_FILE}": True,
    }


def test_without_peers_no_rate_is_judged() -> None:
    assert judge.judge_rates({TENET: everywhere()}) == []
    assert judge.machine_factor({TENET: everywhere()}) == 1.0


def test_budgets_of_cpu_grow_with_what_rabbitmq_takes() -> None:
    taken = {load: figures(server_cpu_us=2 * us) for load, us in judge.RABBITMQ_CPU_US.items()}
    assert judge.machine_factor({RABBITMQ: taken}) == 2.0
    tenet = {load: figures(server_cpu_us=1.5 * us) for load, us in judge.CPU_US_MAX.items()}
    assert not any(verdict.passed for verdict in judge.judge_cpu(tenet, 1.0))
    assert all(verdict.passed for verdict in judge.judge_cpu(tenet, 2.0))
    assert len(judge.judge_cpu(tenet, 1.0)) == len(judge.CPU_US_MAX)


def test_delivery_is_judged_by_its_median_and_its_tail() -> None:
    assert [verdict.passed for verdict in judge.judge_delivery(figures(p50_ms=0.7, p99_ms=4.1))] == [True, False]
    assert [verdict.passed for verdict in judge.judge_delivery(figures(p50_ms=0.8, p99_ms=3.9))] == [False, True]


def test_a_long_backlog_is_judged_beside_a_short_one() -> None:
    short = figures(operations_per_s=1_000)
    assert judge.judge_backlog("drain", short, figures(operations_per_s=900)).passed
    assert not judge.judge_backlog("drain", short, figures(operations_per_s=890)).passed


def test_every_part_has_its_place_in_the_document(tmp_path: Path) -> None:
    document = tmp_path / "performance-queues.md"
    document.write_bytes(run.DOCUMENT.read_bytes())
    for name in (*run.PARTS, "profile"):
        report.write(Section(name, f"the table of {name}"), "how", document)
        assert f"the table of {name}" in document.read_text(encoding="utf-8")


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.parse(["--peers", "none"]).peers == ()
    assert run.parse(["--only", "backlog", "--messages", "5"]).messages == 5
    assert run.parse([]).only == run.COMPARED
    for arguments, named in ((["--only", "get"], "throughput"), (["--peers", "kafka"], "rabbitmq")):
        with pytest.raises(SystemExit):
            run.parse(arguments)
        assert named in capsys.readouterr().err


def test_all_loads_can_be_profiled() -> None:
    assert set(judge.CPU_US_MAX) <= set(profile.LOADS)
