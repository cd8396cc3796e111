"""The entries of our own directory: a crowd made by a function, one at a time, and what somebody has edited.

Every attribute of an edited entry remembers the number of its last change, which is what DirSync asks for. The crowd
itself is never held in memory: 300,000 people cost what their edits cost.
"""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.lab.ldapserver_names import is_at_or_below, spelling

Value = str | bytes | Sequence[str | bytes]
Make = Callable[[int], tuple[str, Mapping[str, Value]]]

_CROWD = b"\x80crowd\x00\x00"


@dataclass(slots=True)
class Entry:
    """An entry; `values` by the name it is spelt with, `changed` by the plain lower-case name."""

    dn: str
    values: dict[str, list[bytes]]
    changed: dict[str, int] = field(default_factory=dict)
    born: int = 0

    @property
    def guid(self) -> bytes:
        """Return the 16 bytes of objectGUID."""
        return self.values["objectGUID"][0]

    @property
    def id(self) -> str:
        """Return objectGUID as text."""
        return str(uuid.UUID(bytes_le=self.guid))

    def get(self, name: str) -> list[bytes]:
        """Return the values of an attribute, whatever its spelling and options."""
        wanted = plain(name)
        return next((values for spelt, values in self.values.items() if plain(spelt) == wanted), [])

    def spelt(self, name: str) -> str:
        """Return how this entry spells an attribute."""
        return next((spelt for spelt in self.values if plain(spelt) == plain(name)), name)


class Tree:
    """Keep one naming context. Changing it while it is read is fine for a test, not for two writers."""

    def __init__(self, root: str = "DC=contoso,DC=test", *, people: int = 0, make: Make | None = None) -> None:
        self.root, self.usn, self._people = root, 1, people
        self._make = make
        self._edited: dict[bytes, Entry] = {}
        self._left: set[str] = set()

    def add(self, dn: str, /, **attributes: Value) -> Entry:
        """Add an entry (objectClass user and an objectGUID unless given) and return it."""
        self.usn += 1
        values = {"objectClass": [b"top", b"person", b"user"], "objectGUID": [uuid.uuid4().bytes_le]}
        values["sAMAccountType"], values["userAccountControl"] = [b"805306368"], [b"512"]
        values["name"] = [dn.partition("=")[2].partition(",")[0].encode()]
        values.update({name: as_bytes(value) for name, value in attributes.items()})
        entry = Entry(dn, {name: given for name, given in values.items() if given}, born=self.usn)
        entry.changed = dict.fromkeys(map(plain, entry.values), self.usn)
        self._left.discard(spelling(dn))
        self._edited[entry.guid] = entry
        return entry

    def change(self, guid: bytes, /, **attributes: Value) -> None:
        """Replace attributes; an empty list clears one."""
        self.usn += 1
        entry = self._own(guid)
        for name, value in attributes.items():
            entry.values.pop(entry.spelt(name), None)
            entry.values[name] = as_bytes(value)
            entry.changed[plain(name)] = self.usn

    def move(self, guid: bytes, dn: str) -> None:
        """Give an entry another DN; as in AD only `name` tells of it, and at the old one there is nothing more."""
        entry = self._own(guid)
        self._left = (self._left | {spelling(entry.dn)}) - {spelling(dn)}
        entry.dn = dn
        self.change(guid, name=dn.partition("=")[2].partition(",")[0])

    def delete(self, guid: bytes) -> None:
        """Turn an entry into a tombstone: photos, mail and the account type are gone, the classes stay."""
        entry = self._own(guid)
        self.usn += 1
        entry.values = {name: entry.values[name] for name in ("objectClass", "objectGUID")}
        entry.values["isDeleted"] = [b"TRUE"]
        entry.changed["isdeleted"] = self.usn
        rdn = entry.dn.partition(",")[0]
        entry.dn = f"{rdn}\\0ADEL:{entry.id},CN=Deleted Objects,{self.root}"

    def has(self, dn: str) -> bool:
        """Return True if a name is there: an entry, or a unit that somebody stands below and not moved away."""
        if spelling(dn) == spelling(self.root):
            return True
        if any(is_at_or_below(dn, left) for left in self._left):
            return False
        return self._first_at(dn) is not None

    def at(self, dn: str) -> Entry | None:
        """Return the entry with this name; a unit that has none of its own is made, in the tree's own spelling."""
        found, wanted = self._first_at(dn), spelling(dn)
        if wanted != spelling(self.root) and found is None:
            return None
        if found is not None and spelling(found.dn) == wanted:
            return found
        text = self.root if found is None or wanted == spelling(self.root) else found.dn
        while spelling(text) != wanted:
            text = re.sub(r"^(?:\\.|[^\\,])*,", "", text)
        kind = ["top", "domainDNS" if wanted == spelling(self.root) else "organizationalUnit"]
        guid = uuid.uuid5(uuid.NAMESPACE_X500, wanted).bytes_le
        return Entry(text, {"objectClass": [one.encode() for one in kind], "objectGUID": [guid]})

    def _first_at(self, dn: str) -> Entry | None:
        """Return the entry of this name, else one below it. Of a crowd the first fifty tell where it lives."""
        wanted = spelling(dn)
        below = None
        for entry in (*self._edited.values(), *map(self._crowd, range(min(self._people, 50)))):
            if entry.get("isDeleted"):
                continue
            name = spelling(entry.dn)
            if name == wanted:
                return entry
            if below is None and name.endswith("," + wanted):
                below = entry
        return below

    def nth(self, number: int) -> Entry:
        """Return one of the crowd by number."""
        found = self.get(struct.pack("<8sQ", _CROWD, number))
        assert found is not None
        return found

    def get(self, guid: bytes) -> Entry | None:
        """Return the entry with this objectGUID, or None."""
        if guid in self._edited:
            return self._edited[guid]
        if len(guid) != 16 or guid[:8] != _CROWD:
            return None
        number = struct.unpack("<Q", guid[8:])[0]
        return self._crowd(number) if number < self._people else None

    def everyone(self) -> Iterator[Entry]:
        """Yield all entries: the crowd as it is now, then those added."""
        for number in range(self._people):
            guid = struct.pack("<8sQ", _CROWD, number)
            yield self._edited.get(guid) or self._crowd(number)
        yield from [entry for guid, entry in self._edited.items() if guid[:8] != _CROWD]

    def changed_since(self, usn: int) -> Iterator[Entry]:
        """Yield what has changed since, oldest change first; since 0 that is everyone."""
        if usn == 0:
            yield from self.everyone()
            return
        recent = [entry for entry in self._edited.values() if last(entry) > usn]
        yield from sorted(recent, key=last)

    def _crowd(self, number: int) -> Entry:
        assert self._make is not None
        dn, attributes = self._make(number)
        values = {name: as_bytes(value) for name, value in attributes.items()}
        return Entry(dn, {"objectGUID": [struct.pack("<8sQ", _CROWD, number)], **values})

    def _own(self, guid: bytes) -> Entry:
        entry = self.get(guid)
        if entry is None:
            raise LookupError("There is no entry with this objectGUID.")
        return self._edited.setdefault(guid, entry)


def last(entry: Entry) -> int:
    """Return the number of an entry's last change."""
    return max(entry.changed.values(), default=1)


def plain(name: str) -> str:
    """Return an attribute's name in one case, without options."""
    return name.partition(";")[0].casefold()


def as_bytes(value: Value) -> list[bytes]:
    """Return one value or many as a list of bytes."""
    many = [value] if isinstance(value, str | bytes) else value
    return [one.encode() if isinstance(one, str) else one for one in many]
