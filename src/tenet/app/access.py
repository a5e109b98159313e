"""What a client needs to know to use an installation as its root: where it answers, and with which key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenet.app.configuration import host_and_port
from tenet.app.data_directory import DataDirectory
from tenet.app.exports import Access
from tenet.base.errors import TenetError

if TYPE_CHECKING:
    from tenet.app.configuration import Configuration
    from tenet.app.settings import Settings


class NotStartedYet(TenetError):
    """The data directory has never been started on."""

    code = "NotStartedYet"
    http_status = 409

    @classmethod
    def in_directory(cls, directory: DataDirectory) -> NotStartedYet:
        """Returns the error for a directory, which it names."""
        return cls(f"no server was ever started on {directory.path}; start one with `tenet up`, or name another.")


def access(configuration: Configuration) -> Access:
    """Returns what a client needs to know to use an installation as its root.

    Args:
        configuration: says where it lies. Where no server runs, the endpoint is the one that the settings name.

    Raises:
        NotStartedYet: it has no root key yet.
    """
    directory = DataDirectory(configuration.settings)
    root_key, running = directory.root_key(), directory.running()
    if root_key is None:
        raise NotStartedYet.in_directory(directory)
    settings = configuration.settings
    endpoint = running.endpoint if running else endpoint_of(settings, host_and_port(settings.server.listen)[1])
    # Whoever trusts the operator's own certificate does so without Tenet; our authority would only replace that trust.
    own = running.certificate_file if running else settings.tls.certificate_file
    is_secure_by_us = endpoint.startswith("https") and not own
    return Access(
        endpoint=endpoint,
        access_key_id=root_key.access_key_id,
        secret_access_key=root_key.secret_access_key,
        region=settings.server.region,
        ca_file=directory.ca_file if is_secure_by_us else None,
        trust_store=directory.trust_store if is_secure_by_us else None,
        placement_path=settings.placement.path,
        placement_asks_nobody=settings.placement.authentication == "none",
    )


def endpoint_of(settings: Settings, port: int) -> str:
    """Returns the URL that clients on this machine reach the listener at.

    Args:
        settings: say the host, and whether TLS is spoken.
        port: that is listened on.
    """
    host, _ = host_and_port(settings.server.listen)
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (names it; nothing is bound here)
    shown = f"[{reached}]" if ":" in reached else reached
    return f"{'http' if settings.tls.plaintext else 'https'}://{shown}:{port}"
