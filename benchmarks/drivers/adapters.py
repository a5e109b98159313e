"""The same four statements through each driver for Cassandra that Python has.

An adapter is used by one event loop. Keys are fixed to a coordinator where a driver can do it: token awareness without
shuffling of replicas.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

#: What is measured; the newest releases.
REQUIREMENTS = {
    "acsylla": ("acsylla==1.2.0",),
    "scyllapy": ("scyllapy==1.3.3",),
    "cassandra-driver": ("cassandra-driver==3.30.1",),
}
KEYSPACE = "drivers"
SCHEMA = (
    f"CREATE KEYSPACE IF NOT EXISTS {KEYSPACE} WITH replication = {{'class': 'NetworkTopologyStrategy', 'dc1': %d}}",
    (
        f"CREATE TABLE IF NOT EXISTS {KEYSPACE}.records (p blob, kind tinyint, sort blob, ver blob, v blob, "
        "stamp bigint STATIC, PRIMARY KEY (p, kind, sort))"
    ),
)
PUT = f"UPDATE {KEYSPACE}.records SET ver = ?, v = ? WHERE p = ? AND kind = 0 AND sort = ?"
GET = f"SELECT ver, v FROM {KEYSPACE}.records WHERE p = ? AND kind = 0 AND sort = ?"
STAMP = f"UPDATE {KEYSPACE}.records SET stamp = ? WHERE p = ?"
CHANGE = f"UPDATE {KEYSPACE}.records SET ver = ?, v = ? WHERE p = ? AND kind = 0 AND sort = ? IF ver = ?"
SORT = b"sort"
#: For what is done once, before anything is measured.
PREPARE_S_MAX = 20.0


class Security(Protocol):
    """How to reach a cluster that asks who is there: files of PEM, and a user with a password."""

    authority: Path
    certificate: Path
    key: Path
    user: str
    password: str


class Adapter(Protocol):
    """What a driver is asked to do; errors are its own."""

    async def open(self, points: tuple[str, ...], timeout_s: float, security: Security | None = None) -> None:
        """Connects and prepares the statements; a request may take `timeout_s`."""

    async def put(self, key: bytes, version: bytes, value: bytes) -> None:
        """A plain write to a quorum."""

    async def get(self, key: bytes, *, is_serial: bool = False) -> bytes | None:
        """The version that a quorum, or a round of Paxos, knows."""

    async def commit(self, key: bytes, before: bytes, after: bytes, value: bytes) -> bytes | None:
        """A conditional batch; None where it was applied, else the version that stood in its way."""

    async def close(self) -> None:
        """Lets go of the connections."""


class Acsylla:
    """acsylla: Cython over the C++ driver, whose threads do the work of the wire."""

    async def open(self, points: tuple[str, ...], timeout_s: float, security: Security | None = None) -> None:
        acsylla = import_module("acsylla")
        self._module = acsylla
        more: dict[str, Any] = {}
        if security is not None:
            more = {
                "ssl_enabled": True,
                "ssl_trusted_cert": security.authority.read_text(encoding="ascii"),
                "ssl_cert": security.certificate.read_text(encoding="ascii"),
                "ssl_private_key": security.key.read_text(encoding="ascii"),
                "ssl_verify_flags": acsylla.SSLVerifyFlags.PEER_IDENTITY,
                "username": security.user,
                "password": security.password,
            }
        cluster = acsylla.create_cluster(
            list(points),
            request_timeout=PREPARE_S_MAX,
            connect_timeout=2.0,
            consistency="QUORUM",
            serial_consistency="SERIAL",
            load_balance_dc_aware="dc1",
            token_aware_routing_shuffle_replicas=False,
            retry_policy="fallthrough",
            heartbeat_interval_sec=1,
            idle_timeout_sec=3,
            constant_reconnect_delay_ms=500,
            log_level="critical",
            **more,
        )
        self._session = await cluster.create_session(keyspace=KEYSPACE)
        self._put, self._get, self._stamp, self._change = [
            await self._session.create_prepared(text, timeout=timeout_s) for text in (PUT, GET, STAMP, CHANGE)
        ]
        self._timeout_ms = int(timeout_s * 1_000)

    async def put(self, key: bytes, version: bytes, value: bytes) -> None:
        statement = self._put.bind()
        statement.bind_list([version, value, key, SORT])
        await self._session.execute(statement)

    async def get(self, key: bytes, *, is_serial: bool = False) -> bytes | None:
        statement = self._get.bind()
        statement.bind_list([key, SORT])
        if is_serial:
            statement.set_consistency(self._module.Consistency.SERIAL)
        row = (await self._session.execute(statement)).first()
        return None if row is None else row.as_tuple()[0]

    async def commit(self, key: bytes, before: bytes, after: bytes, value: bytes) -> bytes | None:
        batch = self._module.create_batch_unlogged()
        batch.set_request_timeout(self._timeout_ms)
        stamp = self._stamp.bind()
        stamp.bind_list([1, key])
        batch.add_statement(stamp)
        change = self._change.bind()
        change.bind_list([after, value, key, SORT, before])
        batch.add_statement(change)
        row = (await self._session.execute_batch(batch)).first().as_dict()
        return None if row["[applied]"] else row["ver"]

    async def close(self) -> None:
        await self._session.close()


class Scyllapy:
    """scyllapy: the Rust driver on its own runtime, through PyO3."""

    async def open(self, points: tuple[str, ...], timeout_s: float, security: Security | None = None) -> None:
        scyllapy = import_module("scyllapy")
        policy = import_module("scyllapy.load_balancing").LoadBalancingPolicy
        self._module = scyllapy
        more: dict[str, Any] = {}
        if security is not None:
            more = {
                "ssl_ca_file": str(security.authority),
                "ssl_cert": security.certificate.read_text(encoding="ascii"),
                "ssl_key": security.key.read_text(encoding="ascii"),
                # Without it any server is believed.
                "ssl_verify_mode": scyllapy.SSLVerifyMode.PEER,
                "username": security.user,
                "password": security.password,
            }
        self._profile = scyllapy.ExecutionProfile(
            consistency=scyllapy.Consistency.QUORUM,
            serial_consistency=scyllapy.SerialConsistency.SERIAL,
            # Whole seconds are all that it takes.
            request_timeout=max(1, round(timeout_s)),
            load_balancing_policy=await policy.build(
                token_aware=True, prefer_datacenter="dc1", shuffling_replicas=False
            ),
        )
        self._scylla = scyllapy.Scylla(
            [f"{point}:9042" for point in points],
            keyspace=KEYSPACE,
            connection_timeout=2,
            keepalive_interval=1,
            keepalive_timeout=3,
            default_execution_profile=self._profile,
            **more,
        )
        await self._scylla.startup()
        self._put, self._get, self._stamp, self._change = [
            await self._scylla.prepare(text) for text in (PUT, GET, STAMP, CHANGE)
        ]
        self._serial = await self._scylla.prepare(
            scyllapy.Query(GET, consistency=scyllapy.Consistency.SERIAL, profile=self._profile)
        )

    async def put(self, key: bytes, version: bytes, value: bytes) -> None:
        await self._scylla.execute(self._put, [version, value, key, SORT])

    async def get(self, key: bytes, *, is_serial: bool = False) -> bytes | None:
        found = await self._scylla.execute(self._serial if is_serial else self._get, [key, SORT])
        row = found.first()
        return None if row is None else row["ver"]

    async def commit(self, key: bytes, before: bytes, after: bytes, value: bytes) -> bytes | None:
        batch = self._module.Batch(
            self._module.BatchType.UNLOGGED,
            consistency=self._module.Consistency.QUORUM,
            serial_consistency=self._module.SerialConsistency.SERIAL,
        )
        batch.add_query(self._stamp)
        batch.add_query(self._change)
        values = [
            [self._module.extra_types.BigInt(1), key],
            [after, value, key, SORT, before],
        ]
        row = (await self._scylla.batch(batch, values)).first()
        assert row is not None
        return None if row["[applied]"] else row["ver"]

    async def close(self) -> None:
        await self._scylla.shutdown()


class CassandraDriver:
    """cassandra-driver: Apache's own, with threads and callbacks; its answers are handed over to the loop."""

    async def open(self, points: tuple[str, ...], timeout_s: float, security: Security | None = None) -> None:
        levels = import_module("cassandra").ConsistencyLevel
        auth, cluster, policies, query = (
            import_module(f"cassandra.{name}") for name in ("auth", "cluster", "policies", "query")
        )
        self._levels, self._query = levels, query
        more: dict[str, Any] = {}
        if security is not None:
            context = ssl.create_default_context(cafile=str(security.authority))
            context.load_cert_chain(security.certificate, security.key)
            more = {
                "ssl_context": context,
                "auth_provider": auth.PlainTextAuthProvider(security.user, security.password),
            }
        profile = cluster.ExecutionProfile(
            load_balancing_policy=policies.TokenAwarePolicy(
                policies.DCAwareRoundRobinPolicy("dc1"), shuffle_replicas=False
            ),
            consistency_level=levels.QUORUM,
            serial_consistency_level=levels.SERIAL,
            retry_policy=policies.FallthroughRetryPolicy(),
            row_factory=query.tuple_factory,
            request_timeout=timeout_s,
        )
        self._loop = asyncio.get_running_loop()
        self._cluster = cluster.Cluster(
            list(points),
            execution_profiles={cluster.EXEC_PROFILE_DEFAULT: profile},
            protocol_version=5,
            connect_timeout=2,
            idle_heartbeat_interval=1,
            idle_heartbeat_timeout=2,
            reconnection_policy=policies.ConstantReconnectionPolicy(0.5, max_attempts=None),
            **more,
        )
        self._session = await asyncio.to_thread(self._cluster.connect, KEYSPACE)
        self._put, self._get, self._serial, self._stamp, self._change = [
            await asyncio.to_thread(self._session.prepare, text) for text in (PUT, GET, GET, STAMP, CHANGE)
        ]
        self._serial.consistency_level = levels.SERIAL

    async def _execute(self, statement: Any) -> Any:
        waiting = self._loop.create_future()

        def answer(rows: Any) -> None:
            if not waiting.done():
                waiting.set_result(rows)

        def fail(error: Exception) -> None:
            if not waiting.done():
                waiting.set_exception(error)

        self._session.execute_async(statement).add_callbacks(
            lambda rows: self._loop.call_soon_threadsafe(answer, rows),
            lambda error: self._loop.call_soon_threadsafe(fail, error),
        )
        return await waiting

    async def put(self, key: bytes, version: bytes, value: bytes) -> None:
        await self._execute(self._put.bind((version, value, key, SORT)))

    async def get(self, key: bytes, *, is_serial: bool = False) -> bytes | None:
        rows = await self._execute((self._serial if is_serial else self._get).bind((key, SORT)))
        return rows[0][0] if rows else None

    async def commit(self, key: bytes, before: bytes, after: bytes, value: bytes) -> bytes | None:
        batch = self._query.BatchStatement(
            self._query.BatchType.UNLOGGED,
            consistency_level=self._levels.QUORUM,
            serial_consistency_level=self._levels.SERIAL,
        )
        batch.add(self._stamp.bind((1, key)))
        batch.add(self._change.bind((after, value, key, SORT, before)))
        (row,) = await self._execute(batch)
        # Without names: [applied], the key, and the columns of the conditions.
        return None if row[0] else row[-1]

    async def close(self) -> None:
        await asyncio.to_thread(self._cluster.shutdown)


ADAPTERS: Mapping[str, type[Adapter]] = {
    "acsylla": Acsylla,
    "scyllapy": Scyllapy,
    "cassandra-driver": CassandraDriver,
}


def summary_of(errors: Counter[str]) -> str:
    """The most frequent errors with their counts."""
    return "; ".join(f"{count} x {name}" for name, count in errors.most_common(3)) or "none"
