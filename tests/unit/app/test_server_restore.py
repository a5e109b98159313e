"""A server whose services do not open, at its start or after a restore, goes on trying; one that is removed leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tenet.app import server as module
from tenet.app import starting
from tenet.app.configuration import load
from tenet.app.reach import why_not_ready
from tenet.app.server import Server
from tenet.app.services import Services
from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.mesh.membership import Standing
from tenet.store.errors import OutcomeUnknown, StoreError, StoreUnavailable
from tenet.wire.log import Sink


class Failing(Server):
    """A server some of whose services fail to open, or to begin their work, as often as a test wants."""

    error: type[StoreError] = StoreUnavailable
    fails_to_open = 0
    fails_to_begin = 0

    async def _open_services(self) -> Services:
        if self.fails_to_open:
            self.fails_to_open -= 1
            raise self.error("the store cannot serve")
        services = await super()._open_services()
        if self.fails_to_begin:
            self.fails_to_begin -= 1

            async def fail() -> None:
                self.core.begin_work = begin_work  # type: ignore[method-assign]
                raise self.error("no work can begin")

            begin_work = self.core.begin_work
            self.core.begin_work = fail  # type: ignore[method-assign]
        return services


async def restore(server: Server) -> None:
    """What is around every restore."""
    async with server._paused():
        assert "The store is being restored" in await asyncio.to_thread(why_not_ready, server.directory)


@pytest.mark.parametrize(("opening", "beginning"), [(2, 0), (0, 2)])
def test_services_that_do_not_open_after_a_restore_are_opened_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opening: int, beginning: int
) -> None:
    monkeypatch.setattr(module, "_REOPEN_S_MIN", 0.05)

    async def main() -> None:
        flags = {"data": str(tmp_path / "data"), "server.listen": "127.0.0.1:0"}
        server = Failing(load(flags=flags), Sink(), clock=SystemClock(), ids=SystemIds())
        await server.start()
        try:
            assert await asyncio.to_thread(why_not_ready, server.directory) == ""
            server.fails_to_open, server.fails_to_begin = opening, beginning
            with pytest.raises(StoreUnavailable):
                await restore(server)
            trouble = await asyncio.to_thread(why_not_ready, server.directory)
            assert trouble == "" or "The services have not opened again yet" in trouble
            async with asyncio.timeout(20):
                while await asyncio.to_thread(why_not_ready, server.directory):  # noqa: ASYNC110 (as clients ask)
                    await asyncio.sleep(0.02)
            assert (server.fails_to_open, server.fails_to_begin) == (0, 0)
            # Whoever restores again is not disturbed by what is still tried.
            server.fails_to_open = 1
            with pytest.raises(StoreUnavailable):
                await restore(server)
            await restore(server)
            assert await asyncio.to_thread(why_not_ready, server.directory) == ""
        finally:
            await server.stop()

    asyncio.run(main())


@pytest.mark.thorough
@pytest.mark.parametrize(("opening", "beginning"), [(1, 0), (0, 1)])
def test_a_start_begins_anew_where_the_store_was_too_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opening: int, beginning: int
) -> None:
    monkeypatch.setattr(starting, "_PAUSES_S", (0.0,))

    async def main() -> None:
        flags = {"data": str(tmp_path / "data"), "server.listen": "127.0.0.1:0", "mesh.listen": "127.0.0.1:0"}
        server = Failing(load(flags=flags), Sink(), clock=SystemClock(), ids=SystemIds())
        server.error = OutcomeUnknown
        server.fails_to_open, server.fails_to_begin = opening, beginning
        await server.start()
        try:
            assert (server.fails_to_open, server.fails_to_begin) == (0, 0)
            assert await asyncio.to_thread(why_not_ready, server.directory) == ""
        finally:
            await server.stop()

    asyncio.run(main())


def test_a_server_that_is_removed_from_its_cluster_is_no_member_before_it_has_stopped(tmp_path: Path) -> None:
    async def main() -> None:
        flags = {"data": str(tmp_path / "data"), "server.listen": "127.0.0.1:0", "mesh.listen": "127.0.0.1:0"}
        server = Server(load(flags=flags), Sink(), clock=SystemClock(), ids=SystemIds())
        await server.start()
        try:
            cooperation = server.core.cooperation
            assert cooperation is not None
            assert cooperation.membership.view.up
            server._take_state("removed")
            assert server.stop_wanted.is_set()
            async with asyncio.timeout(20):
                while cooperation.membership.view.members:  # noqa: ASYNC110 (as an operator looks)
                    await asyncio.sleep(0.01)
            assert cooperation.membership.standing is Standing.OUTSIDE
        finally:
            await server.stop()

    asyncio.run(main())
