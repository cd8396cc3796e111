"""What can be wrong, and what does the doctor say then? One row each: how it is spoilt, the line and the fix."""

from __future__ import annotations

import json as json_text
import socket
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiosmtpd.controller import Controller

from connector.cloud.token_http import ISSUER_CODES
from connector.ledger.runs import begin_run, finish_run, save_outcome
from connector.ledger.store import make_state_folder, open_ledger, transaction
from connector.model import Action, Outcome, Reason
from connector.model.reasons import SENT_ELSEWHERE
from tests.cloud_stories import Proxy
from tests.lab.graph import Fault, app_certificate, remote
from tests.lab.ldapserver_house import authority
from tests.lab.ldapserver_world import logon_refusal
from tests.test_sources_connect import DC, name_server
from tests.ward import Ward

Spoil = Callable[[Ward], object]
MAIL = {"REPORT_MAIL_TO": "admin@contoso.test", "REPORT_MAIL_FROM": "photos@contoso.test"}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Say how something is spoilt, and which finding tells of it: check, status, words of its detail and its fix."""

    name: str
    spoil: Callable[[Ward], object]
    check: str
    status: str
    says: str
    fix: str


TROUBLES: list[Trouble] = []


def trouble(check: str, status: str, says: str, fix: str) -> Callable[[Spoil], Spoil]:
    """Add a row to the table; its name is the function's."""

    def add(spoil: Spoil) -> Spoil:
        TROUBLES.append(Trouble(spoil.__name__, spoil, check, status, says, fix))
        return spoil

    return add


def _setting(**values: str) -> Callable[[Ward], None]:
    return lambda ward: ward.settings.update(values)


def _row(name: str, spoil: Callable[[Ward], object], *, of: str, says: str, fix: str) -> None:
    check, _, status = of.partition(" ")
    TROUBLES.append(Trouble(name, spoil, check, status, says, fix))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


# Settings


@trouble("settings", "fail", "LDAP_URI: is needed", "set it, or LDAP_DOMAIN")
def a_setting_is_missing(ward: Ward) -> None:
    ward.without("LDAP_URI")


@trouble("settings", "warn", "SYNC_REMOVD: unknown", "did you mean SYNC_REMOVED?")
def a_name_is_misspelt(ward: Ward) -> None:
    ward.settings["SYNC_REMOVD"] = "remove"


@trouble("settings", "fail", "LDAP_CA_FILE:", "Correct LDAP_CA_FILE")
def the_bundle_is_no_pem(ward: Ward) -> None:
    ward.settings["LDAP_CA_FILE"] = str(ward.put("ca.pem", "this is no certificate"))


@trouble("settings", "fail", "HTTP_CA_FILE:", "HTTP_CA_FILE: name a readable PEM file")
def the_cloud_bundle_is_no_pem(ward: Ward) -> None:
    ward.settings["HTTP_CA_FILE"] = str(ward.put("http-ca.pem", "this is no certificate"))


@trouble("settings", "fail", "AZURE_CLIENT_CERTIFICATE_PASSWORD: does not open the file", "check the password")
def the_certificate_has_another_password(ward: Ward) -> None:
    shown = app_certificate(ward.folder, name="locked", password="open sesame")
    ward.settings["AZURE_CLIENT_CERTIFICATE_PATH"] = str(shown.pfx_file)
    ward.settings["AZURE_CLIENT_CERTIFICATE_PASSWORD"] = "a wrong guess"


# State


@trouble("state-folder", "fail", "cannot be written", "Modify rights")
def the_state_folder_cannot_be_made(ward: Ward) -> None:
    ward.settings["STATE_DIR"] = str(ward.put("a-file", "") / "state")


@trouble("state-folder", "warn", "others on this machine can read it", "chmod 700")
def the_state_folder_is_open_to_all(ward: Ward) -> None:
    ward.nights.state.mkdir(mode=0o755)
    ward.nights.state.chmod(0o755)


