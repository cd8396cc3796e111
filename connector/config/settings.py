"""Which settings are there? One typed, frozen class; each field's name in capitals is the setting's name."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from connector.config import values as v
from connector.model import CloudManaged, Conflict, MatchRule, Removed


def default_state_dir() -> Path:
    """Return the per-user data folder of this tool (Linux and Windows)."""
    return user_data_path("photo-connector", appauthor=False)


class Settings(BaseModel):
    """Hold every setting of the contract; `load_settings` fills it and checks what hangs together."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    source: v.SourceKind = Field(v.SourceKind.LDAP, description="Where the pictures come from: `ldap` or `folder`.")
    ldap_uri: v.Uris = Field(
        (), description="`ldaps://dc1.contoso.com`; several, separated by spaces, are tried in turn."
    )
    ldap_domain: v.DnsName | None = Field(
        None, description="Instead of `LDAP_URI`: find the domain controllers of this domain by DNS SRV."
    )
    ldap_site: str | None = Field(None, description="With `LDAP_DOMAIN`: take those of this AD site first.")
    ldap_start_tls: bool = Field(False, description="Upgrade an `ldap://` connection to TLS.")
    ldap_ca_file: v.File | None = Field(
        None, description="PEM bundle that signs the domain controllers; unset is the system's store."
    )
    ldap_auth: v.LdapAuth = Field(
        v.LdapAuth.SIMPLE,
        description="`simple`, or `kerberos` (ticket cache, keytab, or the account the task runs as).",
    )
    ldap_user: str | None = Field(None, description="The reading account: UPN or DN.")
    ldap_password: SecretStr | None = Field(
        None, description="Its password; a simple bind is refused on an unencrypted connection."
    )
    ldap_base_dn: v.Names = Field((), description="One or more, separated by `;`; unset is the domain's root.")
    ldap_filter: v.Filter | None = Field(
        None, description="An RFC 4515 filter, ANDed with the built-in one (users, enabled)."
    )
    ldap_include_disabled: bool = Field(False, description="Also read disabled people, e.g. shared mailboxes.")
    ldap_group: v.Group | None = Field(
        None, description="Only members, nested ones too, of this group (a pilot, a licence group)."
    )
    ldap_exclude_dn: v.Names = Field(
        (), description="Subtrees, or single people, to leave out, separated by `;`; one that is not there is an error."
    )
    ldap_photo_attributes: v.Attributes = Field(
        ("jpegPhoto", "thumbnailPhoto"),
        description="In order of trust: the first attribute that holds a usable picture wins, of several values the "
        "largest (people may write their own thumbnailPhoto, not jpegPhoto).",
    )
    ldap_anchor: v.Attribute = Field(
        "auto",
        description="`auto` is mS-DS-ConsistencyGuid, else objectGUID; or one attribute: text as it stands, bytes as "
        "base64, case-sensitive.",
    )
    ldap_include_contacts: bool = Field(False, description="Also read contacts, matched to guest accounts by mail.")
    folder_path: v.File | None = Field(None, description="A folder of pictures named after people.")
    folder_key: v.FolderKey = Field(
        MatchRule.UPN, description="What the pictures are named by: `upn`, `mail`, `employee-id`, `sam-account-name`."
    )
    match_check_sid: bool = Field(
        True,
        description="Person and account of one anchor whose SIDs are both known and differ are no match (skip "
        "`anchor-disputed`).",
    )
    match_fallback: v.Rules = Field(
        (MatchRule.SID,),
        description="How to match after the anchor, in this order: `sid`, `upn`, `mail`, or `none`; `sid` takes an "
        "account that no other person's anchor claims, `upn` and `mail` only one without an immutable ID.",
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
        None, description="Accepted instead of a certificate, with an advice to use one."
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
    https_proxy: SecretStr | None = Field(None, description="The proxy on the way to Microsoft, as everywhere.")
    no_proxy: str | None = Field(None, description="Hosts that are reached without the proxy, as everywhere.")
    targets: v.Targets = Field(
        ("graph",),
        description="`graph`; `sharepoint` (everybody in scope); `graph,sharepoint` (Graph for all, SharePoint for "
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
        description="The cloud photo is somebody else's doing: `source` wins, `cloud` wins, or `report` (as `cloud`, "
        "listed every night).",
    )
    sync_cloud_managed: CloudManaged = Field(
        CloudManaged.LEAVE,
        description="An account with an immutable ID that is not synced from a directory (its source of authority is "
        "the cloud): `leave` it alone (skip `cloud-managed`, listed once), or `follow` the source as for any other.",
    )
    sync_removed: Removed = Field(
        Removed.KEEP,
        description="The source photo was cleared: `keep` the cloud photo or `remove` it, only if it is still ours.",
    )
    sync_max_changes_percent: int = Field(
        10,
        ge=0,
        le=100,
        description="Brake: replacements, in percent of the matched people who have a cloud photo; from 20 "
        "replacements on.",
    )
    sync_max_overwrites: int = Field(
        500,
        ge=0,
        description="Brake: replacing or re-creating over a cloud state that we did not make; from the first night on.",
    )
    sync_max_removals: int = Field(
        500, ge=0, description="Brake: removals; also 10 % of the people known (at least 5), whichever is less."
    )
    sync_max_rematches: int = Field(
        20,
        ge=0,
        description="Brake: people whose account changed or was lost since last night, when also over 1 %.",
    )
    sync_max_uploads: int = Field(0, ge=0, description="At most so many uploads a run; 0 is no limit.")
    sync_max_minutes: int = Field(
        0,
        ge=0,
        description="After so many minutes nothing new is begun, in whatever phase the run is; 0 is no limit.",
    )
    sync_relist_days: int = Field(
        7, ge=0, description="All accounts are listed anew so many days after the last full listing; 0 is never."
    )
    sync_reread_days: int = Field(
        30, ge=0, description="The directory is read in full so many days after the last full reading; 0 is never."
    )
    sync_verify_percent: int = Field(
        15,
        ge=0,
        le=100,
        description="Share of the unchanged people whose cloud photo is looked at each night, in turn.",
    )
    sync_concurrency: int = Field(
        4, ge=1, le=64, description="Photo requests on the wire at a time, a batch counting as one."
    )
    photo_size: int = Field(
        648, ge=48, le=4096, description="Longest edge sent, in pixels; a picture is never enlarged."
    )
    photo_crop: v.Crop = Field(v.Crop.SQUARE, description="How a picture is cropped: `square` or `none`.")
    guest_photo: v.File | None = Field(None, description="A picture given to guest accounts that have none.")
    placeholder_people: v.PlaceholderPeople = Field(
        5, ge=0, description="The same source bytes on so many people is a silhouette, not a face; 0 is off."
    )
    state_dir: v.File = Field(
        default_factory=default_state_dir,
        description="Ledger, backups, run logs and reports; created 0700, never on a network share; unset is the "
        "per-user data folder.",
    )
    ledger_days: int = Field(
        400, ge=1, description="How long outcomes, and the memory of people not seen, are kept, in days."
    )
    backup_days: int = Field(
        30,
        ge=0,
        description="How long replaced cloud photos are kept, in days; 0 keeps none, which every report then says.",
    )
    report_pictures: v.Pictures = Field(
        v.Pictures.CONFLICTS,
        description="Thumbnails in the HTML file: `none`, `conflicts`, `changes`; never in mail.",
    )
    metrics_file: v.File | None = Field(
        None, description="Prometheus textfile (its name ends in `.prom`): last success, counts, durations."
    )
    report_mail_to: v.Addresses = Field((), description="Who gets the report by mail, separated by commas.")
    report_mail_from: v.Address | None = Field(None, description="Who the mail comes from.")
    smtp_url: SecretStr | None = Field(
        None,
        description="The mail server: `smtp://user:password@host:587` (STARTTLS) or `smtps://host` (TLS at once).",
    )
    report_mail_when: v.MailWhen = Field(
        v.MailWhen.ALWAYS, description="When the report is mailed: `always`, `changes`, `problems`."
    )


def _is_path(annotation: object) -> bool:
    return any(Path in (kind, getattr(kind, "__origin__", None)) for kind in v.union_members(annotation))


NAMES = tuple(name.upper() for name in Settings.model_fields)
SECRETS = tuple(
    name.upper() for name, field in Settings.model_fields.items() if SecretStr in v.union_members(field.annotation)
)
PATHS = tuple(name.upper() for name, field in Settings.model_fields.items() if _is_path(field.annotation))
TWINS = {f"{name}_FILE": name for name in SECRETS}
