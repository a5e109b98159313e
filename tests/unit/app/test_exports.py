"""The lines that are printed for a shell set exactly what they say, whatever characters a path has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tenet.app.exports import (
    LEFT_OVER,
    LEFT_OVER_OF_OPENSTACK,
    MICROVERSION,
    RUNTIMES,
    SHELLS,
    Access,
    exports,
    lines,
    openstack_variables,
    variables,
)
from tenet.placement.rules.microversions import MAX_TEXT

ACCESS = Access(
    endpoint="https://127.0.0.1:8000",
    access_key_id="AKIA",
    secret_access_key="s/+=",
    region="us-east-1",
    ca_file=Path("/data/tls/ca.pem"),
    trust_store=Path("/data/tls/ca.p12"),
)


def test_every_runtime_gets_endpoint_credentials_and_region() -> None:
    for runtime in RUNTIMES:
        found = variables(ACCESS, runtime)
        assert found["AWS_ENDPOINT_URL"] == "https://127.0.0.1:8000"
        assert found["AWS_ACCESS_KEY_ID"] == "AKIA"
        assert found["AWS_SECRET_ACCESS_KEY"] == "s/+="
        assert found["AWS_DEFAULT_REGION"] == found["AWS_REGION"] == "us-east-1"
        assert found["AWS_CA_BUNDLE"] == "/data/tls/ca.pem"


def test_node_and_java_find_the_authority_in_their_own_ways() -> None:
    assert variables(ACCESS, "node")["NODE_EXTRA_CA_CERTS"] == "/data/tls/ca.pem"
    assert "-Djavax.net.ssl.trustStore=/data/tls/ca.p12 " in variables(ACCESS, "java")["JAVA_TOOL_OPTIONS"]


def test_java_gets_a_path_that_it_does_not_take_apart() -> None:
    found = variables(replace(ACCESS, trust_store=Path("/da ta/ca.p12")), "java")["JAVA_TOOL_OPTIONS"]
    assert found.startswith("'-Djavax.net.ssl.trustStore=/da ta/ca.p12' -Djavax.net.ssl.trustStoreType=PKCS12 ")


def test_plaintext_needs_no_authority() -> None:
    plain = Access(endpoint="http://127.0.0.1:8000", access_key_id="a", secret_access_key="b", region="r")
    for runtime in RUNTIMES:
        assert set(variables(plain, runtime)) == set(variables(plain))
        assert not any("CA" in name.split("_") for name in variables(plain, runtime))


def test_clients_of_openstack_show_the_key_as_user_and_password() -> None:
    assert openstack_variables(ACCESS) == {
        "OS_AUTH_TYPE": "http_basic",
        "OS_USERNAME": "AKIA",
        "OS_PASSWORD": "s/+=",
        "OS_ENDPOINT": "https://127.0.0.1:8000/placement",
        "OS_PLACEMENT_API_VERSION": MAX_TEXT,
        "OS_PLACEMENT_DEFAULT_MICROVERSION": MAX_TEXT,
        "OS_CACERT": "/data/tls/ca.pem",
    }
    assert MICROVERSION == MAX_TEXT


def test_where_nobody_is_asked_for_a_key_none_is_shown() -> None:
    found = openstack_variables(
        Access("http://[::1]:9", "AKIA", "secret", "r", placement_path="", placement_asks_nobody=True)
    )
    assert found["OS_AUTH_TYPE"] == "admin_token"
    assert found["OS_TOKEN"] == "admin"
    assert found["OS_ENDPOINT"] == "http://[::1]:9"
    assert "secret" not in str(found)
    assert "OS_CACERT" not in found


@pytest.mark.parametrize("shell", SHELLS)
def test_what_points_elsewhere_goes_before_what_points_here(shell: str) -> None:
    first, *rest = exports(ACCESS, "openstack", shell).splitlines()
    assert all(name in first for name in LEFT_OVER_OF_OPENSTACK)
    assert len(rest) == len(openstack_variables(ACCESS))
    assert not any("AWS" in line for line in rest)
    assert set(exports(ACCESS).splitlines()[1:]) == set(lines(variables(ACCESS)).splitlines())


SHELL_TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)


@given(SHELL_TEXT)
def test_sh_reads_back_what_was_written(value: str) -> None:
    script = lines({"SOME_VALUE": value}) + '\nprintf "%s" "$SOME_VALUE"'
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode() == value


@pytest.mark.parametrize(
    ("shell", "line"),
    [("fish", r"set -gx NAME 'it\'s \\ here'"), ("powershell", r"$Env:NAME = 'it''s \ here'")],
)
def test_other_shells_quote_in_their_way(shell: str, line: str) -> None:
    assert lines({"NAME": r"it's \ here"}, shell) == line


def test_what_a_session_with_aws_has_left_is_taken_away() -> None:
    script = lines({"AWS_REGION": "r"}, without=LEFT_OVER) + "\nenv"
    left = dict.fromkeys(LEFT_OVER, "left over")
    shell = shutil.which("sh") or "/bin/sh"
    done = subprocess.run([shell, "-euc", script], env=left, capture_output=True, check=True, text=True)
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert names.isdisjoint(LEFT_OVER)
    assert "AWS_REGION" in names
    # None of them need be there.
    subprocess.run([shell, "-euc", script], env={}, capture_output=True, check=True)


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("sh", "unset AWS_PROFILE OTHER"),
        ("fish", "set -e AWS_PROFILE OTHER"),
        ("powershell", "$Env:AWS_PROFILE = $null; $Env:OTHER = $null"),
    ],
)
def test_every_shell_takes_away_in_its_way(shell: str, line: str) -> None:
    assert lines({}, shell, without=("AWS_PROFILE", "OTHER")) == line


def test_every_shell_is_known() -> None:
    assert set(SHELLS) == {"sh", "fish", "powershell"}
    assert shutil.which("sh")
