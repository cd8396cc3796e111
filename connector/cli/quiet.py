"""Option `--quiet`: no progress and no report on the screen; warnings and errors stay."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import click

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def is_quiet() -> bool:
    """Return True if the running command was given `--quiet`."""
    return _quiet.get()


def quiet_option(command: Any) -> Any:
    """Add `--quiet` to a command."""
    text = "Show warnings and errors only: no progress, no report on the screen."
    return click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=_remember, help=text)(command)


def _remember(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    _quiet.set(value)
