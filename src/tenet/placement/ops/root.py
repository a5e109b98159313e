"""Shows which versions of the API there are."""

from __future__ import annotations

from tenet.placement.context import NOW, Answer, Asked, Context
from tenet.placement.rules.microversions import MAX_TEXT, MIN_TEXT


async def show_versions(_context: Context, _asked: Asked) -> Answer:
    """Shows the one version of the API and its microversions: ``GET /``. No round trip."""
    version = {
        "id": f"v{MIN_TEXT}",
        "max_version": MAX_TEXT,
        "min_version": MIN_TEXT,
        "status": "CURRENT",
        "links": [{"rel": "self", "href": ""}],
    }
    return Answer(200, {"versions": [version]}, modified_ms=NOW)
