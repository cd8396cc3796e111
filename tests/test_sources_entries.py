"""Entries read from their bytes: what ldap3 reads from the same bytes, and nothing where the form is another one."""

from __future__ import annotations

import socket
from typing import Any

import ldap3
from hypothesis import given, settings
from hypothesis import strategies as st
from ldap3.operation.search import raw_attributes_to_dict_fast
from ldap3.protocol.rfc4511 import (
    LDAPDN,
    AttributeDescription,
    AttributeValue,
    LDAPMessage,
    MessageID,
    PartialAttribute,
    PartialAttributeList,
    ProtocolOp,
    SearchResultEntry,
    Vals,
)
from ldap3.utils.asn1 import decode_message_fast, encode
from ldap3.utils.conv import to_unicode

from connector.sources.raw_entry import RawEntry, read_entry
from connector.sources.receiving import Receiver
from tests.lab.ldapserver_wire import entry as wire_entry
from tests.lab.ldapserver_wire import result as wire_result
from tests.lab.ldapserver_wire import tlv

Given = list[tuple[str, list[bytes]]]
ATTRIBUTES: Given = [
    ("objectGUID", [bytes(range(16))]),
    ("mail", ["ä@contoso.test".encode()]),
    ("jpegPhoto", [b"\xff\xd8" + bytes(70_000), b"two"]),
    ("thumbnailPhoto", []),
    ("jpegPhoto;binary", [b"three"]),
]


def by_ldap3(message: bytes) -> RawEntry:
    """Read an entry as ldap3 does, with names in lower case and without their options."""
    name, attributes = (part[3] for part in decode_message_fast(message)["payload"][:2])
    values: dict[str, tuple[bytes, ...]] = {}
    for described, found in raw_attributes_to_dict_fast(attributes).items():
        plain = described.partition(";")[0].casefold()
        values[plain] = values.get(plain, ()) + tuple(found or ())
    return RawEntry(to_unicode(name, from_server=True), values)


def made_by_ldap3(message_id: int, dn: str, attributes: Given) -> bytes:
    """Encode an entry with pyasn1 and ldap3's own types."""
    listed = PartialAttributeList()
    for number, (name, found) in enumerate(attributes):
        values = Vals()
        for position, value in enumerate(found):
            values.setComponentByPosition(position, AttributeValue(value))
        one = PartialAttribute()
        one["type"], one["vals"] = AttributeDescription(name), values
        listed.setComponentByPosition(number, one)
    found_entry = SearchResultEntry()
    found_entry["object"], found_entry["attributes"] = LDAPDN(dn), listed
    message = LDAPMessage()
    message["messageID"] = MessageID(message_id)
    message["protocolOp"] = ProtocolOp().setComponentByName("searchResEntry", found_entry)
    encoded: bytes = encode(message)
    return encoded


def with_long_lengths(message: bytes) -> bytes:
    """Write every length of an entry in four bytes, as Active Directory does."""

    def part(tag: int, content: bytes) -> bytes:
        return bytes((tag, 0x84)) + len(content).to_bytes(4, "big") + content

    def parts(found: list[Any], tags: tuple[int, ...]) -> bytes:
        return b"".join(part(tag, one[3]) for tag, one in zip(tags, found, strict=True))

    decoded = decode_message_fast(message)
    name, attributes = (one[3] for one in decoded["payload"])
    listed = b"".join(
        part(0x30, part(4, one[3][0][3]) + part(0x31, parts(one[3][1][3], (4,) * len(one[3][1][3]))))
        for one in attributes
    )
    operation = part(0x64, part(4, name) + part(0x30, listed))
    return part(0x30, tlv(2, bytes((decoded["messageID"],))) + operation)


def test_an_entry_is_what_ldap3_reads_however_its_lengths_are_written() -> None:
    message = made_by_ldap3(7, "CN=Änna,DC=contoso,DC=test", ATTRIBUTES)

    for written in (message, with_long_lengths(message), wire_entry(7, "CN=Änna,DC=contoso,DC=test", ATTRIBUTES)):
        assert read_entry(written, 7) == by_ldap3(written)
        assert read_entry(written, 8) is None
    assert by_ldap3(message).values["thumbnailphoto"] == ()
    assert by_ldap3(message).values["jpegphoto"] == (b"\xff\xd8" + bytes(70_000), b"two", b"three")