@trouble("ledger", "fail", "is of version 99", "Install the newer photo-connector")
def the_ledger_is_newer(ward: Ward) -> None:
    make_state_folder(ward.nights.state)
    with closing(sqlite3.connect(ward.nights.state / "ledger.sqlite3")) as db:
        db.execute("PRAGMA user_version = 99")


@trouble("ledger", "warn", "is damaged", "keeps it aside")
def the_ledger_is_damaged(ward: Ward) -> None:
    make_state_folder(ward.nights.state)
    (ward.nights.state / "ledger.sqlite3").write_bytes(b"no database at all" * 500)


@trouble("last-run", "warn", ": some failed; 1 created, 2 failed", "`photo-connector report ")
def the_last_run_failed_for_some(ward: Ward) -> None:
    make_state_folder(ward.nights.state)
    now = datetime.now(UTC)
    with closing(open_ledger(ward.nights.state)[0]) as db, transaction(db):
        run = begin_run(db, kind="sync", now=now, dry_run=False, chosen=False)
        finish_run(db, run, now=now, values={"exit_code": 3, "totals": {"people": 9, "created": 1, "failed": 2}})


_row(
    "backups_are_off",
    _setting(BACKUP_DAYS="0"),
    of="backups warn",
    says="no run can be undone",
    fix="BACKUP_DAYS=30",
)


# The directory: names, TLS, sign-in


_row(
    "no_such_server",
    _setting(LDAP_URI="ldaps://no-such-dc.invalid"),
    of="directory-dns fail",
    says="no-such-dc.invalid is not known to DNS",
    fix="nslookup no-such-dc.invalid",
)


@trouble("directory-dns", "warn", "no-such-dc.invalid is not known to DNS", "Correct the spelling in LDAP_URI")
def one_of_two_servers_has_no_address(ward: Ward) -> None:
    ward.settings["LDAP_URI"] = f"ldaps://no-such-dc.invalid {ward.domain.uri}"


@trouble(
    "directory-dns", "fail", f"no domain controller of nowhere.test ({DC.replace('contoso', 'nowhere')})", "LDAP_DOMAIN"
)
def dns_knows_no_such_domain(ward: Ward) -> None:
    ward.stack.enter_context(name_server({DC: [(0, 100, 389, "dc1.contoso.test.")]}))
    ward.without("LDAP_URI")
    ward.settings |= {"LDAP_DOMAIN": "nowhere.test"}
    ward.without("LDAP_BASE_DN")


@trouble("directory-tls", "fail", "connection refused", "Check the port")
def nobody_listens_there(ward: Ward) -> None:
    ward.settings["LDAP_URI"] = f"ldaps://localhost:{free_port()}"


@trouble("directory-tls", "warn", "connection refused", "whether the server is up")
def one_of_two_servers_is_down(ward: Ward) -> None:
    ward.settings["LDAP_URI"] = f"{ward.domain.uri} ldaps://localhost:{free_port()}"


@trouble("directory-tls", "fail", "its certificate is not trusted", "LDAP_CA_FILE")
def the_server_s_authority_is_unknown(ward: Ward) -> None:
    ward.settings["LDAP_CA_FILE"] = ward.cloud.ca_file


@trouble("directory-tls", "fail", "its certificate has expired", "above it. To see its certificate: openssl")
def the_server_s_certificate_has_expired(ward: Ward) -> None:
    ward.stack.enter_context(ward.domain.presenting(ward.domain.authority.expired(ward.domain.host)))


@trouble("directory-tls", "fail", "another host name", "Use a name that stands in the certificate")
def the_server_s_certificate_is_for_another_name(ward: Ward) -> None:
    ward.stack.enter_context(ward.domain.presenting(ward.domain.authority.wrong_name()))


@trouble("directory-tls", "fail", "does not name this IP address", "Use the server's DNS name")
def the_server_is_named_by_an_address_that_its_certificate_lacks(ward: Ward) -> None:
    ward.settings["LDAP_URI"] = f"ldaps://{ward.domain.address}"
    ward.stack.enter_context(ward.domain.presenting(ward.domain.authority.wrong_name()))


