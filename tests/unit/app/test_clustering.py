"""Data directories of nodes: what all of them share, who may open them, and how one becomes a node's."""

from __future__ import annotations

import asyncio
import shutil
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tenet.app.clustering import is_clustered, join_cluster, mesh_listen, open_cluster, put_down, start_node
from tenet.app.configuration import Configuration, ConfigurationError, load
from tenet.app.data_directory import DataDirectory
from tenet.app.settings import MeshOptions, Server, Settings, StoreSettings
from tenet.base.clock import SystemClock
from tenet.base.errors import TenetError
from tenet.mesh.errors import InvitationInvalid, NodeNameInvalid, NotAMember, WrongHost
from tenet.mesh.governing import Governance
from tenet.mesh.node import MeshNode
from tenet.store.contract import Store
from tenet.store.memory import open_engine
from tenet.wire.errors import MasterKeyUnusable
from tenet.wire.master import MasterKeys
from tests.nodes import IDS, on_loop, until

CLOCK = SystemClock()


def configuration(path: Path, **mesh: str) -> Configuration:
    flags = {f"mesh.{name}": value for name, value in mesh.items()}
    return load(None, {}, {"data": str(path), "mesh.listen": "127.0.0.1:0"} | flags)


def directory(path: Path, **mesh: str) -> DataDirectory:
    made = DataDirectory(configuration(path, **mesh).settings)
    made.make()
    return made


@asynccontextmanager
async def first_node(path: Path, store: Store) -> AsyncIterator[MeshNode]:
    place = directory(path, name="first")
    cluster = await open_cluster(place, store, clock=CLOCK, ids=IDS)
    node = await start_node(place, cluster, clock=CLOCK, ids=IDS)
    try:
        yield node
    finally:
        await node.close()


async def token(store: Store) -> str:
    return (await Governance(store, clock=CLOCK, ids=IDS).invite(3_600)).token()


def shared(place: DataDirectory) -> list[bytes]:
    return [path.read_bytes() for path in (place.root_key_file, place.ca_file, place.ca_key_file)]


@pytest.mark.parametrize(
    ("url", "listen", "is_one"),
    [
        ("sqlite:", "", False),
        ("sqlite:///var/lib/tenet", "", False),
        ("memory:", "", False),
        ("another:lost", "", False),
        ("sqlite:", "127.0.0.1:0", True),
        ("cassandra://10.0.0.1/tenet", "", True),
    ],
)
def test_a_node_is_what_shares_its_store_or_is_asked_to_be_one(
    tmp_path: Path, url: str, listen: str, is_one: bool
) -> None:
    settings = Settings(data=str(tmp_path), store=StoreSettings(url=url), mesh=MeshOptions(listen=listen))
    assert is_clustered(DataDirectory(settings)) is is_one
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "node.json").write_text("{}")
    assert is_clustered(DataDirectory(settings))


