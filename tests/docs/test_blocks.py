"""Every code block of the README and the tutorials runs, in order, as a reader would run it.

Shell blocks run in one directory per document, with `tenet` and `python` on the path; what one of them exports, the
later ones have. A line `make up` or `tenet up` starts a server that stays for the rest of the document, or until the
document kills it; started again, it listens at the same address. What a line `pip install` names is fetched once, into
the cache of packages, in the version that a tutorial names; boto3 is there. A Python block whose first line is a
comment with a file name is saved under it, for the shell to run; the others run in one interpreter per document. TOML
blocks have to be valid settings. Blocks marked `text` are for reading; other languages are an error.
"""

from __future__ import annotations

import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from tenet.app.configuration import load
from tests.conformance.packages import TUTORIALS, libraries
from tests.rounds import LONG, rounds
from tests.servers import TENET, Server, clean_environment, start

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs" / "tutorials").glob("*.md")])
START = re.compile(r"^(?:make|tenet) up\b(.*)$")
INSTALL = re.compile(r"^pip install (.+)$")
#: What README lets its readers install, and what is here for every test.
INSTALLED = frozenset({"boto3"})
FILE_NAME = re.compile(r"^# ([\w-]+\.py)$")
#: Below the ports that the system hands to clients, so that nobody takes the port of a server that was killed.
PORTS = range(20_000, 32_000)
#: How much of a server's log is shown where a document fails.
LOG_CHARS_MAX = 10_000
#: What keeps a document short where the full rounds do not run; the document says so itself.
SHORT = {} if LONG else {"PEOPLE_MIN": "15000", "INSTANCES": "2000"}

#: Carries out blocks that it reads from its standard input, each between two lines of length and source.
INTERPRETER = """
import os, sys, traceback
space = {"__name__": "__main__"}
while line := sys.stdin.readline():
    source = sys.stdin.read(int(line))
    try:
        exec(compile(source, "<block>", "exec"), space)
        print("\\0 done", flush=True)
    except BaseException:
        print(traceback.format_exc(), "\\0 failed", flush=True)
"""


class Reader:
    """Somebody who follows a document, step by step.

    Args:
        folder: where they work.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = clean_environment(PATH=f"{TENET.parent}{os.pathsep}{os.environ['PATH']}", **SHORT)
        self.server: Server | None = None
        self.python: subprocess.Popen[str] | None = None
        self.listen = f"127.0.0.1:{free_port()}"
        self.shells: list[subprocess.Popen[str]] = []  # leaders of groups in which something may still run

    def sh(self, example: Example) -> None:
        script: list[str] = []
        for line in str(example.parsed).splitlines():
            started, installed = START.match(line), INSTALL.match(line)
            if installed and installed[1] in INSTALLED:
                metadata.version(installed[1])  # which fails where it is not
            elif installed:
                self.install(shlex.split(installed[1]))
            elif started:
                self.run_script(script)
                script = []
                self.start_server(shlex.split(started[1], comments=True))
            else:
                script.append(line)
        self.run_script(script)

    def install(self, requirements: list[str]) -> None:
        fitting = [one for one in TUTORIALS.values() if {*requirements} <= {*one, *(name_of(pinned) for pinned in one)}]
        assert fitting, "tests/conformance/packages.py names what tutorials install"
        folder = libraries(*fitting[0]).ensure()
        before = self.environment.get("PYTHONPATH")
        self.environment["PYTHONPATH"] = os.pathsep.join([str(folder), *([before] if before else ())])
        self.environment["PATH"] = f"{folder / 'bin'}{os.pathsep}{self.environment['PATH']}"

    def run_script(self, lines: list[str]) -> None:
        exports = self.folder / ".exports"
        script = "\n".join(["set -eu", *lines, f"env -0 > {shlex.quote(str(exports))}"])
        shell = subprocess.Popen(
            ["/bin/sh", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self.shells.append(shell)
        printed, _ = shell.communicate()
        if not any(line.endswith("&") for line in lines):
            self.shells.remove(shell)
        assert shell.returncode == 0, f"{script}\n{printed}"
        pairs = exports.read_text(encoding="utf-8").split("\0")
        self.environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)

    def start_server(self, arguments: list[str]) -> None:
        if self.server is not None:
            self.server.stop()
        data = self.folder / "tenet-data"
        listen = [] if "--listen" in arguments else ["--listen", self.listen]
        # What a document puts on the path of Python, its server finds as well: plugins, for instance.
        found = {name: self.environment[name] for name in ("PYTHONPATH",) if name in self.environment}
        self.server = start(data, *listen, *[argument for argument in arguments if argument != "&"], environment=found)
        self.environment |= self.server.exports

    def run_python(self, example: Example) -> None:
        source = str(example.parsed)
        named = FILE_NAME.match(source.splitlines()[0])
        if named:
            (self.folder / named[1]).write_text(source, encoding="utf-8")
            return
        if self.python is None:
            self.python = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", INTERPRETER],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self.python.stdin is not None
        assert self.python.stdout is not None
        self.python.stdin.write(f"{len(source)}\n{source}")
        self.python.stdin.flush()
        printed = ""
        while "\0" not in printed:
            line = self.python.stdout.readline()
            assert line, f"the interpreter ended: {printed}"
            printed += line
        assert printed.rstrip().endswith("done"), f"{source}\n{printed}"

    def toml(self, example: Example) -> None:
        file = self.folder / "block.toml"
        file.write_text(str(example.parsed), encoding="utf-8")
        load(file)

    def close(self) -> None:
        for shell in self.shells:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            if shell.returncode is None:
                shell.communicate()
        if self.python is not None:
            self.python.kill()
            self.python.communicate()
        if self.server is not None:
            self.server.stop()


def name_of(requirement: str) -> str:
    """Returns which package it is that is wanted in one version."""
    return requirement.partition("==")[0]


def free_port() -> int:
    """Returns a port of loopback that nobody listens at."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@pytest.mark.time_limit_s(rounds(600, 1_800))
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_blocks_run_as_they_are_written(document: Path, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    evaluators = {"sh": reader.sh, "python": reader.run_python, "toml": reader.toml, "text": lambda _: None}
    sybil = Sybil(parsers=[CodeBlockParser(language, evaluator) for language, evaluator in evaluators.items()])
    examples = list(sybil.parse(document).examples())
    fences = re.findall(r"^```(\w*)$\n", document.read_text(encoding="utf-8"), re.MULTILINE)
    unknown = {language for language in fences[::2] if language not in evaluators}
    assert not unknown, f"nobody runs blocks of {unknown}; mark them text"
    assert examples
    try:
        for example in examples:
            example.evaluate()
    except BaseException as error:
        if reader.server is not None:
            error.add_note(f"the server's log:\n{reader.server.log.read_text(encoding='utf-8')[-LOG_CHARS_MAX:]}")
        raise
    finally:
        reader.close()
