"""Check rules between settings, each with the name of the setting, and the lines of OPT_OUT_FILE."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from connector.config.clouds import proxy_problem, url_problem
from connector.config.env_file import decoded, variable_in
from connector.config.settings import PATHS, Settings
from connector.config.values import LdapAuth, SourceKind
from connector.disk import device_in
from connector.errors import SettingsError

Problems = Iterator[tuple[str, str]]
# A UPN or mail address in a line, which may be a row of a table or an address with a name before it.
_ADDRESS = re.compile(r"""[^\s<>;,"]+@[^\s<>;,"]+""")
# What a heading calls such a column, in letters only.
_HEADINGS = frozenset(("upn", "userprincipalname", "mail", "mailaddress", "email", "emailaddress"))


def broken_rules(settings: Settings) -> Problems:
    """Yield (setting's name, what is wrong and what to do) for every broken rule."""
    for rule in RULES:
        yield from rule(settings)


def _source(settings: Settings) -> Problems:
    if settings.source is SourceKind.FOLDER:
        if settings.folder_path is None:
            yield "FOLDER_PATH", "is needed with SOURCE=folder; name the folder of pictures"
        for name in ("OPT_OUT_GROUP", "KEEP_CLOUD_GROUP", "SOURCE_WINS_GROUP"):
            if getattr(settings, name.lower()):
                yield name, "names a group, and SOURCE=folder has none; leave it out"
        return
    yield from _servers(settings)
    yield from _transport(settings)
    yield from _sign_in(settings)


def _servers(settings: Settings) -> Problems:
    if settings.ldap_uri and settings.ldap_domain:
        yield "LDAP_DOMAIN", "cannot be set together with LDAP_URI; set one of the two"
    if not settings.ldap_uri and not settings.ldap_domain:
        yield "LDAP_URI", "is needed, e.g. ldaps://dc1.contoso.com; set it, or LDAP_DOMAIN to find servers by DNS"
    if settings.ldap_site and not settings.ldap_domain:
        yield "LDAP_SITE", "works only with LDAP_DOMAIN; set that instead of LDAP_URI, or leave out LDAP_SITE"


def _transport(settings: Settings) -> Problems:
    schemes = {uri.partition(":")[0].lower() for uri in settings.ldap_uri}
    if settings.ldap_start_tls and "ldaps" in schemes:
        yield "LDAP_START_TLS", "does not go with ldaps://, which is encrypted already; set it to false"
    plain = "ldap" in schemes and not settings.ldap_start_tls
    if plain and settings.ldap_auth is LdapAuth.SIMPLE:
        yield (
            "LDAP_URI",
            "would send the password unencrypted; use ldaps://, or LDAP_START_TLS=true, or LDAP_AUTH=kerberos",
        )


def _sign_in(settings: Settings) -> Problems:
    if settings.ldap_auth is LdapAuth.KERBEROS:
        return
    if not settings.ldap_user:
        yield (
            "LDAP_USER",
            "is needed with LDAP_AUTH=simple; set it to the UPN or DN of the account that reads the directory",
        )
    if settings.ldap_password is None:
        yield "LDAP_PASSWORD", "is needed with LDAP_AUTH=simple; set it, or LDAP_PASSWORD_FILE"


def _application(settings: Settings) -> Problems:
    if not settings.azure_tenant_id:
        yield "AZURE_TENANT_ID", "is needed; copy the directory (tenant) ID from the app registration"
    if not settings.azure_client_id and not settings.azure_managed_identity:
        yield "AZURE_CLIENT_ID", "is needed; copy the application (client) ID from the app registration"


def _credential(settings: Settings) -> Problems:
    given = [
        name
        for name, value in {
            "AZURE_CLIENT_CERTIFICATE_PATH": settings.azure_client_certificate_path,
            "AZURE_CLIENT_SECRET": settings.azure_client_secret,
            "AZURE_FEDERATED_TOKEN_FILE": settings.azure_federated_token_file,
            "AZURE_MANAGED_IDENTITY": settings.azure_managed_identity,
        }.items()
        if value
    ]
    if not given:
        yield (
            "AZURE_CLIENT_CERTIFICATE_PATH",
            "is needed; set it, or one of AZURE_CLIENT_SECRET, AZURE_FEDERATED_TOKEN_FILE, AZURE_MANAGED_IDENTITY",
        )
    if len(given) > 1:
        yield given[0], f"cannot be set together with {' and '.join(given[1:])}; keep exactly one way to sign in"
    if settings.azure_client_certificate_password and not settings.azure_client_certificate_path:
        yield "AZURE_CLIENT_CERTIFICATE_PASSWORD", "belongs to AZURE_CLIENT_CERTIFICATE_PATH, which is not set"


def _sharepoint(settings: Settings) -> Problems:
    if "sharepoint" not in settings.targets:
        return
    if not settings.sharepoint_my_site_url:
        yield "SHAREPOINT_MY_SITE_URL", "is needed for that target, e.g. https://contoso-my.sharepoint.com"
    if not settings.sharepoint_admin_url:
        yield "SHAREPOINT_ADMIN_URL", "is needed for that target, e.g. https://contoso-admin.sharepoint.com"
    if settings.azure_client_secret is not None:
        yield (
            "AZURE_CLIENT_SECRET",
            "does not work with SharePoint, which requires a certificate for app-only access; use one instead",
        )


def _files(settings: Settings) -> Problems:
    for name, path in {
        "LDAP_CA_FILE": settings.ldap_ca_file,
        "HTTP_CA_FILE": settings.http_ca_file,
        "AZURE_CLIENT_CERTIFICATE_PATH": settings.azure_client_certificate_path,
        "AZURE_FEDERATED_TOKEN_FILE": settings.azure_federated_token_file,
        "GUEST_PHOTO": settings.guest_photo,
    }.items():
        if path is not None and not _is_found(path.is_file):
            text = f"{path.absolute()} was not found or is not readable by this account"
            yield name, f"{text}; put the file there, or correct the path"
    if settings.metrics_file is not None and not _is_found(settings.metrics_file.parent.is_dir):
        yield "METRICS_FILE", f"is in {settings.metrics_file.parent}, which is not a directory; create it"


def _opted_out(settings: Settings) -> Problems:
    """Read the file itself: one that cannot be read must never be nobody."""
    if settings.opt_out_file is None:
        return
    try:
        opt_out_names(settings.opt_out_file)
    except SettingsError as error:
        for problem in error.problems:
            name, _, text = problem.partition(": ")
            yield name, text


def _paths(settings: Settings) -> Problems:
    """Report paths that do not mean what they say, and a relative state folder."""
    for name in PATHS:
        problem = path_problem(getattr(settings, name.lower()) or "")
        if problem:
            yield name, problem
    if not settings.state_dir.is_absolute() and not variable_in(settings.state_dir):
        text = f"is {settings.state_dir}, which depends on the current directory of a run"
        yield "STATE_DIR", f"{text}; write the absolute path, on Windows with its drive"


def path_problem(path: Path | str, *, windows: bool = sys.platform == "win32") -> str:
    """Return what is wrong with the words of a path: a variable, which is not replaced, or a device; else nothing."""
    if variable := variable_in(path):
        return f"contains {variable}, and variables are not replaced in settings; write the complete path"
    if device := device_in(path, windows=windows):
        return f"contains {device}, which is a device on Windows; use another name"
    return ""


def _is_found(test: Callable[[], bool]) -> bool:
    """Return the result of a test of a path; False if a parent directory cannot be entered."""
    try:
        return test()
    except OSError:
        return False


def _mail(settings: Settings) -> Problems:
    parts = {
        "REPORT_MAIL_TO": settings.report_mail_to,
        "REPORT_MAIL_FROM": settings.report_mail_from,
        "SMTP_URL": settings.smtp_url,
    }
    given = [name for name, value in parts.items() if value]
    for name, value in parts.items():
        if given and not value:
            yield name, f"is needed beside {' and '.join(given)}"
    if settings.smtp_url is not None:
        url, example = settings.smtp_url.get_secret_value(), "smtp://user:password@host:587 or smtps://host"
        problem = url_problem(url, schemes=("smtp", "smtps"), example=example)
        if problem:
            yield "SMTP_URL", problem


def _proxy(settings: Settings) -> Problems:
    if settings.https_proxy is not None:
        problem = proxy_problem(settings.https_proxy.get_secret_value())
        if problem:
            yield "HTTPS_PROXY", problem


RULES: tuple[Callable[[Settings], Problems], ...] = (
    _paths,
    *(_source, _application, _credential, _sharepoint, _files, _opted_out, _mail, _proxy),
)


OPT_OUT_FILE = "OPT_OUT_FILE"


def opt_out_names(path: Path) -> list[str]:
    """Return the UPNs and mails in the file, one of each line; raises SettingsError where a line may hide somebody.

    A file that cannot be read, or without a name, is never nobody: a comment says that it is meant. The first line may
    be a heading, as in a table that a spreadsheet saved.
    """
    try:
        lines = [line.strip(' \t;,"') for line in decoded(path.read_bytes()).splitlines()]
    except OSError as error:
        raise _unreadable_file(path, error.strerror or str(error), "correct the path, or its permissions") from error
    except ValueError as error:
        what, _, cure = str(error).partition("; ")
        raise _unreadable_file(path, what, cure) from error
    written = [(number, line) for number, line in enumerate(lines, start=1) if line and not line.startswith("#")]
    found = [
        (number, line, list({one.lower(): one for one in _ADDRESS.findall(line)}.values())) for number, line in written
    ]
    if found and not found[0][2] and _is_heading(found[0][1]):
        del found[0]
    for number, line, addresses in found:
        if len(addresses) != 1:
            has = f"has {len(addresses)} addresses" if addresses else "has no UPN and no mail address"
            why = f"{has} in line {number}, '{line}'"
            raise SettingsError([f"{OPT_OUT_FILE}: {path} {why}; write one a line, or begin the line with #"])
    names = [addresses[0] for _, _, addresses in found]
    if not names and not any(line.startswith("#") for line in lines):
        why = "names nobody, and everybody who opted out would get a photo"
        raise SettingsError([f"{OPT_OUT_FILE}: {path} {why}; if nobody opted out, write a line that begins with #"])
    return names


def _is_heading(line: str) -> bool:
    cells = ("".join(filter(str.isalpha, cell)).lower() for cell in re.split("[;,\t]", line))
    return any(cell in _HEADINGS for cell in cells)


def _unreadable_file(path: Path, why: str, cure: str) -> SettingsError:
    return SettingsError([f"{OPT_OUT_FILE}: {path} cannot be read: {why}; {cure}"])
