"""``tenet placement audit``: what it says of a store, and its exit codes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.placement import keys
from tenet.store.contract import Add, Commit, Committed, new_commit_id
from tenet.store.sqlite.engine import open_engine
from tests.servers import running, tenet
from tests.unit.placement.world import uuid_of

TAKEN, SETTINGS = 4, 3


async def spoil(data: Path) -> None:
    """Counts as in use what nobody has."""
    clock, ids = SystemClock(), SystemIds()
    store = await open_engine(str(data / "store"), clock=clock, ids=ids)
    try:
        add = Add(keys.used_key(uuid_of(1), "VCPU"), keys.USED, 1)
        assert isinstance(await store.commit(Commit(new_commit_id(clock, ids), [add])), Committed)
    finally:
        await store.close()


def test_an_audit_says_what_is_wrong(tmp_path: Path) -> None:
    data = tmp_path / "data"
    none = tenet("placement", "audit", "--data", str(data))
    assert none.returncode == SETTINGS
    assert "there is no store" in none.stderr
    with running(data, "--plaintext") as server:
        held = server.command("placement", "audit")
        assert (held.returncode, held.stdout) == (TAKEN, "")
    clean = tenet("placement", "audit", "--data", str(data))
    nothing = "0 providers, 0 allocations, 0 consumers, 0 projects, 0 names"
    assert (clean.returncode, clean.stdout) == (0, f"{nothing}: everything adds up.\n")
    asyncio.run(spoil(data))
    wrong = tenet("placement", "audit", "--store", f"sqlite:{data / 'store'}")
    assert wrong.returncode == 1
    assert wrong.stdout.splitlines() == [
        f"inventory-missing: provider {uuid_of(1)}: VCPU: 1 in use of an inventory that does not exist",
        f"use-differs: provider {uuid_of(1)}: VCPU: 1 in use by the count, 0 by the sum of allocations",
        f"{nothing}: mistakes: 2.",
    ]
