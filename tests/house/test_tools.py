"""Every tool that watches the code and the documents, each as a test of its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
BIN = Path(PYTHON).parent

TOOLS: dict[str, list[str]] = {
    "ruff-check": [str(BIN / "ruff"), "check", "."],
    "ruff-format": [str(BIN / "ruff"), "format", "--check", "."],
    "mypy": [PYTHON, "-m", "mypy"],
    "import-linter": [str(BIN / "lint-imports"), "--no-logo"],
    "deptry": [PYTHON, "-m", "deptry", "."],
    "codespell": [str(BIN / "codespell")],
    "vulture": [PYTHON, "-m", "tools.dead_code"],
    "generated-documents": [PYTHON, "-m", "tools.generated_docs", "--check"],
    "changelog": [PYTHON, "-m", "towncrier", "build", "--draft", "--version", "next", "--date", "today"],
    "git-hooks": [str(BIN / "prek"), "validate-config", ".pre-commit-config.yaml"],
}


def run(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.time_limit_s(180)
@pytest.mark.parametrize("name", TOOLS)
def test_tool_finds_nothing(name: str) -> None:
    status, output = run(TOOLS[name])
    assert status == 0, output


#: A first sentence says what a function returns or yields; a docstring may leave all its arguments to their names.
LEFT_OUT = re.compile(r"DOC201|DOC402|DOC101|DOC103(?!.*in the docstring but not in)")
LINE = re.compile(r" +\d+: DOC\d{3}: ")
#: What pydoclint has found in files by the digest of each, so that only those are read that have changed.
DOCSTRINGS = ROOT / ".cache" / "docstrings.json"


def digest_of(path: Path) -> str:
    """What findings in a file depend on: the tool, how it is set, and the file."""
    parts = metadata.version("pydoclint").encode(), (ROOT / "pyproject.toml").read_bytes(), path.read_bytes()
    return hashlib.sha256(b"\0".join([str(path).encode(), *parts])).hexdigest()


def found_in_docstrings(paths: list[Path]) -> dict[Path, list[str]]:
    """Returns all that pydoclint says, by file."""
    status, output = run([str(BIN / "pydoclint"), "--quiet", *map(str, paths)])
    found: dict[Path, list[str]] = {path: [] for path in paths}
    file = ROOT
    for line in output.splitlines():
        if LINE.match(line):
            found[file].append(line.strip())
        elif line:
            file = Path(line)
            assert file in found, f"pydoclint ends with {status} and says:\n{output[-2000:]}"
    assert status == int(any(found.values())), output[-2000:]
    return found


def left(findings: dict[Path, list[str]]) -> list[str]:
    return [f"{file}: {line}" for file, lines in findings.items() for line in lines if not LEFT_OUT.search(line)]


def test_docstrings_name_the_arguments_that_exist() -> None:
    digests = {path: digest_of(path) for path in (ROOT / "src" / "tenet").rglob("*.py")}
    known = json.loads(DOCSTRINGS.read_text(encoding="utf-8")) if DOCSTRINGS.exists() else {}
    changed = [path for path, digest in digests.items() if digest not in known]
    known |= {digests[path]: lines for path, lines in (found_in_docstrings(changed) if changed else {}).items()}
    findings = {path: known[digest] for path, digest in digests.items()}
    DOCSTRINGS.parent.mkdir(exist_ok=True)
    written = DOCSTRINGS.with_suffix(f".{os.getpid()}")
    written.write_text(json.dumps({digests[path]: lines for path, lines in findings.items()}), encoding="utf-8")
    written.replace(DOCSTRINGS)
    assert any(findings.values()), "even what is left out is not found"
    assert not left(findings), "\n".join(left(findings))


DOCSTRING = """def double(number: int) -> int:
    \"\"\"Returns the double.

    Args:
        {}: what is doubled; this sentence is long enough for the docstring to be looked at.
    \"\"\"
    return 2 * number
"""


def test_a_docstring_that_names_an_argument_that_does_not_exist_is_found(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(DOCSTRING.format("number"))
    bad.write_text(DOCSTRING.format("other"))
    findings = found_in_docstrings([good, bad])
    assert not left({good: findings[good]})
    assert any("DOC103" in line and "other" in line for line in left(findings))
    assert digest_of(good) != digest_of(bad)
