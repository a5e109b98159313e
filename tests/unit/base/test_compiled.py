"""Compiled modules are run where they were made from the very source that lies there, and nowhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tenet.base import compiled
from tenet.base.compiled import MANIFEST, NO_SOURCE, SUFFIX, digest_of, read_manifest

ROOT = Path(__file__).resolve().parents[3]
KEYCODEC = "tenet.base.keycodec"


def write_manifest(folder: Path, *lines: str) -> None:
    (folder / MANIFEST).write_text("\n".join(lines), encoding="ascii")


def test_modules_of_this_very_source_fit(tmp_path: Path) -> None:
    write_manifest(tmp_path, SUFFIX, f"{KEYCODEC} {digest_of(KEYCODEC)}", f"tenet__mypyc {NO_SOURCE}")
    assert read_manifest(tmp_path) == ({KEYCODEC: digest_of(KEYCODEC), "tenet__mypyc": NO_SOURCE}, "")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((".cpython-39-darwin.so",), "it was compiled for another Python"),
        ((SUFFIX, f"{KEYCODEC} 0011223344556677"), f"it was compiled before {KEYCODEC} was changed"),
        ((SUFFIX, "tenet.base.gone 0011223344556677"), "it was compiled before tenet.base.gone was changed"),
    ],
)
def test_modules_of_anything_else_do_not(tmp_path: Path, lines: tuple[str, ...], reason: str) -> None:
    write_manifest(tmp_path, *lines)
    modules, said = read_manifest(tmp_path)
    assert modules == {}
    assert said.startswith(reason)


def test_none_there_is_no_error(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) == ({}, "it was not compiled")


def test_a_manifest_that_cannot_be_read_is_as_none(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(b"\xff\xfe")
    assert read_manifest(tmp_path) == ({}, "it was not compiled")
    (tmp_path / MANIFEST).write_bytes(b"")
    assert read_manifest(tmp_path) == ({}, "it was not compiled")
    write_manifest(tmp_path, SUFFIX, "a line of three words")
    assert read_manifest(tmp_path) == ({}, "it was not compiled")


def started(source: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Imports a module from a copy of the source."""
    return subprocess.run(
        [sys.executable, "-c", "import tenet.base.compiled as c; print(c.status())"],
        env={name: value for name, value in os.environ.items() if name != "TENET_COMPILED"}
        | {"PYTHONPATH": str(source)}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_them_it_runs_from_source_and_says_so(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "src" / "tenet", tmp_path / "tenet", ignore=shutil.ignore_patterns("_compiled*", "__pycache__")
    )
    assert started(tmp_path).stdout == "no: it was not compiled\n"
    assert started(tmp_path, TENET_COMPILED="0").stdout == "no: TENET_COMPILED is 0\n"
    refused = started(tmp_path, TENET_COMPILED="1")
    assert refused.returncode != 0
    assert "ImportError: TENET_COMPILED is 1, but it was not compiled" in refused.stderr


def test_imports_of_other_modules_are_left_alone(tmp_path: Path) -> None:
    finder = compiled.Finder(tmp_path, frozenset({KEYCODEC}))
    spec = finder.find_spec(KEYCODEC)
    assert spec is not None
    assert spec.origin == str(tmp_path / f"{KEYCODEC}{SUFFIX}")
    assert finder.find_spec("tenet.base.ids") is None


def test_where_there_is_no_compiler_it_says_so_and_goes_on(tmp_path: Path) -> None:
    for name in ("src", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("_compiled*", "__pycache__"))

    def compile_there(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tools.compile", *arguments],
            cwd=tmp_path,
            env=os.environ | {"CC": "no-such-compiler"},
            capture_output=True,
            text=True,
            check=False,
        )

    done = compile_there()
    assert done.returncode == 0
    assert "Tenet was not compiled and runs from its source, which is slower" in done.stdout
    assert "there is no C compiler (no-such-compiler)" in done.stdout
    assert compile_there("--required").returncode == 1
    assert not (tmp_path / "src" / "tenet" / "_compiled").exists()