def test_of_an_attribute_that_came_in_part_it_is_told_that_there_is_more() -> None:
    message = made_by_ldap3(5, "CN=a", [("Member;Range=0-1", [b"CN=b", b"CN=c"]), ("sn;range=0-*", [b"d"])])

    found = read_entry(message, 5)

    assert found is not None
    assert found.values == {"member": (b"CN=b", b"CN=c"), "sn": (b"d",)}
    assert found.partial == {"member"}


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,8}(;binary|;lang-de)?", fullmatch=True)


@settings(max_examples=100, deadline=None)
@given(
    message_id=st.integers(1, 2**31 - 1),
    dn=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    attributes=st.lists(st.tuples(NAMES, st.lists(st.binary(max_size=300), max_size=3)), max_size=6),
)
def test_any_entry_is_what_ldap3_reads(message_id: int, dn: str, attributes: Given) -> None:
    message = made_by_ldap3(message_id, dn, attributes)
    assert read_entry(message, message_id) == by_ldap3(message)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_bent_bytes_are_read_as_ldap3_reads_them_or_left_to_it(data: st.DataObject) -> None:
    message = bytearray(made_by_ldap3(5, "CN=a,DC=b", [("mail", [b"a@b", b"c"]), ("sn", []), ("photo;x", [b"d"])]))
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(len(message) - 4, len(message)))
    found = read_entry(bytes(message[:end]), 5)
    assert found is None or found == by_ldap3(bytes(message[:end]))


def test_what_is_no_usual_entry_is_left_to_ldap3() -> None:
    usual = made_by_ldap3(5, "CN=a", [("mail", [b"a"])])
    inside = usual[2:]
    controls = tlv(0xA0, tlv(0x30, tlv(4, b"1.2.3")))
    others = [
        b"",
        b"\x30\x00",
        usual[:-1],
        usual + b"\x00",
        b"\x30\x80" + inside + b"\x00\x00",  # of an indefinite length
        tlv(0x30, inside + controls),
        made_by_ldap3(5, "CN=a", [("mail", [b"a"])]).replace(b"mail", b"m\xe4il"),
        made_by_ldap3(5, "CN=a", []).replace(b"CN=a", b"CN=\xe4"),
        usual.replace(b"\x64", b"\x65", 1),
        made_by_ldap3(5, "CN=a", [("m" * 600, [b"a"])]),
    ]
    assert [read_entry(other, 5) for other in others] == [None] * len(others)


def receiver_of(messages: bytes) -> Receiver:
    """Return a receiver whose server sent these bytes as the answer to request 5, and hung up."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(messages)
    connection = ldap3.Connection(ldap3.Server("contoso.test"), fast_decoder=True, check_names=False)
    connection.socket = ours
    receiver = Receiver(connection)
    receiver.start_answer(5, droppable=frozenset({"photo"}), most_bytes=10)
    return receiver


def test_of_an_answer_ldap3_decodes_the_result_and_no_usual_entry() -> None:
    done = wire_result(5, 0x65, 0, "")
    usual = [made_by_ldap3(5, f"CN={name}", [("mail", [name.encode()])]) for name in ("anna", "bert", "cleo")]
    receiver = receiver_of(b"".join(usual) + done)

    assert receiver.message() == [done]
    assert [entry.dn for entry in receiver.entries] == ["CN=anna", "CN=bert", "CN=cleo"]
    assert receiver.message() == []
    receiver.connection.socket.close()


def test_an_unusual_entry_is_decoded_by_ldap3_and_kept_like_any_other() -> None:
    usual = made_by_ldap3(5, "CN=anna", [("photo", [bytes(8)])])
    controls = tlv(0x30, usual[2:] + tlv(0xA0, tlv(0x30, tlv(4, b"1.2.3"))))
    latin = usual.replace(b"CN=anna", b"CN=\xe4nna")
    receiver = receiver_of(usual + controls + latin)

    for unusual in (controls, latin):
        assert receiver.message() == [unusual]
        told = receiver.decoded(decode_message_fast(unusual))
        assert (told["type"], told["raw_attributes"]) == ("searchResEntry", {})

    assert [(entry.dn, entry.is_cut) for entry in receiver.entries] == [
        ("CN=anna", False),
        ("CN=anna", True),
        ("CN=\xe4nna", True),
    ]
    assert [entry.first("photo") for entry in receiver.entries] == [bytes(8), b"", b""]
    receiver.connection.socket.close()
