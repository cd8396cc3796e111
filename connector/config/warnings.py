"""What is allowed but should be known? Unknown names, weak choices, an env file that others can read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from connector.config.raw_settings import RawSettings
from connector.config.settings import NAMES, SECRETS, TWINS, Settings
from connector.windows_acl import account_name, icacls, is_stranger, rights_of

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
        yield "AZURE_CLIENT_SECRET: a certificate is safer, since its key never travels; docs/permissions.md shows how"
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
