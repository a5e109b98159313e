"""Runs modules in their compiled form, where there is one that was made from exactly the source that lies here.

``python -m tools.compile`` translates the modules of the request path to C (mypyc) and leaves extension modules with a
manifest in ``tenet/_compiled``. They are never needed: without them, with another Python, or after a change of any
source that they were made from, all of Tenet runs from its source, and ``tenet version`` says why. Compiled modules
call each other directly, so that it is all of them or none; and they hold constants and types of the modules that they
import, so that the sources of those have to be the same too.

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
#: What a line of the manifest is about.
COMPILED, READ, LIBRARY = "compiled", "read", "library"

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
        SystemExit: there are none that fit, and ``TENET_COMPILED`` is 1; or it is something else.
    """
    global _status  # noqa: PLW0603 (it is about the process: so are imports)
    wish = os.environ.get("TENET_COMPILED", "")
    if wish not in ("", "0", "1"):
        raise SystemExit(f"tenet: TENET_COMPILED is {wish!r}; it is 0, 1, or not set.")
    if wish == "0":
        _status = "no: TENET_COMPILED is 0"
        return
    manifest = read_manifest(FOLDER)
    if manifest.misfit:
        _status = f"no: {manifest.misfit}"
        if wish == "1":
            raise SystemExit(
                f"tenet: TENET_COMPILED is 1, but {manifest.misfit}. `make compile` does it; without the variable Tenet"
                " runs from source."
            )
        return
    sys.meta_path.insert(0, Finder(FOLDER, frozenset((*manifest.compiled, *manifest.libraries))))
    _status = f"yes, {len(manifest.compiled)} modules"


class Manifest:
    """What lies in a folder of compiled modules.

    Args:
        misfit: why they cannot be used with this Python and this source; "" if they can.
        recipe: what they were made with, in the words of whoever made them.
        compiled: full names of the modules.
        libraries: full names of what they load beside each other.
    """

    __slots__ = ("compiled", "libraries", "misfit", "recipe")

    def __init__(
        self, misfit: str, recipe: str = "", compiled: Sequence[str] = (), libraries: Sequence[str] = ()
    ) -> None:
        self.misfit = misfit
        self.recipe = recipe
        self.compiled = compiled
        self.libraries = libraries


def read_manifest(folder: Path) -> Manifest:
    """Returns what lies in a folder.

    The first line of its manifest names the interpreter and the recipe. Each other one says of a module whether it is
    compiled, or read while others were, with the digest of its source; or it names a library.
    """
    try:
        head, *lines = (folder / MANIFEST).read_text(encoding="ascii").splitlines()
        suffix, recipe = head.split()
        entries = [(kind, name, digest) for kind, name, digest in map(str.split, lines)]
    except (OSError, ValueError):
        return Manifest("it was not compiled")
    if suffix != SUFFIX:
        return Manifest(f"it was compiled for another Python ({suffix}; this is {SUFFIX})")
    for kind, name, digest in entries:
        if kind != LIBRARY and digest_of(name) != digest:
            return Manifest(f"it was compiled before {name} was changed")
    return Manifest(
        "",
        recipe,
        [name for kind, name, _ in entries if kind == COMPILED],
        [name for kind, name, _ in entries if kind == LIBRARY],
    )


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
