"""How pipes are told of.

Source: Amazon EventBridge Pipes API Reference, "DescribePipe" and "Pipe".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tenet.pipes.model import Pipe

_REASON_CHARS_MAX: Final = 512
_STATES: Final = {"CREATING": "CREATING", "DELETING": "DELETING", "FAILED": "CREATE_FAILED"}


def current_state(pipe: Pipe) -> str:
    """Returns the state that a pipe is in; one that runs and does not get on is RUNNING, with a reason."""
    return _STATES.get(pipe.phase, pipe.desired)


def summary(pipe: Pipe, *, state: str = "") -> dict[str, Any]:
    """Returns what the operations that change a pipe answer.

    Args:
        pipe: as it is now.
        state: what the service would answer meanwhile; the state that it is in where there is nothing to say.
    """
    return {
        "Arn": pipe.arn,
        "Name": pipe.name,
        "DesiredState": "DELETED" if pipe.phase == "DELETING" else pipe.desired,
        "CurrentState": state or current_state(pipe),
        "CreationTime": pipe.created_ms / 1000,
        "LastModifiedTime": pipe.modified_ms / 1000,
    }


def listed(pipe: Pipe, reason: str) -> dict[str, Any]:
    """Returns what ListPipes says of a pipe.

    Args:
        pipe: the pipe.
        reason: why it does not get on; empty while it does.
    """
    told = {**summary(pipe), "Source": pipe.source.arn, "Target": pipe.target}
    if reason:
        told["StateReason"] = reason[:_REASON_CHARS_MAX]
    return told


def described(pipe: Pipe, reason: str) -> dict[str, Any]:
    """Returns what DescribePipe says of a pipe."""
    told = {
        **listed(pipe, reason),
        "SourceParameters": pipe.source_parameters,
        "TargetParameters": pipe.target_parameters,
        "RoleArn": pipe.role,
        "Tags": pipe.tags,
    }
    if pipe.description:
        told["Description"] = pipe.description
    return told
