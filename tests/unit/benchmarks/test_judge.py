"""What the benchmarks make of rows: medians, ratios, verdicts, and the document that keeps them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks import cluster, judge, profile, report, run, sections
from benchmarks.generator import WORKLOADS, Row
from benchmarks.judge import Figures, Verdict
from benchmarks.sections import Pace, Section


def row(**changes: object) -> Row:
    plain = Row(
        workload="put",
        connections=64,
        rate_per_s=0,
        seconds=3,
        operations=6_400,
        operations_per_s=2_000,
        p50_ms=3,
        p99_ms=9,
        max_ms=20,
        errors=0,
        error_kinds={},
        unsent=0,
        lost_updates=0,
        operations_of_connection_min=90,
        operations_of_connection_max=120,
        server_cpu_us=100,
        server_cores=1,
        server_memory_mib=80,
        generator_cpu_us=20,
    )
    return msgspec.structs.replace(plain, **changes)


def figures(**changes: object) -> Figures:
    return Figures.of([row(**changes)])


def everywhere(**changes: object) -> dict[str, Figures]:
    return {workload: figures(**changes) for workload in WORKLOADS}


def test_figures_are_medians_and_sums() -> None:
    rows = [
        row(operations_per_s=100, p50_ms=1, max_ms=50, server_cpu_us=10, errors=1, server_memory_mib=70),
        row(operations_per_s=300, p50_ms=5, max_ms=10, server_cpu_us=90, lost_updates=2, server_memory_mib=90),
        row(operations_per_s=200, p50_ms=2, max_ms=20, server_cpu_us=20, operations_of_connection_min=50),
    ]
    found = Figures.of(rows)
    assert (found.per_s, found.p50_ms, found.cpu_us, found.max_ms, found.errors) == (200, 2, 20, 50, 3)
    assert found.memory_mib == 80
    assert found.fair_share == pytest.approx(0.5)


def test_figures_without_proc_have_no_cpu() -> None:
    assert figures(server_cpu_us=None, server_memory_mib=None).cpu_us is None
    assert judge.judge_cpu(everywhere(server_cpu_us=None), 1.0) == []
    assert judge.machine_factor(everywhere(server_cpu_us=None)) == 1.0


def test_throughput_is_judged_by_workload() -> None:
    verdicts = judge.judge_throughput(everywhere(operations_per_s=1_500), everywhere(operations_per_s=1_000))
    passed = {verdict.what.partition(",")[0]: verdict.passed for verdict in verdicts}
    assert passed == dict.fromkeys(WORKLOADS, False) | {"get": True, "errors": True}


def test_an_error_or_a_lost_update_misses_the_target() -> None:
    for change in ({"errors": 1}, {"lost_updates": 1}):
        verdicts = judge.judge_throughput(everywhere(operations_per_s=9_000, **change), everywhere())
        assert [verdict.what for verdict in verdicts if not verdict.passed] == ["errors"]


def test_cpu_budgets_grow_with_what_the_yardstick_takes() -> None:
    same = {workload: figures(server_cpu_us=us) for workload, us in judge.DYNOXIDE_CPU_US.items()}
    double = {workload: figures(server_cpu_us=us * 2) for workload, us in judge.DYNOXIDE_CPU_US.items()}
    half = {workload: figures(server_cpu_us=us / 2) for workload, us in judge.DYNOXIDE_CPU_US.items()}
    assert [judge.machine_factor(found) for found in (same, double, half)] == [1.0, 2.0, 1.0]
    tenet = {workload: figures(server_cpu_us=us * 1.5) for workload, us in judge.CPU_US_MAX.items()}
    assert not any(verdict.passed for verdict in judge.judge_cpu(tenet, 1.0))
    assert all(verdict.passed for verdict in judge.judge_cpu(tenet, 2.0))


def test_a_single_connection_is_compared_by_its_median() -> None:
    verdicts = judge.judge_single(everywhere(p50_ms=0.5), everywhere(p50_ms=0.5) | {"get": figures(p50_ms=0.4)})
    assert [verdict.what for verdict in verdicts if not verdict.passed] == ["get, p50 of one connection"]


def test_a_hot_item_is_judged_by_rate_and_fairness() -> None:
    own = figures(operations_per_s=1_000)
    assert all(verdict.passed for verdict in judge.judge_hot(figures(operations_per_s=500), own))
    slow = judge.judge_hot(figures(operations_per_s=499), own)
    starved = judge.judge_hot(figures(operations_per_s=900, operations_of_connection_min=10), own)
    assert [verdict.passed for verdict in slow] == [False, True, True]
    assert [verdict.passed for verdict in starved] == [True, False, True]


def test_cost_is_judged_in_time_and_in_cpu() -> None:
    base, other = figures(operations_per_s=1_000), figures(operations_per_s=500, server_cpu_us=290)
    assert [verdict.passed for verdict in judge.judge_cost("x", base, other, 2.5)] == [True, False]


def test_a_peer_that_answered_nothing_is_beaten() -> None:
    verdicts = judge.judge_throughput(everywhere(), everywhere(operations_per_s=0))
    assert all(verdict.passed for verdict in verdicts)


def test_rounds_are_taken_in_turns() -> None:
    taken = []

    def measurement(name: str) -> Row:
        taken.append(name)
        return row()

    sections.rounds_of(Pace(3, 1), {name: lambda name=name: measurement(name) for name in "abc"})  # type: ignore[misc]
    assert "".join(taken) == "abcbcacab"


def test_sections_replace_what_stands_between_their_marks(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("before\n<!-- hot: begin -->\nold\n<!-- hot: end -->\nafter\n", encoding="utf-8")
    section = Section("hot", "| a |\n|---|", judge.judge_hot(figures(), figures()))
    report.write(section, "`make bench`, commit 123.", document)
    report.write(section, "`make bench`, commit 123.", document)
    text = document.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- hot: begin -->")
    assert text.endswith("<!-- hot: end -->\nafter\n")
    assert text.count("| a |") == text.count("commit 123") == 1
    assert "old" not in text
    assert "reached" in text


def test_a_document_without_marks_is_an_error(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("nothing", encoding="utf-8")
    with pytest.raises(report.NoPlaceForSection):
        report.write(Section("hot", ""), "", document)


def test_every_part_has_its_place_in_the_document() -> None:
    text = report.DOCUMENT.read_text(encoding="utf-8")
    missing = [part for part in (*run.PARTS, "profile") if f"<!-- {part}: begin -->" not in text]
    assert not missing


def test_what_was_found_is_printed_and_kept_and_a_missed_target_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "performance.md"
    document.write_text("<!-- hot: begin --><!-- hot: end -->", encoding="utf-8")
    reached, missed = (Section("hot", "the table", [Verdict("x", "1", "2", passed)]) for passed in (True, False))
    assert (report.tell([reached], "how", None), report.tell([reached, missed], "how", None)) == (0, 1)
    assert "the table" not in document.read_text(encoding="utf-8")
    assert report.tell([reached], "how", document) == 0
    assert "the table" in document.read_text(encoding="utf-8")
    assert "hot\nthe table\n\n| target" in capsys.readouterr().out


def test_a_profile_is_printed_with_what_costs_most(capsys: pytest.CaptureFixture[str]) -> None:
    found = profile.Profile("put", {"a.py:f": 3.0, "a.py:g": 5.0}, "µs")
    profile.tell([found], 1, "command", None)
    out = capsys.readouterr().out
    assert "put, µs\n       5.0  a.py:g\n\n| CPU, µs | put |" in out


def test_unknown_parts_and_peers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, named in (
        (["--only", "get"], "get: the parts are start, throughput"),
        (["--only", "none"], "none: the parts are"),
        (["--peers", "mongo"], "mongo: the peers are dynoxide"),
    ):
        with pytest.raises(SystemExit):
            run.parse(arguments)
        assert named in capsys.readouterr().err
    assert run.parse(["--peers", "none"]).peers == ()


LOOP = "main (/x/src/tenet/app/cli.py);run (/py/asyncio/runners.py)"
FOLDED = [
    f"thread (7): MainThread;{LOOP};answer (/x/src/tenet/tables/http.py);loads (/py/json/decoder.py) 3",
    f"thread (7): MainThread;{LOOP};answer (/x/src/tenet/tables/http.py);put (/x/src/tenet/tables/ops/put_item.py) 4",
    f"thread (7): MainThread;{LOOP} 3",
    "thread (8): tenet-commit;bootstrap (/py/threading.py);run (/x/src/tenet/store/sqlite/writer.py) 5",
    "thread (8): tenet-commit;bootstrap (/py/threading.py);wait (/py/threading.py) 5",
]


def test_samples_count_for_the_innermost_function_of_tenet() -> None:
    assert profile.count(FOLDED) == {
        "7": {"tables/http.py:answer": 3, "tables/ops/put_item.py:put": 4, profile.EVENT_LOOP: 3},
        "8": {"store/sqlite/writer.py:run": 5, profile.OTHER: 5},
    }


def test_samples_divide_what_their_thread_spent() -> None:
    found = profile.Profile("put", profile.weigh(profile.count(FOLDED), {"7": 100.0, "8": 10.0, "9": 1.0}), "µs")
    assert found.rooms == {
        "tables": 30,
        "tables/ops": 40,
        profile.EVENT_LOOP: 30,
        "store/sqlite": 5,
        profile.OTHER: 5,
    }
    table = profile.table([found]).splitlines()
    assert table[2] == "| tables/ops | 40.0 |"
    assert table[-1] == "| **all** | 110.0 |"


def test_without_the_cpu_of_threads_samples_are_shares() -> None:
    shares = profile.weigh(profile.count(FOLDED), {})
    assert sum(shares.values()) == pytest.approx(100)
    assert shares["tables/ops/put_item.py:put"] == pytest.approx(20)


def test_over_a_cluster_throughput_and_statements_are_judged_beside_the_raw_driver() -> None:
    raw = figures(operations_per_s=1_000, statements=1.0)
    for per_s, statements, passed in ((800, 1.1, [True, True]), (790, 1.2, [False, False])):
        verdicts = judge.judge_beside_raw("put", raw, figures(operations_per_s=per_s, statements=statements))
        assert [verdict.passed for verdict in verdicts] == passed
    (alone,) = judge.judge_beside_raw("put", figures(operations_per_s=10), figures(operations_per_s=10))
    assert (alone.what, alone.passed) == ("put, to the raw driver", True)


def test_figures_of_the_store_are_medians_where_there_are_any() -> None:
    rows = [row(store_cpu_us=cpu, statements=sent) for cpu, sent in ((10, 1.0), (30, 3.0), (20, 2.0))]
    assert (Figures.of(rows).store_cpu_us, Figures.of(rows).statements) == (20, 2.0)
    assert (figures().store_cpu_us, figures().statements) == (None, None)


def test_the_command_line_of_the_benchmark_over_a_cluster() -> None:
    asked = cluster.parse(["--only", "put,get", "--in-flight", "1,32", "--no-write"])
    assert (asked.only, asked.in_flight, asked.write) == (("put", "get"), (1, 32), False)
    for wrong in (["--only", "batch"], ["--in-flight", "0"], ["--in-flight", "1,x"], ["--in-flight", "129"]):
        with pytest.raises(SystemExit):
            cluster.parse(wrong)
    assert report.bench_command(["--rounds", "1"], "bench-cluster") == "make bench-cluster ARGS='--rounds 1'"


def test_the_document_has_places_for_the_sections_of_a_cluster(tmp_path: Path) -> None:
    document = tmp_path / "performance-cluster.md"
    document.write_bytes(cluster.DOCUMENT.read_bytes())
    for name in ("cluster", "apart", "lag", "capacity"):
        report.write(Section(name, f"the table of {name}"), "how", document)
        assert f"the table of {name}" in document.read_text(encoding="utf-8")
