"""Lists providers and candidates from the read model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

from msgspec.structs import replace

from tenet.placement.context import NOW, Answer, Asked, Context
from tenet.placement.ops.pieces import listed, written
from tenet.placement.rules.documents import provider_document
from tenet.placement.rules.provider_filters import read_provider_filter
from tenet.placement.rules.standard_names import STANDARD_CLASSES, STANDARD_TRAITS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


async def list_resource_providers(context: Context, asked: Asked) -> Answer:
    """Lists providers that pass filters: ``GET /resource_providers``. From the read model; a round trip or two.

    Raises:
        BadRequest: a filter is malformed, or names a class or trait that does not exist.
        Unavailable: the list was not done in time.
    """
    classes, traits = await known_names(context, asked)
    wanted = read_provider_filter(asked.query_string, asked.version, classes=classes, traits=traits)
    modified_ms = NOW

    def documents() -> Iterator[dict[str, Any]]:
        nonlocal modified_ms
        for provider in context.keeper.fleet.matching(wanted):
            modified_ms = max(modified_ms, provider.updated_ms)
            yield provider_document(provider, asked.version, asked.base)

    answer = await written(context, asked, listed("resource_providers", documents()))
    # When the last of them was changed is known at the end, and of a long answer said before.
    return replace(answer, modified_ms=NOW if answer.pieces is not None else modified_ms)


async def known_names(context: Context, asked: Asked) -> tuple[Collection[str], Collection[str]]:
    """Returns the names of resource classes and of traits that there are: all standard ones, custom ones as named.

    A round trip where the query string has a custom name in it, however many there are.
    """
    named = set(_CUSTOM.findall(unquote_plus(asked.query_string)))
    if not named:
        return _CLASSES, _TRAITS
    classes, traits = await context.names.existing(named, deadline=asked.deadline)
    return _CLASSES | classes, _TRAITS | traits


_CUSTOM: Final = re.compile(r"CUSTOM_[A-Z0-9_]+")
_CLASSES = frozenset(STANDARD_CLASSES)
_TRAITS = frozenset(STANDARD_TRAITS)
