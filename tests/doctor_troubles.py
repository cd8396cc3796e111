"""What `check` can find: one row for each thing that is wrong, how it is spoilt, the line and the fix."""

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
from tests.check_env import CheckEnv
from tests.cloud_stories import Proxy
from tests.lab.graph import Fault, app_certificate, remote
from tests.lab.ldapserver_directory import authority
from tests.lab.ldapserver_world import logon_refusal
from tests.test_sources_connect import DC, name_server

Spoil = Callable[[CheckEnv], object]
MAIL = {"REPORT_MAIL_TO": "admin@contoso.test", "REPORT_MAIL_FROM": "photos@contoso.test"}


@dataclass(frozen=True, slots=True)
class Trouble:
    """How something is spoilt, and the finding that reports it: check, status, words of its detail and its fix."""

    name: str
    spoil: Callable[[CheckEnv], object]
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


def _setting(**values: str) -> Callable[[CheckEnv], None]:
    return lambda check_env: check_env.settings.update(values)


def _row(name: str, spoil: Callable[[CheckEnv], object], *, of: str, says: str, fix: str) -> None:
    check, _, status = of.partition(" ")
    TROUBLES.append(Trouble(name, spoil, check, status, says, fix))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


# Settings


@trouble("settings", "fail", "LDAP_URI: is needed", "set it, or LDAP_DOMAIN")
def a_setting_is_missing(check_env: CheckEnv) -> None:
    check_env.without("LDAP_URI")


@trouble("settings", "warn", "SYNC_REMOVD: unknown", "did you mean SYNC_REMOVED?")
def a_name_is_misspelt(check_env: CheckEnv) -> None:
    check_env.settings["SYNC_REMOVD"] = "remove"


@trouble("settings", "fail", "LDAP_CA_FILE:", "Correct LDAP_CA_FILE")
def the_bundle_is_no_pem(check_env: CheckEnv) -> None:
    check_env.settings["LDAP_CA_FILE"] = str(check_env.put("ca.pem", "this is no certificate"))


@trouble("settings", "fail", "HTTP_CA_FILE:", "HTTP_CA_FILE: name a readable PEM file")
def the_cloud_bundle_is_no_pem(check_env: CheckEnv) -> None:
    check_env.settings["HTTP_CA_FILE"] = str(check_env.put("http-ca.pem", "this is no certificate"))


@trouble("settings", "fail", "AZURE_CLIENT_CERTIFICATE_PASSWORD: does not open the file", "check the password")
def the_certificate_has_another_password(check_env: CheckEnv) -> None:
    shown = app_certificate(check_env.folder, name="locked", password="open sesame")
    check_env.settings["AZURE_CLIENT_CERTIFICATE_PATH"] = str(shown.pfx_file)
    check_env.settings["AZURE_CLIENT_CERTIFICATE_PASSWORD"] = "a wrong guess"


# State


@trouble("state-folder", "fail", "cannot be written", "Modify rights")
def the_state_folder_cannot_be_made(check_env: CheckEnv) -> None:
    check_env.settings["STATE_DIR"] = str(check_env.put("a-file", "") / "state")


@trouble("state-folder", "warn", "others on this machine can read it", "chmod 700")
def the_state_folder_is_open_to_all(check_env: CheckEnv) -> None:
    check_env.runner.state.mkdir()
    check_env.runner.state.chmod(0o755)


@trouble("ledger", "fail", "is of version 99", "Install the newer photo-connector")
def the_ledger_is_newer(check_env: CheckEnv) -> None:
    make_state_folder(check_env.runner.state)
    with closing(sqlite3.connect(check_env.runner.state / "ledger.sqlite3")) as db:
        db.execute("PRAGMA user_version = 99")


@trouble("ledger", "warn", "is damaged", "keeps it aside")
def the_ledger_is_damaged(check_env: CheckEnv) -> None:
    make_state_folder(check_env.runner.state)
    (check_env.runner.state / "ledger.sqlite3").write_bytes(b"no database at all" * 500)


@trouble("last-run", "warn", ": some failed; 1 created, 2 failed", "`photo-connector report ")
def the_last_run_failed_for_some(check_env: CheckEnv) -> None:
    make_state_folder(check_env.runner.state)
    now = datetime.now(UTC)
    with closing(open_ledger(check_env.runner.state)[0]) as db, transaction(db):
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
def one_of_two_servers_has_no_address(check_env: CheckEnv) -> None:
    check_env.settings["LDAP_URI"] = f"ldaps://no-such-dc.invalid {check_env.domain.uri}"


