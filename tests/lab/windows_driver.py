"""Serve under Windows' Python: a JSON line on stdin is a request, and a marked JSON line on stdout its answer.

One such process types commands of the program without its start each time; another is the "other program" that holds
files open. `tests/lab/windows.py` starts them and asks.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any

ANSWER = "\x1eanswer "
_SHARE = {"none": 0, "r": 1, "rw": 3, "rwd": 7}
_GENERIC_READ, _OPEN_EXISTING, _INVALID = 0x80000000, 3, ctypes.c_void_p(-1).value
_BACKUP_SEMANTICS = 0x02000080  # so that a folder can be opened, too
_processes: list[subprocess.Popen[bytes]] = []


def hold(path: str, share: str) -> int:
    """Open a file and keep it open; `share` is what others may do meanwhile: none, r, rw or rwd."""
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    kernel.CreateFileW.restype = ctypes.c_void_p
    kernel.CreateFileW.argtypes = [
        *(ctypes.c_wchar_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32),
        ctypes.c_void_p,
    ]
    handle = kernel.CreateFileW(path, _GENERIC_READ, _SHARE[share], None, _OPEN_EXISTING, _BACKUP_SEMANTICS, None)
    if handle in (None, _INVALID):
        raise ctypes.WinError(ctypes.get_last_error())  # type: ignore[attr-defined,unused-ignore]
    return int(handle)


def let(handle: int) -> None:
    """Close what `hold` opened."""
    kernel = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]
    kernel.CloseHandle(ctypes.c_void_p(handle))


def type_command(arguments: list[str], folder: str) -> dict[str, Any]:
    """Type a command of the program in a folder, in this process."""
    from connector.cli.main import run

    os.chdir(folder)
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = int(run(arguments))
    finally:
        _close_logs()
        os.chdir(os.path.dirname(sys.executable))  # noqa: PTH120 - a current folder cannot be deleted on Windows
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def _close_logs() -> None:
    ours = logging.getLogger("connector")
    for handler in list(ours.handlers):
        ours.removeHandler(handler)
        handler.close()
    ours.propagate = True
    ours.setLevel(logging.NOTSET)


def execute(program: str, values: dict[str, Any]) -> Any:
    """Execute a few lines of Python and return what they leave in `answer`."""
    names: dict[str, Any] = {"answer": None, **values}
    exec(program, names)
    return names["answer"]


def start(arguments: list[str], folder: str) -> int:
    """Start the program as a process of its own; returns its place in the list."""
    command = [sys.executable, "-m", "connector", *arguments]
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, stdin=nothing, stdout=nothing, stderr=nothing)
    _processes.append(process)
    return len(_processes) - 1


def terminate(number: int) -> int | None:
    """End a process by TerminateProcess; returns its exit code if it had ended before, else None."""
    process = _processes[number]
    before = process.poll()
    process.kill()
    process.wait()
    return before


ACTIONS: dict[str, Callable[..., Any]] = {
    action.__name__: action for action in (hold, let, type_command, execute, start, terminate)
}


def main() -> None:
    """Answer each request until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    print(f"{ANSWER}{json.dumps({'value': 'ready'})}", file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            told = {"value": ACTIONS[request.pop("do")](**request)}
        except BaseException:  # noqa: BLE001 - the test is told, whatever it is
            told = {"error": traceback.format_exc()}
        print(f"{ANSWER}{json.dumps(told)}", file=answers, flush=True)


if __name__ == "__main__":
    main()
