"""What settings ask of the machine that they are read on: an engine, files that can be used, an extra."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tenet.app import engines, tracing

if TYPE_CHECKING:
    from tenet.app.configuration import Mistake
    from tenet.app.settings import Settings


def mistakes_in(settings: Settings) -> Iterator[Mistake]:
    """Finds what a server could not be started with on this machine, for ``configuration.load``."""
    yield from engines.mistakes_in(settings)
    yield from tracing.mistakes_in(settings)
    if settings.tls.certificate_file or settings.tls.private_key_file:
        # What reads certificates takes long to load.
        from tenet.app import certificates

        yield from certificates.mistakes_in(settings)
    if settings.keystone.auth_url:
        # Nor is this of any use where there is no Keystone.
        from tenet.app import identity

        yield from identity.mistakes_in(settings.keystone)
