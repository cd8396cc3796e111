"""A directory without AD and DirSync: a real OpenLDAP server over LDAPS, in a folder of its own."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import ldap3
import pytest

from tests.lab.pki import Authority

SLAPD = shutil.which("slapd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
ROOT, MANAGER = "dc=example,dc=org", "cn=manager,dc=example,dc=org"
# May read all that anybody may, but not the photo and the mail of those whose employeeType is `guarded`.
READER = f"cn=reader,{ROOT}"
_PASSWORD = "only for this test"
_CONF = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
sizelimit 500
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
database mdb
directory {folder}/data
suffix "{root}"
rootdn "{manager}"
rootpw "{password}"
limits dn.exact="{reader}" size.prtotal=unlimited
access to attrs=userPassword by anonymous auth
access to filter="(employeeType=guarded)" attrs=jpegPhoto,mail by dn.exact="{reader}" none by * read
access to filter="(description=guarded)" attrs=member by dn.exact="{reader}" none by * read
access to * by * read
"""


def need_slapd() -> None:
    """Skip the test where slapd is not installed; where CI is set it must be."""
    if SLAPD is None and os.environ.get("CI"):
        pytest.fail("The OpenLDAP tests must run here; run scripts/install-lab.")
    if SLAPD is None:
        pytest.skip("slapd is not installed; run scripts/install-lab")


class OpenLdap:
    """Serve entries given as (DN, attributes) on a free port of localhost; a context manager."""

    password = _PASSWORD

    def __init__(self, folder: Path, entries: Sequence[tuple[str, Mapping[str, Sequence[str | bytes]]]]) -> None:
        assert SLAPD is not None, "slapd is not installed"
        self._program = SLAPD
        authority = Authority(folder / "pki")
        shown = authority.issue("localhost")
        self.ca_file = authority.ca_file
        (folder / "data").mkdir()
        self._conf = folder / "slapd.conf"
        self._conf.write_text(
            _CONF.format(
                folder=folder,
                certificate=shown.certificate_file,
                key=shown.key_file,
                root=ROOT,
                manager=MANAGER,
                reader=READER,
                password=_PASSWORD,
            ),
            encoding="utf-8",
        )
        ldif = "\n".join(_ldif(dn, attributes) for dn, attributes in entries)
        load = [self._program, "-T", "add", "-f", str(self._conf)]
        subprocess.run(load, input=ldif, text=True, check=True, capture_output=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.uri = f"ldaps://localhost:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> OpenLdap:
        command = [self._program, "-f", str(self._conf), "-h", f"ldaps://127.0.0.1:{self.port}", "-d", "0"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("slapd did not start.")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def hands(self) -> ldap3.Connection:
        """Return a connection of the manager, to change entries with; a refused change is raised."""
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(self.ca_file))
        server = ldap3.Server(self.uri, tls=tls, get_info=ldap3.NONE)
        return ldap3.Connection(server, MANAGER, _PASSWORD, auto_bind=True, raise_exceptions=True)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


def _ldif(dn: str, attributes: Mapping[str, Sequence[str | bytes]]) -> str:
    lines = [f"dn: {dn}"]
    for name, values in attributes.items():
        for value in values:
            encoded = value.encode() if isinstance(value, str) else value
            lines.append(f"{name}:: {base64.b64encode(encoded).decode()}")
    return "\n".join([*lines, ""])
