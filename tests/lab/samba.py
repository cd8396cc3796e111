"""The directory of the tests: a real Samba domain controller, provisioned in a folder of its own.

It listens on one loopback address at the standard ports (389, 636, 3268, 3269, Kerberos 88 and 464), so it needs
root; several run side by side on several addresses (`loopback.claim`).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from tests.lab.loopback import announce
from tests.lab.pki import Authority, ServerCertificate

SYSTEM_PYTHON = "/usr/bin/python3"
READER = "svc-photo"
# As Windows does: SASL binds without signing are welcome where TLS already protects the line.
OVER_TLS = "allow_sasl_over_tls"
_START_SECONDS, _STOP_SECONDS = 60.0, 30.0


def why_not() -> str:
    """Return why no domain controller can run here, or empty text when one can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "a domain controller listens on ports below 1024 and needs root"
    missing = [program for program in ("samba", "samba-tool", "ldapsearch", "ldbsearch") if not shutil.which(program)]
    if missing:
        return f"{', '.join(missing)} not installed; run scripts/install-lab"
    return ""


class DomainController:
    """Provision, start, stop and restart one domain controller under `folder`; a context manager.

    The host is named dc<last number of the address>.<realm>, so two labs never contend for a name; claim the
    address for the realm. Two passwords are drawn anew each time. `strong_auth` is Samba's
    `ldap server require strong auth`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        address: str = "127.0.0.2",
        realm: str = "CONTOSO.TEST",
        strong_auth: str = OVER_TLS,
    ) -> None:
        self.folder, self.address, self.realm = folder, address, realm.upper()
        self.strong_auth = strong_auth
        self.domain = self.realm.partition(".")[0]
        self.netbios = f"DC{address.rpartition('.')[2]}"
        self.host = f"{self.netbios}.{self.realm}".lower()
        self.base_dn = ",".join(f"DC={label}" for label in self.realm.lower().split("."))
        self.uri, self.plain_uri = f"ldaps://{self.host}", f"ldap://{self.host}"
        self.administrator = f"administrator@{self.realm.lower()}"
        self.administrator_password = _password()
        self.reader, self.reader_password = f"{READER}@{self.realm.lower()}", _password()
        self.reader_principal = f"{READER}@{self.realm}"
        self.reader_dn = f"CN={READER},CN=Users,{self.base_dn}"
        self.smb_conf, self.log_file = folder / "etc" / "smb.conf", folder / "samba.log"
        self.reader_keytab, self.krb5_conf = folder / "reader.keytab", folder / "krb5.conf"
        self.authority = Authority(folder / "pki")
        self.ca_file = self.authority.ca_file
        self.certificate = self.authority.issue(self.host, self.address)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> DomainController:
        self.provision()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def provision(self) -> None:
        """Make the domain, its reading account with a keytab, and the Kerberos configuration; about 5 seconds."""
        announce(self.host, self.address)
        options = [f"--option={line}" for line in self._network()]
        _run(
            *("samba-tool", "domain", "provision", f"--targetdir={self.folder}", f"--realm={self.realm}"),
            *(f"--domain={self.domain}", "--server-role=dc", "--dns-backend=NONE", "--use-rfc2307"),
            *(f"--host-name={self.netbios.lower()}", f"--host-ip={self.address}", "--quiet"),
            *(f"--adminpass={self.administrator_password}", *options),
        )
        self._configure()
        krb5 = _KRB5_CONF.format(realm=self.realm, kdc=self.address, zone=self.realm.lower())
        self.krb5_conf.write_text(krb5, encoding="utf-8")
        wish = {
            **{"reader": READER, "password": self.reader_password, "host": self.host},
            **{"keytab": str(self.reader_keytab), "controller_dn": self.controller_dn},
        }
        self.tool("found", [json.dumps(wish)])

    @property
    def controller_dn(self) -> str:
        """Return the DN of the controller's own computer account."""
        return f"CN={self.netbios},OU=Domain Controllers,{self.base_dn}"

    @property
    def kerberos_environment(self) -> Mapping[str, str]:
        """Return the variables that make a process log on as the reader, unattended."""
        return {"KRB5_CONFIG": str(self.krb5_conf), "KRB5_CLIENT_KTNAME": f"FILE:{self.reader_keytab}"}

    def start(self) -> None:
        """Start the server as a child and wait until LDAPS and Kerberos answer, at most a minute."""
        self._configure()
        with self.log_file.open("ab") as log:
            # Interactive, Samba ends itself when its standard input closes: a killed test run leaves no server behind.
            self._process = subprocess.Popen(
                ["samba", f"--configfile={self.smb_conf}", "-i", "-M", "prefork", "--no-process-group"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._await(self._answers, _START_SECONDS, f"The domain controller did not answer on {self.address}.")

    def stop(self) -> None:
        """Stop the server and its workers; a server that does not run is fine."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.terminate()
        try:
            process.communicate(timeout=_STOP_SECONDS)
            self._await(lambda: not _group_lives(process.pid), _STOP_SECONDS, "The workers did not end.")
        except (subprocess.TimeoutExpired, RuntimeError):
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def restart(self, *, strong_auth: str | None = None, certificate: ServerCertificate | None = None) -> None:
        """Stop and start again, where told so with other authentication rules or another certificate."""
        self.stop()
        self.strong_auth = strong_auth or self.strong_auth
        self.certificate = certificate or self.certificate
        self.start()

    @contextmanager
    def presenting(self, certificate: ServerCertificate) -> Iterator[None]:
        """Show clients another certificate for a while."""
        usual = self.certificate
        self.restart(certificate=certificate)
        try:
            yield
        finally:
            self.restart(certificate=usual)

    @contextmanager
    def requiring(self, strong_auth: str) -> Iterator[None]:
        """Apply another `ldap server require strong auth` for a while."""
        usual = self.strong_auth
        self.restart(strong_auth=strong_auth)
        try:
            yield
        finally:
            self.restart(strong_auth=usual)

    def tool(self, command: str, lines: Iterable[str]) -> None:
        """Run a command of samdb_tool, which works on the database itself; raises RuntimeError with its words."""
        script = str(Path(__file__).with_name("samdb_tool.py"))
        words = self.folder / "tool.log"
        with words.open("w", encoding="utf-8") as log:
            child = subprocess.Popen(
                [SYSTEM_PYTHON, "-I", script, str(self.smb_conf), command],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                encoding="utf-8",
            )
            # A tool that fails early closes the pipe; its own words say more than the broken pipe.
            assert child.stdin is not None
            with suppress(BrokenPipeError), child.stdin as pipe:
                pipe.writelines(f"{line}\n" for line in lines)
        if child.wait():
            raise RuntimeError(f"{command}: {words.read_text(encoding='utf-8')[-2000:]}")

    def _network(self) -> list[str]:
        return [
            "bind interfaces only=yes",
            f"interfaces={self.address}/8",
            f"posix:eadb={self.folder}/private/eadb.tdb",
        ]

    def _configure(self) -> None:
        folders = {
            **{"private dir": "private", "lock directory": "", "state directory": "state", "cache directory": "cache"},
            **{"pid directory": "", "ncalrpc dir": "ncalrpc", "log file": "samba.log"},
        }
        shown = self.certificate
        lines = [
            *(f"netbios name = {self.netbios}", f"realm = {self.realm}", f"workgroup = {self.domain}"),
            *("server role = active directory domain controller", "server services = ldap, cldap, kdc"),
            *(f"{name} = {self.folder / part}" for name, part in folders.items()),
            *(line.replace("=", " = ", 1) for line in self._network()),
            f"ldap server require strong auth = {self.strong_auth}",
            *(f"tls keyfile = {shown.key_file}", f"tls certfile = {shown.certificate_file}"),
            *(f"tls cafile = {shown.ca_file}", "dsdb:schema update allowed = true"),
        ]
        self.smb_conf.write_text("[global]\n" + "".join(f"\t{line}\n" for line in lines), encoding="utf-8")

    def _answers(self) -> bool:
        # Only "is it up?": the certificate may be wrong on purpose, so nothing is verified and nothing is sent.
        unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection((self.address, 88), timeout=2):
                pass
            with socket.create_connection((self.address, 636), timeout=2) as line, unverified.wrap_socket(line):
                return True
        except OSError:
            return False

    def _await(self, condition: Callable[[], bool], seconds: float, complaint: str) -> None:
        end = time.monotonic() + seconds
        while not condition():
            died = self._process is not None and self._process.poll() is not None
            if died or time.monotonic() > end:
                tail = self.log_file.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"{complaint} Its log ends: {tail}")
            time.sleep(0.05)


_KRB5_CONF = """\
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false

[realms]
    {realm} = {{
        kdc = {kdc}
        kpasswd_server = {kdc}
    }}

[domain_realm]
    .{zone} = {realm}
    {zone} = {realm}
"""


def _password() -> str:
    # Windows-style complexity: three kinds of characters, whatever the draw.
    return f"aB7-{secrets.token_urlsafe(15)}"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} failed: {done.stderr[-2000:]}")


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
