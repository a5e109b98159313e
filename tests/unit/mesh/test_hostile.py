"""What a hostile or broken machine can do to a node from the network: nothing but end its own connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tenet.mesh import network
from tenet.mesh.channel import NodeId
from tenet.mesh.credentials import JOINING, PROTOCOLS, Credentials
from tenet.mesh.errors import IdentityUnusable
from tenet.mesh.frames import Frame, Frames, Hello, Reader, call_frame, frame, notice_frame
from tenet.mesh.link import STRANGER_FRAME_BYTES_MAX, LinkLimits
from tenet.mesh.network import STRANGERS_OF_ADDRESS_MAX, Network
from tests.nodes import Cluster, connected, dial, on_loop, until

A, B = NodeId("a"), NodeId("b")
QUICK = LinkLimits(keep_alive_s=0.05, greeting_s=0.5, stranger_s=0.5, frame_s=0.5)
HELLO = frame(Frames.HELLO, 0, msgspec.json.encode(Hello("0" * 16, "x:1", "1.0", 1)))


async def echo(_: NodeId, body: bytes) -> bytes:
    return body


def context(cluster: Cluster, node: str | None, protocols: tuple[str, ...] = tuple(PROTOCOLS)) -> ssl.SSLContext:
    """The handshake of somebody who has a node's certificate, or none, and believes everybody."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(list(protocols))
    if node is not None:
        files = cluster.certify(node)
        made.load_cert_chain(files.certificate, files.private_key)
    return made


@asynccontextmanager
async def under_attack(cluster: Cluster, **options: LinkLimits) -> AsyncIterator[Network]:
    """A node with a good peer, which must be served as before whatever else happens."""
    async with cluster.node("a", limits=options.get("limits", QUICK)) as a, cluster.node("b") as b:
        a.handle("echo", echo)
        b.dial(a.address, A)
        await until(lambda: connected(a, b))
        yield a
        assert connected(a, b)
        assert await b.call(A, "echo", b"still", 10) == b"still"
        await until(lambda: len(a._all) == 1 and not a._strangers.total())


async def ended(reader: asyncio.StreamReader, timeout_s: float = 10) -> bytes:
    """What is read until the other side ends the connection."""
    async with asyncio.timeout(timeout_s):
        try:
            return await reader.read()
        except (OSError, ssl.SSLError):
            return b""


async def frames_of(reader: asyncio.StreamReader, count: int) -> list[Frame]:
    found: list[Frame] = []
    parser = Reader()
    async with asyncio.timeout(10):
        while len(found) < count:
            data = await reader.read(65536)
            assert data, found
            found += [one for one in parser.feed(data) if one.what is not Frames.KEEP]
    return found


def attack(tmp_path: Path, attempt: Callable[[Cluster, Network], Awaitable[None]], **options: LinkLimits) -> None:
    cluster = Cluster(tmp_path)

    async def main() -> None:
        async with under_attack(cluster, **options) as a:
            await attempt(cluster, a)

    on_loop(main)


@pytest.mark.parametrize(
    "nonsense", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"\x00" * 9, b""]
)
def test_what_is_no_handshake_is_hung_up_on(tmp_path: Path, nonsense: bytes) -> None:
    async def attempt(_cluster: Cluster, a: Network) -> None:
        host, _, port = a.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(nonsense)
        # Silence is ended as well.
        await ended(reader)
        writer.close()

    attack(tmp_path, attempt)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "sent",
    [
        b"\xff" * 5,
        (2**31).to_bytes(4, "big") + b"\x02" + bytes(4),
        (0).to_bytes(4, "big") + bytes(9),
        (5).to_bytes(4, "big") + b"\x63" + bytes(4),
        frame(Frames.HELLO, 0, b"{"),
        frame(Frames.KEEP),
        notice_frame(b"told", b""),
        HELLO + HELLO,
        HELLO + call_frame(1, b"echo", 1, b"")[:-2] + b"\xff\xff" + frame(Frames.CALL, 1, b"\x00"),
        HELLO + frame(Frames.NOTICE, 0, b""),
        HELLO + frame(Frames.NOTICE, 0, b"\x02\xff\xff"),
        HELLO + frame(Frames.FAILURE, 0, b"{"),
        HELLO + frame(Frames.BYE, 0, b"\xff" * 10_000),
    ],
)
def test_a_node_that_speaks_nonsense_ends_its_own_connection(tmp_path: Path, sent: bytes) -> None:
    async def attempt(cluster: Cluster, a: Network) -> None:
        reader, writer = await dial(a.address, context(cluster, "c"))
        # Greeted on, it may send more than a greeting.
        greeting = await frames_of(reader, 1)
        assert greeting[0].what is Frames.HELLO
        writer.write(sent)
        await ended(reader)
        writer.close()

    attack(tmp_path, attempt)


