"""Makes the virtual environment with pip alone, from an export of the lock file, every file checked by its hash.

Runs under the machine's own Python before anything is installed, so that it needs nothing beside the standard library.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)


def main(directory: str, lock: str) -> None:
    """Creates the environment where it is missing and installs what the lock names, then Tenet itself, editable."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"Tenet needs Python 3.11 to 3.13; {sys.executable} is {found}. Name another: make PYTHON=python3.12 …"
        )
    python = Path(directory, "bin", "python")
    if not python.exists():
        try:
            venv.create(directory, with_pip=True)
        except (subprocess.CalledProcessError, OSError) as error:
            sys.exit(f"Cannot make {directory}: {error}. On Debian: apt-get install python3-venv, or install uv.")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", lock], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", "."], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
