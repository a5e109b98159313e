"""Boot storms: schedulers in processes of their own fill a cloud exactly, while the server is killed in between.

Whatever they pick, no more is given out than there is, nothing that is free stays unfound, nobody is answered with an
error of the server's, and the audit of the store that is left finds that every sum is right.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.placement_storms import PICKS, Cloud, listen_of, token_of
from tests.rounds import LONG, rounds
from tests.servers import end, start, tenet

#: Hosts, and the slots of each: 200 slots, and in the long rounds 20,000.
SIZES = rounds((20, 10), (1_000, 20))
KILLS = rounds(1, 6)
#: A storm of the long rounds places 20,000 instances.
TIME_LIMIT_S = 3_000 if LONG else 120


@pytest.mark.time_limit_s(TIME_LIMIT_S)
@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize("schedulers", rounds((1, 4), (1, 16, 64)))
def test_a_storm_fills_the_cloud_exactly(tmp_path: Path, schedulers: int, pick: str, seed: int) -> None:
    chance = random.Random(seed)
    data = tmp_path / "data"
    server = start(data, "--plaintext")
    cloud = Cloud(*SIZES, (listen_of(server),), token_of(server))

    def kill_it_now_and_then() -> None:
        nonlocal server
        # While at least half of it is still to be done, however quick the machine is.
        for placed in sorted(chance.randrange(cloud.slots // 2) for _ in range(KILLS)):
            cloud.wait_for(placed)
            server.kill()
            server = start(data, "--plaintext", "--listen", cloud.listens[0])

    try:
        cloud.furnish()
        began_s = time.monotonic()
        told = cloud.storm(schedulers, pick, kill_it_now_and_then)
        elapsed_s = time.monotonic() - began_s
        met = cloud.check(told)
    finally:
        end(server)
    print(f"{schedulers} schedulers, {pick}, {cloud.slots} slots: {elapsed_s:.1f} s, {dict(met)}")
    assert sum(count for answer, count in met.items() if answer.endswith("lost")) >= KILLS
    audited = tenet("placement", "audit", "--data", str(data))
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert audited.stdout == cloud.audited
