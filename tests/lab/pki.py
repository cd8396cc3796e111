"""A throwaway certificate authority for the lab's servers, and the bad certificates that faults need."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Name the PEM files of a server: its chain, its private key (0600), and the authority that vouches for it."""

    certificate_file: Path
    key_file: Path
    ca_file: Path


def folder_of(owner: object, prefix: str) -> Path:
    """Make a temporary folder that is deleted with its owner, at the latest when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder


class Authority:
    """Issue certificates under one folder; clients trust them by `ca_file`."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or folder_of(self, "lab-pki-")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca_file = self.folder / "ca.pem"
        self._ca = trustme.CA(organization_name="Photo connector lab")
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def issue(self, *names: str) -> ServerCertificate:
        """Return a good certificate for these host names and IP addresses; the first name is its common name."""
        return self._issue(names, f"{names[0]}-good", not_after=None)

    def expired(self, *names: str) -> ServerCertificate:
        """Return a certificate for the right names whose time ended yesterday."""
        return self._issue(names, f"{names[0]}-expired", not_after=datetime.now(UTC) - timedelta(days=1))

    def ending(self, *names: str, days: int) -> ServerCertificate:
        """Return a good certificate for these names that ends in so many days."""
        return self._issue(names, f"{names[0]}-ending", not_after=datetime.now(UTC) + timedelta(days=days))

    def wrong_name(self) -> ServerCertificate:
        """Return a valid certificate that belongs to a host nobody asked for."""
        return self._issue(("somebody-else.invalid",), "wrong-name", not_after=None)

    def _issue(self, names: tuple[str, ...], stem: str, *, not_after: datetime | None) -> ServerCertificate:
        issued = self._ca.issue_cert(*names, common_name=names[0], not_after=not_after)
        certificate_file, key_file = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        certificate_file.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        # Samba refuses to start with a key that others may read.
        key_file.touch(mode=0o600)
        key_file.write_bytes(issued.private_key_pem.bytes())
        return ServerCertificate(certificate_file, key_file, self.ca_file)
