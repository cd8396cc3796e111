"""Write commands that can be pasted: quoted for the shell of this machine, and for the settings that are in use."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path

PROGRAM = "photo-connector"
COMMANDS = (
    "sync",
    "check",
    "report",
    "history",
    "restore",
    "forget",
    "export",
    "runs",
    "coverage",
    "config show",
    "config validate",
)
_COMMAND = re.compile(rf"(?<![\w./\\-]){PROGRAM} ({'|'.join(COMMANDS)})(?![\w-])(?! --env-file)")
# Letters that stand for themselves in sh, bash, PowerShell and cmd.
_SIMPLE = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._@-]*")
_SIMPLE_PATH = re.compile(r"[A-Za-z0-9._/\\:][A-Za-z0-9._@/\\:-]*")
# PowerShell ends a single-quoted string at the typographic ones, too; doubled, each stands for itself
# (https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_quoting_rules).
_QUOTES = re.compile("(['\u2018\u2019\u201a\u201b])")
_env_file: ContextVar[str] = ContextVar("env_file", default="")
_program: ContextVar[str] = ContextVar("program", default=PROGRAM)


def use_env_file(path: Path | None) -> None:
    """Add the settings file of this run to every command that is printed from now on, as the right account types it."""
    _env_file.set("" if path is None else os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    _program.set(f"{_as_account(os.environ)}{_program_word(sys.argv[0])}")


def _program_word(started_as: str) -> str:
    """Return the program as it is found by a shell: its name, or the path by which it runs if it is not on the PATH."""
    is_ours = Path(started_as).name == PROGRAM and os.path.isabs(started_as)  # noqa: PTH117 - a text, perhaps empty
    return quoted(started_as) if is_ours and shutil.which(PROGRAM) != started_as else PROGRAM


def _as_account(environ: Mapping[str, str]) -> str:
    """Return the beginning of a command for an account that nobody can sign in to, such as a service's; else "".

    Such a command is read by somebody else, in a mail or a log. The state folder that systemd gave goes with it.
    """
    if sys.platform == "win32":
        return ""
    import pwd

    try:
        account = pwd.getpwuid(os.geteuid())
    except KeyError:
        return ""
    return account_prefix(account.pw_name, account.pw_shell, environ.get("STATE_DIR", ""))


def account_prefix(name: str, shell: str, state_dir: str) -> str:
    """Return "sudo -u NAME " for an account whose shell lets nobody in; else empty text."""
    if not shell.endswith(("/nologin", "/false")):
        return ""
    return f"sudo -u {quoted(name)} " + (f"STATE_DIR={quoted(state_dir)} " if state_dir else "")


def quoted(text: str, *, windows: bool = sys.platform == "win32") -> str:
    """Return the text as one word of a command line that no shell computes: sh, or PowerShell on Windows."""
    if _SIMPLE.fullmatch(text) or (windows and _SIMPLE_PATH.fullmatch(text)):
        return text
    return "'" + _QUOTES.sub(r"\1\1", text) + "'" if windows else shlex.quote(text)


def word_for(names: Iterable[str], fallback: str, *, windows: bool = sys.platform == "win32") -> str:
    """Return the first name that a command line can carry, quoted, or the fallback (an id) where none can.

    A name that begins with a hyphen would be an option, and Windows passes no double quote and no last backslash on.
    """
    for name in names:
        is_text = bool(name) and name.isprintable() and not name.startswith("-")
        if is_text and not (windows and ('"' in name or name.endswith("\\"))):
            return quoted(name, windows=windows)
    return quoted(fallback, windows=windows)


def wrapped(text: str, width: int) -> list[str]:
    """Return the text in lines of at most this width; a command between backticks stays in one piece to be pasted.

    A word that is longer than the width is longer than the line.
    """
    joined = re.sub(r"`[^`]*`", lambda found: found[0].replace(" ", "\x00"), text)
    lines = textwrap.wrap(joined, max(20, width), break_long_words=False, break_on_hyphens=False) or [""]
    return [line.replace("\x00", " ") for line in lines]


def pasteable(text: str) -> str:
    """Return the text with settings file and account in each of our commands, so that it can be pasted as it stands."""
    path, program = _env_file.get(), _program.get()
    if PROGRAM not in text or (not path and program == PROGRAM):
        return text
    option = f" --env-file {quoted(path)}" if path else ""

    def complete(found: re.Match[str]) -> str:
        has_account = f"{found.string[: found.start()]}{PROGRAM}".endswith(program) and program != PROGRAM
        return found[0] if has_account else f"{program} {found[1]}{option}"

    return _COMMAND.sub(complete, text)
