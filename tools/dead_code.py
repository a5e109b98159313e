"""Runs vulture as pyproject.toml says, and looks anew only through files that have changed.

    python -m tools.dead_code

What a file defines and which names it uses depends on the file alone; what of that is dead is decided anew each time.
Vulture itself goes through every file each time, the most expensive thing that the quick part of the tests did.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from vulture.config import make_config
from vulture.core import ExitCode, Vulture

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / ".cache" / "dead_code"
#: Where a scan puts what it finds.
LISTS: Final = (
    *(f"defined_{what}" for what in ("attrs", "classes", "funcs", "imports", "methods", "props", "vars")),
    "unreachable_code",
)


class Remembering(Vulture):  # type: ignore[misc]  # the package has no types
    """Vulture that knows what it has found in files before.

    Args:
        known: what scans have found, by the digest of what they depend on.
        options: of vulture.
    """

    def __init__(self, known: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.options = options
        self.known = known
        self.met: dict[str, Any] = {}

    def scan(self, code: str, filename: Path | str = "") -> None:
        """Takes in what a file defines and uses."""
        parts = (metadata.version("vulture"), sys.version, repr(sorted(self.options.items())), str(filename), code)
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        found = self.known.get(digest)
        if found is None:
            alone = Vulture(**self.options)
            alone.scan(code, filename)
            if alone.exit_code != ExitCode.NoDeadCode:
                self.exit_code = alone.exit_code
                return
            found = ([list(getattr(alone, name)) for name in LISTS], set(alone.used_names))
        self.met[digest] = found
        for name, items in zip(LISTS, found[0], strict=True):
            getattr(self, name).extend(items)
        self.used_names |= found[1]


def read_known(kept: Path) -> dict[str, Any]:
    """Returns what earlier runs have found; nothing where that cannot be read."""
    try:
        known: dict[str, Any] = pickle.loads(kept.read_bytes())
    except (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError):
        return {}
    return known


def main(kept: Path = KEPT) -> int:
    """Reports as vulture does; returns its status."""
    config = make_config()
    options = {name: config[name] for name in ("verbose", "ignore_names", "ignore_decorators")}
    known = read_known(kept)
    vulture = Remembering(known, **options)
    vulture.scavenge(config["paths"], exclude=config["exclude"])
    if vulture.met.keys() != known.keys():
        kept.parent.mkdir(exist_ok=True)
        written = kept.with_suffix(f".{os.getpid()}")
        written.write_bytes(pickle.dumps(vulture.met))
        written.replace(kept)
    more = {name: config[name] for name in ("min_confidence", "sort_by_size", "make_whitelist")}
    return int(vulture.report(**more))


if __name__ == "__main__":
    sys.exit(main())
