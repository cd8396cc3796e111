"""Define the settings as one frozen class; a field's name in capitals is the setting's name."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from connector.config import values as v
from connector.model import CloudManaged, Conflict, MatchRule, Removed


def default_state_dir() -> Path:
    """Return the per-user data directory of this tool (Linux and Windows)."""
    return user_data_path("photo-connector", appauthor=False)


class Settings(BaseModel):
    """Represent every setting of the contract; `load_settings` fills it and checks the rules between settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    source: v.SourceKind = Field(v.SourceKind.LDAP, description="The source of the photos: `ldap` or `folder`.")
    ldap_uri: v.Uris = Field(
        (), description="`ldaps://dc1.contoso.com`; several, separated by spaces, are tried in order."
    )
    ldap_domain: v.DnsName | None = Field(
        None, description="Instead of `LDAP_URI`: find the domain controllers of this domain by DNS SRV."
    )
    ldap_site: str | None = Field(
        None, description="With `LDAP_DOMAIN`: prefer the domain controllers of this AD site."
    )
    ldap_start_tls: bool = Field(False, description="Upgrade an `ldap://` connection to TLS.")
    ldap_ca_file: v.File | None = Field(
        None,
        description="PEM bundle of the domain controllers' certificate authority; unset is the system's store.",
    )
    ldap_auth: v.LdapAuth = Field(
        v.LdapAuth.SIMPLE,
        description="`simple`, or `kerberos` (ticket cache, keytab, or the account the task runs as).",
    )
    ldap_user: str | None = Field(None, description="The service account: UPN or DN.")
    ldap_password: SecretStr | None = Field(
        None, description="The password of that account; a simple bind is refused on an unencrypted connection."
    )
    ldap_base_dn: v.Names = Field(
        (), description="The base DNs to search, separated by `;`; unset is the domain's root."
    )
    ldap_filter: v.Filter | None = Field(
        None, description="An RFC 4515 filter, ANDed with the built-in one (users, enabled)."
    )
    ldap_include_disabled: bool = Field(
        False, description="Also read all disabled users, leavers too; for shared mailboxes see `LDAP_INCLUDE`."
    )
    ldap_include: v.Includes = Field(
        (v.Include.USERS,),
        description="Any of `users`, `shared`, `rooms`, `equipment`, separated by commas: enabled users, and the "
        "mailboxes of these kinds (`msExchRecipientTypeDetails`, on-premises or remote), whose accounts are disabled.",
    )
    ldap_group: v.Group | None = Field(
        None, description="Only members of this group, also nested ones (a pilot or a licence group)."
    )
    ldap_exclude_dn: v.Names = Field(
        (), description="Subtrees or single users to exclude, separated by `;`. One that does not exist is an error."
    )
    ldap_photo_attributes: v.Attributes = Field(
        ("jpegPhoto", "thumbnailPhoto"),
        description="In order of preference: the first attribute with a usable picture is used, and of several values "
        "the largest (by default users may write their own thumbnailPhoto, but not their jpegPhoto).",
    )
    ldap_anchor: v.Attribute = Field(
        "auto",
        description="The attribute that Entra Connect uses as the source anchor. `auto` is mS-DS-ConsistencyGuid, else "
        "objectGUID; or the name of one attribute, whose value is compared case-sensitively (bytes as base64).",
    )
    ldap_include_contacts: bool = Field(False, description="Also read contacts, matched to guest accounts by mail.")
    folder_path: v.File | None = Field(None, description="A folder of pictures named after users.")
    folder_key: v.FolderKey = Field(
        MatchRule.UPN,
        description="The property that names the pictures: `upn`, `mail`, `employee-id`, `sam-account-name`.",
    )
    folder_map: v.File | None = Field(
        None,
        description="A CSV file that assigns pictures to users, in addition to or instead of their names: "
        "`person,file[,from][,until]`, the person in the form of `FOLDER_KEY`, the file below `FOLDER_PATH`, the dates "
        "as 2027-03-31.",
    )
    opt_out_group: v.Group | None = Field(
        None,
        description="Members of this group, also nested ones, opted out: nothing is sent for them, and a photo that "
        "this tool uploaded is removed (`opted-out`), within the safety limit for removals; its backup is deleted at "
        "the end of the next run.",
    )
    opt_out_file: v.File | None = Field(
        None,
        description="A text file with the UPNs or mail addresses of users who opted out, one a line, treated as above. "
        "A line without an address is an error, and so is a file without any.",
    )
    keep_cloud_group: v.Group | None = Field(
        None,
        description="For members of this group, also nested ones, `SYNC_CONFLICT` is `cloud`; also if they are in "
        "`SOURCE_WINS_GROUP`.",
    )
    source_wins_group: v.Group | None = Field(
        None, description="For members of this group, also nested ones, `SYNC_CONFLICT` is `source`."
    )
    match_check_sid: bool = Field(
        True,
        description="A user and an account with the same anchor but different known SIDs do not match (skip "
        "`anchor-disputed`).",
    )
    match_external: bool = Field(
        False,
        description="Match users who have no other account to external accounts (`#EXT#`, invited or created by "
        "cross-tenant synchronization) by mail, if unambiguous; a photo there that this tool did not upload is never "
        "replaced.",
    )
    match_fallback: v.Rules = Field(
        (MatchRule.SID,),
        description="How to match after the anchor, in this order: `sid`, `upn`, `mail`, or `none`; `sid` takes an "
        "account that no other user's anchor matches, `upn` and `mail` only one without an immutable ID.",
    )
    azure_tenant_id: v.Tenant | None = Field(None, description="The tenant: its directory ID or a domain of it.")
    azure_client_id: v.ClientId | None = Field(None, description="The app registration's application (client) ID.")
    azure_client_certificate_path: v.File | None = Field(
        None, description="PEM (with its key) or PFX, the preferred way to sign in."
    )
    azure_client_certificate_password: SecretStr | None = Field(
        None, description="The password of that PEM's key or PFX."
    )
    azure_client_secret: SecretStr | None = Field(
        None, description="Client secret, instead of a certificate; a certificate is recommended."
    )
    azure_client_secret_expires: v.Day | None = Field(
        None, description="The day on which that secret expires, as 2027-03-31: runs and `check` warn 30 days before."
    )
    azure_federated_token_file: v.File | None = Field(None, description="Workload identity: the file with the token.")
    azure_managed_identity: bool = Field(
        False, description="Use the machine's identity; `AZURE_CLIENT_ID` picks a user-assigned one."
    )
    azure_authority_host: v.Url | None = Field(
        None, description="Another token issuer's base URL (https); unset is the cloud's own."
    )
    graph_cloud: v.Cloud = Field(
        v.Cloud.GLOBAL, description="Microsoft's cloud: `global`, `usgov`, `usgov-dod`, `china`."
    )
    graph_url: v.GraphRoot | None = Field(
        None,
        description="Another Graph root, without the version, e.g. `https://graph.microsoft.com`; the token's scope "
        "follows it, unset is the cloud's own.",
    )
    http_ca_file: v.File | None = Field(
        None,
        description="PEM bundle for the token issuer, Graph and SharePoint; wins over `REQUESTS_CA_BUNDLE`, unset is "
        "the system's store.",
    )
    https_proxy: SecretStr | None = Field(None, description="The proxy for connections to Microsoft 365.")
    no_proxy: str | None = Field(None, description="Hosts that are contacted without the proxy.")
    targets: v.Targets = Field(
        ("graph",),
        description="`graph`; `sharepoint` (all users in scope); `graph,sharepoint` (Graph for all, SharePoint for "
        "those without Exchange Online).",
    )
    sharepoint_my_site_url: v.Url | None = Field(
        None, description="The My Site host: `https://contoso-my.sharepoint.com`."
    )
    sharepoint_admin_url: v.Url | None = Field(
        None, description="The admin site: `https://contoso-admin.sharepoint.com`."
    )
    sharepoint_photo_folder: str = Field(
        "User Photos/Profile Pictures",
        description="Where SharePoint keeps the thumbnails; its name depends on the site's language.",
    )
    sharepoint_widths: v.Widths = Field((48, 72, 200), description="The widths of the three thumbnails, in pixels.")
    sync_conflict: Conflict = Field(
        Conflict.SOURCE,
        description="The photo was changed outside photo-connector: `source` wins, `cloud` wins, or `report` (as "
        "`cloud`, listed in every run).",
    )
    sync_cloud_managed: CloudManaged = Field(
        CloudManaged.LEAVE,
        description="An account with an immutable ID that is not synced from a directory (its source of authority is "
        "the cloud): `leave` it unchanged (skip `cloud-managed`, listed once), or `follow` the source "
        "as for any other.",
    )
    sync_removed: Removed = Field(
        Removed.KEEP,
        description="The source photo was cleared: `keep` the cloud photo or `remove` it, if this tool uploaded it.",
    )
    sync_staging: bool = Field(
        False,
        description="A stand-by server: every run reads, compares and plans as usual, but never writes a photo; set it "
        "to `false` to take over.",
    )
    sync_max_changes_percent: int = Field(
        10,
        ge=0,
        le=100,
        description="Safety limit: replacements, in percent of the matched users with a cloud photo; applies from 20 "
        "replacements.",
    )
    sync_max_overwrites: int = Field(
        500,
        ge=0,
        description="Safety limit: replacing or re-creating photos that this tool did not upload; from the first run.",
    )
    sync_max_removals: int = Field(
        500, ge=0, description="Safety limit: removals; also 10 % of the known users (at least 5), whichever is less."
    )
    sync_max_rematches: int = Field(
        20,
        ge=0,
        description="Safety limit: users whose account changed or was lost since the last run, if also over 1 %.",
    )
    sync_max_uploads: int = Field(0, ge=0, description="Maximum uploads per run; 0 is no limit.")
    sync_max_minutes: int = Field(
        0,
        ge=0,
        description="Minutes after which a run starts nothing new, in any phase; 0 is no limit.",
    )
    sync_relist_days: int = Field(7, ge=0, description="Days after which all accounts are listed again; 0 is never.")
    sync_reread_days: int = Field(
        30, ge=0, description="Days after which the directory is read in full again; 0 is never."
    )
    sync_verify_percent: int = Field(
        15,
        ge=0,
        le=100,
        description="Percentage of the unchanged users whose cloud photo is checked in each run, in rotation.",
    )
    sync_concurrency: v.Concurrency = Field(
        v.FIRST_LANES,
        description="Photo requests in parallel, 1 to 64; a batch counts as one. `auto` starts with 4, goes up to "
        "16 while response times stay the same, and goes down at the first sign of load.",
    )
    photo_size: int = Field(
        648, ge=48, le=4096, description="Longest edge sent, in pixels; a picture is never enlarged."
    )
    photo_crop: v.Crop = Field(v.Crop.SQUARE, description="How a picture is cropped: `square` or `none`.")
    guest_photo: v.File | None = Field(
        None, description="The path of a picture that is given to guest accounts without a photo."
    )
    placeholder_people: v.PlaceholderPeople = Field(
        5, ge=0, description="A picture that at least so many users share is a placeholder, not a photo; 0 is off."
    )
    state_dir: v.File = Field(
        default_factory=default_state_dir,
        description="Database, backups, run logs and reports; created with mode 0700, never on a network share; unset "
        "is the per-user data directory.",
    )
    ledger_days: int = Field(
        400, ge=1, description="Days for which results, and the state of users no longer seen, are kept."
    )
    backup_days: int = Field(
        30,
        ge=0,
        description="Days for which replaced cloud photos are kept; 0 keeps none, and every report notes it.",
    )
    report_pictures: v.Pictures = Field(
        v.Pictures.CONFLICTS,
        description="Thumbnails in the HTML file: `none`, `conflicts`, `changes`; never in mail.",
    )
    metrics_file: v.File | None = Field(
        None, description="Prometheus textfile (its name ends in `.prom`): last success, counts, durations."
    )
    report_mail_to: v.Addresses = Field((), description="Recipients of the report, separated by commas.")
    report_mail_from: v.Address | None = Field(None, description="Sender of the mail.")
    smtp_url: SecretStr | None = Field(
        None,
        description="The mail server: `smtp://user:password@host:587` (STARTTLS) or `smtps://host` (TLS).",
    )
    report_mail_when: v.MailWhen = Field(
        v.MailWhen.ALWAYS,
        description="When the report is mailed: `always`, after `changes` or problems, or only after `problems`.",
    )

    @property
    def first_lanes(self) -> int:
        """Return how many photo requests a run begins with in parallel."""
        return v.FIRST_LANES if isinstance(self.sync_concurrency, str) else self.sync_concurrency

    @property
    def most_lanes(self) -> int:
        """Return how many photo requests may ever run in parallel."""
        return v.MOST_LANES if isinstance(self.sync_concurrency, str) else self.sync_concurrency


def _is_path(annotation: object) -> bool:
    return any(Path in (kind, getattr(kind, "__origin__", None)) for kind in v.union_members(annotation))


NAMES = tuple(name.upper() for name in Settings.model_fields)
SECRETS = tuple(
    name.upper() for name, field in Settings.model_fields.items() if SecretStr in v.union_members(field.annotation)
)
PATHS = tuple(name.upper() for name, field in Settings.model_fields.items() if _is_path(field.annotation))
SECRET_FILE_SETTINGS = {f"{name}_FILE": name for name in SECRETS}
