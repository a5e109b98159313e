"""What is compiled keeps to what mypyc makes the same of as the interpreter (ADR 0003), and how far it is, is told."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from setuptools import Extension

from tenet.base.compiled import SUFFIX, source_of
from tools import compile as tool
from tools.compile import build, names

SUSPENDS = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom)
#: Blocks that never suspend at their end, whatever happened in them.
ENDS_AT_ONCE = (
    "asyncio.timeout(",
    "context.combiner.hold(",
    "gate",
    "self._partitions.line(",
    "self._turn",
)


@pytest.fixture(params=names(), scope="module")
def module(request: pytest.FixtureRequest) -> ast.Module:
    return ast.parse(source_of(request.param).read_text(encoding="utf-8"))


def test_no_structs(module: ast.Module) -> None:
    """mypyc loses what stands beside the bases of a class, such as ``frozen=True``."""
    classes = [node for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    assert not [node.name for node in classes if node.keywords]
    assert not [node.name for node in classes for base in node.bases if "Struct" in ast.unparse(base)]


def blocks_of_failure(module: ast.Module) -> Iterator[ast.stmt]:
    """What runs while an exception is being handled."""
    for node in ast.walk(module):
        if isinstance(node, ast.Try | ast.TryStar):
            yield from node.finalbody
            for handler in node.handlers:
                yield from handler.body


def test_nothing_suspends_while_an_exception_is_handled(module: ast.Module) -> None:
    """A compiled coroutine does not put the exception away that it handles when it suspends: others would see it."""
    assert not [
        ast.unparse(node)
        for statement in blocks_of_failure(module)
        for node in ast.walk(statement)
        if isinstance(node, SUSPENDS) or getattr(node, "is_async", False)
    ]
    for node in ast.walk(module):
        if isinstance(node, ast.AsyncWith):
            assert all(ast.unparse(item.context_expr).startswith(ENDS_AT_ONCE) for item in node.items)


def test_dataclasses_know_the_types_of_their_fields(module: ast.Module) -> None:
    """A name that is imported for the type checker alone does not exist when the class is made, and crashes it."""
    for_types = {
        alias.asname or alias.name
        for node in module.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in ast.walk(node)
        if isinstance(statement, ast.ImportFrom | ast.Import)
        for alias in statement.names
    }
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(one) for one in node.decorator_list):
            fields = [field.annotation for field in node.body if isinstance(field, ast.AnnAssign)]
            used = {name.id for field in fields for name in ast.walk(field) if isinstance(name, ast.Name)}
            assert not used & for_types, node.name


def test_how_far_it_is_is_told_while_it_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands in for a slow machine: what is compiled second waits until it was said that the first one is done.
    told = tmp_path / "told"
    compiler = tmp_path / "compiler"
    wait = f"wait_for_it() {{ i=0; while [ ! -e {told} -a $i -lt 2000 ]; do sleep 0.01; i=$((i+1)); done; }}"
    compiler.write_text(f'#!/bin/sh\n{wait}\ncase "$*" in *second*) wait_for_it;; esac\nexec cc "$@"\n')
    compiler.chmod(0o700)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setattr(tool, "WORK", tmp_path)
    monkeypatch.setattr(tool, "TELL_S", 0.05)
    sources = [tmp_path / name for name in ("first.c", "second.c")]
    for source in sources:
        source.write_text(f"int {source.stem};\n")
    out: list[str] = []

    def note(text: str, **_: object) -> None:
        out.append(text)
        if "1 of 2" in text:
            told.touch()

    monkeypatch.setattr(tool, "print", note, raising=False)
    extension = Extension("both", [str(source) for source in sources])
    assert build([extension], tmp_path) == ["both"]
    assert "  1 of 2 files compiled" in out
    assert (tmp_path / f"both{SUFFIX}").exists()
