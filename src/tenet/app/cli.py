"""The command ``tenet``. Each command imports what it needs when it runs, so that the command itself starts at once.

What becomes of errors, and which exit codes there are, is in ``commands``.
"""

from __future__ import annotations

import asyncio
import functools
import os
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from tenet.app import parameters
from tenet.app.commands import EXIT_FAILED, Commands

if TYPE_CHECKING:
    from tenet.app.catalogue import Value
    from tenet.app.configuration import Configuration
    from tenet.app.messages import Administration

Result = TypeVar("Result")

#: How long ``tenet env --wait`` waits unless told otherwise.
WAIT_S: Final = 30


def _common(command: Callable[..., Result], *, starts: bool = False) -> Callable[..., Result]:
    """Gives a command the options that say which installation it is about, and hands it the settings.

    Args:
        command: takes the settings first.
        starts: whether a server is started with them, so that what they ask of this machine has to be there.
    """

    @click.option("--data", metavar="DIR", help="Data directory; ./tenet-data unless the settings say otherwise.")
    @click.option(
        "--config",
        "settings_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        envvar="TENET_CONFIG",
        help="Settings file; ./tenet.toml where there is one.",
    )
    @functools.wraps(command)
    def wrapped(*arguments: Any, data: str | None, settings_file: Path | None, **options: Any) -> Result:
        flags: dict[str, Value] = {"data": data} if data is not None else {}
        for name, setting in {"listen": "server.listen", "plaintext": "tls.plaintext", "store": "store.url"}.items():
            given = options.pop(name, None)
            # A flag that was not given is None, or False; an empty text was given, and is wrong.
            if given not in {None, False}:
                flags[setting] = given
        return command(_configuration(settings_file, flags, starts=starts), *arguments, **options)

    return wrapped


def _configuration(file: Path | None, flags: dict[str, Value], *, starts: bool) -> Configuration:
    from tenet.app.configuration import load

    default = Path("tenet.toml")
    file = file or (default if default.exists() else None)
    if not starts:
        return load(file, os.environ, flags)
    from tenet.app.machine import mistakes_in

    return load(file, os.environ, flags, look=mistakes_in)


