"""Header names: the ones that requests carry, as they are written, with the lower-case names they are known by here."""

from __future__ import annotations

from typing import Final

_USUAL: Final = (
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Amz-Sdk-Invocation-Id",
    "Amz-Sdk-Request",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-MD5",
    "Content-Type",
    "Date",
    "Expect",
    "Host",
    "Origin",
    "Referer",
    "Traceparent",
    "Tracestate",
    "Transfer-Encoding",
    "User-Agent",
    "X-Amz-Api-Version",
    "X-Amz-Content-Sha256",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Target",
    "X-Amz-User-Agent",
    "X-Amzn-Trace-Id",
)

#: A name as clients write it, to its lower-case text: a look-up is cheaper than decoding and lowering.
KNOWN_NAMES: Final[dict[bytes, str]] = {
    spelling.encode("ascii"): name.lower() for name in _USUAL for spelling in (name, name.lower(), name.title())
}


def head_bytes(target: bytes, headers: dict[str, str]) -> int:
    """Returns about how long a head was, at least the text of its parts.

    Args:
        target: as it was sent.
        headers: by name.
    """
    return len(target) + sum(map(len, headers)) + sum(map(len, headers.values())) + 4 * len(headers)
