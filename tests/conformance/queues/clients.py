"""Programs of users with clients of the SQS API, run to their end against a server that they are told of."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conformance.packages import CELERY, JAVA, OLD_BOTO3, QUEUE_CLIENTS, Package
from tests.servers import Server, clean_environment

PROGRAMS = Path(__file__).parent / "programs"


def run(command: list[str], server: Server, folder: Path, **environment: str) -> str:
    """Runs a program that knows what Tenet printed; returns what it prints."""
    done = subprocess.run(
        command,
        env=clean_environment(AWS_PAGER="", HOME=str(folder), **server.exports | environment),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python_of(package: Package) -> str:
    return str(package.ensure() / "bin" / "python")


def run_old_boto3(server: Server, folder: Path, name: str) -> None:
    """A program with boto3 of the Query protocol makes queues whose names begin like this, and uses them."""
    printed = run([python_of(OLD_BOTO3), str(PROGRAMS / "old_boto3.py"), name], server, folder)
    assert printed.splitlines()[-1] == "ok"


def run_java(program: str, version: str, server: Server, folder: Path, name: str) -> None:
    """A program with a version of the AWS SDK for Java, ``v1`` or ``v2``, makes a queue and uses it."""
    jars = f"{QUEUE_CLIENTS.ensure() / version / 'lib'}/*"
    command = ["java", "-Xmx200m", "-cp", jars, str(JAVA / f"{program}.java"), name]
    assert run(command, server, folder, **server.variables("java")).splitlines()[-1] == "ok"


# ---- Celery ----------------------------------------------------------------------------------------------------------


@contextmanager
def celery_worker(folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that carries out tasks, for the length of a block."""
    command = [
        python_of(CELERY),
        "-m",
        "celery",
        "-A",
        "celery_tasks",
        "worker",
        "--pool",
        "solo",
        "--loglevel",
        "info",
    ]
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=PROGRAMS, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_celery(server: Server, folder: Path, name: str) -> None:
    """An application sends tasks to a queue, and a worker carries out every one, some of them at the second attempt."""
    results = folder / "results"
    results.mkdir()
    more = {"QUEUE": name, "RESULTS": str(results), "PYTHONDONTWRITEBYTECODE": "1"}
    environment = clean_environment(HOME=str(folder), **server.exports, **more)
    subprocess.run(
        [python_of(CELERY), str(PROGRAMS / "celery_tasks.py")], env=environment, cwd=PROGRAMS, check=True, timeout=120
    )
    wanted = {*map(str, range(30)), "100"}
    with celery_worker(folder, environment):
        until = time.monotonic() + 120
        while {path.name for path in results.iterdir()} != wanted and time.monotonic() < until:
            time.sleep(0.2)
    printed = (folder / "worker.log").read_text(encoding="utf-8")
    assert {path.name for path in results.iterdir()} == wanted, printed[-4_000:]
    retries = {name: (results / name).read_text(encoding="utf-8").split() for name in wanted}
    assert {name for name, lines in retries.items() if lines == ["1"]} == {"3", "10", "17", "24"}
