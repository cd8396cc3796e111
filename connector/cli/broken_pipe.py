"""Ignore a closed standard output, as with `| head`; the run goes on."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import TextIO

from connector.cli.console import is_terminal
from connector.errors import ConnectorError

# A closed pipe: EPIPE on POSIX; on Windows EINVAL, by the C runtime's translation of ERROR_NO_DATA.
_CLOSED_PIPE = (errno.EPIPE, errno.EINVAL)


class BrokenPipeWriter(io.RawIOBase):
    """Write to a stream until its reader closes the pipe; discard what comes after that.

    Another error (no space left on the disk) is raised once, as ConnectorError, and later output is discarded, too:
    else the interpreter would meet the error again at its end and replace the run's exit code.
    """

    def __init__(self, stream: io.RawIOBase) -> None:
        super().__init__()
        self._stream = stream
        self._open = True

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the stream's file descriptor."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Return True if the stream is a terminal."""
        return self._stream.isatty()

    def write(self, content: object) -> int | None:
        """Write to the stream, or discard the content after the pipe was closed."""
        view = memoryview(content)  # type: ignore[arg-type]  # io hands over buffers only
        if not self._open:
            return view.nbytes
        try:
            return self._stream.write(view)
        except OSError as error:
            self._open = False
            if error.errno in _CLOSED_PIPE:
                return view.nbytes
            raise ConnectorError(
                f"The output could not be written: {error.strerror or error}.",
                "`photo-connector report` shows a finished run again.",
            ) from error


def ignore_broken_pipes() -> None:
    """Wrap stdout and stderr so that a closed pipe raises nothing; a missing stream becomes os.devnull."""
    sys.stdout, sys.stderr = _wrapped(sys.stdout), _wrapped(sys.stderr)


def _wrapped(out: TextIO | None) -> TextIO:
    if out is None:  # closed from the start, as by >&-, or under a program without a console
        return Path(os.devnull).open("w", encoding="utf-8")
    if not isinstance(out, io.TextIOWrapper) or is_terminal(out):
        return out
    out.flush()
    stream: io.RawIOBase = (
        getattr(out.buffer, "raw", None) or out.buffer
    )  # with PYTHONUNBUFFERED there is no buffer between
    return io.TextIOWrapper(
        io.BufferedWriter(BrokenPipeWriter(stream)),
        encoding=out.encoding,
        errors=out.errors,
        newline=None,
        line_buffering=out.line_buffering,
        write_through=out.write_through,
    )
