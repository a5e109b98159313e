"""Errors as bytes: JSON as the API-SIG guideline "Errors" has it, HTML or text for those who ask for it."""

from __future__ import annotations

import re
from html import escape
from http import HTTPStatus
from typing import Any, Final

import orjson
from msgspec import Struct

from tenet.placement.errors import ClaimRefused, PlacementError, VersionNotAcceptable
from tenet.placement.rules.accepting import HTML, JSON, error_type
from tenet.placement.rules.microversions import MAX_TEXT, MIN_TEXT

_CODES_SINCE: Final = 23
_TEXT_TYPE: Final = "text/plain; charset=UTF-8"
_HTML_TYPE: Final = "text/html; charset=UTF-8"
#: What precedes the detail of an error of each status; texts of the protocol, which clients show.
_EXPLANATIONS: Final = {
    400: "The server could not comply with the request since it is either malformed or otherwise incorrect.",
    401: (
        "This server could not verify that you are authorized to access the document you requested. Either you "
        "supplied the wrong credentials (e.g., bad password), or your browser does not understand how to supply the "
        "credentials required."
    ),
    403: "Access was denied to this resource.",
    404: "The resource could not be found.",
    405: "The method {method} is not allowed for this resource. ",
    406: "The resource could not be generated that was acceptable to your browser (content of type {accept}. ",
    409: "There was a conflict when trying to complete your request.",
    410: "The resource is not there any more, and will not come back.",
    413: "The body of your request was too large for this server.",
    415: "The request media type {content_type} is not supported by this server. ",
    429: "The client has sent too many requests in a given amount of time",
    500: "The server has either erred or is incapable of performing the requested operation.",
    503: "The server is currently unavailable. Please try again at a later time.",
}
#: Statuses whose texts end with the detail; behind that of others stand two spaces.
_BARE: Final = frozenset({405, 406, 415})
#: What looks like a tag of HTML.
_TAG: Final = re.compile("<.*?>", re.DOTALL)
_TITLES: Final = {413: "Request Entity Too Large"}


class About(Struct, frozen=True):
    """The request that an error answers.

    Args:
        method: upper case.
        accept: what types its sender takes.
        content_type: of its body.
        request_id: as the answer's header has it.
        version: microversion; None where it is not known yet.
    """

    method: str
    accept: str
    content_type: str
    request_id: str
    version: int | None


def error_body(error: PlacementError, about: About) -> tuple[bytes, str]:
    """Returns the body of an error, and its type.

    Args:
        error: what went wrong.
        about: the request.
    """
    status = error.http_status
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    explanation = _EXPLANATIONS[status].format(
        method=about.method, accept=about.accept or JSON, content_type=about.content_type or "None"
    )
    kind = error_type(about.accept)
    text = f"{explanation}\n\n {_in_one_line(error.message)}" + ("" if status in _BARE else "  ")
    if kind == JSON:
        return orjson.dumps({"errors": [_entry(error, about, title, text)]}), JSON
    if kind == HTML:
        detail = f"{explanation}<br /><br />\n{escape(error.message)}" + ("" if status in _BARE else "\n\n")
        heading = f"{status} {title}"
        page = (
            f"<html>\n <head>\n  <title>{heading}</title>\n </head>\n <body>\n  <h1>{heading}</h1>\n  {detail}\n"
            " </body>\n</html>"
        )
        return page.encode(), _HTML_TYPE
    return f"{status} {title}\n\n{text}".encode(), _TEXT_TYPE


def _in_one_line(message: str) -> str:
    """Returns a message without line ends and tags: clients show the last line of a detail, and nothing else."""
    return _TAG.sub("", message.replace("\n", " ").replace("\r", ""))


def _entry(error: PlacementError, about: About, title: str, text: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"status": error.http_status, "title": title, "detail": text}
    if error.is_code_told or (about.version is not None and about.version >= _CODES_SINCE):
        entry["code"] = error.code
    entry["request_id"] = about.request_id
    if isinstance(error, ClaimRefused) and error.why_not is not None:
        entry["why_not"] = error.why_not
    if isinstance(error, VersionNotAcceptable):
        entry["max_version"] = MAX_TEXT
        entry["min_version"] = MIN_TEXT
    return entry
