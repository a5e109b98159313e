"""Which service a request belongs to: by X-Amz-Target, by the Version of a form, or by path, as the mounts say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from tenet.wire.door import Service

_JSON: Final = frozenset({"application/x-amz-json-1.0", "application/json"})
FORM: Final = "application/x-www-form-urlencoded"
_VERSION: Final = re.compile(rb"(?:^|&)Version=([0-9A-Za-z.%\-]{1,32})(?:&|$)")
_ACTION: Final = re.compile(rb"(?:^|&)Action=([0-9A-Za-z]{1,128})(?:&|$)")


class Route:
    """A service, and what its mount says, looked up once.

    Args:
        service: who answers.
    """

    __slots__ = ("answers_cors", "crc32", "is_authenticated", "is_lasting", "label", "mount", "service", "signing_name")

    def __init__(self, service: Service) -> None:
        mount = service.mount
        self.service = service
        self.mount = mount
        self.label = mount.label
        self.signing_name = mount.signing_name
        self.crc32 = mount.crc32
        self.is_lasting = mount.is_lasting
        self.answers_cors = mount.answers_cors
        self.is_authenticated = mount.authenticate is not None


class Routes:
    """All mounts of a server.

    Args:
        services: with mounts that name nothing twice.

    Raises:
        ValueError: two mounts claim the same requests.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self._by_target: dict[str, Route] = {}
        self._by_version: dict[str, Route] = {}
        by_prefix: dict[str, Route] = {}
        #: Refuses what belongs to nobody.
        self.fallback: Route | None = None
        for service in services:
            mount, route = service.mount, Route(service)
            _claim(self._by_target, mount.targets, route)
            _claim(self._by_version, mount.form_versions, route)
            _claim(by_prefix, mount.path_prefixes, route)
            if mount.fallback:
                if self.fallback is not None:
                    raise ValueError("two mounts are the fallback")
                self.fallback = route
        #: Gets what nobody else's mount says, but for targets.
        self._at_root = by_prefix.pop("", None)
        #: The longest first, so that the nearest mount gets the request.
        self._by_prefix = sorted(by_prefix.items(), key=lambda item: -len(item[0]))
        self.services = tuple(services)
        mounts = [service.mount for service in services]
        #: What signatures may be scoped to.
        self.signing_names = frozenset(mount.signing_name for mount in mounts)
        #: Those of them that are AWS services.
        self.spoken = frozenset(
            mount.signing_name for mount in mounts if mount.targets or mount.form_versions or mount.is_aws
        )
        self.body_bytes_small = min((service.mount.body_bytes_max for service in services), default=0)

    def find(
        self, method: str, path: str, query: str, headers: dict[str, str], body: bytes
    ) -> tuple[Route, str] | None:
        """Returns the service that a request belongs to, and the operation; None where it is nobody's.

        Args:
            method: upper case.
            path: percent-encoded, as it was sent.
            query: as it was sent.
            headers: by lower-case name.
            body: still compressed; looked into only where it is a form.
        """
        target = headers.get("x-amz-target")
        if target is not None:
            prefix, _, operation = target.rpartition(".")
            route = self._by_target.get(prefix)
            if (
                route is not None
                and method == "POST"
                and (headers.get("content-type") in _JSON or not body or is_json(headers))
            ):
                return route, operation
        for prefix, owner in self._by_prefix:
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in {"", "/"}:
                return owner, ""
        found = None
        if target is None and self._by_version:
            found = self._find_form(method, query, headers, body)
        return (self._at_root, "") if found is None and target is None and self._at_root is not None else found

    def _find_form(self, method: str, query: str, headers: dict[str, str], body: bytes) -> tuple[Route, str] | None:
        is_form = method == "POST" and headers.get("content-type", "").startswith(FORM)
        form = body if is_form else query.encode("latin-1")
        version, action = _VERSION.search(form), _ACTION.search(form)
        if version is None:
            # Without a version it is the only API of forms that is meant, if it is a form at all.
            route = next(iter(self._by_version.values())) if action and len(self._by_version) == 1 else None
        else:
            route = self._by_version.get(version[1].decode("ascii"))
        return None if route is None else (route, action[1].decode("ascii") if action else "")

    def body_bytes_max(self, path: str, headers: dict[str, str]) -> int:
        """Returns how large a body may be, as the headers tell; where they do not, what the largest mount takes."""
        found = self.find("POST", path, "", headers, b"")
        if found is not None:
            return found[0].mount.body_bytes_max
        return max((service.mount.body_bytes_max for service in self.services), default=0)


def is_json(headers: dict[str, str]) -> bool:
    """Tells whether a body is declared to be of the JSON protocol; version 1.1 of it is not spoken here."""
    content_type = headers.get("content-type", "")
    return content_type in _JSON or content_type.partition(";")[0].strip().lower() in _JSON


def _claim(owners: dict[str, Route], names: Sequence[str], route: Route) -> None:
    for name in names:
        if owners.setdefault(name, route) is not route:
            raise ValueError(f"two mounts claim {name!r}")
