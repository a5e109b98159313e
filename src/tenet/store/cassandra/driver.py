"""Statements to the cluster and their answers: prepared, timed, tried a second time elsewhere, errors told apart.

The driver below keeps connections and knows which nodes hold a key. What it leaves to us: a node that is frozen still
has its connections, and would hold up every statement that goes to it until its time is over. So a statement has a
short time of its own, and is then sent through another node; ``nodes`` says which ones to leave alone, and when one has
come to be silent, nobody waits for what was sent until then.
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import acsylla
from acsylla import Consistency, SSLVerifyFlags, errors

from tenet.base.clock import NEVER
from tenet.store.cassandra.nodes import PROBE_S, PROBE_S_MAX, USUAL, Nodes, only, without
from tenet.store.cassandra.patience import Patience
from tenet.store.errors import DeadlineExceeded, StoreCorrupt, StoreFault, StoreUnavailable

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.location import Location

#: A statement's text with the values of its markers.
Bound: TypeAlias = tuple[str, Sequence[Any]]
#: What a refused conditional batch shows of one row, by the name of the column.
Shown: TypeAlias = Mapping[str, Any]

#: How long a definition of a table may take, seconds.
DEFINITION_S: Final = 30.0
#: How often the nodes are asked whether they know of it, and how long one may take to answer, seconds.
_AGREEMENT_EVERY_S: Final = 0.05
_SCHEMA_S: Final = 2.0
#: How long gossip may take, seconds: about one a node.
_GOSSIP_S: Final = 3.0
_OWN_SCHEMA: Final = "SELECT rpc_address, schema_version FROM system.local"
_PEERS_SCHEMAS: Final = "SELECT native_address, schema_version FROM system.peers_v2"
#: The longest that one node is waited for, that a statement is tried, and how often every way is tried; seconds.
_TRY_S_MAX: Final = 5.0
_TRIED_S_MAX: Final = 20.0
_ROUNDS_MAX: Final = 10
#: How long the driver below may take to say that the time of a statement is over, seconds.
_LATE_S: Final = 0.1
#: How long a session is kept that was closed, seconds; see `_retire`.
_RETIRED_S: Final = 30.0
_PREPARED_MAX: Final = 20_000


class Unsure(Exception):
    """A conditional statement was sent, and nobody knows whether it took effect."""


class Doubt:
    """Whether some batch of a commit was not answered, and may still take effect."""

    __slots__ = ("is_there",)

    def __init__(self) -> None:
        self.is_there = False


class TableMissing(Exception):
    """A statement names a table that is not there, or no more."""


_MISSING: Final = ("unconfigured table", "does not exist", "unknown keyspace", "Undefined")
_NO_KEYSPACE: Final = "doesn't exist"
_NOT_SENT: Final = (errors.CassErrorServerUnavailable, errors.CassErrorServerOverloaded)


class Driver:
    """A cluster that this process talks to.

    Args:
        location: where it is.
        clock: time.
    """

    def __init__(self, location: Location, clock: Clock) -> None:
        self.location = location
        self._clock = clock
        self._session: Any = None
        self._prepared: dict[str, Any] = {}
        #: Which nodes answer; known once it is open.
        self.nodes = Nodes((), self._probe)
        #: Why nothing is sent at present, empty where nothing stands against it; see ``cut`` and ``supervision``.
        self.cut_off = ""
        #: How many statements were answered; each says that a majority of some key's replicas is there.
        self.answered = 0
        #: What is waited for, with the time at which it was sent.
        self._waiting: dict[asyncio.Timeout, float] = {}
        #: How long a statement is waited for before it is sent a second time.
        self._patience = Patience(location.try_ms / 1000, _TRY_S_MAX)
        #: The data centre whose nodes are sent to, and how many it has.
        self.datacenter = location.datacenter or ""
        self.copies_max = 0
        #: Statements that were sent, by kind; for the tests of round trips and the metrics.
        self.sent = {"read": 0, "registry": 0, "beat": 0, "write": 0, "conditional": 0, "second": 0}

    # ---- connections -------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connects, first to find out which nodes there are.

        Raises:
            StoreUnavailable: no node answers, or none takes the user, or the certificate.
        """
        try:
            first = await acsylla.create_cluster(**self._options()).create_session()
            try:
                addresses = await self._addresses(first)
            finally:
                await first.close()
            cluster = acsylla.create_cluster(**self._options())
            for address in addresses:
                self._make_profiles(cluster, address)
            self._session = await cluster.create_session()
        except errors.CassException as error:
            raise StoreUnavailable(f"the cluster cannot be reached: {_text(error)}") from error
        self.nodes = Nodes(addresses, self._probe, self._wait_no_more)
        self.nodes.watch()

    async def _addresses(self, session: Any) -> list[str]:
        """Returns the addresses of the local data centre's nodes, as the first host that answers sees them."""
        for host in self.location.hosts:
            found: list[tuple[Any, ...]] = []
            for text in (
                "SELECT rpc_address, data_center FROM system.local",
                "SELECT native_address, data_center FROM system.peers_v2",
            ):
                statement = acsylla.create_statement(text, timeout=5.0)
                statement.set_consistency(Consistency.ONE)
                try:
                    statement.set_host(await _address_of(host), self.location.port)
                    found += [row.as_tuple() for row in (await session.execute(statement)).all()]
                except (errors.CassException, OSError):
                    break
            else:
                self.datacenter = self.location.datacenter or found[0][1]
                addresses = sorted({str(address) for address, of in found if of == self.datacenter and address})
                self.copies_max = len(addresses)
                return addresses
        raise StoreUnavailable(f"no node of the cluster answers at {', '.join(self.location.hosts)}")

    def _make_profiles(self, cluster: Any, address: str) -> None:
        common = {"consistency": Consistency.QUORUM, "serial_consistency": Consistency.SERIAL}
        cluster.create_execution_profile(
            only(address),
            load_balance_round_robin=True,
            token_aware_routing=False,
            whitelist_hosts=address,
            retry_policy="fallthrough",
            **common,
        )
        local = self.location.datacenter
        cluster.create_execution_profile(
            without(address),
            **({"load_balance_dc_aware": local} if local else {"load_balance_round_robin": True}),
            token_aware_routing=True,
            token_aware_routing_shuffle_replicas=False,
            blacklist_hosts=address,
            retry_policy="fallthrough",
            **common,
        )

    async def _probe(self, address: str) -> bool:
        return bool(await self._told_by(address, "SELECT key FROM system.local", PROBE_S_MAX))

    async def _told_by(self, address: str, text: str, timeout_s: float) -> list[tuple[Any, ...]]:
        """Returns what a node knows by itself."""
        statement = acsylla.create_statement(text, timeout=timeout_s)
        statement.set_consistency(Consistency.ONE)
        statement.set_execution_profile(only(address))
        return [row.as_tuple() for row in (await self._connected().execute(statement)).all()]

    def _connected(self) -> Any:
        if self._session is None:
            raise StoreUnavailable("the store is closed")
        return self._session

    async def close(self) -> None:
        """Ends every connection."""
        session, self._session = self._session, None
        self._prepared.clear()
        if session is not None:
            await self.nodes.close()
            await session.close()
            _retire(session, self._clock.monotonic_s())

    def _options(self) -> dict[str, Any]:
        at = self.location
        options: dict[str, Any] = {
            "contact_points": list(at.hosts),
            "port": at.port,
            "connect_timeout": 5.0,
            "request_timeout": 10.0,
            "consistency": Consistency.QUORUM,
            "serial_consistency": Consistency.SERIAL,
            "token_aware_routing": True,
            # One node for each key: coordinators that compete for a partition make outcomes unknown.
            "token_aware_routing_shuffle_replicas": False,
            # So that every process sends what concerns a key to the same node.
            "randomized_contact_points": False,
            # Else preparing waits for every node, a frozen one too. Those that do not know a statement yet say so.
            "prepare_on_all_hosts": False,
            # `define` waits for what it defines, and needs less time for it.
            "max_schema_wait_time_ms": 1,
            # Else every process reads all tables' columns again whenever anybody makes a table. Replicas of a key are
            # known without.
            "use_schema": False,
            "retry_policy": "fallthrough",
            "log_level": "critical",
            "constant_reconnect_delay_ms": 500,
            "heartbeat_interval_sec": 1,
            "idle_timeout_sec": 3,
            "coalesce_delay_us": 20,
            "application_name": "tenet",
        }
        if at.datacenter and at.rack:
            options |= {"load_balance_rack_aware_dc": at.datacenter, "load_balance_rack_aware_rack": at.rack}
        elif at.datacenter:
            options["load_balance_dc_aware"] = at.datacenter
        if at.user is not None:
            password = Path(at.password_file).read_text(encoding="utf-8").strip() if at.password_file else ""
            options |= {"username": at.user, "password": password}
        if at.ca_file is not None:
            options |= {
                "ssl_enabled": True,
                "ssl_trusted_cert": Path(at.ca_file).read_text(encoding="ascii"),
                # The certificate must name the node's address: else any that the authority signed would pass for it.
                "ssl_verify_flags": SSLVerifyFlags.PEER_IDENTITY,
            }
            if at.certificate_file and at.key_file:
                options["ssl_cert"] = Path(at.certificate_file).read_text(encoding="ascii")
                options["ssl_private_key"] = Path(at.key_file).read_text(encoding="ascii")
        return options

    async def _statement(self, text: str, values: Sequence[Any]) -> Any:
        prepared = self._prepared.get(text)
        if prepared is None:
            if len(self._prepared) >= _PREPARED_MAX:
                self._prepared.clear()
            prepared = self._prepared[text] = await self._prepare(text)
        return prepared.bind(list(values))

    async def _prepare(self, text: str) -> Any:
        """Prepares a statement through the next node, or while one of them is silent through several at once."""
        session = self._connected()
        if not self.nodes.left_alone:
            return await session.create_prepared(text)
        asked = [asyncio.ensure_future(session.create_prepared(text)) for _ in self.nodes.addresses]
        failures = []
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    return await answer
                except errors.CassException as error:
                    failures.append(error)
            raise failures[-1]
        finally:
            for one in asked:
                one.cancel()

    # ---- nodes that are silent ---------------------------------------------------------------------------------------

    def cut(self, why: str) -> None:
        """Sends nothing more, and ends the wait for what was sent, until it is called again.

        Args:
            why: what callers are told; empty where a majority answers again.
        """
        self.cut_off = why
        if why:
            self._wait_no_more()

    def _wait_no_more(self) -> None:
        """Ends the wait for what was sent some time ago: it may have been to a node that is known to be silent now."""
        now = self._clock.monotonic_s()
        for wait, begun in self._waiting.items():
            if begun <= now - PROBE_S and not wait.expired():
                wait.reschedule(0)

    # ---- statements --------------------------------------------------------------------------------------------------

    async def define(self, *texts: str) -> None:
        """Sends definitions, of a keyspace, a table, one after the other, and waits until all nodes have them.

        Raises:
            StoreUnavailable: one could not be carried out.
        """
        until = self._clock.monotonic_s() + DEFINITION_S
        # All processes by the same node: two that define the same table at once would each make one.
        by = (self.nodes.in_use or self.nodes.addresses)[0]
        # A node that is told by gossip of definitions which were followed by others since fetches all that there are,
        # a minute later. So the next ones wait until gossip has told of the last.
        await self._until_one(lambda: self._gossiped_schemas(by), self._clock.monotonic_s() + _GOSSIP_S)
        for text in texts:
            await self._define(text, by, until)
        # Each is asked for its own: what a node knows of the others is as old as gossip is.
        await self._until_one(self._own_schemas, until)

    async def _define(self, text: str, by: str, until: float) -> None:
        statement = acsylla.create_statement(text, timeout=DEFINITION_S)
        statement.set_execution_profile(only(by))
        while True:
            try:
                await self._connected().execute(statement)
            except errors.CassErrorServerAlreadyExists:
                return
            except errors.CassException as error:
                # The node may be behind, where another one made the keyspace; it is told of it by the others.
                is_behind = isinstance(error, errors.CassErrorServerInvalidQuery) and _NO_KEYSPACE in _text(error)
                if not is_behind or self._clock.monotonic_s() >= until:
                    raise StoreUnavailable(f"the cluster could not define what is needed: {_text(error)}") from error
            else:
                return
            await asyncio.sleep(_AGREEMENT_EVERY_S)

    async def _until_one(self, schemas: Callable[[], Awaitable[set[str]]], until: float) -> None:
        """Waits until there is but one version of the definitions, or the time has come."""
        while self._clock.monotonic_s() < until and len(await schemas()) > 1:  # noqa: ASYNC110 - nodes tell nobody
            await asyncio.sleep(_AGREEMENT_EVERY_S)

    async def _own_schemas(self) -> set[str]:
        """Returns which definitions the nodes that are in use have, each by its own word."""
        found = await asyncio.gather(*(self._schemas(address, _OWN_SCHEMA) for address in self.nodes.in_use))
        return set[str]().union(*found)

    async def _gossiped_schemas(self, by: str) -> set[str]:
        """Returns which definitions the nodes that are in use have, as one of them has been told."""
        return await self._schemas(by, _OWN_SCHEMA) | await self._schemas(by, _PEERS_SCHEMAS)

    async def _schemas(self, address: str, text: str) -> set[str]:
        """Returns versions that a node tells of nodes in use; an empty one where it does not answer."""
        try:
            rows = await self._told_by(address, text, _SCHEMA_S)
        except errors.CassException:
            return {""}
        # One that is not in use is told of with the definitions that it had.
        return {str(version) for of, version in rows if str(of) in self.nodes.in_use}

    async def select(
        self,
        text: str,
        values: Sequence[Any],
        *,
        deadline: float = NEVER,
        is_serial: bool = True,
        counts_as: str = "read",
        by: str | None = None,
        even_cut_off: bool = False,
    ) -> list[tuple[Any, ...]]:
        """Reads rows; by Paxos where `is_serial`, which is linearizable within a partition.

        Args:
            text: the statement.
            values: of its markers.
            deadline: when to give up.
            is_serial: whether to read by Paxos.
            counts_as: under which name it is counted in ``sent``.
            by: the profile to send by; None for a replica of the key, then the others.
            even_cut_off: whether to try while nothing else is.

        Raises:
            StoreUnavailable: too few replicas answer.
            TableMissing: the table is not there.
        """
        self.sent[counts_as] += 1
        consistency = Consistency.SERIAL if is_serial else Consistency.QUORUM

        async def send(profile: str, timeout_s: float) -> list[tuple[Any, ...]]:
            statement = await self._statement(text, values)
            if profile:
                statement.set_execution_profile(profile)
            statement.set_consistency(consistency)
            statement.set_timeout(timeout_s)
            result = await self._connected().execute(statement)
            return [row.as_tuple() for row in result.all()]

        try:
            if by is not None:
                return await send(by, max(0.01, min(self.location.try_ms / 1000, deadline - self._clock.monotonic_s())))
            rows: list[tuple[Any, ...]] = await self._tried(send, deadline, even_cut_off=even_cut_off)
        except errors.CassException as error:
            raise StoreUnavailable(f"a node of the cluster does not answer: {_text(error)}") from error
        except Unsure as error:
            raise StoreUnavailable("too few nodes of the cluster answered the read in time") from error
        return rows

    async def write(self, bound: Sequence[Bound], *, deadline: float = NEVER) -> None:
        """Writes without a condition, to be safe to repeat.

        Raises:
            StoreUnavailable: it may have been carried out or not.
            TableMissing: the table is not there.
        """
        self.sent["write"] += 1

        async def send(profile: str, timeout_s: float) -> None:
            await self._send_batch(profile, bound, timeout_s)

        try:
            await self._tried(send, deadline)
        except Unsure as error:
            raise StoreUnavailable("too few nodes of the cluster answered the write in time") from error

    async def decide(
        self, bound: Sequence[Bound], *, deadline: float = NEVER, doubt: Doubt | None = None
    ) -> list[Shown] | None:
        """Sends a conditional batch into one partition, which must be one that may be sent twice.

        Args:
            bound: its statements.
            deadline: when to give up.
            doubt: told when a node did not answer, and another one was asked.

        Returns:
            None if it took effect, else the rows that its conditions looked at, those that exist.

        Raises:
            Unsure: nobody knows whether it took effect.
            StoreUnavailable: it did not, and will not.
            TableMissing: the table is not there.
        """
        self.sent["conditional"] += 1

        async def send(profile: str, timeout_s: float) -> list[Shown] | None:
            result = await self._send_batch(profile, bound, timeout_s)
            rows: list[Shown] = [row.as_dict() for row in result.all()]
            return None if rows and rows[0]["[applied]"] else rows

        shown: list[Shown] | None = await self._tried(send, deadline, doubt)
        return shown

    async def _send_batch(self, profile: str, bound: Sequence[Bound], timeout_s: float) -> Any:
        batch = acsylla.create_batch_unlogged()
        if profile:
            batch.set_execution_profile(profile)
        batch.set_consistency(Consistency.QUORUM)
        batch.set_serial_consistency(Consistency.SERIAL)
        batch.set_request_timeout(int(timeout_s * 1000))
        for text, values in bound:
            batch.add_statement(await self._statement(text, values))
        return await self._connected().execute_batch(batch)

    async def _tried(
        self, send: Any, deadline: float, doubt: Doubt | None = None, *, even_cut_off: bool = False
    ) -> Any:
        """Sends through a replica of the key, and if that is silent through one node after the other."""
        is_unsure = False
        instead: str | None = None
        for planned, timeout_s in self._tries(deadline, even_cut_off=even_cut_off):
            profile = planned if instead is None else only(instead)
            try:
                return await self._waited(send, profile, timeout_s)
            except _NOT_SENT as error:
                if not is_unsure and profile != USUAL:
                    raise StoreUnavailable(f"too few replicas of the key are up: {_text(error)}") from error
            except (errors.CassException, TimeoutError) as error:
                self._explain(error)
                is_unsure = True
                if doubt is not None:
                    doubt.is_there = True
                # Which node was silent is not known: whoever answers something small first gets the next try.
                instead = await self.nodes.quickest()
            self.sent["second"] += 1
        if is_unsure:
            raise Unsure
        if self.cut_off:
            raise StoreUnavailable(self.cut_off)
        if deadline <= self._clock.monotonic_s():
            raise DeadlineExceeded("the deadline passed before a node of the cluster answered")
        raise StoreUnavailable("too few nodes of the cluster can be reached")

    async def _waited(self, send: Any, profile: str, timeout_s: float) -> Any:
        """Sends, and waits as long as it makes sense."""
        begun = self._clock.monotonic_s()
        async with asyncio.timeout(timeout_s + _LATE_S) as wait:
            self._waiting[wait] = begun
            try:
                answer = await send(profile, timeout_s)
            finally:
                del self._waiting[wait]
        self.answered += 1
        self._patience.note(self._clock.monotonic_s() - begun)
        return answer

    def _tries(self, deadline: float, *, even_cut_off: bool) -> Iterator[tuple[str, float]]:
        """Gives by which profile to send next, and how long to wait for the answer, in seconds."""
        until = min(deadline, self._clock.monotonic_s() + _TRIED_S_MAX)
        try_s = self._patience.seconds
        for profile in self.nodes.ways(_ROUNDS_MAX):
            left_s = until - self._clock.monotonic_s()
            if left_s <= 0 or (self.cut_off and not even_cut_off):
                return
            yield profile, max(0.01, min(try_s, left_s))
            try_s = min(1.5 * try_s, _TRY_S_MAX)

    def _explain(self, error: errors.CassException | TimeoutError) -> None:
        """Raises what the caller must know of an error; returns where the statement may have taken effect."""
        text = _text(error)
        if isinstance(error, errors.CassErrorServerInvalidQuery | errors.CassErrorServerServerError) and any(
            part in text for part in _MISSING
        ):
            self._prepared.clear()
            raise TableMissing(text) from error
        if isinstance(error, errors.CassErrorServerInvalidQuery | errors.CassErrorServerSyntaxError):
            raise StoreFault(f"the cluster refuses a statement: {text}") from error
        if isinstance(error, errors.CassErrorServerUnauthorized | errors.CassErrorServerBadCredentials):
            raise StoreFault(f"the cluster does not let this user do it: {text}") from error
        if isinstance(error, errors.CassErrorLibInvalidData | errors.CassErrorLibNotEnoughData):
            raise StoreCorrupt(f"the cluster's answer cannot be read: {text}") from error

    async def health(self) -> dict[str, str | int | float | bool]:
        """Returns figures for an operator."""
        return {
            "nodes": ",".join(self.nodes.addresses),
            "nodes_left_alone": ",".join(self.nodes.left_alone),
            "statements": sum(self.sent.values()) - self.sent["second"],
            "statements_sent_again": self.sent["second"],
        }


_retired: list[tuple[float, Any]] = []


def _retire(session: Any, now: float) -> None:
    """Keeps a session for a while that was closed.

    The driver below still tells it of a node that has just come up, and the process would end there if it had gone
    (https://github.com/apache/cassandra-cpp-driver/pull/583).
    """
    _retired[:] = [(since, one) for since, one in _retired if since > now - _RETIRED_S]
    _retired.append((now, session))


def _keep_retired() -> None:
    """Keeps those of the last moments until the process has ended."""
    for _, session in _retired:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


atexit.register(_keep_retired)


async def _address_of(host: str) -> str:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return str(found[0][4][0])


def _text(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
