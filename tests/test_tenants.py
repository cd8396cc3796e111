"""Other clouds, and several tenants and forests: each pair has a state folder of its own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.ledger.store import hold_lock
from connector.photo import read_print
from tests.cloud_stories import Proxy
from tests.company import Colleague, Company, anchor_of, face
from tests.lab.directory import Directory
from tests.lab.graph import Emulator, app_certificate
from tests.lab.ldapserver_directory import DirectoryServer, authority
from tests.lab.ldapserver_tree import Tree
from tests.lab.samba import DomainController
from tests.lab.world import ldap_settings
from tests.runner import Runner, shown

pytestmark = pytest.mark.usefixtures("no_proxy_settings")

# issuer and Graph: https://learn.microsoft.com/graph/deployments, https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud
CLOUDS = {
    "global": ("https://login.microsoftonline.com", "https://graph.microsoft.com"),
    "usgov": ("https://login.microsoftonline.us", "https://graph.microsoft.us"),
    "usgov-dod": ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
    "china": ("https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"),
}


def test_the_docs_name_the_addresses_of_each_cloud() -> None:
    text = (Path(__file__).parent.parent / "docs" / "operations.md").read_text("utf-8")
    rows = [line.split("|")[1:4] for line in text.splitlines() if line.startswith("| `") and "https://login." in line]
    told = {cells[0].split("`")[1]: tuple(cell.strip(" `") for cell in cells[1:]) for cells in rows}
    assert told == CLOUDS


class NationalCompany(Company):
    """Be a company whose only way to its cloud is a proxy that knows where the cloud's true names lie."""

    def __init__(self, name: str, cloud: Emulator, proxy: Proxy, *, folder: Path) -> None:
        super().__init__(cloud, folder, HTTPS_PROXY=f"http://{proxy.address}", GRAPH_CLOUD=name)
        for own in ("AZURE_AUTHORITY_HOST", "GRAPH_URL"):
            del self.settings[own]
        self.proxy = proxy


@pytest.fixture(params=CLOUDS)
def national_company(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NationalCompany]:
    """Open a company in each cloud; the product is told the cloud's name and nothing of its addresses."""
    known_as = CLOUDS[request.param]
    with Emulator(known_as=known_as) as cloud, Proxy() as proxy:
        for url in known_as:
            proxy.leads[f"{url.removeprefix('https://')}:443"] = cloud.port
        place = NationalCompany(request.param, cloud, proxy, folder=tmp_path)
        yield place
        place.close()
        assert cloud.mishaps == []


def test_nights_go_through_the_issuer_and_the_graph_of_the_cloud_and_no_other_host(
    national_company: NationalCompany,
) -> None:
    ada = national_company.hire("ada")
    authority, graph = national_company.cloud.authority_host, national_company.cloud.graph_url

    first, second = national_company.sync(), national_company.sync(days=1)
    national_company.paint(ada, face("ada, older"))
    third = national_company.sync(days=1)

    assert [told.code for told in (first, second, third)] == [0, 0, 0], first.err
    assert [first.of(ada.upn), third.of(ada.upn)] == [("create", "first-upload"), ("replace", "source-changed")]
    assert second.requests["http"] == 1, "the delta link of this cloud"
    assert shown(national_company.cloud, ada.account_id).shows_same(read_print(face("ada, older")))
    assert set(national_company.proxy.tunnels) == {f"{url.removeprefix('https://')}:443" for url in (authority, graph)}
    assert national_company.cloud.issuer.audiences() == {graph}, "the scope is this Graph's"
    hosts = {record.kind: record.headers["host"] for record in national_company.cloud.log.records()}
    assert hosts == {"token": authority.removeprefix("https://"), "graph": graph.removeprefix("https://")}


def test_a_certificate_is_meant_for_the_issuer_of_the_cloud(national_company: NationalCompany, tmp_path: Path) -> None:
    certificate = app_certificate(tmp_path)
    national_company.cloud.issuer.register_certificate(certificate.public_pem)
    del national_company.settings["AZURE_CLIENT_SECRET"]
    national_company.settings["AZURE_CLIENT_CERTIFICATE_PATH"] = str(certificate.pem_file)
    ada = national_company.hire("ada")

    assert national_company.sync().of(ada.upn) == ("create", "first-upload")


