"""What looks wrong, said in plain words with what to do: pure rules over what the doctor collected."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

_GIB: Final = 1024**3
DISK_FREE_BYTES_MIN: Final = _GIB
CERTIFICATE_DAYS_MIN: Final = 30
#: The life of one that says nothing of it.
CERTIFICATE_LIFE_DAYS: Final = 397
#: The local one is renewed when a third of its life is left, or that many days.
CERTIFICATE_LEFT_MIN: Final = 0.25
#: Files beside connections that a server keeps open: the store's, the log's, the listener.
FILES_BESIDE_CONNECTIONS: Final = 200
REQUESTS_NAMED_MAX: Final = 5
#: A node that hears nothing looks every 2 s; what is behind by more has a reason.
BEHIND_S_MAX: Final = 10.0


class Facts(Struct, frozen=True, kw_only=True):
    """What the rules look at.

    Args:
        running: whether a server answered.
        problem: why nothing could be found out; else empty.
        held: whether a process that does not answer holds the data directory.
        command_version: of the command that asks.
        server_version: of the server, or empty.
        disk_free_bytes: on the disk of the data directory.
        modes: permission bits of each file that holds a secret, by path.
        store: what the engine says about its health.
        certificate_days: until the listener's certificate ends; None where http is spoken.
        certificate_life_days: from its beginning to its end.
        nodes_not_connected: of the cluster's nodes, with what the last attempt to reach each has failed with.
        unusable_keys: what to know of access keys whose secrets cannot be read; empty where there are none.
        placement: what the placement service says about itself; empty where nobody has used it.
        requests: recent slow and failed requests.
        connections_max: of the limits in force.
        files_max: how many files the server may have open; 0 where it is not known.
        now_ms: when all this was so, milliseconds since 1970.
    """

    running: bool
    problem: str = ""
    held: bool = False
    command_version: str = ""
    server_version: str = ""
    disk_free_bytes: int = 0
    modes: Mapping[str, int] = {}
    store: Mapping[str, Any] = {}
    certificate_days: float | None = None
    certificate_life_days: float = CERTIFICATE_LIFE_DAYS
    nodes_not_connected: Mapping[str, str] = {}
    unusable_keys: str = ""
    placement: Mapping[str, Any] = {}
    requests: Sequence[Mapping[str, Any]] = ()
    connections_max: int = 0
    files_max: int = 0
    now_ms: int = 0


def findings(facts: Facts) -> Sequence[str]:
    """Returns what looks wrong, a sentence or two each, the most urgent first; empty where nothing does."""
    rules = (_server, _disk, _store, _certificate, _nodes, _keys, _placement, _secrets, _files, _requests, _versions)
    return [finding for rule in rules for finding in rule(facts)]


def _server(facts: Facts) -> Iterator[str]:
    if facts.held:
        yield (
            f"A process holds the data directory and does not answer: {facts.problem}. Look at its log; if it hangs, "
            "end it and start it again: what was acknowledged is safe."
        )
    elif facts.problem:
        yield f"Nothing could be found out about the installation: {facts.problem}"
    elif not facts.running:
        yield "No server runs on this data directory. Start it with `tenet up`."


def _disk(facts: Facts) -> Iterator[str]:
    if facts.disk_free_bytes < DISK_FREE_BYTES_MIN:
        yield (
            f"The disk of the data directory has {facts.disk_free_bytes / _GIB:.2f} GiB left. Writes fail when it is "
            "full, and go on by themselves when space returns: make room, or move the data directory."
        )


def _store(facts: Facts) -> Iterator[str]:
    store = facts.store
    if store.get("is_restoring"):
        yield "A backup is being restored: requests are refused meanwhile, and clients retry them."
    elif not store.get("can_write", True):
        # What refused the write knows best what to do; its text says it.
        refused = (
            f"The store takes no writes: {store.get('write_refusal')}. It is tried again every second, and `/readyz` "
            "answers 503 until it goes through."
        )
        of_the_disk = (
            " Where that does not come, the log of the system says more about the disk, and a restart of the server "
            "loses nothing that was acknowledged."
        )
        yield refused if store.get("nodes") else refused + of_the_disk
    if store.get("is_damaged"):
        yield (
            f"The store met bytes that it never wrote (last failure: {store.get('last_failure')}). Stop the server, "
            "copy its data directory for an examination, look at the disk and the memory of the machine, and bring "
            "the latest good backup back: tenet restore FILE."
        )
    # An earlier version names only those that it does not send to.
    if silent := store.get("nodes_not_answering") or store.get("nodes_left_alone"):
        go_on = "Requests go through the others." if store.get("can_write", True) else "Too few are left for requests."
        yield (
            f"Nodes of the cluster do not answer: {silent}. {go_on} Look at their logs and their network; they are "
            "used again as soon as they answer."
        )
    if store.get("advice"):
        yield f"The cluster is not set up as Tenet relies on. {store['advice']}"
    if store.get("error"):
        yield f"The store cannot be examined: {store['error']}."


def _certificate(facts: Facts) -> Iterator[str]:
    days = facts.certificate_days
    if days is None or days >= min(CERTIFICATE_DAYS_MIN, facts.certificate_life_days * CERTIFICATE_LEFT_MIN):
        return
    ending = "has ended" if days <= 0 else f"ends in {days:.0f} days" if days >= 1 else "ends within a day"
    yield (
        f"The certificate of the listener {ending}. One of your own: replace its files and send SIGHUP. The local one: "
        "it is made anew when the server starts."
    )


def _nodes(facts: Facts) -> Iterator[str]:
    for node, reason in facts.nodes_not_connected.items():
        yield (
            f"The node {node} is not connected{': ' if reason else ''}{reason}. Look whether it runs and can be "
            "reached; one that does not come back is removed with `tenet node remove`."
        )


def _keys(facts: Facts) -> Iterator[str]:
    if facts.unusable_keys:
        yield facts.unusable_keys


def _placement(facts: Facts) -> Iterator[str]:
    placement = facts.placement
    if placement.get("trouble"):
        yield (
            f"The placement service does not open: {placement['trouble']}. Its requests are answered with 503 and try "
            "again every second; the other services do not need it."
        )
    if placement.get("behind_s", 0) > BEHIND_S_MAX:
        yield (
            f"This node has not heard for {placement['behind_s']:.0f} s what other nodes changed of placement's "
            "providers: its lists and candidates are as old. What it gives out is right all the same, for commits "
            "check it. Look whether its store answers, and at its log for `the read model of placement is behind`."
        )
    if placement.get("unreadable"):
        yield (
            f"{_providers(placement['unreadable'])} cannot be read and are left out of all lists: "
            f"{', '.join(placement['unreadable_named'])}. Stop the server and let `tenet placement audit` say more."
        )
    if placement.get("over_capacity"):
        named = (f"{uuid} ({', '.join(names)})" for uuid, names in placement["over_capacity_named"].items())
        yield (
            f"More is in use of {_providers(placement['over_capacity'])} than there is: {', '.join(named)}. Nothing "
            "more is placed there. Their inventories were made smaller than what was in use: move consumers away, or "
            "make them larger again."
        )


def _providers(count: int) -> str:
    return f"{count:,} provider{'' if count == 1 else 's'} of placement"


def _secrets(facts: Facts) -> Iterator[str]:
    for path, mode in facts.modes.items():
        if mode & 0o077:
            yield f"{path} can be read by other users (mode {mode:04o}). Take their rights away: chmod 600 {path}"


def _files(facts: Facts) -> Iterator[str]:
    if 0 < facts.files_max < facts.connections_max + FILES_BESIDE_CONNECTIONS:
        yield (
            f"The server may have {facts.files_max:,} files open, and limits.connections_max is "
            f"{facts.connections_max:,}: raise LimitNOFILE (ulimit -n), or lower the setting."
        )


def _requests(facts: Facts) -> Iterator[str]:
    failed: dict[tuple[str, str], list[int]] = defaultdict(list)
    shed_ms: list[int] = []
    for request in facts.requests:
        code, at_ms = str(request.get("code") or ""), int(request.get("at_ms", 0))
        if code and int(request.get("status", 0)) >= 500:  # noqa: PLR2004 (RFC 9110, 15.6)
            # Servers of earlier versions tell no path of what has no operation.
            asked_for = request.get("operation") or request.get("path") or "A request without an operation"
            failed[str(asked_for), code].append(at_ms)
        if "Throttl" in code:
            shed_ms.append(at_ms)
    for (asked_for, code), times_ms in sorted(failed.items(), key=lambda one: -len(one[1]))[:REQUESTS_NAMED_MAX]:
        often = "once" if len(times_ms) == 1 else f"{len(times_ms)} times"
        yield (
            f"{asked_for} failed {often} with {code} among the recent requests{_last(facts, times_ms)}; requests.json "
            "has them."
        )
    if shed_ms:
        yield (
            f"{len(shed_ms)} of the recent requests were throttled by the server{_last(facts, shed_ms)}. If the "
            "machine has room, raise the [limits] in question; else spread the load."
        )


def _last(facts: Facts, times_ms: Sequence[int]) -> str:
    """Returns how long ago the last one of some requests was, so that one sees whether it is over."""
    at_ms = max(times_ms)
    return f", last {_ago((facts.now_ms - at_ms) / 1000)}" if at_ms and facts.now_ms else ""


def _ago(seconds: float) -> str:
    for unit, unit_s in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit} ago"
    return f"{max(0, seconds):.0f} s ago"


def _versions(facts: Facts) -> Iterator[str]:
    if facts.server_version and facts.server_version != facts.command_version:
        yield (
            f"The server is version {facts.server_version}, this command {facts.command_version}. Restart the server "
            "to have it run the newer one."
        )
