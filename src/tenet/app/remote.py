"""Administers a server that runs, over its own listener, signed by the root key."""

from __future__ import annotations

import http.client
import math
import socket
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from tenet.app.messages import (
    PREFIX,
    SIGNING_NAME,
    AuthorityMade,
    AuthorityWanted,
    BackupWanted,
    CopyNamed,
    CopyShown,
    Diagnosis,
    Failure,
    Figures,
    FileNamed,
    InvitationMade,
    InvitationShown,
    InvitationWanted,
    KeyMade,
    KeyShown,
    KeysSealed,
    KeyWanted,
    NodeShown,
    RootKeyMade,
    RootKeyWanted,
    SettingsTaken,
)
from tenet.base.errors import TenetError
from tenet.wire.errors import TlsUnusable
from tenet.wire.signing import sign_headers
from tenet.wire.tls import describe

if TYPE_CHECKING:
    from tenet.app.data_directory import RootKey
    from tenet.base.clock import Clock

Answer = TypeVar("Answer")

CONNECT_S_MAX: Final = 5
ANSWER_S_MAX: Final = 60
#: Asking whether a server lives or serves, connecting included.
QUESTION_S_MAX: Final = 10
#: What is left of a time that is over: a socket takes 0 for not waiting at all, and says so in words of its own.
_LEFT_S_MIN: Final = 0.001
#: A backup or a restore of a large store takes its time.
COPY_S_MAX: Final = 3_600
#: The other store is opened, and perhaps made, before it is said that a copy was begun.
OPEN_S_MAX: Final = 300
#: How often a request that the server shed is sent, and how long it waits in between.
TRIES_MAX: Final = 40
TRY_AGAIN_S: Final = 0.25
SHED: Final = frozenset({"ThrottlingException", "ServiceUnavailable"})
#: How much is shown of an answer that is none of the administrative API.
SAID_BYTES_MAX: Final = 500
_REGION: Final = "local"


class NotReached(TenetError):
    """No server answers at the address that the data directory names."""

    code = "NotReached"
    http_status = 503
    retryable = True


class Refused(TenetError):
    """The server answered with an error.

    Args:
        failure: what it said.
        status: the HTTP status.
    """

    def __init__(self, failure: Failure, status: int) -> None:
        super().__init__(failure.message)
        self.code = failure.code
        self.http_status = status


class Trust(msgspec.Struct, frozen=True):
    """What a server's certificate has to be, for https.

    Args:
        file: PEM file of the installation's own authority; or of the certificate that its operator has given it.
        is_of_operator: whether it is the operator's. The system's authorities are trusted beside it, and it is made out
            to names of the operator's choice, to which the address that the server is reached at need not belong.
    """

    file: Path
    is_of_operator: bool = False


