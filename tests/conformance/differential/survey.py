"""Runs many sequences and prints the differences that are not known, grouped, instead of stopping at the first.

python -m tests.conformance.differential.survey [--sequences 500] [--seed 1] [--witnesses moto] [--requests legacy]
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random

from tests.conformance.differential.arena import Arena
from tests.conformance.differential.compare import Difference
from tests.conformance.differential.index_requests import index_sequence
from tests.conformance.differential.known_differences import DYNALITE
from tests.conformance.differential.known_of_settings import WITHOUT_SETTINGS, WITHOUT_TAGS
from tests.conformance.differential.legacy_requests import legacy_sequence
from tests.conformance.differential.multi_attribute_requests import multi_attribute_sequence
from tests.conformance.differential.plain_statements import plain_sequence
from tests.conformance.differential.requests import Step, sequence
from tests.conformance.differential.settings_requests import settings_sequence, tag_sequence
from tests.conformance.differential.statements import statement_sequence
from tests.conformance.differential.table_requests import table_sequence
from tests.conformance.differential.targets import Target
from tests.conformance.peers import PEERS
from tests.servers import running

_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|\d+|[:#]\w+|\[[^\]]*\]")

#: What makes sequences, by what they are about.
_SEQUENCES = {
    "items": sequence,
    "legacy": legacy_sequence,
    "statements": statement_sequence,
    "plain-statements": plain_sequence,
}
#: The same of sequences about a table of their own, with the witnesses that are not asked.
_OF_TABLES: dict[str, tuple[Callable[[Random], list[Step]], tuple[str, ...]]] = {
    "tables": (table_sequence, ()),
    "tags": (tag_sequence, WITHOUT_TAGS),
    "settings": (settings_sequence, WITHOUT_SETTINGS),
    "several-attributes": (multi_attribute_sequence, ()),
    "indexes": (index_sequence, (DYNALITE,)),
}


def group_of(difference: Difference) -> str:
    """What differences of one cause have in common, roughly."""
    ours, theirs = (_VARIABLE.sub("_", str(part))[:70] for part in (difference.ours, difference.theirs))
    if difference.member not in {"outcome", "message"}:
        ours = theirs = ""
    return f"{difference.witness} | {difference.member} | {ours} | {theirs}"


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sequences", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--witnesses", default=",".join(PEERS))
    parser.add_argument("--shown", type=int, default=2, help="examples of each group")
    parser.add_argument("--requests", choices=[*_SEQUENCES, *_OF_TABLES], default="items", help="what they are about")
    options = parser.parse_args()
    make, without = _OF_TABLES.get(options.requests) or (_SEQUENCES[options.requests], ())
    groups: dict[str, list[Difference]] = defaultdict(list)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running(folder / "data", "--plaintext"))
        arena = stack.enter_context(Arena(Target.of_server(server), options.witnesses.split(","), folder))

        run = partial(arena.run_tables, without=without) if options.requests in _OF_TABLES else arena.run
        for number in range(options.sequences):
            for difference in run(make(Random(f"{options.seed} {number}"))):
                groups[group_of(difference)].append(difference)
        for key, count in sorted(arena.tally.items()):
            print(count, *key)
    for group, examples in sorted(groups.items(), key=lambda entry: -len(entry[1])):
        print(f"\n==== {len(examples)} x {group}")
        for example in examples[: options.shown]:
            print(example)


if __name__ == "__main__":
    main()
