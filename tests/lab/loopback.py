"""Claim a loopback address of its own for each lab, under a host name that certificates can carry."""

from __future__ import annotations

import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

HOSTS_FILE = Path("/etc/hosts")
_LOCKS = Path(tempfile.gettempdir()) / "photo-connector-lab"
_MARK = "# photo connector lab"


@dataclass(frozen=True, slots=True)
class Address:
    """A claim on one loopback address; no other lab on this machine takes it until it is released."""

    ip: str
    _lock: FileLock = field(repr=False)

    def release(self) -> None:
        """Give the address back; the end of the process does it, too."""
        self._lock.release()


def claim(realm: str = "CONTOSO.TEST") -> Address:
    """Claim the first free loopback address, so that labs run side by side on the standard ports.

    Each realm has a network of its own (127.0.0.x for CONTOSO.TEST): an address never has names of two realms,
    which a Kerberos client that asks for the address's name would mistake. Raises RuntimeError when all 253 are
    taken. Linux answers on the whole of 127.0.0.0/8 unasked.
    """
    _LOCKS.mkdir(mode=0o700, exist_ok=True)
    network = 0 if realm.upper() == "CONTOSO.TEST" else 1 + zlib.crc32(realm.upper().encode()) % 254
    for number in range(2, 255):
        ip = f"127.0.{network}.{number}"
        lock = FileLock(_LOCKS / f"{ip}.lock", thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        return Address(ip, lock)
    raise RuntimeError("Every loopback address is taken by another lab; end one of them.")


def announce(host: str, ip: str) -> None:
    """Make the host name resolve to the address by a line in /etc/hosts; a second call changes nothing.

    Certificates are checked against DNS names (ldap3 no longer matches IP addresses from Python 3.12 on), and
    glibc knows no per-process hosts file: the one edit that a lab makes outside its folder. Names hold the
    address's number, so a line left behind is right for every later lab.
    """
    line = f"{ip} {host} {_MARK}"
    _LOCKS.mkdir(mode=0o700, exist_ok=True)
    with FileLock(_LOCKS / "hosts.lock"):
        text = HOSTS_FILE.read_text(encoding="utf-8")
        if line in text.splitlines():
            return
        if any(other.startswith(f"{ip} ") for other in text.splitlines()):
            raise RuntimeError(f"{ip} has another name in {HOSTS_FILE} already; claim an address for this realm.")
        with HOSTS_FILE.open("a", encoding="utf-8") as hosts:
            hosts.write(("" if text.endswith("\n") or not text else "\n") + line + "\n")
