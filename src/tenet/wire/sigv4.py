"""AWS Signature Version 4, verified: who sent a request, and that it arrived as it was sent.

Source: AWS IAM User Guide, "AWS Signature Version 4 for API requests". The order of the checks and the texts are those
of DynamoDB in us-east-1.

* Every request is verified by itself: nothing is remembered by request or signature, only what an access key derives to
  for a day, a region and a service.
* The hash of the very body is what counts, whatever ``X-Amz-Content-Sha256`` says: unsigned and streamed payloads do
  not verify, as they do not with the services that Tenet speaks for.
* ``host`` and every ``x-amz-*`` header that a request carries have to be signed.
"""

from __future__ import annotations

import hmac
import re
from calendar import timegm
from hashlib import sha256
from time import gmtime, strftime, strptime
from typing import Final

from msgspec import Struct

from tenet.base.clock import Clock
from tenet.wire.canonical import canonical_headers, canonical_path, canonical_query
from tenet.wire.claims import Claim, check_credential, read_claim
from tenet.wire.credentials import TERMINATOR, Keys
from tenet.wire.door import Principal
from tenet.wire.errors import IncompleteSignature, InvalidSignature, UnrecognizedClient

SKEW_S: Final = 15 * 60

#: Lists of signed headers, and times, that are remembered in the form that they are needed in.
_REMEMBERED_MAX: Final = 1024
#: A header without meaning for a service, which some SDKs add after signing.
_NEED_NOT_BE_SIGNED: Final = frozenset({"x-amz-user-agent"})

_BASIC_FORMAT: Final = "%Y%m%dT%H%M%SZ"
_BASIC: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")

MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
UNKNOWN_KEY: Final = "The security token included in the request is invalid."


class Verified(Struct, frozen=True, gc=False):
    """Who signed, and for which region."""

    principal: Principal
    region: str


class Verifier:
    """Verifies signatures.

    Args:
        keys: where access keys are looked up.
        clock: time, for the skew.
    """

    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._names: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {}
        self._times: dict[str, int] = {}

    def verify(
        self, method: str, path: str, query: str, headers: dict[str, str], body: bytes, *, service: str
    ) -> Verified:
        """Says who signed a request.

        Args:
            method: as it was sent.
            path: percent-encoded, as it was sent.
            query: as it was sent.
            headers: by lower-case name.
            body: as it was sent, still compressed.
            service: the signing name that the scope has to be for.

        Raises:
            MissingAuthenticationToken: it is not signed.
            IncompleteSignature: the signature lacks a part, or a part cannot be read.
            InvalidSignature: it is out of its time or its scope, leaves out a header, or does not match.
            UnrecognizedClient: there is no such access key, or there is a session token, which nobody gives out.
        """
        claim = read_claim(query, headers)
        self._check_time(claim)
        names = self._signed_names(claim.signed_headers, headers)
        check_credential(claim)
        _check_scope(claim, service)
        key_id, date, region, _, _ = claim.credential
        key = self._keys.find(key_id)
        if key is None:
            raise UnrecognizedClient(UNKNOWN_KEY)
        if query:
            query = canonical_query(query, without="" if claim.expires_s is None else "X-Amz-Signature")
        canonical = (
            f"{method}\n{canonical_path(path)}\n{query}\n{canonical_headers(names, headers)}\n"
            f"{claim.signed_headers}\n{sha256(body).hexdigest()}"
        )
        text = (
            f"AWS4-HMAC-SHA256\n{claim.timestamp}\n{date}/{region}/{service}/{TERMINATOR}\n"
            f"{sha256(canonical.encode('latin-1')).hexdigest()}"
        )
        signer = key.signer(date, region, service)
        if not hmac.compare_digest(signer.sign(text.encode("latin-1")), claim.signature.encode("latin-1")):
            raise InvalidSignature(MISMATCH)
        key.keep(date, region, service, signer)
        if claim.token:
            raise UnrecognizedClient(UNKNOWN_KEY)
        return Verified(key.principal, region)

    def _check_time(self, claim: Claim) -> None:
        signed_s = self._times.get(claim.timestamp)
        if signed_s is None:
            signed_s = self._read_time(claim.timestamp)
        now_s = self._clock.wall_ms() // 1000
        good_s = SKEW_S if claim.expires_s is None else claim.expires_s
        if signed_s + good_s < now_s:
            raise InvalidSignature(
                f"Signature expired: {claim.timestamp} is now earlier than {_basic(now_s - good_s)} "
                f"({_basic(now_s)} - {good_s // 60} min.)"
            )
        if signed_s > now_s + SKEW_S:
            raise InvalidSignature(
                f"Signature not yet current: {claim.timestamp} is still later than {_basic(now_s + SKEW_S)} "
                f"({_basic(now_s)} + {SKEW_S // 60} min.)"
            )

    def _read_time(self, timestamp: str) -> int:
        try:
            signed_s = timegm(strptime(timestamp, _BASIC_FORMAT)) if _BASIC.fullmatch(timestamp) else None
        except ValueError:
            signed_s = None
        if signed_s is None:
            raise IncompleteSignature(
                f"Date must be in ISO-8601 'basic format'. Got '{timestamp}'. See http://en.wikipedia.org/wiki/ISO_8601"
            )
        if len(self._times) >= _REMEMBERED_MAX:
            self._times.clear()
        self._times[timestamp] = signed_s
        return signed_s

    def _signed_names(self, signed_headers: str, headers: dict[str, str]) -> tuple[str, ...]:
        parsed = self._names.get(signed_headers)
        if parsed is None:
            names = tuple(signed_headers.lower().split(";"))
            parsed = names, frozenset(names) | _NEED_NOT_BE_SIGNED
            if len(self._names) >= _REMEMBERED_MAX:
                self._names.clear()
            self._names[signed_headers] = parsed
        names, fine = parsed
        if "host" not in fine:
            raise InvalidSignature("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
        for name in headers:
            if name.startswith("x-amz-") and name not in fine:
                raise InvalidSignature(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
        return names


def _check_scope(claim: Claim, service: str) -> None:
    _, date, region, named, terminator = claim.credential
    today = claim.timestamp[:8]
    if date == today and named == service and terminator == TERMINATOR and region:
        return
    wrong = []
    if not region:
        wrong.append(f"Credential should be scoped to a valid region, not '{region}'. ")
    if named != service:
        wrong.append(f"Credential should be scoped to correct service: '{service}'. ")
    if terminator != TERMINATOR:
        wrong.append(f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'. ")
    if date != today:
        wrong.append(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{date}' != '{today}', from '{claim.timestamp}'. "
        )
    raise InvalidSignature("".join(wrong))


def _basic(seconds: int) -> str:
    return strftime(_BASIC_FORMAT, gmtime(seconds))
