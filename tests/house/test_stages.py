"""Some stages can be run by themselves, and the report of the full rounds keeps the others."""

from __future__ import annotations

import pytest

from tools.long_report import Row, merged, read, text_of
from tools.stages import PLANS, chosen

ROWS = [
    Row("unit", "passed", "12 passed in 3 s", "7", "abc1234", "2026-11-20 10:00", "Linux x86_64"),
    Row("sim", "FAILED", "1 failed | 2 passed", "8", "abc1234", "2026-11-20 11:00", "Linux x86_64"),
]


def test_a_report_that_was_written_is_read() -> None:
    assert read(text_of(ROWS)) == [ROWS[0], Row(*{**vars(ROWS[1]), "summary": "1 failed / 2 passed"}.values())]
    assert read("# Results of another form\n\n| stage | outcome |\n|---|---|\n| unit | passed |\n") == []


def test_rows_of_stages_that_were_not_run_stay() -> None:
    again = Row("sim", "passed", "3 passed", "9", "def5678", "2026-11-21 09:00", "Linux x86_64")
    gone = Row("gone", "passed", "1 passed", "1", "aaa", "2026-01-01 00:00", "Linux x86_64")
    assert merged([gone, ROWS[1]], [ROWS[0], again], ["unit", "sim"]) == [ROWS[0], again]


def test_stages_are_chosen_by_name() -> None:
    assert chosen("long", ["-x"]) == (list(PLANS["long"]), ["-x"])
    stages, rest = chosen("long", ["--stages", "sim,unit", "-x"])
    assert ([stage.name for stage in stages], rest) == (["sim", "unit"], ["-x"])
    with pytest.raises(SystemExit, match="not nonsense"):
        chosen("check", ["--stages", "nonsense"])
    with pytest.raises(SystemExit, match="unit"):
        chosen("check", ["--stages"])
