"""Finds the Java that Cassandra 5.0 runs on, or says what to install."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.packages import ToolMissing

#: The newest that the release supports (https://cassandra.apache.org/doc/5.0/cassandra/getting-started/java11.html and
#: java17.html beside it); later ones lack what it still uses.
MAJOR = 17
#: Where packages put a second Java that is not the one on the PATH.
_KNOWN = (
    "/usr/lib/jvm/java-17-openjdk*/bin/java",
    "/usr/lib/jvm/java-17/bin/java",
    "/opt/homebrew/opt/openjdk@17/bin/java",
    "/usr/local/opt/openjdk@17/bin/java",
    "/Library/Java/JavaVirtualMachines/*17*/Contents/Home/bin/java",
)
_ADVICE = (
    "on Debian 12 and Ubuntu `apt-get install openjdk-17-jre-headless`, on Fedora "
    "`dnf install java-17-openjdk-headless`, on macOS `brew install openjdk@17`; JAVA_HOME says which one to take"
)


def find_java() -> Path:
    """Returns the program: of JAVA_HOME, of the PATH, or from where packages put it.

    Raises:
        ToolMissing: there is none of the right version; the message says what to install.
    """
    others = []
    for path in _candidates():
        major = _major_of(path)
        if major == MAJOR:
            return path
        if major is not None:
            others.append(f"{path} is {major}")
    found = f" ({', '.join(others)})" if others else ""
    raise ToolMissing(f"Cassandra 5.0 needs Java {MAJOR}{found}: {_ADVICE}")


def _candidates() -> Iterator[Path]:
    if os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"]) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
    for pattern in _KNOWN:
        yield from sorted(Path("/").glob(pattern.removeprefix("/")))


def _major_of(java: Path) -> int | None:
    """Asks it; None where it does not run, as the stand-in of a macOS without Java."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return None
    match = re.search(r'version "(\d+)', done.stderr)
    return int(match[1]) if match and done.returncode == 0 else None