@trouble("directory-tls", "warn", ", certificate for localhost by ", "Renew the certificate of localhost")
def the_server_s_certificate_ends_soon(ward: Ward) -> None:
    house = ward.at_house()
    shown = authority().ending("localhost", days=10)
    tls = house.server.world.tls
    assert isinstance(tls, ssl.SSLContext)
    tls.load_cert_chain(shown.certificate_file, shown.key_file)


@trouble("directory-tls", "fail", "it does not speak TLS there", "ldaps:// with port 636")
def the_port_speaks_no_tls(ward: Ward) -> None:
    ward.settings["LDAP_URI"] = ward.cloud.side_url.replace("http://", "ldaps://")


@trouble("directory-tls", "fail", "does not offer StartTLS", "Use ldaps://")
def start_tls_is_not_offered(ward: Ward) -> None:
    ward.at_house(plain=True)
    ward.settings["LDAP_START_TLS"] = "true"


_row(
    "the_password_is_wrong",
    _setting(LDAP_PASSWORD="mistyped-0815"),
    of="directory-sign-in fail",
    says="the user name or the password is wrong",
    fix="Correct LDAP_USER and LDAP_PASSWORD",
)


def _refused(data: str) -> Callable[[Ward], None]:
    def spoil(ward: Ward) -> None:
        ward.at_house().knobs.refuse_bind = logon_refusal(data)

    return spoil


for _data, _says, _fix in (
    ("52e", "the user name or the password is wrong", "Correct LDAP_USER and LDAP_PASSWORD"),
    ("525", "there is no such user", "a UPN (svc@contoso.com) or a full DN"),
    ("530", "may not sign in at this hour", "Allow it all hours"),
    ("531", "may not sign in from this computer", "'Log On To' list"),
    ("568", "in too many groups", "few memberships"),
    ("532", "the password has expired", "Set a new password"),
    ("533", "the account is disabled", "Enable the account"),
    ("701", "the account has expired", "Extend the account's expiry"),
    ("773", "the password must be changed", "must change at next logon"),
    ("775", "the account is locked out", "Unlock it"),
):
    _row(f"the_sign_in_is_refused_with_{_data}", _refused(_data), of="directory-sign-in fail", says=_says, fix=_fix)


def _refused_with(code: int, text: str) -> Callable[[Ward], None]:
    def spoil(ward: Ward) -> None:
        ward.at_house().knobs.refuse_bind = (code, text)

    return spoil


_row(
    "the_server_wants_a_channel_binding",
    _refused_with(49, "80090346: LdapErr: DSID-0C0906B5, data 80090346, v4563\x00"),
    of="directory-sign-in fail",
    says="wants a channel binding token",
    fix="photo-connector[kerberos]",
)
_row(
    "the_server_wants_signing",
    _refused_with(8, "00002028: LdapErr: DSID-0C09023D, the server requires binds to turn on integrity checking\x00"),
    of="directory-sign-in fail",
    says="takes no sign-in over an unprotected connection",
    fix="ldaps:// address or LDAP_START_TLS=true",
)


@trouble("directory-sign-in", "fail", "it does not hold DC=other,DC=test", "correct LDAP_BASE_DN")
def the_base_is_of_another_domain(ward: Ward) -> None:
    ward.settings["LDAP_BASE_DN"] = "OU=People,DC=other,DC=test"


@trouble("directory-clock", "warn", "differ by 10 minutes", "w32tm /resync")
def this_machine_s_clock_is_wrong(ward: Ward) -> None:
    ward.nights.days = 10 / 1440


# The directory: who is read


@trouble("directory-base", "fail", "LDAP_BASE_DN OU=Misspelt", "Correct LDAP_BASE_DN")
def a_base_is_misspelt(ward: Ward) -> None:
    ward.settings["LDAP_BASE_DN"] = f"OU=Misspelt,{ward.domain.base_dn}"


