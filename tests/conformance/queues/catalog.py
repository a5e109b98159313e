"""Every check of the queues, in the order in which they are told about."""

from __future__ import annotations

from collections import Counter

from tests.conformance.queues import refusals, refused_messages
from tests.conformance.queues.extremes import BEHAVIOURS
from tests.conformance.queues.world import Check

CHECKS: tuple[Check, ...] = (
    *refusals.of_queues(),
    *refusals.of_attributes(),
    *refusals.of_tags(),
    *refusals.of_dead_letters(),
    *refusals.of_permissions(),
    *refusals.of_move_tasks(),
    *refused_messages.of_sending(),
    *refused_messages.of_message_attributes(),
    *refused_messages.of_receiving(),
    *refused_messages.of_batches(),
    *BEHAVIOURS,
)


def key_of(check: Check) -> str:
    """What a check is called in results: no two are called the same."""
    return f"{check.operation}: {check.name}"


def doubles() -> list[str]:
    """Checks that are called the same."""
    return [key for key, count in Counter(map(key_of, CHECKS)).items() if count > 1]
