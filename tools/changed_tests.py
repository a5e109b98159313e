"""Runs the tests that a change can touch, as the import graph says.

Changed is what differs from a commit (by default the last one on main that this branch has, or, on main itself, HEAD),
untracked files included. A test file is run

- when it changed, or it imports a changed module directly or through others: of the package, of the tests, of the
  benchmarks or of the tools; what a `conftest.py` of its folders imports counts as well, and what it starts by name;
- when it names a changed file, such as a page that it reads; `tests/docs` reads the README and every tutorial;
- when it starts Tenet as a process, which everything in the package can touch;
- when a file that is not Python changed, such as a program of a client, and it stands on a module of that folder, or
  of the nearest one above that has any.

Those that need Cassandra nodes are left out, since they take long and run one after the other; it is said how many
they are, and which command runs them.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import grimp

from tenet.app import engines
from tenet.app.engines import GROUP

ROOT = Path(__file__).resolve().parent.parent
#: Changes to these can touch every test.
EVERYTHING = ("pyproject.toml", "uv.lock", "tests/conftest.py", "tests/servers.py", "tests/rounds.py")
#: Tests here look at all files there are.
HOUSE = ("tests/house/", "tests/test_tidy.py")
#: Tests here need Cassandra nodes; the stages of `tools.stages` that run them have the names of the folders.
ON_CLUSTERS = ("tests/distributed/", "tests/cluster/")
#: Their fixtures, which `tests/conftest.py` names as a plugin.
CLUSTERS = "tests/clusters.py"
#: Tests here reach the package through its processes, not through imports.
THROUGH_PROCESSES = ("tests/e2e/", "tests/conformance/", "tests/docs/", "tests/faults/", *ON_CLUSTERS)
#: Pages whose blocks the tests in the folder of documents run.
PAGES = ("README.md", "docs/tutorials/")
#: Folders of modules that tests import beside the package.
HELPERS = frozenset({"tests", "benchmarks", "tools"})
#: Names of modules in a string, such as a script or a command.
MODULE = re.compile(r"\b(?:tests|benchmarks|tools|tenet)(?:\.\w+)+")
#: What may be the name of a file.
NAME = re.compile(r"[\w./-]{3,120}")


@dataclass(frozen=True)
class Reach:
    """What a test file stands on, itself or through files that it imports or starts.

    Args:
        files: paths, relative to the root, of the test itself and of modules beside the package; some do not exist.
        modules: modules of the package that these import.
        names: strings in them that can be the name of a file.
    """

    files: frozenset[str]
    modules: frozenset[str]
    names: frozenset[str]


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


@cache
def read(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Returns the modules that a Python file imports and its strings that can name files, docstrings left out.

    A module in a string counts as imported, since a script or a command may be made of it.
    """
    imported: set[str] = set()
    names: set[str] = set()
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module)
            imported.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Expr):
            docstrings.add(id(node.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            imported.update(MODULE.findall(node.value))
            names.update({node.value} if NAME.fullmatch(node.value) else ())
    return frozenset(imported), frozenset(names)


def helpers_of(path: Path) -> set[Path]:
    """Returns where the modules beside the package lie that a Python file imports, or starts by module or file name."""
    imported, names = read(path)
    modules = {name for name in imported if name.partition(".")[0] in HELPERS}
    files = {ROOT / f"{name.replace('.', '/')}{end}" for name in modules for end in (".py", "/__main__.py")}
    return files | {path.parent / name for name in names if name.endswith(".py") and "/" not in name}


@cache
def reach_of(test: Path) -> Reach:
    """Returns what a test file stands on, with what a `conftest.py` of its folders does."""
    folders = [folder for folder in test.parents if folder.is_relative_to(ROOT / "tests") and folder != ROOT / "tests"]
    found: set[Path] = set()
    waiting = {test, *(folder / "conftest.py" for folder in folders)}
    if test.is_relative_to(ROOT) and test.relative_to(ROOT).as_posix().startswith(ON_CLUSTERS):
        waiting.add(ROOT / CLUSTERS)
    while waiting:
        found |= waiting
        waiting = {helper for path in waiting if path.exists() for helper in helpers_of(path)} - found
    there = [read(path) for path in found if path.exists()]
    return Reach(
        files=frozenset(path.relative_to(ROOT).as_posix() for path in found if path.is_relative_to(ROOT)),
        modules=frozenset(name for imported, _ in there for name in imported if name.partition(".")[0] == "tenet"),
        names=frozenset(name for _, names in there for name in names),
    )


@cache
def folder_of_modules(path: str) -> str:
    """Returns the nearest folder of a file, relative to the root, in which Python files lie; "." where none has any."""
    return next(
        folder.as_posix() for folder in Path(path).parents if folder == Path() or any((ROOT / folder).glob("*.py"))
    )


def is_met(path: str, reach: Reach) -> bool:
    """Says whether what a test stands on holds a changed file, names it, or has a module beside it."""
    if path in reach.files or any(path == name or path.endswith(f"/{name}") for name in reach.names):
        return True
    if path.endswith((".py", ".md")):
        return False
    folder = folder_of_modules(path)
    return folder.partition("/")[0] in HELPERS and any(str(Path(file).parent) == folder for file in reach.files)


def is_touched(test: Path, changed: list[str], modules: set[str]) -> bool:
    """Says whether a test file can notice the change."""
    relative = test.relative_to(ROOT).as_posix()
    if relative.startswith(HOUSE) or any(path in EVERYTHING for path in changed):
        return bool(changed)
    if relative.startswith(THROUGH_PROCESSES) and any(
        path.startswith("src/") and not path.endswith(".md") for path in changed
    ):
        return True
    if relative.startswith("tests/docs/") and any(path.startswith(PAGES) for path in changed):
        return True
    reach = reach_of(test)
    return bool(reach.modules & modules) or any(is_met(path, reach) for path in changed)


def left_out(tests: list[str]) -> list[str]:
    """Returns what is said of tests that a change can touch and that need Cassandra nodes: how to run them."""
    counts = {folder: sum(test.startswith(folder) for test in tests) for folder in ON_CLUSTERS}
    folders = [folder for folder, count in counts.items() if count]
    if not folders:
        return []
    stages = ",".join(Path(folder).name for folder in folders)
    told = " and ".join(f"{counts[folder]} in {folder.rstrip('/')}" for folder in folders)
    return [
        f"Left out, though the change can touch them, since they need Cassandra nodes and take long: {told}.",
        f'They run by: make test ARGS="--stages {stages}"',
    ]


def main() -> int:
    """Selects and runs; returns pytest's status."""
    changed = changed_files(sys.argv[1] if len(sys.argv) > 1 else None)
    tests = sorted((ROOT / "tests").glob("**/test_*.py"))
    modules = touched_modules(changed)
    touched = [test.relative_to(ROOT).as_posix() for test in tests if is_touched(test, changed, modules)]
    selected = [test for test in touched if not test.startswith(ON_CLUSTERS)]
    counted = f"{len(changed)} files changed, {len(modules)} modules touched"
    print(f"{counted}, {len(selected)} of {len(tests)} test files run.", flush=True)
    status = 0
    if selected:
        command = [sys.executable, "-m", "pytest", "-n", "2", *selected]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
    for line in left_out(touched):  # behind pytest's own lines, where it is read
        print(line)
    return status


if __name__ == "__main__":
    sys.exit(main())
