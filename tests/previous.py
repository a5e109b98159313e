"""The version before this one: the source as it was before the last change of it, to run beside this one.

What runs in production beside a new version is the one that it takes over from. Of a repository that is the state
before the last commit that touched the source; where the source here is changed and not committed, the last commit
itself. TENET_TEST_PREVIOUS names another revision, a release for instance. A clone without history has no such
version: that is said, and is no reason to test less.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REVISION = "TENET_TEST_PREVIOUS"
SOURCE = "src/tenet"


class NoHistory(Exception):
    """The version before this one cannot be had from this checkout; the message says what to do."""


@dataclass(frozen=True)
class Previous:
    """A former version that can be run.

    Args:
        revision: the commit.
        folder: where its source was unpacked.
    """

    revision: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which this checkout's programs run that version's source; libraries are this checkout's."""
        return {"PYTHONPATH": str(self.folder / "src"), "TENET_COMPILED": "0"}

    def check(self) -> None:
        """Makes sure that its source is what programs run with its environment."""
        program = "import tenet.app.server as server; print(server.__file__)"
        found = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert found.stdout.startswith(str(self.folder)), found.stdout + found.stderr


def revision(root: Path = ROOT) -> str:
    """Returns the commit of the version before the one in a checkout.

    Raises:
        NoHistory: the checkout does not have it.
    """
    if os.environ.get(REVISION):
        return _git(root, "rev-parse", "--verify", "--quiet", f"{os.environ[REVISION]}^{{commit}}").strip()
    if _git(root, "status", "--porcelain", "--", SOURCE).strip():
        return _git(root, "rev-parse", "HEAD").strip()
    last = _git(root, "log", "-1", "--format=%H", "--", SOURCE).strip()
    return _git(root, "rev-parse", "--verify", "--quiet", f"{last}^").strip()


def unpack(folder: Path, root: Path = ROOT) -> Previous:
    """Unpacks the version before this one.

    Args:
        folder: where to; it is made.
        root: the checkout that has it in its history.

    Raises:
        NoHistory: the checkout does not have it.
    """
    commit = revision(root)
    folder.mkdir(parents=True)
    packed = _run(root, "archive", "--format=tar", commit, SOURCE)
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    previous = Previous(commit, folder)
    previous.check()
    return previous


def _git(root: Path, *arguments: str) -> str:
    return _run(root, *arguments).decode()


def _run(root: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False, timeout=60)
    if done.returncode:
        said = done.stderr.decode().strip() or f"git {' '.join(arguments)} ended with {done.returncode}"
        raise NoHistory(
            f"the version before this one is not to be had from {root}: {said}. A clone with its history has it: "
            f"git fetch --unshallow; or name a commit that is there in {REVISION}"
        )
    return done.stdout
