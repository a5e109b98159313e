"""What nobody can carry out ends each command with one line that names the file or the setting, and an exit code."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tenet.app.cli import main
from tenet.app.clustering import is_clustered, node_of
from tenet.app.commands import told
from tenet.app.configuration import ConfigurationError, load
from tenet.app.data_directory import DataDirectory
from tenet.app.doctor import examine

#: Every command that is about an installation which has been started before.
ON_AN_INSTALLATION = (
    *(("env",), ("keys", "list"), ("keys", "create"), ("keys", "revoke", "a"), ("keys", "rotate-master")),
    *(("keys", "rotate-root"), ("node", "list"), ("node", "invite"), ("backup", "x"), ("restore", "--yes", __file__)),
    *(("config", "reload"), ("tables", "follow", "t"), ("store", "copy", "sqlite:", "memory:")),
)
#: More than a file system takes for the name of a file.
LONG = "a" * 300


@pytest.fixture(autouse=True)
def _mask() -> Iterator[None]:
    """Commands are processes of their own, and change what new files of theirs may be read by."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory where every user may look at what lies beside it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = Path(folder, "data")
        for within in ("node", "tls", "store"):
            (made / within).mkdir(parents=True)
        yield made


@contextmanager
def of_another_user(folder: Path) -> Iterator[None]:
    """Nothing in the folder may be looked at; the administrator becomes somebody else, whom permissions hold for."""
    is_administrator = os.geteuid() == 0
    folder.chmod(0)
    if is_administrator:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if is_administrator:
            os.seteuid(0)
        folder.chmod(0o700)


def run(*arguments: str, **environment: str) -> Result:
    """Runs a command; what it does not catch fails the test."""
    return CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False)


@pytest.mark.parametrize("command", ON_AN_INSTALLATION, ids=" ".join)
def test_a_file_in_the_place_of_the_data_directory_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "file"
    file.touch()
    for data in (file, file / "sub"):
        done = run(*command, "--data", str(data))
        problem = f"tenet: {data} is no directory: a file is in its way. Name the data directory with --data.\n"
        assert (done.exit_code, done.output) == (3, problem)


def test_what_nobody_has_foreseen_is_one_line_as_well(tmp_path: Path) -> None:
    done = run("placement", "audit", "--data", str(tmp_path / LONG))
    assert (done.exit_code, done.output) == (1, f"tenet: {tmp_path / LONG / 'store'}: File name too long.\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError(2, "No such file", "/a"), "/a: No such file."),
        (PermissionError(13, "Denied", b"/a"), "/a: Denied; run this as the one who runs Tenet."),
        (OSError(18, "Invalid link", "/a", None, "/b"), "/a and /b: Invalid link."),
        (OSError(9, "Bad descriptor", 7), "Bad descriptor."),
        (OSError("two\nlines"), "two lines."),
        (TimeoutError(), "TimeoutError."),
    ],
)
def test_an_error_of_the_system_says_what_it_knows(error: OSError, line: str) -> None:
    assert told(error) == line


def test_of_a_data_directory_of_another_user_the_file_is_named_that_cannot_be_seen(data: Path) -> None:
    directory = DataDirectory(load(None, {}, {"data": str(data)}).settings)
    with of_another_user(data / "node"):
        for look in (is_clustered, node_of):
            with pytest.raises(ConfigurationError) as refused:
                look(directory)
            assert refused.value.message == (
                f"{data / 'node' / 'node.json'} belongs to another user; run this as the one who runs Tenet."
            )


@pytest.mark.parametrize("closed", ["", "tls", "node", "store"])
def test_the_doctor_says_what_it_can_of_a_directory_of_another_user(data: Path, closed: str) -> None:
    (data / "root-key.json").write_text('{"access_key_id":"AKIA","secret_access_key":"s"}', encoding="utf-8")
    (data / "tls" / "ca-key.pem").touch(mode=0o600)
    configuration = load(None, {}, {"data": str(data)})
    with of_another_user(data / closed):
        examined = asyncio.run(examine(configuration, data.parent / "doctor.tar.gz"))
    assert any("run this as the one who runs Tenet" in finding or "Nothing" in finding for finding in examined.findings)
    assert str(data / "tls" / "ca-key.pem") not in examined.files["disk.json"]["modes"] or closed in {"node", "store"}


def test_an_empty_option_is_a_wrong_one(tmp_path: Path) -> None:
    for option, setting in {"--listen": "server.listen", "--store": "store.url", "--data": "data"}.items():
        done = run("up", "--data", str(tmp_path / "data"), option, "")
        assert done.exit_code == 3
        assert done.output.startswith(f"tenet: command line: `{setting}` is ''; it has to be: text")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("up",), ("env",), ("config", "check")], ids=" ".join)
def test_a_settings_file_that_is_not_there_is_a_wrong_setting_for_every_command(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    for name, why in (("absent", "No such file or directory"), ("", "Is a directory")):
        file = tmp_path / name
        done = run(*command, TENET_CONFIG=str(file))
        assert (done.exit_code, done.output) == (3, f"tenet: {file}: cannot be read: {why}.\n")


@pytest.mark.parametrize(
    ("command", "argument"),
    [
        (("keys", "revoke"), "ID"),
        (("node", "remove"), "NODE"),
        (("node", "drain"), "NODE"),
        (("node", "invitations", "withdraw"), "ID"),
        (("tables", "follow"), "TABLE"),
    ],
    ids=str,
)
def test_an_empty_name_is_a_wrong_one(command: tuple[str, ...], argument: str) -> None:
    done = run(*command, "")
    assert done.exit_code == 2
    assert done.output.endswith(f"Error: Invalid value for '{argument}': it is empty.\n")


def test_a_restore_that_nobody_confirms_says_how_it_is_confirmed(tmp_path: Path) -> None:
    said = "\nError: that was not answered with yes; where nobody can answer, say --yes.\n"
    for answer in ("", "n\n"):
        done = CliRunner().invoke(main, ["restore", __file__, "--data", str(tmp_path)], input=answer)
        assert done.exit_code == 1
        assert done.output.endswith(said)
    # Whoever has agreed gets further.
    done = CliRunner().invoke(main, ["restore", __file__, "--data", str(tmp_path)], input="y\n")
    assert "no server was ever started on" in done.output


def test_the_help_of_version_promises_what_it_prints() -> None:
    promised = run("version", "--help").output
    assert "Tenet, Python, the platform and the libraries" in promised
    assert {"tenet", "python", "platform", "apsw"} <= {line.split()[0] for line in run("version").output.splitlines()}
