"""What the suite's README says to the author of an engine works as it is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import tenet.store.suite

README = Path(tenet.store.suite.__path__[0]) / "README.md"
BLOCK = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)


def test_an_engine_of_others_is_proven_with_two_files(tmp_path: Path) -> None:
    files = dict(BLOCK.findall(README.read_text(encoding="utf-8")))
    assert set(files) == {"conftest.py", "test_engine.py"}
    files["my_engine.py"] = "from tenet.store.memory import open_engine as open_engine\n"
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    # What the engine has not, fails; nothing is passed over in silence.
    tests = "TestRecords or TestStamps or (TestDurability and test_spaces_and_records)"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", tests]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    summary = re.search(r"(\d+) failed, (\d+) passed", done.stdout)
    assert summary is not None, done.stdout + done.stderr
    assert int(summary[1]) == 2
    assert int(summary[2]) > 20
