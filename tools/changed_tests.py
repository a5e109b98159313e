"""Runs the tests that a change can touch, as the import graph says.

Changed is what differs from a commit (by default the last one on main that this branch has, or, on main itself, HEAD),
untracked files included. A test file is run when it changed, when it imports a changed module directly or through
others, or when it starts Tenet as a process, which can touch everything in the package.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import grimp

from tenet.app import engines
from tenet.app.engines import GROUP

ROOT = Path(__file__).resolve().parent.parent
#: Changes to these can touch every test.
EVERYTHING = ("pyproject.toml", "uv.lock", "tests/conftest.py", "tests/servers.py")
#: Tests here reach the package through its processes, not through imports.
THROUGH_PROCESSES = ("tests/e2e", "tests/conformance", "tests/docs", "tests/faults")


def git(*arguments: str) -> list[str]:
    """Returns the lines that git prints."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def changed_files(base: str | None) -> list[str]:
    """Returns paths, relative to the root, that differ from the base."""
    if base is None:
        branch = git("rev-parse", "--abbrev-ref", "HEAD")[0]
        base = "HEAD" if branch == "main" else git("merge-base", "HEAD", "main")[0]
    return sorted({*git("diff", "--name-only", base), *git("ls-files", "--others", "--exclude-standard")})


def module_of(path: str) -> str:
    """Returns the dotted name of a source file of the package."""
    parts = Path(path).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def touched_modules(changed: list[str]) -> set[str]:
    """Returns the changed modules of the package with all that import them, directly or not."""
    graph = grimp.build_graph("tenet")
    for engine in metadata.entry_points(group=GROUP):
        # Engines are found by their entry points; whoever loads them stands on them all the same.
        if engine.module in graph.modules:
            graph.add_import(importer=engines.__name__, imported=engine.module)
    modules = {module_of(path) for path in changed if path.startswith("src/tenet/") and path.endswith(".py")}
    return modules.union(*(graph.find_downstream_modules(module) for module in modules if module in graph.modules))


def imports_of(path: Path, seen: set[Path]) -> set[str]:
    """Returns every module of the package that a test file imports, itself or through another file of the tests."""
    if path in seen:
        return set()
    seen.add(path)
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    for name in [name for name in names if name.startswith("tests.")]:
        helper = ROOT / (name.replace(".", "/") + ".py")
        if helper.exists():
            names |= imports_of(helper, seen)
    return {name for name in names if name.startswith("tenet")}


def is_touched(test: Path, changed: list[str], modules: set[str]) -> bool:
    """Says whether a test file can notice the change."""
    relative = test.relative_to(ROOT).as_posix()
    if relative in changed or any(
        relative.startswith(f"{Path(path).parent}/") for path in changed if "conftest" in path
    ):
        return True
    if relative.startswith(THROUGH_PROCESSES):
        return any(path.startswith("src/") for path in changed)
    if relative.startswith("tests/house"):
        return bool(changed)
    return bool(imports_of(test, set()) & modules)


def main() -> int:
    """Selects and runs; returns pytest's status."""
    changed = changed_files(sys.argv[1] if len(sys.argv) > 1 else None)
    tests = sorted((ROOT / "tests").glob("**/test_*.py"))
    modules = touched_modules(changed)
    everything = any(path in EVERYTHING for path in changed)
    selected = [str(test.relative_to(ROOT)) for test in tests if everything or is_touched(test, changed, modules)]
    print(
        f"{len(changed)} files changed, {len(modules)} modules touched, {len(selected)} of {len(tests)} test files run."
    )
    if not selected:
        return 0
    return subprocess.run([sys.executable, "-m", "pytest", "-n", "2", *selected], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
