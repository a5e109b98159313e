"""What an Accept header takes (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from typing import Final

JSON: Final = "application/json"
HTML: Final = "text/html"


def quality(accept: str, media_type: str) -> float:
    """Returns how much a sender likes a media type, 0 to 1; 0 is not at all.

    Args:
        accept: the header's value; empty takes everything.
        media_type: without parameters, for instance ``application/json``.
    """
    if not accept.strip():
        return 1.0
    best, rank_best = 0.0, -1
    kind = media_type.partition("/")[0]
    ranks = {media_type: 2, f"{kind}/*": 1, "*/*": 0}
    for part in accept.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        rank = ranks.get(name.lower(), -1)
        if rank > rank_best:
            best, rank_best = _quality_of(parameters), rank
    return best


def _quality_of(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def error_type(accept: str) -> str:
    """Returns the media type that an error is told in: JSON where nothing else is asked for.

    Args:
        accept: the header's value; empty or ``*/*`` is taken as JSON.
    """
    if accept.strip() in {"", "*/*"}:
        return JSON
    liking_html, liking_json = quality(accept, HTML), quality(accept, JSON)
    if not liking_html and not liking_json:
        return "text/plain"
    return HTML if liking_html >= liking_json else JSON
