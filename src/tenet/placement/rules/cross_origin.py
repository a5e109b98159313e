"""Cross-origin requests of browsers (Fetch, "CORS protocol"): only pages of origins that an operator named may call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

_METHODS: Final = "OPTIONS,GET,HEAD,POST,PUT,DELETE,TRACE,PATCH"
_AGE_S: Final = 3600


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Tells whether a browser asks what a page may send, before it sends it."""
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def cross_origin_headers(
    method: str, headers: Mapping[str, str], origins: Sequence[str], allowed: Sequence[str]
) -> list[tuple[str, str]]:
    """Returns the header lines for a request of a page; none where its origin is not allowed.

    Args:
        method: upper case.
        headers: of the request, by lower-case name.
        origins: those that are allowed; ``*`` is every one.
        allowed: headers that pages may send.
    """
    origin = headers.get("origin", "")
    if origin not in origins and "*" not in origins:
        return []
    lines = [("vary", "Origin"), ("access-control-allow-origin", origin)]
    if is_preflight(method, headers):
        asked = [name.strip() for name in headers.get("access-control-request-headers", "").split(",") if name.strip()]
        known = {name.lower() for name in allowed}
        lines.append(("access-control-max-age", str(_AGE_S)))
        lines.append(("access-control-allow-methods", _METHODS))
        if asked and all(name.lower() in known for name in asked):
            lines.append(("access-control-allow-headers", ",".join(asked)))
    return lines
