"""The Keystone whose tokens placement takes: made of the settings, and what is wrong with these on this machine."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from tenet.app.configuration import Mistake
from tenet.placement.api import Account, Keystone, KeystoneSettings, Meanings

if TYPE_CHECKING:
    from tenet.app.identity_settings import KeystoneOptions
    from tenet.base.clock import Clock

_log = structlog.get_logger(__name__)


def mistakes_in(options: KeystoneOptions) -> Iterator[Mistake]:
    """Returns what is wrong with the files that the settings name; Keystone itself is not asked.

    Args:
        options: with an ``auth_url``.
    """
    if options.password_file:
        try:
            password = Path(options.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            yield Mistake(
                ("keystone.password_file",),
                f"`keystone.password_file` is '{options.password_file}', which cannot be read: {_why(error)}.",
            )
        else:
            if not password or "\n" in password:
                yield Mistake(
                    ("keystone.password_file",),
                    f"`keystone.password_file` is '{options.password_file}', which has to hold a password in one line.",
                )
    if options.ca_file:
        try:
            ssl.create_default_context(cafile=options.ca_file)
        except OSError as error:
            yield Mistake(
                ("keystone.ca_file",),
                f"`keystone.ca_file` is '{options.ca_file}', which is no PEM file with certificates: {_why(error)}.",
            )


def open_keystone(options: KeystoneOptions, *, clock: Clock) -> Keystone | None:
    """Returns the Keystone that the settings name, or None. It is not asked before somebody shows a token.

    Nor are the files read before that: what has become of them stops no server.

    Args:
        options: how it is reached.
        clock: time.
    """
    if not options.auth_url:
        return None
    if options.plaintext and options.auth_url.startswith("http:"):
        _log.warning("passwords and tokens are sent to Keystone unencrypted", url=options.auth_url)
    settings = KeystoneSettings(
        auth_url=options.auth_url,
        account=Account(options.username, options.user_domain, options.project, options.project_domain),
        password_file=Path(options.password_file),
        ca_file=Path(options.ca_file) if options.ca_file else None,
        cache_s=options.cache_s,
        timeout_s=options.timeout_s,
        meanings=Meanings(_names(options.admin_roles), _names(options.service_roles), _names(options.reader_roles)),
    )
    return Keystone(settings, clock=clock)


def _names(roles: tuple[str, ...]) -> frozenset[str]:
    return frozenset(role.lower() for role in roles)


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)
