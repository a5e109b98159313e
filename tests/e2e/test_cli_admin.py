"""Keys, backups and the doctor, on a server that serves meanwhile and on a directory that no server holds."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import subprocess
import tarfile
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tenet.app.configuration import load
from tenet.app.data_directory import DataDirectory
from tenet.app.messages import KeyWanted
from tenet.app.remote import RemoteAdministration, Trust
from tenet.base.clock import SystemClock
from tests.servers import Server, hung, running, start, tenet


def make_table(client: Any, name: str = "things") -> None:
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})


def items(client: Any, name: str = "things") -> dict[str, int]:
    pages = client.get_paginator("scan").paginate(TableName=name)
    return {item["id"]["S"]: int(item["n"]["N"]) for page in pages for item in page["Items"]}


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the tests that leave it running."""
    with running(tmp_path_factory.mktemp("shared") / "data") as shared:
        yield shared


# ---- keys ------------------------------------------------------------------------------------------------------------


def test_a_secret_is_given_where_nobody_sees_it(server: Server) -> None:
    create = ("keys", "create", "--id", "unseen", "--data", str(server.data), "--secret", "-")
    assert "it is -, and standard input has no line" in tenet(*create).stderr
    made = tenet(*create, given="my-own-secret\n")
    assert made.stdout == "export AWS_ACCESS_KEY_ID=unseen\nexport AWS_SECRET_ACCESS_KEY=my-own-secret\n"
    assert "TableNames" in server.client(access_key_id="unseen", secret_access_key="my-own-secret").list_tables()


def test_a_key_works_at_once_and_is_refused_at_once(server: Server) -> None:
    made = server.command("keys", "create", "--id", "mine", "--secret", "my-own-secret")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == "export AWS_ACCESS_KEY_ID=mine\nexport AWS_SECRET_ACCESS_KEY=my-own-secret\n"
    client = server.client(access_key_id="mine", secret_access_key="my-own-secret")
    assert "TableNames" in client.list_tables()
    assert "000000000000  mine\n" in server.command("keys", "list").stdout
    revoked = server.command("keys", "revoke", "mine")
    assert (revoked.returncode, revoked.stdout) == (0, "mine is revoked.\n")
    with pytest.raises(ClientError) as refused:
        client.list_tables()
    assert code_of(refused) == "UnrecognizedClientException"
    assert "mine" not in server.command("keys", "list").stdout


def test_keys_made_without_a_server_work_when_it_starts(tmp_path: Path) -> None:
    server = start(tmp_path / "data")
    server.stop()
    made = server.command("keys", "create", "--id", "mine", "--secret", "my-own-secret")
    assert made.returncode == 0, made.stderr
    with running(tmp_path / "data") as again:
        assert again.client(access_key_id="mine", secret_access_key="my-own-secret").list_tables()["TableNames"] == []


def test_tenants_never_see_each_other(server: Server) -> None:
    make_table(server.client())
    made = server.command("keys", "create", "--id", "other", "--secret", "other-secret", "--tenant", "111122223333")
    assert made.returncode == 0, made.stderr
    other = server.client(access_key_id="other", secret_access_key="other-secret")
    assert other.list_tables()["TableNames"] == []
    with pytest.raises(ClientError) as missing:
        other.describe_table(TableName="things")
    assert code_of(missing) == "ResourceNotFoundException"
    make_table(other)
    described = other.describe_table(TableName="things")["Table"]
    assert ":111122223333:table/things" in described["TableArn"]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["keys", "create", "--tenant", "12"], 2, "Error: --tenant is '12'; an account is 12 digits.\n"),
        (["keys", "create", "--secret", "short"], 2, "Error: --secret has 5 characters; a secret has 8 to 128.\n"),
        (["keys", "revoke", "nobody"], 1, "there is no access key nobody"),
    ],
)
def test_keys_that_cannot_be(server: Server, arguments: list[str], status: int, says: str) -> None:
    refused = server.command(*arguments)
    assert (refused.returncode, refused.stdout) == (status, "")
    assert says in refused.stderr


