"""Whether somebody listens at an address, asked of real sockets."""

from __future__ import annotations

import asyncio
import socket

from tenet.store.cassandra.reaching import listens


def test_who_listens_is_reached_though_he_never_takes_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert asyncio.run(listens("127.0.0.1", server.getsockname()[1]))


def test_a_port_at_which_nobody_listens_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert not asyncio.run(listens("127.0.0.1", port))
