"""What programs do with tables and indexes, on an engine on which global indexes are kept from the log.

The tests are those of the embedded engine as they stand, with their fixtures; reads of an index wait until it is up to
date, which is all that an engine with stale indexes asks of a test. The engine comes as engines of others do: by an
entry point of an installed distribution.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance import test_boto3_client, test_boto3_resource
from tests.servers import Server, running

ROOT = Path(__file__).resolve().parents[2]

for module in (test_boto3_client, test_boto3_resource):
    globals().update({name: value for name, value in vars(module).items() if not name.startswith("_")})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Tenet on the embedded engine, which declares that commits over partitions are dear."""
    folder = tmp_path_factory.mktemp("dear")
    distribution = folder / "site" / "dear-1.0.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: dear\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text("[tenet.engines]\ndear = tests.dear:open_engine\n")
    path = os.pathsep.join((str(distribution.parent), str(ROOT)))
    with running(
        folder / "data", environment={"PYTHONPATH": path, "TENET_STORE_URL": f"dear:{folder / 'store'}"}
    ) as started:
        yield started