class RemoteAdministration:
    """Implements ``messages.Administration`` by calls to a server.

    Args:
        endpoint: URL of its listener.
        root_key: signs.
        trust: which certificates are good, for https.
        clock: time, for signatures.
    """

    def __init__(self, endpoint: str, *, root_key: RootKey, trust: Trust, clock: Clock) -> None:
        self._endpoint = endpoint
        self._root_key = root_key
        self._trust = trust
        self._clock = clock

    def trouble(self, page: str = "/healthz", *, s_max: float = QUESTION_S_MAX) -> str:
        """Returns why the server does not answer, or "" where it does.

        Args:
            page: of its own; ``/readyz`` asks whether it serves, the other one whether it lives.
            s_max: seconds that it may take.
        """
        until_s = self._clock.monotonic_s() + s_max
        try:
            self._exchange("GET", page, b"", answer_s_max=CONNECT_S_MAX, until_s=until_s)
        except (NotReached, Refused) as error:
            return error.message
        return ""

    async def create_key(self, wanted: KeyWanted) -> KeyMade:
        """Makes an access key; it works at once."""
        return self._call("POST", "/keys", KeyMade, wanted)

    async def list_keys(self) -> list[KeyShown]:
        """Returns every access key, by tenant and id."""
        return self._call("GET", "/keys", list[KeyShown])

    async def revoke_key(self, access_key_id: str) -> None:
        """Removes an access key; it is refused at once."""
        self._call("DELETE", f"/keys/{quote(access_key_id, safe='')}", dict[str, str])

    async def rotate_master_key(self) -> KeysSealed:
        """Makes the server encrypt all secrets under a new master key and forget the old one."""
        return self._call("POST", "/master-key/rotate", KeysSealed)

    async def rotate_root_key(self, wanted: RootKeyWanted) -> RootKeyMade:
        """Makes the server exchange the root key for a new one; this one signs no further request then."""
        return self._call("POST", "/root-key/rotate", RootKeyMade, wanted)

    async def reload_settings(self) -> SettingsTaken:
        """Makes the server read its settings again."""
        return self._call("POST", "/settings/reload", SettingsTaken)

    async def invite_node(self, wanted: InvitationWanted) -> InvitationMade:
        """Makes an invitation with which one machine can join the cluster."""
        return self._call("POST", "/invitations", InvitationMade, wanted)

    async def list_invitations(self) -> list[InvitationShown]:
        """Returns the invitations with which a machine can join now, without their tokens."""
        return self._call("GET", "/invitations", list[InvitationShown])

    async def withdraw_invitation(self, invitation_id: str) -> None:
        """Makes an invitation good for nobody."""
        self._call("DELETE", f"/invitations/{quote(invitation_id, safe='')}", dict[str, str])

    async def rotate_authority(self, wanted: AuthorityWanted) -> AuthorityMade:
        """Makes nodes have certificates of a new authority, and trust no other."""
        return self._call("POST", "/authority/rotate", AuthorityMade, wanted, answer_s_max=OPEN_S_MAX)

    async def list_nodes(self) -> list[NodeShown]:
        """Returns every node that the cluster has or had, by id."""
        return self._call("GET", "/nodes", list[NodeShown])

    async def drain_node(self, node: str, *, is_over: bool) -> None:
        """Makes a node let go of its work, or take on work again."""
        self._call("DELETE" if is_over else "PUT", f"/drains/{quote(node, safe='')}", dict[str, str])

    async def remove_node(self, node: str) -> None:
        """Makes all others refuse a node, for good."""
        self._call("DELETE", f"/nodes/{quote(node, safe='')}", dict[str, str])

    async def backup(self, wanted: BackupWanted) -> Figures:
        """Makes the server write a consistent copy of the store to a file on its machine."""
        return self._call("POST", "/backup", Figures, wanted, answer_s_max=COPY_S_MAX)

    async def restore(self, named: FileNamed) -> Figures:
        """Makes the server replace everything in its store by what a backup holds."""
        return self._call("POST", "/restore", Figures, named, answer_s_max=COPY_S_MAX)

    async def begin_copy(self, named: CopyNamed) -> CopyShown:
        """Makes the server begin to copy its store, or resume it; it goes on in the background."""
        return self._call("PUT", "/copy", CopyShown, named, answer_s_max=OPEN_S_MAX)

    async def show_copy(self) -> CopyShown:
        """Returns how far the copy is that the server began last."""
        return self._call("GET", "/copy", CopyShown)

    async def end_copy(self, named: CopyNamed) -> None:
        """Makes the server give a copy up."""
        self._call("DELETE", "/copy", dict[str, str], named, answer_s_max=COPY_S_MAX)

    async def diagnosis(self) -> Diagnosis:
        """Returns what the server knows about itself."""
        return self._call("GET", "/diagnosis", Diagnosis)

    async def metrics(self) -> str:
        """Returns the server's metrics in the text format of Prometheus."""
        return self._exchange("GET", "/metrics", b"").decode("utf-8", "replace")

    def _call(
        self,
        method: str,
        path: str,
        kind: type[Answer],
        message: msgspec.Struct | None = None,
        *,
        answer_s_max: float = ANSWER_S_MAX,
    ) -> Answer:
        body = msgspec.json.encode(message) if message is not None else b""
        for _ in range(TRIES_MAX - 1):
            try:
                content = self._exchange(method, PREFIX + path, body, answer_s_max=answer_s_max)
                return msgspec.json.decode(content, type=kind)
            except Refused as error:
                # An operator has to get through to a server that sheds load; refused like this, nothing was done.
                if error.code not in SHED:
                    raise
                time.sleep(TRY_AGAIN_S)
        return msgspec.json.decode(self._exchange(method, PREFIX + path, body, answer_s_max=answer_s_max), type=kind)

    def _exchange(
        self,
        method: str,
        target: str,
        body: bytes,
        *,
        answer_s_max: float = ANSWER_S_MAX,
        until_s: float = math.inf,
    ) -> bytes:
        headers = {"content-type": "application/json"}
        status, content = self._send(method, target, headers, body, answer_s_max=answer_s_max, until_s=until_s)
        if status != http.client.OK:
            raise Refused(_failure(content, status), status)
        return content

    def ask(self, operation: str, body: bytes, *, service: str, region: str) -> tuple[int, bytes]:
        """Returns status and body of what the server answers to a request of one of its services, as the root.

        Args:
            operation: as ``X-Amz-Target`` names it.
            body: JSON.
            service: signing name.
            region: that is signed for.

        Raises:
            NotReached: the server does not answer.
        """
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": operation}
        return self._send("POST", "/", headers, body, service=service, region=region)

    def _send(
        self,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes,
        *,
        service: str = SIGNING_NAME,
        region: str = _REGION,
        answer_s_max: float = ANSWER_S_MAX,
        until_s: float = math.inf,
    ) -> tuple[int, bytes]:
        connection = self._connect(until_s)
        connection.sock.settimeout(self._left_s(answer_s_max, until_s))
        host = f"[{connection.host}]" if ":" in connection.host else connection.host
        signed = sign_headers(
            method,
            target,
            {"host": f"{host}:{connection.port}", **headers},
            body,
            access_key_id=self._root_key.access_key_id,
            secret=self._root_key.secret_access_key,
            region=region,
            service=service,
            clock=self._clock,
        )
        try:
            connection.request(method, target, body, signed)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise NotReached(f"the server at {self._endpoint} did not answer: {error!r}") from error
        finally:
            connection.close()
        return answer.status, content

    def _left_s(self, s_max: float, until_s: float) -> float:
        return max(_LEFT_S_MIN, min(s_max, until_s - self._clock.monotonic_s()))

    def _connect(self, until_s: float) -> http.client.HTTPConnection:
        url = urlsplit(self._endpoint)
        host, port = url.hostname or "localhost", url.port
        connection = http.client.HTTPConnection(host, port, timeout=self._left_s(CONNECT_S_MAX, until_s))
        try:
            connection.connect()
            if url.scheme == "https":
                connection.sock.settimeout(self._left_s(CONNECT_S_MAX, until_s))
                connection.sock = _secured(connection.sock, self._trust, host)
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise NotReached(
                f"what answers at {self._endpoint} is another server: its certificate is not of {self._trust.file} "
                f"({error.verify_message})"
            ) from error
        except TlsUnusable as error:
            connection.close()
            raise NotReached(f"whether {self._endpoint} is this server cannot be told: {error.message}") from error
        except OSError as error:
            connection.close()
            raise NotReached(f"no server answers at {self._endpoint}: {error}") from error
        return connection


