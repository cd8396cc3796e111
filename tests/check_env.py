"""Fixture for `check`: a small company where all is well, until a story spoils something and types `check`."""

from __future__ import annotations

import base64
import json
import os
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from connector.model import Person
from tests.lab.crowd import account_of, face
from tests.lab.directory import Directory
from tests.lab.graph import Emulator, app_certificate
from tests.lab.ldapserver_directory import DirectoryServer
from tests.lab.people import Registered
from tests.lab.world import fill, ldap_settings
from tests.runner import Runner


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check --json` said."""

    code: int
    findings: tuple[dict[str, str], ...]

    def of(self, check: str) -> list[dict[str, str]]:
        """Return the findings of one check."""
        return [finding for finding in self.findings if finding["id"] == check]

    def statuses(self, check: str) -> set[str]:
        """Return how one check was found."""
        return {finding["status"] for finding in self.of(check)}

    def wrong(self) -> dict[str, str]:
        """Return what is neither well nor skipped: id and status, the worst where there are several."""
        found: dict[str, str] = {}
        for finding in self.findings:
            if finding["status"] == "fail" or (finding["status"] == "warn" and found.get(finding["id"]) != "fail"):
                found[finding["id"]] = finding["status"]
        return found


class CheckEnv:
    """Three people with photos, anchors and accounts; `stack` undoes at the end what a story needs undone."""

    def __init__(self, directory: Directory, ou: str, cloud: Emulator, *, folder: Path, stack: ExitStack) -> None:
        self.directory, self.ou, self.cloud, self.folder, self.stack = directory, ou, cloud, folder, stack
        self.domain = directory.controller
        self.people = [self.add(name) for name in ("ada", "bob", "cleo")]
        fill(cloud.tenant, [Registered(account_of(person)) for person in self.people])
        cloud.tenant.set_photo(account_of(self.people[0]).id, face(1))
        self.runner = Runner(folder, {**ldap_settings(self.domain, ou), **self.cloud_settings(cloud)})
        self.settings = self.runner.settings

    @property
    def dns(self) -> list[str]:
        """Return everybody's DN."""
        return [person.name for person in self.people]

    def cloud_settings(self, cloud: Emulator) -> dict[str, str]:
        """Return the settings for a cloud, with a certificate that it knows."""
        shown = app_certificate(self.folder)
        cloud.issuer.register_certificate(shown.public_pem)
        usual = {name: value for name, value in cloud.environ().items() if name != "AZURE_CLIENT_SECRET"}
        return {**usual, "AZURE_CLIENT_CERTIFICATE_PATH": str(shown.pem_file)}

    def add(self, name: str, **attributes: Any) -> Person:
        """Add a person to the directory alone."""
        mark = f"{name}-{uuid.uuid5(uuid.NAMESPACE_DNS, self.ou).hex[:8]}"
        upn = f"{mark}@{self.domain.realm.lower()}"
        guid = attributes.get("mS-DS-ConsistencyGuid", uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.ou} {name}").bytes)
        usual = {"sAMAccountName": mark, "userPrincipalName": upn, "mail": upn, "mS-DS-ConsistencyGuid": guid}
        photos = {"jpegPhoto": face(len(name)), "thumbnailPhoto": face(len(name), 96)}
        entry = self.directory.add_person(self.ou, mark, **{**usual, **photos, **attributes})
        person = Person(id=entry.guid, name=entry.dn, sid=entry.sid, anchor=base64.b64encode(guid).decode())
        return replace(person, upn=upn, mail=upn, sam_account_name=mark)

    def on_own_server(self, **options: Any) -> DirectoryServer:
        """Move the directory to our own server, with one person."""
        ldap = self.stack.enter_context(DirectoryServer(**options))
        ldap.tree.add(ldap.tree.root, objectClass="domain", sAMAccountType=[], userAccountControl=[])
        attributes: dict[str, Any] = {"jpegPhoto": face(4), "thumbnailPhoto": face(5)}
        ldap.person("dora", **attributes, **{"mS-DS-ConsistencyGuid": [b"d" * 16]})  # type: ignore[arg-type]
        settings = ldap.settings()
        self.settings["LDAP_URI"], self.settings["LDAP_CA_FILE"] = ldap.server.uri, str(settings.ldap_ca_file)
        self.settings["LDAP_USER"] = settings.ldap_user or ""
        self.settings["LDAP_PASSWORD"] = settings.ldap_password.get_secret_value() if settings.ldap_password else ""
        self.settings["LDAP_BASE_DN"] = ldap.tree.root
        anchor = base64.b64encode(b"d" * 16).decode()
        self.cloud.tenant.add_account("dora@contoso.test", immutable_id=anchor, synced=True)
        return ldap

    def check(self) -> Checked:
        """Type `check --json`; whatever is wrong, no secret may be told."""
        told = self.runner.type("check", "--env-file", str(self.runner.env_file()), "--json")
        for name in ("LDAP_PASSWORD", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD"):
            secret = self.settings.get(name)
            assert not secret or secret not in told.out + told.err, f"{name} was told"
        assert "PRIVATE KEY" not in told.out
        assert told.out, told.err
        return Checked(told.code, tuple(json.loads(told.out)))

    def without(self, *names: str) -> None:
        """Remove settings."""
        for name in names:
            self.settings.pop(name, None)

    def put(self, name: str, content: str | bytes, *, mode: int = 0o600) -> Path:
        """Write a file beside the env file."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.chmod(path, mode)  # noqa: PTH101
        return path