@trouble("directory-base", "fail", "there is no such entry 'OU=Former", "Correct LDAP_EXCLUDE_DN")
def an_excluded_subtree_is_gone(ward: Ward) -> None:
    ward.settings["LDAP_EXCLUDE_DN"] = f"OU=Former,{ward.ou}"


_row(
    "there_is_no_such_group",
    _setting(LDAP_GROUP="Photo Pilots"),
    of="directory-group fail",
    says="there is no group 'Photo Pilots'",
    fix="Correct LDAP_GROUP",
)
_row(
    "no_mailbox_shows_its_kind",
    _setting(LDAP_INCLUDE="users,rooms"),
    of="mailboxes warn",
    says=": 0 in scope. Either there is none, or",
    fix="take rooms out of LDAP_INCLUDE",
)
_row(
    "there_is_no_such_policy_group",
    _setting(OPT_OUT_GROUP="Photo Opponents"),
    of="policy-groups fail",
    says="there is no group 'Photo Opponents'",
    fix="Correct OPT_OUT_GROUP",
)
_row(
    "the_filter_cannot_be_followed",
    _setting(LDAP_FILTER="(!(memberOf=CN=Nobody,DC=contoso,DC=test))"),
    of="directory-filter warn",
    says="does not report changes of memberOf",
    fix="LDAP_GROUP for a group",
)


@trouble("directory-filter", "fail", "unwilling", "load")
def the_filter_is_refused(ward: Ward) -> None:
    ward.at_house().knobs.refuse_page[1] = (53, "this filter is not supported")
    ward.settings["LDAP_FILTER"] = "(title=*)"


@trouble(
    "directory-dirsync", "warn", "refuses DirSync, so every run is a full read", "Name a writable domain controller"
)
def dirsync_is_not_offered(ward: Ward) -> None:
    ward.at_house().knobs.offers_dirsync = False


@trouble("directory-dirsync", "warn", "refuses DirSync", "LDAP_URI")
def dirsync_is_refused(ward: Ward) -> None:
    ward.at_house().knobs.refuse_dirsync = (50, "00002105: SecErr")


_row(
    "nobody_is_in_scope",
    _setting(LDAP_FILTER="(title=Nobody has this one)"),
    of="people fail",
    says="no person is in scope",
    fix="Get-ADUser -LDAPFilter '(&",
)


@trouble("photos", "warn", "jpegPhoto: 0 readable. Either there is none, or svc-photo@", ":RP;jpegPhoto;user'`")
def one_photo_attribute_may_not_be_read(ward: Ward) -> None:
    ward.directory.hide(ward.dns, "jpegPhoto")


@trouble("photos", "fail", "thumbnailPhoto: 0 readable. Either there is none, or svc-photo@", "dsacls")
def no_photo_attribute_may_be_read(ward: Ward) -> None:
    for attribute in ("jpegPhoto", "thumbnailPhoto"):
        ward.directory.hide(ward.dns, attribute)


@trouble("anchor", "warn", "mS-DS-ConsistencyGuid: 0 readable of 3 people", ":RP;mS-DS-ConsistencyGuid;user'`")
def the_anchor_may_not_be_read(ward: Ward) -> None:
    ward.directory.hide(ward.dns, "mS-DS-ConsistencyGuid")


_row(
    "nobody_has_the_anchor",
    _setting(LDAP_ANCHOR="employeeID"),
    of="anchor fail",
    says="no person can be matched by the anchor",
    fix="Set LDAP_ANCHOR to the source anchor that Entra Connect shows",
)


def _from_folder(ward: Ward) -> None:
    ward.without(*[name for name in ward.settings if name.startswith("LDAP_")])
    (ward.folder / "pictures").mkdir()
    ward.settings |= {"SOURCE": "folder", "FOLDER_PATH": str(ward.folder / "pictures"), "FOLDER_KEY": "upn"}


_row("the_folder_is_empty", _from_folder, of="people fail", says="contains no picture", fix="Correct FOLDER_PATH")


