"""Run the program under CPython for Windows (Wine), with the directory and the cloud on the Linux side.

`scripts/setup-windows` installs the interpreter. Wine is not Windows: nothing about trust in the system's certificate
store, ACL enforcement, path lengths, the event log's content or speed may be concluded from what runs here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tests.nights import Nights, Told

ROOT = Path(__file__).resolve().parent.parent.parent
VERSION = os.environ.get("WINDOWS_PYTHON", "3.11")
HOME = ROOT / ".lab" / "windows" / VERSION

# Opens a file as another Windows program would and keeps it open until its stdin closes. Arguments: path, share mode
# (none, r, rw, rwd). FILE_FLAG_BACKUP_SEMANTICS, so that a folder can be opened, too.
_HOLD = """
import ctypes, sys
from ctypes import wintypes as w
kernel = ctypes.WinDLL("kernel32", use_last_error=True)
kernel.CreateFileW.restype = w.HANDLE
kernel.CreateFileW.argtypes = [w.LPCWSTR, w.DWORD, w.DWORD, w.LPVOID, w.DWORD, w.DWORD, w.HANDLE]
share = {"none": 0, "r": 1, "rw": 3, "rwd": 7}[sys.argv[2]]
handle = kernel.CreateFileW(sys.argv[1], 0x80000000, share, None, 3, 0x02000080, None)
if handle == w.HANDLE(-1).value:
    raise ctypes.WinError(ctypes.get_last_error())
print("held", flush=True)
sys.stdin.readline()
"""

# Starts the program and ends it by TerminateProcess after so many seconds; prints its exit code, or "killed".
_KILL = """
import subprocess, sys
process = subprocess.Popen([sys.executable, *sys.argv[2:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    print(process.wait(float(sys.argv[1])))
except subprocess.TimeoutExpired:
    process.kill()
    process.wait()
    print("killed")
"""


def why_not() -> str:
    """Return why Windows' Python cannot run here; empty when it can."""
    if not (HOME / ".stamp").exists():
        return f"CPython for Windows is not installed (scripts/setup-windows {VERSION})"
    return ""


def windows_path(path: Path | PurePosixPath) -> str:
    """Return the path by which a Windows program under Wine finds a file of this machine."""
    return "Z:" + str(path).replace("/", "\\")


def environment(**changed: str) -> dict[str, str]:
    """Return the environment of a Windows process: no coverage, no proxy, and our own Wine prefix."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE", "PYTEST"))}
    return {
        **kept,
        "WINEPREFIX": str(HOME / "prefix"),
        "WINEDEBUG": "-all",
        "DISPLAY": "",
        "PYTHONPATH": ";".join((windows_path(HOME / "site"), windows_path(ROOT))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TERM": "xterm",
        **changed,
    }


def command(*arguments: str) -> list[str]:
    """Return the command line that runs Windows' Python with these arguments."""
    return ["wine", windows_path(HOME / "python" / "python.exe"), *arguments]


@dataclass(frozen=True, slots=True)
class Result:
    """Represent how a Windows process ended; `out` and `err` are UTF-8, with \\n for line ends."""

    code: int
    out: str
    err: str


def python(*arguments: str, cwd: Path, timeout: float = 240, **changed: str) -> Result:
    """Run Windows' Python to its end."""
    done = subprocess.run(
        command(*arguments), env=environment(**changed), stdin=subprocess.DEVNULL, capture_output=True,
        timeout=timeout, cwd=cwd, check=False,
    )  # fmt: skip
    out, err = (text.decode("utf-8", "replace").replace("\r\n", "\n") for text in (done.stdout, done.stderr))
    return Result(done.returncode, out, err)


@contextlib.contextmanager
def hold(path: Path, share: str = "rw") -> Iterator[None]:
    """Keep a file open as another Windows program does; `share` is what it allows others: none, r, rw or rwd."""
    process = subprocess.Popen(
        command("-c", _HOLD, windows_path(path), share),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert b"held" in process.stdout.readline(), f"{path} could not be opened"
        yield
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()
        assert process.stderr is not None
        process.stderr.close()


class WindowsNights(Nights):
    """Run the commands of a story under Windows' Python; paths in the settings are written as Windows sees them."""

    def env_file(self) -> Path:
        """Write the env file with Windows paths and return its path on this machine."""
        path = self.folder / "settings.env"
        lines = [f"{name}='{_translated(value)}'" for name, value in self.settings.items()]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        path.chmod(0o600)
        return path

    def type(self, *arguments: str, days: float = 0) -> Told:
        """Run a command to its end."""
        assert not days, "the clock of a Windows process is not moved"
        done = python("-m", "connector", *map(_translated, arguments), cwd=self.folder)
        return Told(done.code, done.out, done.err, {})

    def start(self, *options: str, **changed: str) -> tuple[subprocess.Popen[str], Path]:
        """Start `sync` as a process; return it and where its report will be."""
        self._reports += 1
        report = self.folder / f"report-{self._reports}.json"
        process = subprocess.Popen(
            command("-m", "connector", *map(_translated, self._sync(report, options))),
            env=environment(**changed),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            cwd=self.folder,
        )
        return process, report

    def kill_after(self, seconds: float, *options: str) -> str:
        """Run `sync` and end it by TerminateProcess after so many seconds; return "killed" or its exit code."""
        self._reports += 1
        report = self.folder / f"report-{self._reports}.json"
        arguments = ("-m", "connector", *map(_translated, self._sync(report, options)))
        return python("-c", _KILL, str(seconds), *arguments, cwd=self.folder).out.strip()

    def console(self, *arguments: str, columns: int = 120, **changed: str) -> Console:
        """Start a command at a real console."""
        return Console(("-m", "connector", *map(_translated, arguments)), self.folder, columns, changed)

    def _sync(self, report: Path, options: tuple[str, ...]) -> tuple[str, ...]:
        return ("sync", "--env-file", str(self.env_file()), "--report", str(report), *options)


def _translated(value: str) -> str:
    return windows_path(Path(value)) if value.startswith("/") else value


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


def main() -> None:
    """Run Windows' Python with the arguments of this process, e.g. `python -m tests.lab.windows -m pytest FILE`."""
    done = subprocess.run(command(*sys.argv[1:]), env=environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)  # fmt: skip
    sys.stdout.write(done.stdout.decode("utf-8", "replace").replace("\r\n", "\n"))
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
