"""Encode LDAP answers: BER by hand for what is sent a hundred thousand times, and two control values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sansldap.asn1 import ASN1Reader

PAGED, DIRSYNC = "1.2.840.113556.1.4.319", "1.2.840.113556.1.4.841"
EXTENDED_DN = "1.2.840.113556.1.4.529"
BIND_DONE, SEARCH_DONE, EXTENDED_DONE = 0x61, 0x65, 0x78
_SEQUENCE, _SET, _INTEGER, _OCTETS, _ENUMERATED = 0x30, 0x31, 0x02, 0x04, 0x0A
_ENTRY, _REFERENCE, _CONTROLS = 0x64, 0x73, 0xA0

Attribute = tuple[str, Sequence[bytes]]


def entry(message_id: int, dn: str, attributes: Iterable[Attribute]) -> bytes:
    """Encode a searchResEntry (RFC 4511, section 4.5.2); an attribute without values is an empty set."""
    listed = b"".join(
        tlv(_SEQUENCE, tlv(_OCTETS, name.encode()) + tlv(_SET, b"".join(tlv(_OCTETS, value) for value in values)))
        for name, values in attributes
    )
    return _message(message_id, tlv(_ENTRY, tlv(_OCTETS, dn.encode()) + tlv(_SEQUENCE, listed)))


def reference(message_id: int, uri: str) -> bytes:
    """Encode a searchResRef, which AD sends for the partitions below a domain's root."""
    return _message(message_id, tlv(_REFERENCE, tlv(_OCTETS, uri.encode())))


def result(message_id: int, tag: int, code: int, text: str, *, controls: Iterable[tuple[str, bytes]] = ()) -> bytes:
    """Encode a response that ends an operation: result code, no matched DN, the server's words, response controls."""
    words = tlv(_ENUMERATED, bytes([code])) + tlv(_OCTETS, b"") + tlv(_OCTETS, text.encode())
    listed = b"".join(tlv(_SEQUENCE, tlv(_OCTETS, oid.encode()) + tlv(_OCTETS, value)) for oid, value in controls)
    return _message(message_id, tlv(tag, words) + (tlv(_CONTROLS, listed) if listed else b""))


def paged_value(cookie: bytes) -> bytes:
    """Encode the value of the paged results control, without an estimate (RFC 2696)."""
    return tlv(_SEQUENCE, _integer(0) + tlv(_OCTETS, cookie))


def dirsync_value(cookie: bytes, *, more: bool) -> bytes:
    """Encode DirSync's answer: MoreResults, a number nobody uses, the cookie."""
    return tlv(_SEQUENCE, _integer(int(more)) + _integer(0) + tlv(_OCTETS, cookie))


def read_paged(value: bytes) -> tuple[int, bytes]:
    """Decode size and cookie."""
    inner = ASN1Reader(value).read_sequence()
    return inner.read_integer(), inner.read_octet_string()


def read_dirsync(value: bytes) -> tuple[int, int, bytes]:
    """Decode flags, MaxBytes and cookie."""
    inner = ASN1Reader(value).read_sequence()
    return inner.read_integer(), inner.read_integer(), inner.read_octet_string()


def tlv(tag: int, content: bytes) -> bytes:
    """Encode one element with a definite length."""
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _message(message_id: int, operation: bytes) -> bytes:
    return tlv(_SEQUENCE, _integer(message_id) + operation)


def _integer(value: int) -> bytes:
    return tlv(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
