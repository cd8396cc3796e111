"""List the checks in their order, with what each depends on."""

from __future__ import annotations

from connector.doctor import cloud, directory, local, people
from connector.doctor.findings import Check

_S = ("settings",)
_READERS = ("directory-group",)

CHECKS: tuple[Check, ...] = (
    Check(
        id="settings",
        what="Settings",
        about="✗ for each setting that is missing or wrong (exit code 2; nothing else is tested), a bundle or"
        " certificate file that cannot be used, or Kerberos without its library; ! for unknown names and weak choices",
        look=local.check_settings,
    ),
    Check(
        id="state-folder",
        what="State folder",
        about="✗ when it cannot be written, is on a network share, belongs to another account, contains links, or can"
        " be written by others; ! when others on the machine can read it",
        look=local.check_state_folder,
        needs=_S,
    ),
    Check(
        id="ledger",
        what="Database",
        about="✗ when a newer version made it; ! when it is damaged; skipped before the first sync",
        look=local.check_ledger,
        needs=("state-folder",),
    ),
    Check(
        id="staging",
        what="Stand-by",
        about="says whether `SYNC_STAGING` keeps this server from writing",
        look=local.check_staging,
        needs=_S,
    ),
    Check(id="backups", what="Backups", about="! for `BACKUP_DAYS=0`", look=local.check_backups, needs=_S),
    Check(
        id="directory-dns",
        what="Names of the domain controllers",
        about="✗ when DNS knows no SRV record of `LDAP_DOMAIN`, or no server of `LDAP_URI`; ! for each that it does not"
        " know while it knows another",
        look=directory.check_dns,
        needs=_S,
        ldap_only=True,
    ),
    Check(
        id="directory-tls",
        what="Connection to the domain controllers",
        about="✗ when none can be reached over TLS with a certificate that is trusted, in date and in the server's name"
        " (at most 20 are tried); ! for each that fails while another works, or whose certificate ends in 30 days",
        look=directory.check_tls,
        needs=("directory-dns",),
        ldap_only=True,
    ),
    Check(
        id="directory-sign-in",
        what="Sign-in to the directory",
        about="✗ when the account is refused: wrong password, expired, locked, disabled, no ticket, channel binding …",
        look=directory.check_sign_in,
        needs=("directory-tls",),
        ldap_only=True,
    ),
    Check(
        id="directory-base",
        what="Base DNs",
        about="✗ for a base DN or an excluded subtree or person that does not exist or cannot be read",
        look=directory.check_bases,
        needs=("directory-sign-in",),
        ldap_only=True,
    ),
    Check(
        id="directory-group",
        what="Group",
        about="✗ when there is no such group; skipped when `LDAP_GROUP` is not set",
        look=directory.check_group,
        needs=("directory-base",),
        ldap_only=True,
    ),
    Check(
        id="policy-groups",
        what="Opt-out and policy groups",
        about="✗ when `OPT_OUT_GROUP`, `KEEP_CLOUD_GROUP` or `SOURCE_WINS_GROUP` names no group (a run then reads"
        " nobody); skipped when none is set",
        look=directory.check_policy_groups,
        needs=_READERS,
        ldap_only=True,
    ),
    Check(
        id="directory-filter",
        what="Filter",
        about="✗ when the directory refuses `LDAP_FILTER`; ! when its changes cannot be followed",
        look=directory.check_filter,
        needs=_READERS,
        ldap_only=True,
    ),
    Check(
        id="people",
        what="People in scope",
        about="✗ when there are none, or the folder cannot be read (counted up to 20,000)",
        look=people.check_people,
        needs=("directory-filter",),
    ),
    Check(
        id="photos",
        what="Readable photos",
        about="✗ when no photo attribute has a readable value for any person; ! for one of several attributes without",
        look=people.check_photos,
        needs=("people",),
        ldap_only=True,
    ),
    Check(
        id="anchor",
        what="Readable anchor",
        about="! when mS-DS-ConsistencyGuid is empty or unreadable for all people; ✗ when another `LDAP_ANCHOR` is",
        look=people.check_anchor,
        needs=("people",),
        ldap_only=True,
    ),
    Check(
        id="directory-dirsync",
        what="DirSync",
        about="! when the domain controller refuses the control: runs work, but each is a full read",
        look=directory.check_dirsync,
        needs=_READERS,
        ldap_only=True,
    ),
    Check(
        id="directory-clock",
        what="Clock against the directory",
        about="! from a minute's difference on (with Kerberos the sign-in fails from five minutes on)",
        look=directory.check_clock,
        needs=("directory-sign-in",),
        ldap_only=True,
    ),
    Check(
        id="cloud-way",
        what="Network connectivity",
        about="✗ when token issuer or Graph (or the proxy to them) cannot be reached: DNS, firewall, proxy",
        look=cloud.check_way_out,
        needs=_S,
    ),
    Check(
        id="token",
        what="Token",
        about="✗ with the issuer's own words: wrong or expired secret, unknown certificate, application or tenant …",
        look=cloud.check_token,
        needs=("cloud-way",),
    ),
    Check(
        id="roles",
        what="Application permissions",
        about="✗ for each that the token lacks, ! for those that are not needed",
        look=cloud.check_roles,
        needs=("token",),
    ),
    Check(
        id="graph",
        what="Graph",
        about="✗ when its certificate is not accepted or the proxy refuses; ! when something else answers in its place",
        look=cloud.check_graph,
        needs=("cloud-way",),
    ),
    Check(
        id="cloud-clock",
        what="Clock against Graph",
        about="! from a minute's difference on, ✗ from five minutes on",
        look=cloud.check_cloud_clock,
        needs=("graph",),
    ),
    Check(
        id="graph-users",
        what="Listing users",
        about="✗ when no page of users can be read, or the tenant has none",
        look=cloud.check_users,
        needs=("token", "graph"),
    ),
    Check(
        id="graph-photo",
        what="Reading a photo",
        about="✗ when the photos of the first accounts are refused",
        look=cloud.check_photo,
        needs=("graph-users",),
    ),
    Check(
        id="photo-policy",
        what="Photo policy (photoUpdateSettings)",
        about="! when it says onPremises, names roles, or cannot be read although the role was granted; skipped"
        " without `PeopleSettings.Read.All`",
        look=cloud.check_policy,
        needs=("token", "graph"),
    ),
    Check(
        id="match",
        what="People and their accounts",
        about="✗ when no person of the sample (the first 500) has an account, ! when under 90 % have; five without are"
        " named",
        look=people.check_match,
        needs=("people", "graph-users"),
    ),
    Check(
        id="credential",
        what="Certificate or secret",
        about="✗ when the certificate has expired; ! within 30 days of that, and for a secret, whose expiry cannot be"
        " read",
        look=cloud.check_credential,
        needs=_S,
    ),
    Check(
        id="sharepoint",
        what="SharePoint",
        about="✗ when no token for it is issued, or it lacks a role; skipped unless `TARGETS` names it",
        look=cloud.check_sharepoint,
        needs=("cloud-way",),
    ),
    Check(
        id="competing-writer",
        what="Competing writers",
        about="! when in the last run the cloud showed a smaller copy for more than 20 people, as Entra Connect writes",
        look=local.check_for_competitors,
        needs=("ledger",),
    ),
    Check(
        id="mail",
        what="Mail server",
        about="! when it cannot be reached, encrypted or signed in to, or would not take the report (none is sent)",
        look=local.check_mail,
        needs=_S,
    ),
)