# The cloud: way, certificate, clock, token, roles


@trouble("cloud-way", "fail", "the name graph.invalid cannot be resolved", "Check DNS")
def graph_s_name_is_unknown(ward: Ward) -> None:
    ward.settings["GRAPH_URL"] = "https://graph.invalid"


@trouble("cloud-way", "fail", "refused the connection", "firewall (TCP 443 out)")
def graph_refuses_the_connection(ward: Ward) -> None:
    ward.settings["GRAPH_URL"] = f"https://127.0.0.1:{free_port()}"


@trouble("cloud-way", "fail", "through the proxy 127.0.0.1:", "HTTPS_PROXY")
def the_proxy_is_down(ward: Ward) -> None:
    ward.settings["HTTPS_PROXY"] = f"http://somebody:a-proxy-password@127.0.0.1:{free_port()}"


@trouble("graph", "fail", "the proxy wants a login (407)", "http://user:password@proxy:port")
def the_proxy_wants_a_login(ward: Ward) -> None:
    proxy = ward.stack.enter_context(Proxy(login="somebody:else"))
    ward.settings["HTTPS_PROXY"] = f"http://{proxy.address}"


@trouble("token", "fail", "the proxy did not let us through", "Check HTTPS_PROXY and NO_PROXY")
def the_proxy_refuses_every_tunnel(ward: Ward) -> None:
    proxy = ward.stack.enter_context(Proxy(refusals=1_000))
    ward.settings["HTTPS_PROXY"] = f"http://{proxy.address}"


@trouble("graph", "fail", "ended the connection before its answer was complete", "firewall (TCP 443 out)")
def graph_hangs_up(ward: Ward) -> None:
    ward.cloud.fail_next(r"GET /v1.0/users", Fault(kind="drop"), times=-1)


@trouble("graph", "fail", "the certificate of 127.0.0.1 was not accepted", "HTTP_CA_FILE is set, but")
def a_proxy_opens_tls(ward: Ward) -> None:
    ward.cloud.change_certificate()


@trouble("graph", "warn", "answered HTTP 200 where Graph requires a token", "answers with its own page")
def something_answers_in_graph_s_place(ward: Ward) -> None:
    ward.cloud.fail_next("GET /v1.0/users", Fault(kind="wrong-content"))


def _far_cloud(ward: Ward) -> None:
    """Move the cloud to a process of its own, whose clock goes right while ours does not."""
    command = [sys.executable, "-m", "tests.lab.graph", "--folder", str(ward.folder / "far")]
    process = ward.stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    ward.stack.callback(process.terminate)
    assert process.stdout is not None
    far = remote(json_text.loads(process.stdout.readline())["side_url"])
    for person in ward.people:
        far.tenant.add_account(person.upn, immutable_id=person.anchor, synced=True)
    facts = {"AZURE_TENANT_ID": far.tenant_id, "AZURE_CLIENT_ID": far.client_id, "HTTP_CA_FILE": far.ca_file}
    ward.settings |= {**facts, "AZURE_AUTHORITY_HOST": far.authority_host, "GRAPH_URL": far.graph_url}
    ward.settings["AZURE_CLIENT_SECRET"] = far.client_secret
    ward.without("AZURE_CLIENT_CERTIFICATE_PATH")


@trouble("cloud-clock", "fail", "differ by 10 minutes, so tokens may be refused", "timedatectl")
def our_clock_is_ten_minutes_off(ward: Ward) -> None:
    _far_cloud(ward)
    ward.nights.days = 10 / 1440


@trouble("cloud-clock", "warn", "differ by", "timedatectl")
def our_clock_is_two_minutes_off(ward: Ward) -> None:
    _far_cloud(ward)
    ward.nights.days = 2 / 1440


def _certificate(ward: Ward, days: int) -> None:
    shown = app_certificate(ward.folder, name="short", days=days)
    ward.cloud.issuer.register_certificate(shown.public_pem)
    ward.settings["AZURE_CLIENT_CERTIFICATE_PATH"] = str(shown.pem_file)