def test_many_first_starts_at_once_share_one_root_key_and_one_authority(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_engine("", clock=CLOCK, ids=IDS)
        places = [directory(tmp_path / str(n)) for n in range(6)]
        given = MasterKeys.open(places[0].master_key_file, IDS, may_create=True).exported()
        for place in places[1:]:
            MasterKeys.take_over(place.master_key_file, given)
        clusters = await asyncio.gather(*(open_cluster(place, store, clock=CLOCK, ids=IDS) for place in places))
        assert len({cluster.authority.sha256 for cluster in clusters}) == 1
        assert len({tuple(shared(place)) for place in places}) == 1
        for place in places:
            assert stat.S_IMODE(place.ca_file.stat().st_mode) == 0o644
            assert {stat.S_IMODE(file.stat().st_mode) for file in (place.root_key_file, place.ca_key_file)} == {0o600}

    on_loop(main)


def test_an_installation_that_was_there_before_gives_the_cluster_its_keys(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_engine("", clock=CLOCK, ids=IDS)
        place = directory(tmp_path / "data")
        MasterKeys.open(place.master_key_file, IDS, may_create=True).add()
        put_down({"root-key": b'{"access_key_id":"A","secret_access_key":"S"}'} | _authority(tmp_path), place)
        before = shared(place)
        cluster = await open_cluster(place, store, clock=CLOCK, ids=IDS)
        assert shared(place) == before
        assert [*cluster.shared.values()] == [before[0], before[2], before[1]]

    on_loop(main)


def _authority(folder: Path) -> dict[str, bytes]:
    from tenet.wire.tls import LocalAuthority

    made = LocalAuthority(folder, clock=CLOCK, ids=IDS)
    made.ensure_authority()
    return {
        "client-authority-key": made.files.authority_key.read_bytes(),
        "client-authority": made.files.authority.read_bytes(),
    }


@pytest.mark.parametrize(
    ("clients", "mesh", "expected"),
    [
        ("127.0.0.1:8000", "", "127.0.0.1:0"),
        ("[::1]:8000", "", "[::1]:0"),
        ("localhost:8000", "", "localhost:0"),
        ("0.0.0.0:8000", "", "0.0.0.0:7900"),
        ("[::]:8000", "", "[::]:7900"),
        ("node-1.example:8000", "", "node-1.example:7900"),
        ("0.0.0.0:8000", "10.0.0.1:79", "10.0.0.1:79"),
    ],
)
def test_nodes_meet_at_a_port_that_stays_where_other_machines_reach_them(
    clients: str, mesh: str, expected: str
) -> None:
    assert mesh_listen(Settings(server=Server(listen=clients), mesh=MeshOptions(listen=mesh))) == expected


def test_a_port_that_is_taken_is_told_with_the_setting_that_names_another(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_engine("", clock=CLOCK, ids=IDS)
        async with first_node(tmp_path / "a", store) as first:
            settings = Settings(data=str(tmp_path / "a"), server=Server(listen="192.0.2.1:8000"))
            said = r"`mesh\.listen` is not set, and .192\.0\.2\.1:7900., which stands for it then, cannot be"
            with pytest.raises(ConfigurationError, match=said):
                await start_node(DataDirectory(settings), first.cluster, clock=CLOCK, ids=IDS)

    on_loop(main)


def test_where_the_master_key_of_a_node_lies_elsewhere_the_setting_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_engine("", clock=CLOCK, ids=IDS)
        async with first_node(tmp_path / "a", store) as first:
            given = await token(store)
            place = tmp_path / "b"
            await asyncio.to_thread(join_cluster, configuration(place), first.channel.address, given, "second")
            flags = {"data": str(place), "keys.master_key_file": str(tmp_path / "keys" / "master-key")}
            service = DataDirectory(load(None, {}, flags).settings)
            with pytest.raises(NotAMember, match=r"is of the node second, .* `keys\.master_key_file`"):
                await open_cluster(service, store, clock=CLOCK, ids=IDS)

    on_loop(main)


def test_a_place_where_the_master_key_cannot_lie_is_told_before_the_invitation_is_used(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_engine("", clock=CLOCK, ids=IDS)
        async with first_node(tmp_path / "a", store) as first:
            given, at = await token(store), first.channel.address
            (tmp_path / "keys").symlink_to(tmp_path / "nowhere" / "at-all")
            flags = {"data": str(tmp_path / "b"), "keys.master_key_file": str(tmp_path / "keys" / "master-key")}
            with pytest.raises(MasterKeyUnusable, match=r"cannot be written: .* `keys\.master_key_file`"):
                await asyncio.to_thread(join_cluster, load(None, {}, flags), at, given, "second")
            assert "second" not in {info.node for info in await Governance(store, clock=CLOCK, ids=IDS).nodes()}
            joined = await asyncio.to_thread(join_cluster, configuration(tmp_path / "c"), at, given, "third")
            assert joined == "third"

    on_loop(main)


def test_without_the_master_key_a_cluster_is_not_opened_and_nothing_is_made(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_engine("", clock=CLOCK, ids=IDS)
        await open_cluster(directory(tmp_path / "a"), store, clock=CLOCK, ids=IDS)
        stranger = directory(tmp_path / "b")
        with pytest.raises(NotAMember, match="tenet node join"):
            await open_cluster(stranger, store, clock=CLOCK, ids=IDS)
        assert not stranger.master_key_file.exists()
        MasterKeys.open(stranger.master_key_file, IDS, may_create=True)
        with pytest.raises(NotAMember, match="no member of"):
            await open_cluster(stranger, store, clock=CLOCK, ids=IDS)
        assert stranger.root_key() is None

    on_loop(main)


def test_a_directory_becomes_a_nodes_by_an_invitation(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_engine("", clock=CLOCK, ids=IDS)
        async with first_node(tmp_path / "a", store) as first:
            given = await token(store)
            place = tmp_path / "b"
            joined = await asyncio.to_thread(join_cluster, configuration(place), first.channel.address, given, "second")
            assert joined == "second"
            assert shared(directory(place)) == shared(directory(tmp_path / "a"))
            cluster = await open_cluster(directory(place), store, clock=CLOCK, ids=IDS)
            second = await start_node(directory(place), cluster, clock=CLOCK, ids=IDS)
            await until(lambda: [peer.node for peer in second.peers()] == ["first"])
            await second.close()
            with pytest.raises(ConfigurationError, match="of the node second already"):
                await asyncio.to_thread(join_cluster, configuration(place), first.channel.address, given, "")

    on_loop(main)


def test_a_join_that_was_interrupted_anywhere_goes_on_as_the_same_node(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_engine("", clock=CLOCK, ids=IDS)
        async with first_node(tmp_path / "a", store) as first:
            given = await token(store)
            place = tmp_path / "b"
            joined = await asyncio.to_thread(join_cluster, configuration(place), first.channel.address, given, "")
            made = directory(place)
            whole = sorted(path for path in [made.master_key_file, *place.rglob("*")] if path.is_file())
            # What is written before the name is, in its order; each end of it may be where the machine died.
            order = [
                made.node / "cluster-ca.pem",
                made.node / "node-key.pem",
                made.node / "node.pem",
                made.master_key_file,
                made.root_key_file,
                made.ca_key_file,
                made.ca_file,
            ]
            assert sorted([*order, made.node / "node.json"]) == whole
            for kept in range(2, len(order)):
                (made.node / "node.json").unlink()
                (made.node / "joining.json").write_bytes(msgspec.json.encode({"version": 1, "node": joined}))
                for lost in order[kept:]:
                    lost.unlink()
                again = await asyncio.to_thread(join_cluster, configuration(place), first.channel.address, given, "")
                assert again == joined
                assert not (made.node / "joining.json").exists()
                assert shared(made) == shared(directory(tmp_path / "a"))

    on_loop(main)


def test_what_cannot_be_joined_with_is_told_before_anything_is_used(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_engine("", clock=CLOCK, ids=IDS)
        async with first_node(tmp_path / "a", store) as first:
            given = await token(store)
            at = first.channel.address
            own = directory(tmp_path / "own")
            shutil.copy(directory(tmp_path / "a").root_key_file, own.root_key_file)
            attempts: list[tuple[str, str, str, str, type[TenetError]]] = [
                ("own", at, given, "", ConfigurationError),
                ("b", at, "nonsense", "", InvitationInvalid),
                ("b", at, given, "Not A Name", NodeNameInvalid),
                ("b", "127.0.0.1:1", given, "", WrongHost),
            ]
            for name, address, word, called, error in attempts:
                with pytest.raises(error):
                    await asyncio.to_thread(join_cluster, configuration(tmp_path / name), address, word, called)
            # What the settings say, where the command says nothing.
            named = configuration(tmp_path / "c", name="called-so")
            assert await asyncio.to_thread(join_cluster, named, at, given, "") == "called-so"

    on_loop(main)


def test_a_node_listens_where_the_settings_say(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_engine("", clock=CLOCK, ids=IDS)
        async with first_node(tmp_path / "a", store) as first:
            place = directory(tmp_path / "a", listen=first.channel.address)
            with pytest.raises(ConfigurationError, match=f"`mesh.listen` is '{first.channel.address}'"):
                await start_node(place, first.cluster, clock=CLOCK, ids=IDS)
        for mesh, expected in (
            ({"listen": "127.0.0.1:0", "advertise": "node.example:0"}, "node.example:"),
            ({"listen": "127.0.0.1:0", "advertise": "node.example:7"}, "node.example:7"),
            ({"listen": "0.0.0.0:0"}, ":"),
        ):
            node = await start_node(directory(tmp_path / "a", **mesh), first.cluster, clock=CLOCK, ids=IDS)
            assert expected in node.channel.address
            assert not node.channel.address.startswith("0.0.0.0")
            assert not node.channel.address.endswith(":0")
            await node.close()
        settings = Settings(
            data=str(tmp_path / "a"),
            server=Server(listen="127.0.0.1:8000"),
            store=StoreSettings(url="cassandra://127.0.0.1/tenet"),
        )
        assert mesh_listen(settings) == "127.0.0.1:0"
        node = await start_node(DataDirectory(settings), first.cluster, clock=CLOCK, ids=IDS)
        host, _, port = node.channel.address.rpartition(":")
        assert host == "127.0.0.1"
        assert port != "8000"
        await node.close()

    on_loop(main)
