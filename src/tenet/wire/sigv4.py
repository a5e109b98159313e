"""AWS Signature Version 4, verified: who sent a request, and that it arrived as it was sent.

Source: AWS IAM User Guide, "AWS Signature Version 4 for API requests". The order of the checks and the texts are those
of DynamoDB in us-east-1.

* Every request is verified by itself: nothing is remembered by request or signature. What is remembered is what a
  client's requests have in common for a day: the parsed front of the header, and the key that its scope derives to.
* The hash of the very body is what counts, whatever ``X-Amz-Content-Sha256`` says: unsigned and streamed payloads do
  not verify, as they do not with the services that Tenet speaks for.
* ``host`` and every ``x-amz-*`` header that a request carries have to be signed.
"""

from __future__ import annotations

import re
from calendar import timegm
from hashlib import sha256
from hmac import compare_digest
from time import gmtime, strftime, strptime
from typing import Final

from tenet.wire.canonical import canonical_path, canonical_query
from tenet.wire.claims import ALGORITHM, Claim, Statement, check_scope, check_signed, read_claim
from tenet.wire.credentials import AccessKey, Keys
from tenet.wire.deriving import TERMINATOR, Signer, derive
from tenet.wire.door import Request
from tenet.wire.errors import IncompleteSignature, InvalidSignature, UnrecognizedClient

SKEW_S: Final = 15 * 60

#: Statements, and times, that are remembered in parsed form.
_REMEMBERED_MAX: Final = 1024
#: Sets of header names that are remembered of a client.
_COVERED_MAX: Final = 32

_ALGORITHM_LINE: Final = ALGORITHM + "\n"

_BASIC_FORMAT: Final = "%Y%m%dT%H%M%SZ"
_BASIC: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")

MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
UNKNOWN_KEY: Final = "The security token included in the request is invalid."
UNKNOWN_TOKEN: Final = "The security token included in the request is invalid"  # noqa: S105 (what is said of one)

#: For the log alone: clients are told what the service tells them.
_OF_A_SESSION: Final = (
    "the request has a session token, and Tenet gives out none: unset AWS_SESSION_TOKEN at the client"
)


class _Known:
    """What the right signatures of a client had in common: it is looked up by what stands before them in the header.

    Args:
        statement: who signed what.
        service: the signing name that the scope was right for.
        key: the access key that they were made with.
        signer: what it derived to.
    """

    __slots__ = ("canonical", "covered", "date", "key", "names", "scope", "service", "sign", "statement")

    def __init__(self, statement: Statement, service: str, key: AccessKey, signer: Signer) -> None:
        self.statement = statement
        self.service = service
        self.key = key
        self.sign = signer.sign
        self.canonical = statement.canonical.lines
        self.names = statement.signed_headers
        self.date = statement.date
        #: The line of the scope in what is signed.
        self.scope = _scope_line(statement, service)
        #: Names of all headers of a request, of which all that have to be were signed.
        self.covered: set[tuple[str, ...]] = set()


