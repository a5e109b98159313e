"""Renders the reference pages of settings and commands from their declarations, for generated parts of documents."""

from __future__ import annotations

from collections.abc import Iterator

import click

from tenet.app import cli
from tenet.app.catalogue import Setting, sections, settings


def settings_page() -> str:
    """Returns every setting, by table."""
    lines: list[str] = []
    for section in ("", *sections()):
        lines += [f"## `[{section}]`" if section else "## At the top", ""]
        if section:
            lines += [sections()[section], ""]
        for setting in settings().values():
            if setting.name.rpartition(".")[0] == section:
                lines += _setting(setting)
    return "\n".join(lines).rstrip()


def _setting(setting: Setting) -> list[str]:
    default = ", ".join(setting.default) if isinstance(setting.default, tuple) else setting.default
    if isinstance(default, bool):
        default = str(default).lower()
    facts = [f"- type: {setting.kind}"]
    if setting.bounds:
        facts.append(f"- bounds: {setting.bounds}")
    if setting.unit:
        facts.append(f"- unit: {setting.unit}")
    facts.append(f"- default: `{default}`" if default not in ("", {}) else "- default: empty")
    if setting.name != "version":
        facts.append(f"- environment: `{setting.environment}`")
    facts.append("- changes while running: " + ("yes, on SIGHUP or `tenet config reload`" if setting.running else "no"))
    return [f"### `{setting.name}`", "", setting.description, "", *facts, ""]


def commands_page() -> str:
    """Returns every command with its help, as it prints it."""
    lines: list[str] = []
    for context in _contexts(
        click.Context(cli.main, info_name="tenet", terminal_width=100, help_option_names=["-h", "--help"])
    ):
        text = context.command.get_help(context)
        lines += [f"## `{context.command_path}`", "", "```text", text, "```", ""]
    return "\n".join(lines).rstrip()


def _contexts(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name, command in sorted(context.command.commands.items()):
            yield from _contexts(click.Context(command, parent=context, info_name=name))
