"""Writes the generated parts of the documents anew, or with --check fails where one is not current.

A generated part stands between cog's marks in the document and is made by the code between them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def documents() -> list[str]:
    """Returns the documents that have a generated part."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found if "[[[cog" in path.read_text(encoding="utf-8"))


def main() -> int:
    """Runs cog over them and returns its status."""
    mode = ["--check", "--diff"] if "--check" in sys.argv[1:] else ["-r"]
    return subprocess.run([sys.executable, "-m", "cogapp", *mode, "-P", *documents()], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
