"""The URL of the distributed store: every form, and every mistake with what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenet.store.cassandra.location import Location, check_location, parse_location
from tenet.store.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("//a/k", Location(("a",), "k")),
        ("//a,b,c/tenet_1", Location(("a", "b", "c"), "tenet_1")),
        ("//a:9043/k", Location(("a",), "k", port=9043)),
        ("//a:9043,b:9043/k", Location(("a", "b"), "k", port=9043)),
        ("//10.0.0.1,10.0.0.2/k", Location(("10.0.0.1", "10.0.0.2"), "k")),
        ("//[::1]:9042/k", Location(("::1",), "k")),
        ("//a/" + "k" * 48, Location(("a",), "k" * 48)),
        ("//a/k?datacenter=dc1", Location(("a",), "k", datacenter="dc1")),
        ("//a/k?datacenter=dc1&rack=r1", Location(("a",), "k", datacenter="dc1", rack="r1")),
        ("//a/k?user=u&password_file=/p", Location(("a",), "k", user="u", password_file="/p")),
        ("//a/k?ca_file=/ca.pem", Location(("a",), "k", ca_file="/ca.pem")),
        (
            "//a/k?ca_file=/ca&certificate_file=/c&key_file=/k",
            Location(("a",), "k", ca_file="/ca", certificate_file="/c", key_file="/k"),
        ),
        ("//a/k?try_ms=50", Location(("a",), "k", try_ms=50)),
        ("//a/k?try_ms=60000", Location(("a",), "k", try_ms=60_000)),
        ("//a/k?gc_grace_s=3600", Location(("a",), "k", gc_grace_s=3_600)),
        ("//a/k?gc_grace_s=864000", Location(("a",), "k", gc_grace_s=864_000)),
        ("//a/k?replication=dc1:3", Location(("a",), "k", replication=(("dc1", 3),))),
        ("//a/k?replication=dc1:3,dc-2.x:1", Location(("a",), "k", replication=(("dc1", 3), ("dc-2.x", 1)))),
    ],
)
def test_every_form(text: str, wanted: Location) -> None:
    assert parse_location(text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("//a", "a cassandra URL is cassandra://HOST[,HOST…]/KEYSPACE, the keyspace 1 to 48 of a-z, 0-9 and _"),
        ("//a/", "a letter first: '' is not"),
        ("//a/K", "'K' is not"),
        ("//a/1k", "'1k' is not"),
        ("//a/k/l", "'k/l' is not"),
        ("//a/" + "k" * 49, "is not"),
        ("///k", "'' names no host"),
        ("//a,,b/k", "'a,,b' names no host"),
        ("//user:pw@a/k", "no user and password before its hosts; name them behind a ?, by user= and password_file="),
        ("//:9042/k", "':9042' names no host"),
        ("//a:9042,b:9043/k", "the nodes of a cluster listen on one port; the cassandra URL names [9042, 9043]"),
        ("//a:9043,b/k", "the cassandra URL names [9042, 9043]"),
        ("//a/k?rack=r1", "rack= in a cassandra URL needs datacenter= beside it"),
        ("//a/k?datacenter=", "datacenter= in a cassandra URL is empty"),
        ("//a/k?user=", "user= in a cassandra URL is empty"),
        ("//a/k?certificate_file=/c", "certificate_file= and key_file= in a cassandra URL come together"),
        ("//a/k?key_file=/c", "certificate_file= and key_file= in a cassandra URL come together"),
        ("//a/k?replication=3", "replication= in a cassandra URL is DATACENTER:COPIES[,…], copies 1 to 9: not '3'"),
        ("//a/k?replication=dc:0", "not 'dc:0'"),
        ("//a/k?replication=dc:10", "not 'dc:10'"),
        ("//a/k?replication=dc:3,", "not ''"),
        ("//a/k?try_ms=49", "try_ms= in a cassandra URL is 50 to 60000, not '49'"),
        ("//a/k?try_ms=60001", "not '60001'"),
        ("//a/k?try_ms=-1", "not '-1'"),
        ("//a/k?try_ms=²", "not '²'"),
        ("//a/k?try_ms=", "not ''"),
        ("//a/k?gc_grace_s=3599", "gc_grace_s= in a cassandra URL is 3600 to 864000, not '3599'"),
        ("//a/k?colour=red", "a cassandra URL knows no colour=; there are ca_file, certificate_file, datacenter,"),
        ("//a/k?hosts=b", "a cassandra URL knows no hosts="),
    ],
)
def test_every_mistake(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_location(text)
    assert said in str(raised.value)


@pytest.mark.parametrize("text", ["//a/k?x", "//a/k?try_ms=100&y", "//a:99999/k", "//a:0/k", "//[::1/k"])
def test_what_is_no_url_is_refused_like_any_other_mistake(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_location(text)


@pytest.mark.parametrize("text", ["//a/k?try_ms=100&try_ms=200", "//a/k?user=u&user=v"])
def test_what_stands_twice_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="stands twice"):
        parse_location(text)


@pytest.mark.parametrize("name", ["password_file", "ca_file"])
def test_files_have_to_be_there_on_the_machine_that_opens_it(tmp_path: Path, name: str) -> None:
    file = tmp_path / "file"
    file.write_text("x", encoding="ascii")
    text = f"//a/k?{name}={file}"
    assert getattr(check_location(text), name) == str(file)
    file.unlink()
    with pytest.raises(InvalidRequest, match=f"^{name}= in a cassandra URL names {file}, which is no file that can"):
        check_location(text)
    with pytest.raises(InvalidRequest, match="names no host"):
        check_location("///k")
