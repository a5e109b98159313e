"""What is shown of a setting to whoever an operator hands it on to: no secret, and whatever else it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from tenet.app.catalogue import settings, shown
from tenet.app.configuration import ConfigurationError, load
from tenet.app.settings import STORE_URL_PARTS
from tenet.store.cassandra.location import Location

SECRET = "S3CRET"
WHATEVER = st.text(st.sampled_from("aZ0/:@?#&=%.[]\n é"), max_size=8)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("traces.otlp_endpoint", "http://h:4318/v1/traces", "http://h:4318/v1/traces"),
        ("traces.otlp_endpoint", "http://user:pw@h/v1", "http://***@h/v1"),
        ("traces.otlp_endpoint", "https://user:p/w@h", "https://***@h"),
        ("traces.otlp_endpoint", "https://user:p?w@h", "https://***"),
        ("traces.otlp_endpoint", "https://h/?api-key=q&user=me", "https://h/?***"),
        (
            "store.url",
            "cassandra://a,b:9042/k?user=me&password_file=/p",
            "cassandra://a,b:9042/k?user=me&password_file=/p",
        ),
        ("store.url", "cassandra://me:pw@a/k?password=pw&rack=r1", "cassandra://***@a/k?***&rack=r1"),
        ("store.url", "sqlite:/var/lib/a@b?c", "sqlite:/var/lib/a@b?c"),
        ("data", "tenet-data", "tenet-data"),
        ("mesh.peers", ("a:7900",), ("a:7900",)),
        ("logs.slow_ms", 500, 500),
    ],
)
def test_of_a_url_all_but_secrets_is_shown(name: str, value: object, told: object) -> None:
    assert shown(name, value) == told


@given(st.sampled_from(["store.url", "traces.otlp_endpoint", "keystone.auth_url"]), WHATEVER, WHATEVER, WHATEVER)
def test_whatever_a_url_looks_like_its_secrets_are_not_shown(name: str, before: str, host: str, after: str) -> None:
    assert SECRET not in str(shown(name, f"https://{before}:{SECRET}{after}@{host.replace('@', '')}"))
    assert SECRET not in str(shown(name, f"https://{host}?{before}&password={SECRET}{after}".replace("&user=", "")))


def test_the_message_about_a_wrong_url_does_not_repeat_its_secrets(tmp_path: Path) -> None:
    for name in ("TENET_KEYSTONE_AUTH_URL", "TENET_TRACES_OTLP_ENDPOINT"):
        with pytest.raises(ConfigurationError) as refused:
            load(None, {name: f"ftp://user:{SECRET}@h/v3?token={SECRET}", "TENET_DATA": str(tmp_path)})
        assert SECRET not in refused.value.message
        assert "'ftp://***@h/v3?***'" in refused.value.message


def test_what_is_shown_of_a_stores_url_is_what_the_engine_knows_and_the_setting_tells() -> None:
    of_place = {"hosts", "port", "keyspace"}
    assert set(STORE_URL_PARTS) == {field.name for field in fields(Location)} - of_place
    assert all(f"`{part}`" in settings()["store.url"].description for part in STORE_URL_PARTS)
