"""Runs the benchmarks of placement: ``python -m benchmarks.placement``, or ``make bench-placement``."""

import sys

from benchmarks.placement.run import main

sys.exit(main())
