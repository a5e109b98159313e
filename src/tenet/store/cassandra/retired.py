"""Sessions that were closed, kept for as long as the driver below may still tell them something."""

from __future__ import annotations

import atexit
import ctypes
from typing import Any, Final

#: How long a session is kept that was closed, seconds.
_RETIRED_S: Final = 30.0

_retired: list[tuple[float, Any]] = []


def retire(session: Any, now: float) -> None:
    """Keeps a session for a while that was closed.

    The driver below still tells it of a node that has just come up, and the process would end there if it had gone
    (https://github.com/apache/cassandra-cpp-driver/pull/583).

    Args:
        session: the session.
        now: by the clock of the process that does not jump, seconds.
    """
    _retired[:] = [(since, one) for since, one in _retired if since > now - _RETIRED_S]
    _retired.append((now, session))


def _keep_retired() -> None:
    """Keeps those of the last moments until the process has ended."""
    for _, session in _retired:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


atexit.register(_keep_retired)
