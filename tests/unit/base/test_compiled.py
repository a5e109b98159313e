"""Compiled modules are run where they were made from the very source that lies there, and nowhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tenet.base.compiled import MANIFEST, SUFFIX, Finder, digest_of, read_manifest

ROOT = Path(__file__).resolve().parents[3]
KEYCODEC = "tenet.base.keycodec"
CONTRACT = "tenet.store.contract"
HEAD = f"{SUFFIX} recipe"


def write_manifest(folder: Path, *lines: str) -> None:
    (folder / MANIFEST).write_text("\n".join(lines), encoding="ascii")


def test_modules_of_this_very_source_fit(tmp_path: Path) -> None:
    read, made = f"read {CONTRACT} {digest_of(CONTRACT)}", f"compiled {KEYCODEC} {digest_of(KEYCODEC)}"
    write_manifest(tmp_path, HEAD, read, made, "library tenet__mypyc -")
    manifest = read_manifest(tmp_path)
    assert manifest.misfit == ""
    assert (manifest.recipe, manifest.compiled, manifest.libraries) == ("recipe", [KEYCODEC], ["tenet__mypyc"])


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((".cpython-39-darwin.so recipe",), "it was compiled for another Python"),
        ((HEAD, f"compiled {KEYCODEC} 0011223344556677"), f"it was compiled before {KEYCODEC} was changed"),
        # What a module imports has left its constants in it.
        ((HEAD, f"read {CONTRACT} 0011223344556677"), f"it was compiled before {CONTRACT} was changed"),
        ((HEAD, "compiled tenet.base.gone 0011223344556677"), "it was compiled before tenet.base.gone was changed"),
        ((), "it was not compiled"),
        (("a head of five words",), "it was not compiled"),
        ((HEAD, "two words"), "it was not compiled"),
    ],
)
def test_modules_of_anything_else_do_not(tmp_path: Path, lines: tuple[str, ...], reason: str) -> None:
    write_manifest(tmp_path, *lines)
    manifest = read_manifest(tmp_path)
    assert manifest.misfit.startswith(reason)
    assert not manifest.compiled


def test_none_there_is_no_error(tmp_path: Path) -> None:
    assert read_manifest(tmp_path).misfit == "it was not compiled"
    (tmp_path / MANIFEST).write_bytes(b"\xff\xfe")
    assert read_manifest(tmp_path).misfit == "it was not compiled"


def test_imports_of_other_modules_are_left_alone(tmp_path: Path) -> None:
    finder = Finder(tmp_path, frozenset({KEYCODEC}))
    spec = finder.find_spec(KEYCODEC)
    assert spec is not None
    assert spec.origin == str(tmp_path / f"{KEYCODEC}{SUFFIX}")
    assert finder.find_spec("tenet.base.ids") is None


def copy_of_the_source(folder: Path) -> None:
    for name in ("src", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("_compiled*", "__pycache__"))


def python(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs something with a copy of the source."""
    kept = {name: value for name, value in os.environ.items() if name != "TENET_COMPILED"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(folder / "src")} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_them_it_runs_from_source_and_says_so(tmp_path: Path) -> None:
    copy_of_the_source(tmp_path)
    status = ("-c", "import tenet.base.compiled as c; print(c.status())")
    assert python(tmp_path, *status).stdout == "no: it was not compiled\n"
    assert python(tmp_path, *status, TENET_COMPILED="0").stdout == "no: TENET_COMPILED is 0\n"
    refused = python(tmp_path, *status, TENET_COMPILED="1")
    assert refused.returncode == 1
    assert refused.stderr.startswith("tenet: TENET_COMPILED is 1, but it was not compiled. `make compile` does it")
    assert python(tmp_path, *status, TENET_COMPILED="yes").stderr == (
        "tenet: TENET_COMPILED is 'yes'; it is 0, 1, or not set.\n"
    )


def test_where_it_cannot_be_compiled_it_says_so_and_goes_on(tmp_path: Path) -> None:
    copy_of_the_source(tmp_path)
    tool = ("-m", "tools.compile")
    without = python(tmp_path, *tool, CC="no-such-compiler --fast")
    assert without.returncode == 0
    assert "Tenet was not compiled and runs from its source, which is slower" in without.stdout
    assert "there is no C compiler (no-such-compiler)" in without.stdout
    assert python(tmp_path, *tool, "--required", CC="no-such-compiler").returncode == 1
    # Where it works is a file: as bad as a full disk.
    (tmp_path / ".cache").write_text("", encoding="ascii")
    blocked = python(tmp_path, *tool)
    assert blocked.returncode == 0
    assert "which is slower: NotADirectoryError" in blocked.stdout or "FileExistsError" in blocked.stdout
    assert not (tmp_path / "src" / "tenet" / "_compiled").exists()


def test_without_a_compiler_modules_that_fit_are_used_and_it_says_so(tmp_path: Path) -> None:
    copy_of_the_source(tmp_path)
    compiled = tmp_path / "src" / "tenet" / "_compiled"
    compiled.mkdir()
    write_manifest(compiled, HEAD, f"compiled {KEYCODEC} {digest_of(KEYCODEC)}")
    tool = ("-m", "tools.compile")
    without = python(tmp_path, *tool, CC="no-such-compiler")
    assert without.returncode == 0
    assert without.stdout.startswith("Tenet runs with the modules that were compiled before, which fit its source;")
    assert "there is no C compiler (no-such-compiler)" in without.stdout
    assert python(tmp_path, *tool, "--required", CC="no-such-compiler").returncode == 1
    status = ("-c", "import tenet.base.compiled as c; print(c.status())")
    assert python(tmp_path, *status).stdout == "yes, 1 modules\n"
    with (tmp_path / "src" / "tenet" / "base" / "keycodec.py").open("a", encoding="utf-8") as source:
        source.write("# changed\n")
    changed = python(tmp_path, *tool, CC="no-such-compiler")
    assert changed.stdout.startswith("Tenet was not compiled and runs from its source, which is slower")
