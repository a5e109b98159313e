"""What a request says about its own signature: the Authorization header, or the query of a presigned URL, taken apart.

The texts are DynamoDB's. Nothing here is believed yet; ``sigv4`` checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_tz
from typing import Final
from urllib.parse import unquote

from tenet.wire.canonical import CanonicalHeaders
from tenet.wire.deriving import TERMINATOR
from tenet.wire.errors import IncompleteSignature, InvalidSignature, MissingAuthenticationToken

ALGORITHM: Final = "AWS4-HMAC-SHA256"
EXPIRES_S_MAX: Final = 7 * 24 * 3600
_EXPIRES_S: Final = 900
_EXPIRES_CHARS_MAX: Final = 20
#: More than any client signs.
SIGNED_HEADERS_MAX: Final = 1_000

_PARTS: Final = ("Credential", "Signature", "SignedHeaders")
_QUERY_PARTS: Final = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")
_CREDENTIAL_PARTS: Final = 5
#: A header without meaning for a service, which some SDKs add after signing.
_NEED_NOT_BE_SIGNED: Final = frozenset({"x-amz-user-agent"})


@dataclass(frozen=True)
class Statement:
    """Which key signed which headers for which scope: what the requests of a client have in common for a day.

    Args:
        algorithm: ``ALGORITHM``, if it is one that can be verified.
        credential: access key, date, region, service and terminator; another number of parts if it is malformed.
        access_key_id: the first of them, and the next three; all empty if it is malformed.
        date: eight digits, if it is a day.
        region: any name.
        service: a signing name.
        signed_headers: names, by semicolons.
        names: the same in lower case, one by one.
        canonical: fills their values into the lines of the canonical request.
        may_be_there: the same, and the names of headers that need not be signed.
    """

    algorithm: str
    credential: tuple[str, ...]
    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: str
    names: tuple[str, ...]
    canonical: CanonicalHeaders
    may_be_there: frozenset[str]


@dataclass
class Claim:
    """What one request says about its signature.

    Args:
        statement: who signed what.
        signature: hexadecimal digits.
        timestamp: when it was signed, in ISO 8601's basic format.
        token: the session token, or "".
        expires_s: how long a presigned URL is good for; None for a header.
        front: what stands before the signature in the header, if nothing stands behind it.
    """

    statement: Statement
    signature: str
    timestamp: str
    token: str = ""
    expires_s: int | None = None
    front: str = ""


def read_claim(query: str, headers: dict[str, str]) -> Claim:
    """Returns what a request says about its signature.

    Args:
        query: as it was sent.
        headers: by lower-case name.

    Raises:
        MissingAuthenticationToken: it says nothing.
        IncompleteSignature: it leaves a part out.
        InvalidSignature: it says it twice, or names a header twice or too many of them.
    """
    authorization = headers.get("authorization")
    presigned = bool(query) and "X-Amz-Algorithm=" in query
    if authorization is None or presigned:
        if authorization is not None:
            raise InvalidSignature(
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
            )
        if not presigned:
            raise MissingAuthenticationToken("Request is missing Authentication Token")
        return _read_query(query)
    timestamp = headers.get("x-amz-date") or _basic_date(headers.get("date", ""))
    return _read_header(authorization, timestamp, headers.get("x-amz-security-token", ""))


def _read_header(authorization: str, timestamp: str, token: str) -> Claim:
    if not authorization.startswith("AWS4-"):
        raise MissingAuthenticationToken("Request is missing Authentication Token")
    algorithm, _, rest = authorization.partition(" ")
    parts: dict[str, str] = {}
    for piece in rest.replace(",", " ").split():
        name, equals, value = piece.partition("=")
        if not equals:
            raise IncompleteSignature(
                f"'{piece}' not a valid key=value pair (missing equal-sign) in Authorization header: '{authorization}'."
            )
        parts[name] = value
    missing = [f"Authorization header requires '{name}' parameter. " for name in _PARTS if not parts.get(name)]
    if not timestamp:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
    if missing:
        raise IncompleteSignature("".join(missing) + f"Authorization={authorization}")
    signature = parts["Signature"]
    statement = _statement(algorithm, parts["Credential"], parts["SignedHeaders"])
    front = authorization.removesuffix("Signature=" + signature)
    return Claim(statement, signature, timestamp, token, front="" if front == authorization else front)


def _read_query(query: str) -> Claim:
    parts: dict[str, str] = {}
    for piece in query.split("&"):
        name, _, value = piece.partition("=")
        parts.setdefault(unquote(name, "latin-1"), unquote(value, "latin-1"))
    missing = [f"AWS query-string parameters must include '{name}'. " for name in _QUERY_PARTS if not parts.get(name)]
    if missing:
        raise IncompleteSignature("".join(missing) + "Re-examine the query-string parameters.")
    return Claim(
        _statement(parts["X-Amz-Algorithm"], parts["X-Amz-Credential"], parts["X-Amz-SignedHeaders"]),
        parts["X-Amz-Signature"],
        parts["X-Amz-Date"],
        parts.get("X-Amz-Security-Token", ""),
        _expires(parts["X-Amz-Expires"]) if "X-Amz-Expires" in parts else _EXPIRES_S,
    )


def _statement(algorithm: str, credential: str, signed_headers: str) -> Statement:
    names = tuple(signed_headers.lower().split(";"))
    # The canonical request has a line for each name: named again and again, one header would make it huge.
    if len(names) > SIGNED_HEADERS_MAX or len(frozenset(names)) < len(names):
        raise InvalidSignature(
            f"'SignedHeaders' must name each header once, and at most {SIGNED_HEADERS_MAX} headers in all."
        )
    # Slashes at the end do not count.
    parts = tuple(credential.rstrip("/").split("/"))
    key_id, date, region, service = parts[:4] if len(parts) == _CREDENTIAL_PARTS else ("", "", "", "")
    return Statement(
        algorithm,
        parts,
        key_id,
        date,
        region,
        service,
        signed_headers,
        names,
        CanonicalHeaders(names),
        frozenset(names) | _NEED_NOT_BE_SIGNED,
    )


def _expires(text: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= _EXPIRES_CHARS_MAX):
        raise IncompleteSignature("X-Amz-Expires should be a number")
    expires_s = int(text)
    if expires_s < 0:
        raise IncompleteSignature("X-Amz-Expires must be non-negative")
    if expires_s > EXPIRES_S_MAX:
        raise IncompleteSignature(f"X-Amz-Expires must be less than a week (in seconds) that is {EXPIRES_S_MAX}")
    return expires_s


def _basic_date(text: str) -> str:
    """Returns a Date header in the basic format; as it is where it is no date of HTTP."""
    parsed = parsedate_tz(text)
    if parsed is None:
        return text
    year, month, day, hour, minute, second = parsed[:6]
    return f"{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"


def check_signed(statement: Statement, headers: dict[str, str]) -> None:
    """Checks that what has to be signed is.

    Raises:
        InvalidSignature: ``host``, or an ``x-amz-*`` header of the request, is not.
    """
    if "host" not in statement.may_be_there:
        raise InvalidSignature("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    for name in headers.keys() - statement.may_be_there:
        if name.startswith("x-amz-"):
            raise InvalidSignature(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")


def check_scope(claim: Claim, service: str) -> None:
    """Checks that the signature is one that can be verified, made for this service and for the day of its own time.

    Raises:
        IncompleteSignature: the algorithm or the form of the credential is not one that can be verified.
        InvalidSignature: it was made for something else; every part that is wrong is named.
    """
    statement = claim.statement
    if statement.algorithm != ALGORITHM:
        raise IncompleteSignature(f"Unsupported AWS 'algorithm': '{statement.algorithm}' (only {ALGORITHM} for now). ")
    if len(statement.credential) != _CREDENTIAL_PARTS:
        raise IncompleteSignature(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            f"got '{'/'.join(statement.credential)}'"
        )
    _, date, region, named, terminator = statement.credential
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