class Verifier:
    """Verifies signatures.

    Args:
        keys: where access keys are looked up.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._known: dict[str, _Known] = {}
        self._times: dict[str, int] = {}

    def verify(self, request: Request, headers: dict[str, str], service: str, wall_s: int) -> None:
        """Finds out who signed a request, and sets its ``principal`` and ``region``.

        Args:
            request: as it was sent, the body still compressed.
            headers: its headers.
            service: the signing name that the scope has to be for.
            wall_s: the time, seconds since 1970.

        Raises:
            MissingAuthenticationToken: it is not signed.
            IncompleteSignature: the signature lacks a part, or a part cannot be read.
            InvalidSignature: it is out of its time or its scope, leaves out a header, or does not match.
            UnrecognizedClient: there is no such access key, or there is a session token, which nobody gives out.
        """
        front, _, signature = headers.get("authorization", "").rpartition("Signature=")
        known = self._known.get(front)
        if known is None or request.query:
            self._verify_new(request, headers, service, wall_s)
            return
        timestamp = headers.get("x-amz-date", "")
        signed_s = self._times.get(timestamp)
        statement = known.statement
        if (
            signed_s is None
            or not -SKEW_S <= signed_s - wall_s <= SKEW_S
            or known.date != timestamp[:8]
            or known.service != service
            or known.key is not self._keys.find(statement.access_key_id)
            or "x-amz-security-token" in headers
        ):
            # Something is new, or wrong, which is then told in its order.
            self._verify_new(request, headers, service, wall_s)
            return
        names = tuple(headers)
        if names not in known.covered:
            check_signed(statement, headers)
            known.covered.add(names)
            if len(known.covered) > _COVERED_MAX:
                known.covered.clear()
        path = request.path
        if path != "/":
            path = canonical_path(path)
        canonical = (
            f"{request.method}\n{path}\n\n{known.canonical(headers)}\n{known.names}\n{sha256(request.body).hexdigest()}"
        )
        text = f"{_ALGORITHM_LINE}{timestamp}\n{known.scope}{sha256(canonical.encode('latin-1')).hexdigest()}"
        if not signature.isascii() or not compare_digest(known.sign(text.encode("latin-1")), signature):
            raise InvalidSignature(MISMATCH)
        request.principal, request.region = known.key.principal, statement.region

    def _verify_new(self, request: Request, headers: dict[str, str], service: str, wall_s: int) -> None:
        """Verifies a signature step by step, and remembers what the next ones may have in common with it."""
        query = request.query
        claim = read_claim(query, headers)
        statement = claim.statement
        self._check_time(claim, wall_s)
        check_signed(statement, headers)
        check_scope(claim, service)
        key = self._keys.find(statement.access_key_id)
        if claim.token:
            # Nothing in what the client is told points at a variable that was left in its shell.
            request.notes["hint"] = _OF_A_SESSION
        if key is None:
            raise UnrecognizedClient(UNKNOWN_KEY)
        query = canonical_query(query, without=None if claim.expires_s is None else "X-Amz-Signature")
        canonical = (
            f"{request.method}\n{canonical_path(request.path)}\n{query}\n{statement.canonical.lines(headers)}\n"
            f"{statement.signed_headers}\n{sha256(request.body).hexdigest()}"
        )
        text = (
            f"{_ALGORITHM_LINE}{claim.timestamp}\n{_scope_line(statement, service)}"
            f"{sha256(canonical.encode('latin-1')).hexdigest()}"
        )
        scope = statement.date, statement.region, service
        signer = key.signers.get(scope) or Signer(derive(key.secret, scope))
        if not claim.signature.isascii() or not compare_digest(signer.sign(text.encode("latin-1")), claim.signature):
            raise InvalidSignature(MISMATCH)
        if claim.token:
            raise UnrecognizedClient(UNKNOWN_TOKEN)
        # Kept of a right signature alone, so that strangers cannot fill the memory.
        key.keep(scope, signer)
        if claim.front:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            self._known[claim.front] = _Known(statement, service, key, signer)
        request.principal, request.region = key.principal, statement.region

    def _check_time(self, claim: Claim, wall_s: int) -> None:
        timestamp = claim.timestamp
        signed_s = self._times.get(timestamp)
        if signed_s is None:
            signed_s = self._read_time(timestamp)
        good_s = SKEW_S if claim.expires_s is None else claim.expires_s
        if signed_s + good_s < wall_s:
            raise InvalidSignature(
                f"Signature expired: {timestamp} is now earlier than {_basic(wall_s - good_s)} "
                f"({_basic(wall_s)} - {good_s // 60} min.)"
            )
        if signed_s > wall_s + SKEW_S:
            raise InvalidSignature(
                f"Signature not yet current: {timestamp} is still later than {_basic(wall_s + SKEW_S)} "
                f"({_basic(wall_s)} + {SKEW_S // 60} min.)"
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


def _scope_line(statement: Statement, service: str) -> str:
    return f"{statement.date}/{statement.region}/{service}/{TERMINATOR}\n"


def _basic(seconds: int) -> str:
    return strftime(_BASIC_FORMAT, gmtime(seconds))
