"""Every tool that watches the code and the documents, each as a test of its own."""

from __future__ import annotations

import re
import subprocess
import sys
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
    "vulture": [PYTHON, "-m", "vulture"],
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


#: A sentence that begins with "Returns" is the return section; a docstring may leave all its arguments to their names.
LEFT_OUT = re.compile(r"DOC201|DOC101|DOC103(?!.*in the docstring but not in)")


def test_docstrings_name_the_arguments_that_exist() -> None:
    _, output = run([PYTHON, "-m", "pydoclint", "--quiet", "src"])
    findings, file = [], ""
    for line in output.splitlines():
        if not line.startswith(" "):
            file = line
        elif not LEFT_OUT.search(line):
            findings.append(f"{file}: {line.strip()}")
    assert not findings, "\n".join(findings)
