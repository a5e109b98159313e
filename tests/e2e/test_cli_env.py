"""What ``tenet env --for`` prints makes each runtime trust the server, with nothing else set."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import TENET, Server, clean_environment, running

PROGRAMS = {
    "python": (
        "fetch.py",
        ["python", "fetch.py"],
        """
import os, ssl, urllib.request
context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
print(urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"], context=context).read().decode())
""",
    ),
    "node": (
        "fetch.mjs",
        ["node", "fetch.mjs"],
        "console.log(await (await fetch(process.env.AWS_ENDPOINT_URL)).text());",
    ),
    "java": (
        "Fetch.java",
        ["java", "Fetch.java"],
        """
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

class Fetch {
    public static void main(String[] arguments) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(System.getenv("AWS_ENDPOINT_URL"))).build();
        System.out.println(HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).body());
    }
}
""",
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all runtimes, whose data lies where every one of them has to be told with quotes."""
    folder = tmp_path_factory.mktemp("env") / "it's here"
    folder.mkdir()
    with running(folder / "data") as started:
        yield started


@pytest.mark.parametrize("runtime", PROGRAMS)
def test_a_program_trusts_the_server(server: Server, tmp_path: Path, runtime: str) -> None:
    name, command, source = PROGRAMS[runtime]
    (tmp_path / name).write_text(source.lstrip(), encoding="utf-8")
    data = shlex.quote(str(server.data))
    script = f"""eval "$(tenet env --for {runtime} --data {data})"; exec {" ".join(command)}"""
    environment = clean_environment(PATH=f"{TENET.parent}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run(
        ["/bin/sh", "-euc", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("healthy: dynamodb.us-east-1.amazonaws.com"), done.stderr
