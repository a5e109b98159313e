"""Log lines are JSON objects with a time, a level and the module; the level can be changed while running."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import structlog

from tenet.app.logs import set_up, set_up_for_command
from tenet.wire.log import Sink

pytestmark = pytest.mark.usefixtures("logging_restored")


def lines(tmp_path: Path, *levels: str) -> list[dict[str, object]]:
    """What each of the four levels writes, under each of the levels set in turn."""
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    sink = Sink(descriptor)
    log = structlog.get_logger("tenet.test")
    for level in levels:
        set_up(sink, level)
        for name in ("debug", "info", "warning", "error"):
            getattr(log, name)(f"{name} under {level}", path=Path("/x"))
    sink.close()
    os.close(descriptor)
    return [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]


def test_a_line_says_what_when_and_where(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, "error")
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"event": "error under error", "level": "error", "logger": "tenet.test", "path": "/x"}


def test_the_level_can_change(tmp_path: Path) -> None:
    found = [line["event"] for line in lines(tmp_path, "warning", "debug")]
    assert found == [
        "warning under warning",
        "error under warning",
        "debug under debug",
        "info under debug",
        "warning under debug",
        "error under debug",
    ]


def test_an_exception_leaves_its_traceback(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    sink = Sink(descriptor)
    set_up(sink, "info")
    try:
        int("what went wrong")
    except ValueError:
        structlog.get_logger().exception("unexpected")
    sink.close()
    os.close(descriptor)
    line = json.loads((tmp_path / "log").read_text(encoding="utf-8"))
    assert "ValueError: invalid literal" in line["exception"]


def test_lines_of_a_command_begin_as_its_own_do(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_for_command()
    log = structlog.get_logger("tenet.test")
    log.info("nothing to worry about")
    log.warning("the disk is slow", path=Path("/x"), reason="it is old")
    try:
        int("what went wrong")
    except ValueError:
        log.exception("a number is none")
    printed = capsys.readouterr()
    assert printed.out == ""
    first, second, *trace = printed.err.splitlines()
    assert first == "tenet: the disk is slow; path: /x; reason: it is old"
    assert second == "tenet: a number is none"
    assert trace[0].startswith("Traceback")
    assert trace[-1].startswith("ValueError: ")