def test_a_call_before_the_greeting_is_not_carried_out(tmp_path: Path) -> None:
    async def attempt(cluster: Cluster, a: Network) -> None:
        called: list[bytes] = []

        async def note(_: NodeId, body: bytes) -> bytes:
            called.append(body)
            return b""

        a.handle("note", note)
        reader, writer = await dial(a.address, context(cluster, "c"))
        writer.write(call_frame(1, b"note", 10, b"x"))
        await ended(reader)
        writer.close()
        assert called == []

    attack(tmp_path, attempt)


def test_two_calls_of_one_number_end_the_connection(tmp_path: Path) -> None:
    async def held(_: NodeId, __: bytes) -> bytes:
        await asyncio.sleep(3600)
        return b""

    async def attempt(cluster: Cluster, a: Network) -> None:
        a.handle("held", held)
        reader, writer = await dial(a.address, context(cluster, "c"))
        await frames_of(reader, 1)
        writer.write(HELLO + call_frame(7, b"held", 100, b"") * 2)
        await ended(reader)
        writer.close()

    attack(tmp_path, attempt)


def test_a_slow_sender_is_hung_up_on_in_the_middle_of_a_frame(tmp_path: Path) -> None:
    async def attempt(cluster: Cluster, a: Network) -> None:
        reader, writer = await dial(a.address, context(cluster, "c"))
        await frames_of(reader, 1)
        writer.write(HELLO + frame(Frames.KEEP) + notice_frame(b"told", bytes(1000))[:-1])
        await ended(reader)
        writer.close()

    attack(tmp_path, attempt)


def test_who_never_greets_is_hung_up_on(tmp_path: Path) -> None:
    async def attempt(cluster: Cluster, a: Network) -> None:
        reader, writer = await dial(a.address, context(cluster, "c"))
        await frames_of(reader, 1)
        assert a.peers()[0].node == B
        assert len(a.peers()) == 1
        await ended(reader)
        writer.close()

    attack(tmp_path, attempt)


@pytest.mark.parametrize("which", ["of another authority", "of no node", "ended", "of the node itself"])
def test_certificates_that_are_not_good_get_nowhere(tmp_path: Path, which: str) -> None:
    async def attempt(cluster: Cluster, a: Network) -> None:
        up: list[str] = []
        a.on_up(lambda peer: up.append(peer.node))
        files = cluster.certify("a" if which == "of the node itself" else "c")
        if which == "of another authority":
            files = Cluster(tmp_path / "other").certify("b")
        elif which == "ended":
            files = cluster.certify("c", lifetime_s=-1)
        elif which == "of no node":
            files = cluster.certify("c", as_node="c/../../a")
        made = context(cluster, None)
        made.load_cert_chain(files.certificate, files.private_key)
        try:
            reader, writer = await dial(a.address, made)
            writer.write(HELLO)
            await ended(reader)
            writer.close()
        except (OSError, ssl.SSLError):
            pass
        assert up == []

    attack(tmp_path, attempt)


def test_without_a_certificate_nothing_can_be_said_but_to_join(tmp_path: Path) -> None:
    async def attempt(cluster: Cluster, a: Network) -> None:
        try:
            reader, writer = await dial(a.address, context(cluster, None))
            writer.write(HELLO + call_frame(1, b"echo", 10, b"x"))
            assert await ended(reader) == b""
            writer.close()
        except (OSError, ssl.SSLError):
            pass
        a.handle_strangers("join.echo", echo)
        reader, writer = await dial(a.address, context(cluster, None, (JOINING,)))
        writer.write(call_frame(1, b"echo", 10, b"x") + call_frame(2, b"join.echo", 10, b"y"))
        refused, answered = await frames_of(reader, 2)
        assert (refused.what, refused.call) == (Frames.FAILURE, 1)
        assert (answered.what, answered.call, answered.payload) == (Frames.ANSWER, 2, b"y")
        # And only for a moment.
        await ended(reader)
        writer.close()
        reader, writer = await dial(a.address, context(cluster, None, (JOINING,)))
        writer.write((STRANGER_FRAME_BYTES_MAX + 1).to_bytes(4, "big") + b"\x02" + bytes(4))
        await ended(reader)
        writer.close()

    attack(tmp_path, attempt)


