"""Dead code is found as vulture finds it, whether files were looked through before or not."""

from __future__ import annotations

from pathlib import Path

import pytest
from vulture.core import Vulture

from tools import dead_code
from tools.dead_code import Remembering, main

USING = "from one import used\n\nused()\n"
FILES = {
    "one.py": "import os\n\n\ndef used():\n    return 1\n    print('never')\n\n\nclass Gone:\n    left = 1\n",
    "two.py": USING,
    "three.py": "def unused(number):\n    odd = number\n\n\ndef ignored():\n    pass\n",
}
OPTIONS = {"verbose": False, "ignore_names": ["ignored"], "ignore_decorators": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def reported(vulture: Vulture, folder: Path) -> list[str]:
    vulture.scavenge([str(folder)])
    return [item.get_report() for item in vulture.get_unused_code()]


def test_what_is_remembered_is_what_would_be_found(folder: Path) -> None:
    expected = reported(Vulture(**OPTIONS), folder)
    assert {"Gone", "os", "unused", "left", "odd"} <= {word for line in expected for word in line.split("'")}
    first = Remembering({}, **OPTIONS)
    assert reported(first, folder) == expected
    again = Remembering(first.met, **OPTIONS)
    assert reported(again, folder) == expected
    assert again.met.keys() == first.met.keys()


def test_a_name_that_is_used_no_more_is_dead_in_a_file_that_has_not_changed(folder: Path) -> None:
    first = Remembering({}, **OPTIONS)
    assert not [line for line in reported(first, folder) if "'used'" in line]
    (folder / "two.py").write_text("")
    assert [line for line in reported(Remembering(first.met, **OPTIONS), folder) if "unused function 'used'" in line]
    (folder / "two.py").write_text(USING)
    assert not [line for line in reported(Remembering(first.met, **OPTIONS), folder) if "'used'" in line]


def test_other_options_remember_nothing_of_these(folder: Path) -> None:
    first = Remembering({}, **OPTIONS)
    assert not [line for line in reported(first, folder) if "'ignored'" in line]
    other = OPTIONS | {"ignore_names": []}
    assert [line for line in reported(Remembering(first.met, **other), folder) if "'ignored'" in line]


def test_a_file_that_cannot_be_read_is_told_each_time(folder: Path) -> None:
    (folder / "two.py").write_text("def\n")
    first = Remembering({}, **OPTIONS)
    reported(first, folder)
    again = Remembering(first.met, **OPTIONS)
    reported(again, folder)
    assert first.exit_code == again.exit_code == 1


def test_it_ends_as_vulture_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = OPTIONS | {"paths": [str(folder)], "exclude": [], "min_confidence": 60, "sort_by_size": False}
    monkeypatch.setattr(dead_code, "make_config", lambda: config | {"make_whitelist": False})
    kept = folder / "kept"
    for _ in range(2):
        assert main(kept) == 3
        assert "unused class 'Gone'" in capsys.readouterr().out
    kept.write_bytes(b"torn")
    assert main(kept) == 3
    for name in ("one.py", "three.py"):
        (folder / name).unlink()
    assert main(kept) == 0
