"""Lists of what was asked of ``/v1/claims``: what is stored for them, what they are asked for, what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec
import orjson
from msgspec import Struct

from tenet.placement import keys
from tenet.placement.errors import BadRequest, ClaimRefused, PlacementError
from tenet.placement.model import PROJECT_CHARS_MAX
from tenet.placement.rules.stored import FORMAT
from tenet.placement.rules.validation import canonical_uuid
from tenet.store.errors import StoreCorrupt
from tenet.store.formats import decode_marked

LIMIT_MAX: Final = 1_000
LIMIT_USUAL: Final = 100
_LIMIT_DIGITS_MAX: Final = 4
#: A refused request with its answer, in bytes; of a larger one the request is left out, and of one that still is, why.
REFUSAL_BYTES_MAX: Final = 64 * 1024
_TIME_MS_MAX: Final = 2**53
_PARAMETERS: Final = ("project_id", "provider", "since", "result", "limit", "marker")

Result: TypeAlias = Literal["claimed", "refused"]


class ListRequest(Struct, frozen=True):
    """What a list is asked for.

    Args:
        project: whose claims; None: those of all projects.
        provider: uuid; only claims that took from it; None: all.
        result: only those; None: all.
        limit: the most entries of a page, 1 to ``LIMIT_MAX``.
        lower: the first sort key that is listed.
    """

    project: str | None
    provider: str | None
    result: Result | None
    limit: int
    lower: bytes


def read_list(parameters: Mapping[str, str]) -> ListRequest:
    """Returns what the parameters of a list mean.

    Raises:
        BadRequest: one is unknown or of another form.
    """
    unknown = sorted(parameters.keys() - set(_PARAMETERS))
    if unknown:
        raise _invalid(f"there is no parameter {unknown[0]!r}; there are: {', '.join(_PARAMETERS)}")
    result = parameters.get("result")
    if result not in {None, "claimed", "refused"}:
        raise _invalid(f"'result' is {result!r}; it may be 'claimed' or 'refused'")
    project = parameters.get("project_id")
    if project is not None and len(project) > PROJECT_CHARS_MAX:
        raise _invalid(f"'project_id' has {len(project)} characters; it may have {PROJECT_CHARS_MAX}")
    provider = parameters.get("provider")
    if provider is not None and canonical_uuid(provider) is None:
        raise _invalid(f"'provider' is {provider!r}, and not a uuid")
    since = keys.entry_sort(_since_ms(parameters.get("since", "0")))
    return ListRequest(
        project=project,
        provider=canonical_uuid(provider),
        result="claimed" if result == "claimed" else "refused" if result else None,
        limit=_limit(parameters.get("limit", str(LIMIT_USUAL))),
        lower=max(since, _behind(parameters["marker"])) if "marker" in parameters else since,
    )


def _invalid(what: str) -> BadRequest:
    return BadRequest(f"Invalid query string parameters: {what}.")


def _limit(text: str) -> int:
    digits = text.lstrip("0") if text.isascii() and text.isdigit() else ""
    if not digits or len(digits) > _LIMIT_DIGITS_MAX or int(digits) > LIMIT_MAX:
        raise _invalid(f"'limit' is {text!r}; it may be 1 to {LIMIT_MAX}")
    return int(digits)


def _since_ms(text: str) -> int:
    if text.isascii() and text.isdigit():
        return min(int(text[:20]), _TIME_MS_MAX)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _invalid(f"'since' is {text!r}, and neither milliseconds since 1970 nor a time as in ISO 8601") from None
    return max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000))


def marker_of(sort: bytes) -> str:
    """Returns what stands for the place of an entry in a list."""
    return sort.hex()


def _behind(marker: str) -> bytes:
    try:
        sort = bytes.fromhex(marker)
    except ValueError:
        sort = b""
    if len(sort) != keys.ENTRY_BYTES or not keys.is_entry(sort):
        raise _invalid("'marker' is none that a list gave")
    return sort + b"\x00"


# ---- what is stored --------------------------------------------------------------------------------------------------

_encoder: Final = msgspec.msgpack.Encoder()
_providers: Final = msgspec.msgpack.Decoder(list[bytes])


def encode_entry(providers: list[str]) -> bytes:
    """Returns what a project has of a claim for lists, beside its time: the providers, which are uuids."""
    return FORMAT + _encoder.encode([keys.uuid_bytes(uuid) for uuid in providers])


def decode_entry(value: bytes) -> list[str]:
    """Returns the providers of a claim.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    what = "an entry of a list of claims"
    providers = decode_marked(value, _providers, what, mark=FORMAT)
    try:
        return [keys.uuid_text(one) for one in providers]
    except ValueError as error:
        raise StoreCorrupt(f"{what} cannot be read: {error}") from error


def refusal_document(claim: str, now_ms: int, request: Mapping[str, Any], error: PlacementError) -> bytes:
    """Returns what is kept of a refused request, JSON of at most ``REFUSAL_BYTES_MAX`` bytes.

    Args:
        claim: a uuid for it.
        now_ms: milliseconds since 1970.
        request: as it was sent.
        error: what it was answered.
    """
    told: dict[str, Any] = {"code": error.code, "detail": error.message}
    if isinstance(error, ClaimRefused) and error.why_not is not None:
        told["why_not"] = error.why_not
    document = {"claim": claim, "claimed_ms": now_ms, "request": request, "error": told}
    written = orjson.dumps(document)
    if len(written) > REFUSAL_BYTES_MAX:
        written = orjson.dumps({**document, "request": None})
    if len(written) > REFUSAL_BYTES_MAX:
        written = orjson.dumps({**document, "request": None, "error": {"code": error.code, "detail": ""}})
    return written


# ---- what is shown ---------------------------------------------------------------------------------------------------


def shown_entry(document: dict[str, Any], result: Result, *, viewer: str | None) -> dict[str, Any]:
    """Returns a claim or a refused request as a list shows it.

    Args:
        document: as it is stored.
        result: what came of it.
        viewer: the project that sees it, and nothing of others with which it was asked together; None: all is seen.
    """
    shown = {"result": result, **document}
    request = document["request"]
    if viewer is None:
        return shown
    if request is None:  # nobody knows any more for whom it was
        return {**shown, "error": {"code": document["error"]["code"], "detail": ""}}
    own = [one for one in request["consumers"] if one["project_id"] == viewer]
    if len(own) == len(request["consumers"]):
        return shown
    shown["request"] = {**request, "consumers": own}
    if "consumers" in document:
        mine = {canonical_uuid(one["uuid"]) for one in own}
        shown["consumers"] = {uuid: one for uuid, one in document["consumers"].items() if uuid in mine}
    if "error" in document:
        shown["error"] = {"code": document["error"]["code"], "detail": "It was asked for together with others."}
    return shown
