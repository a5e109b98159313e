"""Cross-origin requests of browsers, answered as DynamoDB does: every origin may, as every request is signed."""

from __future__ import annotations

from typing import Final

PREFLIGHT_S: Final = 172_800
_EXPOSED: Final = "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date"


def preflight_headers(headers: dict[str, str]) -> str:
    """Returns the header lines that answer an OPTIONS request of a browser.

    Args:
        headers: of the request; whatever methods and headers it asks for are allowed.
    """
    lines = ["Access-Control-Allow-Origin: *\r\n"]
    asked = headers.get("access-control-request-headers")
    if asked:
        lines.append(f"Access-Control-Allow-Headers: {asked}\r\n")
    method = headers.get("access-control-request-method")
    if method:
        lines.append(f"Access-Control-Allow-Methods: {method}\r\n")
    lines.append(f"Access-Control-Max-Age: {PREFLIGHT_S}\r\n")
    return "".join(lines)


#: The header lines of every other answer to a request that names its origin.
ANSWER_HEADERS: Final = f"Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: {_EXPOSED}\r\n"
