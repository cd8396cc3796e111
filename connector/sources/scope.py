"""Define who is in scope: the built-in filter and LDAP_FILTER, below the base DNs, outside the excluded subtrees."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ldap3.utils.conv import escape_bytes, escape_filter_chars

from connector.config import Settings
from connector.config import dn as names
from connector.config.dn import Parts
from connector.config.values import Include
from connector.sources.session import Kind

_BIT_AND = "1.2.840.113556.1.4.803"
USERS = "(sAMAccountType=805306368)"
FLAGS = "userAccountControl"
_ENABLED = f"(!(userAccountControl:{_BIT_AND}:=2))"
_DISABLED = f"(userAccountControl:{_BIT_AND}:=2)"
# Of mailboxes in the directory's own Exchange, and of remote ones: RecipientTypeDetails of the Exchange schema.
RECIPIENT_TYPE = "msExchRecipientTypeDetails"
_TYPES = {Include.SHARED: (4, 34359738368), Include.ROOMS: (16, 8589934592), Include.EQUIPMENT: (32, 17179869184)}
_CONTACTS = "(&(objectCategory=person)(objectClass=contact)(mail=*))"
_OTHER_PEOPLE = "(objectClass=inetOrgPerson)"
_LEAF = re.compile(r"\(([^()&|!][^()]*)\)")
_ATTRIBUTE = re.compile(r"\s*([^:=<>~\s]+)")

# AD computes these, keeps them on one DC, or derives them from somebody else's entry: no change of theirs is reported.
# [MS-ADTS] 3.1.1.4.5 (constructed), 3.1.1.1.7 (not replicated)
_UNREPORTED = frozenset(
    name.casefold()
    for name in (
        *("memberOf", "directReports", "managedObjects", "distinguishedName", "canonicalName", "tokenGroups"),
        *("tokenGroupsGlobalAndUniversal", "tokenGroupsNoGCAcceptable", "primaryGroupToken", "parentGUID"),
        *("createTimeStamp", "modifyTimeStamp", "whenChanged", "uSNChanged", "uSNCreated", "fromEntry"),
        *("lastLogon", "lastLogoff", "logonCount", "badPwdCount", "badPasswordTime", "structuralObjectClass"),
        *("msDS-PrincipalName", "msDS-User-Account-Control-Computed", "msDS-UserPasswordExpiryTimeComputed"),
        *("msDS-ResultantPSO", "msDS-memberOfTransitive", "msDS-memberTransitive", "msDS-KeyVersionNumber"),
        *("msDS-ReplAttributeMetaData", "msDS-ReplValueMetaData", "msDS-SiteName", "sDRightsEffective"),
        *("msDS-TokenGroupNames", "msDS-TokenGroupNamesGlobalAndUniversal", "msDS-TokenGroupNamesNoGCAcceptable"),
        *("msDS-IsDomainFor", "msDS-IsFullReplicaFor", "msDS-IsPartialReplicaFor", "msDS-IsPrimaryComputerFor"),
        *("msDS-PSOApplied", "masteredBy", "msDS-MasteredBy", "isPrivilegeHolder", "msSFU30PosixMemberOf", "anr"),
        *("msDS-Approx-Immed-Subordinates", "msDS-parentdistname", "allowedAttributes", "allowedChildClasses"),
    )
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Define who is in scope in one context of one kind of directory; `disabled` is empty where that plays no part.

    `types` are the recipient types that LDAP_INCLUDE takes in, as the directory writes them; `untyped` chooses whom it
    would take in if they had one.
    """

    kind: Kind
    bases: tuple[str, ...]
    excluded: tuple[Parts, ...]
    people: str
    disabled: str
    types: frozenset[str] = frozenset()
    untyped: str = ""

    @classmethod
    def of(cls, settings: Settings, context: str, *, kind: Kind) -> Scope:
        """Work out the scope of one context from the settings."""
        return cls(
            kind,
            bases_in(settings, context),
            tuple(names.parts(dn) for dn in settings.ldap_exclude_dn),
            _people(settings, kind),
            _disabled(settings, kind),
            recipient_types(settings) if kind is Kind.ACTIVE_DIRECTORY else frozenset(),
            all_of(USERS, settings.ldap_filter),
        )

    def not_excluded(self, dn: str) -> bool:
        """Return True if a DN stands outside every excluded subtree."""
        return not self.excluded or not names.is_below(names.parts(dn), self.excluded)

    def in_scope(self, dn: str) -> bool:
        """Return True if a DN stands below a base and outside every excluded subtree."""
        return names.is_below(names.parts(dn), [names.parts(base) for base in self.bases]) and self.not_excluded(dn)

    def by_id(self, person_ids: Iterable[str]) -> str:
        """Return the filter of these people, whether in scope or not."""
        return f"(|{''.join(self._one(person_id) for person_id in person_ids)})"

    def _one(self, person_id: str) -> str:
        if self.kind is Kind.ACTIVE_DIRECTORY:
            return f"(objectGUID={escape_bytes(uuid.UUID(person_id).bytes_le)})"
        return f"(entryUUID={escape_filter_chars(person_id)})"


