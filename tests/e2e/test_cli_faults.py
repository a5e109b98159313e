"""What an operator meets when something is wrong: a server that may not write, hangs, is gone, or is not there yet."""

from __future__ import annotations

import re
import resource
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.servers import TENET, Server, clean_environment, hung, running, start, tenet

RECOVERY_S_MAX = 20


def make_table(server: Server) -> None:
    server.client().create_table(
        TableName="things",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def readiness(server: Server) -> tuple[int, str]:
    """Status and text of the page that a load balancer asks."""
    context = ssl.create_default_context(cafile=server.exports["AWS_CA_BUNDLE"])
    try:
        with urllib.request.urlopen(f"{server.endpoint}/readyz", timeout=10, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@contextmanager
def no_room(server: Server) -> Iterator[None]:
    """For the length of a block no file of the server can grow, which is what a full disk does to it."""
    limits = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limits)


def test_a_server_that_cannot_write_is_not_ready_says_why_and_recovers_by_itself(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        make_table(server)
        client = server.client(config=Config(retries={"total_max_attempts": 1}))
        client.put_item(TableName="things", Item={"id": {"S": "before"}})
        assert readiness(server) == (200, "ready\n")
        with no_room(server):
            with pytest.raises(ClientError) as refused:
                client.put_item(TableName="things", Item={"id": {"S": "lost"}})
            assert "The server's disk is full. Nothing was written" in str(refused.value)
            status, why = readiness(server)
            assert status == 503
            assert why.startswith("the store takes no writes: ")
            assert client.get_item(TableName="things", Key={"id": {"S": "before"}})["Item"]
            waited = server.command("env", "--wait=0.2")
            assert waited.returncode == 5
            assert "not ready after 0.2 s" in waited.stderr
            assert why.strip() in waited.stderr
            examined = server.command("doctor", "--output", str(tmp_path / "doctor.tar.gz"))
            assert f"- The store takes no writes: {why.strip().partition(': ')[2]}" in examined.stdout
        # Nobody writes: it is the server that finds out.
        assert server.command("env", f"--wait={RECOVERY_S_MAX}").returncode == 0
        assert readiness(server) == (200, "ready\n")
        client.put_item(TableName="things", Item={"id": {"S": "after"}})


def test_env_waits_until_the_first_start_is_done(tmp_path: Path) -> None:
    command = [str(TENET), "env", "--wait", "--data", str(tmp_path / "data")]
    with (
        subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True) as waiting,
        running(tmp_path / "data") as server,
    ):
        printed, _ = waiting.communicate(timeout=30)
        assert f"export AWS_ENDPOINT_URL={server.endpoint}\n" in printed
        assert waiting.returncode == 0


def test_env_says_that_nobody_serves(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        assert server.command("env").stderr == ""
    gone = tenet("env", "--data", str(tmp_path / "data"))
    assert gone.returncode == 0
    assert "export AWS_ENDPOINT_URL=" in gone.stdout
    assert gone.stderr == f"tenet: these lines do not work yet: no server runs on {tmp_path / 'data'}\n"
    waited = tenet("env", "--wait=0", "--data", str(tmp_path / "data"))
    assert (waited.returncode, waited.stdout) == (5, "")


def test_a_server_that_hangs_is_named_within_seconds(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--plaintext") as server:
        with hung(server):
            began = time.monotonic()
            refused = server.command("keys", "list")
            elapsed_s = time.monotonic() - began
        assert refused.returncode == 5
        assert f"in use by the process {server.process.pid}" in refused.stderr
        assert elapsed_s < 30


def test_the_start_names_its_process_and_the_command_that_prints_the_lines_again(tmp_path: Path) -> None:
    with subprocess.Popen(
        [str(TENET), "up", "--data", str(tmp_path / "the data"), "--listen", "127.0.0.1:0"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert f", as process {process.pid};" in process.stdout.readline()
        printed: list[str] = []
        while "So does:" not in "".join(printed):
            printed.append(process.stdout.readline())
        command = printed.pop().partition("So does:")[2].strip()
        script = f"{command}; export -p | grep -c AWS_"
        done = subprocess.run(
            ["/bin/sh", "-euc", script], env=clean_environment(), capture_output=True, text=True, check=False
        )
        exports = sum(line.startswith("export AWS_") for line in printed)
        assert (done.stdout, done.stderr) == (f"{exports}\n", "")
        process.terminate()


def test_a_backup_takes_the_place_of_another_only_when_forced(tmp_path: Path) -> None:
    file = tmp_path / "backup.tenet"
    with running(tmp_path / "data") as server:
        file.write_bytes(b"mine")
        refused = server.command("backup", str(file))
        assert refused.returncode == 1
        assert "--force" in refused.stderr
        assert file.read_bytes() == b"mine"
        forced = server.command("backup", "--force", str(file))
        assert forced.returncode == 0, forced.stderr
        assert file.stat().st_mode & 0o077 == 0
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith("backup")] == ["backup.tenet"]
        assert server.command("restore", "--yes", str(file)).returncode == 0
        (tmp_path / "loose").symlink_to(tmp_path / "nowhere")
        (tmp_path / "link-to-key").symlink_to(tmp_path / "data.master-key")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "link").symlink_to(tmp_path)
        (tmp_path / ".data.master-key.new").write_bytes(b"")
        key = (tmp_path / "data.master-key").read_bytes()
        for name, why in {
            "data/running.json": "a place of the installation's own files",
            "data/new": "a place of the installation's own files",
            "data.master-key": "a place of the installation's own files",
            "absent/backup": "there is no directory",
            ".": "is a directory",
            "loose": "is no ordinary file",
            "folder/../data.master-key": "a place of the installation's own files",
            "link-to-key": "a place of the installation's own files",
            "folder/link/data.master-key": "a place of the installation's own files",
            ".data.master-key.new": "a place of the installation's own files",
        }.items():
            refused = server.command("backup", "--force", str(tmp_path / name))
            assert refused.returncode == 1
            assert why in refused.stderr, name
        assert (tmp_path / "data.master-key").read_bytes() == key
    start(tmp_path / "data").stop()


def test_no_backup_takes_the_place_of_a_store_that_lies_elsewhere_or_of_a_certificate(tmp_path: Path) -> None:
    certificate, key = operators_certificate(tmp_path)
    environment = {
        "TENET_STORE_URL": f"sqlite:{tmp_path / 'elsewhere'}",
        "TENET_TLS_CERTIFICATE_FILE": str(certificate),
        "TENET_TLS_PRIVATE_KEY_FILE": str(key),
    }
    with running(tmp_path / "data", environment=environment) as server:
        for path in (tmp_path / "elsewhere" / "tenet.db", certificate, key):
            content = path.read_bytes()
            refused = server.command("backup", "--force", str(path))
            assert refused.returncode == 1
            assert "a place of the installation's own files" in refused.stderr
            assert path.read_bytes() == content


def test_a_store_that_cannot_be_opened_is_kept_aside_by_a_restore(tmp_path: Path) -> None:
    file = tmp_path / "backup.tenet"
    with running(tmp_path / "data") as server:
        make_table(server)
        server.client().put_item(TableName="things", Item={"id": {"S": "a"}})
        assert server.command("backup", str(file)).returncode == 0
    damaged = bytes(range(256)) * 16 + (tmp_path / "data" / "store" / "tenet.db").read_bytes()[4096:]
    (tmp_path / "data" / "store" / "tenet.db").write_bytes(damaged)
    refused = tenet("up", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    assert refused.returncode == 1
    assert "is damaged" in refused.stderr
    restored = server.command("restore", "--yes", str(file))
    assert restored.returncode == 0, restored.stderr
    kept = tmp_path / "data" / "store.damaged-1"
    assert restored.stderr == f"tenet: the store could not be opened; it is kept in {kept}\n"
    assert (kept / "tenet.db").read_bytes() == damaged
    with running(tmp_path / "data") as again:
        assert again.client().get_item(TableName="things", Key={"id": {"S": "a"}})["Item"] == {"id": {"S": "a"}}


def test_a_store_that_is_gone_is_missed_by_all_commands_and_brought_back_by_a_restore(tmp_path: Path) -> None:
    file, store = tmp_path / "backup.tenet", tmp_path / "data" / "store"
    with running(tmp_path / "data") as server:
        make_table(server)
        assert server.command("backup", str(file)).returncode == 0
    shutil.rmtree(store)
    store.mkdir()
    (tmp_path / "text").write_bytes(b"no backup")
    for command in (["up", "--listen", "127.0.0.1:0"], ["keys", "list"], ["backup", str(tmp_path / "another")]):
        refused = server.command(*command)
        assert refused.returncode == 3
        assert f"there is no store in {store}: it may be on a volume that is not mounted" in refused.stderr
    assert list(store.iterdir()) == []
    # A backup that is none leaves no empty store that would be served.
    assert server.command("restore", "--yes", str(tmp_path / "text")).returncode == 1
    assert server.command("up", "--listen", "127.0.0.1:0").returncode == 3
    restored = server.command("restore", "--yes", str(file))
    assert (restored.returncode, restored.stderr) == (0, "")
    with running(tmp_path / "data") as again:
        assert again.client().list_tables()["TableNames"] == ["things"]


def content_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for the lock, which names whoever held it last."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "tenet.lock"}


def test_a_damaged_store_stays_where_it_is_when_its_backup_is_no_better(tmp_path: Path) -> None:
    file, store = tmp_path / "backup.tenet", tmp_path / "data" / "store"
    with running(tmp_path / "data") as server:
        make_table(server)
        assert server.command("backup", str(file)).returncode == 0
    (store / "tenet.db").write_bytes(bytes(range(256)) * 16 + (store / "tenet.db").read_bytes()[4096:])
    (tmp_path / "cut").write_bytes(file.read_bytes()[: 5 * 8192])
    (tmp_path / "text").write_bytes(b"no backup" * 999)
    before = content_of(store)
    for name in ("cut", "text"):
        refused = server.command("restore", "--yes", str(tmp_path / name))
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"tenet: {tmp_path / name} is ")
        assert content_of(store) == before
    limited = tenet_without_room("restore", "--yes", str(file), "--data", str(tmp_path / "data"))
    assert limited.returncode == 1
    assert "no room is left" in limited.stderr
    assert content_of(store) == before
    assert sorted(path.name for path in (tmp_path / "data").iterdir() if path.name.startswith("store")) == ["store"]
    assert server.command("restore", "--yes", str(file)).returncode == 0
    with running(tmp_path / "data") as again:
        assert again.client().list_tables()["TableNames"] == ["things"]


def test_a_store_of_a_later_version_is_no_damage_and_is_not_replaced(tmp_path: Path) -> None:
    file, store = tmp_path / "backup.tenet", tmp_path / "data" / "store"
    with running(tmp_path / "data") as server:
        make_table(server)
        assert server.command("backup", str(file)).returncode == 0
    connection = apsw.Connection(str(store / "tenet.db"))
    connection.pragma("user_version", 99)
    connection.close()
    refused = server.command("restore", "--yes", str(file))
    assert refused.returncode == 1
    assert "has the format 99" in refused.stderr
    assert "start the version that wrote it" in refused.stderr
    assert [path.name for path in (tmp_path / "data").glob("store*")] == ["store"]
    connection = apsw.Connection(str(store / "tenet.db"))
    assert connection.pragma("user_version") == 99
    connection.close()


def test_without_its_master_key_a_damaged_store_is_not_replaced(tmp_path: Path) -> None:
    file, store = tmp_path / "backup.tenet", tmp_path / "data" / "store"
    with running(tmp_path / "data") as server:
        assert server.command("backup", str(file)).returncode == 0
    (store / "tenet.db").write_bytes(b"damaged" * 2_000)
    (tmp_path / "data.master-key").unlink()
    before = content_of(store)
    refused = server.command("restore", "--yes", str(file))
    assert refused.returncode == 1
    assert "data.master-key is missing" in refused.stderr
    assert content_of(store) == before


def tenet_without_room(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command that can write no byte to any file, which is what a full disk does to it."""
    return subprocess.run(
        ["/bin/sh", "-c", 'ulimit -f 0; exec "$@"', "sh", str(TENET), *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_start_without_room_says_what_to_do_before_the_next(tmp_path: Path) -> None:
    start(tmp_path / "data").stop()
    refused = tenet_without_room("up", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"tenet: no room is left on the disk of {tmp_path / 'data' / 'store'}, and without some the store cannot be"
        " opened. Free some, then try again\n"
    )
    first = tenet_without_room("up", "--data", str(tmp_path / "new"), "--listen", "127.0.0.1:0")
    assert first.returncode == 1
    assert "Free some, then try again" in first.stderr
    start(tmp_path / "data").stop()


def operators_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate that its operator has signed with its own key, made out to one name, none of this machine."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "db.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=60))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("*.example.com")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "own.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "own-key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "own.pem", folder / "own-key.pem"


def test_commands_reach_a_server_that_shows_the_operators_own_certificate(tmp_path: Path) -> None:
    certificate, key = operators_certificate(tmp_path)
    environment = {"TENET_TLS_CERTIFICATE_FILE": str(certificate), "TENET_TLS_PRIVATE_KEY_FILE": str(key)}
    with running(tmp_path / "data", environment=environment) as server:
        # Without the server's own settings, which the command need not have.
        waited = server.command("env", "--wait=10")
        assert (waited.returncode, waited.stderr) == (0, "")
        listed = server.command("keys", "list")
        assert listed.returncode == 0, listed.stderr
        # Behind the server's back: it still shows the other one.
        (tmp_path / "another").mkdir()
        another, _ = operators_certificate(tmp_path / "another")
        certificate.write_bytes(another.read_bytes())
        refused = server.command("env", "--wait=0")
        assert refused.returncode == 5
        assert f"its certificate is not of {certificate}" in refused.stderr


def test_commands_follow_a_server_to_another_certificate(tmp_path: Path) -> None:
    settings = tmp_path / "tenet.toml"
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        operators_certificate(tmp_path / name)
    text = """
        version = 1
        [tls]
        certificate_file = "{folder}/own.pem"
        private_key_file = "{folder}/own-key.pem"
    """
    settings.write_text(text.format(folder=tmp_path / "first"), encoding="utf-8")
    with running(tmp_path / "data", "--config", str(settings)) as server:
        assert server.command("keys", "list").returncode == 0
        settings.write_text(text.format(folder=tmp_path / "second"), encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        described = tmp_path / "data" / "running.json"
        while "second" not in described.read_text(encoding="utf-8"):
            assert server.process.poll() is None
            time.sleep(0.01)
        listed = server.command("keys", "list")
        assert listed.returncode == 0, listed.stderr
        # Trust in it comes from elsewhere; naming our own authority would take its place.
        for runtime in ("python", "node", "java"):
            shown = server.command("env", f"--for={runtime}").stdout
            assert "AWS_ENDPOINT_URL=https://" in shown
            assert not re.search("CA_BUNDLE|CA_CERTS|trustStore", shown)


def test_a_certificate_that_cannot_be_used_is_a_wrong_setting(tmp_path: Path) -> None:
    certificate, key = operators_certificate(tmp_path)
    (tmp_path / "another").mkdir()
    _, key_of_another = operators_certificate(tmp_path / "another")
    for files, why in {
        (certificate, tmp_path / "absent"): f"`tls.private_key_file` is '{tmp_path / 'absent'}', which is no file",
        (tmp_path / "absent", key): f"`tls.certificate_file` is '{tmp_path / 'absent'}', which is no file",
        (certificate, key_of_another): "cannot be used: ",
    }.items():
        environment = {"TENET_TLS_CERTIFICATE_FILE": str(files[0]), "TENET_TLS_PRIVATE_KEY_FILE": str(files[1])}
        refused = tenet("up", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", **environment)
        assert refused.returncode == 3
        assert why in refused.stderr


def test_every_mistake_in_the_settings_is_told_on_a_line_of_its_own(tmp_path: Path) -> None:
    certificate, key = operators_certificate(tmp_path)
    (tmp_path / "another").mkdir()
    _, key_of_another = operators_certificate(tmp_path / "another")
    file = tmp_path / "tenet.toml"
    text = """
        version = 1
        [server]
        listen = "127.0.0.1:70000"
        [store]
        url = "papyrus:/scroll"
        [logs]
        level = "loud"
        [tls]
        certificate_file = "{certificate}"
        private_key_file = "{key}"
    """
    said = [
        "`logs.level` is 'loud'",
        "a port is at most 65,535",
        "the engine 'papyrus'; installed are: cassandra, memory, sqlite.",
    ]
    for first, second, why in (
        (certificate, key, []),
        (tmp_path / "absent", key, [f"`tls.certificate_file` is '{tmp_path / 'absent'}', which is no file"]),
        (certificate, key_of_another, ["cannot be used: "]),
        (tmp_path, tmp_path, ["`tls.certificate_file` is ", "`tls.private_key_file` is "]),
    ):
        file.write_text(text.format(certificate=first, key=second), encoding="utf-8")
        checked = tenet("config", "check", str(file))
        assert (checked.returncode, checked.stdout) == (3, "")
        lines = checked.stderr.splitlines()
        assert len(lines) == len(said) + len(why)
        for part, line in zip([*said, *why], lines, strict=True):
            assert line.startswith("tenet: ")
            assert part in line
        refused = tenet("up", "--data", str(tmp_path / "data"), "--config", str(file))
        assert (refused.returncode, refused.stderr) == (3, checked.stderr)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("cassandra://127.0.0.1/trial?replicaton=dc1:3", "a cassandra URL knows no replicaton=; there are ca_file, "),
        ("cassandra://127.0.0.1", "the keyspace 1 to 48 of a-z, 0-9 and _, a letter first: '' is not."),
        ("cassandra:", "'' names no host."),
        ("cassandra://h/k?password_file=/absent", "names /absent, which is no file that can be read here."),
    ],
)
def test_a_url_of_a_store_that_cannot_be_is_a_wrong_setting(tmp_path: Path, url: str, says: str) -> None:
    checked = tenet("config", "check", TENET_STORE_URL=url)
    assert (checked.returncode, checked.stdout) == (3, "")
    assert checked.stderr.startswith("tenet: `store.url`: ")
    assert says in checked.stderr
    refused = tenet("up", "--data", str(tmp_path / "data"), "--store", url)
    assert (refused.returncode, refused.stderr) == (3, checked.stderr)
    assert not (tmp_path / "data").exists()
    # Nobody is asked whether there is a cluster.
    assert tenet("config", "check", TENET_STORE_URL="cassandra://192.0.2.1/trial").returncode == 0


def test_a_damaged_file_of_the_local_authority_is_named_by_start_and_commands(tmp_path: Path) -> None:
    authority = tmp_path / "data" / "tls" / "ca.pem"
    with running(tmp_path / "data") as server:
        good = authority.read_bytes()
        authority.write_bytes(b"damaged")
        refused = server.command("keys", "list")
        assert refused.returncode == 5
        assert f"{authority} is damaged: it holds no certificate. Bring it back from a copy" in refused.stderr
        authority.unlink()
        refused = server.command("keys", "list")
        assert refused.returncode == 5
        assert f"{authority} cannot be read: No such file or directory." in refused.stderr
        authority.write_bytes(b"damaged")
    refused = tenet("up", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"tenet: {authority} is damaged: it holds no PEM that can be read. Bring it back from a copy, or remove ca.pem"
        " and ca-key.pem: the next start makes another authority, which every client has to be made to trust\n"
    )
    authority.write_bytes(good)
    with running(tmp_path / "data") as again:
        assert again.command("keys", "list").returncode == 0


def test_waiting_for_a_server_that_hangs_ends_with_its_time(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        began = time.monotonic()
        assert server.command("env", "--wait=0").returncode == 0
        answered_s = time.monotonic() - began
        with hung(server):
            began = time.monotonic()
            waited = server.command("env", "--wait=0.5")
            elapsed_s = time.monotonic() - began
        assert waited.returncode == 5
        assert "not ready after 0.5 s" in waited.stderr
        # Starting the command takes its time too; a single question used to take five seconds.
        assert elapsed_s < answered_s + 4


def test_no_command_makes_an_installation_but_up(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for command in (["keys", "list"], ["backup", "x"], ["env"], ["restore", "--yes", __file__]):
        refused = tenet(*command, "--data", str(tmp_path / "data"))
        assert refused.returncode == 1
        assert "no server was ever started on" in refused.stderr
    assert list(tmp_path.rglob("*")) == [tmp_path / "data"]


def test_the_doctor_refuses_a_place_for_its_archive_before_it_looks_at_anything(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"mine")
    (tmp_path / "loose").symlink_to(tmp_path / "nowhere")
    for output, why in {
        "there": f"{tmp_path / 'there'} exists",
        "loose": f"{tmp_path / 'loose'} exists",
        "absent/x": f"there is no directory {tmp_path / 'absent'}",
    }.items():
        told = tenet("doctor", "--data", str(tmp_path / "data"), "--output", str(tmp_path / output))
        assert (told.returncode, told.stdout) == (1, "")
        assert told.stderr.startswith(f"tenet: {why}; name a")
    assert (tmp_path / "there").read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()


def test_the_doctor_says_what_it_found_even_where_its_archive_cannot_be_written(tmp_path: Path) -> None:
    archive = tmp_path / "doctor.tar.gz"
    told = tenet_without_room("doctor", "--data", str(tmp_path / "data"), "--output", str(archive))
    assert told.returncode == 1
    assert "Nothing could be found out" in told.stdout
    assert told.stderr.startswith(f"tenet: {archive} cannot be written: File too large;")
    assert not archive.exists()