@trouble(
    "directory-dns", "fail", f"no domain controller of nowhere.test ({DC.replace('contoso', 'nowhere')})", "LDAP_DOMAIN"
)
def dns_knows_no_such_domain(check_env: CheckEnv) -> None:
    check_env.stack.enter_context(name_server({DC: [(0, 100, 389, "dc1.contoso.test.")]}))
    check_env.without("LDAP_URI")
    check_env.settings |= {"LDAP_DOMAIN": "nowhere.test"}
    check_env.without("LDAP_BASE_DN")


@trouble("directory-tls", "fail", "connection refused", "Check the port")
def nobody_listens_there(check_env: CheckEnv) -> None:
    check_env.settings["LDAP_URI"] = f"ldaps://localhost:{free_port()}"


@trouble("directory-tls", "warn", "connection refused", "whether the server is up")
def one_of_two_servers_is_down(check_env: CheckEnv) -> None:
    check_env.settings["LDAP_URI"] = f"{check_env.domain.uri} ldaps://localhost:{free_port()}"


@trouble("directory-tls", "fail", "its certificate is not trusted", "LDAP_CA_FILE")
def the_server_s_authority_is_unknown(check_env: CheckEnv) -> None:
    check_env.settings["LDAP_CA_FILE"] = check_env.cloud.ca_file


@trouble("directory-tls", "fail", "its certificate has expired", "above it. To see its certificate: openssl")
def the_server_s_certificate_has_expired(check_env: CheckEnv) -> None:
    check_env.stack.enter_context(
        check_env.domain.presenting(check_env.domain.authority.expired(check_env.domain.host))
    )


@trouble("directory-tls", "fail", "another host name", "Use a name that stands in the certificate")
def the_server_s_certificate_is_for_another_name(check_env: CheckEnv) -> None:
    check_env.stack.enter_context(check_env.domain.presenting(check_env.domain.authority.wrong_name()))


@trouble("directory-tls", "fail", "does not name this IP address", "Use the server's DNS name")
def the_server_is_named_by_an_address_that_its_certificate_lacks(check_env: CheckEnv) -> None:
    check_env.settings["LDAP_URI"] = f"ldaps://{check_env.domain.address}"
    check_env.stack.enter_context(check_env.domain.presenting(check_env.domain.authority.wrong_name()))


@trouble("directory-tls", "warn", ", certificate for localhost by ", "Renew the certificate of localhost")
def the_server_s_certificate_ends_soon(check_env: CheckEnv) -> None:
    ldap = check_env.on_own_server()
    shown = authority().ending("localhost", days=10)
    tls = ldap.server.world.tls
    assert isinstance(tls, ssl.SSLContext)
    tls.load_cert_chain(shown.certificate_file, shown.key_file)


@trouble("directory-tls", "fail", "it does not speak TLS there", "ldaps:// with port 636")
def the_port_speaks_no_tls(check_env: CheckEnv) -> None:
    check_env.settings["LDAP_URI"] = check_env.cloud.side_url.replace("http://", "ldaps://")


@trouble("directory-tls", "fail", "does not offer StartTLS", "Use ldaps://")
def start_tls_is_not_offered(check_env: CheckEnv) -> None:
    check_env.on_own_server(plain=True)
    check_env.settings["LDAP_START_TLS"] = "true"


_row(
    "the_password_is_wrong",
    _setting(LDAP_PASSWORD="mistyped-0815"),
    of="directory-sign-in fail",
    says="the user name or the password is wrong",
    fix="Correct LDAP_USER and LDAP_PASSWORD",
)


def _refused(data: str) -> Callable[[CheckEnv], None]:
    def spoil(check_env: CheckEnv) -> None:
        check_env.on_own_server().knobs.refuse_bind = logon_refusal(data)

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


def _refused_with(code: int, text: str) -> Callable[[CheckEnv], None]:
    def spoil(check_env: CheckEnv) -> None:
        check_env.on_own_server().knobs.refuse_bind = (code, text)

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
def the_base_is_of_another_domain(check_env: CheckEnv) -> None:
    check_env.settings["LDAP_BASE_DN"] = "OU=People,DC=other,DC=test"


@trouble("directory-clock", "warn", "differ by 10 minutes", "w32tm /resync")
def this_machine_s_clock_is_wrong(check_env: CheckEnv) -> None:
    check_env.runner.days = 10 / 1440


# The directory: who is read


