"""While a block runs, two groups of processes have processors of their own; behind it, all have all again."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.apart import apart, is_possible


def test_processors_are_divided_for_a_while() -> None:
    if not is_possible():
        assert not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) == 1
        return
    everything = os.sched_getaffinity(0)
    sleeping = [sys.executable, "-c", "import threading; threading.Thread(target=input).start(); input()"]
    with (
        subprocess.Popen(sleeping, stdin=subprocess.PIPE) as store,
        subprocess.Popen(sleeping, stdin=subprocess.PIPE) as client,
    ):
        with apart([store.pid], [client.pid]) as (for_store, for_others):
            assert for_store + for_others == len(everything)
            of_store, of_client = os.sched_getaffinity(store.pid), os.sched_getaffinity(client.pid)
            assert not of_store & of_client
            assert len(of_store) == for_store
            assert os.sched_getaffinity(0) == of_client
        assert os.sched_getaffinity(store.pid) == os.sched_getaffinity(0) == everything
        for process in (store, client):
            process.kill()
