"""A plugin of pytest, for a suite whose client signs a Host without the port: what goes to port 443 goes elsewhere.

It does what the rule of a firewall would: the client asks a URL without a port, and signs and sends the Host that
comes of it. TENET_PORT_OF_443 says where its connections are to go. It needs nothing but Python.
"""

import os
import socket
from asyncio.selector_events import BaseSelectorEventLoop
from typing import Any

HTTPS = 443
_connect = BaseSelectorEventLoop.sock_connect


async def _connect_elsewhere(self: BaseSelectorEventLoop, sock: socket.socket, address: Any) -> None:
    if address[1] == HTTPS:
        address = (address[0], int(os.environ["TENET_PORT_OF_443"]), *address[2:])
    await _connect(self, sock, address)


BaseSelectorEventLoop.sock_connect = _connect_elsewhere  # type: ignore[assignment, method-assign]
