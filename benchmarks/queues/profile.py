"""Says where Tenet's CPU goes under loads on queues, by room and by function, as `benchmarks.profile` does for tables.

    python -m benchmarks.queues.profile                           into docs/performance-queues.md
    python -m benchmarks.queues.profile --loads send --no-write   one, with the functions that cost most

A drain fills its queue again and again: its samples are of batches and of drains.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import generator, servers
from benchmarks.generator import GeneratorError
from benchmarks.profile import sampled, tell
from benchmarks.queues.run import DOCUMENT
from benchmarks.queues.sections import DELIVERY, DRAINS, SENDS
from benchmarks.run import DATA

LOADS: Final = {**SENDS, **DRAINS, "deliver": DELIVERY}


def main(arguments: Sequence[str]) -> int:
    """Profiles the loads that are asked for; returns 2 when that is not possible."""
    asked = _parse(arguments)
    os.environ["TENET_COMPILED"] = "0"
    try:
        DATA.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=DATA) as folder, servers.tenet(Path(folder)) as target:
            found = []
            for name in asked.loads:
                run = partial(generator.queue, target, LOADS[name], seconds=asked.seconds, warm_up_s=0)
                found.append(sampled(target, name, asked.seconds, Path(folder), run))
    except GeneratorError as error:
        print(error, file=sys.stderr)
        return 2
    command = " ".join(["python -m benchmarks.queues.profile", *arguments])
    tell(found, asked.top, command, DOCUMENT if asked.write else None)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queues.profile", description=__doc__.splitlines()[0])
    parser.add_argument("--loads", type=lambda text: text.split(","), default=tuple(LOADS), metavar="NAME,…")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each load is sampled")
    parser.add_argument("--top", type=int, default=25, help="how many functions of each are printed")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave the document as it is")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