@trouble("directory-base", "fail", "LDAP_BASE_DN OU=Misspelt", "Correct LDAP_BASE_DN")
def a_base_is_misspelt(check_env: CheckEnv) -> None:
    check_env.settings["LDAP_BASE_DN"] = f"OU=Misspelt,{check_env.domain.base_dn}"


@trouble("directory-base", "fail", "there is no such entry 'OU=Former", "Correct LDAP_EXCLUDE_DN")
def an_excluded_subtree_is_gone(check_env: CheckEnv) -> None:
    check_env.settings["LDAP_EXCLUDE_DN"] = f"OU=Former,{check_env.ou}"


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


@trouble(
    "policy-groups", "warn", "is one by the group's own list only", "Let the service account read memberOf of all users"
)
def a_member_hides_memberof(check_env: CheckEnv) -> None:
    ldap = check_env.on_own_server()
    (dora,) = [entry for entry in ldap.tree.everyone() if entry.dn.startswith("CN=dora")]
    own: dict[str, Any] = {"mS-DS-ConsistencyGuid": [b"e" * 16]}
    eve = ldap.person("eve", **own)
    check_env.cloud.tenant.add_account("eve@contoso.test", immutable_id="ZWVlZWVlZWVlZWVlZWVlZQ==", synced=True)
    dn = f"CN=Opponents,{ldap.tree.root}"
    kind = {"objectClass": "group", "objectCategory": "group", "sAMAccountType": "268435456", "userAccountControl": []}
    ldap.tree.add(dn, **kind, sAMAccountName="Opponents", member=[dora.dn, eve.dn])
    for one in (dora, eve):
        ldap.tree.change(one.guid, memberOf=[dn])
    ldap.knobs.hidden_of[eve.guid] = frozenset(("memberof",))
    check_env.settings["OPT_OUT_GROUP"] = dn


_row(
    "the_filter_cannot_be_followed",
    _setting(LDAP_FILTER="(!(memberOf=CN=Nobody,DC=contoso,DC=test))"),
    of="directory-filter warn",
    says="does not report changes of memberOf",
    fix="LDAP_GROUP for a group",
)


@trouble("directory-filter", "fail", "unwilling", "load")
def the_filter_is_refused(check_env: CheckEnv) -> None:
    check_env.on_own_server().knobs.refuse_page[1] = (53, "this filter is not supported")
    check_env.settings["LDAP_FILTER"] = "(title=*)"


@trouble(
    "directory-dirsync", "warn", "refuses DirSync, so every run is a full read", "Name a writable domain controller"
)
def dirsync_is_not_offered(check_env: CheckEnv) -> None:
    check_env.on_own_server().knobs.offers_dirsync = False


@trouble("directory-dirsync", "warn", "refuses DirSync", "LDAP_URI")
def dirsync_is_refused(check_env: CheckEnv) -> None:
    check_env.on_own_server().knobs.refuse_dirsync = (50, "00002105: SecErr")


_row(
    "nobody_is_in_scope",
    _setting(LDAP_FILTER="(title=Nobody has this one)"),
    of="people fail",
    says="no person is in scope",
    fix="Get-ADUser -LDAPFilter '(&",
)


@trouble(
    "people", "warn", "people in scope do not show it, so that reader@contoso.test", ":RP;userAccountControl;user'`"
)
def one_account_does_not_show_whether_it_is_enabled(check_env: CheckEnv) -> None:
    ldap = check_env.on_own_server()
    (dora,) = [entry for entry in ldap.tree.everyone() if entry.dn.startswith("CN=dora")]
    ldap.knobs.hidden_of[dora.guid] = frozenset(("useraccountcontrol",))


@trouble("photos", "warn", "jpegPhoto: 0 readable. Either there is none, or svc-photo@", ":RP;jpegPhoto;user'`")
def one_photo_attribute_may_not_be_read(check_env: CheckEnv) -> None:
    check_env.directory.hide(check_env.dns, "jpegPhoto")


@trouble("photos", "fail", "thumbnailPhoto: 0 readable. Either there is none, or svc-photo@", "dsacls")
def no_photo_attribute_may_be_read(check_env: CheckEnv) -> None:
    for attribute in ("jpegPhoto", "thumbnailPhoto"):
        check_env.directory.hide(check_env.dns, attribute)


@trouble("anchor", "warn", "mS-DS-ConsistencyGuid: 0 readable of 3 people", ":RP;mS-DS-ConsistencyGuid;user'`")
def the_anchor_may_not_be_read(check_env: CheckEnv) -> None:
    check_env.directory.hide(check_env.dns, "mS-DS-ConsistencyGuid")


