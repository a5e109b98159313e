"""What the file, the environment and the flags say becomes one set of settings, or an error naming every mistake."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.app.catalogue import sections, settings
from tenet.app.configuration import ConfigurationError, Mistake, changed, host_and_port, is_loopback, load
from tenet.app.settings import Limits, Settings, TablesOptions
from tenet.tables.api import TablesSettings
from tenet.wire.limits import EdgeLimits


def written(folder: Path, text: str) -> Path:
    file = folder / "tenet.toml"
    file.write_text(text, encoding="utf-8")
    return file


def problems_of(folder: Path, text: str, environment: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load(written(folder, text), environment)
    return caught.value.problems


def test_nothing_given_is_the_defaults() -> None:
    found = load()
    assert found.settings == Settings()
    assert set(found.origins.values()) == {"default"}
    assert set(found.origins) == set(settings())


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    file = written(
        tmp_path, 'version = 1\n[logs]\nlevel = "debug"\nslow_ms = 7\nsample_ratio = 1\n[server]\nregion = "x-1"\n'
    )
    environment = {"TENET_LOGS_SLOW_MS": "8", "TENET_LOGS_SAMPLE_RATIO": "0.5", "HOME": "/nowhere"}
    found = load(file, environment, {"logs.sample_ratio": 0.25})
    assert found.settings.logs.level == "debug"
    assert found.settings.logs.slow_ms == 8
    assert found.settings.logs.sample_ratio == 0.25
    assert found.origins["logs.level"] == f"file {file}"
    assert found.origins["logs.slow_ms"] == "environment TENET_LOGS_SLOW_MS"
    assert found.origins["logs.sample_ratio"] == "command line"
    assert found.origins["data"] == "default"


def test_every_kind_can_come_from_the_environment() -> None:
    environment = {
        "TENET_TLS_PLAINTEXT": "true",
        "TENET_TLS_NAMES": "db.example, 10.0.0.7",
        "TENET_LIMITS_DEADLINE_S": "2.5",
        "TENET_LIMITS_IN_FLIGHT_MAX": "9",
        "TENET_LIMITS_TENANT_REQUESTS_PER_S": "000000000001=5,000000000002=7.5",
        "TENET_DATA": "elsewhere",
    }
    found = load(None, environment).settings
    assert found.tls.plaintext is True
    assert found.tls.names == ("db.example", "10.0.0.7")
    assert found.limits.deadline_s == 2.5
    assert found.limits.in_flight_max == 9
    assert found.limits.tenant_requests_per_s == {"000000000001": 5.0, "000000000002": 7.5}
    assert found.data == "elsewhere"


def test_an_unknown_key_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    found = problems_of(tmp_path, 'version = 1\ndata_dir = "x"\n[limits]\nin_flight = 3\n[serve]\nlisten = "x:1"\n')
    assert len(found) == 3
    assert "`data_dir` is no setting (did you mean `data`?)." in found[0]
    assert "`limits.in_flight` is no setting (did you mean `limits.in_flight_max`?)." in found[1]
    assert "`serve` is no setting (did you mean `server`?)." in found[2]
    assert all(str(tmp_path) in problem for problem in found)


def test_an_unknown_variable_is_an_error_and_those_of_others_are_not(tmp_path: Path) -> None:
    found = problems_of(tmp_path, "version = 1", {"TENET_LOG_LEVEL": "info", "TENET_CONFIG": "x", "PATH": "y"})
    assert found == ("environment: `TENET_LOG_LEVEL` sets nothing (did you mean `TENET_LOGS_LEVEL`?).",)


def test_a_file_without_a_version_is_refused(tmp_path: Path) -> None:
    assert "write `version = 1`" in problems_of(tmp_path, '[logs]\nlevel = "info"\n')[0]


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    assert "`version` is 2" in problems_of(tmp_path, "version = 2")[0]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            '[logs]\nlevel = "loud"',
            "`logs.level` is 'loud'; it has to be: text, one of `debug`, `error`, `info`, `warning`.",
        ),
        ("[limits]\nnesting_max = 2", "`limits.nesting_max` is 2; it has to be: whole number, 40 to 100,000."),
        ('[limits]\nnesting_max = "50"', "`limits.nesting_max` is '50'; it has to be: whole number"),
        (
            '[server]\ndrain_ms = "10s"',
            "`server.drain_ms` is '10s'; it has to be: whole number of milliseconds, 0 to 600,000.",
        ),
        ("[tls]\nplaintext = 1", "`tls.plaintext` is 1; it has to be: true or false."),
        ('[server]\nlisten = "8000"', "`server.listen` is '8000'; it has to be: text, as in `127.0.0.1:8000`"),
        ('[server]\nlisten = "127.0.0.1:99999"', "a port is at most 65,535"),
        ('[tls]\ncertificate_file = "x.pem"', "`tls.certificate_file` and `tls.private_key_file` go together"),
        ('[server]\nlisten = "0.0.0.0:80"\n[tls]\nplaintext = true', "http is spoken on a loopback address only"),
        (
            '[server]\nlisten = "0.0.0.0:80"\n[placement]\nauthentication = "none"',
            "everybody is believed on a loopback address only",
        ),
        ("limits = 3", "`limits` is a table of settings"),
        ("[logs", "is not TOML"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(tmp_path: Path, line: str, says: str) -> None:
    found = problems_of(tmp_path, f"version = 1\n{line}\n")
    assert len(found) == 1
    assert says in found[0]


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    text = """
        version = 1
        [server]
        listen = "0.0.0.0:99999"
        [tls]
        plaintext = true
        certificate_file = "x.pem"
        [traces]
        file = "spans"
        otlp_endpoint = "http://collector"
        [logs]
        level = "loud"
    """
    looked_at: list[Settings] = []

    def look(found: Settings) -> list[Mistake]:
        looked_at.append(found)
        return [Mistake(("store.url",), "the store is away."), Mistake(("logs.level",), "nobody listens.")]

    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path, text), look=look)
    problems = caught.value.problems
    assert problems[-1] == "the store is away."
    said = ("`logs.level` is 'loud'", "a port is at most", "http is spoken", "go together", "spans go to one of them")
    assert len(problems) == len(said) + 1
    for part, problem in zip(said, problems[:-1], strict=True):
        assert part in problem
    # What is wrong in itself is not looked at any further; its default stands for it.
    assert looked_at[0].logs.level == "info"
    assert looked_at[0].server.listen == "0.0.0.0:99999"


@pytest.mark.parametrize(
    ("name", "value"),
    [("listen", '"10.0.0.1:79000"'), ("advertise", '"node:65536"'), ("peers", '["10.0.0.1:7900", "10.0.0.2:79000"]')],
)
def test_ports_of_nodes_are_bounded_too(tmp_path: Path, name: str, value: str) -> None:
    (problem,) = problems_of(tmp_path, f"version = 1\n[mesh]\n{name} = {value}\n")
    assert f"`mesh.{name}` is '" in problem
    assert "a port is at most 65,535" in problem


@pytest.mark.parametrize("host", ["a" * 64, "a..b", f"www.{'b' * 70}.org", "\u3002"])
@pytest.mark.parametrize("name", ["tls.names", "server.listen", "mesh.listen", "mesh.advertise", "mesh.peers"])
def test_a_host_that_can_be_none_is_named(name: str, host: str) -> None:
    value = host if name == "tls.names" else f"{host}:7900"
    with pytest.raises(ConfigurationError) as refused:
        load(None, {f"TENET_{name.upper().replace('.', '_')}": value})
    assert f"`{name}` names the host '{host}', which can be none: between its dots" in refused.value.message


def test_every_host_that_can_be_one_is_taken() -> None:
    names = (
        "localhost",
        "a" * 63,
        "b\u00fccher.example",
        "*.example.org",
        "example.org.",
        "10.0.0.1",
        "::1",
        "2001:db8::1",
    )
    assert load(None, {"TENET_TLS_NAMES": ",".join(names)}).settings.tls.names == names


def test_brackets_without_end_are_a_mistake_like_others(tmp_path: Path) -> None:
    found = problems_of(tmp_path, f"version = 1\ndata = {'[' * 5_000}{']' * 5_000}")
    assert found == (
        f"{tmp_path / 'tenet.toml'}: is no file of settings: it has more brackets within brackets than can be read.",
    )


@pytest.mark.parametrize("listen", ['"8000"', '"0.0.0.0:x"'])
def test_a_wrong_value_is_not_told_to_contradict_another(tmp_path: Path, listen: str) -> None:
    (problem,) = problems_of(tmp_path, f"version = 1\n[server]\nlisten = {listen}\n[tls]\nplaintext = true\n")
    assert problem.startswith(f"file {tmp_path / 'tenet.toml'}: `server.listen` is ")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml: cannot be read: No such file"):
        load(tmp_path / "absent.toml")


def test_what_differs_is_named_in_the_order_of_its_declaration() -> None:
    before = Settings()
    after = msgspec.structs.replace(
        before, data="elsewhere", logs=msgspec.structs.replace(before.logs, level="debug", slow_ms=1)
    )
    assert changed(before, after) == ["data", "logs.level", "logs.slow_ms"]


def test_some_settings_keep_their_values_and_origins() -> None:
    before = load(flags={"data": "here", "logs.level": "info"})
    after = load(flags={"data": "there", "logs.level": "debug"})
    kept = after.keeping(["data"], before)
    assert (kept.settings.data, kept.settings.logs.level) == ("here", "debug")
    assert after.keeping([], before) == after


def test_what_is_kept_may_contradict_what_is_new() -> None:
    before = load(flags={"tls.plaintext": True})
    after = load(flags={"server.listen": "0.0.0.0:8000"})
    with pytest.raises(ConfigurationError, match="http is spoken on a loopback address only"):
        after.keeping(["tls.plaintext"], before)


def test_limits_are_those_of_the_edge_by_name_and_default() -> None:
    declared = {field.name: getattr(Limits(), field.name) for field in msgspec.structs.fields(Limits)}
    assert declared == msgspec.structs.asdict(EdgeLimits())


def test_options_of_tables_are_those_of_the_service_by_name_and_default() -> None:
    assert msgspec.structs.asdict(TablesOptions()) == msgspec.structs.asdict(TablesSettings())


def test_every_default_keeps_its_own_bounds() -> None:
    found = load()
    for name, value in found.values().items():
        assert msgspec.convert(value, settings()[name].annotation) == value


def test_every_section_and_setting_is_described() -> None:
    assert all(text.endswith(".") for text in sections().values())
    assert all(setting.description.endswith(".") for setting in settings().values())


@given(st.text(max_size=30))
def test_hosts_are_never_taken_for_loopback_by_accident(host: str) -> None:
    if is_loopback(host):
        assert host.strip("[]") == "localhost" or host.strip("[]").startswith("127.") or ":" in host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_loopback_hosts(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example", "127.0.0.1.example"])
def test_other_hosts(host: str) -> None:
    assert not is_loopback(host)


def test_host_and_port_of_an_ipv6_listener() -> None:
    assert host_and_port("[::1]:8000") == ("::1", 8000)
    assert host_and_port("localhost:1") == ("localhost", 1)
