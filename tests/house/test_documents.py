"""Every setting and every command has its place in the reference, and every page of the documents is reachable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from tenet.app import cli
from tenet.app.catalogue import settings

ROOT = Path(__file__).resolve().parents[2]


def commands(command: click.Command, path: str) -> Iterator[str]:
    yield path
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, f"{path} {name}")


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert not [name for name in settings() if f"### `{name}`" not in page]
    assert not [setting.environment for setting in settings().values() if setting.name != "version"
                and f"`{setting.environment}`" not in page]  # fmt: skip


def test_every_command_and_option_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    assert not [path for path in commands(cli.main, "tenet") if f"## `{path}`\n" not in page]
    options = [option for command in (cli.up, cli.env, cli.restore, cli.doctor) for option in command.params]
    assert not [name for option in options for name in option.opts if name.startswith("--") and name not in page]


def test_every_command_says_what_it_does() -> None:
    for path in commands(cli.main, "tenet"):
        command: click.Command = cli.main
        for name in path.split()[1:]:
            assert isinstance(command, click.Group)
            command = command.commands[name]
        assert command.help, f"{path} has no help"
        options = [option for option in command.params if isinstance(option, click.Option)]
        assert not [option.name for option in options if not option.help], path


def test_every_page_is_reachable_from_the_readme() -> None:
    link = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s{]+)")
    reached: set[Path] = set()
    queue = [ROOT / "README.md"]
    while queue:
        page = queue.pop().resolve()
        if page in reached or not page.is_file():
            continue
        reached.add(page)
        if page.suffix == ".md":
            queue += [page.parent / target for target in link.findall(page.read_text(encoding="utf-8"))]
    pages = {path.resolve() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]}
    hidden = {path for path in pages - reached if not path.name.startswith("0000")}
    assert not hidden, f"no link leads to {sorted(path.name for path in hidden)}"


def test_no_measured_section_is_empty() -> None:
    section = re.compile(r"<!-- (\w+): begin -->(.*?)<!-- \1: end -->", re.DOTALL)
    found = {
        (path.name, name): text.strip()
        for path in ROOT.glob("docs/**/*.md")
        for name, text in section.findall(path.read_text(encoding="utf-8"))
    }
    assert found
    assert not [place for place, text in found.items() if not text], "say by which command it is to be measured"
    # What a run puts there begins with a table, and ends with its command.
    words = [place for place, text in found.items() if not text.startswith("|") and "`" not in text]
    assert not words, f"neither a table nor the command that makes one: {words}"
