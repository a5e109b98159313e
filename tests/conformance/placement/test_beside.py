"""Allocation candidates and lists of providers beside the reference service, of the same random fleets every time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conformance.packages import OPENSTACK_PLACEMENT
from tests.conformance.placement.beside import Peer, compare

FLEETS = 25


@pytest.mark.time_limit_s(400)
def test_the_search_answers_what_the_service_answers(tmp_path: Path) -> None:
    peer = Peer(str(OPENSTACK_PLACEMENT.ensure() / "bin" / "python"), tmp_path)
    counts: Counter[str] = Counter()
    try:
        for seed in range(FLEETS):
            assert not compare(peer, seed, counts)
    finally:
        peer.close()
    # What was compared is worth it: most requests are taken, and have candidates.
    assert counts["requests"] == 25 * FLEETS
    assert counts["refused"] < counts["requests"] / 5
    assert counts["candidates"] > counts["requests"] / 2
