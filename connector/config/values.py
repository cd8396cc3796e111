"""Define the types of settings: enums, separated lists, and checks of single values."""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from ldap3.core.exceptions import LDAPExceptionError
from ldap3.operation.search import compile_filter, parse_filter
from pydantic import AfterValidator, BeforeValidator

from connector.config.dn import parse_dn, spell_dn
from connector.model import MatchRule


class SourceKind(StrEnum):
    """List the kinds of source."""

    LDAP = "ldap"
    FOLDER = "folder"


class Include(StrEnum):
    """List the kinds of accounts that LDAP_INCLUDE takes in."""

    USERS = "users"
    SHARED = "shared"
    ROOMS = "rooms"
    EQUIPMENT = "equipment"


class LdapAuth(StrEnum):
    """List the ways to sign in to the directory."""

    SIMPLE = "simple"
    KERBEROS = "kerberos"


class Cloud(StrEnum):
    """List Microsoft's clouds."""

    GLOBAL = "global"
    USGOV = "usgov"
    USGOV_DOD = "usgov-dod"
    CHINA = "china"


class Crop(StrEnum):
    """List the ways to crop a picture."""

    SQUARE = "square"
    NONE = "none"


class Pictures(StrEnum):
    """List which thumbnails the HTML report may show."""

    NONE = "none"
    CONFLICTS = "conflicts"
    CHANGES = "changes"


class MailWhen(StrEnum):
    """List after which runs the report is mailed."""

    ALWAYS = "always"
    CHANGES = "changes"
    PROBLEMS = "problems"


FALLBACK_RULES = (MatchRule.SID, MatchRule.UPN, MatchRule.MAIL)
FOLDER_KEYS = (MatchRule.UPN, MatchRule.MAIL, MatchRule.EMPLOYEE_ID, MatchRule.SAM_ACCOUNT_NAME)
# SYNC_CONCURRENCY: the default, with which `auto` begins; how far `auto` goes; and what may be set.
FIRST_LANES, MOST_LANES, LANES_LIMIT = 4, 16, 64
TARGETS = ("graph", "sharepoint")
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
DNS_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"\\(?![0-9a-fA-F]{2})")
_BAD_TERM = r"is not an RFC 4515 filter; a term begins with an attribute, and \ is followed by two hexadecimal digits"
# The ports of a Global Catalog, with and without TLS from the start.
_GLOBAL_CATALOG = (3268, 3269)
_NAMELESS = re.compile(r"\(\s*[~<>:]?=")
ATTRIBUTE = re.compile(r"[a-z][a-z0-9-]*", re.IGNORECASE)