_row(
    "nobody_has_the_anchor",
    _setting(LDAP_ANCHOR="employeeID"),
    of="anchor fail",
    says="no person can be matched by the anchor",
    fix="Set LDAP_ANCHOR to the source anchor that Entra Connect shows",
)


def _from_folder(check_env: CheckEnv) -> None:
    check_env.without(*[name for name in check_env.settings if name.startswith("LDAP_")])
    (check_env.folder / "pictures").mkdir()
    check_env.settings |= {"SOURCE": "folder", "FOLDER_PATH": str(check_env.folder / "pictures"), "FOLDER_KEY": "upn"}


_row("the_folder_is_empty", _from_folder, of="people fail", says="contains no picture", fix="Correct FOLDER_PATH")


# The cloud: way, certificate, clock, token, roles


@trouble("cloud-way", "fail", "the name graph.invalid cannot be resolved", "Check DNS")
def graph_s_name_is_unknown(check_env: CheckEnv) -> None:
    check_env.settings["GRAPH_URL"] = "https://graph.invalid"


@trouble("cloud-way", "fail", "refused the connection", "firewall (TCP 443 out)")
def graph_refuses_the_connection(check_env: CheckEnv) -> None:
    check_env.settings["GRAPH_URL"] = f"https://127.0.0.1:{free_port()}"


@trouble("cloud-way", "fail", "through the proxy 127.0.0.1:", "HTTPS_PROXY")
def the_proxy_is_down(check_env: CheckEnv) -> None:
    check_env.settings["HTTPS_PROXY"] = f"http://somebody:a-proxy-password@127.0.0.1:{free_port()}"


@trouble("graph", "fail", "the proxy requires a login (407)", "http://user:password@proxy:port")
def the_proxy_wants_a_login(check_env: CheckEnv) -> None:
    proxy = check_env.stack.enter_context(Proxy(login="somebody:else"))
    check_env.settings["HTTPS_PROXY"] = f"http://{proxy.address}"


@trouble("token", "fail", "the proxy refused the connection", "Check HTTPS_PROXY and NO_PROXY")
def the_proxy_refuses_every_tunnel(check_env: CheckEnv) -> None:
    proxy = check_env.stack.enter_context(Proxy(refusals=1_000))
    check_env.settings["HTTPS_PROXY"] = f"http://{proxy.address}"


@trouble("graph", "fail", "ended the connection before its answer was complete", "firewall (TCP 443 out)")
def graph_hangs_up(check_env: CheckEnv) -> None:
    check_env.cloud.fail_next(r"GET /v1.0/users", Fault(kind="drop"), times=-1)


@trouble("graph", "fail", "the certificate of 127.0.0.1 was not accepted", "HTTP_CA_FILE is set, but")
def a_proxy_opens_tls(check_env: CheckEnv) -> None:
    check_env.cloud.change_certificate()


@trouble("graph", "warn", "answered HTTP 200 where Graph requires a token", "answers with its own page")
def something_answers_in_graph_s_place(check_env: CheckEnv) -> None:
    check_env.cloud.fail_next("GET /v1.0/users", Fault(kind="wrong-content"))


def _far_cloud(check_env: CheckEnv) -> None:
    """Move the cloud to a process of its own, whose clock goes right while ours does not."""
    command = [sys.executable, "-m", "tests.lab.graph", "--folder", str(check_env.folder / "far")]
    process = check_env.stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    check_env.stack.callback(process.terminate)
    assert process.stdout is not None
    far = remote(json_text.loads(process.stdout.readline())["side_url"])
    for person in check_env.people:
        far.tenant.add_account(person.upn, immutable_id=person.anchor, synced=True)
    facts = {"AZURE_TENANT_ID": far.tenant_id, "AZURE_CLIENT_ID": far.client_id, "HTTP_CA_FILE": far.ca_file}
    check_env.settings |= {**facts, "AZURE_AUTHORITY_HOST": far.authority_host, "GRAPH_URL": far.graph_url}
    check_env.settings["AZURE_CLIENT_SECRET"] = far.client_secret
    check_env.without("AZURE_CLIENT_CERTIFICATE_PATH")


@trouble("cloud-clock", "fail", "differ by 10 minutes, so tokens may be refused", "timedatectl")
def our_clock_is_ten_minutes_off(check_env: CheckEnv) -> None:
    _far_cloud(check_env)
    check_env.runner.days = 10 / 1440


