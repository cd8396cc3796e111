"""What if nobody listens any more? A reader that hangs up (`| head`) ends the telling, and never the run."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import TextIO

from connector.errors import ConnectorError

# A pipe without its reader: EPIPE on POSIX; on Windows EINVAL, by the C runtime's translation of ERROR_NO_DATA.
_HUNG_UP = (errno.EPIPE, errno.EINVAL)


class BrokenPipeWriter(io.RawIOBase):
    """Carry bytes to a reader for as long as one is there; what comes after that is lost without a word.

    Another trouble (no room left on the disk) is raised once, as ConnectorError, and what comes later is lost, too:
    else the interpreter would meet it again at its end, and replace the run's exit code by one of its own.
    """

    def __init__(self, way: io.RawIOBase) -> None:
        super().__init__()
        self._way = way
        self._open = True

    def writable(self) -> bool:
        """Say that it can be written."""
        return True

    def fileno(self) -> int:
        """Return the number of the file below."""
        return self._way.fileno()

    def isatty(self) -> bool:
        """Say whether a terminal is below."""
        return self._way.isatty()

    def write(self, content: object) -> int | None:
        """Write as much as the file takes, or take it all for nobody."""
        view = memoryview(content)  # type: ignore[arg-type]  # io hands over buffers only
        if not self._open:
            return view.nbytes
        try:
            return self._way.write(view)
        except OSError as error:
            self._open = False
            if error.errno in _HUNG_UP:
                return view.nbytes
            raise ConnectorError(
                f"The output could not be written: {error.strerror or error}.",
                "`photo-connector report` tells a finished run again.",
            ) from error


def is_terminal(stream: TextIO) -> bool:
    """Return True if people read this stream as it is written; Windows calls NUL a terminal, too, but it is none."""
    try:
        if not stream.isatty():
            return False
    except ValueError:  # closed
        return False
    if sys.platform != "win32":
        return True
    import ctypes
    import msvcrt

    mode = ctypes.c_ulong()
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(stream.fileno()))
    return bool(ctypes.windll.kernel32.GetConsoleMode(handle, ctypes.byref(mode)))


def ignore_broken_pipes() -> None:
    """Let both outputs of this process bear a reader that hangs up; one that was never open leads nowhere."""
    sys.stdout, sys.stderr = _wrapped(sys.stdout), _wrapped(sys.stderr)


def _wrapped(out: TextIO | None) -> TextIO:
    if out is None:  # closed from the start, as by >&-, or under a program without a console
        return Path(os.devnull).open("w", encoding="utf-8")
    if not isinstance(out, io.TextIOWrapper) or is_terminal(out):
        return out
    out.flush()
    way: io.RawIOBase = (
        getattr(out.buffer, "raw", None) or out.buffer
    )  # with PYTHONUNBUFFERED there is no buffer between
    return io.TextIOWrapper(
        io.BufferedWriter(BrokenPipeWriter(way)),
        encoding=out.encoding,
        errors=out.errors,
        newline=None,
        line_buffering=out.line_buffering,
        write_through=out.write_through,
    )
