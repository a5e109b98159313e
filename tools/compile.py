"""Compiles the modules of the request path, so that they run without the interpreter. Tenet runs without it as well.

    python -m tools.compile              compiles what has changed; without a C compiler it says so, and that is all
    python -m tools.compile --required   fails where it cannot

mypyc translates the modules as one group, in which they call each other directly; the C compiler then works on as many
of its files at once as there are processors, and only on those that differ from last time. The result takes the place
of the former one in ``src/tenet/_compiled`` once every module of it has been imported. See docs/adr/0003.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
if __name__ == "__main__":
    # Of this source, not of one that is installed; and from source, for compiled modules are what it makes.
    sys.path.insert(0, str(SRC))
    os.environ["TENET_COMPILED"] = "0"

from tenet.base.compiled import COMPILED, FOLDER, LIBRARY, MANIFEST, READ, SUFFIX, digest_of, read_manifest, source_of  # noqa: E402 (as said above)

if TYPE_CHECKING:
    from setuptools import Extension

WORK: Final = ROOT / ".cache" / "compile"
GROUP: Final = "tenet"
#: Where modules lie whose constants and types may find their way into compiled ones.
ROOMS: Final = ("base", "queues", "store", "tables", "wire")
#: How often it is said how far it is, seconds.
TELL_S: Final = 5.0
#: How hard the C compiler tries.
LEVEL: Final = "2"

#: What takes part in every request, from the bytes that arrive to the statements of the store. Modules that only hold
#: data (msgspec structs, which mypyc cannot make) and whatever runs seldom stay out: they would gain nothing.
MODULES: Final = {
    "base": ("ids", "json_text", "keycodec"),
    "queues": ("http", "keys"),
    "queues.ops": ("access", "change_message_visibility", "delete_message", "receive_message", "send_message"),
    "queues.ops.owning": (
        "deduplication",
        "due",
        "fifo",
        "flushing",
        "handles",
        "held",
        "items",
        "leaving",
        "owner",
        "receiving",
        "sending",
        "standard",
        "state",
        "upkeep",
        "waiting",
        "window",
        "working",
    ),
    "queues.rules": (
        "batches",
        "digests",
        "json_types",
        "message_attributes",
        "messages",
        "receipts",
    ),
    "store": ("cached", "combine", "combine_waiting", "guard", "landing", "validate", "versions"),
    "store.cassandra": (
        "commits",
        "deciding",
        "encoding",
        "partitions",
        "patience",
        "reads",
        "sending",
        "tries",
        "under_way",
        "unit",
        "waits",
    ),
    "store.sqlite": ("apply", "keys", "outcomes", "pool", "reads", "rows", "serving", "spaces", "works", "writer"),
    "tables": ("calls", "context", "http", "keys", "throttle"),
    "tables.ops": (
        "barrier",
        "batch_get_item",
        "batch_write_item",
        "catalog",
        "counts",
        "delete_item",
        "execute_statement",
        "execute_transaction",
        "get_item",
        "paging",
        "placing",
        "put_item",
        "query",
        "scan",
        "statements",
        "transact_get_items",
        "transact_write_items",
        "transacting",
        "update_item",
        "writing",
    ),
    "tables.rules": (
        "attributes",
        "bindings",
        "capacity",
        "comparisons",
        "conditions",
        "expressions",
        "followed",
        "images",
        "indexes",
        "item_changes",
        "key_conditions",
        "key_values",
        "legacy",
        "legacy_conditions",
        "legacy_keys",
        "legacy_updates",
        "multi_attribute_keys",
        "name_checks",
        "numbers",
        "operand_checks",
        "operands",
        "parameters",
        "paths",
        "positions",
        "prepared",
        "projections",
        "returns",
        "selection",
        "shapes",
        "sizes",
        "stored",
        "stream_records",
        "update_operands",
        "updates",
        "wire_types",
    ),
    "tables.rules.partiql": ("key_reads", "next_tokens", "reading", "values", "writing"),
    "wire": (
        "admission",
        "answers",
        "canonical",
        "claims",
        "deriving",
        "dispatch",
        "exchange",
        "headers",
        "messages",
        "metrics",
        "observe",
        "protocol",
        "pulse",
        "routing",
        "shapes",
        "signing",
        "sigv4",
    ),
}


class CannotCompileError(Exception):
    """Why there will be no compiled modules."""


def names() -> list[str]:
    """Returns the full names of the modules that are compiled."""
    return [f"tenet.{room}.{module}" for room, modules in MODULES.items() for module in modules]


def sources() -> list[str]:
    """Returns the full names of all modules that a compiled one may import, itself included."""
    paths = sorted(path for room in ROOMS for path in (SRC / "tenet" / room).rglob("*.py"))
    return [".".join(path.relative_to(SRC).with_suffix("").parts) for path in paths]


def compile_all() -> str:
    """Compiles, and returns what was done in one line; "" if there was nothing to do.

    Raises:
        CannotCompileError: there is nothing to compile with, or it failed.
    """
    if is_up_to_date():
        return ""
    check_for_compiler()
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Somebody else may have done it meanwhile.
        return "" if is_up_to_date() else compile_now()


def is_up_to_date() -> bool:
    """Whether what lies there is what would be made now."""
    manifest = read_manifest(FOLDER)
    return not manifest.misfit and set(manifest.compiled) == set(names()) and manifest.recipe == recipe()


def compile_now() -> str:
    """Compiles what has changed, and returns in one line what was done.

    Raises:
        CannotCompileError: it failed, or a source was changed meanwhile.
    """
    began, compiled = time.monotonic(), names()
    print(
        f"Compiling {len(compiled)} modules of the request path; the first time takes a minute or two, on a busy"
        " machine longer. Without them Tenet starts at once: TENET_COMPILED=0 .venv/bin/tenet up",
        flush=True,
    )
    made = WORK / "made"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    before = {name: digest_of(name) for name in sources()}
    with telling(lambda: f"translating to C, {time.monotonic() - began:.0f} s so far"):
        extensions = translate()
    libraries = build(extensions, made)
    if before != {name: digest_of(name) for name in sources()}:
        raise CannotCompileError("a source was changed while it was being compiled; do it once more")
    lines = [f"{SUFFIX} {recipe()}"]
    lines += [f"{COMPILED if name in compiled else READ} {name} {digest}" for name, digest in before.items()]
    lines += [f"{LIBRARY} {library} -" for library in libraries if library not in compiled]
    (made / MANIFEST).write_text("\n".join(lines) + "\n", encoding="ascii")
    put_in_place(made)
    return f"{len(compiled)} modules compiled in {time.monotonic() - began:.0f} s"


def recipe() -> str:
    """Returns a digest of what modules are made with: this program, mypyc, the C compiler and its flags."""
    try:
        mypyc = metadata.version("mypy")
    except metadata.PackageNotFoundError:
        mypyc = ""
    return digest([Path(__file__)], mypyc, *command("CC"), *variable("CFLAGS"), *command("LDSHARED"))


def check_for_compiler() -> None:
    """Finds out whether there is anything to compile with.

    Raises:
        CannotCompileError: there is no compiler, or the headers of Python are missing.
    """
    if shutil.which(compiler()[0]) is None:
        raise CannotCompileError(f"there is no C compiler ({compiler()[0]}); on Debian: apt-get install gcc")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise CannotCompileError("the headers of Python are missing; on Debian: apt-get install python3-dev")


def translate() -> list[Extension]:
    """Translates the modules to C.

    Raises:
        CannotCompileError: mypyc is not installed, or refuses a module.
    """
    try:
        from mypyc.build import mypycify  # noqa: PLC0415 (it is not there in every environment)
    except ImportError as error:
        raise CannotCompileError(f"mypyc is not installed ({error})") from error
    arguments = [
        f"--config-file={ROOT / 'pyproject.toml'}",
        f"--cache-dir={WORK / 'mypy'}",
        # What it does not compile is not its business, nor is what is installed beside it.
        "--follow-imports=silent",
        "--ignore-missing-imports",
        *(str(source_of(name).relative_to(SRC)) for name in names()),
    ]
    told = io.StringIO()
    try:
        with contextlib.chdir(SRC), contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            extensions: list[Extension] = mypycify(
                arguments,
                multi_file=True,
                opt_level=LEVEL,
                debug_level="0",
                group_name=GROUP,
                target_dir=str(WORK / "c"),
            )
    except SystemExit as error:
        raise CannotCompileError(f"mypyc refuses:\n{told.getvalue()}\n{error}") from error
    return extensions


def build(extensions: list[Extension], made: Path) -> list[str]:
    """Makes extension modules of C, and returns their full names."""
    headers = digest(sorted((WORK / "c").rglob("*.h")))
    objects = WORK / "objects"
    objects.mkdir(parents=True, exist_ok=True)
    include = ["-I", str(WORK / "c"), "-I", sysconfig.get_path("include")]
    usual = [*command("CC"), *variable("CFLAGS"), *variable("CCSHARED"), "-DNDEBUG", *include]

    def compile_one(source: Path, extension: Extension) -> str:
        # A warning that a later compiler invents is no reason to go without.
        flags = [flag for flag in extension.extra_compile_args if flag != "-Werror"]
        flags += [f"-I{folder}" for folder in extension.include_dirs]
        target = objects / f"{digest([source], headers, *usual, *flags)}.o"
        if not target.exists():
            unfinished = target.with_suffix(".tmp")
            run([*usual, *flags, "-c", str(source), "-o", str(unfinished)])
            unfinished.rename(target)
        return str(target)

    with stopping(ThreadPoolExecutor(os.cpu_count() or 1)) as pool, contextlib.chdir(SRC):
        pending = {
            each.name: [pool.submit(compile_one, Path(source).resolve(), each) for source in each.sources]
            for each in extensions
        }
        every = [part for parts in pending.values() for part in parts]
        with telling(lambda: f"{sum(part.done() for part in every)} of {len(every)} files compiled"):
            for name, parts in pending.items():
                run([*command("LDSHARED"), *(part.result() for part in parts), "-o", str(made / (name + SUFFIX))])
    in_use = {Path(part.result()).name for parts in pending.values() for part in parts}
    for old in objects.glob("*.o"):
        if old.name not in in_use:
            old.unlink()
    return list(pending)


@contextlib.contextmanager
def telling(tell: Callable[[], str]) -> Iterator[None]:
    """Prints every few seconds how far something is that takes long.

    Args:
        tell: returns it.
    """
    output, over = sys.stdout, threading.Event()

    def tell_on() -> None:
        while not over.wait(TELL_S):
            print(f"  {tell()}", file=output, flush=True)

    teller = threading.Thread(target=tell_on)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


@contextlib.contextmanager
def stopping(pool: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    """Lets nothing begin any more once something has gone wrong, Ctrl-C included."""
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def command(name: str) -> list[str]:
    """Returns how the interpreter's own C was compiled or linked, by the compiler that is used here.

    Args:
        name: ``CC`` or ``LDSHARED``.
    """
    return [*compiler(), *variable(name)[len(variable("CC")) :]]


def compiler() -> list[str]:
    """Returns what compiles C: the variable ``CC``, what the interpreter was made with, or ``cc``."""
    wished, made_with = shlex.split(os.environ.get("CC", "")), variable("CC")
    if wished:
        return wished
    return made_with if made_with and shutil.which(made_with[0]) else ["cc"]


def variable(name: str) -> list[str]:
    """Returns the words of a variable of the interpreter's own build."""
    return shlex.split(sysconfig.get_config_var(name) or "")


