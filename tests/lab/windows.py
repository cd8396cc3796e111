"""Run the program under CPython for Windows (Wine), with the directory and the cloud on the Linux side.

`scripts/setup-windows` installs the interpreter. Wine is not Windows: nothing about trust in the system's certificate
store, ACL enforcement, path lengths, the event log's content or speed may be concluded from what runs here.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tests.lab.windows_driver import ANSWER
from tests.runner import CommandResult, Runner

if TYPE_CHECKING:
    from tests.lab.windows_console import Console

ROOT = Path(__file__).resolve().parent.parent.parent
VERSION = os.environ.get("WINDOWS_PYTHON", "3.11")
HOME = ROOT / ".lab" / "windows" / VERSION

# How long a Windows process may take for one answer before it counts as hung: a bound, no measure of speed.
PATIENCE = 300.0


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
        "PYTHONPYCACHEPREFIX": windows_path(HOME / "pycache"),
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


class Process:
    """Represent a Windows process that stays and answers requests (`tests/lab/windows_driver.py`).

    While one lives, Wine's own services live, too, and each further process starts two seconds sooner.
    """

    def __init__(self) -> None:
        """Start it and wait until it is ready."""
        self._noise: list[str] = []
        self._process = subprocess.Popen(
            command(windows_path(ROOT / "tests" / "lab" / "windows_driver.py")), env=environment(PYTHONUTF8="1"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._unread = b""
        self._answer()

    def ask(self, action: str, **request: Any) -> Any:
        """Return the answer to a request; AssertionError with the traceback where it failed over there."""
        stream = self._process.stdin
        assert stream is not None
        stream.write(json.dumps({"do": action, **request}).encode() + b"\n")
        stream.flush()
        return self._answer()

    def execute(self, program: str, **values: Any) -> Any:
        """Execute some lines of Python there and return what they leave in `answer`; paths are translated."""
        told = {name: windows_path(value) if isinstance(value, Path) else value for name, value in values.items()}
        return self.ask("execute", program=textwrap.dedent(program), values=told)

    @contextlib.contextmanager
    def holding(self, path: Path, share: str = "rw") -> Iterator[None]:
        """Keep a file open as another Windows program does; `share` is what it allows others: none, r, rw or rwd."""
        handle = self.ask("hold", path=windows_path(path), share=share)
        try:
            yield
        finally:
            self.ask("let", handle=handle)

    def close(self) -> None:
        """End it."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self) -> Any:
        deadline = time.monotonic() + PATIENCE
        while True:
            line = self._line(deadline)
            if line.startswith(ANSWER):
                told = json.loads(line.removeprefix(ANSWER))
                assert "error" not in told, told["error"]
                return told["value"]
            self._noise.append(line)

    def _line(self, deadline: float) -> str:
        stream = self._process.stdout
        assert stream is not None
        while b"\n" not in self._unread:
            is_there = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))[0]
            data = os.read(stream.fileno(), 65536) if is_there else b""
            if not data:
                self._process.kill()
                raise AssertionError("\n".join(["the Windows process ended, or hangs:", *self._noise[-50:]]))
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode("utf-8", "replace").rstrip("\r")


class WindowsRunner(Runner):
    """Run the commands of a story under Windows' Python; paths in the settings are written as Windows sees them."""

    def __init__(self, process: Process, folder: Path, settings: Mapping[str, str]) -> None:
        """Type into a process that is there already."""
        super().__init__(folder, settings)
        self.process = process

    def env_file(self) -> Path:
        """Write the env file with Windows paths and return its path on this machine."""
        path = self.folder / "settings.env"
        lines = [f"{name}='{_translated(value)}'" for name, value in self.settings.items()]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        path.chmod(0o600)
        return path

    def type(self, *arguments: str, days: float = 0) -> CommandResult:
        """Run a command to its end in the process that stays."""
        assert not days, "the clock of a Windows process is not moved"
        words = [_translated(word) for word in arguments]
        told = self.process.ask("type_command", arguments=words, folder=windows_path(self.folder))
        return CommandResult(told["code"], told["out"], told["err"], {})

    def start_process(self, *arguments: str) -> int:
        """Start a command as a process of its own; returns the number by which it can be ended."""
        words = [_translated(word) for word in arguments]
        number: int = self.process.ask("start", arguments=words, folder=windows_path(self.folder))
        return number

    def terminate(self, number: int) -> int | None:
        """End a started process by TerminateProcess; its exit code where it had ended before, else None."""
        code: int | None = self.process.ask("terminate", number=number)
        return code

    def console(self, *arguments: str, columns: int = 120, **changed: str) -> Console:
        """Start a command at a real console."""
        from tests.lab.windows_console import Console  # POSIX only; this module is also imported under Windows

        return Console(("-m", "connector", *map(_translated, arguments)), self.folder, columns, changed)


def _translated(value: str) -> str:
    return windows_path(Path(value)) if value.startswith("/") else value


def main() -> None:
    """Run Windows' Python with the arguments of this process, e.g. `python -m tests.lab.windows -m pytest FILE`.

    What it tells is passed on at once: it stays where the process has to be ended.
    """
    with subprocess.Popen(command("-u", *sys.argv[1:]), env=environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0) as started:  # fmt: skip
        assert started.stdout is not None
        while part := started.stdout.read(65536):
            sys.stdout.buffer.write(part.replace(b"\r", b""))
            sys.stdout.buffer.flush()
    sys.exit(started.returncode)


if __name__ == "__main__":
    main()
