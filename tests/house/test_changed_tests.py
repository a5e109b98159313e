"""The choice of tests for a change follows the imports: what can notice it runs, what cannot does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.changed_tests import ROOT, imports_of, is_touched, module_of, touched_modules

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
    ],
)
def test_a_test_runs_where_it_can_notice(test: str, changed: list[str], runs: bool) -> None:
    assert touched(test, changed) is runs


def test_imports_are_followed_through_helpers_of_the_tests(tmp_path: Path) -> None:
    helped = tmp_path / "test_helped.py"
    helped.write_text("from tests.edges import serving\nimport tenet.base.ids\n", encoding="utf-8")
    found = imports_of(helped, set())
    assert "tenet.base.ids" in found
    assert "tenet.wire.server" in found
