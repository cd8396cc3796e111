"""Read the env file, look for its files beside it, and report mistakes: encodings, quotes, shell commands."""

from __future__ import annotations

import codecs
import io
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from connector.config.settings import NAMES, PATHS, SECRET_FILE_SETTINGS

DEFAULT_FILE = Path(".env")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DOUBLE_QUOTED = re.compile(r'=\s*"((?:\\.|[^"\\])*)"', re.DOTALL)
_SHARE_IN_SINGLE = re.compile(r"=\s*'\\\\(?!\\)")
# A path with a backslash at its end, as Windows shows folders: the quote after it does not end the value.
_OPEN_END = re.compile(r"""\s*[^\n=]*=[ \t]*(['"])[^\n]*\\\1[ \t]*(?:\r?\n|$)""")
_VARIABLE = re.compile(r"%[A-Za-z_][\w()]*%|\$env:\w*|\$\{?[A-Za-z_]\w*\}?", re.IGNORECASE)
_SINGLE = "write a path in single quotes, unchanged: NAME='C:\\new'"


def variable_in(path: Path | str) -> str:
    """Return what looks like a variable in a path; settings do not replace variables."""
    match = _VARIABLE.search(str(path))
    return match[0] if match else ""


def find(env_file: Path | None) -> tuple[Path | None, list[str]]:
    """Return the env file to read (for None `.env` in the current directory, if any), and problems with its name."""
    if env_file is not None or DEFAULT_FILE.is_file():
        return env_file or DEFAULT_FILE, []
    hidden = DEFAULT_FILE.with_name(".env.txt")
    if hidden.is_file():
        return None, [f"--env-file: {hidden} is not read; Notepad added .txt to its name, rename it to .env"]
    return None, []


def read_lines(path: Path, problems: list[str]) -> dict[str, str]:
    """Read lines as python-dotenv does, but without replacing ${...}: a password may hold it."""
    try:
        text = decoded(path.read_bytes())
    except FileNotFoundError:
        longer = path.with_name(f"{path.name}.txt")
        fix = f"{longer} exists, rename it" if longer.is_file() else "name the correct file"
        problems.append(f"--env-file: {path} does not exist; {fix}")
        return {}
    except OSError as error:
        problems.append(f"--env-file: {path} cannot be read: {error.strerror}")
        return {}
    except ValueError as error:
        problems.append(f"--env-file: {path} cannot be read: {error}")
        return {}
    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text, newline=None)):
        problems += [f"{path}: line {binding.original.line} {slip}" for slip in _slips(binding)]
        if binding.key:
            values[binding.key] = _value_of(binding)
    return values


def decoded(content_bytes: bytes) -> str:
    """Return the text of a settings file; ValueError names the probable encoding and what to do."""
    if content_bytes.startswith(_UTF_16) or b"\0" in content_bytes:
        raise ValueError(
            "it is UTF-16, not UTF-8, as written by > in PowerShell 5.1; save it as UTF-8 (Set-Content -Encoding)"
        )
    try:
        return content_bytes.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text but ANSI or another encoding; save it as UTF-8") from None


def _slips(binding: Binding) -> Iterator[str]:
    """Yield what is wrong with a line; it may contain a secret, so only names and numbers are shown."""
    name = binding.key or ""
    if re.match(r"\s*(\$env:|set\s|setx\s)", binding.original.string, re.IGNORECASE):
        yield "is a command of a shell; write NAME=value"
        return
    if (binding.error or "\n" in (binding.value or "")) and _OPEN_END.match(binding.original.string):
        yield "has a backslash before its last quote, which therefore does not end the value; leave the backslash out"
        return
    if binding.error or (name and binding.value is None):
        yield "is not NAME=value; correct or remove it"
        return
    if name not in NAMES and name not in SECRET_FILE_SETTINGS:
        return
    if re.search(r"[\x07-\x0d]", binding.value or "") and _DOUBLE_QUOTED.search(binding.original.string):
        yield f"{name}: in double quotes a backslash and the next letter became a control character; {_SINGLE}"
    elif (name in PATHS or name in SECRET_FILE_SETTINGS) and _is_halved_share(binding.original.string):
        yield f"{name}: in double quotes two backslashes become one; {_SINGLE}"


def _value_of(binding: Binding) -> str:
    r"""Return the value of a line, with the \\ of a share in single quotes, which python-dotenv halves there, too."""
    value = binding.value or ""
    is_path = binding.key in PATHS or binding.key in SECRET_FILE_SETTINGS
    return f"\\{value}" if is_path and _SHARE_IN_SINGLE.search(binding.original.string) else value


def _is_halved_share(line: str) -> bool:
    match = _DOUBLE_QUOTED.search(line)
    return match is not None and re.match(r"\\\\(?!\\)", match[1]) is not None


# A relative STATE_DIR is refused: what a run remembers must not depend on where a file lies.
FILES = tuple(name for name in (*PATHS, *SECRET_FILE_SETTINGS) if name != "STATE_DIR")


def beside_env_file(values: Mapping[str, str], env_file: Path | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the values of the env file with whole paths, and a warning for each file of the current folder."""
    found, warnings = dict(values), []
    if env_file is None:
        return found, ()
    folder = Path(os.path.abspath(env_file)).parent  # noqa: PTH100 - resolve() would follow a link to another folder
    for name in FILES:
        text = found.get(name, "").strip()
        if not text or _is_fixed(text) or folder == Path.cwd():
            continue
        if _is_there(folder / text) or not _is_there(Path.cwd() / text):
            found[name] = str(folder / text)
        else:
            found[name] = str(Path.cwd() / text)
            place = f"{text} is in the current folder ({Path.cwd()}) and not beside {env_file}"
            warnings.append(f"{name}: {place}; move it there, or write the whole path")
    return found, tuple(warnings)


def _is_fixed(text: str) -> bool:
    return Path(text).is_absolute() or text.startswith("~") or bool(variable_in(text))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
