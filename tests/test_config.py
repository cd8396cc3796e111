"""Settings are explained once, all their problems at once, and their secrets never."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connector.config import (
    Loaded,
    Settings,
    SourceKind,
    cloud_urls,
    load_settings,
    render_configuration_md,
    render_env_example,
)
from connector.config.settings import NAMES, SECRETS
from connector.errors import ExitCode, SettingsError
from connector.model import Conflict, MatchRule, Removed

ROOT = Path(__file__).parent.parent
SECRET = "correct-horse-battery"
CLIENT = "11111111-2222-3333-4444-555555555555"
GOOD = {
    "LDAP_URI": "ldaps://dc1.contoso.com",
    "LDAP_USER": "photo-reader@contoso.com",
    "LDAP_PASSWORD": SECRET,
    "AZURE_TENANT_ID": "contoso.onmicrosoft.com",
    "AZURE_CLIENT_ID": CLIENT,
    "AZURE_CLIENT_SECRET": SECRET,
}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(**changes: str | None) -> Loaded:
    return load_settings(None, {name: value for name, value in {**GOOD, **changes}.items() if value is not None})


def settings(**changes: str | None) -> Settings:
    return load(**changes).settings


def problems(**changes: str | None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(**changes)
    return caught.value.problems


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


class TestValues:
    def test_a_minimal_configuration_is_enough_and_everything_else_has_its_default(self) -> None:
        found = settings()
        assert found.source is SourceKind.LDAP
        assert found.ldap_uri == ("ldaps://dc1.contoso.com",)
        assert found.ldap_photo_attributes == ("jpegPhoto", "thumbnailPhoto")
        assert found.match_fallback == (MatchRule.SID,)
        assert found.sync_conflict is Conflict.SOURCE
        assert found.sync_removed is Removed.KEEP
        assert found.sharepoint_widths == (48, 72, 200)
        assert found.state_dir.is_absolute()

    def test_lists_are_split_at_their_own_separator(self) -> None:
        found = settings(
            LDAP_URI="ldaps://dc1.contoso.com  ldaps://dc2.contoso.com:6360",
            LDAP_BASE_DN=r"OU=People,DC=contoso,DC=com; OU=A\;B,DC=contoso,DC=com",
            LDAP_EXCLUDE_DN="OU=Robots,DC=contoso,DC=com",
            LDAP_PHOTO_ATTRIBUTES=" thumbnailPhoto , jpegPhoto",
            MATCH_FALLBACK="upn,mail",
            REPORT_MAIL_TO="a@contoso.com, b@contoso.com",
            REPORT_MAIL_FROM="photos@contoso.com",
            SMTP_URL="smtp://mail.contoso.com:587",
        )
        assert found.ldap_uri == ("ldaps://dc1.contoso.com", "ldaps://dc2.contoso.com:6360")
        assert found.ldap_base_dn == ("OU=People,DC=contoso,DC=com", r"OU=A\;B,DC=contoso,DC=com")
        assert found.ldap_exclude_dn == ("OU=Robots,DC=contoso,DC=com",)
        assert found.ldap_photo_attributes == ("thumbnailPhoto", "jpegPhoto")
        assert found.match_fallback == (MatchRule.UPN, MatchRule.MAIL)
        assert found.report_mail_to == ("a@contoso.com", "b@contoso.com")

    def test_no_fallback_is_written_none(self) -> None:
        assert settings(MATCH_FALLBACK="none").match_fallback == ()

    @pytest.mark.parametrize(
        "text, truth",
        [("true", True), ("1", True), ("yes", True), ("True", True), ("false", False), ("0", False), ("no", False)],
    )
    def test_a_switch_is_said_in_several_ways(self, text: str, truth: bool) -> None:
        assert settings(LDAP_INCLUDE_DISABLED=text).ldap_include_disabled is truth

    def test_an_empty_value_is_as_good_as_none(self) -> None:
        found = settings(SYNC_CONFLICT="", LDAP_GROUP="  ", PHOTO_SIZE="")
        assert (found.sync_conflict, found.ldap_group, found.photo_size) == (Conflict.SOURCE, None, 648)

    def test_settings_cannot_be_changed(self) -> None:
        found = settings()
        with pytest.raises(ValidationError):
            found.sync_conflict = Conflict.CLOUD  # type: ignore[misc]

    def test_values_that_are_typed_already_are_taken_as_they_are(self) -> None:
        made = Settings(
            ldap_uri=("ldaps://dc1",),
            ldap_base_dn=("DC=contoso,DC=com",),
            match_fallback=(MatchRule.MAIL,),
            sharepoint_widths=(64, 96, 240),
        )
        read = Settings.model_validate(
            {
                "ldap_uri": "ldaps://dc1",
                "ldap_base_dn": "DC=contoso,DC=com",
                "match_fallback": "mail",
                "sharepoint_widths": "64,96,240",
            }
        )
        assert made == read

    def test_targets_have_one_order(self) -> None:
        found = settings(
            TARGETS="sharepoint,graph",
            AZURE_CLIENT_SECRET=None,
            AZURE_MANAGED_IDENTITY="true",
            SHAREPOINT_MY_SITE_URL="https://contoso-my.sharepoint.com/",
            SHAREPOINT_ADMIN_URL="HTTPS://Contoso-Admin.SharePoint.com",
        )
        assert found.targets == ("graph", "sharepoint")
        assert found.sharepoint_my_site_url == "https://contoso-my.sharepoint.com"
        assert found.sharepoint_admin_url == "https://contoso-admin.sharepoint.com"

    @pytest.mark.parametrize(
        "name, value",
        [
            ("SOURCE", "ad"),
            ("LDAP_URI", "http://dc1"),
            ("LDAP_URI", "ldaps://"),
            ("LDAP_URI", "ldaps://dc1:99999"),
            ("LDAP_URI", "ldaps://dc1:636/DC=contoso"),
            ("LDAP_URI", "ldaps://user@dc1"),
            ("LDAP_START_TLS", "maybe"),
            ("LDAP_AUTH", "ntlm"),
            ("LDAP_BASE_DN", "contoso.com"),
            ("LDAP_EXCLUDE_DN", "OU="),
            ("LDAP_GROUP", "CN=Pilot,contoso.com"),
            ("LDAP_FILTER", "(&(l=Bonn)(l))"),
            ("LDAP_FILTER", "(=Bonn)"),
            ("LDAP_FILTER", "(cn=a\\zz)"),
            ("LDAP_FILTER", "department=Sales"),
            ("LDAP_FILTER", "(department=Sales"),
            ("LDAP_FILTER", "(a=b)(c=d)"),
            ("LDAP_FILTER", "(a=b))"),
            ("LDAP_FILTER", "(department)"),
            ("LDAP_PHOTO_ATTRIBUTES", ","),
            ("LDAP_PHOTO_ATTRIBUTES", "jpegPhoto,jpegPhoto"),
            ("LDAP_PHOTO_ATTRIBUTES", "photo)(cn=*"),
            ("LDAP_ANCHOR", "object GUID"),
            ("FOLDER_KEY", "sid"),
            ("FOLDER_KEY", "name"),
            ("LDAP_INCLUDE", "users,leavers"),
            ("LDAP_INCLUDE", "users,users"),
            ("MATCH_FALLBACK", "anchor"),
            ("MATCH_FALLBACK", "sid,none"),
            ("MATCH_FALLBACK", "sid,sid"),
            ("AZURE_TENANT_ID", "common"),
            ("AZURE_CLIENT_ID", "Photo Connector"),
            ("AZURE_AUTHORITY_HOST", "http://login.contoso.com"),
            ("GRAPH_CLOUD", "germany"),
            ("GRAPH_URL", "http://graph.contoso.com"),
            ("GRAPH_URL", "https://graph.microsoft.com/v1.0"),
            ("GRAPH_URL", "https://graph.microsoft.com:0x1"),
            ("GRAPH_URL", "https://user@graph.microsoft.com"),
            ("TARGETS", "outlook"),
            ("TARGETS", "graph,graph"),
            ("SHAREPOINT_WIDTHS", "48,72"),
            ("SHAREPOINT_WIDTHS", "200,72,48"),
            ("SHAREPOINT_WIDTHS", "48,72,wide"),
            ("SYNC_CONFLICT", "cluod"),
            ("SYNC_REMOVED", "delete"),
            ("SYNC_MAX_CHANGES_PERCENT", "101"),
            ("SYNC_MAX_OVERWRITES", "-1"),
            ("SYNC_VERIFY_PERCENT", "many"),
            ("SYNC_CONCURRENCY", "0"),
            ("SYNC_CONCURRENCY", "65"),
            ("SYNC_CONCURRENCY", "automatic"),
            ("PHOTO_SIZE", "47"),
            ("PHOTO_CROP", "round"),
            ("PLACEHOLDER_PEOPLE", "1"),
            ("LEDGER_DAYS", "0"),
            ("BACKUP_DAYS", "-1"),
            ("REPORT_PICTURES", "all"),
            ("REPORT_MAIL_WHEN", "never"),
            ("REPORT_MAIL_TO", "nobody"),
            ("SMTP_URL", "mail.contoso.com"),
            ("SMTP_URL", "smtp://mail.contoso.com:smtp"),
            ("LDAP_URI", "ldaps://dc1.contoso.com:3269"),
            ("LDAP_URI", "ldaps://dc1.contoso.com ldaps://dc2.contoso.com:3268"),
            ("LDAP_CA_FILE", "/does/not/exist.pem"),
            ("HTTP_CA_FILE", "/"),
            ("GUEST_PHOTO", "/does/not/exist.jpg"),
            ("METRICS_FILE", "/does/not/exist/photos.prom"),
        ],
    )
    def test_a_value_that_cannot_be_is_refused_by_name(self, name: str, value: str) -> None:
        found = [line for line in problems(**{name: value}) if line.startswith(f"{name}: ")]
        assert len(found) == 1


class TestRules:
    @pytest.mark.parametrize(
        "name, changes",
        [
            ("LDAP_URI", {"LDAP_URI": None}),
            ("LDAP_DOMAIN", {"LDAP_DOMAIN": "ad.contoso.com"}),
            ("LDAP_SITE", {"LDAP_SITE": "Berlin"}),
            ("LDAP_URI", {"LDAP_URI": "ldap://dc1.contoso.com"}),
            ("LDAP_URI", {"LDAP_URI": "ldaps://dc1.contoso.com LDAP://dc2.contoso.com"}),
            ("LDAP_START_TLS", {"LDAP_START_TLS": "true"}),
            ("LDAP_USER", {"LDAP_USER": None}),
            ("LDAP_PASSWORD", {"LDAP_PASSWORD": None}),
            ("FOLDER_PATH", {"SOURCE": "folder"}),
            ("AZURE_TENANT_ID", {"AZURE_TENANT_ID": None}),
            ("AZURE_CLIENT_ID", {"AZURE_CLIENT_ID": None}),
            ("AZURE_CLIENT_CERTIFICATE_PATH", {"AZURE_CLIENT_SECRET": None}),
            ("AZURE_CLIENT_SECRET", {"AZURE_MANAGED_IDENTITY": "true"}),
            ("AZURE_CLIENT_CERTIFICATE_PASSWORD", {"AZURE_CLIENT_CERTIFICATE_PASSWORD": "x"}),
            ("REPORT_MAIL_FROM", {"REPORT_MAIL_TO": "a@contoso.com", "SMTP_URL": "smtps://mail"}),
            ("SMTP_URL", {"REPORT_MAIL_TO": "a@contoso.com", "REPORT_MAIL_FROM": "b@contoso.com"}),
            ("REPORT_MAIL_TO", {"SMTP_URL": "smtps://mail", "REPORT_MAIL_FROM": "b@contoso.com"}),
        ],
    )
    def test_what_does_not_fit_together_is_one_problem_with_its_name(
        self, name: str, changes: dict[str, str | None]
    ) -> None:
        assert [line.partition(":")[0] for line in problems(**changes)] == [name]

    @pytest.mark.parametrize(
        "changes",
        [
            {"LDAP_URI": "ldap://dc1.contoso.com", "LDAP_START_TLS": "true"},
            {"LDAP_URI": "ldap://dc1", "LDAP_AUTH": "kerberos", "LDAP_USER": None, "LDAP_PASSWORD": None},
            {"LDAP_URI": None, "LDAP_DOMAIN": "ad.contoso.com", "LDAP_SITE": "Berlin"},
            {"SOURCE": "folder", "FOLDER_PATH": "pictures", "LDAP_URI": None, "LDAP_PASSWORD": None},
            {"AZURE_CLIENT_SECRET": None, "AZURE_MANAGED_IDENTITY": "true", "AZURE_CLIENT_ID": None},
            {"LDAP_FILTER": r"(&(department=Sales)(!(title=Lead \28old\29)))"},
        ],
    )
    def test_what_fits_together_passes(self, changes: dict[str, str | None]) -> None:
        assert load(**changes)

    def test_sharepoint_needs_its_addresses_and_refuses_a_client_secret_with_the_reason(self) -> None:
        found = problems(TARGETS="sharepoint")
        assert [line.partition(":")[0] for line in found] == [
            "SHAREPOINT_MY_SITE_URL",
            "SHAREPOINT_ADMIN_URL",
            "AZURE_CLIENT_SECRET",
        ]
        assert "certificate" in found[2]

    def test_a_certificate_that_is_there_is_taken(self, tmp_path: Path) -> None:
        path = write(tmp_path / "app.pem", "PEM")
        found = settings(AZURE_CLIENT_SECRET=None, AZURE_CLIENT_CERTIFICATE_PATH=str(path))
        assert found.azure_client_certificate_path == path

    def test_every_problem_is_told_at_once_and_no_setting_is_blamed_twice(self) -> None:
        found = problems(
            LDAP_URI="dc1", LDAP_PASSWORD=None, SYNC_CONFLICT="cluod", AZURE_TENANT_ID="common", TARGETS="sharepoint"
        )
        names = [line.partition(":")[0] for line in found]
        assert sorted(names) == sorted(
            {
                *("LDAP_URI", "LDAP_PASSWORD", "SYNC_CONFLICT", "AZURE_TENANT_ID"),
                *("SHAREPOINT_MY_SITE_URL", "SHAREPOINT_ADMIN_URL", "AZURE_CLIENT_SECRET"),
            }
        )

    def test_no_setting_at_all_names_what_is_needed(self) -> None:
        with pytest.raises(SettingsError) as caught:
            load_settings(None, {})
        assert caught.value.exit_code == ExitCode.SETTINGS
        assert {line.partition(":")[0] for line in caught.value.problems} >= {"LDAP_URI", "AZURE_TENANT_ID"}


class TestEnvFile:
    def test_the_real_environment_wins_over_the_file(self, tmp_path: Path) -> None:
        path = write(tmp_path / "contoso.env", "PHOTO_SIZE=240\nPHOTO_CROP=none\n")
        found = load_settings(path, {**GOOD, "PHOTO_SIZE": "360"}).settings
        assert (found.photo_size, found.photo_crop) == (360, "none")

    def test_the_file_in_the_current_folder_is_found_by_itself(self, tmp_path: Path) -> None:
        write(tmp_path / ".env", "PHOTO_SIZE=240\n")
        assert settings().photo_size == 240

    def test_a_file_that_was_named_but_is_not_there_is_a_problem(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"missing\.env does not exist"):
            load_settings(tmp_path / "missing.env", GOOD)

    def test_a_file_that_is_not_text_is_a_problem(self, tmp_path: Path) -> None:
        path = tmp_path / "utf16.env"
        path.write_bytes("PHOTO_SIZE=240".encode("utf-16"))
        with pytest.raises(SettingsError, match="not UTF-8"):
            load_settings(path, GOOD)

    def test_a_folder_in_its_place_is_a_problem(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="cannot be read"):
            load_settings(tmp_path, GOOD)

    def test_what_windows_editors_leave_does_no_harm(self, tmp_path: Path) -> None:
        path = write(tmp_path / "windows.env", "\ufeffPHOTO_SIZE=240\r\nPHOTO_CROP=none\r\n")
        found = load_settings(path, GOOD).settings
        assert (found.photo_size, found.photo_crop) == (240, "none")

    def test_a_password_stands_in_single_quotes_as_it_is(self, tmp_path: Path) -> None:
        path = write(tmp_path / ".env", "LDAP_PASSWORD='a #b ${HOME} \\n c'\n")
        found = load_settings(path, {**GOOD, "LDAP_PASSWORD": ""}).settings
        assert found.ldap_password is not None
        assert found.ldap_password.get_secret_value() == "a #b ${HOME} \\n c"

    def test_a_line_that_is_no_assignment_is_a_problem_that_does_not_show_the_line(self, tmp_path: Path) -> None:
        path = write(tmp_path / ".env", f"PHOTO_SIZE=240\nLDAP_PASSWORD {SECRET}\nLDAP_GROUP\n")
        with pytest.raises(SettingsError, match="line 2") as caught:
            load_settings(path, GOOD)
        assert "line 3" in str(caught.value)
        assert SECRET not in str(caught.value)

    @pytest.mark.skipif(os.name == "nt", reason="Windows has ACLs instead")
    @pytest.mark.parametrize("mode, warned", [(0o644, True), (0o640, False), (0o600, False)])
    def test_a_file_with_secrets_that_others_can_read_is_warned_of(
        self, tmp_path: Path, mode: int, warned: bool
    ) -> None:
        path = write(tmp_path / "contoso.env", f"LDAP_PASSWORD={SECRET}\n")
        path.chmod(mode)
        warnings = load_settings(path, GOOD).warnings
        assert any("chmod 600" in line for line in warnings) is warned


class TestNames:
    def test_an_unknown_name_in_the_file_is_reported_with_the_name_that_was_meant(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / ".env", "SYNC_CONFLICTS=cloud\nAZURE_SECRET_ID=x\nSORUCE=folder\nphoto_size=1\nTZ=UTC\n"
        )
        warnings = load_settings(path, GOOD).warnings
        unknown = [line for line in warnings if "unknown" in line]
        assert [line.partition(":")[0] for line in unknown] == [
            "SYNC_CONFLICTS",
            "AZURE_SECRET_ID",
            "SORUCE",
            "photo_size",
        ]
        assert unknown[0].endswith("did you mean SYNC_CONFLICT?")
        assert unknown[2].endswith("did you mean SOURCE?")

    def test_names_of_other_tools_in_the_environment_are_left_alone(self) -> None:
        others = {
            "AZURE_SUBSCRIPTION_ID": "x",
            "AZURE_CONFIG_DIR": "x",
            "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN": "x",
            "HTTP_PROXY": "x",
            "PATH": "x",
            "PHOTO_CONNECTOR_LAB": "x",
        }
        assert [line for line in load(**others).warnings if "unknown" in line] == []

    def test_a_slip_of_the_pen_in_the_environment_is_reported(self) -> None:
        unknown = [line for line in load(AZURE_CLIENT_SECERT="x", LDAP_BASE="y").warnings if "unknown" in line]
        assert [line.partition(":")[0] for line in unknown] == ["AZURE_CLIENT_SECERT", "LDAP_BASE"]
        assert unknown[0].endswith("did you mean AZURE_CLIENT_SECRET?")

    def test_a_misspelt_name_is_told_beside_the_problem_that_it_made(self) -> None:
        assert any(line.startswith("LDAP_URL: unknown") for line in problems(LDAP_URI=None, LDAP_URL="ldaps://dc1"))


class TestSecrets:
    @pytest.mark.parametrize("name", SECRETS)
    def test_every_secret_can_stand_in_a_file_of_its_own(self, tmp_path: Path, name: str) -> None:
        value = f"{'http' if name == 'HTTPS_PROXY' else 'smtp'}://u:{SECRET}@mail"
        path = write(tmp_path / "secret", f"{value}\r\n")
        others: dict[str, dict[str, str | None]] = {
            "AZURE_CLIENT_CERTIFICATE_PASSWORD": {
                "AZURE_CLIENT_SECRET": None,
                "AZURE_CLIENT_CERTIFICATE_PATH": str(path),
            },
            "SMTP_URL": {"REPORT_MAIL_TO": "a@contoso.com", "REPORT_MAIL_FROM": "b@contoso.com"},
        }
        found = settings(**{**others.get(name, {}), name: None, f"{name}_FILE": str(path)})
        assert getattr(found, name.lower()).get_secret_value() == value

    def test_only_one_line_end_is_taken_from_the_file_and_no_space(self, tmp_path: Path) -> None:
        path = write(tmp_path / "secret", " two words \n\n")
        found = settings(LDAP_PASSWORD=None, LDAP_PASSWORD_FILE=str(path))
        assert found.ldap_password is not None
        assert found.ldap_password.get_secret_value() == " two words \n"

    def test_the_secret_and_its_file_together_are_a_problem(self, tmp_path: Path) -> None:
        path = write(tmp_path / "secret", SECRET)
        assert problems(LDAP_PASSWORD_FILE=str(path)) == [
            "LDAP_PASSWORD_FILE: cannot be set together with LDAP_PASSWORD; set one of the two"
        ]

    def test_a_secret_of_the_environment_wins_over_a_secret_file_of_the_env_file(self, tmp_path: Path) -> None:
        write(tmp_path / ".env", f"LDAP_PASSWORD_FILE={write(tmp_path / 'secret', 'old')}\n")
        found = settings().ldap_password
        assert found is not None
        assert found.get_secret_value() == SECRET

    @pytest.mark.parametrize("content", [None, b"", b"\n", "x".encode("utf-16")])
    def test_a_secret_file_that_cannot_be_used_is_one_problem(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "secret"
        if content is not None:
            path.write_bytes(content)
        found = problems(LDAP_PASSWORD=None, LDAP_PASSWORD_FILE=str(path))
        assert [line.partition(":")[0] for line in found] == ["LDAP_PASSWORD_FILE"]

    def test_secrets_are_in_no_text_of_the_settings(self) -> None:
        loaded = load(HTTPS_PROXY=f"http://u:{SECRET}@proxy:3128")
        for text in (repr(loaded), str(loaded.settings), loaded.settings.model_dump_json(), "\n".join(loaded.warnings)):
            assert SECRET not in text

    def test_secrets_are_in_no_error_and_no_traceback(self) -> None:
        with pytest.raises(SettingsError) as caught:
            load(SMTP_URL=f"https://u:{SECRET}@mail", SYNC_CONFLICT="x", HTTPS_PROXY=f"http://u:{SECRET}@proxy")
        assert SECRET not in str(caught.value)
        assert SECRET not in "".join(traceback.format_exception(caught.value))

    def test_a_wrong_setting_made_by_hand_does_not_show_the_others(self) -> None:
        with pytest.raises(ValidationError) as caught:
            Settings.model_validate({"ldap_password": SECRET.encode(), "smtp_url": [SECRET], "photo_size": SECRET})
        assert SECRET not in str(caught.value)

    def test_a_client_secret_brings_the_advice_to_use_a_certificate(self) -> None:
        assert any(line.startswith("AZURE_CLIENT_SECRET: ") and "certificate" in line for line in load().warnings)

    def test_nights_without_backups_are_warned_of(self) -> None:
        assert any(line.startswith("BACKUP_DAYS: ") for line in load(BACKUP_DAYS="0").warnings)

    def test_a_proxy_may_be_written_in_lower_case_as_everywhere(self) -> None:
        found = settings(https_proxy="http://proxy:3128", HTTPS_PROXY="http://other:3128", no_proxy="localhost")
        assert found.https_proxy is not None
        assert found.https_proxy.get_secret_value() == "http://proxy:3128"
        assert found.no_proxy == "localhost"


class TestClouds:
    @pytest.mark.parametrize(
        "cloud, authority, graph",
        [
            ("global", "https://login.microsoftonline.com", "https://graph.microsoft.com"),
            ("usgov", "https://login.microsoftonline.us", "https://graph.microsoft.us"),
            ("usgov-dod", "https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
            ("china", "https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"),
        ],
    )
    def test_each_cloud_has_its_addresses(self, cloud: str, authority: str, graph: str) -> None:
        urls = cloud_urls(settings(GRAPH_CLOUD=cloud))
        assert (urls.authority_host, urls.graph_url, urls.scope) == (authority, graph, f"{graph}/.default")

    def test_own_addresses_win_and_the_scope_follows(self) -> None:
        urls = cloud_urls(
            settings(AZURE_AUTHORITY_HOST="https://login.contoso.com/", GRAPH_URL="https://127.0.0.1:8443/")
        )
        assert urls.authority_host == "https://login.contoso.com"
        assert urls.scope == "https://127.0.0.1:8443/.default"


class TestPages:
    def test_the_example_is_what_the_program_writes(self) -> None:
        assert (ROOT / ".env.example").read_bytes().decode() == render_env_example()

    def test_the_settings_page_is_what_the_program_writes(self) -> None:
        assert (ROOT / "docs" / "configuration.md").read_bytes().decode() == render_configuration_md()

    def test_the_example_has_each_setting_once_with_one_sentence(self) -> None:
        lines = render_env_example().splitlines()
        assert [line[1:].partition("=")[0] for line in lines if re.match(r"#[A-Z]", line)] == list(NAMES)
        for place, line in enumerate(lines):
            if re.match(r"#[A-Z]", line):
                assert re.fullmatch(r"# \S.*\.", lines[place - 1])

    def test_the_defaults_of_the_example_are_the_defaults_of_the_program(self, tmp_path: Path) -> None:
        example = re.sub(r"(?m)^#([A-Z_]+=)", r"\1", render_env_example())
        loaded = load_settings(write(tmp_path / "all.env", example), GOOD)
        assert loaded.settings == settings()
        assert [line for line in loaded.warnings if "unknown" in line] == []

    def test_the_program_writes_both_pages_from_the_command_line(self) -> None:
        command = [sys.executable, "-m", "connector.config"]
        example = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        page = subprocess.run([*command, "--markdown"], cwd=ROOT, capture_output=True, check=True)
        assert example.stdout.decode() == render_env_example()
        assert page.stdout.decode() == render_configuration_md()


@given(
    st.dictionaries(st.sampled_from(NAMES).filter(lambda name: name != "STATE_DIR"), st.text(max_size=30), max_size=8)
)
def test_whatever_is_typed_gives_settings_or_problems_that_begin_with_a_known_name(values: dict[str, str]) -> None:
    try:
        found = []
        load_settings(None, {**GOOD, **values})
    except SettingsError as error:
        found = error.problems
    assert all(line.partition(":")[0] in NAMES for line in found)
