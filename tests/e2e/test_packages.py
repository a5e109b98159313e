"""What is handed out works by itself: the wheel in an empty environment, the unit of systemd, the container's file."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import venv
from pathlib import Path

import pytest

from tests.servers import clean_environment, running

ROOT = Path(__file__).resolve().parents[2]
START_S_MAX = 1.0
MEMORY_BYTES_MAX = 150 * 1024 * 1024


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment that holds the wheel and what it needs, nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("tenet_cloud-*.whl")
    venv.create(folder / "venv", with_pip=False)
    install = [*pip, "--python", str(folder / "venv" / "bin" / "python"), "install"]
    subprocess.run([*install, "--require-hashes", "-r", str(ROOT / "requirements.lock")], check=True)
    subprocess.run([*install, "--no-deps", str(wheel)], check=True)
    return folder / "venv" / "bin"


def first_answer_s(tenet: Path, data: Path) -> tuple[float, int]:
    """Starts a server; returns the time to its first answer, and its memory then."""
    began = time.monotonic()
    process = subprocess.Popen(
        [str(tenet), "up", "--plaintext", "--data", str(data), "--listen", "127.0.0.1:0"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("export AWS_ENDPOINT_URL="))
        with urllib.request.urlopen(line.strip().partition("=")[2], timeout=10) as answer:
            assert answer.status == 200
        elapsed_s = time.monotonic() - began
        status = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(process.pid)], capture_output=True, text=True, check=True
        )
        process.terminate()
    assert process.returncode == 0
    return elapsed_s, int(status.stdout) * 1024


@pytest.mark.alone
@pytest.mark.time_limit_s(240)
def test_the_wheel_works_in_an_empty_environment(installed: Path, tmp_path: Path) -> None:
    version = subprocess.run(
        [str(installed / "tenet"), "version"], env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert re.match(r"tenet \d+\.\d+\.\d+\ncompiled (yes|no)[:,] .+\npython 3\.", version.stdout)
    # The wheel holds what lay beside the source when it was made.
    assert "compiled yes" in version.stdout or os.environ.get("TENET_COMPILED") != "1"
    # The first start compiles the modules and makes the keys; the machine may be busy: the best of some counts.
    starts = [first_answer_s(installed / "tenet", tmp_path / "data") for _ in range(4)]
    assert min(elapsed_s for elapsed_s, _ in starts) <= START_S_MAX, starts
    assert max(memory for _, memory in starts) <= MEMORY_BYTES_MAX, starts


def test_the_wheel_holds_the_package_and_its_licence(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(pip, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True, check=True
    ).stdout
    assert "tenet/py.typed" in names
    assert "licenses/LICENSE" in names
    assert "tests/" not in names


def test_the_unit_of_systemd_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "packaging" / "tenet.service").read_text(encoding="utf-8")
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text)
    assert unit["Service"]["DynamicUser"] == "yes"
    assert unit["Service"]["NoNewPrivileges"] == "yes"
    assert unit["Service"]["Restart"] == "always"
    command = str(Path(sys.executable).with_name("tenet"))
    (tmp_path / "tenet.service").write_text(text.replace("/opt/tenet/bin/tenet", command), encoding="utf-8")
    if shutil.which("systemd-analyze"):
        verified = subprocess.run(
            ["systemd-analyze", "verify", str(tmp_path / "tenet.service")], capture_output=True, text=True, check=False
        )
        assert (verified.returncode, verified.stderr) == (0, "")


def test_settings_named_by_packaging_exist() -> None:
    from tenet.app.catalogue import settings

    known = {setting.environment for setting in settings().values()} | {"TENET_CONFIG"}
    for name in ("packaging/tenet.service", "Containerfile"):
        used = set(re.findall(r"\bTENET_[A-Z_]+", (ROOT / name).read_text(encoding="utf-8")))
        assert used
        assert used <= known, f"{name}: {used - known}"


def test_the_container_builds_from_files_that_exist() -> None:
    lines = (ROOT / "Containerfile").read_text(encoding="utf-8").splitlines()
    copied = [
        name for line in lines if line.startswith("COPY ") and "--from" not in line for name in line.split()[1:-1]
    ]
    assert copied
    assert not [name for name in copied if not (ROOT / name).exists()]
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert sorted(line[1:] for line in sent if line.startswith("!")) == sorted(name for name in copied if name != "./")
    (command,) = [line.removeprefix("CMD ") for line in lines if line.startswith("CMD ")]
    assert json.loads(command) == ["tenet", "up"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source with the environment that ``make up`` makes in it."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("src", "tools", "packaging"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "_compiled*"))
    for name in ("Makefile", "pyproject.toml", "uv.lock", "requirements-compile.lock", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    subprocess.run(["make", ".venv/.bytecode"], cwd=folder, env=plain_environment(), check=True, capture_output=True)
    return folder


def plain_environment(**more: str) -> dict[str, str]:
    return clean_environment(PYTHONDONTWRITEBYTECODE="1", TENET_COMPILED="0", **more)


@pytest.mark.time_limit_s(240)
def test_what_make_installs_is_compiled_so_that_no_start_has_to_do_it(made: Path) -> None:
    # Python says with -v where the code of each module came from: from x.pyc, or from x.py, which it had to compile.
    started = subprocess.run(
        [".venv/bin/python", "-v", "-c", "import tenet.app.server"],
        cwd=made,
        env=plain_environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    sources = re.findall(r"^# code object from '?(.+?)'?$", started.stderr, re.MULTILINE)
    assert any("tenet" in source for source in sources)
    assert [source for source in sources if source.endswith(".py") and str(made) in source] == []


@pytest.mark.time_limit_s(240)
def test_the_first_program_runs_with_what_the_readme_has_installed(made: Path, tmp_path: Path) -> None:
    # What follows is about clients of OpenStack, and is run with all other documents.
    page = (made / "README.md").read_text("utf-8").partition("## A first cloud")[0]
    blocks = re.findall(r"^```(sh|python)\n(.+?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [kind for kind, _ in blocks] == ["sh", "sh", "sh", "python", "python"]
    _up, environment_lines, install, first, again = (block for _, block in blocks)
    (made / "first.py").write_text(first, encoding="utf-8")
    (made / "again.py").write_text(again, encoding="utf-8")
    # Another terminal of a machine that has Python and the tools of a system, and nothing of the developers'.
    environment = plain_environment(PATH=os.pathsep.join(("/usr/local/bin", "/usr/bin", "/bin")))
    with running(tmp_path / "data") as server:
        shell = environment_lines.replace("tenet env", f"tenet env --data {server.data}")

        def in_that_terminal(script: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["/bin/sh", "-euc", f"{shell}\n{script}"],
                cwd=made,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )

        done = in_that_terminal(f"{install}\npython first.py")
        assert done.returncode == 0, done.stdout + done.stderr
        assert server.client().describe_table(TableName="places")["Table"]["ItemCount"] == 2
        refused = in_that_terminal("python first.py")
        assert refused.returncode == 1
        assert "ResourceInUseException" in refused.stderr
    with running(tmp_path / "data"):
        read_back = in_that_terminal("python again.py")
        assert read_back.returncode == 0, read_back.stdout + read_back.stderr
        assert "139875" in read_back.stdout
