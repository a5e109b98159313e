"""Statements to the cluster and their answers: connections, what is prepared, consistency.

The driver below keeps connections and knows which nodes hold a key. What it leaves to us: a node that is frozen still
has its connections, and would hold up every statement that goes to it until its time is over. So a statement has a
short time of its own, and is then sent through another node (``tries``); ``nodes`` says which ones to leave alone, and
when one has come to be silent, nobody waits for what was sent until then.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import acsylla
from acsylla import Consistency, SSLVerifyFlags, errors

from tenet.base.clock import NEVER
from tenet.store.cassandra.definitions import DEFINITION_S, define
from tenet.store.cassandra.nodes import PROBE_S_MAX, Nodes, only, without
from tenet.store.cassandra.retired import retire
from tenet.store.cassandra.sending import Bound, Connection, Sending, Shown
from tenet.store.cassandra.tries import Tries, text_of
from tenet.store.errors import StoreUnavailable

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.location import Location
    from tenet.store.cassandra.tries import Doubt

#: Keys whose reads show whether a majority of replicas answers; they lie on different nodes where there are many.
BEATS: Final = ("beat", *(f"beat-{number}" for number in range(1, 8)))


def _nothing() -> None:
    """Does what is to be done before a statement is sent, where that is nothing."""


class Driver:
    """A cluster that this process talks to.

    Args:
        location: where it is.
        clock: time.
    """

    def __init__(self, location: Location, clock: Clock) -> None:
        self.location = location
        self._clock = clock
        self._former: Any = None
        #: The data centre whose nodes are sent to, and how many it has.
        self.datacenter = location.datacenter or ""
        self.copies_max = 0
        #: Statements that were sent, by kind; for the tests of round trips and the metrics.
        self.sent = {"read": 0, "registry": 0, "beat": 0, "write": 0, "conditional": 0, "second": 0}
        #: Which nodes answer; there are none before it is open.
        self.nodes = Nodes((), self._probe, self._reaches)
        #: What is sent and waited for, and whether anything is.
        self.tries = Tries(self.nodes, clock, location.try_ms / 1000, self.sent)
        self._connection = Connection(self.nodes)
        self._beats = cycle(BEATS)
        self._sending = Sending(self._connection, self.tries)

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
            self._connection.session = await self._session_with(addresses)
        except errors.CassException as error:
            at = self.location
            asked = f"{', '.join(at.hosts)}, port {at.port}"
            raise StoreUnavailable(f"the cluster cannot be reached at {asked}: {text_of(error)}") from error
        self.nodes.watch(addresses)

    async def _session_with(self, addresses: Sequence[str]) -> Any:
        """Returns connections by which each of these nodes can be sent to by itself."""
        options = self._options()
        # Those that are configured may have gone since.
        options["contact_points"] = [*options["contact_points"], *addresses]
        cluster = acsylla.create_cluster(**options)
        for address in addresses:
            self._make_profiles(cluster, address)
        return await cluster.create_session()

    async def renew(self, addresses: Sequence[str]) -> None:
        """Takes over which nodes there are now, while statements go on: those under way come back where they were sent.

        The former connections stay for as long as a statement may take, until the next call or `close_former`.

        Raises:
            StoreUnavailable: no connections could be made; everything is as it was.
        """
        try:
            session = await self._session_with(addresses)
        except errors.CassException as error:
            raise StoreUnavailable(
                f"the nodes {', '.join(addresses)} cannot be connected to: {text_of(error)}"
            ) from error
        if self._connection.session is None:
            await session.close()
            return
        await self.close_former()
        self._former, self._connection.session = self._connection.session, session
        self._connection.prepared.clear()
        self.copies_max = len(addresses)
        self.nodes.update(addresses)

    async def close_former(self) -> None:
        """Ends the connections that there were before others took their place."""
        former, self._former = self._former, None
        if former is not None:
            await former.close()
            retire(former, self._clock.monotonic_s())

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
        return bool(await self.told_by(address, "SELECT key FROM system.local", timeout_s=PROBE_S_MAX))

    async def _reaches(self, address: str) -> bool:
        """Whether a node can ask a majority of the replicas of something."""
        text = f"SELECT id FROM {self.location.keyspace}.registry WHERE part = '{next(self._beats)}' AND name = ''"
        with suppress(errors.CassErrorServerInvalidQuery, errors.CassErrorServerUnauthorized):  # not made yet, not ours
            await self.told_by(address, text, timeout_s=PROBE_S_MAX, consistency=Consistency.QUORUM)
        return True

    async def told_by(
        self, address: str, text: str, *, timeout_s: float, consistency: Consistency = Consistency.ONE
    ) -> list[tuple[Any, ...]]:
        """Returns what one node answers, by itself unless a consistency is given.

        Raises:
            CassException: it does not.
        """
        statement = acsylla.create_statement(text, timeout=timeout_s)
        statement.set_consistency(consistency)
        statement.set_execution_profile(only(address))
        return [row.as_tuple() for row in (await self.connected().execute(statement)).all()]

    def connected(self) -> Any:
        """Returns the session.

        Raises:
            StoreUnavailable: there is none.
        """
        return self._connection.connected()

    async def close(self) -> None:
        """Ends every connection."""
        session, self._connection.session = self._connection.session, None
        self._connection.prepared.clear()
        await self.close_former()
        if session is not None:
            await self.nodes.close()
            await session.close()
            retire(session, self._clock.monotonic_s())

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

    # ---- statements --------------------------------------------------------------------------------------------------

    async def define(self, *texts: str, deadline: float = NEVER) -> None:
        """Sends definitions, of a keyspace, a table, one after the other, and waits until the nodes in use have them.

        Raises:
            StoreUnavailable: one could not be carried out, or not in time; `NodeSilent` where it may have been.
        """
        await define(self, texts, min(deadline, self._clock.monotonic_s() + DEFINITION_S), self._clock)

    def select(
        self,
        text: str,
        values: Sequence[Any],
        *,
        deadline: float = NEVER,
        is_serial: bool = True,
        counts_as: str = "read",
        by: str | None = None,
        even_cut_off: bool = False,
    ) -> Coroutine[Any, Any, list[tuple[Any, ...]]]:
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
        if by is not None:
            timeout_s = max(0.01, min(self.location.try_ms / 1000, deadline - self._clock.monotonic_s()))
            return self._sending.select_by(by, text, values, timeout_s, consistency)
        return self._sending.select(text, values, deadline, consistency, even_cut_off=even_cut_off)

    def write(self, bound: Sequence[Bound], *, deadline: float = NEVER) -> Coroutine[Any, Any, None]:
        """Writes without a condition, to be safe to repeat.

        Raises:
            StoreUnavailable: it may have been carried out or not.
            TableMissing: the table is not there.
        """
        self.sent["write"] += 1
        return self._sending.write(bound, deadline)

    def decide(
        self,
        bound: Sequence[Bound],
        *,
        deadline: float = NEVER,
        doubt: Doubt | None = None,
        before: Callable[[], None] = _nothing,
    ) -> Coroutine[Any, Any, list[Shown] | None]:
        """Sends a conditional batch into one partition, which must be one that may be sent twice.

        Args:
            bound: its statements.
            deadline: when to give up.
            doubt: told when a node did not answer, and another one was asked.
            before: called before each time that it is sent; raises where it must not be any more.

        Returns:
            None if it took effect, else the rows that its conditions looked at, those that exist.

        Raises:
            Unsure: nobody knows whether it took effect.
            StoreUnavailable: it did not, and will not.
            TableMissing: the table is not there.
        """
        self.sent["conditional"] += 1
        return self._sending.decide(bound, deadline, doubt, before)

    async def health(self) -> dict[str, str | int | float | bool]:
        """Returns figures for an operator."""
        # Where none answers and statements do, it is this process that is late.
        is_late = not self.nodes.answering and not self.tries.cut_off
        silent = self.nodes.left_alone if is_late else self.nodes.not_answering()
        return {
            "nodes": ",".join(self.nodes.addresses),
            "nodes_left_alone": ",".join(self.nodes.left_alone),
            "nodes_not_answering": ",".join(silent),
            "nodes_silent": len(silent),
            "statements": sum(self.sent.values()) - self.sent["second"],
            "statements_sent_again": self.sent["second"],
        }


async def _address_of(host: str) -> str:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return str(found[0][4][0])
