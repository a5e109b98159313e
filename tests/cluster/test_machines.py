"""Three machines at a third of what they can do, of which anything may break: what clients notice, and for how long.

A process is killed or frozen, a machine is lost or cut off from the others; what clients were told stays true, the
SDK's retries hide the rest, and nobody waits long.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.faults.clients import Load
from tests.faults.machines import machines
from tests.faults.network import why_not
from tests.faults.schedule import Action, Fault, Schedule
from tests.faults.trial import Trial, conduct
from tests.rounds import LONG, rounds

ROOT = Path(__file__).resolve().parents[2]
#: What such machines do together, operations of mixed load a second, where all of them share two cores.
CAPACITY = ROOT / "docs" / "results" / "cluster-capacity.json"
#: Statements of one such operation, and of a second of all clients here, each of which does one step in it: about one
#: for a step within a partition, of which there are five, and sixteen for a transaction, of which there are two.
STATEMENTS_OF_MIXED = 2.7
STATEMENTS_A_SECOND = 5 * 1.2 + 2 * 16
#: At which shares of that; what clients may notice is judged at the first, and told of the others.
SHARES = rounds((0.3,), (0.3, 0.8))
#: How long each fault lasts, how long nothing is broken between two, and before the first, seconds.
LASTS_S = rounds(5.0, 20.0)
CALM_S = rounds(5.0, 10.0)
WARM_S = rounds(8.0, 20.0)
#: The longest that an operation may take, milliseconds: what is promised; where tests share the machine, a multiple.
LONGEST_MS = {"kill9": 2_000.0, "pause": 2_000.0, "partition": 2_000.0}
LONGEST_MS |= {f"kill9 cassandra-{number}": 1_000.0 for number in (1, 2, 3)}
PATIENCE = 1 if LONG else 4


def capacity() -> int:
    """Operations of mixed load a second."""
    per_s: int = msgspec.json.decode(CAPACITY.read_bytes())["mixed_operations_per_s"]
    return per_s


def loads(share: float) -> tuple[Load, ...]:
    """Clients that together do this share of what the machines can."""
    rate = round(share * capacity() * STATEMENTS_OF_MIXED / STATEMENTS_A_SECOND, 1)
    return (
        Load("registers", 3, rate=rate),
        Load("counters", 2, rate=rate),
        Load("bank", 2, rate=rate / 2),
        Load("lists", 1, rate=rate / 2),
        Load("lists", 1, rate=rate / 2, language="javascript"),
    )


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


def keep(trial: Trial, share: float) -> None:
    """Writes down how a long run went."""
    command = f"TENET_TEST_LONG=1 TENET_TEST_SEED={trial.schedule.seed} pytest tests/cluster/test_machines.py"
    told = f"""# Failures at {share:.0%} of what the machines do

Three Cassandra nodes in three racks, three Tenet nodes, a balancer and two SDKs on one machine with two cores; written
by the command below. A killed process is started again after 20 s, and its time ends when it serves again: a Java
process that starts takes both cores for some seconds. What they do is {capacity()} operations of mixed load a second.

{trial.summary()}

`{command}`

{trial.verdict}
"""
    (ROOT / "docs" / "results" / f"failures-{share * 100:.0f}.md").write_text(told, encoding="utf-8")


@pytest.mark.time_limit_s(1_200)
@pytest.mark.parametrize("share", SHARES)
def test_any_part_of_any_machine_may_break(tmp_path: Path, seed: int, share: float) -> None:
    assert why_not() == "", "cutting machines off takes network namespaces"
    with machines(tmp_path) as up:
        schedule = plan(up.racks, seed)
        last = schedule.faults[-1]
        trial = conduct(
            up.target,
            up.nodes,
            schedule,
            loads(share),
            folder=tmp_path,
            seed=seed,
            seconds=last.at_s + last.lasts_s + CALM_S,
            partitions=up.network,
        )
    print(trial)
    assert trial.verdict.is_right, str(trial)
    assert len(trial.history) > 100, str(trial)
    if LONG:
        keep(trial, share)
    if share == SHARES[0]:
        assert trial.complaints({name: PATIENCE * ms for name, ms in LONGEST_MS.items()}) == [], str(trial)
