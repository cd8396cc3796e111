"""Who lives in our own directory? A crowd made by a function, one at a time, and the entries somebody has edited.

Every attribute of an edited entry remembers the number of its last change, which is what DirSync asks for. The crowd
itself is never held in memory: 300,000 people cost what their edits cost.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Value = str | bytes | Sequence[str | bytes]
Make = Callable[[int], tuple[str, Mapping[str, Value]]]

_CROWD = b"\x80crowd\x00\x00"


@dataclass(slots=True)
class Entry:
    """Hold an entry; `values` by the name it is spelt with, `changed` by the plain lower-case name."""

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
        self._left.discard(dn.casefold())
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
        self._left = (self._left | {entry.dn.casefold()}) - {dn.casefold()}
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

    def has_left(self, dn: str) -> bool:
        """Tell whether what had this name, or something above it, was moved away."""
        name = dn.casefold()
        return any(name == left or name.endswith("," + left) for left in self._left)

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
