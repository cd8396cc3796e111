"""Read a search result entry from its bytes (RFC 4511, section 4.5.2), and only the parts that are used.

ldap3 makes a tuple of every part of a message, some forty for a person, and a text of each name. Only the usual form is
read here; whatever has another one is left to ldap3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

_SEQUENCE, _SET, _INTEGER, _OCTETS, _ENTRY = 0x30, 0x31, 0x02, 0x04, 0x64
_LONG, _MOST_LENGTH_BYTES = 0x80, 8
_MOST_NAME_BYTES = 512  # names are kept for the next entry; no schema has such a long one


@dataclass(frozen=True, slots=True)
class RawEntry:
    """Contain an entry as the server sent it: lower-case attribute names without options, untouched values.

    An attribute with no values was reported as emptied; one that is missing was not reported. `is_cut`: photos that the
    server sent were dropped, because the answer held too much; the entry must be asked for again. Of the attributes in
    `partial` the server sent the first values only, and says that there are more.
    """

    dn: str
    values: Mapping[str, tuple[bytes, ...]] = field(repr=False)
    is_cut: bool = False
    partial: frozenset[str] = frozenset()

    def first(self, name: str) -> bytes:
        """Return the first value of an attribute, empty when there is none."""
        found = self.values.get(name.casefold(), ())
        return found[0] if found else b""

    def text(self, name: str) -> str:
        """Return the first value of an attribute as text."""
        return self.first(name).decode("utf-8", "replace")

    def size(self) -> int:
        """Return how many bytes the values take."""
        return sum(map(len, chain.from_iterable(self.values.values())))


def read_entry(message: bytes, message_id: int) -> RawEntry | None:
    """Return the entry in a message of an answer; None where it is of another kind, form or answer."""
    try:
        start, end = _part(message, 0, len(message), _SEQUENCE)
        id_start, id_end = _part(message, start, end, _INTEGER)
        if int.from_bytes(message[id_start:id_end], "big", signed=True) != message_id:
            return None
        start, entry_end = _part(message, id_end, end, _ENTRY)
        dn_start, dn_end = _part(message, start, entry_end, _OCTETS)
        start, attributes_end = _part(message, dn_end, entry_end, _SEQUENCE)
        if not attributes_end == entry_end == end == len(message):  # controls follow, or what nobody knows
            return None
        return merged(message[dn_start:dn_end].decode("utf-8"), _attributes(message, start, end))
    except (ValueError, IndexError):
        return None


def merged(dn: str, attributes: Iterable[tuple[str, tuple[bytes, ...]]]) -> RawEntry:
    """Make an entry of attributes by lower-case name; `jpegphoto;binary` becomes a part of jpegphoto.

    Of an attribute that comes twice the last one counts, as in ldap3.
    """
    values = dict(attributes)
    if not any(";" in name for name in values):
        return RawEntry(dn, values)
    plain: dict[str, tuple[bytes, ...]] = {}
    partial: set[str] = set()
    for described, found in values.items():
        name, _, option = described.partition(";")
        plain[name] = plain.get(name, ()) + found
        if option.startswith("range=") and not option.endswith("-*"):
            partial.add(name)
    return RawEntry(dn, plain, partial=frozenset(partial))


def _attributes(message: bytes, start: int, end: int) -> Iterable[tuple[str, tuple[bytes, ...]]]:
    while start < end:
        start, attribute_end = _part(message, start, end, _SEQUENCE)
        name_start, name_end = _part(message, start, attribute_end, _OCTETS)
        start, values_end = _part(message, name_end, attribute_end, _SET)
        if values_end != attribute_end or name_end - name_start > _MOST_NAME_BYTES:
            raise ValueError("an attribute with more than its values, or no name of any schema")
        values = []
        while start < values_end:
            value_start, start = _part(message, start, values_end, _OCTETS)
            values.append(message[value_start:start])
        yield _name(message[name_start:name_end]), tuple(values)


@lru_cache(maxsize=256)
def _name(name: bytes) -> str:
    """Return an attribute's name in lower case; names are ASCII (RFC 4512, section 1.4)."""
    return name.decode("ascii").lower()


def _part(message: bytes, start: int, end: int, tag: int) -> tuple[int, int]:
    """Return where the content of the part that begins here starts and ends; raise ValueError for any other part."""
    if message[start] != tag:
        raise ValueError("another tag")
    size = message[start + 1]
    start += 2
    if size >= _LONG:
        count = size - _LONG
        if not 0 < count <= _MOST_LENGTH_BYTES:
            raise ValueError("another form of length")
        size = int.from_bytes(message[start : start + count], "big")
        start += count
    if start + size > end:
        raise ValueError("a part that is longer than the whole")
    return start, start + size