@pytest.mark.parametrize("secret", ["abcdef$(id>pwned)", "it's-abcdef", "abcdef;id>pwned#", 'a"b`c\\d$HOME'])
def test_a_shell_reads_the_lines_of_a_new_key_and_nothing_else(server: Server, tmp_path: Path, secret: str) -> None:
    made = server.command("keys", "create", "--secret", secret)
    assert made.returncode == 0, made.stderr
    script = f"""{made.stdout}\nprintf '%s' "$AWS_SECRET_ACCESS_KEY" """
    read = subprocess.run(["/bin/sh", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert read.stdout == secret
    assert list(tmp_path.iterdir()) == []


def test_the_last_root_key_stays(server: Server) -> None:
    refused = server.command("keys", "revoke", server.exports["AWS_ACCESS_KEY_ID"])
    assert refused.returncode == 1
    assert "last key that may administer" in refused.stderr


def test_an_id_is_given_once(server: Server) -> None:
    assert server.command("keys", "create", "--id", "once").returncode == 0
    refused = server.command("keys", "create", "--id", "once")
    assert refused.returncode == 1
    assert "there is an access key once already" in refused.stderr


def test_keys_outlive_a_rotation_of_the_master_key(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        before = (tmp_path / "data.master-key").read_bytes()
        rotated = server.command("keys", "rotate-master")
        assert rotated.stdout == "Secrets encrypted under a new master key: 1.\n"
        assert (tmp_path / "data.master-key").read_bytes() != before
        assert server.client().list_tables()["TableNames"] == []
    with running(tmp_path / "data") as again:
        assert again.client().list_tables()["TableNames"] == []


def test_a_rotation_that_was_killed_amidst_is_repeated_and_every_key_works(tmp_path: Path) -> None:
    file, mine = tmp_path / "data.master-key", {"access_key_id": "mine", "secret_access_key": "my-own-secret"}

    def held() -> int:
        return len(json.loads(file.read_text(encoding="utf-8"))["keys"])

    with running(tmp_path / "data") as server:
        assert server.command("keys", "create", "--id", "mine", "--secret", "my-own-secret").returncode == 0
        make_keys(server, 200)
        rotating = threading.Thread(target=server.command, args=("keys", "rotate-master"))
        rotating.start()
        while held() == 1:
            assert rotating.is_alive()
        server.kill()
        rotating.join()
    # It died between its first step and its last: both keys are there, for what is under either of them.
    assert held() == 2
    with running(tmp_path / "data") as again:
        assert again.client(**mine).list_tables()["TableNames"] == []
        assert again.command("keys", "rotate-master").stdout == "Secrets encrypted under a new master key: 202.\n"
        assert held() == 1
        assert again.client(**mine).list_tables()["TableNames"] == []


def make_keys(server: Server, count: int) -> None:
    """Makes access keys, as fast as the server does."""
    directory = DataDirectory(load(None, {}, {"data": str(server.data)}).settings)
    root_key = directory.root_key()
    assert root_key is not None
    there = RemoteAdministration(
        server.endpoint, root_key=root_key, trust=Trust(directory.ca_file), clock=SystemClock()
    )

    async def make() -> None:
        for _ in range(count):
            await there.create_key(KeyWanted())

    asyncio.run(make())


def test_a_new_root_key_takes_over_while_the_server_serves(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        assert server.command("keys", "create", "--id", "mine", "--secret", "my-own-secret").returncode == 0
        mine = server.client(access_key_id="mine", secret_access_key="my-own-secret")
        former = server.exports["AWS_ACCESS_KEY_ID"]
        kept = server.command("keys", "rotate-root", "--keep-old")
        (second,) = re.findall(r"^The root key is (\w+) now; `tenet env` prints it\.$", kept.stdout.strip())
        # The former one signs until it is revoked.
        assert server.client().list_tables()["TableNames"] == []
        assert f"{former}  root" in server.command("keys", "list").stdout
        rotated = server.command("keys", "rotate-root")
        third = rotated.stdout.split()[4]
        assert sorted(rotated.stdout.splitlines()[1:]) == sorted([f"{former} is revoked.", f"{second} is revoked."])
        with pytest.raises(ClientError) as refused:
            server.client().list_tables()
        assert code_of(refused) == "UnrecognizedClientException"
        assert [line for line in server.command("keys", "list").stdout.splitlines() if line.endswith("root")] == [
            f"000000000000  {third}  root"
        ]
        assert mine.list_tables()["TableNames"] == []
        # Started again after a kill, it has the new one, which is what `tenet env` prints.
        server.kill()
    assert f"export AWS_ACCESS_KEY_ID={third}\n" in tenet("env", "--data", str(tmp_path / "data")).stdout
    with running(tmp_path / "data") as again:
        assert again.exports["AWS_ACCESS_KEY_ID"] == third
        assert again.client().list_tables()["TableNames"] == []
    # Nobody serves: the command does it itself.
    alone = tenet("keys", "rotate-root", "--data", str(tmp_path / "data"))
    assert f"{third} is revoked." in alone.stdout


def test_without_its_master_key_nothing_starts(tmp_path: Path) -> None:
    start(tmp_path / "data").stop()
    (tmp_path / "data.master-key").unlink()
    refused = tenet("up", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    assert refused.returncode == 1
    assert "data.master-key is missing" in refused.stderr
    assert not (tmp_path / "data.master-key").exists()


def test_a_data_directory_that_is_renamed_says_where_its_master_key_is(tmp_path: Path) -> None:
    start(tmp_path / "data").stop()
    (tmp_path / "data").rename(tmp_path / "other")
    refused = tenet("up", "--data", str(tmp_path / "other"), "--listen", "127.0.0.1:0")
    assert refused.returncode == 1
    assert f"the master key {tmp_path}/other.master-key is missing" in refused.stderr
    assert "it is still beside the former name" in refused.stderr
    (tmp_path / "data.master-key").rename(tmp_path / "other.master-key")
    with running(tmp_path / "other") as server:
        assert server.client().list_tables()["TableNames"] == []


def test_a_process_that_holds_the_directory_and_hangs_is_named(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--plaintext") as server:
        with hung(server):
            described = json.loads((tmp_path / "data" / "running.json").read_text(encoding="utf-8"))
            # A stopped process still accepts connections; one that nobody listens for shows the other way to fail.
            described["endpoint"] = "http://127.0.0.1:1"
            (tmp_path / "data" / "running.json").write_text(json.dumps(described), encoding="utf-8")
            refused = server.command("keys", "list")
        assert refused.returncode == 5
        assert f"in use by the process {server.process.pid}" in refused.stderr


def test_an_operator_gets_through_to_a_server_that_sheds_load(tmp_path: Path) -> None:
    environment = {"TENET_LIMITS_REQUESTS_PER_S_MAX": "2", "TENET_LIMITS_REQUESTS_BURST": "1"}
    with running(tmp_path / "data", environment=environment) as server:
        impatient = server.client(config=Config(retries={"total_max_attempts": 1}))
        with pytest.raises(ClientError) as shed:
            deque((impatient.list_tables() for _ in itertools.count()), maxlen=0)
        assert code_of(shed) == "ThrottlingException"
        listed = server.command("keys", "list")
        assert listed.returncode == 0, listed.stderr


# ---- backups ---------------------------------------------------------------------------------------------------------


class Writer(threading.Thread):
    """Writes numbered items, one after the other, until it is told to stop; notes which were acknowledged."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.client = server.client(config=Config(retries={"max_attempts": 10, "mode": "standard"}))
        self.acknowledged = 0
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.is_set():
            item = {"id": {"S": f"{self.acknowledged:06}"}, "n": {"N": str(self.acknowledged)}}
            self.client.put_item(TableName="things", Item=item)
            self.acknowledged += 1

    def until(self, count: int) -> int:
        while self.acknowledged < count:
            assert self.is_alive()
            self.join(0.01)
        return self.acknowledged

    def end(self) -> None:
        self.enough.set()
        self.join()


def test_a_backup_taken_while_writing_is_one_moment_and_restores_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "backup.tenet"
    with running(tmp_path / "data") as server:
        make_table(server.client())
        writer = Writer(server)
        writer.start()
        before = writer.until(100)
        done = server.command("backup", str(file))
        after = writer.acknowledged
        writer.until(after + 20)
        writer.end()
        assert done.returncode == 0, done.stderr
        assert str(file) in done.stdout
        assert "The master key is not in it" in done.stdout
        assert file.stat().st_mode & 0o077 == 0
        refused = server.command("backup", str(file))
        assert refused.returncode == 1
        assert "exists" in refused.stderr
    with running(tmp_path / "elsewhere") as elsewhere:
        make_table(elsewhere.client(), "gone-afterwards")
        restored = elsewhere.command("restore", str(file), "--yes")
        assert restored.returncode == 0, restored.stderr
        client = elsewhere.client()
        assert client.list_tables()["TableNames"] == ["things"]
        found = items(client)
        # Of one writer's items in their order, a copy of one moment holds all up to that moment and none behind it.
        assert before <= len(found) <= after + 1
        assert found == {f"{number:06}": number for number in range(len(found))}
        client.put_item(TableName="things", Item={"id": {"S": "new"}, "n": {"N": "-1"}})
    with running(tmp_path / "elsewhere") as again:
        assert items(again.client()) == found | {"new": -1}


def test_a_restore_under_load_loses_nothing_but_what_came_after_the_backup(tmp_path: Path) -> None:
    file = tmp_path / "backup.tenet"
    with running(tmp_path / "data") as server:
        make_table(server.client())
        writer = Writer(server)
        writer.start()
        before = writer.until(50)
        assert server.command("backup", str(file)).returncode == 0
        writer.until(writer.acknowledged + 50)
        restored = server.command("restore", str(file), "--yes")
        assert restored.returncode == 0, restored.stderr
        writer.until(writer.acknowledged + 20)
        writer.end()
        found = items(server.client())
        assert set(range(before)) <= set(found.values())
        assert set(range(writer.acknowledged - 20, writer.acknowledged)) <= set(found.values())


def test_a_backup_restores_without_a_server(tmp_path: Path) -> None:
    file = tmp_path / "backup.tenet"
    with running(tmp_path / "data") as server:
        make_table(server.client())
        server.client().put_item(TableName="things", Item={"id": {"S": "a"}, "n": {"N": "1"}})
    assert server.command("backup", str(file)).returncode == 0
    with running(tmp_path / "data") as server:
        server.client().delete_item(TableName="things", Key={"id": {"S": "a"}})
    assert server.command("restore", str(file), "--yes").returncode == 0
    with running(tmp_path / "data") as server:
        assert items(server.client()) == {"a": 1}


def test_a_restore_has_to_be_confirmed(tmp_path: Path) -> None:
    start(tmp_path / "data").stop()
    (tmp_path / "file").write_bytes(b"")
    asked = tenet("restore", str(tmp_path / "file"), "--data", str(tmp_path / "data"))
    assert asked.returncode == 1
    assert "Everything in" in asked.stderr
    assert asked.stderr.endswith("\nError: that was not answered with yes; where nobody can answer, say --yes.\n")


def test_what_is_no_backup_is_refused_and_changes_nothing(server: Server, tmp_path: Path) -> None:
    make_table(server.client(), "kept")
    for name, content in {"empty": b"", "text": b"no backup" * 999}.items():
        (tmp_path / name).write_bytes(content)
        refused = server.command("restore", str(tmp_path / name), "--yes")
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"tenet: {tmp_path / name} is not a backup of Tenet")
    assert "kept" in server.client().list_tables()["TableNames"]


def test_keys_of_a_backup_work_elsewhere_with_their_master_key(tmp_path: Path) -> None:
    file = tmp_path / "backup.tenet"
    with running(tmp_path / "data") as server:
        assert server.command("keys", "create", "--id", "mine", "--secret", "my-own-secret").returncode == 0
        assert server.command("backup", str(file)).returncode == 0
    shutil.copy(tmp_path / "data.master-key", tmp_path / "elsewhere.master-key")
    with running(tmp_path / "elsewhere") as elsewhere:
        assert elsewhere.command("restore", str(file), "--yes").returncode == 0
        client = elsewhere.client(access_key_id="mine", secret_access_key="my-own-secret")
        assert client.list_tables()["TableNames"] == []
        assert elsewhere.client().list_tables()["TableNames"] == []


def test_a_backup_from_before_a_rotation_restores_offline_and_names_the_keys_that_are_lost(tmp_path: Path) -> None:
    file = tmp_path / "backup.tenet"
    with running(tmp_path / "data") as server:
        assert server.command("keys", "create", "--id", "mine", "--secret", "my-own-secret").returncode == 0
        assert server.command("backup", str(file)).returncode == 0
        assert server.command("keys", "rotate-master").returncode == 0
    done = server.command("restore", str(file), "--yes")
    assert done.returncode == 0
    assert re.fullmatch(rf"{file} is restored, in \d+\.\d s\.\n", done.stdout)
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("tenet: 1 of 2 access keys cannot be read, and what they sign is refused: ")
    assert [line for line in lines[:-1] if not line.startswith("tenet: an access key cannot be used; ")] == []
    assert any("; access_key_id: mine; reason: " in line for line in lines)
    with running(tmp_path / "data") as again:
        assert again.client().list_tables()["TableNames"] == []


def test_a_restore_without_its_master_key_says_which_keys_are_of_no_use_until_it_is_there(tmp_path: Path) -> None:
    file, mine = tmp_path / "backup.tenet", {"access_key_id": "mine", "secret_access_key": "my-own-secret"}
    with running(tmp_path / "data") as server:
        assert server.command("keys", "create", "--id", "mine", "--secret", "my-own-secret").returncode == 0
        assert server.command("backup", str(file)).returncode == 0
    trouble = "access keys cannot be read, and what they sign is refused: "
    with running(tmp_path / "other") as other:
        restored = other.command("restore", str(file), "--yes")
        assert restored.returncode == 0
        # The root key of the backup is another one, and of no use here either.
        assert restored.stderr.startswith(f"tenet: 2 of 3 {trouble}{tmp_path}/other.master-key does not hold")
        listed = {line.split("  ")[1]: line for line in other.command("keys", "list").stdout.splitlines()}
        assert "cannot be used: " in listed["mine"]
        assert "cannot be used" not in listed[other.exports["AWS_ACCESS_KEY_ID"]]
        done = other.command("doctor", "--output", str(tmp_path / "doctor.tar.gz"))
        assert f"- 2 of 3 {trouble}" in done.stdout
        with pytest.raises(ClientError):
            other.client(**mine).list_tables()
    shutil.copy(tmp_path / "data.master-key", tmp_path / "other.master-key")
    with running(tmp_path / "other") as other:
        assert "cannot be used" not in other.command("keys", "list").stdout
        assert other.client(**mine).list_tables()["TableNames"] == []


# ---- doctor ----------------------------------------------------------------------------------------------------------


def contents(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as opened:
        found = {}
        for member in opened.getmembers():
            file = opened.extractfile(member)
            assert file is not None
            found[member.name.rpartition("/")[2]] = file.read().decode()
    return found


def test_the_doctors_archive_says_what_happened_and_holds_no_secret(tmp_path: Path) -> None:
    archive = tmp_path / "doctor.tar.gz"
    with running(tmp_path / "data") as server:
        secrets = [server.exports["AWS_SECRET_ACCESS_KEY"], "my-own-secret"]
        assert server.command("keys", "create", "--id", "mine", "--secret", "my-own-secret").returncode == 0
        with pytest.raises(ClientError):
            server.client().get_item(TableName="absent", Key={"id": {"S": "a"}})
        done = server.command("doctor", "--check", "--output", str(archive))
        assert done.returncode == 0, done.stderr
        assert "Nothing looks wrong." in done.stdout
        master = json.loads((tmp_path / "data.master-key").read_text(encoding="utf-8"))
        secrets += [*master["keys"].values()]
        secrets += [
            path.read_text(encoding="utf-8").splitlines()[1] for path in (tmp_path / "data" / "tls").glob("*key*")
        ]
    found = contents(archive)
    assert {"summary.txt", "settings.json", "versions.json", "metrics.txt", "requests.json", "store.json"} <= set(found)
    for name, text in found.items():
        for secret in secrets:
            assert secret not in text, f"{name} discloses a secret"
    failed = [request for request in json.loads(found["requests.json"]) if request["operation"] == "GetItem"]
    assert failed[0]["code"] == "ResourceNotFoundException"
    assert 'tenet_requests_total{code="ResourceNotFoundException",operation="GetItem"' in found["metrics.txt"]
    assert json.loads(found["settings.json"])["data"] == {"value": str(tmp_path / "data"), "origin": "command line"}
    assert json.loads(found["store.json"])["engine"] == "sqlite"
    assert json.loads(found["certificate.json"])["days_left"] > 30


def test_what_the_doctor_shows_of_a_url_has_no_password(tmp_path: Path) -> None:
    archive = tmp_path / "doctor.tar.gz"
    secrets = ("S3CRETPW", "S3CRETQ")
    collector = {"TENET_TRACES_OTLP_ENDPOINT": "http://user:S3CRETPW@127.0.0.1:9/v1/traces?api-key=S3CRETQ"}
    store = {"TENET_STORE_URL": "cassandra://user:S3CRETPW@192.0.2.1/k?password=S3CRETQ&datacenter=dc1"}
    for number, environment in enumerate((collector, store)):
        output = archive.with_name(f"{number}.tar.gz")
        done = tenet("doctor", "--data", str(tmp_path / "data"), "--output", str(output), **environment)
        assert done.returncode == 0, done.stderr
        checked = tenet("config", "check", **environment)
        told = done.stdout + done.stderr + checked.stdout + checked.stderr + "".join(contents(output).values())
        assert "***" in told
        assert [secret for secret in secrets if secret in told] == []
    checked = tenet("config", "check", **collector)
    assert "traces.otlp_endpoint = 'http://***@127.0.0.1:9/v1/traces?***'" in checked.stdout
    # The server says the same of itself.
    with running(tmp_path / "data", environment=collector) as server:
        assert server.command("doctor", "--output", str(archive)).returncode == 0
    assert [secret for secret in secrets if secret in "".join(contents(archive).values())] == []


def test_the_doctor_tells_what_the_server_runs_with_from_what_the_command_does(tmp_path: Path) -> None:
    archive = tmp_path / "doctor.tar.gz"
    with running(tmp_path / "data", environment={"TENET_COMPILED": "0"}) as server:
        # What this command runs with depends on whether modules were compiled here, and says so in other words.
        done = server.command("doctor", "--output", str(archive), TENET_COMPILED="")
    of_command = tenet("version", TENET_COMPILED="").stdout
    assert "Compiled modules in the server: no: TENET_COMPILED is 0.\n" in done.stdout
    told = json.loads(contents(archive)["versions.json"])
    assert told["server"]["compiled"] == "no: TENET_COMPILED is 0"
    assert told["server"]["tenet"] == told["command"]["tenet"]
    assert f"compiled {told['command']['compiled']}\n" in of_command
    assert f"Compiled modules in this command: {told['command']['compiled']}.\n" in done.stdout
    assert told["command"]["compiled"] != told["server"]["compiled"]


def test_the_doctor_finds_a_server_that_is_gone(tmp_path: Path) -> None:
    start(tmp_path / "data").kill()
    done = tenet("doctor", "--data", str(tmp_path / "data"), "--output", str(tmp_path / "doctor.tar.gz"))
    assert done.returncode == 0, done.stderr
    assert "No server runs on this data directory." in done.stdout
    checked = tenet("doctor", "--check", "--data", str(tmp_path / "data"), "--output", str(tmp_path / "2.tar.gz"))
    assert (checked.returncode, checked.stdout.splitlines()[:-1]) == (1, done.stdout.splitlines()[:-1])
    assert "in the server" not in done.stdout
    found = contents(tmp_path / "doctor.tar.gz")
    assert json.loads(found["store.json"])["engine"] == "sqlite"
    assert json.loads(found["versions.json"])["server"] == {}


def test_the_doctor_sees_files_that_others_can_read(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        (tmp_path / "data" / "root-key.json").chmod(0o644)
        done = server.command("doctor", "--output", str(tmp_path / "doctor.tar.gz"))
    assert f"chmod 600 {tmp_path}/data/root-key.json" in done.stdout
