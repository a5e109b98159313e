"""What a request says about its own signature: the Authorization header, or the query of a presigned URL, taken apart.

The texts are DynamoDB's. Nothing here is believed yet; ``sigv4`` checks it.
"""

from __future__ import annotations

import re
from email.utils import parsedate_tz
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from tenet.wire.errors import IncompleteSignature, InvalidSignature, MissingAuthenticationToken

ALGORITHM: Final = "AWS4-HMAC-SHA256"
EXPIRES_S_MAX: Final = 7 * 24 * 3600
_EXPIRES_CHARS_MAX: Final = 20

#: The header as every SDK writes it. What is written otherwise is taken apart, and complained about, piece by piece.
_USUAL_HEADER: Final = re.compile(
    r"(AWS4-HMAC-SHA256) +Credential=([^/,\s]+)/([^/,\s]+)/([^/,\s]+)/([^/,\s]+)/([^/,\s]+),? *"
    r"SignedHeaders=([^,\s]+),? *Signature=([^,\s]+)"
)
_PARTS: Final = ("Credential", "Signature", "SignedHeaders")
_QUERY_PARTS: Final = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")
_CREDENTIAL_PARTS: Final = 5


class Claim(Struct, gc=False):
    """What a request says about its signature.

    Args:
        algorithm: ``ALGORITHM``, if it is one that can be verified.
        credential: access key, date, region, service and terminator; another number of them if it is malformed.
        signed_headers: names, by semicolons.
        signature: hexadecimal digits.
        timestamp: when it was signed, in ISO 8601's basic format.
        token: the session token, or "".
        expires_s: how long a presigned URL is good for; None for a header.
    """

    algorithm: str
    credential: tuple[str, ...]
    signed_headers: str
    signature: str
    timestamp: str
    token: str = ""
    expires_s: int | None = None


def read_claim(query: str, headers: dict[str, str]) -> Claim:
    """Returns what a request says about its signature.

    Raises:
        MissingAuthenticationToken: it says nothing.
        IncompleteSignature: it leaves a part out.
        InvalidSignature: it says it twice.
    """
    authorization = headers.get("authorization")
    presigned = "X-Amz-Algorithm=" in query
    if authorization is None or presigned:
        if authorization is not None:
            raise InvalidSignature(
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
            )
        if not presigned:
            raise MissingAuthenticationToken("Request is missing Authentication Token")
        return _read_query(query)
    date = headers.get("x-amz-date")
    token = headers.get("x-amz-security-token", "")
    usual = _USUAL_HEADER.fullmatch(authorization)
    if usual is None or date is None:
        return _read_header(authorization, date or _basic_date(headers.get("date", "")), token)
    algorithm, key_id, day, region, service, terminator, names, signature = usual.groups()
    return Claim(algorithm, (key_id, day, region, service, terminator), names, signature, date, token)


def _read_header(authorization: str, date: str, token: str) -> Claim:
    if not authorization.lstrip().startswith("AWS4-"):
        raise MissingAuthenticationToken("Request is missing Authentication Token")
    algorithm, _, rest = authorization.strip().partition(" ")
    parts: dict[str, str] = {}
    for piece in rest.replace(",", " ").split():
        name, equals, value = piece.partition("=")
        if not equals:
            raise IncompleteSignature(
                f"'{piece}' not a valid key=value pair (missing equal-sign) in Authorization header: '{authorization}'."
            )
        parts[name] = value
    missing = [f"Authorization header requires '{name}' parameter. " for name in _PARTS if not parts.get(name)]
    if not date:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
    if missing:
        raise IncompleteSignature("".join(missing) + f"Authorization={authorization}")
    return Claim(
        algorithm, _split_credential(parts["Credential"]), parts["SignedHeaders"], parts["Signature"], date, token
    )


def _read_query(query: str) -> Claim:
    parts: dict[str, str] = {}
    for piece in query.split("&"):
        name, _, value = piece.partition("=")
        parts.setdefault(unquote(name, "latin-1"), unquote(value, "latin-1"))
    missing = [f"AWS query-string parameters must include '{name}'. " for name in _QUERY_PARTS if not parts.get(name)]
    if missing:
        raise IncompleteSignature("".join(missing) + "Re-examine the query-string parameters.")
    return Claim(
        parts["X-Amz-Algorithm"],
        _split_credential(parts["X-Amz-Credential"]),
        parts["X-Amz-SignedHeaders"],
        parts["X-Amz-Signature"],
        parts["X-Amz-Date"],
        parts.get("X-Amz-Security-Token", ""),
        _expires(parts.get("X-Amz-Expires", "900")),
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


def _split_credential(credential: str) -> tuple[str, ...]:
    """Splits from the right, so that a slash too many is seen as one; slashes at the end do not count."""
    return tuple(credential.rstrip("/").split("/"))


def _basic_date(text: str) -> str:
    """Returns a Date header in the basic format; as it is where it is no date of HTTP."""
    parsed = parsedate_tz(text)
    if parsed is None:
        return text
    year, month, day, hour, minute, second = parsed[:6]
    return f"{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"


def check_credential(claim: Claim) -> None:
    """Checks what can be told from the claim alone, after its time and its signed headers.

    Raises:
        IncompleteSignature: the algorithm or the form of the credential is not one that can be verified.
    """
    if claim.algorithm != ALGORITHM:
        raise IncompleteSignature(f"Unsupported AWS 'algorithm': '{claim.algorithm}' (only {ALGORITHM} for now). ")
    if len(claim.credential) != _CREDENTIAL_PARTS:
        raise IncompleteSignature(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            f"got '{'/'.join(claim.credential)}'"
        )
