"""The report of the full rounds: which stage passed when, of which commit, with which seed.

Stages may be run one at a time, as all of them take hours. Each row tells of a stage's latest run; rows of stages that
were not run stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

_HEAD = """# Results of the full rounds

Written by `make test-long`, or a stage at a time by `make test-long ARGS="--stages NAME,…"`. To run a stage with the
same choices again: `TENET_TEST_SEED=SEED make test-long ARGS="--stages NAME"`.

| stage | outcome | summary of pytest | seed | commit | when (UTC) | machine |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """A stage's latest run: how it went, pytest's last line, and what is needed to run it again."""

    stage: str
    outcome: str
    summary: str
    seed: str
    commit: str
    when: str
    machine: str


def read(report: str) -> list[Row]:
    """Returns the rows of a report; none of one that was written in another form."""
    _, _, table = report.partition("|---|---|---|---|---|---|---|\n")
    rows = [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in table.splitlines() if line]
    return [Row(*cells) for cells in rows if len(cells) == len(Row.__dataclass_fields__)]


def merged(old: Iterable[Row], new: Iterable[Row], order: Sequence[str]) -> list[Row]:
    """Returns the latest row of each stage, in the order of the plan; stages that it has no more are left out."""
    latest = {row.stage: row for row in (*old, *new)}
    return [latest[stage] for stage in order if stage in latest]


def text_of(rows: Iterable[Row]) -> str:
    """Returns the report."""
    return _HEAD + "".join(f"| {' | '.join(cell.replace('|', '/') for cell in astuple(row))} |\n" for row in rows)