def _split_words(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


def _split_commas(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _split_dns(value: Any) -> Any:
    """Split at `;`, but not at an escaped one, which is part of a DN (RFC 4514, section 2.4)."""
    if not isinstance(value, str):
        return value
    return tuple(part.lstrip() for part in re.findall(r"(?:\\.|[^;\\])+", value) if part.strip())


def _split_rules(value: Any) -> Any:
    rules = () if value == "none" else _split_commas(value)
    if any(rule not in FALLBACK_RULES for rule in rules):
        raise ValueError("may name sid, upn and mail, separated by commas, or be none")
    return rules


def _split_widths(value: Any) -> Any:
    widths = _split_commas(value)
    if len(widths) != 3 or not all(str(width).isdecimal() for width in widths):
        raise ValueError("must be three growing widths in pixels, e.g. 48,72,200")
    return widths


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("names something twice; name each once")
    return values


def _distinguished_names(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_distinguished_name(value) for value in values)


def _distinguished_name(value: str) -> str:
    """Return a DN in one spelling, without spaces after its commas."""
    try:
        parts = parse_dn(value)
    except ValueError:
        parts = ()
    if not parts or not all(text for rdn in parts for _, text in rdn):
        raise ValueError(f"{value!r} is not a DN; write it like DC=contoso,DC=com")
    return spell_dn(parts)


def _group(value: str) -> str:
    """Return a group's DN in one spelling, or its sAMAccountName, which contains no `=`."""
    return _distinguished_name(value) if "=" in value else value


def _attributes(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        _attribute(value)
    if not values:
        raise ValueError("names no attribute; name at least one, e.g. thumbnailPhoto")
    return values


def _attribute(value: str) -> str:
    if not ATTRIBUTE.fullmatch(value):
        raise ValueError(f"{value!r} is not the name of an attribute; write it like thumbnailPhoto")
    return value


def _folder_key(value: MatchRule) -> MatchRule:
    if value not in FOLDER_KEYS:
        raise ValueError(f"{value.value!r} is not one of {', '.join(FOLDER_KEYS)}")
    return value


def _included(values: Any) -> Any:
    names = _split_commas(values)
    if not names or any(name not in tuple(Include) for name in names):
        raise ValueError(f"may name {', '.join(Include)}, separated by commas, at least one of them")
    return names


def _targets(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values or any(value not in TARGETS for value in values):
        raise ValueError(f"must be {', or '.join((*TARGETS, ','.join(TARGETS)))}")
    return tuple(sorted(values))


def _widths(values: tuple[int, int, int]) -> tuple[int, int, int]:
    if not 0 < values[0] < values[1] < values[2] <= 2048:
        raise ValueError("must be three growing widths in pixels, e.g. 48,72,200")
    return values


def _directory_uris(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        parts = _parts(value)
        if parts.scheme.lower() not in ("ldap", "ldaps") or not parts.hostname:
            raise ValueError(f"{value!r} is not a directory's address; write it like ldaps://dc1.contoso.com")
        if "@" in parts.netloc or parts.path.strip("/") or parts.query:
            raise ValueError("contains more than scheme, host and port; user and base DN have their own settings")
        if parts.port in _GLOBAL_CATALOG:
            raise ValueError(
                f"{value!r} is a Global Catalog, which holds no photos, so that everybody would look like a person"
                " without one; leave the port out"
            )
    return values


def _https_url(value: str) -> str:
    parts = _parts(value)
    if parts.scheme.lower() != "https" or not parts.hostname:
        raise ValueError(f"{value!r} is not an https address; write it like https://host.contoso.com")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("may contain host, port and path only")
    return parts._replace(netloc=parts.netloc.lower()).geturl().rstrip("/")  # a token's audience has no capitals


def _without_version(value: str) -> str:
    if value.endswith(("/v1.0", "/beta")):
        raise ValueError("must not contain the version; remove /v1.0 or /beta")
    return value


def _parts(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises ValueError for an invalid port
    except ValueError:
        raise ValueError("is not an address, or its port is not between 0 and 65535") from None
    return parts


def _balanced(value: str) -> str:
    """Check a filter's parentheses; inside a value they are hex escapes (RFC 4515, section 3)."""
    depth = 0
    for place, character in enumerate(value):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth <= 0 and place < len(value) - 1:
            break
    else:
        if depth == 0 and value.endswith(")") and "=" in value:
            return value
    raise ValueError("is not an RFC 4515 filter; enclose the filter in parentheses, e.g. (department=Sales)")


def _parsed(value: str) -> str:
    """Check that a filter can be sent: one that the LDAP library cannot parse would stop every run."""
    if _BAD_ESCAPE.search(value) or _NAMELESS.search(value):
        raise ValueError(_BAD_TERM)
    try:
        compile_filter(parse_filter(value, None, True, True, None, False).elements[0])
    except (LDAPExceptionError, IndexError, ValueError, TypeError) as error:
        message = f"is not an RFC 4515 filter ({error}); each term is written like (department=Sales)"
        raise ValueError(message) from None
    return value


def _guid(value: str) -> str:
    if not GUID.fullmatch(value):
        raise ValueError(f"{value!r} is not an application (client) ID; copy the GUID from the app registration")
    return value


def _tenant(value: str) -> str:
    if not GUID.fullmatch(value) and not DNS_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a tenant; write the directory (tenant) ID, or contoso.onmicrosoft.com")
    return value


def _dns_name(value: str) -> str:
    if not DNS_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a DNS name; write it like ad.contoso.com")
    return value


def _addresses(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
            raise ValueError(f"{value!r} is not a mail address")
    return values


def _address(value: str) -> str:
    return _addresses((value,))[0]


def _day(value: Any) -> Any:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{value!r} is no date; write it as 2027-03-31") from None


def _concurrency(value: Any) -> Any:
    if value == "auto":
        return value
    try:
        lanes = int(value)
    except (TypeError, ValueError):
        lanes = 0
    if not 1 <= lanes <= LANES_LIMIT:
        raise ValueError(f"must be auto, or a number from 1 to {LANES_LIMIT}")
    return lanes


def _people(value: int) -> int:
    if value == 1:
        raise ValueError("1 would make every picture a placeholder; use 0 for off, or 2 and more")
    return value


def expanded(path: Path) -> Path:
    """Return a path with ~ or ~name replaced by the home directory."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("begins with ~, and there is no such home directory; write the complete path") from None


def union_members(annotation: object) -> tuple[object, ...]:
    """Return the types that an annotation allows: the members of a union, else the annotation."""
    return get_args(annotation) or (annotation,)


File = Annotated[Path, AfterValidator(expanded)]
GraphRoot = Annotated[str, AfterValidator(_https_url), AfterValidator(_without_version)]
Url = Annotated[str, AfterValidator(_https_url)]
Uris = Annotated[tuple[str, ...], BeforeValidator(_split_words), AfterValidator(_directory_uris)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split_dns), AfterValidator(_distinguished_names)]
Group = Annotated[str, AfterValidator(_group)]
Attributes = Annotated[
    tuple[str, ...], BeforeValidator(_split_commas), AfterValidator(_attributes), AfterValidator(_each_once)
]
Attribute = Annotated[str, AfterValidator(_attribute)]
Rules = Annotated[tuple[MatchRule, ...], BeforeValidator(_split_rules), AfterValidator(_each_once)]
FolderKey = Annotated[MatchRule, AfterValidator(_folder_key)]
Includes = Annotated[tuple[Include, ...], BeforeValidator(_included), AfterValidator(_each_once)]
Targets = Annotated[
    tuple[str, ...], BeforeValidator(_split_commas), AfterValidator(_targets), AfterValidator(_each_once)
]
Widths = Annotated[tuple[int, int, int], BeforeValidator(_split_widths), AfterValidator(_widths)]
Filter = Annotated[str, AfterValidator(_balanced), AfterValidator(_parsed)]
ClientId = Annotated[str, AfterValidator(_guid)]
Tenant = Annotated[str, AfterValidator(_tenant)]
DnsName = Annotated[str, AfterValidator(_dns_name)]
Addresses = Annotated[tuple[str, ...], BeforeValidator(_split_commas), AfterValidator(_addresses)]
Address = Annotated[str, AfterValidator(_address)]
Day = Annotated[date, BeforeValidator(_day)]
Concurrency = Annotated[int | Literal["auto"], BeforeValidator(_concurrency)]
PlaceholderPeople = Annotated[int, AfterValidator(_people)]
