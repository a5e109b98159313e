"""DescribePipe, ListPipes, and the tags of pipes."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tenet.pipes.errors import ValidationException
from tenet.pipes.ops.catalog import not_found
from tenet.pipes.rules import requests
from tenet.pipes.rules.description import current_state, described, listed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenet.pipes.context import Caller, Context
    from tenet.pipes.model import Pipe

_LIMIT_MAX: Final = 100
_ARN: Final = re.compile(r"arn:aws[a-z-]*:pipes:[a-z0-9-]*:([0-9]{12}):pipe/([.\-_A-Za-z0-9]{1,64})")


async def describe_pipe(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Describes a pipe as it is in the store, and says why it does not get on where it does not; two round trips.

    Raises:
        NotFoundException: there is none of that name.
    """
    name = requests.check_name(request["Name"])
    pipe = await context.catalog.pipe(caller.account, name, deadline=caller.deadline)
    return described(pipe, await _reason(context, caller, pipe))


async def list_pipes(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Returns pipes by name; a round trip for each page that is looked through, and one for each pipe in the answer.

    Raises:
        ValidationException: a parameter cannot be.
    """
    limit = _limit(request)
    prefix = request.get("NamePrefix") or ""
    if prefix:
        requests.check_name(prefix)
    after = _read_token(request.get("NextToken") or "")
    pipes, more = await context.catalog.of_account(
        caller.account, prefix=prefix, after=after, limit=limit, deadline=caller.deadline
    )
    found = [
        listed(pipe, await _reason(context, caller, pipe))
        for pipe in pipes
        if (not request.get("DesiredState") or pipe.desired == request["DesiredState"])
        and (not request.get("CurrentState") or current_state(pipe) == request["CurrentState"])
        and pipe.source.arn.startswith(request.get("SourcePrefix") or "")
        and pipe.target.startswith(request.get("TargetPrefix") or "")
    ]
    answer: dict[str, Any] = {"Pipes": found}
    if more:
        answer["NextToken"] = urlsafe_b64encode(pipes[-1].name.encode()).decode()
    return answer


async def _reason(context: Context, caller: Caller, pipe: Pipe) -> str:
    if pipe.phase != "ACTIVE":
        return pipe.reason
    cursors = await context.cursors.of(pipe.id, deadline=caller.deadline)
    return next((cursor.reason for _, cursor in sorted(cursors.items()) if cursor.reason), "")


def _limit(request: dict[str, Any]) -> int:
    text = str(request.get("Limit") or _LIMIT_MAX)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _LIMIT_MAX:
        raise ValidationException.of("Limit", f"is a number from 1 to {_LIMIT_MAX}")
    return int(text)


def _read_token(token: str) -> str:
    try:
        name = urlsafe_b64decode(token.encode("ascii")).decode("ascii")
    except ValueError:
        raise ValidationException.of("NextToken", "is none that ListPipes has given") from None
    return requests.check_name(name) if name else ""


# ---- tags ------------------------------------------------------------------------------------------------------------


async def list_tags_for_resource(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Returns the tags of a pipe; one round trip.

    Raises:
        NotFoundException: there is no such pipe.
    """
    name = _name_of(caller, request["resourceArn"])
    return {"tags": (await context.catalog.pipe(caller.account, name, deadline=caller.deadline)).tags}


async def tag_resource(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Gives a pipe tags; two round trips.

    Raises:
        ValidationException: they are no tags, or too many.
        NotFoundException: there is no such pipe.
    """
    return await _tag(context, caller, request, lambda tags: requests.tags_wanted(request.get("tags"), tags))


async def untag_resource(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Takes tags from a pipe; two round trips.

    Raises:
        NotFoundException: there is no such pipe.
    """
    gone = set(request.get("tagKeys") or ())
    return await _tag(
        context, caller, request, lambda tags: {key: value for key, value in tags.items() if key not in gone}
    )


async def _tag(
    context: Context, caller: Caller, request: dict[str, Any], change: Callable[[dict[str, str]], dict[str, str]]
) -> dict[str, Any]:
    name = _name_of(caller, request["resourceArn"])

    def decide(now: Pipe | None) -> Pipe:
        if now is None:
            raise not_found(name)
        return msgspec.structs.replace(now, tags=change(now.tags))

    await context.catalog.change(caller.account, name, decide, deadline=caller.deadline)
    return {}


def _name_of(caller: Caller, arn: str) -> str:
    found = _ARN.fullmatch(arn)
    if found is None:
        raise ValidationException.of("resourceArn", "is the ARN of a pipe, arn:aws:pipes:REGION:ACCOUNT:pipe/NAME")
    if found[1] != caller.account:
        raise not_found(found[2])
    return found[2]
