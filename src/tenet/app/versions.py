"""Which versions of what are at work."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Final

from tenet.base import compiled

DISTRIBUTION: Final = "tenet-cloud"


@cache
def tenet_version() -> str:
    """Returns the version of Tenet."""
    return metadata.version(DISTRIBUTION)


def versions() -> Mapping[str, str]:
    """Returns versions of Tenet, Python, the platform and every library that Tenet needs, by name.

    With them whether compiled modules are in use, and if not, why.
    """
    found = {
        "tenet": tenet_version(),
        "compiled": compiled.status(),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    for requirement in metadata.requires(DISTRIBUTION) or ():
        name, _, condition = requirement.partition(";")
        if "extra" not in condition:
            library = name.split(">")[0].split("=")[0].split("<")[0].strip()
            found[library] = metadata.version(library)
    return found
