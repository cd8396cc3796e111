"""Find the entries that settings name, in whichever domain of the forest; a name of nothing is an error, never nobody.

A base DN, an excluded subtree or person, and a group are all looked up here, so that a misspelt or renamed one neither
lets anybody in nor puts everybody out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import ldap3

from connector.config import Settings
from connector.errors import Unreachable
from connector.model import RequestCounters
from connector.sources import dn as names
from connector.sources.connect import READ_SECONDS, ServerRequirements, open_session
from connector.sources.ldap_errors import SYSTEM, SignInRefused
from connector.sources.scope import context_above
from connector.sources.session import Kind, RawEntry, Session

# noSuchObject, invalidDNSyntax, and a referral: the server holds nothing of this name.
_NOT_THERE = frozenset((32, 34, 10))


@dataclass(frozen=True, slots=True)
class Named:
    """Hold what a setting names: `what` it is in words, as they follow `there is no`."""

    setting: str
    dn: str
    what: str


@dataclass(frozen=True, slots=True)
class Forest:
    """Reach each domain of the forest: the one that is being read by its session, another by one of its own."""

    settings: Settings
    traffic: RequestCounters
    patience: int = READ_SECONDS

    @contextmanager
    def session(self, here: Session, named: Named) -> Iterator[Session]:
        """Yield a session with the domain of an entry; raises Unreachable, naming setting and DN, without one."""
        root = names.domain_root(named.dn)
        if here.root.kind is Kind.OTHER or root in ("", names.domain_root(here.root.default_context)):
            yield here
            return
        try:
            there = open_session(
                self.settings, self.traffic, ServerRequirements(root, (named.dn,), patience=self.patience)
            )
        except SignInRefused:
            raise
        except Unreachable as failure:
            raise _no_server(named, root, failure) from failure
        try:
            yield there
        finally:
            there.close()

    def require(self, here: Session, named: Named, *, attributes: Sequence[str] = ("objectClass",)) -> RawEntry:
        """Return the entry, with its DN in the server's spelling; raises Unreachable where there is none."""
        with self.session(here, named) as there:
            return required(there, named, attributes=attributes)


def required(
    session: Session, named: Named, *, attributes: Sequence[str] = ("objectClass",), of: str = "(objectClass=*)"
) -> RawEntry:
    """Return an entry of this server by its DN; raises Unreachable where there is none that `of` lets through."""
    doing = f"looking whether {named.setting} is still there"
    answer = session.search(named.dn, of, attributes=attributes, doing=doing, scope=ldap3.BASE)
    if answer.code == 0 and answer.entries:
        return answer.entries[0]
    if answer.code == 0 or answer.code in _NOT_THERE:
        raise missing(session, named)
    raise session.trouble(answer, doing)


def named_in(settings: Settings, context: str, contexts: Sequence[str]) -> tuple[Named, ...]:
    """List the bases and exclusions of a context; an exclusion that is in no context is looked for with each."""
    bases = [base for base in settings.ldap_base_dn if context_above(base, contexts) == context]
    excluded = [dn for dn in settings.ldap_exclude_dn if context_above(dn, contexts) in (context, "")]
    return (
        *(Named("LDAP_BASE_DN", dn, "such base DN") for dn in bases if names.parts(dn) != names.parts(context)),
        *(Named("LDAP_EXCLUDE_DN", dn, "such entry") for dn in excluded),
    )


def missing(session: Session, named: Named) -> Unreachable:
    """Say that a setting names nothing, or what the service account may not see."""
    return Unreachable(
        SYSTEM,
        f"{session.server}: there is no {named.what} '{named.dn}', or the service account may not see it, while"
        f" looking whether {named.setting} is still there.",
        f"Correct {named.setting}; nobody is read, so that nobody enters or leaves the scope by mistake.",
    )


def _no_server(named: Named, root: str, failure: Unreachable) -> Unreachable:
    cause = failure.message.removeprefix(f"{SYSTEM}: ")
    return Unreachable(
        SYSTEM,
        f"{named.setting} names {named.dn}, and no server of {root} can be asked whether it is there: {cause}",
        f"Correct {named.setting}, or name a server of {root} in LDAP_URI, too.",
    )
