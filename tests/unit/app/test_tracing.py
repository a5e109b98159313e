"""Where spans cannot go is told before a server starts, in the words of the start; looking makes no file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tenet.app.configuration import ConfigurationError, load
from tenet.app.machine import mistakes_in
from tenet.app.tracing import tracer_of
from tenet.base.clock import SystemClock


def test_a_file_that_cannot_be_written_is_found_and_named_as_by_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for file, why in {
        tmp_path / "absent" / "x": "No such file or directory",
        tmp_path / "file" / "x": "Not a directory",
        tmp_path: "Is a directory",
    }.items():
        environment = {"TENET_TRACES_FILE": str(file)}
        with pytest.raises(ConfigurationError) as checked:
            load(None, environment, look=mistakes_in)
        assert checked.value.message == f"`traces.file` is '{file}': {why}."
        with pytest.raises(ConfigurationError) as started:
            tracer_of(load(None, environment).settings, SystemClock())
        assert started.value.message == checked.value.message


def test_a_file_that_can_be_written_is_not_made_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").touch()
    for file in ("there", "absent", str(tmp_path / "another"), "/dev/null"):
        assert load(None, {"TENET_TRACES_FILE": file}, look=mistakes_in).settings.traces.file == file
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_collector_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"TENET_TRACES_OTLP_ENDPOINT": "http://127.0.0.1:9/v1/traces"}
    load(None, environment, look=mistakes_in)
    package = "opentelemetry.exporter.otlp.proto.http"
    for absent in (package, package.rpartition(".")[0]):
        with monkeypatch.context() as patched:
            # What Python does with a module that is not there.
            patched.delitem(sys.modules, package, raising=False)
            patched.setitem(sys.modules, absent, None)
            with pytest.raises(ConfigurationError) as refused:
                load(None, environment, look=mistakes_in)
        assert refused.value.message == (
            "`traces.otlp_endpoint` is set, and what it takes is not installed: pip install 'tenet-cloud[otlp]'."
        )
