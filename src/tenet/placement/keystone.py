"""Asks a Keystone whose tokens are shown, and remembers its answers for a short while.

A token is asked about once, however many requests show it at the same time; so many are asked about at once at the
most. Where Keystone does not answer, nobody is let in whose token is not remembered: requests get 503, at once for a
moment, so that a Keystone that is silent does not hold what has nothing to do with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import ssl
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct

from tenet.placement.errors import Unauthorized, Unavailable
from tenet.placement.outgoing import Answered, NotAnswered, ask
from tenet.placement.rules.tokens import (
    Account,
    Meanings,
    NoToken,
    authentication,
    may_be_token,
    read_token,
    tokens_url,
)
from tenet.wire.door import Measured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tenet.base.clock import Clock
    from tenet.placement.rules.policy import Sender
    from tenet.wire.door import Measure

#: Tokens that are remembered, good ones and bad ones; the one that was not shown for the longest time goes first.
KNOWN_MAX: Final = 10_000
REFUSED_MAX: Final = 1_000
#: How long a bad token is remembered, seconds: one that was just made may not be known everywhere yet.
REFUSED_S: Final = 5.0
#: Tokens that are asked about at once, and requests that wait for an answer.
ASKING_MAX: Final = 64
WAITING_MAX: Final = 256
#: For how long nothing is asked after Keystone did not answer, seconds.
AGAIN_S: Final = 1.0
#: The same after Keystone has refused the user's password: who tries one too often is locked out.
LOGIN_AGAIN_S: Final = 10.0
#: How long before its end Tenet's own token is renewed, milliseconds.
_RENEW_MS: Final = 60_000
_MS: Final = 1000
_OK: Final = 200
_CREATED: Final = 201
_UNAUTHORIZED: Final = 401
#: It knows no such token, or takes it for none at all. Anything else says more about Keystone than about the token.
_NOT_KNOWN: Final = frozenset({400, 404})
_DOWN: Final = "Keystone, which knows whose token this is, does not answer. Nothing was done; try again."
_BUSY: Final = "Too many tokens are being validated by Keystone now. Nothing was done; try again."

_log = structlog.get_logger(__name__)


class KeystoneSettings(Struct, frozen=True):
    """How a Keystone is reached.

    Args:
        auth_url: its URL.
        account: as whom Tenet speaks to it.
        password_file: the password of that user; read when it is needed, so that it may be changed.
        ca_file: PEM file of the authorities that certificates have to be from; None: those of the system.
        cache_s: how long an answer is believed, at the most; 0 asks for every request.
        timeout_s: how long asking about a token may take.
        meanings: what roles mean.
    """

    auth_url: str
    account: Account
    password_file: Path
    ca_file: Path | None
    cache_s: float
    timeout_s: float
    meanings: Meanings


class _Found(Struct, frozen=True):
    """What came of asking about a token: whose it is; None for nobody's, or where there was trouble."""

    sender: Sender | None
    until_s: float = -math.inf
    trouble: str = ""


class _Trouble(Exception):
    """Keystone does not say whose a token is."""


