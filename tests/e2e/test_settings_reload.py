"""Settings that change while an embedded server is in use."""

from __future__ import annotations

from pathlib import Path

from tests.reloads import changes_while_clients_go_on
from tests.servers import running, tenet


def test_settings_change_while_clients_go_on(tmp_path: Path) -> None:
    changes_while_clients_go_on(tmp_path, {})


def test_what_contradicts_what_cannot_change_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tenet.toml"
    file.write_text("version = 1\n[tls]\nplaintext = true\n", encoding="utf-8")
    with running(tmp_path / "data", "--config", str(file)) as server:
        # Beside https alone could it listen everywhere, and that comes with the next start.
        file.write_text('version = 1\n[tls]\nplaintext = false\n[logs]\nlevel = "error"\n', encoding="utf-8")
        done = server.command("config", "reload")
        assert done.stdout == "logs.level: changed.\ntls.plaintext: takes effect at the next start.\n", done.stderr
        assert server.endpoint.startswith("http://")
    stopped = tenet("config", "reload", "--data", str(tmp_path / "data"))
    assert stopped.returncode == 1
    assert "it reads its settings when it starts" in stopped.stderr
