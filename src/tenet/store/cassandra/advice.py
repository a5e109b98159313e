"""What an operator should change about a cluster, a sentence each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

_COPIES_MIN: Final = 3
_SEGMENT_MIB_MIN: Final = 32
_SYNCED: Final = ("batch", "group")
_STOPPING: Final = ("stop", "stop_paranoid", "die")


def advice_on(settings: Mapping[str, str | None], version: str) -> Iterator[str]:
    """Returns what should be changed on a node, for its settings (``system_views.settings``) and its release."""
    if not version.startswith("5."):
        yield f"it runs Cassandra {version}; Tenet is made for 5.0 and tested with it."
    sync = settings.get("commitlog_sync")
    if sync not in _SYNCED:
        yield (
            f"commitlog_sync is {sync}: a write is answered before it is on the disk, and is lost where all replicas"
            " lose power together. Set it to batch."
        )
    if settings.get("paxos_variant") != "v2":
        found = settings.get("paxos_variant")
        yield f"paxos_variant is {found}: transactions cost twice the round trips. Set it to v2."
    if settings.get("paxos_repair_enabled") == "false":
        yield "paxos_repair_enabled is false: transactions may break while nodes join and leave. Set it to true."
    for name in ("disk_failure_policy", "commit_failure_policy"):
        if settings.get(name) not in _STOPPING:
            yield f"{name} is {settings.get(name)}: it goes on with a disk that fails. Set it to stop."
    if settings.get("auto_snapshot") == "true":
        yield (
            "auto_snapshot is true: every space that is dropped leaves a snapshot on the disk, which nobody removes."
            " Set it to false."
        )
    if 0 < _mib(settings.get("commitlog_segment_size")) < _SEGMENT_MIB_MIN:
        yield (
            f"commitlog_segment_size is {settings['commitlog_segment_size']}: large commits are refused."
            f" Set it to {_SEGMENT_MIB_MIN}MiB or more."
        )


def advice_on_copies(keyspace: str, replication: Mapping[str, str]) -> Iterator[str]:
    """Returns what should be changed about the copies of a keyspace (``system_schema.keyspaces``)."""
    copies = {name: int(number) for name, number in replication.items() if number.isdigit()}
    for name, number in copies.items():
        if number < _COPIES_MIN:
            yield (
                f"The keyspace {keyspace} has {number} {'copy' if number == 1 else 'copies'} in {name}: whoever loses a"
                f" node loses service or data. With three nodes: ALTER KEYSPACE {keyspace} WITH replication ="
                f" {{'class': 'NetworkTopologyStrategy', '{name}': {_COPIES_MIN}}}, then nodetool repair --full."
            )


def advice_on_racks(racks: Mapping[str, str]) -> Iterator[str]:
    """Returns what should be changed about racks, by the addresses of their nodes.

    Copies go to as many racks as there are: in fewer than three, but more than one, a rack holds two copies of three.
    """
    names = sorted(set(racks.values()))
    if len(racks) >= _COPIES_MIN and 1 < len(names) < _COPIES_MIN:
        yield (
            f"The nodes are in {len(names)} racks ({', '.join(names)}): whoever loses one of them loses two copies of"
            f" three. Put nodes into {_COPIES_MIN} racks; a node gets its rack before its first start."
        )


def _mib(text: str | None) -> int:
    match = re.fullmatch(r"(\d+)(MiB|GiB)", text or "")
    return int(match[1]) * (1 if match[2] == "MiB" else 1024) if match else 0
