"""Which values were given, and where? The env file's lines, the environment over them, secrets from their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv.parser import parse_stream

from connector.config.settings import NAMES, SECRETS, TWINS

DEFAULT_FILE = Path(".env")


@dataclass(frozen=True, slots=True)
class Given:
    """Hold the values by name, the names that stood in the env file, and what was wrong on the way.

    `secret_files` are those that the `*_FILE` settings name.
    """

    values: Mapping[str, str] = field(repr=False)
    in_file: tuple[str, ...]
    path: Path | None
    problems: tuple[str, ...]
    secret_files: tuple[Path, ...] = ()


def gather(env_file: Path | None, environ: Mapping[str, str]) -> Given:
    """Merge the env file (`.env` where None and there is one) with the environment, which wins."""
    problems: list[str] = []
    path = env_file if env_file is not None else (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    lines = _read_env_file(path, problems) if path is not None else {}
    upper = _known(_with_lower_case_proxies(environ))
    lower = {name: value for name, value in _known(lines).items() if not _overruled(name, upper)}
    values = {**lower, **upper}
    files = tuple(_path(values[twin]) for twin in TWINS if twin in values)
    return Given(_resolve_twins(values, problems), tuple(lines), path, tuple(problems), files)


def _read_env_file(path: Path, problems: list[str]) -> dict[str, str]:
    """Read lines as python-dotenv does, but without replacing ${...}: a password may hold it."""
    values: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for binding in parse_stream(stream):
                if binding.error or (binding.key and binding.value is None):
                    # the line may hold a secret, so only its number is told
                    problems.append(f"{path}: line {binding.original.line} is not NAME=value; mend or remove it")
                elif binding.key:
                    values[binding.key] = binding.value or ""
    except FileNotFoundError:
        problems.append(f"--env-file: {path} does not exist; name the right file")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        problems.append(f"--env-file: {path} cannot be read: {reason}")
    return values


def _known(values: Mapping[str, str]) -> dict[str, str]:
    """Keep what is ours and set: an empty value is as good as none."""
    return {name: value for name, value in values.items() if (name in NAMES or name in TWINS) and value.strip()}


def _with_lower_case_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Take https_proxy for HTTPS_PROXY; where both are set the lower-case one wins, as in urllib."""
    both = dict(environ)
    for name in ("HTTPS_PROXY", "NO_PROXY"):
        if environ.get(name.lower()):
            both[name] = environ[name.lower()]
    return both


def _overruled(name: str, upper: Mapping[str, str]) -> bool:
    """Say whether the environment gives this secret in either form."""
    secret = TWINS.get(name, name)
    return secret in SECRETS and (secret in upper or f"{secret}_FILE" in upper)


def _resolve_twins(values: dict[str, str], problems: list[str]) -> dict[str, str]:
    for twin, secret in TWINS.items():
        path = values.pop(twin, None)
        if path is None:
            continue
        if secret in values:
            problems.append(f"{twin}: cannot stand beside {secret}; set one of the two")
            continue
        content = _read_secret(twin, _path(path), problems=problems)
        if content:
            values[secret] = content
    return values


def _path(text: str) -> Path:
    return Path(text.strip()).expanduser()


def _read_secret(twin: str, path: Path, *, problems: list[str]) -> str:
    """Return the file's text without one closing line end."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        problems.append(f"{twin}: {path} cannot be read: {reason}")
        return ""
    content = text.removesuffix("\n").removesuffix("\r")
    if not content:
        problems.append(f"{twin}: {path} is empty; put the secret into it")
    return content
