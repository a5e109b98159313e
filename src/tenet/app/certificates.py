"""The listener's certificate: the operator's own, or one from the local certificate authority, renewed in time."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tenet.app.clustering import is_clustered
from tenet.app.configuration import ConfigurationError, Mistake, host_and_port
from tenet.app.exports import TRUST_STORE_PASSWORD
from tenet.wire.errors import TlsUnusable
from tenet.wire.tls import SERVER_S, LocalAuthority, describe, load, server_context, server_names, write_trust_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.app.data_directory import DataDirectory
    from tenet.app.settings import Settings
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids

_DAY_S: Final = 24 * 3600


class Certificates:
    """What the listener shows its clients.

    Args:
        settings: say whose certificate.
        directory: where the local authority lies.
        clock: time.
        ids: serial numbers.
    """

    def __init__(self, settings: Settings, directory: DataDirectory, *, clock: Clock, ids: Ids) -> None:
        self._settings = settings
        self._directory = directory
        self._clock = clock
        self.lifetime_s = settings.tls.certificate_s or (_DAY_S if is_clustered(directory) else SERVER_S)
        self._authority = LocalAuthority(directory.tls, clock=clock, ids=ids, server_s=self.lifetime_s)
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext | None:
        """Returns the settings of handshakes; None where http is spoken. Makes what is missing.

        Raises:
            ConfigurationError: the operator's own certificate cannot be used.
            TlsUnusable: the local authority's files cannot be read or written.
        """
        if not self._settings.tls.plaintext:
            self._make(self._settings)
            with _named_by(self._settings):
                self._context = server_context(*self._files(self._settings))
        return self._context

    @property
    def shared(self) -> ssl.SSLContext | None:
        """What all listeners shake hands with; None where http is spoken."""
        return self._context

    def read_again(self, settings: Settings) -> None:
        """Shows the certificate that the settings name now, which may have been renewed, to new connections.

        Raises:
            ConfigurationError: the operator's own cannot be used; the former one stays.
            TlsUnusable: the local authority's cannot be used; the former one stays.
        """
        if self._context is not None:
            self._make(settings)
            with _named_by(settings):
                load(self._context, *self._files(settings))
        self._settings = settings

    def shown(self) -> Mapping[str, Any]:
        """Returns what the certificate says; empty where http is spoken."""
        if self._context is None:
            return {}
        described = describe(self._files(self._settings)[0])
        began, ends = (datetime.fromisoformat(described[at]).timestamp() for at in ("not_before", "not_after"))
        left_s = ends - self._clock.wall_ms() / 1000
        return described | {"days_left": round(left_s / _DAY_S, 2), "days": round((ends - began) / _DAY_S, 2)}

    def _make(self, settings: Settings) -> None:
        host, _ = host_and_port(settings.server.listen)
        is_new = self._authority.ensure(server_names(host, settings.tls.names))
        if is_new or not self._directory.trust_store.exists():
            write_trust_store(self._directory.trust_store, self._directory.ca_file, TRUST_STORE_PASSWORD)

    def _files(self, settings: Settings) -> tuple[Path, Path]:
        if settings.tls.certificate_file:
            return Path(settings.tls.certificate_file), Path(settings.tls.private_key_file)
        return self._authority.files.certificate, self._authority.files.private_key


def mistakes_in(settings: Settings) -> list[Mistake]:
    """Returns what is wrong with the certificate and the private key that the settings name, if they name any."""
    tls = settings.tls
    named = {"tls.certificate_file": tls.certificate_file, "tls.private_key_file": tls.private_key_file}
    unreadable = [
        Mistake((setting,), f"`{setting}` is '{file}', which is no file that can be read.")
        for setting, file in named.items()
        if file and not (Path(file).is_file() and os.access(file, os.R_OK))
    ]
    if unreadable or not all(named.values()):
        return unreadable
    try:
        server_context(Path(tls.certificate_file), Path(tls.private_key_file))
    except TlsUnusable as error:
        return [Mistake(tuple(named), f"`tls.certificate_file`: {error.message}.")]
    return []


@contextmanager
def _named_by(settings: Settings) -> Iterator[None]:
    """Says which setting names files that cannot be used, where one does."""
    try:
        yield
    except TlsUnusable as error:
        problems = [mistake.text for mistake in mistakes_in(settings)]
        if not problems:
            raise
        raise ConfigurationError(problems) from error
