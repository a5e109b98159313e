"""A start loads what the first answer needs, and nothing that only some other request or another command does."""

from __future__ import annotations

import json
import subprocess
import sys

#: What is loaded when it is needed: traces, metrics in words, settings files, archives, other commands' own modules.
LATER = frozenset(
    {
        "difflib",
        "http.client",
        "http.server",
        "opentelemetry",
        "prometheus_client",
        "tarfile",
        "tenet.app.doctor",
        "tenet.app.remote",
        "tenet.mesh.cluster",
        "tenet.mesh.enrolment",
        "tenet.mesh.governing",
        "tenet.mesh.joining",
        "tenet.mesh.link",
        "tenet.mesh.network",
        "tenet.mesh.node",
        "tenet.mesh.registry",
        "tenet.store.faulty",
        "tenet.store.memory",
        "tenet.store.suite",
        "tenet.wire.exposition",
        "tenet.wire.spans",
        "tomllib",
        "urllib.request",
        "wsgiref",
    }
)
#: What only the development of Tenet needs, though it may be installed.
NEVER = frozenset({"botocore", "boto3", "hypothesis", "pytest", "sqlite3"})

SCRIPT = """
import sys
# Where rich is installed, structlog loads it for the terminals of others.
sys.modules["rich"] = None
import tenet.app.cli, tenet.app.server, tenet.store.sqlite.engine
import json
print(json.dumps(sorted(sys.modules)))
"""


def test_a_start_loads_only_what_the_first_answer_needs() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    roots = {name for module in loaded for name in (module, *_parents(module))}
    assert "tenet.wire.server" in roots
    assert sorted(roots & (LATER | NEVER)) == []


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]
