"""Are the settings right? All of them are read and checked at once, before anything is contacted."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from connector.addresses import page
from connector.config.beside import beside_env_file
from connector.config.env_file import decoded, find, read_lines, variable_in
from connector.config.rules import broken_rules
from connector.config.settings import NAMES, SECRETS, TWINS, Settings
from connector.config.values import expanded
from connector.errors import SettingsError
from connector.windows_acl import account_name, icacls, is_stranger, rights_of

# What the commands need that read the database alone.
DATABASE_SETTINGS = ("STATE_DIR", "REPORT_PICTURES", "REPORT_MAIL_TO")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Hold the settings, and warnings that do not stop a run (each begins with a setting's name or a file)."""

    settings: Settings
    warnings: tuple[str, ...]


def load_settings(env_file: Path | None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read the env file and the environment (`os.environ` where None), which wins.

    Raises SettingsError with every problem, each beginning with its setting's name.
    """
    surroundings = os.environ if environ is None else environ
    given = read_raw(env_file, surroundings)
    settings, problems = _check(given)
    unknown = unknown_names(given, surroundings)
    if problems:
        # a misspelt name is often why another one is missing
        raise SettingsError([*problems, *given.warnings, *unknown])
    return Loaded(settings, (*given.warnings, *unknown, *advice(settings, given)))


def value_problem(name: str, text: str) -> str:
    """Return what is wrong with the value of one setting, looked at alone; an empty text where nothing is."""
    try:
        Settings.model_validate({name.lower(): text})
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        return _sentence(detail["type"], detail["msg"], context=detail.get("ctx", {}))
    return ""


def load_database_settings(env_file: Path | None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read the settings of the commands that read the database alone; all others may be missing or wrong.

    Raises SettingsError with every problem of these few, and of the env file itself.
    """
    surroundings = os.environ if environ is None else environ
    given = read_raw(env_file, surroundings, only=DATABASE_SETTINGS)
    settings, problems = _check(given)
    problems = [one for one in problems if one in given.problems or _blamed(one) in DATABASE_SETTINGS]
    unknown = unknown_names(given, surroundings)
    if problems:
        raise SettingsError([*problems, *unknown])
    return Loaded(settings, tuple(unknown))


def _check(given: RawSettings) -> tuple[Settings, list[str]]:
    """Check each value alone, then what hangs together, without blaming a setting twice."""
    problems = list(given.problems)
    # spaces at the ends are slips of the pen, but in a secret they may be meant
    raw = {name.lower(): value if name in SECRETS else value.strip() for name, value in given.values.items()}
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        for detail in details:
            sentence = _sentence(detail["type"], detail["msg"], context=detail.get("ctx", {}))
            problems.append(f"{str(detail['loc'][0]).upper()}: {sentence}")
        bad = {detail["loc"][0] for detail in details}
        settings = Settings.model_validate({name: value for name, value in raw.items() if name not in bad})
    blamed = {_blamed(problem) for problem in problems}
    problems += [f"{name}: {text}" for name, text in broken_rules(settings) if name not in blamed]
    return settings, list(dict.fromkeys(problems))


def _blamed(problem: str) -> str:
    name = problem.partition(":")[0]
    return TWINS.get(name, name)


def _sentence(kind: str, message: str, *, context: Mapping[str, Any]) -> str:
    """Say in our words what pydantic found; the value itself is not repeated, it may be a secret."""
    if kind == "value_error":
        return str(context["error"])
    if kind == "enum":
        return f"must be {context['expected'].replace(chr(39), '')}"
    if kind.startswith("bool"):
        return "must be true or false"
    if kind.startswith("int"):
        return "must be a whole number"
    if kind == "greater_than_equal":
        return f"must be at least {context['ge']}"
    if kind == "less_than_equal":
        return f"must be at most {context['le']}"
    return message[:1].lower() + message[1:]


@dataclass(frozen=True, slots=True)
class RawSettings:
    """Hold the values by name, the names that stood in the env file, and what was wrong on the way.

    `secret_files` are those that the `*_FILE` settings name.
    """

    values: Mapping[str, str] = field(repr=False)
    in_file: tuple[str, ...]
    path: Path | None
    problems: tuple[str, ...]
    secret_files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()


def read_raw(env_file: Path | None, environ: Mapping[str, str], *, only: Collection[str] | None = None) -> RawSettings:
    """Merge the env file (`.env` where None and there is one) with the environment, which wins.

    With `only`, all other settings are left out, and no secret is read.
    """
    path, problems = find(env_file)
    lines = read_lines(path, problems) if path is not None else {}
    upper = _known(_with_lower_case_proxies(environ), only)
    found, warnings = beside_env_file(_known(lines, only), path)
    lower = {name: value for name, value in found.items() if not _overruled(name, upper)}
    values = {**lower, **upper}
    files = tuple(_path(values[twin]) for twin in TWINS if twin in values)
    return RawSettings(_resolve_twins(values, problems), tuple(lines), path, tuple(problems), files, warnings)


def _known(values: Mapping[str, str], only: Collection[str] | None) -> dict[str, str]:
    """Keep what is ours and set: an empty value is as good as none."""
    ours = (*NAMES, *TWINS) if only is None else only
    return {name: value for name, value in values.items() if name in ours and value.strip()}


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
    try:
        return expanded(Path(text.strip()))
    except ValueError:
        return Path(text.strip())  # which is then not there


def _read_secret(twin: str, path: Path, *, problems: list[str]) -> str:
    """Return the file's text without one closing line end."""
    if variable := variable_in(path):
        problems.append(f"{twin}: holds {variable}, and no variable is replaced in settings; write the path out")
        return ""
    try:
        text = decoded(path.read_bytes())
    except (OSError, ValueError) as error:
        problems.append(f"{twin}: {path} cannot be read: {error.strerror if isinstance(error, OSError) else error}")
        return ""
    content = text.removesuffix("\n").removesuffix("\r")
    if not content:
        problems.append(f"{twin}: {path} is empty; put the secret into it")
    return content


OURS = ("LDAP_", "FOLDER_", "MATCH_", "GRAPH_", "SHAREPOINT_", "SYNC_", "PHOTO_", "REPORT_", "PLACEHOLDER_")
OURS_IN_FILE = (
    *OURS,
    *("AZURE_", "HTTP_", "HTTPS_", "NO_", "GUEST_", "STATE_", "LEDGER_", "BACKUP_", "METRICS_", "SMTP_"),
)
NOT_OURS = ("PHOTO_CONNECTOR_",)
# Names of other tools that are near enough to ours to look like a slip of the pen.
OTHER_TOOLS = frozenset({"HTTP_PROXY", "ALL_PROXY", "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"})
KNOWN = (*NAMES, *TWINS)
NEAR = 0.9
NEAR_IN_FILE = 0.8  # the file is ours, so a guess may be bolder


def unknown_names(given: RawSettings, environ: Mapping[str, str]) -> list[str]:
    """List names that look like ours and are not, each with the name that was probably meant."""
    return [*_unknown_in_file(given.in_file), *_unknown_in_environment(environ)]


def advice(settings: Settings, given: RawSettings) -> list[str]:
    """List choices that are allowed but weak, one sentence each."""
    return [*_weak_choices(settings), *_open_files(settings, given)]


def _unknown_in_file(names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if name not in KNOWN and (name.upper().startswith(OURS_IN_FILE) or _near(name, NEAR_IN_FILE)):
            yield _unknown(name)


def _unknown_in_environment(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield unknown names; AZURE_ and HTTP_ belong to other tools too, so of those only near misses."""
    for name in environ:
        if name in KNOWN or name in OTHER_TOOLS or name.startswith(NOT_OURS):
            continue
        if name.startswith(OURS) or (name.startswith("AZURE_") and _near(name, NEAR)):
            yield _unknown(name)


def _unknown(name: str) -> str:
    near = _near(name, 0.7)
    return f"{name}: unknown, so it has no effect" + (f"; did you mean {near}?" if near else "; remove it")


def _near(name: str, cutoff: float) -> str:
    return next(iter(get_close_matches(name.upper(), KNOWN, n=1, cutoff=cutoff)), "")


def _weak_choices(settings: Settings) -> Iterator[str]:
    if settings.azure_client_secret is not None:
        how = page("permissions", "a-certificate")
        yield f"AZURE_CLIENT_SECRET: a certificate is safer, since its key never travels; steps: {how}"
    if settings.backup_days == 0:
        yield "BACKUP_DAYS: 0 keeps no replaced photo, so no run can be undone; set some days"


def _open_files(settings: Settings, given: RawSettings) -> Iterator[str]:
    """Name each file with a secret that others can read, and an env file that they can write: it says who is trusted.

    On POSIX others are everybody on this machine; a group may be meant to read. On Windows they are broad groups.
    """
    holds = given.path is not None and any(name in SECRETS for name in given.in_file)
    certificate = settings.azure_client_certificate_path
    for path in (*([given.path] if holds else []), *given.secret_files, *([certificate] if certificate else [])):
        if path is not None and path.is_file():
            yield from _readable(path)
    if given.path is not None and given.path.is_file():
        yield from _writable(given.path)


def _readable(path: Path) -> Iterator[str]:
    if os.name == "posix" and path.stat().st_mode & stat.S_IROTH:
        yield f"{path}: holds a secret and others can read it; run: chmod 600 {path}"
    if readers := rights_of(path).readers:
        yield f"{path}: holds a secret and {' and '.join(readers)} can read it; run: {icacls(path, is_folder=False)}"


def _writable(path: Path) -> Iterator[str]:
    chooses = "and so choose whom this tool trusts"
    found = path.stat()
    if is_stranger(found.st_uid):
        yield f"{path}: belongs to {account_name(found.st_uid)}, who can write it {chooses}; give it to your account"
    if os.name == "posix" and found.st_mode & stat.S_IWOTH:
        yield f"{path}: others can write it, {chooses}; run: chmod 600 {path}"
    elif os.name == "posix" and found.st_mode & stat.S_IWGRP:
        yield f"{path}: its group can write it, {chooses}; run: chmod g-w {path}"
    if writers := rights_of(path).writers:
        yield f"{path}: {' and '.join(writers)} can write it, {chooses}; run: {icacls(path, is_folder=False)}"
