"""A running Tenet: assembles the rooms, listens, takes over changed settings, drains and stops."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
import uvloop

from tenet.app.access import access, endpoint_of
from tenet.app.admin import AdminService
from tenet.app.administration import CoreAdministration
from tenet.app.certificates import Certificates
from tenet.app.configuration import ConfigurationError, host_and_port
from tenet.app.core import Core, cancelled
from tenet.app.data_directory import DataDirectory, Running
from tenet.app.diagnosis import diagnose
from tenet.app.engines import needing_to_write
from tenet.app.exports import OPENSTACK, exports
from tenet.app.figures import described
from tenet.app.gate import MOVING, STARTING, Gates
from tenet.app.logs import set_up
from tenet.app.messages import SettingsTaken
from tenet.app.moving import Mover
from tenet.app.reloading import Reloading
from tenet.app.services import Services
from tenet.app.starting import tried_again
from tenet.app.tracing import tracer_of
from tenet.app.versions import tenet_version
from tenet.base.clock import SystemClock
from tenet.base.errors import TenetError
from tenet.base.ids import SystemIds
from tenet.mesh.errors import NodeRemoved
from tenet.store.errors import CopyRefused
from tenet.wire.limits import EdgeLimits, ObservedRules
from tenet.wire.listener import listening_sockets
from tenet.wire.log import Sink
from tenet.wire.server import Edge

if TYPE_CHECKING:
    from tenet.app.configuration import Configuration
    from tenet.app.settings import Settings
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.mesh.records import State
    from tenet.wire.door import Measure
    from tenet.wire.trace import Tracer

#: Objects made before the youngest are collected, and collections of each age before the next one (module gc).
COLLECTOR_THRESHOLDS: Final = (20_000, 10, 10)
#: How often a restore looks whether the requests that had begun have ended.
_LOOK_S: Final = 0.01
#: How soon services that did not open after a restore are tried again, and how often at the least, seconds.
_REOPEN_S_MIN: Final = 1.0
_REOPEN_S_MAX: Final = 30.0
#: How long the loop may keep the interpreter from a thread that waits for it. With Python's own 5 ms the thread that
#: commits waits for them twice a commit while the loop is busy, which makes the slowest puts of a loaded server slower.
SWITCH_INTERVAL_S: Final = 0.0005
#: Signals that come closer together are one wish: make and supervisors pass on what the whole group has got anyway.
AT_ONCE_S: Final = 0.3
#: How often the certificate is looked at, at the least, and how often in its life. The local one is renewed a month
#: before it ends, or when a third of its life is left.
_RENEW_S: Final = 6 * 3600
_LOOKS: Final = 10

_log = structlog.get_logger(__name__)


class AddressTaken(TenetError):
    """The address to listen on is in use."""

    code = "AddressTaken"
    http_status = 409


def run(configuration: Configuration) -> None:
    """Runs a server in this process until it is asked to stop.

    Args:
        configuration: its settings.

    Raises:
        TenetError: it could not start; nothing is left running.
    """
    sink = Sink()
    set_up(sink, configuration.settings.logs.level)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(Server(configuration, sink, clock=SystemClock(), ids=SystemIds())))
    finally:
        sink.close()


async def _serve(server: Server) -> None:
    loop = asyncio.get_running_loop()
    asked_s: list[float] = []

    def ask_to_stop() -> None:
        asked_s.append(loop.time())
        if asked_s[-1] - asked_s[0] > AT_ONCE_S:
            os._exit(128 + signal.SIGINT)  # asked twice: at once; what was acknowledged is on disk
        server.stop_wanted.set()

    await server.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask_to_stop)
    loop.add_signal_handler(signal.SIGHUP, server.reload_soon)
    sys.stdout.write(server.greeting())
    sys.stdout.flush()
    _spare_the_collector()
    await server.stop_wanted.wait()
    await server.stop()
    server.check_membership()


def _spare_the_collector() -> None:
    """Keeps the garbage collector from looking at what the start made again and again.

    A full collection of it is a pause of some 30 ms for every request. What requests make is freed by its reference
    counts, so that collections are needed rarely.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


