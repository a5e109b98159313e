"""Asks the peers, or a server that runs, every check of the queues, and tells what differs.

python -m tests.conformance.queues.survey elasticmq moto     asks them, and keeps what they answer
python -m tests.conformance.queues.survey tenet              starts Tenet, and keeps nothing
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.conformance.peers import PEERS
from tests.conformance.peers import running as peer_running
from tests.conformance.queues import results
from tests.conformance.queues.catalog import CHECKS, key_of
from tests.conformance.queues.wire import JSON, QUERY, Target
from tests.servers import running

PROTOCOLS = (JSON, QUERY)


@contextmanager
def _target(name: str, protocol: str, folder: Path) -> Iterator[Target]:
    if name == "tenet":
        with running(folder / "data") as server, closing(Target.of_server(server, protocol)) as target:
            yield target
    else:
        with peer_running(PEERS[name], folder) as peer, closing(Target(name, peer.endpoint, protocol)) as target:
            yield target


def survey(name: str, pattern: str = "") -> dict[str, dict[str, str]]:
    """Asks everything whose name has the pattern in it, and prints what differs; returns what came of each check."""
    found: dict[str, dict[str, str]] = {}
    for protocol in PROTOCOLS:
        tally: Counter[str] = Counter()
        with tempfile.TemporaryDirectory() as folder, _target(name, protocol, Path(folder)) as target:
            for check in CHECKS:
                if protocol not in check.protocols or pattern not in key_of(check):
                    continue
                what, why = results.outcome(check, target)
                found.setdefault(protocol, {})[key_of(check)] = what
                tally[what] += 1
                if what != results.EQUAL:
                    print(f"{name} ({protocol}) {what}: {key_of(check)}\n    {why[:400]}")
        print(f"{name} ({protocol}): {dict(tally)}")
    return found


def main() -> int:
    """Asks whom the command line names."""
    names = [argument for argument in sys.argv[1:] if not argument.startswith("=")]
    pattern = next((argument[1:] for argument in sys.argv[1:] if argument.startswith("=")), "")
    for name in names or ["elasticmq", "moto"]:
        found = survey(name, pattern)
        if name in PEERS and not pattern:
            results.write(name, PEERS[name].package.version, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
