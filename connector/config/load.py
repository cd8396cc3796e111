"""Load all settings from the env file and the environment, check them at once, and return warnings."""

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
from connector.config.env_file import DEFAULT_FILE, beside_env_file, decoded, find, read_lines
from connector.config.rules import broken_rules, path_problem
from connector.config.settings import NAMES, SECRET_FILE_SETTINGS, SECRETS, Settings
from connector.config.values import expanded
from connector.errors import SettingsError
from connector.windows_acl import account_name, icacls, is_stranger, rights_of

# What the commands need that read the database alone.
DATABASE_SETTINGS = ("STATE_DIR", "REPORT_PICTURES", "REPORT_MAIL_TO")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Represent the settings with warnings that do not stop a run (each begins with a setting's name or a file)."""

    settings: Settings
    warnings: tuple[str, ...]


def load_settings(env_file: Path | None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read the env file and the environment (`os.environ` for None), which wins.

    Raises SettingsError with every problem, each beginning with its setting's name.
    """
    variables = os.environ if environ is None else environ
    given = read_raw(env_file, variables)
    settings, problems = _check(given)
    unknown = unknown_names(given, variables)
    if problems:
        # a misspelt name is often why another one is missing
        raise SettingsError([*_nothing_set(given), *problems, *given.warnings, *unknown])
    return Loaded(settings, (*given.warnings, *unknown, *advice(settings, given)))


def _nothing_set(given: RawSettings) -> list[str]:
    """Return how to begin, where there is no settings file and no setting in the environment; else nothing."""
    if given.path is not None or given.values or given.problems:
        return []
    name, folder = DEFAULT_FILE.name, DEFAULT_FILE.absolute().parent
    return [f"{name}: there is none in {folder}; `photo-connector config init` asks for what is needed and writes it"]


def value_problem(name: str, text: str) -> str:
    """Return what is wrong with the value of one setting, checked alone; empty text if nothing is."""
    try:
        Settings.model_validate({name.lower(): text})
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        return _sentence(detail["type"], detail["msg"], context=detail.get("ctx", {}))
    return ""


def load_database_settings(env_file: Path | None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Load the settings for commands that read only the database; all others may be missing or wrong.

    Raises SettingsError with every problem of these few, and of the env file itself.
    """
    variables = os.environ if environ is None else environ
    given = read_raw(env_file, variables, only=DATABASE_SETTINGS)
    settings, problems = _check(given)
    problems = [text for text in problems if text in given.problems or _blamed(text) in DATABASE_SETTINGS]
    unknown = unknown_names(given, variables)
    if problems:
        raise SettingsError([*problems, *unknown])
    return Loaded(settings, tuple(unknown))


def _check(given: RawSettings) -> tuple[Settings, list[str]]:
    """Check each value, then the rules between settings; a setting is reported only once."""
    problems = list(given.problems)
    # spaces at the ends are typing errors, but in a secret they may be intended
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
    return SECRET_FILE_SETTINGS.get(name, name)


def _sentence(kind: str, message: str, *, context: Mapping[str, Any]) -> str:
    """Return our sentence for an error of pydantic; the value is not repeated, as it may be a secret."""
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
    """Represent the values by name, the names in the env file, and the problems found while reading.

    `secret_files` are the files that the `*_FILE` settings name.
    """

    values: Mapping[str, str] = field(repr=False)
    in_file: tuple[str, ...]
    path: Path | None
    problems: tuple[str, ...]
    secret_files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()


def read_raw(env_file: Path | None, environ: Mapping[str, str], *, only: Collection[str] | None = None) -> RawSettings:
    """Merge the env file (for None `.env`, if it exists) with the environment, which wins.

    With `only`, all other settings are ignored, and no secret is read.
    """
    path, problems = find(env_file)
    lines = read_lines(path, problems) if path is not None else {}
    upper = _known(_with_lower_case_proxies(environ), only)
    found, warnings = beside_env_file(_known(lines, only), path)
    lower = {name: value for name, value in found.items() if not _overruled(name, upper)}
    values = {**lower, **upper}
    files = tuple(_path(values[twin]) for twin in SECRET_FILE_SETTINGS if twin in values)
    return RawSettings(_read_secret_files(values, problems), tuple(lines), path, tuple(problems), files, warnings)


def _known(values: Mapping[str, str], only: Collection[str] | None) -> dict[str, str]:
    """Return our settings that are not empty."""
    ours = (*NAMES, *SECRET_FILE_SETTINGS) if only is None else only
    return {name: value for name, value in values.items() if name in ours and value.strip()}


def _with_lower_case_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Use https_proxy as HTTPS_PROXY; if both are set, the lower-case name wins, as in urllib."""
    both = dict(environ)
    for name in ("HTTPS_PROXY", "NO_PROXY"):
        if environ.get(name.lower()):
            both[name] = environ[name.lower()]
    return both


def _overruled(name: str, upper: Mapping[str, str]) -> bool:
    """Return True if the environment sets this secret, as a value or as a file."""
    secret = SECRET_FILE_SETTINGS.get(name, name)
    return secret in SECRETS and (secret in upper or f"{secret}_FILE" in upper)


def _read_secret_files(values: dict[str, str], problems: list[str]) -> dict[str, str]:
    for twin, secret in SECRET_FILE_SETTINGS.items():
        path = values.pop(twin, None)
        if path is None:
            continue
        if secret in values:
            problems.append(f"{twin}: cannot be set together with {secret}; set one of the two")
            continue
        content = _read_secret(twin, _path(path), problems=problems)
        if content:
            values[secret] = content
    return values


def _path(text: str) -> Path:
    try:
        return expanded(Path(text.strip()))
    except ValueError:
        return Path(text.strip())  # reported later as missing


def _read_secret(twin: str, path: Path, *, problems: list[str]) -> str:
    """Return the file's text without one line end at its end."""
    if problem := path_problem(path):
        problems.append(f"{twin}: {problem}")
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
    *(
        "AZURE_",
        "HTTP_",
        "HTTPS_",
        "NO_",
        "GUEST_",
        "STATE_",
        "LEDGER_",
        "BACKUP_",
        "METRICS_",
        "SMTP_",
        "OPT_",
        "KEEP_",
    ),
)
NOT_OURS = ("PHOTO_CONNECTOR_",)
# Names of other tools that are similar to ours.
OTHER_TOOLS = frozenset({"HTTP_PROXY", "ALL_PROXY", "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"})
KNOWN = (*NAMES, *SECRET_FILE_SETTINGS)
NEAR = 0.9
NEAR_IN_FILE = 0.8  # the file is ours, so less similar names are suggested, too


def unknown_names(given: RawSettings, environ: Mapping[str, str]) -> list[str]:
    """Return unknown names that look like settings, each with the name that was probably intended."""
    return [*_unknown_in_file(given.in_file), *_unknown_in_environment(environ)]


def advice(settings: Settings, given: RawSettings) -> list[str]:
    """Return warnings about weak choices, one sentence each."""
    return [*_weak_choices(settings), *_open_files(settings, given)]


def _unknown_in_file(names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if name not in KNOWN and (name.upper().startswith(OURS_IN_FILE) or _near(name, NEAR_IN_FILE)):
            yield _unknown(name)


def _unknown_in_environment(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield unknown names; of AZURE_ and HTTP_, which other tools use, only similar names."""
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
        yield f"AZURE_CLIENT_SECRET: use a certificate: the private key never leaves this server; steps: {how}"
    if settings.backup_days == 0:
        yield "BACKUP_DAYS: 0 keeps no replaced photo, so no run can be undone; set a number of days"


def _open_files(settings: Settings, given: RawSettings) -> Iterator[str]:
    """Yield each file with a secret that others can read, and an env file that they can write.

    On POSIX, others are all accounts of this machine; a group may be intended to read.
    On Windows they are broad groups.
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
        yield f"{path}: contains a secret and others can read it; run: chmod 600 {path}"
    if readers := rights_of(path).readers:
        yield f"{path}: contains a secret and {' and '.join(readers)} can read it; run: {icacls(path, is_folder=False)}"


def _writable(path: Path) -> Iterator[str]:
    chooses = "and so choose which servers this tool trusts"
    status = path.stat()
    if is_stranger(status.st_uid):
        yield f"{path}: belongs to {account_name(status.st_uid)}, who can write it {chooses}; give it to your account"
    if os.name == "posix" and status.st_mode & stat.S_IWOTH:
        yield f"{path}: others can write it, {chooses}; run: chmod 600 {path}"
    elif os.name == "posix" and status.st_mode & stat.S_IWGRP:
        yield f"{path}: its group can write it, {chooses}; run: chmod g-w {path}"
    if writers := rights_of(path).writers:
        yield f"{path}: {' and '.join(writers)} can write it, {chooses}; run: {icacls(path, is_folder=False)}"