class Keystone:
    """A Keystone.

    Args:
        settings: how it is reached.
        clock: time.
    """

    def __init__(self, settings: KeystoneSettings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._url = tokens_url(settings.auth_url)
        self._tls: ssl.SSLContext | None = None
        self._known: OrderedDict[bytes, _Found] = OrderedDict()
        self._refused: OrderedDict[bytes, _Found] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[_Found]] = {}
        self._waiting = 0
        self._again_s = -math.inf
        self._log_again_s = -math.inf
        self._own = ""
        self._own_until_ms = -1
        self._renewing = asyncio.Lock()
        self._login_again_s = -math.inf
        self._answers = {"valid": 0, "refused": 0, "failed": 0}

    async def sender(self, token: str) -> Sender:
        """Returns whose a token is.

        Args:
            token: what somebody shows.

        Raises:
            Unauthorized: it is nobody's, was revoked, or has expired.
            Unavailable: Keystone does not say.
        """
        if not may_be_token(token):
            raise Unauthorized
        digest = hashlib.sha256(token.encode()).digest()
        found = self._remembered(digest) or await self._ask_once(digest, token)
        if found.trouble:
            raise Unavailable(found.trouble)
        if found.sender is None:
            raise Unauthorized
        return found.sender

    def measures(self) -> Sequence[Measure]:
        """Returns what Keystone was asked, by what came of it."""
        words = "Tokens that Keystone was asked about, by what came of it; one that is remembered is not asked about."
        values: dict[tuple[str, ...], float] = {(outcome,): count for outcome, count in self._answers.items()}
        return (Measured("tenet_placement_tokens_asked", words, ("outcome",), values, is_counter=True),)

    async def close(self) -> None:
        """Stops asking."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- what is remembered ------------------------------------------------------------------------------------------

    def _remembered(self, digest: bytes) -> _Found | None:
        for memory in (self._known, self._refused):
            found = memory.get(digest)
            if found is not None:
                if found.until_s > self._clock.monotonic_s():
                    memory.move_to_end(digest)
                    return found
                del memory[digest]
        return None

    def _remember(self, digest: bytes, found: _Found) -> None:
        memory, most = (self._refused, REFUSED_MAX) if found.sender is None else (self._known, KNOWN_MAX)
        if found.until_s > self._clock.monotonic_s():
            memory[digest] = found
            if len(memory) > most:
                memory.popitem(last=False)

    # ---- asking ------------------------------------------------------------------------------------------------------

    async def _ask_once(self, digest: bytes, token: str) -> _Found:
        """Asks about a token, or waits for whoever asks about it already."""
        task = self._asking.get(digest)
        if task is None and self._clock.monotonic_s() < self._again_s:
            return _Found(None, trouble=_DOWN)
        if self._waiting >= WAITING_MAX or (task is None and len(self._asking) >= ASKING_MAX):
            return _Found(None, trouble=_BUSY)
        if task is None:
            task = self._asking[digest] = asyncio.get_running_loop().create_task(self._find(digest, token))
        self._waiting += 1
        try:
            # Who goes away does not take the answer from the others who wait for it.
            await asyncio.wait([task])
        finally:
            self._waiting -= 1
        return _Found(None, trouble=_DOWN) if task.cancelled() else task.result()

    async def _find(self, digest: bytes, token: str) -> _Found:
        """Asks about a token; raises nothing, as it may be that nobody waits for it any more."""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                found = await self._look_up(token)
        except TimeoutError:
            return self._fail(f"no answer within {self._settings.timeout_s:g} s", is_silent=True)
        except NotAnswered as error:
            return self._fail(str(error), is_silent=True)
        except (_Trouble, NoToken) as error:
            return self._fail(str(error), is_silent=False)
        else:
            self._answers["refused" if found.sender is None else "valid"] += 1
            self._remember(digest, found)
            return found
        finally:
            del self._asking[digest]

    def _fail(self, why: str, *, is_silent: bool) -> _Found:
        self._answers["failed"] += 1
        now_s = self._clock.monotonic_s()
        if now_s >= self._log_again_s:
            _log.error("Keystone does not validate tokens", url=self._url, reason=why)
            self._log_again_s = now_s + AGAIN_S
        if is_silent:
            self._again_s = now_s + AGAIN_S
        return _Found(None, trouble=_DOWN)

    async def _look_up(self, token: str) -> _Found:
        await self._load_authorities()
        own = await self._own_token("")
        answer = await self._get(own, token)
        if answer.status == _UNAUTHORIZED:
            # The own token was revoked, or Keystone has forgotten its keys.
            answer = await self._get(await self._own_token(own), token)
        now_s = self._clock.monotonic_s()
        if answer.status in _NOT_KNOWN:
            return _Found(None, now_s + min(self._settings.cache_s, REFUSED_S))
        if answer.status != _OK:
            raise _Trouble(f"asked about a token, it answers {answer.status}")
        told = read_token(answer.body, self._settings.meanings)
        left_s = (told.expires_ms - self._clock.wall_ms()) / _MS
        if left_s <= 0:
            _log.warning(
                "a token is expired by the clock of this machine, but not by that of Keystone", seconds=-left_s
            )
            return _Found(None, now_s + min(self._settings.cache_s, REFUSED_S))
        return _Found(told.sender, now_s + min(self._settings.cache_s, left_s))

    async def _load_authorities(self) -> None:
        if self._tls is None and self._url.startswith("https://"):
            try:
                self._tls = await asyncio.to_thread(ssl.create_default_context, cafile=self._settings.ca_file)
            except OSError as error:
                raise _Trouble(f"the authorities in {self._settings.ca_file} cannot be read: {error}") from error

    async def _get(self, own: str, token: str) -> Answered:
        headers = {"X-Auth-Token": own, "X-Subject-Token": token}
        return await ask("GET", f"{self._url}?nocatalog", headers, tls=self._tls)

    async def _own_token(self, refused: str) -> str:
        """Returns Tenet's own token, a new one where there is none, it ends soon, or it was refused.

        Args:
            refused: the token that Keystone did not take; empty for none.
        """
        async with self._renewing:
            if self._own == refused or self._clock.wall_ms() >= self._own_until_ms:
                if self._clock.monotonic_s() < self._login_again_s:
                    raise _Trouble(self._refusal)
                self._own, self._own_until_ms = await self._authenticate()
            return self._own

    @property
    def _refusal(self) -> str:
        return f"the password of the user {self._settings.account.user} is refused"

    async def _authenticate(self) -> tuple[str, int]:
        settings = self._settings
        try:
            password = await asyncio.to_thread(settings.password_file.read_text, encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _Trouble(f"the password cannot be read: {error}") from error
        body = authentication(settings.account, password.rstrip("\r\n"))
        answer = await ask("POST", f"{self._url}?nocatalog", {"Content-Type": "application/json"}, body, tls=self._tls)
        if answer.status == _UNAUTHORIZED:
            self._login_again_s = self._clock.monotonic_s() + LOGIN_AGAIN_S
            raise _Trouble(self._refusal)
        if answer.status not in (_OK, _CREATED):
            raise _Trouble(f"asked for a token of the own user, it answers {answer.status}")
        own = answer.headers.get("x-subject-token", "")
        if not may_be_token(own):
            raise _Trouble("it gives the own user a token that is none")
        return own, read_token(answer.body, settings.meanings).expires_ms - _RENEW_MS
