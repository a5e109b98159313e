"""The choice of tests for a change follows the imports: what can notice it runs, what cannot does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.changed_tests import ON_CLUSTERS, ROOT, is_touched, left_out, module_of, reach_of, touched_modules
from tools.stages import PLANS

CLOCK = ["src/tenet/base/clock.py"]
SETTINGS = ["src/tenet/app/settings.py"]


def touched(test: str, changed: list[str]) -> bool:
    return is_touched(ROOT / test, changed, touched_modules(changed))


def test_a_file_is_a_module() -> None:
    assert module_of("src/tenet/base/clock.py") == "tenet.base.clock"
    assert module_of("src/tenet/base/__init__.py") == "tenet.base"


def test_everything_stands_on_base_and_nothing_on_app() -> None:
    everything = touched_modules(CLOCK)
    assert {"tenet.base.clock", "tenet.store.contract", "tenet.app.server"} <= everything
    assert {name.split(".")[1] for name in touched_modules(SETTINGS)} == {"app"}


@pytest.mark.parametrize(
    ("test", "changed", "runs"),
    [
        ("tests/unit/app/test_configuration.py", SETTINGS, True),
        ("tests/unit/app/test_core.py", ["src/tenet/store/sqlite/writer.py"], True),
        ("tests/unit/app/test_exports.py", ["src/tenet/store/sqlite/writer.py"], False),
        ("tests/unit/app/test_exports.py", ["tests/unit/app/test_exports.py"], True),
        ("tests/unit/app/test_exports.py", ["docs/README.md"], False),
        ("tests/e2e/test_cli_server.py", CLOCK, True),
        ("tests/e2e/test_cli_server.py", ["docs/README.md"], False),
        ("tests/house/test_tools.py", ["docs/README.md"], True),
        ("tests/test_tidy.py", ["docs/README.md"], True),
        # Helpers of tests, benchmarks and tools.
        ("tests/sim/test_queues.py", ["tests/sim/harness.py"], True),
        ("tests/contract/test_memory.py", ["tests/contract/harnesses.py"], True),
        ("tests/contract/test_memory.py", ["tests/unit/tables/values.py"], False),
        ("tests/unit/wire/test_edge.py", ["tests/edges.py"], True),
        ("tests/conformance/test_differential.py", ["tests/conformance/differential/compare.py"], True),
        ("tests/conformance/test_forms.py", ["tests/conformance/mutations.py"], True),  # started by its module's name
        ("tests/sim/test_same_history.py", ["tests/sim/harness.py"], True),  # imported by a script in a string
        ("tests/conformance/test_java.py", ["tests/conformance/conftest.py"], True),
        ("tests/e2e/test_edge_admission.py", ["tests/e2e/edge_process.py"], True),  # started by its file's name
        ("tests/unit/benchmarks/test_judge.py", ["benchmarks/judge.py"], True),
        ("tests/unit/test_rounds.py", ["tools/stages.py"], True),
        ("tests/distributed/test_tables.py", ["tests/clusters.py"], True),
        ("tests/unit/app/test_exports.py", ["tests/rounds.py"], True),
        # Pages.
        ("tests/docs/test_blocks.py", ["README.md"], True),
        ("tests/docs/test_blocks.py", ["docs/tutorials/gazetteer.md"], True),
        ("tests/docs/test_blocks.py", ["docs/runbook/placement.md"], False),
        ("tests/unit/placement/test_runbook.py", ["docs/runbook/placement.md"], True),
        ("tests/unit/conformance/test_compatibility.py", ["docs/compat/tables.md"], True),
        ("tests/e2e/test_cli_server.py", ["src/tenet/wire/DESIGN.md"], False),
        # What is no Python.
        ("tests/conformance/test_java.py", ["tests/conformance/java/Orders.java"], True),
        ("tests/e2e/test_load_generator.py", ["benchmarks/load/main.go"], True),
        ("tests/unit/app/test_exports.py", ["benchmarks/load/main.go"], False),
        # Servers that tests start.
        ("tests/cluster/test_pipes.py", ["src/tenet/wire/sigv4.py"], True),
        ("tests/distributed/test_server.py", ["src/tenet/wire/sigv4.py"], True),
    ],
)
def test_a_test_runs_where_it_can_notice(test: str, changed: list[str], runs: bool) -> None:
    assert touched(test, changed) is runs


@pytest.mark.thorough
@pytest.mark.parametrize(
    "helper",
    [
        "tests/sim/harness.py",
        "tests/contract/harnesses.py",
        "tests/edges.py",
        "tests/unit/tables/values.py",
        "tests/conformance/differential/compare.py",
        "benchmarks/judge.py",
    ],
)
def test_a_helper_touches_every_test_file_that_imports_it(helper: str) -> None:
    name = helper.removesuffix(".py").replace("/", ".")
    importers = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").glob("**/test_*.py")
        if f"from {name} import" in path.read_text(encoding="utf-8")
    ]
    assert importers
    assert not [test for test in importers if not touched(test, [helper])]


def test_imports_are_followed_through_helpers_of_the_tests(tmp_path: Path) -> None:
    helped = tmp_path / "test_helped.py"
    helped.write_text("from tests.edges import serving\nimport tenet.base.ids\n", encoding="utf-8")
    reach = reach_of(helped)
    assert "tenet.base.ids" in reach.modules
    assert "tenet.wire.server" in reach.modules
    assert "tests/edges.py" in reach.files


def test_a_helper_that_is_gone_touches_whoever_still_imports_it(tmp_path: Path) -> None:
    left = tmp_path / "test_left.py"
    left.write_text("from tests.unit.gone import anything\n", encoding="utf-8")
    assert "tests/unit/gone.py" in reach_of(left).files


def test_a_docstring_that_names_a_file_does_not_read_it(tmp_path: Path) -> None:
    reading = tmp_path / "test_reading.py"
    reading.write_text('"""docs/told.md"""\nPAGE = "docs/read.md"\n', encoding="utf-8")
    assert reach_of(reading).names == {"docs/read.md"}


def test_what_needs_a_cluster_is_left_out_in_words() -> None:
    told = "\n".join(left_out(["tests/cluster/test_pipes.py", "tests/cluster/test_soak.py", "tests/e2e/test_nodes.py"]))
    assert "2 in tests/cluster" in told
    assert 'make test ARGS="--stages cluster"' in told
    assert not left_out(["tests/e2e/test_nodes.py"])


def test_the_stages_that_run_what_is_left_out_are_those_of_make_test() -> None:
    stages = {stage.name: stage for stage in PLANS["test"]}
    for folder in ON_CLUSTERS:
        assert stages[Path(folder).name].paths == (folder.rstrip("/"),)