def run(words: list[str]) -> None:
    """Runs a compiler.

    Raises:
        CannotCompileError: it failed.
    """
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.splitlines()
        first = next((line for line in said if "error" in line), said[0] if said else "it failed and says nothing")
        raise CannotCompileError(f"{words[0]}: {first}")


def digest(files: Iterable[Path], *more: str) -> str:
    """Returns a digest of what files hold and of some words."""
    hashed = hashlib.sha256("\0".join(more).encode())
    for file in files:
        hashed.update(file.read_bytes())
    return hashed.hexdigest()[:24]


def put_in_place(made: Path) -> None:
    """Lets new modules take the place of the former ones, once they have been seen to work.

    Raises:
        CannotCompileError: one of them cannot be imported; then there are none.
    """
    former, new = FOLDER.with_name("_compiled.former"), FOLDER.with_name("_compiled.new")
    for old in (former, new):
        shutil.rmtree(old, ignore_errors=True)
    # The work may be on another file system; the last step has to be a renaming.
    shutil.move(made, new)
    if FOLDER.exists():
        FOLDER.rename(former)
    new.rename(FOLDER)
    tried = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(names())}"],
        env=os.environ | {"TENET_COMPILED": "1", "PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(former, ignore_errors=True)
    if tried.returncode:
        shutil.rmtree(FOLDER)
        raise CannotCompileError(f"the compiled modules cannot be imported:\n{tried.stderr}")


def what_runs_instead() -> str:
    """Returns what Tenet runs with where nothing was compiled now."""
    if read_manifest(FOLDER).misfit:
        return "Tenet was not compiled and runs from its source, which is slower"
    return "Tenet runs with the modules that were compiled before, which fit its source; they were not compiled anew"


def main() -> int:
    """Compiles; without ``--required`` nothing that goes wrong is an error."""
    try:
        done = compile_all()
    except Exception as reason:  # noqa: BLE001 (a full disk, a fault of mypyc: the source is there in any case)
        said = str(reason) if isinstance(reason, CannotCompileError) else repr(reason)
        print(f"{what_runs_instead()}: {said}")
        return int("--required" in sys.argv)
    if done:
        print(done)
    return 0


if __name__ == "__main__":
    sys.exit(main())
