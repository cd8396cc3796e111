"""Change the directory during a test as its administrator would: over LDAPS, one call a change."""

from __future__ import annotations

import base64
import json
import ssl
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import ldap3
from ldap3.core.exceptions import LDAPException, LDAPNoSuchObjectResult
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import escape_rdn

from tests.lab.samba import DomainController

Value = str | bytes | Sequence[str | bytes]

# Enabled, and needs no password: nobody logs on as these people, and hashing one costs more than the rest.
ENABLED, DISABLED = 512 | 32, 512 | 32 | 2
_DELETE_TREE = ("1.2.840.113556.1.4.805", True, None)


@dataclass(frozen=True, slots=True)
class Entry:
    """Describe an object as the directory made it; `guid` as text, `sid` as S-1-…, empty where it has none."""

    dn: str
    guid: str
    sid: str = ""

    @property
    def anchor(self) -> str:
        """Return what Entra calls the immutable ID when it stems from the objectGUID."""
        return base64.b64encode(uuid.UUID(self.guid).bytes_le).decode()


@dataclass(frozen=True, slots=True)
class Record:
    """Describe an object that is to be loaded in bulk."""

    dn: str
    attributes: Mapping[str, Value]


class Directory:
    """Change one domain as its administrator; opens its connection when first used, and anew after a restart."""

    def __init__(self, controller: DomainController) -> None:
        self.controller = controller
        self._connection: ldap3.Connection | None = None

    def add_ou(self, name: str, parent: str = "") -> str:
        """Add an organisational unit below `parent`, the domain's root by default; return its DN."""
        dn = f"OU={escape_rdn(name)},{parent or self.controller.base_dn}"
        self.do("add", dn, attributes={"objectClass": [b"organizationalUnit"]})
        return dn

    def add_person(self, ou: str, name: str, /, **attributes: Value) -> Entry:
        """Add a person with CN `name`; enabled unless userAccountControl says otherwise; return what came to be."""
        return self._add(Record(f"CN={escape_rdn(name)},{ou}", {"objectClass": "user", **attributes}))

    def add_contact(self, ou: str, name: str, /, **attributes: Value) -> Entry:
        """Add a contact: a person of another company, who cannot log on and whose class has no jpegPhoto."""
        return self._add(Record(f"CN={escape_rdn(name)},{ou}", {"objectClass": "contact", **attributes}))

    def add_group(self, ou: str, name: str, members: Iterable[str] = ()) -> Entry:
        """Add a group whose members (DNs; groups, too) exist already."""
        attributes: dict[str, Value] = {"objectClass": "group", "sAMAccountName": name, "member": list(members)}
        return self._add(Record(f"CN={escape_rdn(name)},{ou}", attributes))

    def set(self, dn: str, /, **attributes: Value) -> None:
        """Replace attributes; an empty list clears one that is there."""
        changes = {name: [(ldap3.MODIFY_REPLACE, _values(value))] for name, value in attributes.items()}
        self.do("modify", dn, changes)

    def set_photo(self, dn: str, *values: bytes, attribute: str = "jpegPhoto") -> None:
        """Replace all values of a photo attribute; no value clears it."""
        self.set(dn, **{attribute: list(values)})

    def add_members(self, group: str, *members: str) -> None:
        """Put people or groups (DNs) into a group."""
        self.do("modify", group, {"member": [(ldap3.MODIFY_ADD, _values(members))]})

    def remove_members(self, group: str, *members: str) -> None:
        """Take people or groups (DNs) out of a group."""
        self.do("modify", group, {"member": [(ldap3.MODIFY_DELETE, _values(members))]})

    def disable(self, dn: str) -> None:
        """Disable a person's account, as on their last day."""
        self.set(dn, userAccountControl=str(DISABLED))

    def enable(self, dn: str) -> None:
        """Enable a person's account again."""
        self.set(dn, userAccountControl=str(ENABLED))

    def rename(self, dn: str, name: str) -> str:
        """Give an object another CN; return its new DN."""
        rdn, parent = f"CN={escape_rdn(name)}", _parent(dn)
        self.do("modify_dn", dn, rdn)
        return f"{rdn},{parent}"

    def rename_ou(self, dn: str, name: str) -> str:
        """Give an organisational unit another name, with all who are in it; return its new DN."""
        rdn = f"OU={escape_rdn(name)}"
        self.do("modify_dn", dn, rdn)
        return f"{rdn},{_parent(dn)}"

    def move(self, dn: str, ou: str) -> str:
        """Move an object into another OU; return its new DN."""
        rdn = dn[: -len(_parent(dn)) - 1]
        self.do("modify_dn", dn, rdn, new_superior=ou)
        return f"{rdn},{ou}"

    def delete(self, dn: str) -> None:
        """Delete an object and all below it."""
        self.do("delete", dn, controls=[_DELETE_TREE])

    def load(self, records: Iterable[Record]) -> None:
        """Add thousands of objects from beside the server, about 300 a second."""
        self.controller.tool("load", map(_line, records))

    def hide(self, dns: Sequence[str], attribute: str) -> None:
        """Make an attribute of these objects unreadable for the reading account; it looks empty from then on."""
        self._permit("deny", dns, attribute)

    def show(self, dns: Sequence[str], attribute: str) -> None:
        """Undo `hide`."""
        self._permit("allow", dns, attribute)

    def entry(self, dn: str) -> Entry:
        """Read back an object's identity; raises LookupError when there is none."""
        rows = self.search(dn, "(objectClass=*)", "objectGUID", "objectSid", scope=ldap3.BASE)
        if not rows:
            raise LookupError(f"{dn} is not in the directory.")
        told_dn, raw = rows[0]
        sid = raw.get("objectSid", [])
        return Entry(told_dn, str(uuid.UUID(bytes_le=raw["objectGUID"][0])), sid_text(sid[0]) if sid else "")

    def read(self, dn: str, *attributes: str) -> dict[str, list[bytes]]:
        """Return an object's attributes as bytes, those without a value left out; LookupError when it is gone."""
        rows = self.search(dn, "(objectClass=*)", *attributes, scope=ldap3.BASE)
        if not rows:
            raise LookupError(f"{dn} is not in the directory.")
        return rows[0][1]

    def search(
        self, base: str, query: str, *attributes: str, scope: str = ldap3.SUBTREE
    ) -> list[tuple[str, dict[str, list[bytes]]]]:
        """Return every (DN, attributes) that fits, however many; an absent base is an empty list."""
        pages = self._connected().extend.standard.paged_search(
            base, query, scope, attributes=list(attributes) or ["*"], paged_size=500, generator=True
        )
        try:
            found = [item for item in pages if item["type"] == "searchResEntry"]
        except LDAPNoSuchObjectResult:
            return []
        return [(item["dn"], {k: v for k, v in item["raw_attributes"].items() if v}) for item in found]

    def find(self, base: str, name: str) -> Entry:
        """Return the one person under `base` with this sAMAccountName or UPN."""
        term = escape_filter_chars(name)
        rows = self.search(base, f"(|(sAMAccountName={term})(userPrincipalName={term}))", "objectGUID")
        if len(rows) != 1:
            raise LookupError(f"{len(rows)} objects are called {name!r} under {base}.")
        return self.entry(rows[0][0])

    def close(self) -> None:
        """Drop the connection; a later call opens another."""
        if self._connection is not None:
            self._connection.unbind()
            self._connection = None

    def _add(self, record: Record) -> Entry:
        self.do("add", record.dn, attributes=_attributes(record))
        return self.entry(record.dn)

    def do(self, verb: str, *arguments: object, **options: object) -> None:
        """Carry out an LDAP operation of ldap3 as the administrator; a refusal is raised."""
        getattr(self._connected(), verb)(*arguments, **options)

    def _connected(self) -> ldap3.Connection:
        if self._connection is not None and _answers(self._connection):
            return self._connection
        self.close()
        controller = self.controller
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(controller.ca_file))
        server = ldap3.Server(controller.uri, tls=tls, get_info=ldap3.NONE, connect_timeout=120)
        self._connection = ldap3.Connection(
            server,
            controller.administrator,
            controller.administrator_password,
            auto_bind=ldap3.AUTO_BIND_NO_TLS,
            raise_exceptions=True,
            auto_referrals=False,
            check_names=False,
            receive_timeout=120,
        )
        return self._connection

    def _permit(self, command: str, dns: Sequence[str], attribute: str) -> None:
        schema = f"CN=Schema,CN=Configuration,{self.controller.base_dn}"
        rows = self.search(schema, f"(lDAPDisplayName={escape_filter_chars(attribute)})", "schemaIDGUID")
        attribute_id = uuid.UUID(bytes_le=rows[0][1]["schemaIDGUID"][0])
        reader = self.entry(self.controller.reader_dn).sid
        self.controller.tool(command, [json.dumps({"dns": list(dns), "aces": f"(OD;;RP;{attribute_id};;{reader})"})])


