"""Reads the settings: the file, the environment over it, flags over both; and says where each value came from.

Every mistake is found in one pass and named with its place, what was expected, and the nearest setting that exists.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tenet.app.catalogue import ENVIRONMENT_PREFIX, Value, sections, settings, shown
from tenet.app.settings import Settings
from tenet.base.errors import TenetError

#: Variables with the prefix that are no settings.
NO_SETTINGS: Final = ("TENET_COMPILED", "TENET_CONFIG", "TENET_TEST_")
PORT_MAX: Final = 65_535


class ConfigurationError(TenetError):
    """The settings contradict what they are declared to be; nothing was started or changed.

    Args:
        problems: what is wrong, a sentence each.
    """

    code = "ConfigurationError"
    http_status = 400

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Given(Struct, frozen=True):
    """A value that somebody gave.

    Args:
        name: of the setting, with dots.
        value: as it was given.
        origin: where, for instance ``environment TENET_DATA``.
        is_text: whether it came as text that has to be read as the setting's type.
    """

    name: str
    value: object
    origin: str
    is_text: bool = False


class Mistake(Struct, frozen=True):
    """What is wrong with settings that are each as they are declared to be.

    Args:
        names: the settings in question; where one of them is wrong in itself, the mistake is not told.
        text: a sentence.
    """

    names: tuple[str, ...]
    text: str


#: Finds further mistakes in settings.
Look: TypeAlias = Callable[[Settings], Iterable[Mistake]]


class Configuration(Struct, frozen=True):
    """The settings that hold.

    Args:
        settings: all of them.
        origins: where each value came from, by dotted name.
        file: the file that was read, or None.
        environment: the variables that were read.
        flags: the flags that were given.
    """

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None
    environment: Mapping[str, str]
    flags: Mapping[str, Value]

    def again(self, *, look: Look = lambda _settings: ()) -> Configuration:
        """Reads the same file again, under the same environment and flags.

        Args:
            look: as ``load`` takes it.

        Raises:
            ConfigurationError: names every mistake.
        """
        return load(self.file, self.environment, self.flags, look=look)

    def keeping(self, names: Collection[str], kept: Configuration) -> Configuration:
        """Returns this configuration with some settings as they are in another one.

        Args:
            names: of the settings.
            kept: the other one.

        Raises:
            ConfigurationError: together they contradict each other.
        """
        found = self.settings
        for name in names:
            section, _, leaf = name.rpartition(".")
            value = _value_of(kept.settings, name)
            of_section = replace(getattr(found, section), **{leaf: value}) if section else value
            found = replace(found, **{section or leaf: of_section})
        problems = [mistake.text for mistake in _contradictions(found)]
        if problems:
            raise ConfigurationError(problems)
        origins = {**self.origins, **{name: kept.origins[name] for name in names}}
        return Configuration(found, origins, self.file, self.environment, self.flags)

    def with_store(self, url: str) -> Configuration:
        """Returns the same settings with another store.

        Args:
            url: of the store, as ``store.url``.

        Raises:
            ConfigurationError: it is none.
        """
        return load(self.file, self.environment, {**self.flags, "store.url": url})

    def values(self) -> Mapping[str, Value]:
        """Returns every value by the dotted name of its setting."""
        return {name: _value_of(self.settings, name) for name in settings()}


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Value] | None = None,
    *,
    look: Look = lambda _settings: (),
) -> Configuration:
    """Reads the settings from a file, over it the environment, over both the flags.

    Args:
        file: a TOML file, or None.
        environment: variables; those that begin with ``TENET_`` are read.
        flags: values by dotted name, of the flags that were given.
        look: finds what else is wrong, for instance with the files that settings name.

    Raises:
        ConfigurationError: names every mistake.
    """
    problems: list[str] = []
    layers = [
        *(_from_file(file, problems) if file else ()),
        *_from_environment(environment or {}, problems),
        *(Given(name, value, "command line") for name, value in (flags or {}).items()),
    ]
    tree: dict[str, object] = {}
    origins = dict.fromkeys(settings(), "default")
    wrong: set[str] = set()
    for given in layers:
        value = _checked(given, problems)
        if value is None:
            wrong.add(given.name)
            continue
        section, _, leaf = given.name.rpartition(".")
        target = tree.setdefault(section, {}) if section else tree
        assert isinstance(target, dict)
        target[leaf] = value
        origins[given.name] = given.origin
    found = msgspec.convert(tree, Settings)
    mistakes = (*_contradictions(found), *look(found))
    problems += [mistake.text for mistake in mistakes if wrong.isdisjoint(mistake.names)]
    if problems:
        raise ConfigurationError(problems)
    return Configuration(found, origins, file, dict(environment or {}), dict(flags or {}))


def changed(before: Settings, after: Settings) -> Sequence[str]:
    """Returns names of settings that differ, in the order of their declaration."""
    return [name for name in settings() if _value_of(before, name) != _value_of(after, name)]


def is_loopback(host: str) -> bool:
    """Says whether a host, a name or an address, can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def host_and_port(listen: str) -> tuple[str, int]:
    """Splits the value of ``server.listen``; brackets of an IPv6 host are left away."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def _from_file(file: Path, problems: list[str]) -> Iterator[Given]:
    import tomllib

    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}.")
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file}: is not TOML: {error}.")
        return
    except RecursionError:
        problems.append(f"{file}: is no file of settings: it has more brackets within brackets than can be read.")
        return
    if "version" not in document:
        problems.append(f"{file}: has to say which version of the format it has; write `version = 1` at its top.")
    tables = sections()
    for key, value in document.items():
        if key in tables and isinstance(value, dict):
            for name in value:
                yield from _known(f"{key}.{name}", value[name], f"file {file}", problems)
        else:
            yield from _known(key, value, f"file {file}", problems)


def _known(name: str, value: object, origin: str, problems: list[str]) -> Iterator[Given]:
    if name in settings():
        yield Given(name, value, origin)
    else:
        kind = "a table of settings" if name in sections() else "no setting"
        problems.append(f"{origin}: `{name}` is {kind}{_nearest(name, [*settings(), *sections()])}.")


def _from_environment(environment: Mapping[str, str], problems: list[str]) -> Iterator[Given]:
    known = {setting.environment: name for name, setting in settings().items() if name != "version"}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable.startswith(NO_SETTINGS):
            continue
        if variable in known:
            yield Given(known[variable], text, f"environment {variable}", is_text=True)
        else:
            problems.append(f"environment: `{variable}` sets nothing{_nearest(variable, known)}.")


def _nearest(name: str, known: Mapping[str, str] | Sequence[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean `{near[0]}`?)" if near and near[0] != name else ""


def _checked(given: Given, problems: list[str]) -> object:
    setting = settings()[given.name]
    value: object = given.value
    if given.is_text and isinstance(value, str):
        value = _from_text(value, setting.kind)
    try:
        return msgspec.convert(value, setting.annotation, strict=not given.is_text)
    except msgspec.ValidationError:
        told = shown(given.name, given.value)
        told = repr(told) if isinstance(told, str) else str(told)
        problems.append(f"{given.origin}: `{given.name}` is {told}; it has to be: {setting.expectation}.")
        return None


def _from_text(text: str, kind: str) -> object:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    match kind:
        case "list of texts":
            return parts
        case "numbers by account":
            return {account: rate for account, _, rate in (part.partition("=") for part in parts)}
        case _:
            return text


def _contradictions(found: Settings) -> Iterator[Mistake]:
    host, _ = host_and_port(found.server.listen)
    yield from _wrong_addresses(found)
    if found.tls.plaintext and not is_loopback(host):
        yield Mistake(
            ("tls.plaintext", "server.listen"),
            f"`tls.plaintext` is set and `server.listen` is '{found.server.listen}': http is spoken on a loopback "
            "address only. Leave --plaintext away, or listen on 127.0.0.1.",
        )
    if found.placement.authentication == "none" and not is_loopback(host):
        yield Mistake(
            ("placement.authentication", "server.listen"),
            f"`placement.authentication` is `none` and `server.listen` is '{found.server.listen}': everybody is "
            "believed on a loopback address only.",
        )
    if bool(found.tls.certificate_file) != bool(found.tls.private_key_file):
        yield Mistake(
            ("tls.certificate_file", "tls.private_key_file"),
            "`tls.certificate_file` and `tls.private_key_file` go together; one of them is missing.",
        )
    if found.traces.file and found.traces.otlp_endpoint:
        yield Mistake(
            ("traces.file", "traces.otlp_endpoint"),
            "`traces.file` and `traces.otlp_endpoint` are both set; spans go to one of them.",
        )
    yield from _of_keystone(found)


def _of_keystone(found: Settings) -> Iterator[Mistake]:
    options = found.keystone
    if not options.auth_url:
        for name in ("password_file", "ca_file", "public_url"):
            if getattr(options, name):
                yield Mistake(
                    (f"keystone.{name}", "keystone.auth_url"),
                    f"`keystone.{name}` is set and `keystone.auth_url` is not: no Keystone would be asked.",
                )
        return
    try:
        url = urlsplit(options.auth_url)
        _ = url.port
    except ValueError as error:
        yield Mistake(("keystone.auth_url",), f"`keystone.auth_url` is '{options.auth_url}', which is no URL: {error}.")
        return
    if url.scheme == "http" and not options.plaintext and not is_loopback(url.hostname or ""):
        yield Mistake(
            ("keystone.auth_url", "keystone.plaintext"),
            f"`keystone.auth_url` is '{options.auth_url}': http is spoken with a Keystone on a loopback address only. "
            "Take its https URL, or set `keystone.plaintext`.",
        )
    if not options.password_file:
        yield Mistake(
            ("keystone.auth_url", "keystone.password_file"),
            "`keystone.auth_url` is set and `keystone.password_file` is not: name the file with the password of the "
            f"user {options.username}.",
        )
    if found.placement.authentication == "none":
        yield Mistake(
            ("keystone.auth_url", "placement.authentication"),
            "`keystone.auth_url` is set and `placement.authentication` is `none`: everybody would be believed, and no "
            "Keystone asked.",
        )


def _wrong_addresses(found: Settings) -> Iterator[Mistake]:
    addresses = {
        "server.listen": (found.server.listen,),
        "mesh.listen": (found.mesh.listen,),
        "mesh.advertise": (found.mesh.advertise,),
        "mesh.peers": found.mesh.peers,
    }
    for name, named in addresses.items():
        for address in named:
            host, _, port = address.rpartition(":")
            if port.isdecimal() and int(port) > PORT_MAX:
                yield Mistake((name,), f"`{name}` is '{address}'; a port is at most 65,535.")
            yield from _wrong_host(name, host)
    for host in found.tls.names:
        yield from _wrong_host("tls.names", host)


def _wrong_host(name: str, host: str) -> Iterator[Mistake]:
    """Finds what neither the system's resolver nor a certificate can take for a host (RFC 1035, 2.3.4; RFC 5891)."""
    try:
        host.rstrip(".").encode("idna")
    except UnicodeError:
        yield Mistake(
            (name,),
            f"`{name}` names the host '{host}', which can be none: between its dots a name has parts of 1 to 63 "
            "characters, all of which may stand in a name.",
        )


def _value_of(found: Settings, name: str) -> Value:
    value: object = found
    for part in name.split("."):
        value = getattr(value, part)
    assert isinstance(value, str | int | float | bool | tuple | dict)
    return value
