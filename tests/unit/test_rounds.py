"""The quick part tries fewer random examples and nothing thorough; what a change has to pass leaves out nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rounds import BRIEF_MIN, examples
from tools.stages import PLANS, ROUNDS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("number", [0, 1, BRIEF_MIN - 1, BRIEF_MIN, 40, 100, 400])
def test_a_part_of_the_examples_is_tried_and_never_hardly_any(number: int) -> None:
    brief = examples(number, is_brief=True)
    assert brief <= number == examples(number, is_brief=False)
    assert brief >= min(number, BRIEF_MIN)
    assert brief in {number, BRIEF_MIN} or brief * 4 <= number


def test_a_change_has_to_pass_all_examples() -> None:
    assert ROUNDS.keys() == {"check", "long"}
    of_test = {path for stage in PLANS["test"] for path in stage.paths}
    (check,) = PLANS["check"]
    assert set(check.paths) <= of_test
    assert check.marks == "not alone and not thorough"
    assert not any("thorough" in stage.marks for plan in ("test", "long", "coverage") for stage in PLANS[plan])


def test_the_quick_part_tries_a_part_whether_a_test_names_a_number_or_not() -> None:
    program = (
        "from hypothesis import settings; from tests import conftest; from tests.rounds import examples; "
        "print(settings.default.max_examples, examples(40), examples(60))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TENET_TEST_")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=ROOT, env=environment | ROUNDS["check"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["25", "10", "15"]