def _secured(connected: socket.socket, trust: Trust, host: str) -> ssl.SSLSocket:
    """Shakes hands.

    Raises:
        SSLCertVerificationError: the server's certificate is not one to trust.
        OSError: it went wrong.
        TlsUnusable: the file to trust cannot be read, or what it holds is no certificate.
    """
    context = _context_of(trust)
    return context.wrap_socket(connected, server_hostname=_name_of(trust.file, host) if trust.is_of_operator else host)


def _context_of(trust: Trust) -> ssl.SSLContext:
    try:
        if not trust.is_of_operator:
            return ssl.create_default_context(cafile=trust.file)
        context = ssl.create_default_context()
        context.load_verify_locations(trust.file)
    except ssl.SSLError as error:
        origin = "from where it came" if trust.is_of_operator else "from a copy; every client has one"
        raise TlsUnusable(f"{trust.file} is damaged: it holds no certificate. Bring it back {origin}") from error
    except OSError as error:
        raise TlsUnusable(
            f"{trust.file} cannot be read: {error.strerror}. Bring it back, or run this as the one who runs Tenet"
        ) from error
    # The certificate itself may be all there is to trust, and authorities of one's own leave out much (RFC 5280, 4.2).
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _name_of(certificate: Path, host: str) -> str:
    """Returns a name that a certificate is made out to: the host where it is, else its first one."""
    names = [name for name in describe(certificate)["names"].split(", ") if name]
    return host if host in names or not names else names[0].replace("*", "tenet")


def _failure(content: bytes, status: int) -> Failure:
    try:
        return msgspec.json.decode(content, type=Failure)
    except msgspec.DecodeError:
        said = content[:SAID_BYTES_MAX].decode("utf-8", "replace").strip()
        return Failure("UnexpectedAnswer", f"the server answered with status {status}: {said}")