@trouble("cloud-clock", "warn", "differ by", "timedatectl")
def our_clock_is_two_minutes_off(check_env: CheckEnv) -> None:
    _far_cloud(check_env)
    check_env.runner.days = 2 / 1440


def _certificate(check_env: CheckEnv, days: int) -> None:
    shown = app_certificate(check_env.folder, name="short", days=days)
    check_env.cloud.issuer.register_certificate(shown.public_pem)
    check_env.settings["AZURE_CLIENT_CERTIFICATE_PATH"] = str(shown.pem_file)


@trouble("credential", "warn", "days are left", "Certificates & secrets")
def our_certificate_ends_soon(check_env: CheckEnv) -> None:
    _certificate(check_env, 12)


@trouble("credential", "fail", "it has expired", "docs/permissions.md#a-certificate")
def our_certificate_has_expired(check_env: CheckEnv) -> None:
    _certificate(check_env, -1)


def _with_secret(check_env: CheckEnv, secret: str = "") -> None:
    check_env.without("AZURE_CLIENT_CERTIFICATE_PATH")
    check_env.settings["AZURE_CLIENT_SECRET"] = secret or check_env.cloud.client_secret


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
def our_secret_ends_soon(check_env: CheckEnv) -> None:
    _with_secret(check_env)
    check_env.settings["AZURE_CLIENT_SECRET_EXPIRES"] = f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}"


_row(
    "the_secret_is_wrong",
    lambda check_env: _with_secret(check_env, "not-this-one"),
    of="token fail",
    says="AADSTS7000215",
    fix="Copy the secret's value, not its ID",
)


@trouble("token", "fail", "the client secret has expired", "Create a new one")
def the_secret_has_expired(check_env: CheckEnv) -> None:
    _with_secret(check_env)
    check_env.cloud.issuer.expire_secret()


@trouble("token", "fail", "the certificate is not registered", "Upload the certificate's public part")
def our_certificate_is_not_registered(check_env: CheckEnv) -> None:
    check_env.settings["AZURE_CLIENT_CERTIFICATE_PATH"] = str(
        app_certificate(check_env.folder, name="stranger").pem_file
    )


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


def _issuer_says(number: str) -> Callable[[CheckEnv], None]:
    def spoil(check_env: CheckEnv) -> None:
        said = Fault(status=400, code="invalid_client", message=f"AADSTS{number}: as the issuer words it.")
        check_env.cloud.fail_next("POST .*/token", said, times=-1)

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


def _roles(*roles: str) -> Callable[[CheckEnv], None]:
    return lambda check_env: check_env.cloud.issuer.set_roles(*roles)


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
def the_tenant_is_empty(check_env: CheckEnv) -> None:
    for account_id in check_env.cloud.tenant.account_ids():
        check_env.cloud.tenant.remove_account(account_id, "deleted")


@trouble("graph-photo", "fail", "denied", "ProfilePhoto.ReadWrite.All")
def photos_may_not_be_read(check_env: CheckEnv) -> None:
    denied = Fault(status=403, code="ErrorAccessDenied", message="Access is denied.")
    check_env.cloud.fail_next(r"ITEM GET .*/photo", denied, times=-1)


def _policy(**switches: object) -> Callable[[CheckEnv], None]:
    def spoil(check_env: CheckEnv) -> None:
        check_env.cloud.issuer.set_roles("User.Read.All", "ProfilePhoto.ReadWrite.All", "PeopleSettings.Read.All")
        check_env.cloud.set(**switches)

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
def a_photo_is_listed_and_cannot_be_fetched(check_env: CheckEnv) -> None:
    check_env.cloud.fail_next(r"(ITEM )?GET .*/photo/\$value", Fault(status=500, code="UnknownError"), times=-1)


@trouble("photo-policy", "warn", "The photo policy could not be read", "PeopleSettings.Read.All")
def the_policy_cannot_be_read_although_we_may(check_env: CheckEnv) -> None:
    _policy()(check_env)
    check_env.cloud.fail_next(r"GET /beta/admin", Fault(status=403, code="Authorization_RequestDenied"), times=-1)


# Both sides


@trouble("match", "warn", "3 of 4 people have an account (all accounts were listed); without: dave-", "MATCH_FALLBACK")
def one_of_four_has_no_account(check_env: CheckEnv) -> None:
    check_env.add("dave")


