"""One connection of our own LDAP server: sign-in, searches in pages, DirSync in rounds."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import sansldap

from tests.lab import ldapserver_wire as wire
from tests.lab.ldapserver_filter import compiled, guids
from tests.lab.ldapserver_names import is_at_or_below, spelling
from tests.lab.ldapserver_tree import Entry, last, plain
from tests.lab.ldapserver_world import (
    ELSEWHERE,
    NO_OBJECT,
    NO_RIGHT,
    NOT_BOUND,
    STALE_DIRSYNC,
    STALE_PAGE,
    Asked,
    World,
    logon_refusal,
)

MAX_PAGE_SIZE = 1000
START_TLS = "1.3.6.1.4.1.1466.20037"
_CHUNK = 64 * 1024
_COOKIE, _MAGIC = struct.Struct("<8sQQQ"), b"dirsync\x00"


class Talk:
    """One connection: its sign-in and its open walks, whose cookies are worth nothing elsewhere."""

    def __init__(self, world: World, line: socket.socket) -> None:
        self.world, self.line = world, line
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each answer waits 40 ms for an ACK
        self.protocol = sansldap.LDAPServer()
        self.bound = False
        self.walks: dict[bytes, tuple[Iterator[Entry], int]] = {}
        self.numbers = itertools.count(1)
        self.rounds = 0

    def run(self) -> None:
        if self.world.immediate:
            self.encrypt()
        while not self.world.closing.is_set():
            self.line.settimeout(self.world.knobs.idle_seconds)
            data = self.line.recv(_CHUNK)
            if not data:
                return
            for message in self.protocol.receive(data):
                self.line.settimeout(None)
                self.answer(message)

    def encrypt(self) -> None:
        assert self.world.tls is not None
        self.line = self.world.tls.wrap_socket(self.line, server_side=True)

    def answer(self, message: sansldap.LDAPMessage) -> None:
        match message:
            case sansldap.BindRequest():
                self.bind(message)
            case sansldap.SearchRequest():
                self.search(message)
            case sansldap.ExtendedRequest(name=name) if name == START_TLS:
                self.start_tls(message)
            case sansldap.UnbindRequest():
                raise ConnectionResetError

    def bind(self, message: sansldap.BindRequest) -> None:
        code, text = self.world.knobs.refuse_bind or (0, "")
        self.world.binds.append(message.name)
        if not code and not isinstance(message.authentication, sansldap.SimpleCredential):
            code, text = 7, "00002027: LdapErr: auth method not supported"
        elif not code and not self.knows(message.name, message.authentication):
            code, text = logon_refusal("52e")
        self.bound = not code and not self.world.knobs.forgets_sign_in
        self.protocol.bind_response(message.message_id)
        self.finish(wire.result(message.message_id, wire.BIND_DONE, code, text))

    def knows(self, name: str, credential: object) -> bool:
        return isinstance(credential, sansldap.SimpleCredential) and self.world.users.get(name) == credential.password

    def start_tls(self, message: sansldap.ExtendedRequest) -> None:
        offered = self.world.knobs.offers_start_tls and self.world.tls is not None
        self.protocol.extended_response(message.message_id)
        self.finish(wire.result(message.message_id, wire.EXTENDED_DONE, 0 if offered else 52, ""))
        if offered:
            self.encrypt()

    def search(self, message: sansldap.SearchRequest) -> None:
        controls = {control.control_type: control.value or b"" for control in message.controls}
        size = wire.read_paged(controls[wire.PAGED])[0] if wire.PAGED in controls else 0
        names = tuple(message.attributes)
        self.world.asked.append(Asked(message.base_object, str(message.filter), names, frozenset(controls), size))
        if not message.base_object and message.scope == sansldap.SearchScope.BASE:
            self.root_dse(message)
        elif not self.bound:
            self.done(message, 1, NOT_BOUND)
        elif not is_at_or_below(message.base_object, self.world.tree.root):
            self.done(message, 10, ELSEWHERE)
        elif not self.world.tree.has(message.base_object):
            self.done(message, 32, NO_OBJECT)
        elif wire.DIRSYNC in controls:
            self.dirsync(message, *wire.read_dirsync(controls[wire.DIRSYNC]))
        elif wire.PAGED in controls and not self.world.knobs.ignores_paging:
            self.paged(message, *wire.read_paged(controls[wire.PAGED]))
        else:
            self.whole(message)

    def root_dse(self, message: sansldap.SearchRequest) -> None:
        tree, knobs = self.world.tree, self.world.knobs
        controls = [wire.PAGED, *([wire.DIRSYNC] if knobs.offers_dirsync and knobs.is_ad else [])]
        values = {"namingContexts": [tree.root], "supportedControl": controls}
        if knobs.is_ad:
            values["defaultNamingContext"] = [tree.root]
            values["supportedCapabilities"] = ["1.2.840.113556.1.4.800"]
        listed = [(name, [value.encode() for value in many]) for name, many in values.items()]
        self.put(wire.entry(message.message_id, "", listed))
        self.done(message)

    def whole(self, message: sansldap.SearchRequest) -> None:
        knobs, is_look_up = self.world.knobs, bool(guids(message.filter))
        if is_look_up and knobs.drop_on_look_up:
            knobs.drop_on_look_up = False
            raise ConnectionResetError
        if is_look_up and knobs.refuse_look_up:
            self.done(message, *knobs.refuse_look_up)
            return
        found = list(itertools.islice(self.matching(message), MAX_PAGE_SIZE + 1))
        self.send(message, found[:MAX_PAGE_SIZE])
        self.done(message, 4 if len(found) > MAX_PAGE_SIZE else 0)

    def paged(self, message: sansldap.SearchRequest, size: int, cookie: bytes) -> None:
        if cookie and cookie not in self.walks:
            self.done(message, 12, STALE_PAGE)
            return
        walk, number = self.walks.pop(cookie) if cookie else (self.walk(message), 1)
        if number in self.world.knobs.refuse_page:
            self.done(message, *self.world.knobs.refuse_page[number])
            return
        if self.world.knobs.endless_pages and number > 1:
            walk = self.walk(message)
        found = list(itertools.islice(walk, min(size, self.world.knobs.page_entries or MAX_PAGE_SIZE)))
        self.misbehave(message, found, number)
        self.send(message, found)
        if self.world.knobs.refers:
            self.put(wire.reference(message.message_id, "ldap://ForestDnsZones.contoso.test/DC=ForestDnsZones"))
        following = next(walk, None)
        after = b"" if following is None else b"page %d" % next(self.numbers)
        if following is not None:
            self.walks[after] = (itertools.chain([following], walk), number + 1)
        self.done(message, controls=[(wire.PAGED, wire.paged_value(after))])

    def misbehave(self, message: sansldap.SearchRequest, found: list[Entry], number: int) -> None:
        half = found[: len(found) // 2]
        if number == self.world.knobs.drop_on_page:
            self.send(message, half)
            raise ConnectionResetError
        if number == self.world.knobs.stall_on_page:
            self.send(message, half)
            self.world.closing.wait()
            raise ConnectionResetError

    def walk(self, message: sansldap.SearchRequest) -> Iterator[Entry]:
        entries = self.matching(message)
        return self.and_again(entries) if self.world.knobs.repeats_first else entries

    def and_again(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """Yield the first once more at the end, as it is by then: AD moves who is modified to the end of a walk."""
        first = next(entries, None)
        if first is not None:
            yield first
            yield from entries
            yield self.world.tree.get(first.guid) or first

    def matching(self, message: sansldap.SearchRequest) -> Iterator[Entry]:
        tree, test = self.world.tree, compiled(message.filter, self.member_of)
        only = guids(message.filter)
        known: Iterable[Entry | None] = tree.everyone() if only is None else map(tree.get, only)
        exact, base = message.scope == sansldap.SearchScope.BASE, spelling(message.base_object)
        if exact and only is None:
            known = [tree.at(message.base_object)]
        for entry in known:
            if entry is None or entry.get("isDeleted"):
                continue
            name = spelling(entry.dn)
            placed = name == base or (not exact and name.endswith("," + base))
            if placed and test(self.shown(entry)):
                yield entry

    def shown(self, entry: Entry) -> Entry:
        """Return the entry as a filter sees it: AD treats what may not be read as not there (MS-ADTS 3.1.1.4.3)."""
        knobs = self.world.knobs
        hidden = knobs.hidden | knobs.hidden_of.get(entry.guid, frozenset()) if knobs.is_ad else frozenset()
        if not hidden:
            return entry
        return replace(entry, values={name: own for name, own in entry.values.items() if plain(name) not in hidden})

    def member_of(self, dn: str) -> list[bytes]:
        wanted = spelling(dn)
        found = (entry.get("memberOf") for entry in self.world.tree.changed_since(1) if spelling(entry.dn) == wanted)
        return next(found, [])

    def dirsync(self, message: sansldap.SearchRequest, flags: int, budget: int, cookie: bytes) -> None:
        knobs, tree = self.world.knobs, self.world.tree
        if knobs.refuse_dirsync or not knobs.offers_dirsync:
            self.done(message, *(knobs.refuse_dirsync or (12, "")))
        elif not flags & 1:
            self.done(message, 50, NO_RIGHT)
        elif spelling(message.base_object) != spelling(tree.root):
            self.done(message, 53, "")
        elif cookie and (knobs.refuse_cookie or len(cookie) != _COOKIE.size or cookie[:8] != _MAGIC):
            self.done(message, *(knobs.refuse_cookie or (12, STALE_DIRSYNC)))
        else:
            since, skip, goal = _COOKIE.unpack(cookie)[1:] if cookie else (0, 0, tree.usn)
            self.round(message, since=since, skip=skip, goal=goal, budget=budget)

    def round(self, message: sansldap.SearchRequest, *, since: int, skip: int, goal: int, budget: int) -> None:
        """Send what one round may hold. A start counts entries; later the last change sent says where to go on."""
        self.rounds += 1
        if self.rounds in self.world.knobs.refuse_round:
            self.done(message, *self.world.knobs.refuse_round[self.rounds])
            return
        if self.rounds <= self.world.knobs.empty_rounds:
            self.done(message, controls=[_answer((since, skip, goal), more=True)])
            return
        pending = self.candidates(message, since)[skip:]
        sent = used = 0
        for entry in pending:
            if sent and (used >= budget or sent == self.world.knobs.round_entries):
                break
            attributes = self.told(entry, tuple(message.attributes), since)
            used += sum(len(value) for _, values in attributes for value in values)
            self.put(wire.entry(message.message_id, entry.dn, attributes))
            sent += 1
        self.world.entries_sent += sent
        more = sent < len(pending)
        if more:
            after = (last(pending[sent - 1]), 0, 0) if since else (0, skip + sent, goal)
        else:
            after = (max([goal, since, *map(last, pending)]) if since else goal, 0, 0)
        self.done(message, controls=[_answer(after, more=more)])

    def candidates(self, message: sansldap.SearchRequest, since: int) -> list[Entry]:
        test, only = compiled(message.filter, self.member_of), guids(message.filter)
        if only is not None:
            found = [entry for entry in map(self.world.tree.get, only) if entry and last(entry) > since]
        else:
            found = list(self.world.tree.changed_since(since))
        wanted = {plain(name) for name in message.attributes}
        seen = [entry for entry in found if self.world.knobs.tells_deletions or not entry.get("isDeleted")]
        told = [
            entry for entry in seen if test(self.shown(entry)) and (since == 0 or self.concerns(entry, wanted, since))
        ]
        if not since or not self.world.knobs.tells_each_change:
            return told
        return [one for entry in told for one in self.each_change(entry, since)]

    def each_change(self, entry: Entry, since: int) -> Iterator[Entry]:
        """Yield the entry for each change since, the oldest first, as if nothing else had changed."""
        for usn in sorted({usn for usn in entry.changed.values() if usn > since}):
            yield replace(entry, changed={name: at for name, at in entry.changed.items() if at == usn})

    def concerns(self, entry: Entry, wanted: set[str], since: int) -> bool:
        return any(usn > since and name in wanted for name, usn in entry.changed.items())

    def told(self, entry: Entry, names: tuple[str, ...], since: int) -> list[wire.Attribute]:
        known = dict(self.selected(entry, names, with_empty=True))
        news = {name: values for name, values in known.items() if entry.changed.get(plain(name), 1) > since}
        return list({**news, "objectGUID": [entry.guid]}.items())

    def send(self, message: sansldap.SearchRequest, entries: Iterable[Entry]) -> None:
        names, waiting = tuple(message.attributes), bytearray()
        for entry in entries:
            self.world.entries_sent += 1
            extended = any(control.control_type == wire.EXTENDED_DN for control in message.controls)
            values = self.ranged(self.selected(entry, names), names)
            if extended and self.world.knobs.is_ad:
                values = [(name, self.with_ids(name, many)) for name, many in values]
            dn = self.with_id(entry.dn) if extended and self.world.knobs.is_ad else entry.dn
            waiting += wire.entry(message.message_id, dn, values)
            if len(waiting) > _CHUNK:
                self.put(waiting)
                waiting.clear()
        self.put(waiting)

    def selected(self, entry: Entry, names: tuple[str, ...], *, with_empty: bool = False) -> list[wire.Attribute]:
        wanted = {plain(name) for name in names}
        everything = not names or "*" in names
        knobs = self.world.knobs
        hidden = knobs.hidden | knobs.hidden_of.get(entry.guid, frozenset())
        return [
            (name, values)
            for name, values in entry.values.items()
            if (everything or plain(name) in wanted) and (values or with_empty) and plain(name) not in hidden
        ]

    def ranged(self, values: list[wire.Attribute], names: tuple[str, ...]) -> list[wire.Attribute]:
        """Answer `member;range=0-9` as AD does: with the end of what is sent, or `*` where that is all."""
        wanted = {plain(name): name for name in names if ";range=" in name}
        return [self.range_of(*one, wanted[plain(one[0])]) if plain(one[0]) in wanted else one for one in values]

    def range_of(self, name: str, values: Sequence[bytes], wanted: str) -> wire.Attribute:
        start, end = map(int, wanted.partition("range=")[2].split("-"))
        end = min(end, start + self.world.knobs.most_values - 1)
        if self.world.knobs.withholds_values and start:
            return f"{name};range={start}-*", []
        if self.world.knobs.repeats_values:
            return f"{name};range={start}-{end}", values[: end - start + 1]
        return f"{name};range={start}-{'*' if end >= len(values) - 1 else end}", values[start : end + 1]

    def with_ids(self, name: str, values: Sequence[bytes]) -> Sequence[bytes]:
        """Return DNs as the extended DN control asks for them, in string format (MS-ADTS 3.1.1.3.4.1.5)."""
        is_name = plain(name) in ("member", "memberof")
        return [self.with_id(value.decode()).encode() for value in values] if is_name else values

    def with_id(self, dn: str) -> str:
        entry = None if dn.startswith("<GUID=") else self.world.tree.at(dn)
        return dn if entry is None else f"<GUID={entry.id}>;{dn}"

    def done(
        self,
        message: sansldap.SearchRequest,
        code: int = 0,
        text: str = "",
        *,
        controls: Iterable[tuple[str, bytes]] = (),
    ) -> None:
        controls = () if self.world.knobs.drops_controls else controls
        self.protocol.search_result_done(message.message_id)
        self.finish(wire.result(message.message_id, wire.SEARCH_DONE, code, text, controls=controls))

    def put(self, encoded: bytes | bytearray) -> None:
        """Send answers; where the world garbles them, the connection may end with it."""
        if self.world.garble is None:
            self.line.sendall(encoded)
            return
        garbled, goes_on = self.world.garble(bytes(encoded))
        self.line.sendall(garbled)
        if not goes_on:
            raise ConnectionResetError

    def finish(self, encoded: bytes) -> None:
        # The library keeps track of what is outstanding; its own encoding adds an empty referral that ldap3 trips over.
        self.protocol.data_to_send()
        self.put(encoded)


def _answer(after: tuple[int, int, int], *, more: bool) -> tuple[str, bytes]:
    return wire.DIRSYNC, wire.dirsync_value(_COOKIE.pack(_MAGIC, *after), more=more)
