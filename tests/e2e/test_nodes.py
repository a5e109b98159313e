"""Nodes as an operator has them: invited, joined, listed, drained and removed by commands, and certified anew."""

from __future__ import annotations

import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tenet.wire.issuing import fingerprint, is_signed_by
from tests.servers import Server, running, start, tenet

MESH = {"TENET_MESH_LISTEN": "127.0.0.1:0", "TENET_MESH_NAME": "one"}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path / "one", environment=MESH) as started:
        yield started


def address_of(server: Server) -> str:
    shown = server.command("node", "list").stdout
    match = re.search(r"^one  \w+  (\S+)", shown, re.MULTILINE)
    assert match, shown
    return match[1]


def invited(server: Server) -> str:
    made = server.command("node", "invite", "--expires", "10m")
    assert made.returncode == 0, made.stderr
    assert f"tenet node join {address_of(server)} - and this token" in made.stderr
    (token,) = made.stdout.split()
    return token


def readiness(server: Server) -> tuple[int, str]:
    trust = ssl.create_default_context(cafile=server.exports["AWS_CA_BUNDLE"])
    try:
        with urllib.request.urlopen(f"{server.endpoint}/readyz", context=trust, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_machine_is_invited_and_joins_once(node: Server, tmp_path: Path) -> None:
    assert node.command("node", "list").stdout == f"one  serving  {address_of(node)}  connected\n"
    token, at = invited(node), address_of(node)
    # By standard input, so that nobody sees it.
    joined = tenet("node", "join", at, "-", "--name", "two", "--data", str(tmp_path / "two"), given=f"{token}\n")
    assert (joined.returncode, joined.stderr) == (0, "")
    assert joined.stdout.splitlines() == [
        "This is the node two now. Start it, with what the other nodes have as `store.url` in the place of URL:",
        f"tenet up --data {tmp_path / 'two'} --store URL",
    ]
    assert node.command("node", "list").stdout.splitlines()[1] == "two  off  not started yet  not connected"
    again = tenet("node", "join", at, token, "--data", str(tmp_path / "three"))
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "tenet: the invitation was used by node two already; it is good for one\n"
    # Clients trust and sign as with the first one.
    there = tenet("env", "--data", str(tmp_path / "two")).stdout
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert f"export {name}={node.exports[name]}\n" in there
    theirs = (tmp_path / "two" / "tls" / "ca.pem").read_bytes()
    assert theirs == Path(node.exports["AWS_CA_BUNDLE"]).read_bytes()
    assert (tmp_path / "two.master-key").read_bytes() == (tmp_path / "one.master-key").read_bytes()


def test_a_node_is_not_given_another_store(node: Server, tmp_path: Path) -> None:
    joining = ("node", "join", address_of(node), "-", "--name", "two", "--data", str(tmp_path / "two"))
    joined = tenet(*joining, given=f"{invited(node)}\n", TENET_STORE_URL="sqlite:elsewhere")
    assert joined.stdout.splitlines()[1] == f"tenet up --data {tmp_path / 'two'}"
    start_up = ("up", "--data", str(tmp_path / "two"), "--listen", "127.0.0.1:0")
    forgotten = tenet(*start_up)
    assert forgotten.returncode == 3
    assert forgotten.stderr == (
        f"tenet: {tmp_path / 'two'} is of the node two, and the store that its settings name does not exist:"
        " `store.url` is 'sqlite:', the default. Name the store of the node's cluster with --store or `store.url`;"
        " nothing was made or changed.\n"
    )
    listed = tenet("node", "list", "--data", str(tmp_path / "two"))
    assert (listed.returncode, listed.stderr) == (3, forgotten.stderr)
    assert not (tmp_path / "two" / "store").exists()
    # One that does exist, and is another cluster's.
    another = tmp_path / "another" / "store"
    with running(tmp_path / "another", environment=MESH):
        pass
    other = tenet(*start_up, "--store", f"sqlite:{another}")
    assert other.returncode == 1
    assert "the store belongs to a cluster that this node is no member of" in other.stderr
    assert other.stderr.endswith(f"(`store.url` is 'sqlite:{another}'; --store names another)\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("join", "127.0.0.1", "x"), 2, "HOST:PORT is '127.0.0.1'"),
        (("join", "127.0.0.1:1", "x"), 1, "the token does not begin with 'tenet-join-1.'"),
        (("join", "127.0.0.1:1", "tenet-join-1.abc"), 1, "the token is damaged, or a part of it is missing"),
        (("join", "127.0.0.1:1", "-"), 2, "it is -, and standard input has no line"),
        (("invite", "--expires", "1"), 2, "'1' is no time like 90s, 15m, 1h or 7d"),
        (("invite", "--expires", "9s"), 2, "--expires is 9 s; an invitation is good for 10 s to 30 days"),
        (("invite", "--expires", "31d"), 2, "--expires is 2678400 s"),
        (("rotate-authority", "--overlap", "59s"), 2, "--overlap is 59 s; it is 60 s to 30 days"),
    ],
)
def test_mistakes_in_commands_are_named(tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = tenet("node", *arguments, "--data", str(tmp_path / "data"))
    assert done.returncode == code
    assert said in done.stderr
    assert not (tmp_path / "data").exists()


def test_invitations_are_listed_and_withdrawn(node: Server, tmp_path: Path) -> None:
    none = node.command("node", "invitations")
    assert (none.stdout, none.stderr) == ("", "There is no invitation with which a machine could join now.\n")
    made = node.command("node", "invite", "--expires", "10m")
    (token,), (named,) = made.stdout.split(), re.findall(r"tenet node invitations withdraw (\w+)$", made.stderr.strip())
    other = invited(node)
    listed = node.command("node", "invitations").stdout
    at = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(rf"(?:[0-9a-f]{{16}}  made {at} at one  good until {at}\n){{2}}", listed)
    assert token not in listed
    assert node.command("node", "invitations", "withdraw", named).stdout == f"The invitation {named} is withdrawn.\n"
    left = node.command("node", "invitations").stdout
    assert (named in left, len(left.splitlines())) == (False, 1)
    refused = tenet("node", "join", address_of(node), token, "--data", str(tmp_path / "two"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "tenet: the invitation was withdrawn; ask whoever gave it to you for another one\n"
    # The other one is good as before, and what it was used for stays.
    joined = tenet("node", "join", address_of(node), other, "--name", "two", "--data", str(tmp_path / "three"))
    assert joined.returncode == 0, joined.stderr
    assert node.command("node", "invitations").stdout == ""
    used = node.command("node", "invitations", "withdraw", left.split()[0])
    assert (used.returncode, "was used by node two already; `tenet node remove two`" in used.stderr) == (1, True)
    for wrong, said in (("0" * 16, "has no invitation 0000000000000000"), ("x", "'x' is no invitation's id")):
        unknown = node.command("node", "invitations", "withdraw", wrong)
        assert (unknown.returncode, said in unknown.stderr) == (1, True)


def test_invitations_are_withdrawn_while_no_server_runs(node: Server, tmp_path: Path) -> None:
    token = invited(node)
    assert node.stop() == 0
    data = ("--data", str(node.data))
    (named, *_) = tenet("node", "invitations", *data, **MESH).stdout.split()
    misplaced = tenet("node", "invitations", *data, "withdraw", named, **MESH)
    assert (misplaced.returncode, "--data belongs behind withdraw" in misplaced.stderr) == (2, True)
    assert tenet("node", "invitations", "withdraw", named, *data, **MESH).returncode == 0
    again = start(node.data, environment=MESH)
    try:
        assert again.command("node", "invitations").stdout == ""
        refused = tenet("node", "join", address_of(again), token, "--data", str(tmp_path / "two"))
        assert (refused.returncode, "the invitation was withdrawn" in refused.stderr) == (1, True)
    finally:
        again.stop()


def test_the_listener_for_clients_is_no_place_to_join(node: Server, tmp_path: Path) -> None:
    at = node.endpoint.removeprefix("https://")
    done = tenet("node", "join", at, invited(node), "--data", str(tmp_path / "two"))
    assert done.returncode == 1
    assert "no address that nodes talk to each other at (its `mesh.listen`)" in done.stderr


def test_without_a_cluster_there_are_no_nodes(tmp_path: Path) -> None:
    with running(tmp_path / "alone") as server:
        commands = ("list",), ("invite",), ("invitations",), ("rotate-authority",), ("drain", "one"), ("remove", "one")
        for command in commands:
            done = server.command("node", *command)
            assert done.returncode == 1
            assert "there is no cluster" in done.stderr
        assert not (tmp_path / "alone" / "node").exists()


def test_a_node_drains_and_serves_again(node: Server) -> None:
    assert readiness(node) == (200, "ready\n")
    assert node.command("node", "drain", "one").stdout == "one drains.\n"
    assert readiness(node) == (503, "this node drains\n")
    assert node.client().list_tables()["TableNames"] == []
    assert node.command("node", "drain", "one", "--over").stdout == "one serves again.\n"
    assert readiness(node) == (200, "ready\n")
    missing = node.command("node", "drain", "two")
    assert (missing.returncode, missing.stderr) == (1, "tenet: there is no node two in this cluster\n")


def test_a_removed_node_stops_by_itself_and_starts_no_more(node: Server, tmp_path: Path) -> None:
    last = node.command("node", "remove", "one")
    assert (last.returncode, "is the last node" in last.stderr) == (1, True)
    tenet("node", "join", address_of(node), invited(node), "--name", "two", "--data", str(tmp_path / "two"))
    assert node.command("node", "remove", "one").returncode == 0
    assert node.process.wait(timeout=20) == 1
    assert "node one was removed from its cluster, and has stopped" in node.log.read_text()
    again = tenet("up", "--data", str(node.data), "--listen", "127.0.0.1:0")
    assert again.returncode == 1
    assert "node one was removed from its cluster; to join again, remove" in again.stderr


def test_a_restarted_node_is_the_same_and_keeps_its_keys_under_a_new_master_key(node: Server) -> None:
    made = node.command("keys", "create", "--id", "mine", "--secret", "my-own-secret")
    assert made.returncode == 0
    tenet("node", "join", address_of(node), invited(node), "--name", "two", "--data", f"{node.data}-two")
    several = node.command("keys", "rotate-master")
    assert (several.returncode, "two cannot be reached from one: start it, or remove it" in several.stderr) == (1, True)
    assert node.command("node", "remove", "two").returncode == 0
    # Two access keys, and the secrets of the cluster.
    assert node.command("keys", "rotate-master").stdout == "Secrets encrypted under a new master key: 3.\n"
    assert node.stop() == 0
    again = start(node.data, environment=MESH | {"TENET_MESH_NAME": "another"})
    try:
        assert again.command("node", "list").stdout.startswith("one  serving  ")
        assert again.client(access_key_id="mine", secret_access_key="my-own-secret").list_tables()["TableNames"] == []
    finally:
        again.stop()


def test_the_root_key_of_a_cluster_is_exchanged_for_good(node: Server, tmp_path: Path) -> None:
    former = node.exports["AWS_ACCESS_KEY_ID"]
    rotated = node.command("keys", "rotate-root")
    assert rotated.returncode == 0, rotated.stderr
    assert f"{former} is revoked." in rotated.stdout
    # Whoever joins from now on has the new one, and so has this node when it starts again.
    joined = tenet("node", "join", address_of(node), invited(node), "--name", "two", "--data", str(tmp_path / "two"))
    assert joined.returncode == 0, joined.stderr
    assert (tmp_path / "two" / "root-key.json").read_bytes() == (node.data / "root-key.json").read_bytes()
    assert node.stop() == 0
    again = start(node.data, environment=MESH)
    try:
        assert again.exports["AWS_ACCESS_KEY_ID"] == rotated.stdout.split()[4]
        assert former not in again.command("keys", "list").stdout
    finally:
        again.stop()


AUTHORITIES = ("cluster-ca.pem", "cluster-ca-other.pem")


def test_the_authority_of_the_nodes_is_exchanged_while_they_serve(node: Server, tmp_path: Path) -> None:
    held = node.data / "node"
    before, token = (held / "cluster-ca.pem").read_bytes(), invited(node)
    done = node.command("node", "rotate-authority")
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert re.fullmatch(r"The certificates of the nodes are of the authority [0-9a-f]{64} now\.", said[0])
    assert said[1:] == [
        "Invitations withdrawn: 1. Print others with `tenet node invite`.",
        "The old one is trusted by nobody.",
    ]
    after = x509.load_pem_x509_certificate((held / "cluster-ca.pem").read_bytes())
    assert fingerprint(after) == said[0].split()[-2]
    assert (held / "cluster-ca.pem").read_bytes().count(b"BEGIN CERTIFICATE") == 1
    assert before != (held / "cluster-ca.pem").read_bytes()
    assert is_signed_by(x509.load_pem_x509_certificate((held / "node.pem").read_bytes()), after)
    assert readiness(node) == (200, "ready\n")
    late = tenet("node", "join", address_of(node), token, "--data", str(tmp_path / "two"))
    assert (late.returncode, "has exchanged its authority since: print another" in late.stderr) == (1, True)
    joined = tenet("node", "join", address_of(node), invited(node), "--name", "two", "--data", str(tmp_path / "two"))
    assert joined.returncode == 0, joined.stderr
    # One that is off is named, and is no reason for the others to wait for ever.
    waiting = node.command("node", "rotate-authority", "--overlap", "2h")
    assert waiting.returncode == 1
    assert re.search(r"^tenet: not seen: two\. The old authority is trusted until \S+Z; repeat", waiting.stderr)
    # Versions that know of no exchange find the present authority where they look for it, and nothing else.
    present, other = (x509.load_pem_x509_certificates((held / name).read_bytes()) for name in AUTHORITIES)
    assert [fingerprint(one) for one in present] == [waiting.stdout.split()[9]]
    assert [fingerprint(one) for one in other] == [fingerprint(after)]
    cut = node.command("node", "rotate-authority", "--now")
    assert (cut.returncode, cut.stdout.splitlines()[0]) == (0, waiting.stdout.splitlines()[0])
    assert cut.stdout.splitlines()[-1] == "The old one is trusted by nobody. Not seen, and cut off: two."
    assert not (held / AUTHORITIES[1]).exists()
    # Killed, it starts again as a node of the same cluster.
    node.kill()
    again = start(node.data, environment=MESH)
    try:
        assert again.command("node", "list").stdout.startswith("one  serving  ")
    finally:
        again.stop()
    alone = tenet("node", "rotate-authority", "--data", str(node.data), **MESH)
    assert (alone.returncode, "start it: nodes exchange it while they run" in alone.stderr) == (1, True)


@pytest.mark.alone
def test_certificates_of_seconds_are_renewed_while_clients_are_served(tmp_path: Path) -> None:
    short = {"TENET_TLS_CERTIFICATE_S": "6", "TENET_MESH_CERTIFICATE_S": "6"}
    with running(tmp_path / "one", environment=MESH | short) as server:
        trust = ssl.create_default_context(cafile=server.exports["AWS_CA_BUNDLE"])
        shown, certified = set(), set()
        until_s = time.monotonic() + 12
        while time.monotonic() < until_s:
            with urllib.request.urlopen(f"{server.endpoint}/readyz", context=trust, timeout=10) as answer:
                assert answer.status == 200
            shown.add((tmp_path / "one" / "tls" / "server.pem").read_bytes())
            certified.add((tmp_path / "one" / "node" / "node.pem").read_bytes())
            time.sleep(0.05)
        assert len(shown) >= 3
        assert len(certified) >= 3
        # The listener of nodes shows a certificate that is good now: one joins.
        joined = tenet("node", "join", address_of(server), invited(server), "--data", str(tmp_path / "two"))
        assert joined.returncode == 0, joined.stderr
