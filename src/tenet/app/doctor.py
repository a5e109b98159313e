"""``tenet doctor``: one archive with what helps to find out what is wrong, and a summary in plain words.

Nothing in it is a secret: settings name files, and what a URL may hold of secrets is left out; requests are described,
not kept; of files with keys it says their permissions, never their content.
"""

from __future__ import annotations

import io
import os
import platform
import shutil
import stat
import tarfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tenet.app.commands import told
from tenet.app.configuration import Configuration
from tenet.app.data_directory import DataDirectory
from tenet.app.diagnosis import settings_shown
from tenet.app.findings import CERTIFICATE_LIFE_DAYS, Facts, findings
from tenet.app.messages import Administration, Diagnosis
from tenet.app.reach import reach
from tenet.app.remote import NotReached, RemoteAdministration
from tenet.app.versions import tenet_version, versions
from tenet.base.clock import SystemClock
from tenet.base.errors import TenetError

_EMPTY = Diagnosis(server={}, settings={}, store={}, requests=[], limits={}, certificate={})


class CannotWrite(TenetError):
    """The archive cannot be written where it is wanted."""

    code = "CannotWrite"
    http_status = 400


class Collected(Struct, frozen=True):
    """What was found out.

    Args:
        diagnosis: what the server, or the directory, knows about itself.
        metrics: of the server, in the text format of Prometheus; empty where none runs.
        running: whether a server answered.
        trouble: why nothing could be asked.
    """

    diagnosis: Diagnosis
    metrics: str = ""
    running: bool = False
    trouble: TenetError | None = None


class Examination(Struct, frozen=True):
    """What the doctor says, and what goes into its archive.

    Args:
        summary: what is there, and what looks wrong, in plain words.
        findings: what of that looks wrong.
        output: the archive.
        files: its content: text, or what is shown as JSON, by name.
        at_s: when it was made, seconds since 1970.
    """

    summary: str
    findings: Sequence[str]
    output: Path
    files: Mapping[str, Any]
    at_s: float


async def examine(configuration: Configuration, output: Path | None) -> Examination:
    """Finds out what is to be said of an installation; nothing is written yet.

    Args:
        configuration: says which installation.
        output: the archive that is wanted; None names one after the time, in the working directory.

    Raises:
        CannotWrite: there is a file of that name, or none can be made; nothing was looked at.
    """
    now = datetime.fromtimestamp(SystemClock().wall_ms() / 1000, UTC)
    output = output or Path(f"tenet-doctor-{now:%Y%m%dT%H%M%SZ}.tar.gz")
    _check_place(output)
    collected = await _collect(configuration)
    directory = DataDirectory(configuration.settings)
    disk = _disk(directory.path)
    modes = _modes(directory, configuration.settings.keystone.password_file)
    of_command, of_server = versions(), _versions_of(collected.diagnosis.server)
    facts = _facts(collected, disk, modes, round(now.timestamp() * 1000))
    wrong = findings(facts)
    summary = summary_of(facts, wrong, of_command, of_server)
    described = collected.diagnosis
    files: dict[str, Any] = {
        "summary.txt": summary,
        "settings.json": described.settings or settings_shown(configuration),
        "versions.json": {"command": of_command, "server": of_server},
        "platform.json": _platform(),
        "server.json": described.server,
        "store.json": described.store,
        "requests.json": described.requests,
        "limits.json": described.limits,
        "certificate.json": described.certificate,
        "placement.json": described.placement,
        "disk.json": disk | {"modes": {path: f"{mode:04o}" for path, mode in modes.items()}},
        "metrics.txt": collected.metrics,
    }
    return Examination(summary, wrong, output, files, now.timestamp())


def write(examination: Examination) -> None:
    """Writes the archive.

    Raises:
        CannotWrite: it cannot be written; nothing is left of it.
    """
    output = examination.output
    try:
        _write(output, examination.files, at_s=examination.at_s)
    except FileExistsError as error:
        raise _exists(output) from error
    except OSError as error:
        output.unlink(missing_ok=True)
        raise CannotWrite(f"{output} cannot be written: {error.strerror}; name another with --output FILE.") from error


def _versions_of(server: Mapping[str, Any]) -> dict[str, str]:
    """What a server says of what it runs with; one of an earlier version says less."""
    names = {"version": "tenet", "compiled": "compiled", "python": "python"}
    return {name: str(server[told]) for told, name in names.items() if told in server}


def _check_place(output: Path) -> None:
    """Finds out whether an archive can be made there.

    Raises:
        CannotWrite: it cannot.
    """
    if os.path.lexists(output):
        raise _exists(output)
    if not output.parent.is_dir():
        raise CannotWrite(f"there is no directory {output.parent}; name another file with --output FILE.")
    if not os.access(output.parent, os.W_OK):
        raise CannotWrite(f"{output.parent} cannot be written to; name a file elsewhere with --output FILE.")


