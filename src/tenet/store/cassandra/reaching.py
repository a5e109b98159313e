"""Whether a machine can be reached at all, whatever the process there has time for."""

from __future__ import annotations

import asyncio
import ipaddress
import socket


async def listens(address: str, port: int) -> bool:
    """Returns whether somebody listens at an address: its system answers that for a process that is busy, or stopped.

    Args:
        address: an IP address.
        port: the port, 1 to 65,535.
    """
    is_v4 = isinstance(ipaddress.ip_address(address), ipaddress.IPv4Address)
    family = socket.AF_INET if is_v4 else socket.AF_INET6
    try:
        # Where this process has no file descriptor left, it reaches nobody either.
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.settimeout(0)
            await asyncio.get_running_loop().sock_connect(one, (address, port))
    except OSError:
        return False
    return True
