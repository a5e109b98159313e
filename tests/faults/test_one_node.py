"""One Tenet on the embedded engine under every workload, while it is killed, frozen and started again.

Clients wait through it with the SDK's own retries, and go on when those are used up; what they were told is true.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.clients import Load
from tests.faults.control import TenetNode
from tests.faults.history import CLIENTS_MAX
from tests.faults.schedule import Action, draw
from tests.faults.trial import conduct
from tests.rounds import rounds

LOADS = (
    Load("registers", 2),
    Load("counters", 3),
    Load("bank", 3),
    Load("lists", 3),
    Load("registers", 2, language="javascript"),
    Load("lists", 3, language="javascript"),
)
SECONDS = rounds(7.0, 180.0)
LASTS_S: dict[Action, float] = {"kill9": rounds(0.3, 1.0), "pause": rounds(1.0, 5.0)}
#: A client that asks a frozen server asks again after so long.
SDK = {"read_timeout": rounds(0.6, 2.0), "connect_timeout": 1}


@pytest.mark.time_limit_s(600)
def test_what_clients_were_told_is_true_whatever_happens_to_the_server(tmp_path: Path, seed: int) -> None:
    node = TenetNode("tenet-1", tmp_path / "data")
    node.start()
    calm_s = rounds(1.0, 3.0)
    actions: list[Action] = ["kill9", "pause"]
    schedule = draw(
        seed, groups={node.name: [node.name]}, actions=actions, seconds=SECONDS, lasts_s=LASTS_S, calm_s=calm_s
    )
    assert {fault.action for fault in schedule.faults} == set(actions)
    try:
        trial = conduct(node.target, [node], schedule, LOADS, folder=tmp_path, seed=seed, seconds=SECONDS, sdk=SDK)
    finally:
        node.end()
    print(trial)
    assert trial.verdict.is_right, str(trial)
    # The faults were felt: requests were sent again whose first try may have landed.
    assert any(attempt.fate == "unknown" for one in trial.history for attempt in one.attempts), str(trial)
    # And all clients went on behind them.
    mended_ns = trial.events[-1].end_ns
    after = {
        one.client // CLIENTS_MAX
        for one in trial.history
        if mended_ns < one.begin_ns < trial.until_ns and one.outcome == "ok"
    }
    assert after == set(range(len(LOADS))), str(trial)