@trouble("credential", "warn", "days are left", "Certificates & secrets")
def our_certificate_ends_soon(ward: Ward) -> None:
    _certificate(ward, 12)


@trouble("credential", "fail", "it has expired", "docs/permissions.md#a-certificate")
def our_certificate_has_expired(ward: Ward) -> None:
    _certificate(ward, -1)


def _with_secret(ward: Ward, secret: str = "") -> None:
    ward.without("AZURE_CLIENT_CERTIFICATE_PATH")
    ward.settings["AZURE_CLIENT_SECRET"] = secret or ward.cloud.client_secret


_row(
    "we_sign_in_with_a_secret",
    _with_secret,
    of="credential warn",
    says="its expiry date cannot be read from here",
    fix="See 'Expires' in Entra admin center",
)


@trouble(
    "credential",
    "warn",
    "(AZURE_CLIENT_SECRET_EXPIRES): 8 days are left",
    "then change AZURE_CLIENT_SECRET and AZURE_CLIENT_SECRET_EXPIRES",
)
def our_secret_ends_soon(ward: Ward) -> None:
    _with_secret(ward)
    ward.settings["AZURE_CLIENT_SECRET_EXPIRES"] = f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}"


_row(
    "the_secret_is_wrong",
    lambda ward: _with_secret(ward, "not-this-one"),
    of="token fail",
    says="AADSTS7000215",
    fix="Copy the secret's value, not its ID",
)


@trouble("token", "fail", "the client secret has expired", "Create a new one")
def the_secret_has_expired(ward: Ward) -> None:
    _with_secret(ward)
    ward.cloud.issuer.expire_secret()


@trouble("token", "fail", "the certificate is not registered", "Upload the certificate's public part")
def our_certificate_is_not_registered(ward: Ward) -> None:
    ward.settings["AZURE_CLIENT_CERTIFICATE_PATH"] = str(app_certificate(ward.folder, name="stranger").pem_file)


_row(
    "there_is_no_such_tenant",
    _setting(AZURE_TENANT_ID="11111111-2222-3333-4444-555555555555"),
    of="token fail",
    says="there is no such tenant",
    fix="Check AZURE_TENANT_ID",
)
_row(
    "there_is_no_such_application",
    _setting(AZURE_CLIENT_ID="11111111-2222-3333-4444-555555555555"),
    of="token fail",
    says="the application is not in this tenant",
    fix="Check AZURE_CLIENT_ID",
)


def _issuer_says(number: str) -> Callable[[Ward], None]:
    def spoil(ward: Ward) -> None:
        said = Fault(status=400, code="invalid_client", message=f"AADSTS{number}: as the issuer words it.")
        ward.cloud.fail_next("POST .*/token", said, times=-1)

    return spoil


# The emulated issuer finds out the usual ones by itself, above; the others are put into its mouth.
for _number, (_what, _cure) in ISSUER_CODES.items():
    _row(f"the_issuer_says_{_number}", _issuer_says(_number), of="token fail", says=f"{_what}: ", fix=_cure)
_row(
    "the_issuer_says_what_nobody_knows_yet",
    _issuer_says("999999"),
    of="token fail",
    says="no token was given: ",
    fix="https://login.microsoftonline.com/error",
)


def _roles(*roles: str) -> Callable[[Ward], None]:
    return lambda ward: ward.cloud.issuer.set_roles(*roles)


_row(
    "the_right_to_write_photos_is_missing",
    _roles("User.Read.All"),
    of="roles fail",
    says="the token lacks ProfilePhoto.ReadWrite.All",
    fix="Application permissions > ProfilePhoto.ReadWrite.All, then Grant admin consent",
)
_row(
    "there_are_rights_beyond_need",
    _roles("User.Read.All", "ProfilePhoto.ReadWrite.All", "Mail.Read", "Directory.ReadWrite.All"),
    of="roles warn",
    says="more than needed: Directory.ReadWrite.All, Mail.Read.",
    fix="Remove Directory.ReadWrite.All, Mail.Read",
)
_row(
    "one_wide_right_stands_for_two",
    _roles("User.ReadWrite.All"),
    of="roles warn",
    says="more than needed: User.ReadWrite.All",
    fix="First add User.Read.All and ProfilePhoto.ReadWrite.All there",
)


