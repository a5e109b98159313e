"""Who may move a store, from where to where; what a copy is, is tested with the store and with real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tenet.app.copies import line_of
from tenet.app.data_directory import DataDirectory
from tenet.app.engines import open_store
from tenet.app.messages import CopyNamed, CopyShown
from tenet.app.moving import Mover, NoCopy, full_name
from tenet.app.settings import Settings, StoreSettings
from tenet.base.clock import SystemClock
from tenet.base.errors import TenetError
from tenet.base.ids import SystemIds
from tenet.mesh.channel import NodeId
from tenet.mesh.member_store import MemberStore
from tenet.mesh.members import Member
from tenet.store.contract import Engine, Key, Put
from tenet.store.copy_marks import OUT, Outgoing, decode
from tenet.store.errors import CopyRefused
from tenet.store.guard import Guard
from tests.copies import write

CLOCK, IDS = SystemClock(), SystemIds()


class Moved:
    """A store with one record, and what moves it."""

    def __init__(self, path: Path, guard: Guard, mover: Mover) -> None:
        self.path = path
        self.guard = guard
        self.mover = mover

    def named(self, target: str = "there") -> CopyNamed:
        return CopyNamed("sqlite:", f"sqlite:{self.path / target}")

    async def ended(self) -> CopyShown:
        while self.mover.is_running:  # noqa: ASYNC110 (as the command does it)
            await asyncio.sleep(0.01)
        return self.mover.shown()


def played(path: Path, scene: Callable[[Moved], Coroutine[None, None, None]], node: str = "") -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Moved]:
        directory = DataDirectory(Settings(data=str(path / "data")))
        store = await open_store(directory, clock=CLOCK, ids=IDS)
        guard = Guard(store, CLOCK)
        await store.ensure_space("s")
        await write(store, [Put(Key("s", b"p"), b"v")], clock=CLOCK, ids=IDS)
        mover = Mover(directory, guard, clock=CLOCK, ids=IDS, node=node)
        try:
            yield Moved(path, guard, mover)
        finally:
            await mover.close()
            await store.close()

    async def main() -> None:
        async with opened() as moved:
            await scene(moved)

    asyncio.run(main())


def test_a_store_moves_and_moves_back(tmp_path: Path) -> None:
    async def scene(moved: Moved) -> None:
        with pytest.raises(NoCopy):
            moved.mover.shown()
        begun = await moved.mover.begin(moved.named())
        assert (begun.state, begun.source) == ("running", f"sqlite:{tmp_path / 'data' / 'store'}")
        # Asked again, it says how far it is.
        assert (await moved.mover.begin(moved.named())).target == begun.target
        done = await moved.ended()
        assert (done.state, done.spaces, done.verified) == ("complete", 1, 1)
        with pytest.raises(TenetError, match="moves to sqlite:"):
            await moved.guard.ensure_space("other")
        await moved.mover.end(moved.named())
        await moved.guard.ensure_space("other")

    played(tmp_path, scene)


def test_what_is_another_store_is_refused(tmp_path: Path) -> None:
    async def scene(moved: Moved) -> None:
        with pytest.raises(CopyRefused, match=r"FROM is sqlite:/elsewhere, and the store of .* is sqlite:.*data/store"):
            await moved.mover.begin(CopyNamed("sqlite:/elsewhere", "sqlite:/there"))
        with pytest.raises(CopyRefused, match="FROM and TO are the same store"):
            await moved.mover.begin(CopyNamed("sqlite:", f"sqlite:{tmp_path / 'data' / 'store'}"))

    played(tmp_path, scene)


@pytest.mark.parametrize(("node", "says"), [("mine", "stop all but this one; there is other"), ("", "mine, other")])
def test_a_store_that_others_serve_is_not_copied(tmp_path: Path, node: str, says: str) -> None:
    async def scene(moved: Moved) -> None:
        members = MemberStore(moved.guard, clock=CLOCK, ids=IDS)
        deadline = CLOCK.monotonic_s() + 30
        await members.ensure(deadline=deadline)
        for name in ("mine", "other"):
            member = Member(node=NodeId(name), incarnation="i", address="127.0.0.1:1", state="up")
            assert await members.put(member, None, deadline=deadline)
        with pytest.raises(CopyRefused, match=says):
            await moved.mover.begin(moved.named())
        await moved.guard.ensure_space("served-as-before")

    played(tmp_path, scene, node)


def test_a_node_that_has_begun_to_serve_meanwhile_is_seen_before_anything_is_copied(tmp_path: Path) -> None:
    async def scene(moved: Moved) -> None:
        members = MemberStore(moved.guard, clock=CLOCK, ids=IDS)
        deadline = CLOCK.monotonic_s() + 30
        await members.ensure(deadline=deadline)
        open_target = moved.mover._open_target

        async def joined(named: CopyNamed) -> Engine:
            member = Member(node=NodeId("other"), incarnation="i", address="127.0.0.1:1", state="up")
            assert await members.put(member, None, deadline=deadline)
            return await open_target(named)

        moved.mover._open_target = joined  # type: ignore[method-assign]
        with pytest.raises(CopyRefused, match="there is other"):
            await moved.mover.begin(moved.named())
        assert not moved.mover.is_running
        # Nobody is kept from writing for it.
        (record,) = await moved.guard.get([OUT])
        left = decode(record, Outgoing)
        assert left is not None
        assert (left.state, left.claim) == ("copying", "")

    played(tmp_path, scene, "mine")


def test_a_copy_that_is_left_off_says_so_and_can_be_resumed(tmp_path: Path) -> None:
    async def scene(moved: Moved) -> None:
        await moved.mover.begin(moved.named())
        await moved.mover.close()
        shown = await moved.ended()
        assert (shown.state, shown.message) == ("failed", "it was left off; the same command resumes it")
        with pytest.raises(CopyRefused, match="FROM is being copied to"):
            await moved.mover.begin(moved.named("elsewhere"))
        await moved.mover.begin(moved.named())
        assert (await moved.ended()).state == "complete"

    played(tmp_path, scene)


def test_a_place_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def name(url: str) -> str:
        return full_name(DataDirectory(Settings(data="d", store=StoreSettings(url=url))))

    assert name("sqlite:") == f"sqlite:{tmp_path}/d/store"
    assert name("sqlite:there") == f"sqlite:{tmp_path}/there"
    assert name("cassandra://h/k") == "cassandra://h/k"


def test_a_line_says_how_far_it_is() -> None:
    first = CopyShown("a", "b", "running", "copying", "s", 3, 1, 1_000, 5_000_000, 0, 0, 0, 1_000)
    then = CopyShown("a", "b", "running", "catching up", "t", 3, 3, 2_500, 6_000_000, 500, 7, 0, 3_000)
    assert line_of(then, first) == (
        "catching up: t (3 of 3 spaces copied), 2,500 records, 6.0 MB, 1,000 records/s,"
        " 500 copied again, 7 changes left"
    )
