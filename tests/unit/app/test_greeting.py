"""What a server prints once it serves names everything that an operator has to keep."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tenet.app.configuration import load
from tenet.app.server import Server
from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.wire.log import Sink


def test_the_greeting_names_the_data_and_the_master_key(tmp_path: Path) -> None:
    async def main() -> str:
        flags = {"data": str(tmp_path / "data"), "server.listen": "127.0.0.1:0"}
        server = Server(load(flags=flags), Sink(), clock=SystemClock(), ids=SystemIds())
        await server.start()
        try:
            return server.greeting()
        finally:
            await server.stop()

    greeting = asyncio.run(main())
    assert f"its data is in {tmp_path / 'data'}.\n" in greeting
    assert f"Its master key is {tmp_path / 'data.master-key'}: keep a copy elsewhere" in greeting
    data = f"--data {tmp_path / 'data'}"
    assert f'{data})"\nClients of OpenStack:  eval "$(' in greeting
    assert f'{data} --for openstack)"\nCtrl-C stops it.\n' in greeting
    assert "OS_PASSWORD" not in greeting
    assert (tmp_path / "data.master-key").is_file()