# The tenant


_row(
    "users_may_not_be_listed",
    _roles("ProfilePhoto.ReadWrite.All"),
    of="graph-users fail",
    says="the application may not list users",
    fix="Grant the application User.Read.All",
)


@trouble("graph-users", "fail", "the tenant lists no account", "Check AZURE_TENANT_ID")
def the_tenant_is_empty(ward: Ward) -> None:
    for account_id in ward.cloud.tenant.account_ids():
        ward.cloud.tenant.remove_account(account_id, "deleted")


@trouble("graph-photo", "fail", "denied", "ProfilePhoto.ReadWrite.All")
def photos_may_not_be_read(ward: Ward) -> None:
    denied = Fault(status=403, code="ErrorAccessDenied", message="Access is denied.")
    ward.cloud.fail_next(r"ITEM GET .*/photo", denied, times=-1)


def _policy(**switches: object) -> Callable[[Ward], None]:
    def spoil(ward: Ward) -> None:
        ward.cloud.issuer.set_roles("User.Read.All", "ProfilePhoto.ReadWrite.All", "PeopleSettings.Read.All")
        ward.cloud.set(**switches)

    return spoil


_row(
    "photos_may_be_set_on_premises_only",
    _policy(policy_source="onPremises"),
    of="photo-policy warn",
    says="on-premises only",
    fix='{"source":"cloud","allowedRoles":[]}',
)
_row(
    "only_some_roles_may_set_photos",
    _policy(policy_allowed_roles=("62e90394-69f5-4237-9190-012177145e10",)),
    of="photo-policy warn",
    says="only these roles may update photos (62e90394-69f5-4237-9190-012177145e10)",
    fix="photoUpdateSettings",
)


@trouble("graph-photo", "fail", "could not be read: HTTP 500", "The next run tries again")
def a_photo_is_listed_and_cannot_be_fetched(ward: Ward) -> None:
    ward.cloud.fail_next(r"(ITEM )?GET .*/photo/\$value", Fault(status=500, code="UnknownError"), times=-1)


@trouble("photo-policy", "warn", "The photo policy could not be read", "PeopleSettings.Read.All")
def the_policy_cannot_be_read_although_we_may(ward: Ward) -> None:
    _policy()(ward)
    ward.cloud.fail_next(r"GET /beta/admin", Fault(status=403, code="Authorization_RequestDenied"), times=-1)


# Both sides


@trouble("match", "warn", "3 of 4 people have an account (all accounts were listed); without: dave-", "MATCH_FALLBACK")
def one_of_four_has_no_account(ward: Ward) -> None:
    ward.add("dave")


@trouble("match", "fail", "0 of 3 people have an account (all accounts were listed); without: ", "LDAP_ANCHOR")
def nobody_has_an_account(ward: Ward) -> None:
    for account_id in ward.cloud.tenant.account_ids():
        ward.cloud.tenant.remove_account(account_id, "deleted")
    ward.cloud.tenant.add_account("stranger@contoso.test")


@trouble("match", "warn", "none of the accounts tested is synced from a directory", "SYNC_CLOUD_MANAGED=follow")
def no_account_is_synced_from_the_directory(ward: Ward) -> None:
    for account_id in ward.cloud.tenant.account_ids():
        ward.cloud.tenant.update_account(account_id, synced=False)


@trouble("match", "warn", "(ambiguous-match)", "Graph Explorer")
def two_people_share_an_anchor(ward: Ward) -> None:
    ward.directory.set(ward.dns[1], **{"mS-DS-ConsistencyGuid": b"1234567890123456"})
    ward.directory.set(ward.dns[2], **{"mS-DS-ConsistencyGuid": b"1234567890123456"})