def test_check_finds_the_cloud_under_its_own_addresses(national_company: NationalCompany) -> None:
    national_company.hire("ada")

    told = national_company.runner.type("check", "--env-file", str(national_company.runner.env_file()), "--json")

    findings = json.loads(told.out)
    tried = ("cloud-way", "token", "roles", "graph", "graph-users", "graph-photo", "photo-policy")
    assert [one for one in findings if one["id"] in tried and one["status"] == "fail"] == []
    details = " ".join(one["detail"] for one in findings)
    assert national_company.cloud.authority_host.removeprefix("https://") in details
    assert national_company.cloud.graph_url.removeprefix("https://") in details


def test_the_cloud_of_another_country_is_refused_before_anything_is_written(national_company: NationalCompany) -> None:
    other = "china" if national_company.settings["GRAPH_CLOUD"] != "china" else "global"
    ada = national_company.hire("ada")
    national_company.settings["GRAPH_CLOUD"] = other
    for url in CLOUDS[other]:
        national_company.proxy.leads[f"{url.removeprefix('https://')}:443"] = national_company.cloud.port

    told = national_company.sync()

    assert told.code == 5, "its certificate has other names"
    assert national_company.photo(ada) is None


# -- several tenants, several forests: one state folder each


@pytest.fixture
def second_cloud() -> Iterator[Emulator]:
    """Run another tenant."""
    with Emulator() as running:
        yield running
        assert running.mishaps == []