def sid_text(raw: bytes) -> str:
    """Return an objectSid as S-1-…; MS-DTYP 2.4.2.2.

    The bytes are revision, count, a 6-byte big-endian authority, then 4-byte little-endian parts.
    """
    parts = [int.from_bytes(raw[at : at + 4], "little") for at in range(8, 8 + 4 * raw[1], 4)]
    return "-".join(["S", str(raw[0]), str(int.from_bytes(raw[2:8], "big")), *map(str, parts)])


def _answers(connection: ldap3.Connection) -> bool:
    # Changes are not safe to repeat, so a connection that a restart has cut is found out before, not after.
    try:
        return bool(connection.search("", "(objectClass=*)", ldap3.BASE, attributes=["1.1"]))
    except LDAPException:
        return False


def _values(value: Value) -> list[bytes]:
    many = [value] if isinstance(value, str | bytes) else value
    return [one.encode() if isinstance(one, str) else one for one in many]


def _attributes(record: Record) -> dict[str, list[bytes]]:
    wanted = {name: _values(value) for name, value in record.attributes.items()}
    if wanted["objectClass"] == [b"user"]:
        wanted.setdefault("userAccountControl", [str(ENABLED).encode()])
    return {name: values for name, values in wanted.items() if values}


def _line(record: Record) -> str:
    encoded = {name: [base64.b64encode(v).decode() for v in many] for name, many in _attributes(record).items()}
    return json.dumps({"dn": record.dn, "attributes": encoded})


def _parent(dn: str) -> str:
    # The first comma that no backslash escapes ends the object's own name.
    for place, letter in enumerate(dn):
        if letter == "," and (len(dn[:place]) - len(dn[:place].rstrip("\\"))) % 2 == 0:
            return dn[place + 1 :]
    raise ValueError(f"{dn} has no parent.")