@trouble(
    "competing-writer",
    "warn",
    "the cloud showed a smaller copy for 21 people: Entra Connect writes",
    "take thumbnailPhoto out of Entra Connect",
)
def entra_connect_writes_too(ward: Ward) -> None:
    competed(ward, 21)


@trouble(
    "competing-writer", "warn", "and this server had not sent them: another server may write, too", "SYNC_STAGING=true"
)
def a_second_server_writes_too(ward: Ward) -> None:
    competed(ward, 3, Reason.ADOPTED, SENT_ELSEWHERE)


@trouble("mail", "warn", "the report cannot be mailed: 127.0.0.1: it does not answer", "Correct SMTP_URL")
def the_mail_server_is_down(ward: Ward) -> None:
    ward.settings |= {"SMTP_URL": f"smtp://127.0.0.1:{free_port()}", **MAIL}


def _mail_server(ward: Ward, **refused: str) -> None:
    server = Controller(Porter(refused), hostname="127.0.0.1", port=free_port())
    server.start()
    ward.stack.callback(server.stop)
    ward.settings |= {"SMTP_URL": f"smtp://127.0.0.1:{server.port}", **MAIL}


@trouble("mail", "warn", "takes no mail from photos@contoso.test for admin@contoso.test", "REPORT_MAIL_TO")
def the_mail_server_refuses_the_receiver(ward: Ward) -> None:
    _mail_server(ward, RCPT="550 no such mailbox")


@trouble("mail", "warn", "it offers no STARTTLS, so the password was not sent", "Correct SMTP_URL")
def the_mail_server_offers_no_encryption(ward: Ward) -> None:
    _mail_server(ward)
    ward.settings["SMTP_URL"] = ward.settings["SMTP_URL"].replace("smtp://", "smtp://photos:password@")


class Porter:
    """Answer some commands of a mail session as told, and take no mail."""

    def __init__(self, refused: dict[str, str]) -> None:
        self.refused, self.mails = refused, 0

    async def handle_RCPT(self, _server: object, _session: object, envelope: Any, address: str, _: object) -> str:  # noqa: N802
        envelope.rcpt_tos.append(address)
        return self.refused.get("RCPT", "250 OK")

    async def handle_DATA(self, *_: object) -> str:  # noqa: N802
        self.mails += 1
        return "250 OK"


def competed(ward: Ward, people: int, reason: Reason = Reason.COMPETING_WRITER, detail: str = "") -> None:
    """Keep a night in the ledger in which so many people's photos were written by another."""
    make_state_folder(ward.nights.state)
    now = datetime.now(UTC)
    with closing(open_ledger(ward.nights.state)[0]) as db, transaction(db):
        run = begin_run(db, kind="sync", now=now, dry_run=False, chosen=False)
        for number in range(people):
            outcome = Outcome(
                person=f"CN={number}",
                upn="",
                account_id=str(number),
                action=Action.KEEP,
                reason=reason,
                detail=detail,
                person_id=str(number),
            )
            save_outcome(db, run, outcome)
        finish_run(db, run, now=now, values={"exit_code": 0})
        begin_run(db, kind="sync", now=now, dry_run=True, chosen=False)


def to_sharepoint(ward: Ward) -> None:
    """Make SharePoint a target, too."""
    ward.settings |= {"TARGETS": "graph,sharepoint"}
    for name, host in (("MY_SITE", "contoso-my"), ("ADMIN", "contoso-admin")):
        ward.settings[f"SHAREPOINT_{name}_URL"] = f"https://{host}.sharepoint.com"


_row(
    "sharepoint_lacks_its_roles",
    to_sharepoint,
    of="sharepoint fail",
    says="the token for contoso-admin.sharepoint.com lacks Sites.FullControl.All, User.ReadWrite.All",
    fix="Add a permission > SharePoint",
)
