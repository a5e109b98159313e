"""Processes of Nova's own client of Placement."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.conformance.packages import NOVA
from tests.rounds import rounds
from tests.servers import clean_environment

PROGRAM = Path(__file__).parent / "programs" / "nova_clients.py"
PART_S_MAX = rounds(240, 1_500)


class Nova:
    """Starts processes of Nova's client.

    Args:
        folder: of their files.
        configuration: text of their ``nova.conf``.
    """

    def __init__(self, folder: Path, configuration: str) -> None:
        self._python = NOVA.ensure() / "bin" / "python"
        self._folder = folder
        self._configuration = folder / "nova.conf"
        self._configuration.write_text(configuration, encoding="utf-8")

    def begin(self, name: str, *arguments: object) -> subprocess.Popen[bytes]:
        """Starts a process, whose output goes to a file of its name."""
        with (self._folder / f"{name}.log").open("w") as log:
            return subprocess.Popen(
                [
                    *(str(self._python), "-P", "-W", "ignore", str(PROGRAM), str(self._configuration)),
                    *(str(self._folder / f"{name}.json"), *map(str, arguments)),
                ],
                env=clean_environment(PYTHONPATH=""),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def results(self, processes: dict[str, subprocess.Popen[bytes]]) -> dict[str, Any]:
        """Waits for processes; returns what each of them wrote, by its name."""
        until_s = time.monotonic() + PART_S_MAX
        try:
            for name, process in processes.items():
                code = process.wait(max(0.0, until_s - time.monotonic()))
                assert code == 0, f"{name}: {(self._folder / f'{name}.log').read_text(encoding='utf-8')[-3000:]}"
        finally:
            for process in processes.values():
                process.kill()
                process.wait()
        return {name: json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8")) for name in processes}

    def run(self, name: str, *arguments: object) -> Any:
        """Runs a process to its end; returns what it wrote."""
        return self.results({name: self.begin(name, name, *arguments)})[name]
