"""The exports of the lock file that pip installs from say the same as the lock file itself."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def locked() -> dict[str, dict[str, Any]]:
    packages = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    return {package["name"]: package for package in packages}


def exported(name: str) -> dict[str, tuple[str, set[str]]]:
    """Version and hashes by package, as pip reads them."""
    found: dict[str, tuple[str, set[str]]] = {}
    for block in (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        match = re.match(r"([\w.-]+)==([^\s;]+)", block)
        if match:
            found[match[1]] = (match[2], set(re.findall(r"sha256:\w+", block)))
    return found


def needed(*groups: str) -> set[str]:
    """Names of all packages that the project needs, those of the groups included."""
    packages = locked()
    project = packages["tenet-cloud"]
    queue = [entry["name"] for entry in project["dependencies"]]
    for group in groups:
        queue += [entry["name"] for entry in project["dev-dependencies"][group]]
    reached: set[str] = set()
    while queue:
        name = queue.pop()
        if name not in reached:
            reached.add(name)
            package = packages[name]
            extras = [entry for extra in package.get("optional-dependencies", {}).values() for entry in extra]
            queue += [
                entry["name"] for entry in [*package.get("dependencies", []), *extras] if entry["name"] in packages
            ]
    return reached


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("requirements.lock", ()),
        ("requirements-compile.lock", ("compile",)),
        ("requirements-dev.lock", ("dev",)),
    ],
)
def test_export_is_the_lock(name: str, groups: tuple[str, ...]) -> None:
    packages, export = locked(), exported(name)
    direct = {entry["name"] for entry in packages["tenet-cloud"]["dependencies"]}
    assert direct <= set(export) <= needed(*groups)
    for package, (version, hashes) in export.items():
        entry = packages[package]
        files = [*entry.get("wheels", []), *([entry["sdist"]] if "sdist" in entry else [])]
        assert version == entry["version"], f"{package}: make lock"
        assert hashes == {file["hash"] for file in files}, f"{package}: make lock"


def test_development_export_is_whole() -> None:
    assert set(exported("requirements-dev.lock")) == set(locked()) - {"tenet-cloud"}
