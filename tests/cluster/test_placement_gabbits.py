"""The gabbi suite of the openstack-placement package against Tenet over real Cassandra.

In `make test` it is a part of the suite: the files that write, of each kind of request. What is left out are those of
the search for candidates, which is answered from memory and takes most of the time to furnish, one commit over several
partitions after the other: over three nodes on two cores the whole suite takes five to ten minutes. `make test-long`
runs all files but those about policies and CORS, which ask for servers that are set up in other ways and for nothing
of the store; over the embedded engine all of them run each time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clusters import new_store_url
from tests.conformance.placement.test_gabbits import BASE, SERVERS, carried_out, check
from tests.rounds import rounds
from tests.servers import running
from tools.cluster.cluster import Cluster

FILES_THAT_WRITE = [
    "aggregate",
    "allocation-candidates-bug-1792503",
    "allocations",
    "allocations-1-12",
    "allocations-1.28",
    "allocations-bug-1714072",
    "allocations-post",
    "consumer-types-1.38",
    "ensure-consumer",
    "inventory",
    "reshaper",
    "resource-class-in-use",
    "resource-classes",
    "resource-provider",
    "resource-provider-aggregates",
    "traits",
    "unicode",
    "usage",
    "with-allocations",
]
#: All of its files are run where none is named.
FILES: list[str] = rounds(FILES_THAT_WRITE, [])
TESTS = rounds(502, 1_003)
SUITE_S_MAX = rounds(400, 1_800)


@pytest.mark.time_limit_s(SUITE_S_MAX + 200)
def test_the_suite_of_the_service_passes_over_cassandra(tmp_path: Path, cassandra_cluster: Cluster) -> None:
    store_url = new_store_url(cassandra_cluster)
    with running(tmp_path / "data", "--plaintext", "--store", store_url, environment=BASE) as server:
        urls = [server.endpoint, *["-"] * (len(SERVERS) - 1)]
        found = carried_out(tmp_path, urls, SUITE_S_MAX, FILES)
    print(f"{found['run']} tests in {sum(found['elapsed_s'].values()):.0f} s")
    assert found["run"] == TESTS
    assert len(found["elapsed_s"]) == len(FILES) or not FILES
    check(found)
