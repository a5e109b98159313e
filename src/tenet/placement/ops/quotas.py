"""Quotas of projects: shown, set and taken away, and what every commit has to write because of them.

What is remembered of quotas is a cache, which every commit checks: where a quota was changed, the commit is refused,
and planned again with what is read then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.placement import keys
from tenet.placement.context import Answer, Asked, Context
from tenet.placement.errors import BadRequest, Forbidden
from tenet.placement.ops.committing import Plan, PlanAgain
from tenet.placement.rules.quotas import (
    Subject,
    changed,
    check_project,
    counting,
    put_writes,
    quota_document,
    read_quota,
    summed,
)
from tenet.store.contract import IsVersion

if TYPE_CHECKING:
    from collections.abc import Mapping

_NO_CONTENT: Final = 204


async def show_quota(context: Context, asked: Asked) -> Answer:
    """Shows what a project may have, has, and what is left: ``GET /v1/quotas/{project_id}``. Three round trips.

    Raises:
        Forbidden: the sender may not see this project.
    """
    project = check_project(asked.path["project_id"])
    if not context.policy.allows("project_reader", asked.sender, project):
        raise Forbidden.of("placement:quotas:show")
    quota = (await context.quotas.read([project], deadline=asked.deadline))[project].quota
    uses, consumers = await context.reader.project(project, deadline=asked.deadline)
    return Answer(200, quota_document(project, quota, summed([*uses.items(), *consumers.items()])))


async def set_quota(context: Context, asked: Asked) -> Answer:
    """Sets what a project may have, all of it: ``PUT /v1/quotas/{project_id}``.

    Two commits in the project's partition where it limits something that was not limited before, else one.

    Raises:
        BadRequest: the body is malformed, or names a class that does not exist.
    """
    limits = read_quota(asked.body)
    names = sorted({name for _, name in limits if name})
    missing = await context.names.missing_classes(names, deadline=asked.deadline)
    if missing:
        raise BadRequest(f"No such resource class {missing[0]}.")
    await _put(context, asked, limits)
    return await show_quota(context, asked)


async def delete_quota(context: Context, asked: Asked) -> Answer:
    """Takes all limits from a project: ``DELETE /v1/quotas/{project_id}``. The same where it has none; a commit."""
    await _put(context, asked, {})
    return Answer(_NO_CONTENT)


async def _put(context: Context, asked: Asked, limits: Mapping[Subject, int]) -> None:
    """Puts limits into force: of what is limited totals are kept before they are made right."""
    project = check_project(asked.path["project_id"])
    deadline = asked.deadline

    async def count() -> tuple[Plan, None]:
        found = (await context.quotas.read([project], deadline=deadline))[project]
        if set(limits) <= set(found.quota.counted):
            return Plan(()), None
        checks = [IsVersion(keys.quota_key(project), found.version)]
        return Plan(put_writes(project, counting(found.quota, limits), {}, found.counted), checks), None

    async def put() -> tuple[Plan, None]:
        found = (await context.quotas.read([project], deadline=deadline))[project]
        if not set(limits) <= set(found.quota.counted):
            await context.committer.carry_out(count, deadline=deadline)  # another request has changed it meanwhile
            raise PlanAgain
        missing = await _missing(context, project, limits, deadline)
        if not limits and not found.quota.limits and not found.quota.counted:
            return Plan(()), None
        checks = [IsVersion(keys.quota_key(project), found.version)]
        after = changed(found.quota, limits, context.clock.wall_ms())
        return Plan(put_writes(project, after, missing, found.counted), checks), None

    await context.committer.carry_out(put, deadline=deadline)


async def _missing(
    context: Context, project: str, limits: Mapping[Subject, int], deadline: float
) -> dict[Subject, int]:
    """Returns what is missing of the totals of what is to be limited."""
    if not limits:
        return {}
    counted, totals = await context.reader.counted(project, deadline=deadline)
    sums = summed(counted.items())
    return {subject: sums.get(subject, 0) - totals.get(subject, 0) for subject in limits}
