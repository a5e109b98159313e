"""Lists what was asked of ``/v1/claims``: who asked for what, where it went, and why, or why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from tenet.placement import keys
from tenet.placement.context import Answer, Asked, Context
from tenet.placement.errors import Forbidden
from tenet.placement.rules.claim_lists import LIMIT_USUAL, decode_entry, marker_of, read_list, shown_entry
from tenet.placement.rules.stored_claims import decode_claim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.placement.ops.journal import Entry
    from tenet.placement.rules.claim_lists import ListRequest, Result

_OK: Final = 200
#: How many entries a page looks at, where few of them are what is asked for, and how large it gets, bytes.
_LOOKED_AT_MAX: Final = 10_000
_PAGE_BYTES_MAX: Final = 8 * 1024 * 1024
#: How many claims, of up to 1 MiB each, are read at a time.
_READ_AT_ONCE: Final = 20


async def list_claims(context: Context, asked: Asked) -> Answer:
    """Lists claims and refused requests, oldest first: ``GET /v1/claims``.

    Of a project a query or two and a read for each 20 claims; of all projects two scans more for each page.

    Raises:
        Forbidden: the sender may not see this project.
        BadRequest: a parameter is malformed.
    """
    parameters = dict(asked.parameters)
    viewer: str | None = None
    if not context.policy.allows("admin_or_service", asked.sender):
        viewer = parameters.setdefault("project_id", asked.sender.project)
        if not context.policy.allows("project_reader", asked.sender, viewer):
            raise Forbidden.of("placement:claims:list")
    wanted = read_list(parameters)
    return Answer(_OK, await _Listing(context, asked, wanted, viewer).document())


class _Listing:
    """One page.

    Args:
        context: what it works with.
        asked: the request.
        wanted: what it means.
        viewer: the project that sees it; None: all is seen.
    """

    def __init__(self, context: Context, asked: Asked, wanted: ListRequest, viewer: str | None) -> None:
        self._context = context
        self._deadline = asked.deadline
        self._wanted = wanted
        self._viewer = viewer
        self._shown: list[dict[str, Any]] = []
        self._bytes = 0

    async def document(self) -> dict[str, Any]:
        """Returns the page; with ``next`` where there may be more behind it."""
        lower, looked_at, wanted = self._wanted.lower, 0, self._wanted
        refused = None if wanted.result is None else wanted.result == "refused"
        if wanted.provider is not None:
            refused = False  # what was refused took from none
            if wanted.result == "refused":
                return {"claims": []}
        more = True
        while more and not self._is_full() and looked_at < _LOOKED_AT_MAX:
            entries, more = await self._context.journal.page(
                wanted.project, lower, max(wanted.limit, LIMIT_USUAL), refused=refused, deadline=self._deadline
            )
            looked_at += len(entries)
            for start in range(0, len(entries), _READ_AT_ONCE):
                some = entries[start : start + _READ_AT_ONCE]
                taken = await self._take(some)
                lower = some[taken - 1].record.sort + b"\x00"
                if self._is_full():
                    more = more or start + taken < len(entries)
                    break
        return {"claims": self._shown, **({"next": marker_of(lower[:-1])} if more else {})}

    def _is_full(self) -> bool:
        return len(self._shown) >= self._wanted.limit or self._bytes >= _PAGE_BYTES_MAX

    async def _take(self, entries: Sequence[Entry]) -> int:
        """Takes entries into the page until it is full; returns how many were looked at."""
        provider = self._wanted.provider
        fitting = [entry for entry in entries if provider is None or provider in decode_entry(entry.record.value)]
        asked = [keys.claim_of_entry(entry.record.sort) for entry in fitting if not entry.is_refused]
        documents = await self._context.claims.documents(asked, deadline=self._deadline)
        chosen = {id(entry) for entry in fitting}
        for number, entry in enumerate(entries, 1):
            if id(entry) not in chosen:
                continue
            claim = keys.claim_of_entry(entry.record.sort)
            body = decode_claim(entry.record.value) if entry.is_refused else documents[claim]
            if body is not None:
                self._bytes += len(body)
                result: Result = "refused" if entry.is_refused else "claimed"
                self._shown.append(shown_entry(orjson.loads(body), result, viewer=self._viewer))
            if self._is_full():
                return number
        return len(entries)
