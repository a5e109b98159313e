"""Signs requests, for Tenet's own clients: the other side of ``sigv4``."""

from __future__ import annotations

from hashlib import sha256
from time import gmtime, strftime

from tenet.base.clock import Clock
from tenet.wire.canonical import CanonicalHeaders, canonical_path, canonical_query
from tenet.wire.claims import ALGORITHM
from tenet.wire.deriving import TERMINATOR, Signer, derive


def sign_headers(
    method: str,
    target: str,
    headers: dict[str, str],
    body: bytes,
    *,
    access_key_id: str,
    secret: str,
    region: str,
    service: str,
    clock: Clock,
) -> dict[str, str]:
    """Returns the headers with ``x-amz-date`` and ``authorization`` added; all of them are signed.

    Args:
        method: upper case.
        target: path, percent-encoded, with its query.
        headers: by lower-case name; ``host`` has to be among them.
        body: as it will be sent.
        access_key_id: who signs.
        secret: its secret access key.
        region: of the scope.
        service: signing name of the scope.
        clock: time.
    """
    timestamp = strftime("%Y%m%dT%H%M%SZ", gmtime(clock.wall_ms() // 1000))
    date = timestamp[:8]
    headers = {**headers, "x-amz-date": timestamp}
    names = tuple(sorted(headers))
    signed = ";".join(names)
    path, _, query = target.partition("?")
    canonical = (
        f"{method}\n{canonical_path(path)}\n{canonical_query(query)}\n{CanonicalHeaders(names).lines(headers)}\n"
        f"{signed}\n{sha256(body).hexdigest()}"
    )
    scope = f"{date}/{region}/{service}/{TERMINATOR}"
    text = f"{ALGORITHM}\n{timestamp}\n{scope}\n{sha256(canonical.encode('latin-1')).hexdigest()}"
    signature = Signer(derive(secret, (date, region, service))).sign(text.encode("latin-1"))
    headers["authorization"] = (
        f"{ALGORITHM} Credential={access_key_id}/{scope}, SignedHeaders={signed}, Signature={signature}"
    )
    return headers
