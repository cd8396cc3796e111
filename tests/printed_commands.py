"""Require that a shell and the program accept every command that the program prints, in any story."""

from __future__ import annotations

import contextlib
import html
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from email.message import EmailMessage
from functools import cache
from typing import Any

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
_CODE = re.compile(r"<code[^>]*>(.*?)</code>", re.DOTALL)
_ISLAND = re.compile(r'<script type="application/json"[^>]*>(.*?)</script>', re.DOTALL)
_ACTIVE = re.compile(r"<(script|style)\b.*?</\1>", re.DOTALL)
_LOOSE = re.compile(rf"photo-connector (?:{_KIND})\b")


def printed(text: str) -> list[str]:
    """Return the commands of a text."""
    return [*_QUOTED.findall(text), *_BARE.findall(text)]


def hold_printed(text: str) -> None:
    """Fail if a command of the text is not accepted by a shell or by the program, or lacks its settings file."""
    if "photo-connector" not in text or text.lstrip().startswith(("{", "[", "\ufeff", "<")):
        return
    _hold(text)


def hold_page(page: str) -> int:
    """Require the same of an HTML page, also of the JSON that its script shows; return how many commands it has."""
    island = _ISLAND.search(page)
    shown = [html.unescape(code) for code in _CODE.findall(_ACTIVE.sub("", page))]
    told = list(_texts(json.loads(island[1]))) if island else []
    plan = (json.loads(island[1]).get("plan") or {}) if island else {}
    sentences = html.unescape(re.sub(r"<[^>]*>", "|", _CODE.sub("", _ACTIVE.sub("", page))))
    loose = [sentences[max(0, found.start() - 80) : found.end()] for found in _LOOSE.finditer(sentences)]
    assert loose == [], "a command of the page is not marked as one"
    approved = [plan["command"], f"{plan['command']} --except {plan['file']}"] if plan else []
    text = "\n".join([*(f"`{command}`" for command in (*shown, *approved)), *told])
    _hold(text)
    return len(printed(text))


def hold_mail(mail: EmailMessage) -> int:
    """Require the same of a mail, as text and as HTML; return how many commands both have."""
    count = 0
    for kind in ("plain", "html"):
        body = mail.get_body((kind,))
        text = str(body.get_content()) if body is not None else ""
        if kind == "html":
            count += hold_page(text)
        else:
            hold_printed(text)
            count += len(printed(text))
    return count


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _hold(text: str) -> None:
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
    accept_words(shlex.split(command))


def accept_words(words: list[str]) -> None:
    """Fail unless the program takes these words; what precedes its name, and a redirection, is the shell's."""
    start = max(
        place for place, word in enumerate(words) if word in commands.commands and _is_program(words[place - 1])
    )
    rest = [_PLACES.get(word, word) for word in words[start:]]
    rest = rest[: rest.index(">")] if ">" in rest else rest
    name: str | None = ""
    found: click.Command | None = commands
    while isinstance(found, click.Group):
        name, found, rest = found.resolve_command(click.Context(found), rest)
    assert found is not None, words
    with contextlib.suppress(click.exceptions.Exit), parsed(found, name, list(rest)) as context:  # --help exits
        assert context.params is not None


def parsed(command: click.Command, name: str | None, words: list[str]) -> click.Context:
    """Parse the words of a command as the program does: below its group, from which it has the names of its help.

    A command keeps its help option from the first time, so that one parsed alone would have no -h from then on.
    """
    return command.make_context(name, words, parent=click.Context(commands, **commands.context_settings))


def _is_program(word: str) -> bool:
    return re.fullmatch(r"(?:.*[/\\])?photo-connector(?:\.exe)?", word) is not None
