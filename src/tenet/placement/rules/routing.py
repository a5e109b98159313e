"""Paths by their forms: ``/traits/CUSTOM_X`` is ``/traits/{name}`` with a name."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from tenet.placement.errors import BadRequest


class Paths:
    """Finds the form of a path.

    Args:
        forms: with named parts in braces; no two of them fit the same path.
    """

    def __init__(self, forms: Iterable[str]) -> None:
        self._forms = [(form, form.split("/")) for form in forms]
        self._exact = {form for form, _ in self._forms if "{" not in form}

    def find(self, path: str) -> tuple[str, dict[str, str]] | None:
        """Returns the form of a path with the values of its named parts; None where it has none.

        Args:
            path: percent-encoded.

        Raises:
            BadRequest: a part is not UTF-8.
        """
        if path in self._exact:
            return path, {}
        parts = path.split("/")
        for form, wanted in self._forms:
            if len(wanted) == len(parts):
                values = _values(wanted, parts)
                if values is not None:
                    return form, values
        return None


def _values(wanted: list[str], parts: list[str]) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for name, part in zip(wanted, parts, strict=True):
        if name.startswith("{"):
            if not part:
                return None
            values[name[1:-1]] = _text_of(part)
        elif name != part:
            return None
    return values


def _text_of(part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise BadRequest("The path is not UTF-8.") from None