@pytest.fixture
def other_company(second_cloud: Emulator, tmp_path: Path) -> Iterator[Company]:
    """Open another company: another forest, another tenant, another state folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    place = Company(second_cloud, folder)
    yield place
    place.close()


def test_two_forests_with_a_tenant_each_keep_out_of_each_others_way(company: Company, other_company: Company) -> None:
    ada, bob = company.hire("ada"), other_company.hire("bob")

    firsts = company.sync(), other_company.sync()
    quiet = company.sync(days=1), other_company.sync(days=1)

    assert [(told.code, told.report["run"], told.totals["created"]) for told in firsts] == [(0, 1, 1)] * 2
    assert [(told.report["run"], told.requests["http"], told.totals["unchanged"]) for told in quiet] == [(2, 1, 1)] * 2
    assert [told.totals["unmatched_accounts"] for told in firsts] == [0, 0]
    assert company.photo(ada)
    assert other_company.photo(bob)
    assert [len(place.cloud.tenant.writes()) for place in (company, other_company)] == [1, 1]


def test_a_run_in_one_state_folder_is_no_other_run_in_the_next(company: Company, other_company: Company) -> None:
    company.hire("ada")
    bob = other_company.hire("bob")
    company.sync()

    with hold_lock(company.runner.state):
        held, free = company.sync(days=1), other_company.sync()

    assert (held.code, free.code) == (6, 0)
    assert other_company.photo(bob)


def test_one_forest_feeds_two_tenants_each_from_a_state_folder_of_its_own(
    company: Company, second_cloud: Emulator, tmp_path: Path
) -> None:
    ada = company.hire("ada")
    twin = second_cloud.tenant.add_account(
        "ada@fabrikam.test", immutable_id=anchor_of(ada.entry.guid), synced=True, mail="ada@fabrikam.test"
    )
    folder = tmp_path / "fabrikam"
    folder.mkdir()
    fabrikam = Runner(folder, {**company.settings, **second_cloud.environ(), "STATE_DIR": str(folder / "state")})

    assert (company.sync().totals["created"], fabrikam.sync().totals["created"]) == (1, 1)
    company.paint(ada, face("ada, older"))
    assert (company.sync(days=1).totals["replaced"], fabrikam.sync(days=1).totals["replaced"]) == (1, 1)

    for cloud, account_id in ((company.cloud, ada.account_id), (second_cloud, twin)):
        assert shown(cloud, account_id).shows_same(read_print(face("ada, older")))


def test_a_state_folder_that_is_pointed_at_another_tenant_forgets_nobody_and_sends_what_is_missing_there(
    company: Company, second_cloud: Emulator
) -> None:
    ada = company.hire("ada")
    company.sync()
    twin = second_cloud.tenant.add_account(
        "ada@fabrikam.test", id=str(uuid.uuid4()), immutable_id=anchor_of(ada.entry.guid), synced=True
    )
    first = dict(company.settings)

    company.settings.update(second_cloud.environ())
    moved = company.sync("--force", days=1)
    company.settings.update(first)
    back = company.sync("--force", days=1)

    assert (moved.code, moved.totals["created"]) == (0, 1), moved.out + moved.err
    assert second_cloud.tenant.photo(twin) is not None
    assert (back.code, back.totals["created"], back.totals["replaced"]) == (0, 0, 0), back.out
    assert len(company.cloud.tenant.writes()) == 1


@pytest.mark.samba
def test_two_forests_share_one_tenant_and_neither_touches_the_others_people(
    directory: Directory, domain: DomainController, ou: str, company: Company, tmp_path: Path
) -> None:
    bob: Colleague = company.hire("bob")
    upns = [f"{name}@emea.test" for name in ("gwen", "hugo")]
    for upn in upns:
        name = upn.partition("@")[0]
        entry = directory.add_person(ou, name, sAMAccountName=f"t-{name}", userPrincipalName=upn, jpegPhoto=face(name))
        company.cloud.tenant.add_account(upn, immutable_id=entry.anchor, synced=True)
    folder = tmp_path / "samba"
    folder.mkdir()
    samba = Runner(folder, {**ldap_settings(domain, ou), **company.cloud.environ(), "SYNC_REMOVED": "remove"})
    company.settings["SYNC_REMOVED"] = "remove"

    first, other = company.sync(), samba.sync()
    quiet = [company.sync("--full", days=1), samba.sync("--full", days=1)]

    assert (first.code, first.totals["created"], other.code) == (0, 1, 0), other.err
    assert other.totals["created"] == other.totals["people"] == len(upns)
    assert first.report["unmatched"] == upns
    assert other.report["unmatched"] == [bob.upn]
    assert [(told.code, told.totals["unchanged"]) for told in quiet] == [(0, 1), (0, len(upns))]
    assert len(company.cloud.tenant.writes()) == 1 + len(upns)
    assert shown(company.cloud, bob.account_id).shows_same(read_print(face("bob")))


@pytest.mark.samba
def test_two_domains_of_a_forest_are_read_in_one_night_each_from_a_controller_of_its_own(
    directory: Directory, domain: DomainController, ou: str, cloud: Emulator, tmp_path: Path
) -> None:
    emea, bundle = "DC=emea,DC=contoso,DC=test", tmp_path / "both.pem"
    bundle.write_bytes(Path(domain.ca_file).read_bytes() + authority().ca_file.read_bytes())
    entry = directory.add_person(
        ou, "anna", sAMAccountName="d-anna", userPrincipalName="anna@contoso.test", jpegPhoto=face("anna")
    )
    anna = cloud.tenant.add_account("anna@contoso.test", immutable_id=entry.anchor, synced=True)
    with DirectoryServer(Tree(emea)) as branch:
        branch.server.users[domain.reader] = domain.reader_password
        bert_entry = branch.person("bert", ou=f"OU=People,{emea}", jpegPhoto=face("bert"))
        bert = cloud.tenant.add_account("bert@contoso.test", immutable_id=anchor_of(bert_entry.guid), synced=True)
        settings = {
            **ldap_settings(domain, ou, f"OU=People,{emea}"),
            **{"LDAP_URI": f"{domain.uri} {branch.server.uri}", "LDAP_CA_FILE": str(bundle)},
        }
        runner = Runner(tmp_path, {**settings, **cloud.environ()})

        first, quiet = runner.sync(), runner.sync(days=1)
        directory.set_photo(entry.dn, face("anna, older"))
        branch.tree.change(bert_entry.guid, jpegPhoto=face("bert, older"))
        changed = runner.sync(days=1)
        directory.set_photo(entry.dn, face("anna, oldest"))
        branch.tree.change(bert_entry.guid, jpegPhoto=face("bert, oldest"))

    alone = runner.sync(days=1)

    assert (first.code, first.totals["created"]) == (0, 2), first.err
    assert (quiet.report["mode"], quiet.requests["http"], quiet.totals["unchanged"]) == ("changes", 1, 2)
    assert (changed.report["mode"], changed.totals["replaced"]) == ("changes", 2)
    assert alone.code == 5, "one of them is not there any more"
    assert [alone.of(f"{name}@contoso.test") for name in ("anna", "bert")] == [
        *(("replace", "source-changed"), ("skip", "source-unread")),
    ]
    assert shown(cloud, anna).shows_same(read_print(face("anna, oldest")))
    assert shown(cloud, bert).shows_same(read_print(face("bert, older")))