def _exists(output: Path) -> CannotWrite:
    return CannotWrite(f"{output} exists; name a new file with --output FILE.")


def summary_of(facts: Facts, wrong: Sequence[str], of_command: Mapping[str, str], of_server: Mapping[str, str]) -> str:
    """Returns the summary: what is there, and what looks wrong with what to do about it.

    Args:
        facts: what the rules look at.
        wrong: what they have found.
        of_command: versions of what this command runs with, by name.
        of_server: the same of the server, as far as it tells; empty where none answered.
    """
    state = "A server runs." if facts.running else "No server answered."
    lines = [f"Tenet {facts.command_version} on {of_command['platform']}. {state}"]
    if facts.running:
        lines.append(f"Compiled modules in the server: {of_server.get('compiled', 'it does not say')}.")
    lines += [f"Compiled modules in this command: {of_command['compiled']}.", ""]
    lines += [f"- {sentence}" for sentence in wrong] or ["Nothing looks wrong."]
    return "\n".join(lines)


async def _collect(configuration: Configuration) -> Collected:
    try:
        async with reach(configuration) as administration:
            return await _ask(administration)
    except TenetError as error:
        return Collected(_EMPTY, trouble=error)
    except OSError as error:
        return Collected(_EMPTY, trouble=TenetError(told(error)))


async def _ask(administration: Administration) -> Collected:
    diagnosis = await administration.diagnosis()
    if isinstance(administration, RemoteAdministration):
        return Collected(diagnosis, metrics=await administration.metrics(), running=True)
    return Collected(diagnosis)


def _facts(collected: Collected, disk: Mapping[str, int], modes: Mapping[str, int], now_ms: int) -> Facts:
    found = collected.diagnosis
    return Facts(
        running=collected.running,
        problem=collected.trouble.message if collected.trouble else "",
        held=isinstance(collected.trouble, NotReached),
        command_version=tenet_version(),
        server_version=str(found.server.get("version", "")),
        disk_free_bytes=disk["free_bytes"],
        modes=modes,
        store=found.store,
        certificate_days=found.certificate.get("days_left"),
        certificate_life_days=found.certificate.get("days", CERTIFICATE_LIFE_DAYS),
        nodes_not_connected=found.server.get("node", {}).get("not_connected", {}),
        unusable_keys=found.unusable_keys,
        placement=found.placement,
        requests=found.requests,
        connections_max=int(found.limits.get("connections_max", 0)),
        files_max=int(found.server.get("files_max", 0)),
        now_ms=now_ms,
    )


def _disk(path: Path) -> dict[str, int]:
    existing = next(place for place in (path, *path.parents) if _state_of(place) is not None)
    usage = shutil.disk_usage(existing)
    states = [_state_of(Path(folder, name)) for folder, _, names in os.walk(path) for name in names]
    sizes = [state.st_size for state in states if state is not None and stat.S_ISREG(state.st_mode)]
    return {"free_bytes": usage.free, "total_bytes": usage.total, "data_bytes": sum(sizes), "data_files": len(sizes)}


def _modes(directory: DataDirectory, password_file: str) -> dict[str, int]:
    """Permission bits of every file that holds a secret, as far as this user may see them."""
    secrets = [
        directory.root_key_file,
        directory.master_key_file,
        *_keys_in(directory.tls),
        *_keys_in(directory.node),
        *([Path(password_file)] if password_file else ()),
    ]
    states = {str(path): _state_of(path) for path in secrets}
    return {path: stat.S_IMODE(state.st_mode) for path, state in states.items() if state is not None}


def _keys_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if "key" in path.name)
    except OSError:
        return []


def _state_of(path: Path) -> os.stat_result | None:
    """Returns what the system says of a file; None where there is none, or none that this user may see.

    The doctor says what it can of a directory that belongs to another user, or is none; why it cannot say more it has
    been told by the first file that it could not read.
    """
    try:
        return path.stat()
    except OSError:
        return None


def _platform() -> Mapping[str, Any]:
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }


def _write(output: Path, files: Mapping[str, Any], *, at_s: float) -> None:
    with tarfile.open(output, "x:gz") as archive:
        for name, content in files.items():
            text = content if isinstance(content, str) else msgspec.json.format(msgspec.json.encode(content)).decode()
            data = text.encode()
            member = tarfile.TarInfo(f"{output.name.removesuffix('.tar.gz')}/{name}")
            member.size, member.mtime, member.mode = len(data), int(at_s), 0o600
            archive.addfile(member, io.BytesIO(data))
