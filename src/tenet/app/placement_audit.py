"""What ``tenet placement audit`` does: opens a store that nobody serves, and has its placement added up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tenet.app.configuration import ConfigurationError
from tenet.app.data_directory import DataDirectory
from tenet.app.engines import is_missing, open_store
from tenet.app.logs import set_up_for_command
from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.placement.api import audit

if TYPE_CHECKING:
    from tenet.app.configuration import Configuration
    from tenet.placement.api import Audited


async def carry_out(configuration: Configuration) -> Audited:
    """Audits the placement of a store.

    Args:
        configuration: says which store.

    Raises:
        ConfigurationError: there is no such store.
        StoreLocked: a server has it open.
        StoreError: it cannot be read.
    """
    directory = DataDirectory(configuration.settings)
    if is_missing(directory):
        raise ConfigurationError([f"there is no store in {directory.engine_and_location[1]}."])
    set_up_for_command()
    store = await open_store(directory, clock=SystemClock(), ids=SystemIds())
    try:
        return await audit(store)
    finally:
        await store.close()


def lines(audited: Audited) -> Iterator[str]:
    """Returns what is printed of an audit: what is wrong, then how much was looked at."""
    for finding in audited.findings:
        yield f"{finding.kind}: {finding.subject}: {finding.text}"
    left_out = audited.count - len(audited.findings)
    if left_out:
        yield f"and {left_out:,} more"
    for remark in audited.remarks:
        yield f"remark: {remark.kind}: {remark.subject}: {remark.text}"
    looked_at = ", ".join(f"{value:,} {name}" for name, value in audited.figures.items())
    verdict = f"mistakes: {audited.count:,}" if audited.count else "everything adds up"
    yield f"{looked_at}: {verdict}."