def test_a_nodes_certificate_gives_nothing_more_where_it_joins(tmp_path: Path) -> None:
    async def attempt(cluster: Cluster, a: Network) -> None:
        reader, writer = await dial(a.address, context(cluster, "c", (JOINING,)))
        writer.write(HELLO + call_frame(1, b"echo", 10, b"x"))
        await ended(reader)
        writer.close()
        assert len(a.peers()) == 1

    attack(tmp_path, attempt)


def test_strangers_are_bounded_and_leave_room_for_others(tmp_path: Path) -> None:
    async def attempt(_cluster: Cluster, a: Network) -> None:
        host, _, port = a.address.rpartition(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(STRANGERS_OF_ADDRESS_MAX + 20)]
        # Those beyond the limit are hung up on at once, the others when their time is up.
        await asyncio.gather(*(ended(reader) for reader, _ in silent))
        for _, writer in silent:
            writer.close()

    attack(tmp_path, attempt, limits=LinkLimits(keep_alive_s=0.05, greeting_s=1.0, stranger_s=0.5))


def test_strangers_keep_nobody_out_who_has_been_there_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def attempt(cluster: Cluster, a: Network) -> None:
        async with cluster.node("c") as c:
            # As many as there may be are there.
            monkeypatch.setattr(network, "STRANGERS_MAX", 0)
            a._members_from.clear()
            c.dial(a.address, A)
            await until(lambda: c.trouble(a.address, A))
            assert not c.peers()
            monkeypatch.setattr(network, "STRANGERS_MAX", 256)
            await until(c.peers)
            monkeypatch.setattr(network, "STRANGERS_MAX", 0)
            c.drop(A)
            await until(lambda: not c.peers())
            await until(c.peers)

    attack(tmp_path, attempt)


def test_addresses_of_nodes_are_remembered_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def attempt(_cluster: Cluster, a: Network) -> None:
        monkeypatch.setattr(network, "_ADDRESSES_MAX", 2)
        a._members_from.clear()
        for source in ("10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.3"):
            a._note_member(source)
        assert [*a._members_from] == ["10.0.0.1", "10.0.0.3"]

    attack(tmp_path, attempt)


def test_tls_1_2_is_not_spoken(tmp_path: Path) -> None:
    async def attempt(cluster: Cluster, a: Network) -> None:
        old = context(cluster, "c")
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, OSError)):
            await dial(a.address, old)

    attack(tmp_path, attempt)


def test_a_server_that_is_no_node_of_ours_is_not_talked_to(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    async def main() -> None:
        other = Cluster(tmp_path / "other")
        async with cluster.node("a") as a, other.node("b") as foreign:
            a.dial(foreign.address)
            await until(lambda: "not believed" in a.trouble(foreign.address))
            assert a.peers() == foreign.peers() == ()

    on_loop(main)


def test_a_node_that_is_not_a_member_is_told_so(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    async def members(node: NodeId, key_sha256: str) -> str:
        assert len(key_sha256) == 64
        return "" if node == "b" else f"node {node} is no member"

    async def main() -> None:
        async with cluster.node("a", admit=members) as a, cluster.node("c") as c:
            c.dial(a.address, A)
            await until(lambda: "node c is no member" in c.trouble(a.address))
            assert a.peers() == c.peers() == ()

    on_loop(main)


def test_credentials_of_another_node_are_not_taken(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    files = cluster.certify("a")
    with pytest.raises(IdentityUnusable, match="not the certificate of node b"):
        Credentials(B, files)
    files.authority.write_bytes(b"")
    with pytest.raises(IdentityUnusable, match="authority"):
        Credentials(A, files)
    files = cluster.certify("a")
    files.private_key.unlink()
    with pytest.raises(IdentityUnusable):
        Credentials(A, files)


def test_random_frames_harm_nobody(tmp_path: Path) -> None:
    async def attempt(cluster: Cluster, a: Network) -> None:
        import random

        chance = random.Random(7)
        for _ in range(40):
            reader, writer = await dial(a.address, context(cluster, "c"))
            await frames_of(reader, 1)
            garbage = [
                frame(Frames(chance.randint(1, 8)), chance.randint(0, 3), chance.randbytes(chance.randint(0, 40)))
                for _ in range(chance.randint(1, 6))
            ]
            writer.write(HELLO + b"".join(garbage))
            writer.write_eof() if writer.can_write_eof() else writer.close()
            await ended(reader)
            writer.close()

    attack(tmp_path, attempt)
