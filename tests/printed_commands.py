"""Check that every command the program prints, in any test, is one that a shell and the program accept."""

from __future__ import annotations

import html
import re
import shlex
import shutil
import subprocess
from functools import cache

import click

from connector.cli.main import commands
from connector.command import COMMANDS

_BASH = shutil.which("bash")
_KIND = "|".join(COMMANDS)
# A command ends at a backtick or two blanks, where it stands in a sentence; else at the end of its words.
_QUOTED = re.compile(rf"`((?:sudo [^`]*)?[^`\s]*photo-connector (?:{_KIND})(?: [^`]*)?)`")
_BARE = re.compile(
    rf"^ *(?:[A-Z][\w ]+:? +)?(photo-connector (?:{_KIND}) --env-file .*?)(?:   .*|, or .*)?$", re.MULTILINE
)
# A backticked command that lacks the program's name cannot be pasted.
_LAME = re.compile(r"`(?:sync|check|report|history|restore|forget|export|runs|coverage) [^`]+`")
# What stands for a word that the reader fills in.
_PLACES = {"PERSON": "ada", "N": "1", "RUN": "1", "UPN": "ada", "FILE": "report.html", "FILE.html": "report.html"}
_ENV = re.compile(r"--env-file ('[^']*'(?:\"'\"'[^']*')*|[^ `]+)")


def printed(text: str) -> list[str]:
    """Return the commands of a text."""
    return [*_QUOTED.findall(text), *_BARE.findall(text)]


def hold_printed(text: str) -> None:
    """Fail if a command of the text is not accepted by a shell or by the program, or lacks its settings file."""
    if "photo-connector" not in text or text.lstrip().startswith(("{", "[", "\ufeff", "<")):
        return
    lame = _LAME.search(text)
    assert lame is None, f"{lame[0] if lame else ''} cannot be pasted"
    for command in printed(text):
        has_file = " --env-file " in command
        assert has_file or "--env-file" not in text, f"{command!r} does not name the settings file"
        accept(_ENV.sub("--env-file x.env", html.unescape(command)))


@cache
def accept(command: str) -> None:
    """Fail unless bash parses the command and the program takes its words; nothing is carried out."""
    if _BASH is not None:
        done = subprocess.run([_BASH, "-n", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command!r}: {done.stderr}"
    words = [_PLACES.get(word, word) for word in shlex.split(command)]
    found: click.Command | None = commands
    rest = words[1:]
    while isinstance(found, click.Group):
        _, found, rest = found.resolve_command(click.Context(found), rest)
    assert found is not None, command
    with found.make_context(words[1], list(rest)) as context:
        assert context.params is not None