def _administer(configuration: Configuration, work: Callable[[Administration], Awaitable[Result]]) -> Result:
    """Carries out what an administrator asks: by the server that runs, else on the data directory itself."""
    from tenet.app.reach import reach

    async def carry_out() -> Result:
        async with reach(configuration) as administration:
            return await work(administration)

    return asyncio.run(carry_out())


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Tenet: the data foundation of a cloud that you own."""


@main.command()
@click.option(
    "--listen", metavar="HOST:PORT", help="Address to listen on; 127.0.0.1:8000 by default, port 0 takes one."
)
@click.option("--plaintext", is_flag=True, help="Speak http instead of https; on a loopback address only.")
@click.option(
    "--store",
    metavar="URL",
    help="Where the data is: cassandra://HOST[,HOST]/KEYSPACE, or sqlite:DIRECTORY; in the data directory by default.",
)
@functools.partial(_common, starts=True)
def up(configuration: Configuration) -> None:
    """Start the server, and print the lines that point clients at it.

    It makes what is missing at the first start: the data directory, a root key, a local certificate authority. It runs
    until Ctrl-C or SIGTERM, then ends what has begun and stops; a second Ctrl-C stops at once. SIGHUP makes it read its
    settings again.
    """
    from tenet.app.server import run

    run(configuration)


@main.command()
@click.option(
    "--shell",
    type=click.Choice(["sh", "fish", "powershell"]),
    default="sh",
    show_default=True,
    help="The shell that will read the lines.",
)
@click.option(
    "--for",
    "runtime",
    type=click.Choice(["python", "go", "node", "java", "openstack"]),
    default="python",
    show_default=True,
    help="What the client is written in: Node.js and Java find certificate authorities in ways of their own. Or the "
    "openstack command, and openstacksdk, which look at other variables.",
)
@click.option(
    "--wait",
    "wait_s",
    metavar="[SECONDS]",
    type=click.FloatRange(0, 86_400),
    is_flag=False,
    flag_value=WAIT_S,
    help=f"Wait until the server is ready, {WAIT_S} s at most unless SECONDS says otherwise.",
)
@_common
def env(configuration: Configuration, shell: str, runtime: str, wait_s: float | None) -> None:
    """Print the lines that point clients at the server of a data directory.

    For instance: eval "$(tenet env)"

    What a session with AWS may have left in the shell is taken away first: a session token, a profile; with --for
    openstack, what a session with another OpenStack has left.

    Where no server is ready there, the lines are printed all the same, and a warning on standard error says why; with
    --wait that is an error, once the time is up.
    """
    from tenet.app.access import access
    from tenet.app.data_directory import DataDirectory
    from tenet.app.exports import exports
    from tenet.app.reach import wait_until_ready, why_not_ready
    from tenet.base.clock import SystemClock

    if wait_s is not None:
        wait_until_ready(configuration, wait_s, SystemClock())
    found = access(configuration)
    if wait_s is None:
        trouble = why_not_ready(DataDirectory(configuration.settings))
        if trouble:
            click.echo(f"tenet: these lines do not work yet: {trouble}", err=True)
    click.echo(exports(found, runtime, shell))


@main.group()
def keys() -> None:
    """Access keys: who may sign requests, and for which account."""


@keys.command("create")
@click.option("--id", "access_key_id", metavar="ID", help="Access key id; drawn where it is left away.")
@click.option(
    "--secret",
    metavar="SECRET",
    callback=parameters.secret,
    help="Secret access key, - for a line of standard input; drawn where it is left away.",
)
@click.option("--tenant", metavar="ACCOUNT", default="000000000000", show_default=True, help="Account, 12 digits.")
@_common
def create_key(configuration: Configuration, access_key_id: str | None, secret: str | None, tenant: str) -> None:
    """Make an access key and print it with its secret, which is shown only now. It works at once."""
    from tenet.app.exports import lines
    from tenet.app.messages import KeyWanted, mistakes_in

    wanted = KeyWanted(tenant=tenant, access_key_id=access_key_id, secret_access_key=secret)
    mistakes = mistakes_in(wanted)
    if mistakes:
        raise click.UsageError("\n".join(mistakes))
    made = _administer(configuration, lambda administration: administration.create_key(wanted))
    click.echo(lines({"AWS_ACCESS_KEY_ID": made.access_key_id, "AWS_SECRET_ACCESS_KEY": made.secret_access_key}))


@keys.command("list")
@_common
def list_keys(configuration: Configuration) -> None:
    """List the access keys with their accounts, without their secrets.

    Of a key whose secret cannot be read it says why: after a restore, most often for want of the master key.
    """
    found = _administer(configuration, lambda administration: administration.list_keys())
    for key in found:
        unusable = f"  cannot be used: {key.unusable}" if key.unusable else ""
        click.echo(f"{key.tenant}  {key.access_key_id}{'  root' if key.is_root else ''}{unusable}")


@keys.command("revoke")
@click.argument("access_key_id", metavar="ID", callback=parameters.filled)
@_common
def revoke_key(configuration: Configuration, access_key_id: str) -> None:
    """Remove an access key. Requests that it signs are refused at once."""
    _administer(configuration, lambda administration: administration.revoke_key(access_key_id))
    click.echo(f"{access_key_id} is revoked.")


@keys.command("rotate-master")
@_common
def rotate_master_key(configuration: Configuration) -> None:
    """Encrypt the secrets of all access keys under a new master key, and forget the old one.

    The keys themselves stay as they are. In a cluster all nodes do so together, while they serve; where one is missing
    nothing begins. Backups made before hold secrets under the old master key: keep a copy of its file with them.
    """
    done = _administer(configuration, lambda administration: administration.rotate_master_key())
    click.echo(f"Secrets encrypted under a new master key: {done.count}.")


@keys.command("rotate-root")
@click.option("--keep-old", is_flag=True, help="Leave the old one good until `tenet keys revoke`.")
@_common
def rotate_root_key(configuration: Configuration, *, keep_old: bool) -> None:
    """Exchange the root key for a new one, and revoke the old one at once.

    Its secret is in the data directory, of every node in a cluster: `tenet env` prints it there. Nodes that run have it
    within a second, those that are off when they start. Access keys of other accounts stay as they are.
    """
    from tenet.app.messages import RootKeyWanted

    wanted = RootKeyWanted(keeps_former=keep_old)
    made = _administer(configuration, lambda administration: administration.rotate_root_key(wanted))
    click.echo(f"The root key is {made.access_key_id} now; `tenet env` prints it.")
    for access_key_id in made.revoked:
        click.echo(f"{access_key_id} is revoked.")


@main.group()
def node() -> None:
    """Nodes: the processes that serve one store together, and know each other."""


@node.command("invite")
@click.option(
    "--expires",
    "expires_s",
    metavar="TIME",
    callback=parameters.seconds,
    default="1h",
    show_default=True,
    help="How long it is good: 10s to 30d.",
)
@_common
def invite_node(configuration: Configuration, expires_s: int) -> None:
    """Print a token with which one machine can join the cluster, once.

    It goes to the other machine by a way that nobody else reads: whoever uses it first becomes a node.
    """
    import msgspec

    from tenet.app.messages import InvitationWanted

    try:
        wanted = msgspec.convert({"expires_s": expires_s}, InvitationWanted)
    except msgspec.ValidationError:
        raise click.UsageError(f"--expires is {expires_s} s; an invitation is good for 10 s to 30 days.") from None
    made = _administer(configuration, lambda administration: administration.invite_node(wanted))
    click.echo(f"On the other machine: tenet node join {made.addresses[0]} - and this token as its input:", err=True)
    click.echo(made.token)
    if made.invitation_id:
        click.echo(f"To take it back: tenet node invitations withdraw {made.invitation_id}", err=True)


@node.group("invitations", invoke_without_command=True)
@click.pass_context
@_common
def list_invitations(configuration: Configuration, context: click.Context) -> None:
    """List the invitations with which a machine can join now: id, when and where it was made, and its end.

    Their tokens are shown nowhere: they were told once, by `tenet node invite`.
    """
    if context.invoked_subcommand is not None:
        parameters.refuse_before_command(context)
        return
    found = _administer(configuration, lambda administration: administration.list_invitations())
    if not found:
        click.echo("There is no invitation with which a machine could join now.", err=True)
    for one in found:
        made = f"made {parameters.time_shown(one.made_ms)}" + (f" at {one.made_at}" if one.made_at else "")
        click.echo(f"{one.invitation_id}  {made}  good until {parameters.time_shown(one.expires_ms)}")


@list_invitations.command("withdraw")
@click.argument("invitation_id", metavar="ID", callback=parameters.filled)
@_common
def withdraw_invitation(configuration: Configuration, invitation_id: str) -> None:
    """Withdraw an invitation: no machine can join with it from now on.

    ID is what `tenet node invitations` shows. One that a node has used is refused: remove that node instead.
    """
    _administer(configuration, lambda administration: administration.withdraw_invitation(invitation_id))
    click.echo(f"The invitation {invitation_id} is withdrawn.")


@node.command("join")
@click.argument("address", metavar="HOST:PORT")
@click.argument("token", metavar="TOKEN", callback=parameters.secret)
@click.option("--name", metavar="NAME", default="", help="Name of the new node; the machine's name and random digits.")
@_common
def join_node(configuration: Configuration, address: str, token: str, name: str) -> None:
    """Make the data directory that of a node of a cluster, by an invitation.

    HOST:PORT is where any of its nodes is reached by others, as `tenet node list` shows it; TOKEN is what `tenet node
    invite` has printed there, or - for a line of standard input, where nobody else sees it. The node's private key is
    made here and never leaves this machine; the master key, the root key and the certificate authority of the cluster
    come over the authenticated connection.
    """
    from tenet.app.clustering import join_cluster, start_line

    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise click.UsageError(f"HOST:PORT is '{address}'; it is like 10.0.0.1:7900 or [2001:db8::1]:7900.")
    joined = join_cluster(configuration, address, token, name)
    line, is_store_open = start_line(configuration)
    where = ", with what the other nodes have as `store.url` in the place of URL" if is_store_open else ""
    click.echo(f"This is the node {joined} now. Start it{where}:")
    click.echo(line)


@node.command("list")
@_common
def list_nodes(configuration: Configuration) -> None:
    """List the nodes with their state, their address, and whether the one that is asked is connected with them.

    A node is serving, draining, off (stopped, or not started yet), dead since the time at which the others found it so,
    or removed.
    """
    found = _administer(configuration, lambda administration: administration.list_nodes())
    for one in found:
        connected = {True: "connected", False: "not connected", None: ""}[one.is_connected]
        state = f"dead since {parameters.time_shown(one.dead_since_ms)}" if one.state == "dead" else one.state
        shown = (one.node, state, one.address or "not started yet", "" if one.state == "removed" else connected)
        click.echo("  ".join(part for part in shown if part))


@node.command("rotate-authority")
@click.option(
    "--overlap",
    "overlap_s",
    metavar="TIME",
    callback=parameters.seconds,
    default="1h",
    show_default=True,
    help="How long the old one is trusted where a node is not seen: 60s to 30d.",
)
@click.option("--now", "cuts_off", is_flag=True, help="Trust the old one no more, whether every node is seen or not.")
@_common
def rotate_authority(configuration: Configuration, overlap_s: int, *, cuts_off: bool) -> None:
    """Exchange the authority that the certificates of the nodes are of, while they serve.

    All nodes trust the new one, then have certificates of it, then trust the old one no more; connections are made anew
    without a gap. Outstanding invitations are withdrawn, since they tell a machine to believe the old one. Where a node
    is not seen, the old one stays trusted until the time is over or the command is repeated; then, or with --now, that
    node is cut off from the others until it reaches the store, where it finds the new one by itself.
    """
    import msgspec

    from tenet.app.messages import AuthorityWanted

    try:
        wanted = msgspec.convert({"overlap_s": overlap_s, "cuts_off": cuts_off}, AuthorityWanted)
    except msgspec.ValidationError:
        raise click.UsageError(f"--overlap is {overlap_s} s; it is 60 s to 30 days.") from None
    made = _administer(configuration, lambda administration: administration.rotate_authority(wanted))
    click.echo(f"The certificates of the nodes are of the authority {made.authority_sha256} now.")
    if made.withdrawn:
        click.echo(f"Invitations withdrawn: {made.withdrawn}. Print others with `tenet node invite`.")
    missing = ", ".join(made.not_seen)
    if made.former_until_ms:
        until = parameters.time_shown(made.former_until_ms)
        click.echo(
            f"tenet: not seen: {missing}. The old authority is trusted until {until}; repeat this when they run,"
            " or with --now to end that at once",
            err=True,
        )
        click.get_current_context().exit(EXIT_FAILED)
    click.echo("The old one is trusted by nobody." + (f" Not seen, and cut off: {missing}." if missing else ""))


@node.command("drain")
@click.argument("name", metavar="NODE", callback=parameters.filled)
@click.option("--over", "is_over", is_flag=True, help="Let it serve again.")
@_common
def drain_node(configuration: Configuration, name: str, *, is_over: bool) -> None:
    """Make a node give its work to others, within seconds: before it is stopped, upgraded or removed.

    It says on /readyz that it is not to be sent requests, and answers those that come all the same.
    """
    _administer(configuration, lambda administration: administration.drain_node(name, is_over=is_over))
    click.echo(f"{name} serves again." if is_over else f"{name} drains.")


@node.command("remove")
@click.argument("name", metavar="NODE", callback=parameters.filled)
@_common
def remove_node(configuration: Configuration, name: str) -> None:
    """Remove a node for good: all others refuse its certificate within seconds, and it stops by itself.

    A machine that somebody else may have got at knows every key and how to reach the store: change that first, then
    run `tenet keys rotate-root`, `tenet node rotate-authority` and `tenet keys rotate-master`.
    """
    _administer(configuration, lambda administration: administration.remove_node(name))
    click.echo(f"{name} is removed.")


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE where it exists, once the new backup is whole.")
@_common
def backup(configuration: Configuration, file: Path, *, force: bool) -> None:
    """Write a consistent copy of the store to a new FILE, while the server serves.

    The server writes the file, with its own permissions. The master key and the local certificate authority are not in
    it: keep a copy of the master key elsewhere, for without it the access keys of a backup cannot be read.
    """
    from tenet.app.messages import BackupWanted

    wanted = BackupWanted(str(file.absolute()), force)
    done = _administer(configuration, lambda administration: administration.backup(wanted))
    figures = ", ".join(f"{value:,} {name}" for name, value in done.figures.items())
    click.echo(f"{done.path}: {figures}, in {done.elapsed_ms / 1000:.1f} s.")
    click.echo("The master key is not in it: keep a copy of that too, elsewhere.")


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@_common
def restore(configuration: Configuration, file: Path, *, yes: bool) -> None:
    """Replace everything in the store by what the backup FILE holds.

    A server that runs goes on serving: requests during the restore, about a second, are answered with an error that
    clients retry. What was written since the backup is lost. Access keys that are encrypted under a master key that is
    not here cannot be used then, and it says how many. Where no server runs and the store is too damaged to be
    opened, it is kept under another name.
    """
    from tenet.app.messages import FileNamed
    from tenet.app.reach import restore as restore_wherever_it_is

    if not yes:
        parameters.confirm(f"Everything in {configuration.settings.data} is replaced by {file}. Go on?")
    named = FileNamed(str(file.absolute()))

    def say(place: Path) -> None:
        click.echo(f"tenet: the store could not be opened; it is kept in {place}", err=True)

    done = asyncio.run(restore_wherever_it_is(configuration, named, say))
    click.echo(f"{done.path} is restored, in {done.elapsed_ms / 1000:.1f} s.")
    if done.warning:
        click.echo(f"tenet: {done.warning}", err=True)


@main.group()
def store() -> None:
    """The store: where all state lies."""


@store.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--abort", "is_abort", is_flag=True, help="Give the copy up, or the move back, and empty TO.")
@_common
def copy_store(configuration: Configuration, source: str, target: str, *, is_abort: bool) -> None:
    """Copy the store FROM to the empty store TO while it is served, verify it, and switch over.

    FROM and TO are as `tenet up --store` takes them; `sqlite:` alone is the embedded store in the data directory. The
    server that runs on the data directory does it, or this command itself where none runs. Once everything is in TO,
    writes are refused; start the server again with --store TO, on the same data directory, with the same keys.

    Interrupted, it is resumed by the same command. Until TO is started, --abort takes even a finished move back.
    """
    from tenet.app.copies import carry_out, give_up, named

    configuration, wanted = named(configuration, source, target)
    if is_abort:
        asyncio.run(give_up(configuration, wanted))
        click.echo(f"The copy is given up; {source} is served as before.")
        return

    def say(line: str) -> None:
        click.echo(f"tenet: {line}", err=True)

    done = asyncio.run(carry_out(configuration, wanted, say))
    click.echo(f"Everything is in {done.target}: {done.spaces} spaces, {done.verified:,} records verified.")
    click.echo("What had this store open takes no writes any more. Stop it, then start:")
    data = configuration.settings.data
    click.echo(shlex.join(["tenet", "up", "--data", str(Path(data).absolute()), "--store", done.target]))


@main.group()
def tables() -> None:
    """Tables: what changes in them."""


@tables.command("follow")
@click.argument("table", metavar="TABLE", callback=parameters.filled)
@click.option(
    "--from",
    "since",
    metavar="POINT",
    default="now",
    show_default=True,
    help="Where to begin: start (the oldest change that is kept), now, or a time such as 2026-03-01T12:00:00Z.",
)
@click.option(
    "--resume",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep in this file how far was printed, and go on there next time.",
)
@click.option(
    "--skip-lost",
    is_flag=True,
    help="Where changes are gone, say so on standard error and go on with the oldest one that is kept.",
)
@click.option("--once", is_flag=True, help="End when all changes that are there were printed.")
@_common
def follow_table(
    configuration: Configuration, table: str, since: str, file: Path | None, *, skip_lost: bool, once: bool
) -> None:
    """Print the changes of a table as they are made, a line of JSON for each.

    A line is a record of the table's stream, as GetRecords of DynamoDB Streams answers it. The table has to have a
    stream; its changes are kept for 24 hours. Changes of an item are in their order.

    With --resume no change is left out, however the command ends; what was printed last may be printed again. Where
    changes are gone that come behind what the file says, because the command did not run for more than a day, it ends
    with an error that says from when to when; with --skip-lost it says that on a line of standard error, and goes on.
    """
    from tenet.app.table_changes import Follower, asking, follow

    warn = functools.partial(click.echo, err=True) if skip_lost else None
    follower = Follower(asking(configuration), click.echo, file, warn=warn)
    follower.begin(table, since)
    follow(follower, once=once)


@main.group()
def placement() -> None:
    """Placement: providers, and what consumers have of them."""


@placement.command("audit")
@click.option(
    "--store",
    metavar="URL",
    help="Where the data is, as `tenet up --store` takes it; in the data directory by default.",
)
@_common
def audit_placement(configuration: Configuration) -> None:
    """Prove that nothing is given out twice, on a store that no server serves.

    What is in use is added up again from what consumers have, and compared with every count, with the capacities and
    with the projects; names and trees are checked too. Every mistake is told on a line of its own, and the exit code
    is 1 then. It changes nothing.

    A server of the embedded store has to be stopped first. On a cluster stop all nodes: what changes while it is read
    looks like a mistake.
    """
    from tenet.app.placement_audit import carry_out, lines

    audited = asyncio.run(carry_out(configuration))
    for line in lines(audited):
        click.echo(line)
    if audited.count:
        click.get_current_context().exit(EXIT_FAILED)


@main.group()
def config() -> None:
    """Settings: from a file, environment variables over it, flags over both."""


@config.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
def check_config(file: Path | None) -> None:
    """Say whether the settings are valid, and where each one that is not a default comes from.

    Every mistake is told on a line of its own, those included that only show on this machine: an engine that is not
    installed, a certificate that cannot be used. Of the URL of a store it tells the first. Whether a cluster answers
    there it does not ask.

    FILE is the settings file; without it, what `tenet up` would read here.
    """
    from tenet.app.catalogue import shown

    given = file or (Path(os.environ["TENET_CONFIG"]) if os.environ.get("TENET_CONFIG") else None)
    found = _configuration(given, {}, starts=True)
    values = found.values()
    for name, origin in found.origins.items():
        if origin != "default":
            click.echo(f"{name} = {shown(name, values[name])!r}  ({origin})")
    click.echo("The settings are valid.")


@config.command("reload")
@_common
def reload_config(configuration: Configuration) -> None:
    """Make the server that runs read its settings file again, and take over what may change while it runs.

    Limits, the log, the listener's address and its certificate change at once, without an error for a client; of all
    other settings it says that they change at the next start. One mistake, and nothing changes. The environment and the
    flags are those that the server was started with, and stand above the file.
    """
    done = _administer(configuration, lambda administration: administration.reload_settings())
    for name in done.changed:
        click.echo(f"{name}: changed.")
    for name in done.at_next_start:
        click.echo(f"{name}: takes effect at the next start.")
    if not (done.changed or done.at_next_start):
        click.echo("No setting has changed.")
    if "server.listen" in done.changed:
        click.echo(f"It serves at {done.endpoint} now; so says `tenet env`.")


@main.command()
@click.option("--output", type=click.Path(path_type=Path), help="File to write; tenet-doctor-TIME.tar.gz by default.")
@click.option("--check", "fails", is_flag=True, help="Exit with 1 where anything looks wrong, or no server runs.")
@_common
def doctor(configuration: Configuration, output: Path | None, *, fails: bool) -> None:
    """Collect what helps to find out what is wrong into one archive, without secrets, and say what looks wrong.

    It has done its work then, and exits with 0 whatever it has found, unless --check is given.
    """
    from tenet.app.doctor import examine, write

    examination = asyncio.run(examine(configuration, output))
    # Said before it is written, which may fail.
    click.echo(examination.summary)
    write(examination)
    click.echo(f"Written to {examination.output}. It holds no secrets.")
    if fails and examination.findings:
        click.get_current_context().exit(EXIT_FAILED)


@main.command()
def version() -> None:
    """Print the versions of Tenet, Python, the platform and the libraries that Tenet needs."""
    from tenet.app.versions import versions

    for name, number in versions().items():
        click.echo(f"{name} {number}")


if __name__ == "__main__":
    main()
