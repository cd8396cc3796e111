"""Make the certificate of an app: self-signed, as PEM and as PFX."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12


@dataclass(frozen=True, slots=True, kw_only=True)
class AppCertificate:
    """Name the files; `issuer.register_certificate` takes `public_pem`, the thumbprints are as the portal shows."""

    pem_file: Path
    pfx_file: Path
    password: str
    public_pem: str
    sha1: str
    sha256: str


def app_certificate(folder: Path, *, name: str = "app", password: str = "", days: int = 365) -> AppCertificate:
    """Write key and certificate to `folder`, encrypted when there is a password; negative `days`: already expired."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = _signed(key, name, days)
    public = certificate.public_bytes(serialization.Encoding.PEM)
    lock = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    pem_file, pfx_file = folder / f"{name}.pem", folder / f"{name}.pfx"
    pem_file.write_bytes(private + public)
    pfx_file.write_bytes(pkcs12.serialize_key_and_certificates(name.encode(), key, certificate, None, lock))
    for file in (pem_file, pfx_file):
        file.chmod(0o600)
    return AppCertificate(
        pem_file=pem_file,
        pfx_file=pfx_file,
        password=password,
        public_pem=public.decode(),
        sha1=certificate.fingerprint(hashes.SHA1()).hex().upper(),
        sha256=certificate.fingerprint(hashes.SHA256()).hex().upper(),
    )


def _signed(key: rsa.RSAPrivateKey, name: str, days: int) -> x509.Certificate:
    now = datetime.now(UTC)
    end = now + timedelta(days=days)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - timedelta(days=1))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
