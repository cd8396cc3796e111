"""Read OPT_OUT_FILE: UPNs and mail addresses, one a line."""

from __future__ import annotations

from pathlib import Path

from connector.config.env_file import decoded
from connector.errors import SettingsError

NAME = "OPT_OUT_FILE"


def opt_out_names(path: Path) -> list[str]:
    """Return the UPNs and mails in the file; raises SettingsError where it cannot be read: that is never nobody."""
    try:
        lines = [line.strip() for line in decoded(path.read_bytes()).splitlines()]
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error), "correct the path, or its permissions") from error
    except ValueError as error:
        what, _, cure = str(error).partition("; ")
        raise _unreadable(path, what, cure) from error
    return [line for line in lines if line and not line.startswith("#")]


def _unreadable(path: Path, why: str, cure: str) -> SettingsError:
    return SettingsError([f"{NAME}: {path} cannot be read: {why}; {cure}"])
