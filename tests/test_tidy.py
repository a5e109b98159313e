"""Keeps the house tidy where no tool does: lengths, empty package files, dropped outcomes, words, documents."""

from __future__ import annotations

import ast
import gc
import re
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "tenet"

FUNCTION_LINES_MAX = 70
FUNCTION_LINES_P95 = 50
FUNCTION_LINES_MEDIAN = 10
FILE_LINES_MAX = 700
FILE_LINES_MEDIAN = 250


@cache
def tracked() -> tuple[Path, ...]:
    """Every file of the project, those that are new and not ignored included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return tuple(path for path in (ROOT / name for name in names) if path.is_file())


def files(*suffixes: str, under: Path = ROOT) -> list[Path]:
    return [path for path in tracked() if path.suffix in suffixes and path.is_relative_to(under)]


@contextmanager
def uncollected() -> Iterator[None]:
    """Keeps the collector of garbage from looking at trees again and again while they become more."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@cache
def source_trees() -> dict[Path, ast.Module]:
    """The trees of the package, through which several tests look."""
    with uncollected():
        return {path: ast.parse(path.read_text(encoding="utf-8")) for path in files(".py", under=SOURCE)}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


Function = ast.FunctionDef | ast.AsyncFunctionDef


def statements(block: ast.AST) -> Iterator[ast.AST]:
    """Every statement below a block, at any depth: most nodes are of expressions, in which no function stands."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(block, field, ()):
            yield node
            yield from statements(node)


def functions_of(tree: ast.Module, name: str) -> Iterator[tuple[str, int, int]]:
    """Where each function of a file lies, how many lines it has, and how many without its docstring."""
    for node in statements(tree):
        if isinstance(node, Function):
            lines = (node.end_lineno or 0) - node.lineno + 1
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            yield f"{name}:{node.lineno} {node.name}", lines, lines - docstring


def functions(under: Path) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    trees = source_trees()
    with uncollected():
        for path in files(".py", under=under):
            found += functions_of(trees.get(path) or ast.parse(path.read_text(encoding="utf-8")), name_of(path))
    return found


def test_no_function_is_long() -> None:
    long = [(where, lines) for where, lines, _ in functions(ROOT) if lines > FUNCTION_LINES_MAX]
    assert not long, f"over {FUNCTION_LINES_MAX} lines: {long}"


def test_most_functions_are_short() -> None:
    lengths = sorted(code for _, _, code in functions(SOURCE))
    assert statistics.median(lengths) <= FUNCTION_LINES_MEDIAN
    assert lengths[int(len(lengths) * 0.95)] <= FUNCTION_LINES_P95


def test_no_file_is_long() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files(".py")}
    long = {name: lines for name, lines in lengths.items() if lines > FILE_LINES_MAX}
    assert not long, f"over {FILE_LINES_MAX} lines: {long}"
    of_source = [lines for name, lines in lengths.items() if name.startswith("src/") and "__init__" not in name]
    assert statistics.median(of_source) <= FILE_LINES_MEDIAN


def test_package_files_hold_a_docstring_alone() -> None:
    packages = {path: tree for path, tree in source_trees().items() if path.name == "__init__.py"}
    assert packages
    for path, tree in packages.items():
        # Before anything is imported, the root decides in which form it is: compiled, or from source.
        assert len(tree.body) == 1 or path.parent == SOURCE, f"{name_of(path)} has code"
        assert ast.get_docstring(tree), f"{name_of(path)} has no docstring"


def test_every_folder_of_the_package_is_a_package() -> None:
    folders = {path.parent for path in files(".py", under=SOURCE)}
    assert not [name_of(folder) for folder in folders if not (folder / "__init__.py").exists()]


def test_every_room_says_what_it_is_for() -> None:
    rooms = [path for path in SOURCE.iterdir() if (path / "__init__.py").exists()]
    assert rooms
    without = [room.name for room in rooms if not (room / "DESIGN.md").exists()]
    assert not without, f"rooms without a DESIGN.md: {without}"


@pytest.mark.parametrize("method", ["commit", "settle"])
def test_no_outcome_is_dropped(method: str) -> None:
    dropped = [
        f"{name_of(path)}:{node.lineno}"
        for path, tree in source_trees().items()
        if "suite" not in path.parts  # tests, whose subject may be the error alone
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Await)
        and isinstance(node.value.value, ast.Call)
        and isinstance(node.value.value.func, ast.Attribute)
        and node.value.value.func.attr == method
    ]
    assert not dropped, f"the outcome of .{method}() is looked at by nobody: {dropped}"


def test_no_query_or_scan_is_without_a_limit() -> None:
    unlimited = [
        f"{name_of(path)}:{node.lineno}"
        for path, tree in source_trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"query", "scan", "read_log"}
        and isinstance(node.func.value, ast.Attribute | ast.Name)
        and "store" in ast.unparse(node.func.value)
        and not any(keyword.arg in {"limit", None} for keyword in node.keywords)
    ]
    assert not unlimited, f"without a limit: {unlimited}"


def test_every_exception_to_a_rule_has_its_reason() -> None:
    bare = re.compile(r"#\s*(noqa(:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*)?|pragma:\s*no cover)\s*$")
    found = [
        f"{name_of(path)}:{number}"
        for path in files(".py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if bare.search(line)
    ]
    assert not found, f"write the reason behind the rule's code: {found}"


UNWANTED = {
    "an unfinished thought": re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"),
    "a path of one machine": re.compile(r"(?<![\w.])/(root|home|Users|work|workspace)/\w"),
    "the number of an issue": re.compile(r"\bissues? #?\d", re.IGNORECASE),
    "a test that is skipped": re.compile(r"pytest\.(mark\.)?(skip|xfail)|unittest\.skip"),
    "a mock": re.compile(r"unittest\.mock|MagicMock"),
}


@cache
def texts() -> dict[Path, str]:
    """What people have written."""
    suffixes = (".py", ".md", ".toml", ".yaml", ".service", ".sh", ".js", ".mjs", ".go", ".java", "")
    return {
        path: path.read_text(encoding="utf-8", errors="replace")
        for path in files(*suffixes)
        if path != Path(__file__) and path.name not in {"LICENSE", "uv.lock"}
    }


@pytest.mark.parametrize("what", UNWANTED)
def test_nothing_unwanted_is_written(what: str) -> None:
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:80]}"
        for path, text in texts().items()
        if UNWANTED[what].search(text)  # once for all lines: hardly any file has one
        for number, line in enumerate(text.splitlines(), 1)
        if UNWANTED[what].search(line)
    ]
    assert not found, f"{what}:\n" + "\n".join(found)


def test_links_between_documents_lead_somewhere() -> None:
    link = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s{]+)")
    broken = [
        f"{name_of(path)}: {target}"
        for path in files(".md")
        for target in link.findall(path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)


def test_every_decision_record_is_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text(encoding="utf-8")
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert records
    assert not [name for name in records if f"({name})" not in index]
    numbers = [int(name.split("-")[0]) for name in records if not name.startswith("0000")]
    assert numbers == list(range(1, len(numbers) + 1)), "numbers of decision records run without gaps or doubles"


def test_every_change_fragment_has_a_known_kind() -> None:
    kinds = {"added", "changed", "fixed", "removed", "security"}
    fragments = [path for path in (ROOT / "changes").glob("*.md") if path.name != "README.md"]
    assert not [path.name for path in fragments if path.name.split(".")[-2] not in kinds]


def test_there_is_more_test_than_code() -> None:
    def lines(under: Path) -> int:
        return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files(".py", under=under))

    assert lines(ROOT / "tests") + lines(SOURCE / "store" / "suite") > lines(SOURCE) - lines(SOURCE / "store" / "suite")