@trouble("match", "fail", "0 of 3 people have an account (all accounts were listed); without: ", "LDAP_ANCHOR")
def nobody_has_an_account(check_env: CheckEnv) -> None:
    for account_id in check_env.cloud.tenant.account_ids():
        check_env.cloud.tenant.remove_account(account_id, "deleted")
    check_env.cloud.tenant.add_account("stranger@contoso.test")


@trouble("match", "warn", "none of the accounts tested is synced from a directory", "SYNC_CLOUD_MANAGED=follow")
def no_account_is_synced_from_the_directory(check_env: CheckEnv) -> None:
    for account_id in check_env.cloud.tenant.account_ids():
        check_env.cloud.tenant.update_account(account_id, synced=False)


@trouble("match", "warn", "(ambiguous-match)", "Graph Explorer")
def two_people_share_an_anchor(check_env: CheckEnv) -> None:
    check_env.directory.set(check_env.dns[1], **{"mS-DS-ConsistencyGuid": b"1234567890123456"})
    check_env.directory.set(check_env.dns[2], **{"mS-DS-ConsistencyGuid": b"1234567890123456"})


@trouble(
    "competing-writer",
    "warn",
    "the cloud showed a smaller copy for 21 people: Entra Connect writes",
    "take thumbnailPhoto out of Entra Connect",
)
def entra_connect_writes_too(check_env: CheckEnv) -> None:
    competed(check_env, 21)


@trouble(
    "competing-writer", "warn", "and this server had not sent them: another server may write, too", "SYNC_STAGING=true"
)
def a_second_server_writes_too(check_env: CheckEnv) -> None:
    competed(check_env, 3, Reason.ADOPTED, elsewhere=3)


@trouble("mail", "warn", "the report cannot be mailed: 127.0.0.1: it does not answer", "Correct SMTP_URL")
def the_mail_server_is_down(check_env: CheckEnv) -> None:
    check_env.settings |= {"SMTP_URL": f"smtp://127.0.0.1:{free_port()}", **MAIL}


def _mail_server(check_env: CheckEnv, **refused: str) -> None:
    server = Controller(Porter(refused), hostname="127.0.0.1", port=free_port())
    server.start()
    check_env.stack.callback(server.stop)
    check_env.settings |= {"SMTP_URL": f"smtp://127.0.0.1:{server.port}", **MAIL}


@trouble("mail", "warn", "takes no mail from photos@contoso.test for admin@contoso.test", "REPORT_MAIL_TO")
def the_mail_server_refuses_the_receiver(check_env: CheckEnv) -> None:
    _mail_server(check_env, RCPT="550 no such mailbox")


@trouble("mail", "warn", "it offers no STARTTLS, so the password was not sent", "Correct SMTP_URL")
def the_mail_server_offers_no_encryption(check_env: CheckEnv) -> None:
    _mail_server(check_env)
    check_env.settings["SMTP_URL"] = check_env.settings["SMTP_URL"].replace("smtp://", "smtp://photos:password@")


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


def competed(check_env: CheckEnv, people: int, reason: Reason = Reason.COMPETING_WRITER, elsewhere: int = 0) -> None:
    """Keep a night in the ledger in which so many people's photos were written by another."""
    make_state_folder(check_env.runner.state)
    now = datetime.now(UTC)
    with closing(open_ledger(check_env.runner.state)[0]) as db, transaction(db):
        run = begin_run(db, kind="sync", now=now, dry_run=False, chosen=False)
        for number in range(people):
            outcome = Outcome(
                person=f"CN={number}",
                upn="",
                account_id=str(number),
                action=Action.KEEP,
                reason=reason,
                person_id=str(number),
            )
            save_outcome(db, run, outcome)
        finish_run(db, run, now=now, values={"exit_code": 0, "sent_elsewhere": elsewhere})
        begin_run(db, kind="sync", now=now, dry_run=True, chosen=False)


def to_sharepoint(check_env: CheckEnv) -> None:
    """Make SharePoint a target, too."""
    check_env.settings |= {"TARGETS": "graph,sharepoint"}
    for name, host in (("MY_SITE", "contoso-my"), ("ADMIN", "contoso-admin")):
        check_env.settings[f"SHAREPOINT_{name}_URL"] = f"https://{host}.sharepoint.com"


_row(
    "sharepoint_lacks_its_roles",
    to_sharepoint,
    of="sharepoint fail",
    says="the token for contoso-admin.sharepoint.com lacks Sites.FullControl.All, User.ReadWrite.All",
    fix="Add a permission > SharePoint",
)