class Server:
    """One server: the store, the services, the listener.

    Args:
        configuration: its settings.
        sink: where log lines go.
        clock: time.
        ids: randomness.
    """

    def __init__(self, configuration: Configuration, sink: Sink, *, clock: Clock, ids: Ids) -> None:
        self.configuration = configuration
        self.started_ms = clock.wall_ms()
        self.directory = DataDirectory(configuration.settings)
        self.certificates = Certificates(configuration.settings, self.directory, clock=clock, ids=ids)
        #: Set when the server is to stop.
        self.stop_wanted = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None
        self._reopening: asyncio.Task[None] | None = None
        self.core: Core
        self.edge: Edge
        self.reloading: Reloading
        self._services: Services
        self._gates: Gates
        self._mover: Mover
        self._tracer: Tracer | None = None
        self._sink = sink
        self._clock = clock
        self._ids = ids

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.configuration.settings

    @property
    def endpoint(self) -> str:
        """URL that clients on this machine reach the listener at."""
        return endpoint_of(self.settings, self.edge.address[1])

    async def start(self) -> None:
        """Opens everything and listens.

        Raises:
            StoreLocked: another process holds the data directory.
            AddressTaken: the address is in use.
            ConfigurationError: the settings cannot be carried out on this machine.
            StoreMoved: the store may not be served.
            StoreTooSlow: the store did not answer in time, several times in a row.
        """
        if not self.directory.path.exists():
            await self._check_address()
        await tried_again(self._open)
        try:
            await self._listen()
        except BaseException:
            await self._services.close()
            await self.core.close()
            raise
        self.core.watch_keys()
        self._follow_administrator()
        self._renewing = asyncio.create_task(self._renew_certificate())
        try:
            # Last: where anything else fails, a finished copy was not served, and the move can be taken back.
            await self.core.take_into_service()
            self._gates.open(self._services.for_edge())
            self._announce()
        except BaseException:
            await self.stop()
            raise
        _log.info("serving", endpoint=self.endpoint, data=str(self.directory.path), version=tenet_version())
        self._services.notices.tell(self.endpoint, f"Tenet {tenet_version()} serves, as process {os.getpid()}.")

    async def _open(self) -> None:
        """Opens the store and the services, and begins the background jobs; nothing is open where it raises."""
        self.core = await Core.open(self.directory, clock=self._clock, ids=self._ids, serves=True)
        try:
            await self.core.start_node()
            with needing_to_write(self.directory):
                self._services = await self._open_services()
            try:
                await self.core.begin_work()
            except BaseException:
                await self._services.close()
                raise
        except BaseException:
            await self.core.close()
            raise

    def _follow_administrator(self) -> None:
        """Does what an administrator wants of this node, now and from now on."""
        node = self.core.node
        if node is not None:
            node.on_state(self._take_state)
            self._take_state(node.state)

    def _take_state(self, state: State) -> None:
        self.edge.stand_back("this node drains" if state == "draining" else "")
        cooperation = self.core.cooperation
        if state == "removed":
            if cooperation is not None:
                cooperation.leave_for_good()
            self.stop_wanted.set()
        elif cooperation is not None:
            cooperation.drain(is_draining=state == "draining")

    def check_membership(self) -> None:
        """Says why a server has stopped that nobody asked to.

        Raises:
            NodeRemoved: it was removed from its cluster.
        """
        node = self.core.node
        if node is not None and node.state == "removed":
            raise NodeRemoved(f"node {node.node} was removed from its cluster, and has stopped")

    async def _check_address(self) -> None:
        """Finds out whether the address can be listened on, before a first start makes what would be left behind.

        Where there is a data directory, whoever holds it is the better answer: it is most often the same server.
        """
        with _listening(self.settings.server.listen) as (host, port):
            for listening in await listening_sockets(host, port):
                listening.close()

    def _announce(self) -> None:
        """Says where commands find this server, and which certificate it shows them."""
        named = self.settings.tls.certificate_file if self.endpoint.startswith("https") else ""
        certificate_file = str(Path(named).absolute()) if named else ""
        self.directory.announce(Running(self.endpoint, os.getpid(), tenet_version(), certificate_file))

    async def _open_services(self) -> Services:
        return await Services.open(self.core, self.settings, clock=self._clock, ids=self._ids)

    async def _listen(self) -> None:
        self._gates = Gates(self._services.for_edge())
        self._gates.shut(STARTING)
        self._tracer = tracer_of(self.settings, self._clock)
        self._mover = Mover(
            self.directory,
            self.core.guard,
            clock=self._clock,
            ids=self._ids,
            node="" if self.core.node is None else self.core.node.node,
            quiet=self._quiet,
        )
        administration = CoreAdministration(
            self.core,
            clock=self._clock,
            diagnose=lambda: diagnose(self, self._clock),
            paused=self._paused,
            reload=self._reload,
            mover=self._mover,
        )
        self.edge = Edge(
            [*self._gates.services, AdminService(administration)],
            self.core,
            clock=self._clock,
            ids=self._ids,
            limits=limits_of(self.settings),
            rules=rules_of(self.settings),
            store=self.core.store,
            mesh=self.core.work_figures,
            described=described,
            region=self.settings.server.region,
            tracer=self._tracer,
            measures=self._measures,
            refusal=lambda: self._gates.refusal,
        )
        with _listening(self.settings.server.listen) as (host, port):
            await self.edge.start(host, port, tls=self.certificates.context())
        self.reloading = Reloading(
            self.configuration, self.edge, self.certificates, listening=_listening, take=self._take_over
        )

    def placement_health(self) -> Mapping[str, Any]:
        """What placement says about itself, for a diagnosis."""
        return self._services.placement_health()

    def _measures(self) -> Sequence[Measure]:
        # Asked for anew each time: a restore opens the service anew.
        return self._services.measures()

    def greeting(self) -> str:
        """What is printed once it serves: where, and the lines that point clients at it."""
        again = shlex.join([*_command(), "env", "--data", str(self.directory.path)])
        return (
            f"Tenet {tenet_version()} serves at {self.endpoint}, as process {os.getpid()}; "
            f"its data is in {self.directory.path}.\n"
            f"Its master key is {self.directory.master_key_file}: keep a copy elsewhere, "
            "no backup has it and access keys cannot be read without it.\n"
            f"{self._node_line()}"
            f"In another terminal, these lines point clients at it:\n\n{exports(access(self.configuration))}\n\n"
            f'So does:  eval "$({again})"\n'
            f'Clients of OpenStack:  eval "$({again} --for {OPENSTACK})"\nCtrl-C stops it.\n'
        )

    def _node_line(self) -> str:
        node = self.core.node
        return f"It is the node {node.node}, which others reach at {node.channel.address}.\n" if node else ""

    def reload_soon(self) -> None:
        """Reads the settings again and takes over those that may change; the log says what came of it."""
        self.reloading.soon()

    async def _reload(self) -> SettingsTaken:
        now, later = await self.reloading.now()
        return SettingsTaken(now, later, self.endpoint)

    def _take_over(self, found: Configuration) -> None:
        """Puts changed settings in force; the listener has been changed already."""
        self.configuration = found
        self._announce_again()
        self.edge.limits = limits_of(found.settings)
        self.edge.observer.rules = rules_of(found.settings)
        set_up(self._sink, found.settings.logs.level)

    def _announce_again(self) -> None:
        try:
            self._announce()
        except TenetError as error:
            _log.error("commands may not find this server any more", reason=error.message)

    async def stop(self) -> None:
        """Lets what has begun end, then closes everything."""
        self._services.notices.tell(self.endpoint, "The server is about to stop.")
        self._services.end_waits()
        answered = await self.edge.drain(self.settings.server.drain_ms / 1000)
        if self._renewing is not None:
            await cancelled(self._renewing)
        await self._give_up_reopening()
        await self._mover.close()
        await self._services.close()
        await self.core.close()
        if self._tracer is not None:
            self._tracer.close()
        self.directory.withdraw()
        _log.info("stopped", every_request_answered=answered)

    async def _renew_certificate(self) -> None:
        """Makes the local certificate anew before it ends, and shows the operator's own when it was replaced."""
        while True:
            await asyncio.sleep(min(_RENEW_S, self.certificates.lifetime_s / _LOOKS))
            try:
                self.certificates.read_again(self.settings)
            except TenetError as error:
                _log.error("the certificate is not renewed", reason=error.message)

    @asynccontextmanager
    async def _paused(self) -> AsyncIterator[None]:
        """Keeps the services closed for the length of a block; requests meanwhile get an error that clients retry."""
        self._gates.shut()
        await self._give_up_reopening()
        self._services.end_waits()
        await self._idle()
        await self._services.close()
        await self.core.end_work()
        try:
            yield
        finally:
            await self._reopen_or_later()

    async def _reopen_or_later(self) -> None:
        """Opens the services again; where they do not open, the gate stays shut and they are tried in the background.

        Raises:
            TenetError: as they do not; the message says why.
        """
        try:
            await self._reopen()
        except Exception as error:
            self._gates.shut(f"The services have not opened again yet: {error}. Send the request again.")
            self._reopening = asyncio.create_task(self._reopen_in_time())
            raise

    async def _reopen(self) -> None:
        services = await self._open_services()
        try:
            await self.core.begin_work()
        except BaseException:
            await services.close()
            await self.core.end_work()
            raise
        self._services = services
        self._gates.open(services.for_edge())

    async def _reopen_in_time(self) -> None:
        pause_s = _REOPEN_S_MIN
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._reopen()
            except Exception as error:  # noqa: BLE001 (whatever it is, nobody else can open them)
                _log.error("the services do not open again", reason=str(error), again_s=pause_s)
            else:
                _log.info("the services have opened again")
                return
            pause_s = min(2 * pause_s, _REOPEN_S_MAX)

    async def _give_up_reopening(self) -> None:
        if self._reopening is not None:
            await cancelled(self._reopening)
            self._reopening = None

    @asynccontextmanager
    async def _quiet(self) -> AsyncIterator[None]:
        """Keeps requests out for the length of a block where logs have to come to their ends, and lets all others end.

        Raises:
            CopyRefused: requests that had begun do not end.
        """
        if self.core.store.capabilities.cheap_commits_across_partitions and not self._services.follows_logs:
            yield
            return
        self._gates.shut(MOVING)
        try:
            if not await self._idle(own=0):
                raise CopyRefused("requests that had begun have not ended in time; repeat the command")
            yield
        finally:
            self._gates.open(self._services.for_edge())

    async def _idle(self, *, own: int = 1) -> bool:
        """Waits until the requests that had begun have ended, at most for as long as a request may take.

        Args:
            own: how many requests wait for this themselves, as the one does that asked for a restore.

        Returns:
            Whether they have.
        """
        until_s = self._clock.monotonic_s() + self.settings.limits.deadline_s
        while self.edge.admission.in_flight > own:
            if self._clock.monotonic_s() >= until_s:
                return False
            await asyncio.sleep(_LOOK_S)
        return True


def limits_of(settings: Settings) -> EdgeLimits:
    """Returns the limits of the edge that the settings ask for; they have the same names."""
    return EdgeLimits(**msgspec.structs.asdict(settings.limits))


def rules_of(settings: Settings) -> ObservedRules:
    """Returns which requests leave a log line."""
    return ObservedRules(slow_ms=settings.logs.slow_ms, sample_ratio=settings.logs.sample_ratio)


def _command() -> list[str]:
    """Returns how a shell of this machine calls the command that runs: by its name where that is on the path."""
    running = Path(sys.argv[0]).absolute()
    if running.suffix == ".py":
        return [sys.executable, "-m", "tenet.app.cli"]
    found = shutil.which(running.name)
    return [running.name if found and running.exists() and Path(found).samefile(running) else str(running)]


@contextmanager
def _listening(listen: str) -> Iterator[tuple[str, int]]:
    """Yields host and port of an address, and says of it what the system says where it cannot be listened on."""
    try:
        yield host_and_port(listen)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressTaken(
                f"{listen} is in use by another process; listen elsewhere with --listen HOST:PORT."
            ) from error
        raise ConfigurationError(
            [f"`server.listen` is '{listen}', which cannot be listened on: {error.strerror}."]
        ) from error
