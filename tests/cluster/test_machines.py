"""Three machines at a third of what they can do, of which anything may break: what clients notice, and for how long.

A process is killed or frozen, a machine is lost or cut off from the others; what clients were told stays true, the
SDK's retries hide the rest, and nobody waits long.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.clients import Load
from tests.faults.machines import machines
from tests.faults.network import why_not
from tests.faults.schedule import Action, Fault, Schedule
from tests.faults.trial import conduct
from tests.rounds import LONG, rounds

#: Steps a second of each client; together about 30 % of what the machines do where all of them share two cores.
RATE = 3.0
LOADS = (
    Load("registers", 3, rate=RATE),
    Load("counters", 2, rate=RATE),
    Load("bank", 2, rate=RATE / 2),
    Load("lists", 1, rate=RATE / 2),
    Load("lists", 1, rate=RATE / 2, language="javascript"),
)
#: How long each fault lasts, how long nothing is broken between two, and before the first, seconds.
LASTS_S = rounds(5.0, 20.0)
CALM_S = rounds(5.0, 10.0)
WARM_S = rounds(8.0, 20.0)
#: The longest that an operation may take, milliseconds: what is promised; where tests share the machine, a multiple.
LONGEST_MS: dict[Action, float] = {"kill9": 2_000.0, "pause": 2_000.0, "partition": 2_000.0}
PATIENCE = 1 if LONG else 4


def plan(racks: dict[str, list[str]], seed: int) -> Schedule:
    """Every kind of fault once, on a machine that the seed chooses, one after the other."""
    number = 1 + seed % 3
    rack = racks[f"rack {number}"]
    faults: list[tuple[Action, str, list[str]]] = [
        ("kill9", f"cassandra-{number}", [f"cassandra-{number}"]),
        ("pause", f"cassandra-{number}", [f"cassandra-{number}"]),
        ("kill9", f"tenet-{number}", [f"tenet-{number}"]),
        ("pause", f"tenet-{number}", [f"tenet-{number}"]),
        ("partition", f"machine {number}", [str(number)]),
        ("kill9", f"rack {number}", rack),
        ("pause", f"rack {number}", rack),
    ]
    at_s = WARM_S
    planned = []
    for action, group, nodes in faults:
        planned.append(Fault(action, group, tuple(nodes), at_s, LASTS_S))
        at_s += LASTS_S + CALM_S
    return Schedule(seed, tuple(planned))


@pytest.mark.time_limit_s(1_200)
def test_any_part_of_any_machine_may_break(tmp_path: Path, seed: int) -> None:
    assert why_not() == "", "cutting machines off takes network namespaces"
    with machines(tmp_path) as up:
        schedule = plan(up.racks, seed)
        last = schedule.faults[-1]
        trial = conduct(
            up.target,
            up.nodes,
            schedule,
            LOADS,
            folder=tmp_path,
            seed=seed,
            seconds=last.at_s + last.lasts_s + CALM_S,
            partitions=up.network,
        )
    print(trial)
    assert trial.verdict.is_right, str(trial)
    assert len(trial.history) > 100, str(trial)
    assert trial.complaints({action: PATIENCE * ms for action, ms in LONGEST_MS.items()}) == [], str(trial)
