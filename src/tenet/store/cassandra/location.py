"""Where the cluster is and how it is to be used: what follows ``cassandra:`` in the store's URL."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from tenet.store.errors import InvalidRequest

_KEYSPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")
_REPLICATION: Final = re.compile(r"[A-Za-z0-9_.-]+:[1-9]")
_PORT: Final = 9042
_PORT_MIN: Final = 1
_PORT_MAX: Final = 65_535


class Location(Struct, frozen=True):
    """A keyspace of a cluster.

    Args:
        hosts: contact points, names or addresses.
        port: of the native protocol, the same on every node.
        keyspace: made where it is missing; 1 to 48 of a-z, 0-9 and _.
        datacenter: the local one, whose nodes are asked first; None takes that of the first node that answers.
        rack: the local rack, within it; None for none.
        replication: data centres with their number of copies, for a keyspace that is yet to be made; empty for three
            copies (or as many as there are nodes) in the local one.
        user: for the cluster's own authentication; None for none.
        password_file: a file that holds the password and nothing else.
        ca_file: PEM file of the authority that the nodes' certificates come from; switches TLS on.
        certificate_file: PEM file of this client's certificate.
        key_file: PEM file of its private key.
        try_ms: how long one node may take for one statement before another is asked; longer while all take long.
        gc_grace_s: how long deleted data leaves a trace in tables made from now on; repairs must come more often.
    """

    hosts: tuple[str, ...]
    keyspace: str
    port: int = _PORT
    datacenter: str | None = None
    rack: str | None = None
    replication: tuple[tuple[str, int], ...] = ()
    user: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    try_ms: int = 1_500
    gc_grace_s: int = 86_400


def parse_location(text: str) -> Location:
    """Reads ``//HOST[:PORT][,HOST…]/KEYSPACE[?name=value&…]``; the names are those of ``Location``'s fields.

    Raises:
        InvalidRequest: it is not of that form; the message names the part.
    """
    try:
        parts = urlsplit(text)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise InvalidRequest(
            f"a cassandra URL is cassandra://HOST[,HOST…]/KEYSPACE[?name=value&…]; this is none: {error}"
        ) from error
    hosts, port = _hosts(parts.netloc)
    keyspace = parts.path.removeprefix("/")
    if not _KEYSPACE.fullmatch(keyspace):
        raise InvalidRequest(
            f"a cassandra URL is cassandra://HOST[,HOST…]/KEYSPACE, the keyspace 1 to 48 of a-z, 0-9 and _, a letter"
            f" first: {keyspace!r} is not"
        )
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name in fields:
            raise InvalidRequest(f"{name}= stands twice in a cassandra URL")
        fields[name] = _field(name, value)
    if fields.get("rack") and not fields.get("datacenter"):
        raise InvalidRequest("rack= in a cassandra URL needs datacenter= beside it")
    if bool(fields.get("certificate_file")) != bool(fields.get("key_file")):
        raise InvalidRequest("certificate_file= and key_file= in a cassandra URL come together")
    return Location(hosts=hosts, port=port, keyspace=keyspace, **fields)  # type: ignore[arg-type]


def check_location(text: str) -> Location:
    """Reads a location as ``parse_location`` does, and looks whether this process can read the files that it names.

    Raises:
        InvalidRequest: it is not of that form, or a file cannot be read; the message names the part.
    """
    location = parse_location(text)
    for name in ("password_file", "ca_file", "certificate_file", "key_file"):
        path = getattr(location, name)
        if path is not None and not (Path(path).is_file() and os.access(path, os.R_OK)):
            raise InvalidRequest(f"{name}= in a cassandra URL names {path}, which is no file that can be read here")
    return location


def _hosts(text: str) -> tuple[tuple[str, ...], int]:
    if "@" in text:
        # The message does not repeat it: what stands there is most often a password.
        raise InvalidRequest(
            "a cassandra URL has no user and password before its hosts; name them behind a ?, by user= and"
            " password_file="
        )
    hosts, ports = [], set()
    for part in text.split(","):
        host, _, port = part.rpartition(":") if re.search(r":\d+$", part) else (part, "", "")
        if not host:
            raise InvalidRequest(f"a cassandra URL is cassandra://HOST[:PORT][,HOST…]/KEYSPACE; {text!r} names no host")
        hosts.append(unquote(host).strip("[]"))
        ports.add(int(port) if port else _PORT)
    if not all(_PORT_MIN <= port <= _PORT_MAX for port in ports):
        raise InvalidRequest(f"a port in a cassandra URL is {_PORT_MIN} to {_PORT_MAX}, not {sorted(ports)}")
    if len(ports) > 1:
        raise InvalidRequest(f"the nodes of a cluster listen on one port; the cassandra URL names {sorted(ports)}")
    return tuple(hosts), ports.pop()


def _field(name: str, value: str) -> object:
    if name in {"datacenter", "rack", "user", "password_file", "ca_file", "certificate_file", "key_file"}:
        if not value:
            raise InvalidRequest(f"{name}= in a cassandra URL is empty")
        return value
    if name == "replication":
        return _replication(value)
    bounds = {"try_ms": (50, 60_000), "gc_grace_s": (3_600, 10 * 86_400)}.get(name)
    if bounds is None:
        known = ", ".join(sorted(set(Location.__struct_fields__) - {"hosts", "port", "keyspace"}))
        raise InvalidRequest(f"a cassandra URL knows no {name}=; there are {known}")
    if not value.isascii() or not value.isdigit() or not bounds[0] <= int(value) <= bounds[1]:
        raise InvalidRequest(f"{name}= in a cassandra URL is {bounds[0]} to {bounds[1]}, not {value!r}")
    return int(value)


def _replication(value: str) -> tuple[tuple[str, int], ...]:
    found = []
    for part in value.split(","):
        if not _REPLICATION.fullmatch(part):
            raise InvalidRequest(
                f"replication= in a cassandra URL is DATACENTER:COPIES[,…], copies 1 to 9: not {part!r}"
            )
        name, _, copies = part.rpartition(":")
        found.append((name, int(copies)))
    return tuple(found)
