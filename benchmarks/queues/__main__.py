"""Runs the benchmarks of queues: ``python -m benchmarks.queues``, or ``make bench-queues``."""

import sys

from benchmarks.queues.run import main

sys.exit(main(sys.argv[1:]))
