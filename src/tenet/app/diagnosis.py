"""What a process knows about itself, for the doctor; without secrets."""

from __future__ import annotations

import os
import platform
import resource
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from tenet.app.catalogue import shown
from tenet.app.messages import Diagnosis
from tenet.app.unusable_keys import unusable_keys
from tenet.app.versions import tenet_version
from tenet.base import compiled
from tenet.base.errors import TenetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.app.configuration import Configuration
    from tenet.app.core import Core
    from tenet.app.server import Server
    from tenet.base.clock import Clock

#: ``ru_maxrss`` is in bytes on macOS and in KiB everywhere else (getrusage(2)).
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


async def diagnose(server: Server, clock: Clock) -> Diagnosis:
    """Returns what a server knows about itself."""
    now_ms = clock.wall_ms()
    return Diagnosis(
        server=process()
        | {"endpoint": server.endpoint, "uptime_ms": now_ms - server.started_ms}
        | {"settings_at_next_start": server.reloading.at_next_start}
        | _node(server),
        settings=settings_shown(server.configuration),
        store=await store_health(server.core),
        requests=list(server.edge.observer.recent()),
        limits=msgspec.to_builtins(server.edge.limits) | {"in_flight": server.edge.admission.in_flight},
        certificate=server.certificates.shown(),
        unusable_keys=unusable_keys(server.core.ring.list()),
        placement=server.placement_health(),
    )


async def diagnose_core(core: Core, configuration: Configuration) -> Diagnosis:
    """Returns what can be known of an installation that no server runs on."""
    return Diagnosis(
        server={}, settings=settings_shown(configuration), store=await store_health(core), requests=[], limits={},
        certificate={}, unusable_keys=unusable_keys(core.ring.list()),
    )  # fmt: skip


def process() -> dict[str, Any]:
    """Returns facts about this process."""
    return {
        "version": tenet_version(),
        "compiled": compiled.status(),
        "python": platform.python_version(),
        "pid": os.getpid(),
        "memory_bytes_max": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT,
        "files_max": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }


def settings_shown(configuration: Configuration) -> Mapping[str, Any]:
    """Returns each setting's value with where it came from; of URLs, without what may be a secret.

    No other setting can hold one: files are named, not read.
    """
    return {
        name: {"value": shown(name, value), "origin": configuration.origins[name]}
        for name, value in configuration.values().items()
    }


def _node(server: Server) -> dict[str, Any]:
    """Returns this process as a node of a cluster, and whom of the others it is connected with."""
    node = server.core.node
    if node is None:
        return {}
    cooperation = server.core.cooperation
    figures = {} if cooperation is None else cooperation.figures()
    about = {"id": node.node, "address": node.channel.address, "state": node.state}
    return {"node": {**about, **node.figures(), **figures}}


async def store_health(core: Core) -> Mapping[str, Any]:
    """Returns what the engine says about itself, or why it cannot."""
    try:
        return {"engine": core.store.capabilities.engine, **await core.store.health()}
    except TenetError as error:
        return {"engine": core.store.capabilities.engine, "error": f"{error.code}: {error.message}"}
