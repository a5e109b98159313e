"""A full disk and a read-only one are told of clearly, cost nothing that was acknowledged, and are recovered from."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.e2e import sqlite_disk, sqlite_writer

ROOT = Path(sqlite_disk.__file__).parents[2]


def mounting() -> list[list[str]]:
    """The ways to run a command so that it may mount a disk of its own, best first; the last one always works."""
    unshare = shutil.which("unshare")
    ways = [[unshare, "--mount"], [unshare, "--user", "--map-root-user", "--mount"]] if unshare else []
    return [
        *(way for way in ways if subprocess.run([*way, "true"], capture_output=True, check=False).returncode == 0),
        [],
    ]


@pytest.mark.parametrize("scene", sqlite_disk.SCENES)
def test_a_disk_that_cannot_be_written_to(tmp_path: Path, scene: str) -> None:
    command = [*mounting()[0], sys.executable, str(Path(sqlite_disk.__file__)), scene, str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
    assert ended.returncode == 0, ended.stdout + ended.stderr


#: Root may write whatever the permissions say; so this goes on as somebody else.
LIMITED = """
import os, sys
from pathlib import Path
from tests.e2e import sqlite_disk

os.getuid() or os.setuid(65534)
sqlite_disk.small_disk = sqlite_disk.LimitedDisk
sqlite_disk.main(sys.argv[1], Path(sys.argv[2]))
"""


@pytest.mark.parametrize("scene", sqlite_disk.SCENES)
def test_without_the_right_to_mount_a_limit_stands_for_the_disk(scene: str) -> None:
    # Not below pytest's own folder, which is nobody else's to enter.
    with tempfile.TemporaryDirectory(prefix="tenet-disk-") as folder:
        Path(folder).chmod(0o777)
        command = [sys.executable, "-c", LIMITED, scene, folder]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "LimitedDisk" in ended.stdout


def test_a_second_process_is_refused_by_name_and_a_kill_leaves_the_directory_free(tmp_path: Path) -> None:
    said = tmp_path / "said"
    data = tmp_path / "data"
    writer = [sys.executable, str(Path(sqlite_writer.__file__)), str(data), "0"]
    with said.open("wb") as output, subprocess.Popen(writer, cwd=ROOT, stdout=output) as first:
        try:
            while b"done" not in said.read_bytes():
                assert first.poll() is None
                time.sleep(0.01)
            second = subprocess.run(writer, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
            assert second.returncode != 0
            assert f"StoreLocked: the data directory {data} is in use by the process {first.pid}" in second.stderr
            assert first.poll() is None
        finally:
            first.send_signal(signal.SIGKILL)
    killed = len(said.read_bytes())
    with said.open("ab") as output, subprocess.Popen(writer, cwd=ROOT, stdout=output) as third:
        try:
            while len(said.read_bytes()) < killed + 1_000:
                assert third.poll() is None
                time.sleep(0.01)
        finally:
            third.send_signal(signal.SIGKILL)
