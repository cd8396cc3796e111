"""Control an emulated cloud in another process: the same methods, sent to its control endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import requests

from tests.lab.graph.codec import packed, unpacked
from tests.lab.graph.server import Emulator

READ = (
    *("authority_host", "graph_url", "side_url", "ca_file", "tenant_id", "client_id", "client_secret"),
    *("requests", "port", "side_port"),
)


class DeskError(Exception):
    """Raised with what the called method raised in the other process."""


class _Room:
    """Stand for one part of the cloud: each method is a call, nothing is kept here."""

    def __init__(self, desk: _Desk, name: str) -> None:
        self._desk, self._name = desk, name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return lambda *args, **named: self._desk.send(f"{self._name}.{method}", args, named)


class _Switches:
    """Stand for the switches: read and set one by one."""

    def __init__(self, desk: _Desk) -> None:
        object.__setattr__(self, "_desk", desk)

    def __getattr__(self, name: str) -> Any:
        return self._desk.send(f"get:switches.{name}", (), {})

    def __setattr__(self, name: str, value: Any) -> None:
        self._desk.send("set", (), {name: value})


class _Desk:
    """Send calls to the control desk of an emulator that runs as its own process."""

    def __init__(self, side_url: str) -> None:
        self._url, self._session = f"{side_url}/_lab/call", requests.Session()
        self._session.trust_env = False
        self.tenant, self.issuer = _Room(self, "tenant"), _Room(self, "issuer")
        self.log, self.faults, self.switches = _Room(self, "log"), _Room(self, "faults"), _Switches(self)

    def send(self, name: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Carry out one call over there; raises DeskError."""
        wanted = {"name": name, "args": packed(args), "named": packed(named)}
        said = self._session.post(self._url, json=wanted, timeout=120).json()
        if "error" in said:
            raise DeskError(said["error"])
        return unpacked(said["result"])

    def __getattr__(self, name: str) -> Any:
        if name in READ:
            return self.send(f"get:{name}", (), {})
        return lambda *args, **named: self.send(name, args, named)


def remote(side_url: str) -> Emulator:
    """Return an emulator in another process, to be used like one in this process (but not started or stopped)."""
    return cast(Emulator, _Desk(side_url))
