"""Starts and stops real Apache Cassandra nodes on this machine.

    python -m tools.cluster start [--fresh]     127.0.0.1 to .3, with the data that they had; fetched by Maven
    python -m tools.cluster status
    python -m tools.cluster stop
    python -m tools.cluster kill9 2             also: pause, resume, up, down
    python -m tools.cluster nodetool 1 status

Ctrl-C while it starts ends what was started. --network 127.0.7 has another cluster beside the first.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from tests.conformance.packages import FetchFailed, ToolMissing
from tools.cluster.cluster import Cluster, ClusterFailed, find, use
from tools.cluster.spec import CQL_PORT, NODES_MAX, Spec

COMMANDS = ("start", "stop", "status", "up", "down", "kill9", "pause", "resume", "nodetool")


def start(spec: Spec, *, is_fresh: bool) -> None:
    """Makes the cluster whole and leaves it running."""
    print(f"Cassandra on {spec.addresses[0]} to .{spec.nodes}, logs in {spec.folder}/n*/logs", flush=True)
    began = time.monotonic()
    with use(spec, is_fresh=is_fresh) as cluster:
        cluster.start_all(lambda line: print(line, flush=True))
        cluster.stay()
    print(f"All nodes see each other after {time.monotonic() - began:.1f} s; port {CQL_PORT}, data centre dc1.")


def status(cluster: Cluster) -> None:
    """Prints a line for each node."""
    for number in cluster.spec.numbers:
        state = cluster.state(number)
        answers = "answers" if cluster.is_up(number) else "does not answer"
        seen = ", ".join(str(other) for other in sorted(cluster.seen_up(number))) or "none"
        process = f"{state['state']} (pid {state['pid']})"
        print(f"node {number}: {cluster.spec.address(number)} {process}, {answers} clients, sees up: {seen}")


def control(cluster: Cluster, command: str, arguments: list[str]) -> int:
    """Does something to one node."""
    if not arguments or not arguments[0].isdigit():
        raise ClusterFailed(f"{command} which node? 1 to {cluster.spec.nodes}")
    number = int(arguments[0])
    if command == "nodetool":
        done = cluster.nodetool(number, *arguments[1:])
        print(done.stdout, end="")
        print(done.stderr, end="", file=sys.stderr)
        return done.returncode
    operations = {
        "up": cluster.start,
        "down": cluster.stop,
        "kill9": cluster.kill9,
        "pause": cluster.pause,
        "resume": cluster.resume,
    }
    operations[command](number)
    return 0


def run(options: argparse.Namespace) -> int:
    """Carries a command out; returns the exit status."""
    if options.command == "start":
        spec = Spec(options.network, options.nodes, options.heap_mb, is_optimized=options.optimized)
        start(spec, is_fresh=options.fresh)
        return 0
    cluster = find(options.network)
    if cluster is None:
        print(f"No cluster runs on {options.network}.")
        return 0 if options.command == "stop" else 3
    try:
        if options.command == "stop":
            cluster.shutdown()
            print(f"The cluster on {options.network} has stopped.")
        elif options.command == "status":
            status(cluster)
        else:
            return control(cluster, options.command, options.arguments)
    finally:
        cluster.close()
    return 0


def main() -> int:
    """Reads the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="tools.cluster", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("arguments", nargs="*", help="a node, and what nodetool is told")
    parser.add_argument("--network", default="127.0.0", help="127.x.y, 127.0.0 by default")
    parser.add_argument("--nodes", type=int, default=3, choices=range(1, NODES_MAX + 1), metavar="N")
    parser.add_argument("--heap-mb", type=int, default=1000, metavar="MIB", help="of each node")
    parser.add_argument("--optimized", action="store_true", help="slow to warm up, then fast: to be measured")
    parser.add_argument("--fresh", action="store_true", help="throw the data away that is there")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options, others = parser.parse_known_args()
        if others and options.command != "nodetool":
            parser.error(f"unrecognized arguments: {' '.join(others)}")
        options.arguments += others
        return run(options)
    except KeyboardInterrupt:
        print("\nStopped; nodes that were started end in a few seconds.", file=sys.stderr)
        return 130
    except (ClusterFailed, FetchFailed, ToolMissing, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
