"""Channels within one process, for tests and simulations, with the faults that networks and nodes have.

Nothing is lost or reordered unless a test asks for it. Time is the loop's; there is no randomness.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import count

from tenet.base.errors import TenetError
from tenet.mesh.channel import Handler, Listener, NodeId, Peer, Receiver
from tenet.mesh.errors import CallFailed, CallLost, CallRefused, PeerUnreachable
from tenet.mesh.frames import check_body


class Switchboard:
    """Connects channels of one process with each other.

    Args:
        monotonic_s: the clock of ``Channel.heard_s``.
        delay_s: how long each message travels.
    """

    def __init__(self, monotonic_s: Callable[[], float], *, delay_s: float = 0.0) -> None:
        self.monotonic_s = monotonic_s
        self.delay_s = delay_s
        self._channels: dict[str, SwitchboardChannel] = {}
        self._cut: set[frozenset[NodeId]] = set()
        self._started = count(1)

    def start(self, node: str, address: str = "") -> SwitchboardChannel:
        """Starts a node, or starts it again as another incarnation.

        Args:
            node: its id.
            address: what others dial; by default ``NODE:1``.
        """
        at = address or f"{node}:1"
        self.kill(NodeId(node))
        made = SwitchboardChannel(self, Peer(NodeId(node), f"{next(self._started):016x}", at, "0"))
        self._channels[at] = made
        for other in self._channels.values():
            other.connect_all()
        return made

    def kill(self, node: NodeId) -> None:
        """Ends a node as kill -9 does: its peers see their connections end."""
        for at, channel in [*self._channels.items()]:
            if channel.node == node:
                del self._channels[at]
                channel.end()

    def freeze(self, node: NodeId) -> None:
        """Stops a node as SIGSTOP does: its connections stay, nothing that arrives is looked at until ``thaw``."""
        self._of(node).freeze()

    def thaw(self, node: NodeId) -> None:
        """Lets a frozen node go on, with everything that has arrived meanwhile."""
        self._of(node).thaw()

    def cut(self, one: NodeId, other: NodeId) -> None:
        """Loses everything between two nodes, without either seeing its connection end."""
        self._cut.add(frozenset((one, other)))

    def mend(self, one: NodeId, other: NodeId) -> None:
        """Lets two nodes reach each other again; what was lost stays lost."""
        self._cut.discard(frozenset((one, other)))
        for channel in self._channels.values():
            channel.connect_all()

    def at(self, address: str) -> SwitchboardChannel | None:
        """Returns the channel at an address."""
        return self._channels.get(address)

    def passes(self, one: NodeId, other: NodeId) -> bool:
        """Tells whether messages between two nodes arrive."""
        return frozenset((one, other)) not in self._cut

    def _of(self, node: NodeId) -> SwitchboardChannel:
        return next(channel for channel in self._channels.values() if channel.node == node)


class SwitchboardChannel:
    """One node's channel on a switchboard."""

    def __init__(self, board: Switchboard, me: Peer) -> None:
        self.me = me
        self._board = board
        self._dialled: Counter[tuple[str, NodeId | None]] = Counter()
        self._links: dict[NodeId, SwitchboardChannel] = {}
        self._heard_s: dict[NodeId, float] = {}
        self._handlers: dict[str, Handler] = {}
        self._receivers: dict[str, Receiver] = {}
        self._up: list[Listener] = []
        self._down: list[Listener] = []
        self._at_work: set[asyncio.Task[None]] = set()
        self._waiting: dict[asyncio.Future[bytes], NodeId] = {}
        #: What waits for the end of a freeze: arrived, and to be sent.
        self._inbox: list[Callable[[], None]] | None = None
        self._outbox: list[Callable[[], None]] = []
        self._ended = False

    @property
    def node(self) -> NodeId:
        """This node."""
        return self.me.node

    @property
    def incarnation(self) -> str:
        """Names this start of the node."""
        return self.me.incarnation

    async def call(self, peer: NodeId, kind: str, body: bytes, timeout_s: float) -> bytes:
        """Asks a connected peer something and returns its answer; see ``Channel.call``."""
        check_body(body)
        link = self._links.get(peer)
        if link is None:
            raise PeerUnreachable(f"node {peer} is not connected")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[answer] = peer
        try:
            self._send(link, lambda: link.work(self, kind, body, timeout_s, answer))
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise CallLost(f"node {peer} did not answer {kind} within {timeout_s:g} s") from None
        finally:
            del self._waiting[answer]

    def notify(self, peer: NodeId, kind: str, body: bytes) -> bool:
        """Tells a peer something; see ``Channel.notify``."""
        check_body(body)
        link = self._links.get(peer)
        if link is None:
            return False
        self._send(link, lambda: link.take(self.node, kind, body))
        return True

    def handle(self, kind: str, handler: Handler) -> None:
        """Answers calls of a kind by this handler."""
        self._handlers[kind] = handler

    def receive(self, kind: str, receiver: Receiver) -> None:
        """Gives notices of a kind to this receiver."""
        self._receivers[kind] = receiver

    def on_up(self, listener: Listener) -> None:
        """Tells the listener of each connection that comes up."""
        self._up.append(listener)

    def on_down(self, listener: Listener) -> None:
        """Tells the listener of each connection that ends."""
        self._down.append(listener)

    def peers(self) -> tuple[Peer, ...]:
        """Returns those that are connected, by id."""
        return tuple(self._links[node].me for node in sorted(self._links))

    def heard_s(self, peer: NodeId) -> float | None:
        """Returns when anything last arrived from a peer. Where neither is frozen and nothing is cut, that is now."""
        link = self._links.get(peer)
        if link is None:
            return None
        # A real channel keeps its connections alive by itself.
        if not (self.is_frozen or link.is_frozen) and self._board.passes(self.node, peer):
            self._heard_s[peer] = self._board.monotonic_s()
        return self._heard_s[peer]

    def dial(self, address: str, peer: NodeId | None = None) -> None:
        """Connects with who is at an address, now or as soon as it is there."""
        self._dialled[address, peer] += 1
        self.connect_all()

    def forget(self, address: str, peer: NodeId | None = None) -> None:
        """Stops trying to be connected with who is at an address, where nobody else wants it."""
        self._dialled[address, peer] -= 1
        self._dialled += Counter()  # forgets what nobody wants

    def drop(self, peer: NodeId) -> None:
        """Ends the connection with a peer."""
        link = self._links.get(peer)
        if link is not None:
            self.unlink(link)
            link.deliver(None, lambda: link.unlink(self))

    # ---- for the switchboard and the channels on it ------------------------------------------------------------------

    @property
    def is_frozen(self) -> bool:
        """Whether it looks at nothing that arrives."""
        return self._inbox is not None

    def connect_all(self) -> None:
        """Connects with everybody who was dialled and can be reached."""
        for address, expected in self._dialled:
            other = self._board.at(address)
            if other is None or other is self or expected not in {None, other.node}:
                continue
            if other.node not in self._links and self._board.passes(self.node, other.node):
                asyncio.get_running_loop().call_soon(self._connect, other)

    def _connect(self, other: SwitchboardChannel) -> None:
        frozen = self._inbox is not None or other._inbox is not None
        if self._ended or other._ended or frozen or other.node in self._links:
            return
        self.link(other)
        other.link(self)

    def link(self, other: SwitchboardChannel) -> None:
        """Takes note of a connection that came up."""
        self._links[other.node] = other
        self._heard_s[other.node] = self._board.monotonic_s()
        for listener in self._up:
            listener(other.me)

    def unlink(self, other: SwitchboardChannel) -> None:
        """Takes note of a connection that ended."""
        if self._links.get(other.node) is not other:
            return
        del self._links[other.node]
        for answer, asked in self._waiting.items():
            if asked == other.node and not answer.done():
                answer.set_exception(CallLost(f"the connection with node {other.node} ended"))
        for listener in self._down:
            listener(other.me)
        self.connect_all()

    def _send(self, link: SwitchboardChannel, action: Callable[[], None]) -> None:
        if self._inbox is not None:
            self._outbox.append(lambda: self._send(link, action))
        elif not self._ended:
            link.deliver(self.node, action)

    def deliver(self, sender: NodeId | None, action: Callable[[], None]) -> None:
        """Does something here after the time that a message travels; never, where the two are cut off meanwhile."""

        def arrive() -> None:
            if self._ended or (sender is not None and not self._board.passes(sender, self.node)):
                return
            if self._inbox is not None:
                self._inbox.append(arrive)
                return
            if sender is not None and sender in self._links:
                self._heard_s[sender] = self._board.monotonic_s()
            action()

        asyncio.get_running_loop().call_later(self._board.delay_s, arrive)

    def take(self, sender: NodeId, kind: str, body: bytes) -> None:
        """Gives a notice to its receiver."""
        receiver = self._receivers.get(kind)
        if receiver is not None:
            receiver(sender, body)

    def work(
        self, caller: SwitchboardChannel, kind: str, body: bytes, timeout_s: float, answer: asyncio.Future[bytes]
    ) -> None:
        """Begins to answer a call."""

        async def run() -> None:
            result = await self._answer(caller.node, kind, body, timeout_s)
            if result is not None:
                self._send(caller, lambda: _conclude(answer, result))

        task = asyncio.get_running_loop().create_task(run())
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _answer(self, caller: NodeId, kind: str, body: bytes, timeout_s: float) -> bytes | TenetError | None:
        handler = self._handlers.get(kind)
        if handler is None:
            return CallRefused(f"node {self.node} does not answer {kind}")
        try:
            async with asyncio.timeout(timeout_s):
                return await handler(caller, body)
        except TimeoutError:
            return None
        except TenetError as error:
            return CallFailed(error.message, code=error.code, retryable=error.retryable)

    def freeze(self) -> None:
        """Looks at nothing that arrives from now on."""
        self._inbox = self._inbox if self._inbox is not None else []

    def thaw(self) -> None:
        """Looks at what has arrived meanwhile, and goes on."""
        arrived, sent = self._inbox or [], self._outbox
        self._inbox, self._outbox = None, []
        for action in [*arrived, *sent]:
            action()
        self.connect_all()

    def end(self) -> None:
        """Is gone; peers see their connections end."""
        self._ended = True
        for task in self._at_work:
            task.cancel()
        for link in [*self._links.values()]:
            link.deliver(None, lambda link=link: link.unlink(self))  # type: ignore[misc]


def _conclude(answer: asyncio.Future[bytes], result: bytes | TenetError) -> None:
    if answer.done():
        return
    if isinstance(result, bytes):
        answer.set_result(result)
    else:
        answer.set_exception(result)
