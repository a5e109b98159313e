"""The administrative API on the one listener: keys, backup, restore, diagnosis; for the root key alone.

Requests are signed like those of an AWS API, for the service ``tenet``. Bodies are JSON, as ``messages`` declares them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import unquote

import msgspec
import structlog
from msgspec import Struct

from tenet.app.messages import (
    PREFIX,
    SIGNING_NAME,
    Administration,
    AuthorityWanted,
    BackupWanted,
    CopyNamed,
    Failure,
    FileNamed,
    InvitationWanted,
    KeyWanted,
    RootKeyWanted,
)
from tenet.base.errors import TenetError
from tenet.wire.door import Mount, Request, Response
from tenet.wire.errors import AccessDenied, EdgeError

JSON: Final = "application/json"
BODY_BYTES_MAX: Final = 64 * 1024

_log = structlog.get_logger(__name__)
#: What an operator has begun on this node goes on to its end: nobody repeats it elsewhere.
_MOUNT: Final = Mount(
    label="admin",
    signing_name=SIGNING_NAME,
    path_prefixes=(PREFIX,),
    body_bytes_max=BODY_BYTES_MAX,
    is_lasting=True,
)


class NotFound(EdgeError):
    """The administrative API has no such path."""

    code = "NotFound"
    http_status = 404


class MethodNotAllowed(EdgeError):
    """The path exists, for other methods."""

    code = "MethodNotAllowed"
    http_status = 405


class InvalidBody(EdgeError):
    """The body is not what the call takes."""

    code = "InvalidBody"


Route = Callable[[Administration, str, bytes], Awaitable[object]]


class AdminService:
    """Implements ``tenet.wire.door.Service``.

    Args:
        administration: carries out what is asked.
    """

    def __init__(self, administration: Administration) -> None:
        self._administration = administration

    @property
    def mount(self) -> Mount:
        """Which requests are the service's own."""
        return _MOUNT

    async def answer(self, request: Request) -> Response:
        """Answers a request; never raises for what a client can cause."""
        request.operation = f"{request.method} {request.path}"
        try:
            if not request.principal.is_root:
                raise AccessDenied("Only the installation's root key may administer it.")
            route, argument = _route_of(request)
            outcome = await route(self._administration, argument, request.body)
        except TenetError as error:
            return self.refuse(request, error)
        except msgspec.ValidationError as error:
            return self.refuse(request, InvalidBody(f"{error}."))
        except msgspec.DecodeError as error:
            return self.refuse(request, InvalidBody(f"The body is not JSON: {error}."))
        return Response(200, msgspec.json.encode(outcome), JSON)

    def refuse(self, request: Request, error: TenetError) -> Response:
        """Turns an error, the edge's own ones included, into the service's bytes."""
        if error.http_status >= 500:  # noqa: PLR2004 (RFC 9110, 15.6)
            _log.error("administration failed", path=request.path, error=error.code, reason=error.message)
        body = msgspec.json.encode(Failure(error.code, error.message))
        return Response(error.http_status, body, JSON, error_code=error.code)


def _route_of(request: Request) -> tuple[Route, str]:
    path = request.path.removeprefix(PREFIX).rstrip("/")
    for pattern, methods in ROUTES.items():
        argument = path.removeprefix(pattern) if pattern.endswith("/") and path.startswith(pattern) else ""
        if path == pattern or argument:
            route = methods.get(request.method)
            if route is None:
                raise MethodNotAllowed(f"{request.path} takes {', '.join(methods)}.")
            return route, unquote(argument)
    raise NotFound(f"{request.path} is no path of the administrative API.")


async def _create_key(administration: Administration, _argument: str, body: bytes) -> object:
    return await administration.create_key(msgspec.json.decode(body or b"{}", type=KeyWanted))


async def _list_keys(administration: Administration, _argument: str, _body: bytes) -> object:
    return await administration.list_keys()


async def _revoke_key(administration: Administration, argument: str, _body: bytes) -> object:
    await administration.revoke_key(argument)
    return {}


async def _rotate_master_key(administration: Administration, _argument: str, _body: bytes) -> object:
    return await administration.rotate_master_key()


async def _rotate_root_key(administration: Administration, _argument: str, body: bytes) -> object:
    return await administration.rotate_root_key(msgspec.json.decode(body or b"{}", type=RootKeyWanted))


async def _reload_settings(administration: Administration, _argument: str, _body: bytes) -> object:
    return await administration.reload_settings()


async def _invite_node(administration: Administration, _argument: str, body: bytes) -> object:
    return await administration.invite_node(msgspec.json.decode(body or b"{}", type=InvitationWanted))


async def _list_invitations(administration: Administration, _argument: str, _body: bytes) -> object:
    return await administration.list_invitations()


async def _withdraw_invitation(administration: Administration, argument: str, _body: bytes) -> object:
    await administration.withdraw_invitation(argument)
    return {}


async def _rotate_authority(administration: Administration, _argument: str, body: bytes) -> object:
    return await administration.rotate_authority(msgspec.json.decode(body or b"{}", type=AuthorityWanted))


async def _list_nodes(administration: Administration, _argument: str, _body: bytes) -> object:
    return await administration.list_nodes()


async def _remove_node(administration: Administration, argument: str, _body: bytes) -> object:
    await administration.remove_node(argument)
    return {}


async def _drain_node(administration: Administration, argument: str, _body: bytes) -> object:
    await administration.drain_node(argument, is_over=False)
    return {}


async def _end_drain(administration: Administration, argument: str, _body: bytes) -> object:
    await administration.drain_node(argument, is_over=True)
    return {}


async def _backup(administration: Administration, _argument: str, body: bytes) -> object:
    return await administration.backup(msgspec.json.decode(body, type=BackupWanted))


async def _restore(administration: Administration, _argument: str, body: bytes) -> object:
    return await administration.restore(msgspec.json.decode(body, type=FileNamed))


async def _begin_copy(administration: Administration, _argument: str, body: bytes) -> object:
    return await administration.begin_copy(msgspec.json.decode(body, type=CopyNamed))


async def _show_copy(administration: Administration, _argument: str, _body: bytes) -> object:
    return await administration.show_copy()


async def _end_copy(administration: Administration, _argument: str, body: bytes) -> object:
    await administration.end_copy(msgspec.json.decode(body, type=CopyNamed))
    return {}


async def _diagnosis(administration: Administration, _argument: str, _body: bytes) -> Struct:
    return await administration.diagnosis()


#: Every path with its methods; one that ends with a slash takes the rest of the path as its argument.
ROUTES: Final[Mapping[str, Mapping[str, Route]]] = {
    "/keys": {"GET": _list_keys, "POST": _create_key},
    "/keys/": {"DELETE": _revoke_key},
    "/master-key/rotate": {"POST": _rotate_master_key},
    "/root-key/rotate": {"POST": _rotate_root_key},
    "/settings/reload": {"POST": _reload_settings},
    "/invitations": {"GET": _list_invitations, "POST": _invite_node},
    "/invitations/": {"DELETE": _withdraw_invitation},
    "/authority/rotate": {"POST": _rotate_authority},
    "/nodes": {"GET": _list_nodes},
    "/nodes/": {"DELETE": _remove_node},
    "/drains/": {"PUT": _drain_node, "DELETE": _end_drain},
    "/backup": {"POST": _backup},
    "/restore": {"POST": _restore},
    "/copy": {"GET": _show_copy, "PUT": _begin_copy, "DELETE": _end_copy},
    "/diagnosis": {"GET": _diagnosis},
}