def bases_in(settings: Settings, context: str) -> tuple[str, ...]:
    """Return the base DNs of a context, without those below another; the context itself where none is set."""
    if not settings.ldap_base_dn:
        return (context,)
    return names.outermost([base for base in settings.ldap_base_dn if context_of(base) == context])


def context_of(base: str) -> str:
    """Return the naming context of a base DN, in one spelling: its DC= tail, else the whole of it."""
    return names.domain_root(base) or names.one_spelling(base)


def context_above(dn: str, contexts: Sequence[str]) -> str:
    """Return the innermost of these contexts that a DN stands in; empty for none."""
    above = [context for context in contexts if names.is_below(names.parts(dn), [names.parts(context)])]
    return max(above, key=lambda context: len(names.parts(context)), default="")


def filter_by_name(name: str) -> str:
    """Return the filter for a person by UPN, mail or sAMAccountName (uid elsewhere)."""
    value = escape_filter_chars(name)
    return f"(|(userPrincipalName={value})(mail={value})(sAMAccountName={value})(uid={value}))"


def filter_attributes(filter_text: str) -> tuple[str, ...]:
    """Name the attributes that an RFC 4515 filter looks at, without options, each once."""
    found = (_ATTRIBUTE.match(leaf) for leaf in _LEAF.findall(filter_text))
    plain = (match.group(1).partition(";")[0] for match in found if match)
    return tuple({name.casefold(): name for name in plain}.values())


def filter_can_be_followed(filter_text: str | None) -> str | None:
    """Return why changes cannot be followed with this LDAP_FILTER, or None when they can.

    DirSync reports changed attributes; a term that depends on anything else may change unnoticed.
    """
    for leaf in _LEAF.findall(filter_text or ""):
        if leaf.partition("=")[0].endswith(":"):
            return f"the extensible term ({leaf}) cannot be followed"
    unreported = [name for name in filter_attributes(filter_text or "") if _is_unreported(name)]
    if unreported:
        return f"the directory does not report changes of {', '.join(unreported)}"
    return None


def _is_unreported(name: str) -> bool:
    """Return True if no change is reported of an attribute: computed, local, a back link, or given by a bare OID."""
    plain = name.casefold()
    return plain in _UNREPORTED or plain.endswith("bl") or plain.removeprefix("oid.")[:1].isdigit()


def recipient_types(settings: Settings) -> frozenset[str]:
    """Return the recipient types that LDAP_INCLUDE names beside users, as the directory writes them."""
    return frozenset(one for kind in settings.ldap_include for one in types_of(kind))


def types_of(kind: Include) -> tuple[str, ...]:
    """Return the recipient types of one kind, in the directory's own Exchange and remote ones; none for users."""
    return tuple(str(one) for one in _TYPES.get(kind, ()))


def of_types(types: Iterable[str]) -> str:
    """Return the filter of entries with one of these recipient types."""
    return f"(|{''.join(f'({RECIPIENT_TYPE}={one})' for one in sorted(types, key=int))})"


def _people(settings: Settings, kind: Kind) -> str:
    if kind is Kind.OTHER:
        return all_of(_OTHER_PEOPLE, settings.ldap_filter)
    users = _users(settings)
    everybody = f"(|{users}{_CONTACTS})" if settings.ldap_include_contacts else users
    return all_of(everybody, settings.ldap_filter)


def _users(settings: Settings) -> str:
    """Return the filter of accounts: enabled users unless left out, and mailboxes also where disabled."""
    enabled = "" if settings.ldap_include_disabled else _ENABLED
    types = recipient_types(settings)
    if not types:
        return all_of(USERS, enabled)
    if Include.USERS not in settings.ldap_include:
        return all_of(USERS, of_types(types))
    return all_of(USERS, f"(|{enabled}{of_types(types)})" if enabled else "")


def _disabled(settings: Settings, kind: Kind) -> str:
    if kind is Kind.OTHER or settings.ldap_include_disabled:
        return ""
    return all_of(USERS, _DISABLED, settings.ldap_filter)


def all_of(*terms: str | None) -> str:
    """Return the filter that all of these filters together make; empty ones and None do not count."""
    given: Sequence[str] = [term for term in terms if term]
    return given[0] if len(given) == 1 else f"(&{''.join(given)})"
