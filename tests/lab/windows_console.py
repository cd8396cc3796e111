"""Run a Windows program at a console: a pseudo terminal of this machine, which Wine shows it as a real one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping
from pathlib import Path

from tests.lab.windows import command, environment


class Console:
    """Represent a Windows program at a console: what it prints, and keys typed into it (Ctrl+C is b"\\x03")."""

    def __init__(self, arguments: tuple[str, ...], cwd: Path, columns: int, changed: Mapping[str, str]) -> None:
        """Start Windows' Python with a pseudo terminal as its console."""
        self.seen = b""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            program = command(*arguments)
            os.execvpe(program[0], program, environment(**changed))
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))

    @property
    def text(self) -> str:
        """Return what was printed so far, without the terminal's own sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen.decode("utf-8", "replace"))

    def type(self, keys: bytes) -> None:
        """Type keys."""
        os.write(self._terminal, keys)

    def wait(self, seconds: float = 120) -> int:
        """Wait for the end and return the exit code; a program that does not end is killed and fails the test."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.read():
            pass
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self._terminal)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._terminal)
        raise AssertionError(f"did not end within {seconds} s: {self.text[-2000:]}")

    def read(self) -> bool:
        """Take in what was printed, waiting a moment for it; return False at the end."""
        if not select.select([self._terminal], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._terminal, 65536)
        except OSError:
            return False
        self.seen += data
        return bool(data)
