"""A cluster that cannot be reached is named with what was asked."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SeededIds
from tenet.store.cassandra.engine import open_engine
from tenet.store.errors import StoreUnavailable


def test_the_hosts_and_the_port_that_were_asked_are_told() -> None:
    # A port that is ours and that nobody listens on refuses connections, and nobody else takes it meanwhile.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        said = rf"^the cluster cannot be reached at 127\.0\.0\.1, 127\.0\.0\.2, port {port}: .+"
        location = f"//127.0.0.1:{port},127.0.0.2:{port}/tenet"
        with pytest.raises(StoreUnavailable, match=said):
            asyncio.run(open_engine(location, clock=SystemClock(), ids=SeededIds(1)))
