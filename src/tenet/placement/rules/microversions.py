"""Microversions: which one a request asks for.

All are of the major version 1, so that a microversion is the number behind the dot: 39 is 1.39. Source: API-SIG
guideline "Microversion Specification"; the reference's way with odd headers is that of its library.
"""

from __future__ import annotations

from typing import Final

from tenet.placement.errors import BadRequest, VersionNotAcceptable

SERVICE_TYPE: Final = "placement"
HEADER: Final = "openstack-api-version"
LATEST: Final = 39
MIN_TEXT: Final = "1.0"
MAX_TEXT: Final = f"1.{LATEST}"


def text_of(version: int) -> str:
    """Returns a microversion as clients write it, for instance ``1.39``."""
    return f"1.{version}"


def read_version(header: str | None) -> int:
    """Returns the microversion that a request asks for: the last one in the header that is about this service.

    Args:
        header: the value of ``OpenStack-API-Version``, several joined by commas; None where there is none.

    Raises:
        BadRequest: it is no version.
        VersionNotAcceptable: there is no such version.
    """
    wanted = _wanted(header or "")
    if wanted is None:
        return 0
    if wanted == "latest":
        return LATEST
    parts = wanted.split(".", 1)
    try:
        major, minor = (int(part) for part in parts)
    except ValueError as error:
        why = _TOO_FEW if len(parts) == 1 and _is_number(wanted) else str(error)
        raise BadRequest(f"Invalid microversion: invalid version string: {wanted}; {why}") from None
    if major != 1 or not 0 <= minor <= LATEST:
        raise VersionNotAcceptable(f"Invalid microversion: Unacceptable version header: {wanted}")
    return minor


_TOO_FEW: Final = "Version.__new__() missing 1 required positional argument: 'minor'"


def _is_number(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def _wanted(header: str) -> str | None:
    for value in reversed(header.split(",")):
        service, _, version = value.strip().partition(" ")
        if service.lower() == SERVICE_TYPE and version.strip():
            return version.strip()
    return None
