"""The tokens that the engine computes are those of the nodes."""

from __future__ import annotations

import asyncio

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.cassandra.driver import Driver
from tenet.store.cassandra.location import parse_location
from tenet.store.cassandra.murmur3 import token
from tools.cluster.cluster import Cluster


def test_tokens_of_keys_of_every_length_and_every_sign_of_bytes(cassandra_cluster: Cluster) -> None:
    keyspace = f"t{SystemIds().draw(4).hex()}_tokens"
    keys = [b"k", b"123"]
    for length in range(1, 50):
        keys += [bytes((byte + at) % 256 for at in range(length)) for byte in (0x00, 0x70, 0x80, 0xF0)]

    async def ask() -> dict[bytes, int]:
        driver = Driver(parse_location(f"//{','.join(cassandra_cluster.contact_points)}/{keyspace}"), SystemClock())
        await driver.open()
        try:
            replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
            await driver.define(f"CREATE KEYSPACE {keyspace} WITH replication = {replication}")
            await driver.define(f"CREATE TABLE {keyspace}.t (p blob PRIMARY KEY)")
            await driver.write([(f"INSERT INTO {keyspace}.t (p) VALUES (?)", (key,)) for key in keys])
            rows = await driver.select(f"SELECT p, token(p) FROM {keyspace}.t", (), is_serial=False)
            await driver.define(f"DROP KEYSPACE {keyspace}")
            return dict(rows)
        finally:
            await driver.close()

    assert asyncio.run(ask()) == {key: token(key) for key in keys}
