"""Turn the system's stop signals (Ctrl+C, SIGTERM, Ctrl+Break) into KeyboardInterrupt, and keep them while a run ends.

One press of Ctrl+C may arrive as two signals, and people press twice. A second one while the first is being handled is
kept, so that what the first began is carried out to its end.
"""

from __future__ import annotations

import _thread
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from connector.errors import ConnectorError

log = logging.getLogger("connector.interrupts")

_NAMES = ("SIGINT", "SIGTERM", "SIGBREAK")


class _Signals:
    """Represent what happens to stop signals: kept, come before, or lost and being sent again."""

    is_kept = False
    has_come = False
    is_sent_again = False
    hook_before = sys.unraisablehook


def take_signals() -> dict[signal.Signals, object]:
    """Handle the stop signals from now on; return the handlers from before. An ignored Ctrl+C stays ignored."""
    _Signals.is_kept = _Signals.has_come = False
    if sys.unraisablehook is not _send_again:
        _Signals.hook_before = sys.unraisablehook
    sys.unraisablehook = _send_again
    numbers = [signal.Signals[name] for name in _NAMES if hasattr(signal, name)]
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    return {number: signal.signal(number, _handle) for number in numbers if number != signal.SIGINT or not is_ignored}


@contextmanager
def stop_signals() -> Iterator[None]:
    """Handle the stop signals within the block."""
    hook = sys.unraisablehook
    before = take_signals()
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned
        _Signals.is_kept = _Signals.has_come = False


def keep_signals() -> None:
    """Keep the stop signals from now on: what follows is short, and is carried out whole."""
    _Signals.is_kept = True


def until_interrupted(work: Callable[[], None]) -> bool:
    """Do a work; return True if a stop signal ended it, also one that was kept before. Signals are kept afterwards.

    An error that only comes of the signal counts as the signal: SQLite reports one that arrived in a function of ours
    as an error of that function.
    """
    try:
        try:
            _Signals.is_kept = False
            if _Signals.has_come:
                return True
            work()
        finally:
            keep_signals()
    except KeyboardInterrupt:
        keep_signals()
        return True
    except ConnectorError:
        raise
    except Exception as error:
        if not _Signals.has_come:
            raise
        log.info("an error while the run was interrupted", exc_info=error)
        return True
    return False


def _handle(_number: int, _frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, unless signals are kept or the one before is still being handled."""
    _Signals.has_come = True
    if _Signals.is_sent_again:
        _send()
    elif not (_Signals.is_kept or _is_handled(sys.exception())):
        raise KeyboardInterrupt


def _is_handled(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _send_again(lost: sys.UnraisableHookArgs) -> None:
    """Send a Ctrl+C once more that arrived where Python ignores exceptions: while an object was being deleted."""
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        _Signals.hook_before(lost)
        return
    _Signals.is_sent_again = True
    _send()
    _Signals.is_sent_again = False


def _send() -> None:
    _thread.start_new_thread(_thread.interrupt_main, (signal.SIGTERM,))  # ours in any case; SIGINT may be ignored
