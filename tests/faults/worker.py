"""A process with clients of one workload, which `clients` starts and leads.

It reads one line of JSON at a time, and answers with a word when it has done what it says: its orders (``prepared``),
when its clients begin, when they stop (``ended``), and that it may look at everything (``finished``).
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from tenet.base.dice import Dice
from tests.faults.history import CLIENTS_MAX, HistoryFile
from tests.faults.sdk import EXPECTED, Sdk
from tests.faults.transactions import Bank, Lists
from tests.faults.workloads import Client, Counters, Plan, Registers, Workload

WORKLOADS: dict[str, type[Registers | Counters | Bank | Lists]] = {
    "registers": Registers,
    "counters": Counters,
    "bank": Bank,
    "lists": Lists,
}
#: How long a client waits after an error that its SDK could not hide, before it goes on with something else.
AFTER_ERROR_S = 0.05
#: How long the last look is tried again where a part of it got no answer.
LAST_LOOK_S_MAX = 60
_NEVER_NS = 2**63


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is to do.

    Args:
        workload: its name.
        table: name of its table.
        keys: how many keys are in use at a time.
        key_s: how many seconds a key is in use.
        endpoints: URLs; client n speaks to the one at n modulo their number.
        ca_file: certificates to trust; None where they speak http.
        region: the region that is signed for.
        first_client: number of its first client.
        clients: how many clients it has, fewer than ``CLIENTS_MAX``.
        seed: determines what they do.
        rate: steps that each begins per second at the most; 0 for as many as are answered.
        steps: how many each takes at the most; 0 for as many as there is time for.
        history: the file to be written.
        sdk: further settings of the SDK.
        credentials: ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``.
    """

    workload: str
    table: str
    keys: int
    key_s: float
    endpoints: list[str]
    ca_file: str | None
    region: str
    first_client: int
    clients: int
    seed: int
    rate: float
    steps: int
    history: str
    sdk: dict[str, Any]
    credentials: dict[str, str]


class Worker:
    """The clients of one process.

    Args:
        orders: what it is to do.
    """

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._sdks = [
            Sdk(
                endpoint,
                orders.credentials,
                region=orders.region,
                ca_file=orders.ca_file,
                connections=orders.clients,
                settings=orders.sdk,
            )
            for endpoint in orders.endpoints
        ]
        self._workload: Workload = WORKLOADS[orders.workload]()
        self._file = HistoryFile(Path(orders.history))
        self._lock = threading.Lock()
        self._failures: list[BaseException] = []
        self._until_ns = 0
        self._threads: list[threading.Thread] = []
        self._keeper = self._client(CLIENTS_MAX - 1, time.monotonic_ns())

    def _client(self, number: int, begin_ns: int) -> Client:
        orders = self._orders
        plan = Plan(orders.table, begin_ns, orders.keys, orders.key_s)
        number += orders.first_client
        return Client(self._sdks[number % len(self._sdks)], plan, number, Dice(orders.seed * 100_003 + number))

    def prepare(self) -> None:
        """Makes what the clients need."""
        self._workload.prepare(self._keeper)

    def begin(self, begin_ns: int) -> None:
        """Lets the clients ask from a moment on."""
        self._until_ns = _NEVER_NS
        self._keeper = self._client(CLIENTS_MAX - 1, begin_ns)
        clients = [self._client(number, begin_ns) for number in range(self._orders.clients)]
        self._threads = [threading.Thread(target=self._run_client, args=(client, begin_ns)) for client in clients]
        for thread in self._threads:
            thread.start()

    def stop(self, until_ns: int) -> None:
        """Lets the clients go on until a moment, and waits for them."""
        self._until_ns = until_ns
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _run_client(self, client: Client, due_ns: int) -> None:
        pause_ns = int(1e9 / self._orders.rate) if self._orders.rate else 0
        try:
            for _ in range(self._orders.steps) if self._orders.steps else itertools.repeat(None):
                time.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))
                now_ns = time.monotonic_ns()
                if now_ns >= self._until_ns:
                    return
                # Who was held up begins the next at once, but does not make up for what was not done.
                due_ns = max(due_ns + pause_ns, now_ns)
                self._step(client)
        except BaseException as error:  # noqa: BLE001 - the thread that waits for this one raises it
            self._failures.append(error)

    def _step(self, client: Client) -> None:
        operations = self._workload.step(client)
        with self._lock:
            for operation in operations:
                self._file.write(operation)
        if operations[-1].error and operations[-1].error not in EXPECTED:
            time.sleep(AFTER_ERROR_S)

    def finish(self) -> None:
        """Looks at everything until all of it was seen, for a while at the most, and closes the history."""
        until = time.monotonic() + LAST_LOOK_S_MAX
        while True:
            operations = self._workload.finish(self._keeper)
            if all(one.outcome == "ok" for one in operations) or time.monotonic() >= until:
                break
            time.sleep(1)
        for operation in operations:
            self._file.write(operation)
        self._file.close()


def main() -> None:
    """Does what the lines say."""
    lines = sys.stdin.buffer
    worker = Worker(msgspec.json.decode(lines.readline(), type=Orders))
    worker.prepare()
    print("prepared", flush=True)
    worker.begin(msgspec.json.decode(lines.readline(), type=int))
    # Where whoever leads is gone, the line is empty, and there is no reason to go on.
    worker.stop(msgspec.json.decode(lines.readline() or b"0", type=int))
    print("ended", flush=True)
    if lines.readline():
        worker.finish()
        print("finished", flush=True)


if __name__ == "__main__":
    main()
