"""Puts compiled modules into the wheel, where ``make compile`` has made them of the very source that goes into it.

Such a wheel is for one Python on one platform, and says so in its name. Without them it is for every one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledModules(BuildHookInterface):  # type: ignore[type-arg]
    """Called by hatchling before it packs a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the compiled modules; an editable installation has them where they are.

        Args:
            version: what kind of wheel it is.
            build_data: what goes into it.
        """
        if version == "editable":
            return
        sys.path.insert(0, str(Path(self.root, "src")))
        # Packing is no running: whoever wants the wheel to be compiled sees below whether it is.
        os.environ.pop("TENET_COMPILED", None)
        from tenet.base.compiled import FOLDER, read_manifest  # noqa: PLC0415 (the source that is packed)

        manifest = read_manifest(FOLDER)
        if manifest.misfit:
            self.app.display_info(f"The wheel holds no compiled modules: {manifest.misfit}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for file in FOLDER.iterdir():
            build_data["force_include"][str(file)] = f"tenet/{FOLDER.name}/{file.name}"
        self.app.display_info(f"The wheel holds {len(manifest.compiled)} compiled modules")
