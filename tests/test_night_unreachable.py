"""A system is not there or refuses us: one line says which, why, and the fix."""

from __future__ import annotations

import base64
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.company import Company, face
from tests.lab.ldapserver_world import PASSWORD, logon_refusal
from tests.lab.pki import Authority


def closed_port() -> int:
    """Return a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wrong_password(company: Company, folder: Path) -> None:
    """The directory's password was changed."""
    company.settings["LDAP_PASSWORD"] = "an older one"
    company.knobs.refuse_bind = logon_refusal("52e")


def wrong_client_secret(company: Company, folder: Path) -> None:
    """The client secret was mistyped."""
    company.settings["AZURE_CLIENT_SECRET"] = "not-the-secret"


def wrong_directory_ca(company: Company, folder: Path) -> None:
    """The domain controller's certificate is of another authority."""
    company.settings["LDAP_CA_FILE"] = str(Authority(folder / "other").ca_file)


def wrong_cloud_ca(company: Company, folder: Path) -> None:
    """A proxy, or somebody else, answers with a certificate of their own."""
    company.settings["HTTP_CA_FILE"] = str(Authority(folder / "other").ca_file)


def dead_domain_controller(company: Company, folder: Path) -> None:
    """Nobody listens where the domain controller was."""
    company.settings["LDAP_URI"] = f"ldaps://localhost:{closed_port()}"


def unreachable_graph(company: Company, folder: Path) -> None:
    """Tokens are given, and Graph is not there."""
    company.settings["GRAPH_URL"] = f"https://localhost:{closed_port()}"


CASES: list[tuple[Callable[[Company, Path], None], str, str]] = [
    (wrong_password, "directory:", "LDAP_PASSWORD"),
    (wrong_client_secret, "token:", "AZURE_CLIENT_SECRET"),
    (wrong_directory_ca, "directory:", "LDAP_CA_FILE"),
    (wrong_cloud_ca, "token:", "HTTP_CA_FILE"),
    (dead_domain_controller, "directory:", "whether the server is up"),
    (unreachable_graph, "Graph:", "Check the network"),
]


@pytest.mark.parametrize(("trouble", "system", "fix"), CASES, ids=[case[0].__name__ for case in CASES])
def test_it_is_exit_5_and_one_line_with_the_system_and_the_fix(
    company: Company, tmp_path: Path, trouble: Callable[[Company, Path], None], system: str, fix: str
) -> None:
    company.hire("anna")
    trouble(company, tmp_path)

    told = company.sync()

    lines = [line for line in told.err.splitlines() if line and not line.startswith("Warning:")]
    assert told.code == 5, told.err
    assert len(lines) == 1, told.err
    assert lines[0].startswith(system)
    assert fix in lines[0]
    assert company.cloud.tenant.writes() == []


def test_a_plain_text_password_is_refused_before_anybody_is_contacted(company: Company) -> None:
    company.settings["LDAP_URI"] = "ldap://localhost"
    company.cloud.log.clear()

    told = company.sync()

    assert told.code == 2
    assert "LDAP_START_TLS" in told.err
    assert list(company.cloud.requests) == []


def test_no_password_secret_token_or_picture_is_anywhere_even_with_verbose(company: Company, tmp_path: Path) -> None:
    colleagues = company.team(3)
    company.cloud.tenant.set_photo(colleagues[0].account_id, face("another"))
    company.settings["REPORT_PICTURES"] = "none"
    reports = [str(tmp_path / f"told.{ending}") for ending in ("csv", "txt", "html")]
    options = [part for path in reports for part in ("--report", path)]

    told = company.sync("--verbose", "--log-format", "json", *options)
    company.settings["AZURE_CLIENT_SECRET"] = "wrong-but-secret"
    refused = company.sync("--verbose", days=1)

    assert (told.code, refused.code) == (0, 5)
    token_begins = "eyJhbGci"  # the lab's access tokens are JWTs: base64 of {"alg"
    pictures = [face(one.name) for one in colleagues] + [face("another")]
    forbidden = [PASSWORD, company.cloud.client_secret, "wrong-but-secret", token_begins]
    needles = [text.encode() for text in forbidden] + [part for one in pictures for part in fragments(one)]
    places = [path for path in tmp_path.rglob("*") if path.is_file() and not is_allowed(path, company)]
    texts = {str(path): path.read_bytes() for path in places}
    texts |= {"out": (told.out + refused.out).encode(), "err": (told.err + refused.err).encode()}
    texts["ledger"] = ledger_text(company.runner.state / "ledger.sqlite3")
    found = [(name, needle[:20]) for name, text in texts.items() for needle in needles if needle in text]
    assert found == []


def fragments(photo: bytes) -> list[bytes]:
    """Return what would betray a picture: a stretch of its bytes, as they are and as base64 at any offset."""
    middle = photo[len(photo) // 2 :][:48]
    return [middle, *(base64.b64encode(middle[shift:])[4:-4] for shift in range(3))]


def is_allowed(path: Path, company: Company) -> bool:
    """Pictures may lie in the backups and the spool; secrets in the env file that the administrator wrote."""
    inside = path.is_relative_to(company.runner.state / "backups") or path.is_relative_to(
        company.runner.state / "spool"
    )
    return inside or path.name == "settings.env"


def ledger_text(path: Path) -> bytes:
    """Return everything that the ledger holds."""
    db = sqlite3.connect(path)
    try:
        return "\n".join(db.iterdump()).encode("utf-8", "replace")
    finally:
        db.close()
