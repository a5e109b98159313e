"""Runs modules in their compiled form, where there is one that was made from exactly the source that lies here.

``python -m tools.compile`` translates the modules of the request path to C (mypyc) and leaves extension modules with a
manifest in ``tenet/_compiled``. They are never needed: without them, with another Python, or after a change of any
one source that they were made from, all of Tenet runs from its source, and ``tenet version`` says why. Compiled modules
call each other directly, so that it is all of them or none.

The variable ``TENET_COMPILED`` decides otherwise: ``0`` runs from source in any case, ``1`` refuses to start from it.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import source_hash, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

PACKAGE: Final = Path(__file__).parent.parent
FOLDER: Final = PACKAGE / "_compiled"
MANIFEST: Final = "manifest"
#: What the names of this interpreter's extension modules end in.
SUFFIX: Final = EXTENSION_SUFFIXES[0]
#: Stands in the manifest for a library that has no source of its own.
NO_SOURCE: Final = "-"

_status = "no: it was not compiled"


class Finder:
    """Finds compiled modules (``importlib.abc.MetaPathFinder``).

    Args:
        folder: where they lie.
        names: their full names.
    """

    def __init__(self, folder: Path, names: frozenset[str]) -> None:
        self._folder = folder
        self._names = names

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns where a module is to be loaded from, or None if it is not compiled."""
        if fullname not in self._names:
            return None
        file = str(self._folder / (fullname + SUFFIX))
        return spec_from_file_location(fullname, file, loader=ExtensionFileLoader(fullname, file))


def status() -> str:
    """Returns whether compiled modules are in use, and if not, why; in one line."""
    return _status


def install() -> None:
    """Makes imports take compiled modules, if there are any that fit. Called before any other module is imported.

    Raises:
        ImportError: there are none that fit, and ``TENET_COMPILED`` is 1.
    """
    global _status  # noqa: PLW0603 (it is about the process: so are imports)
    wish = os.environ.get("TENET_COMPILED", "")
    if wish == "0":
        _status = "no: TENET_COMPILED is 0"
        return
    modules, reason = read_manifest(FOLDER)
    if reason:
        _status = f"no: {reason}"
        if wish == "1":
            raise ImportError(f"TENET_COMPILED is 1, but {reason}")
        return
    sys.meta_path.insert(0, Finder(FOLDER, frozenset(modules)))
    _status = f"yes, {sum(digest != NO_SOURCE for digest in modules.values())} modules"


def read_manifest(folder: Path) -> tuple[dict[str, str], str]:
    """Returns the compiled modules of a folder with the digests of their sources, and why they do not fit, or "".

    The first line names the interpreter, each other one a module and the digest of the source that it was made from.
    """
    try:
        suffix, *lines = (folder / MANIFEST).read_text(encoding="ascii").splitlines()
        modules = dict(line.split() for line in lines)
    except (OSError, ValueError):
        return {}, "it was not compiled"
    if suffix != SUFFIX:
        return {}, f"it was compiled for another Python ({suffix}; this is {SUFFIX})"
    for name, digest in modules.items():
        if digest != NO_SOURCE and digest_of(name) != digest:
            return {}, f"it was compiled before {name} was changed"
    return modules, ""


def digest_of(name: str) -> str:
    """Returns the digest of a module's source as it is now, "" if there is none."""
    try:
        return source_hash(source_of(name).read_bytes()).hex()
    except OSError:
        return ""


def source_of(name: str) -> Path:
    """Returns where a module's source lies.

    Args:
        name: its full name, such as ``tenet.store.combine``.
    """
    return PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".py")
