"""Write the manual page and the page of all commands from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click

from connector import __version__
from connector.addresses import DOCUMENTATION
from connector.errors import ExitCode

PROGRAM = "photo-connector"
CODES = {
    ExitCode.OK: "done",
    ExitCode.FAULT: "internal error",
    ExitCode.SETTINGS: "usage or settings; nothing was contacted",
    ExitCode.SOME_FAILED: "finished, but some people failed",
    ExitCode.BRAKE: "stopped by a safety limit; nothing was written",
    ExitCode.UNREACHABLE: "a system could not be reached or denied access",
    ExitCode.LOCKED: "not started: another run is in progress",
    ExitCode.LIMIT: "finished at its limit; the rest is left for the next run",
    ExitCode.INTERRUPTED: "interrupted; the next run goes on",
}


def all_commands(group: click.Group, path: str = PROGRAM) -> Iterator[tuple[str, click.Command]]:
    """Yield each command with its full name, those of a group after it."""
    for name in sorted(group.commands):
        command = group.commands[name]
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from all_commands(command, f"{path} {name}")


def render_commands_md(group: click.Group) -> str:
    """Return the page of all commands in Markdown."""
    parts = ["# Commands\n\n<!-- Written by `scripts/docs`; a test compares. -->\n"]
    for name, command in all_commands(group):
        context = _context(command, name)
        usage = " ".join(command.collect_usage_pieces(context))
        parts.append(f"\n## {name}\n\n```\n{name} {usage}\n```\n\n{_help(command)}\n")
        if options := _options(command, context):
            rows = "".join(f"| `{_cell(option)}` | {_cell(text)} |\n" for option, text in options)
            parts.append(f"\n| option | meaning |\n|---|---|\n{rows}")
    return "".join(parts)


def render_man_page(group: click.Group) -> str:
    """Return the manual page, section 1, for `man`."""
    lines = [
        f'.TH PHOTO-CONNECTOR 1 "" "photo-connector {__version__}" "User Commands"',
        ".SH NAME",
        f"{_roff(PROGRAM)} \\- {_roff(_help(group).splitlines()[0].rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_roff(PROGRAM)}",
        r"\fICOMMAND\fR [\fIOPTIONS\fR]",
        ".SH COMMANDS",
    ]
    for name, command in all_commands(group):
        context = _context(command, name)
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [f".SS {_roff(f'{name} {usage}')}", _roff(_help(command))]
        for option, text in _options(command, context):
            lines += [".TP", rf"\fB{_roff(option)}\fR", _roff(text)]
    lines.append(".SH EXIT STATUS")
    for code, text in CODES.items():
        lines += [".TP", rf"\fB{int(code)}\fR", _roff(text)]
    lines += [".SH SEE ALSO", _roff(DOCUMENTATION)]
    return "\n".join(lines) + "\n"


def _context(command: click.Command, name: str) -> click.Context:
    return click.Context(command, info_name=name, help_option_names=["-h", "--help"])


def _help(command: click.Command) -> str:
    return " ".join((command.help or "").split())


def _options(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    # of arguments, which the usage names, only some versions of click give a record
    options = (parameter for parameter in command.get_params(context) if isinstance(parameter, click.Option))
    records = (option.get_help_record(context) for option in options)
    return [record for record in records if record is not None]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _roff(text: str) -> str:
    """Escape a text so that the formatter reads no character of it as a command."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain
