"""The listener's certificate: the operator's own, or one from the local certificate authority."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from tenet.app.configuration import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.app.settings import Settings


class Certificates:
    """What the listener shows its clients.

    Args:
        settings: say whose certificate.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def context(self) -> ssl.SSLContext | None:
        """Returns the context for handshakes; None where http is spoken.

        Raises:
            ConfigurationError: certificates are not there yet; http has to be asked for.
        """
        if not self._settings.tls.plaintext:
            raise ConfigurationError(["https is not there yet: start with --plaintext."])
        return None

    def read_again(self, settings: Settings) -> None:
        """Takes over changed settings."""
        self._settings = settings

    def shown(self) -> Mapping[str, Any]:
        """Returns what the certificate says; empty where http is spoken."""
        return {}
