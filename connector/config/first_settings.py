"""The settings that a first run needs: what each is for, and the env file that holds them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connector.config.load import value_problem
from connector.config.settings import SECRET_FILE_SETTINGS

HEADING = "# Settings of photo-connector. `photo-connector config example` prints all of them, with their defaults.\n"


@dataclass(frozen=True, slots=True)
class FirstSetting:
    """Represent one of them: its name, the question, an example, and whether it may be left empty.

    `instead_of` names another one: this one is asked, and needed, only where that one was left empty.
    """

    name: str
    question: str
    example: str
    is_optional: bool = False
    instead_of: str = ""

    @property
    def option(self) -> str:
        """Return the name of its command line option."""
        return "--" + self.name.lower().replace("_", "-")

    @property
    def help_text(self) -> str:
        """Return the help of that option."""
        if self.instead_of:
            return f"{self.question}, instead of a certificate."
        return f"{self.question}." + (" May be left out." if self.is_optional else "")


FIRST = (
    FirstSetting("LDAP_URI", "Address of a domain controller", "ldaps://dc1.contoso.com"),
    FirstSetting("LDAP_CA_FILE", "File with the CA certificate that signs it (PEM)", "contoso-ca.pem", True),
    FirstSetting("LDAP_USER", "User that reads the directory (UPN or DN)", "svc-photo@contoso.com"),
    FirstSetting("LDAP_PASSWORD_FILE", "File that holds the password of this user", "ldap-password.txt"),
    FirstSetting("AZURE_TENANT_ID", "Tenant (directory ID or domain)", "contoso.onmicrosoft.com"),
    FirstSetting("AZURE_CLIENT_ID", "Application (client) ID", "11111111-2222-3333-4444-555555555555"),
    FirstSetting(
        "AZURE_CLIENT_CERTIFICATE_PATH", "File with certificate and key (PEM or PFX)", "photo-connector.pem", True
    ),
    FirstSetting(
        "AZURE_CLIENT_SECRET_FILE",
        "File that holds the client secret",
        "client-secret.txt",
        instead_of="AZURE_CLIENT_CERTIFICATE_PATH",
    ),
    FirstSetting("LDAP_GROUP", "Group of the pilot users (DN)", "CN=Photo pilot,OU=Groups,DC=contoso,DC=com", True),
)


def first_problem(setting: FirstSetting, text: str) -> str:
    """Return what is wrong with an answer; an empty text where nothing is."""
    if not text.strip():
        return "" if setting.is_optional else f"is needed, e.g. {setting.example}"
    if "\n" in text or "\r" in text:
        return "must be one line"
    return "" if setting.name in SECRET_FILE_SETTINGS else value_problem(setting.name, text.strip())


def env_text(answers: Mapping[str, str]) -> str:
    """Return the text of the env file; a setting without an answer stands there as a comment."""
    lines = []
    for setting in FIRST:
        answer = answers.get(setting.name, "").strip()
        if setting.instead_of and not answer:
            continue
        lines.append(f"{setting.name}={_quoted(answer)}\n" if answer else f"#{setting.name}=\n")
    return HEADING + "".join(lines)


def write_new(path: Path, text: str) -> None:
    """Write a file that only its owner can read; raises FileExistsError where there is one of this name."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(text.encode())


def _quoted(value: str) -> str:
    """Return a value as the env file's parser reads it back: in single quotes where it could be cut."""
    if not re.search(r"\s#|^['\"]|^#", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
