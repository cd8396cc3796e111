"""`check` names each failure with its fix: a real domain controller, a cloud over HTTPS, one thing wrong."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from connector import doctor
from connector.doctor import CHECKS, render_checks_md
from connector.doctor.cloud import LEAST, OPTIONAL, SHAREPOINT_ROLES
from tests.check_env import CheckEnv
from tests.doctor_troubles import MAIL, TROUBLES, Porter, Trouble, competed, free_port, to_sharepoint
from tests.lab.directory import Directory
from tests.lab.graph import Emulator

DOCS = Path(__file__).parent.parent / "docs"
DOCTOR = Path(doctor.__file__).parent
CODES = {"warn": 3, "fail": 5}
# What errors of a run begin with; a check is about one of them in any case.
SYSTEMS = ("directory", "token", "graph", "sharepoint", "folder")


@pytest.fixture
def check_env(directory: Directory, ou: str, cloud: Emulator, tmp_path: Path) -> Iterator[CheckEnv]:
    """Return a company where all is well."""
    with ExitStack() as stack:
        yield CheckEnv(directory, ou, cloud, folder=tmp_path, stack=stack)


def test_where_all_is_well_the_code_is_0_and_nothing_was_written(check_env: CheckEnv, cloud: Emulator) -> None:
    checked = check_env.check()

    assert checked.wrong() == {}
    assert checked.code == 0
    assert [finding["id"] for finding in checked.findings if finding["status"] == "skipped"] == [
        *(
            "ledger",
            "last-run",
            "directory-group",
            "policy-groups",
            "directory-filter",
            "mailboxes",
            "photo-policy",
            "sharepoint",
            "competing-writer",
        ),
        "mail",
    ]
    assert {record.method for record in cloud.requests if record.kind == "graph"} == {"GET", "POST"}
    assert {record.path for record in cloud.requests if record.method == "POST" and record.kind == "graph"} == {
        "/v1.0/$batch"
    }
    assert cloud.tenant.writes() == []
    assert [path.name for path in check_env.runner.state.rglob("*") if path.is_file()] == []
    assert cloud.violations() == []


def test_where_everything_is_used_all_of_it_is_tried(check_env: CheckEnv, cloud: Emulator) -> None:
    roles = ("User.Read.All", "ProfilePhoto.ReadWrite.All", "PeopleSettings.Read.All")
    cloud.issuer.set_roles(*roles)
    group = check_env.directory.add_group(check_env.ou, "Doctors and Pilots", check_env.dns[:2])
    check_env.settings |= {"LDAP_GROUP": group.dn, "KEEP_CLOUD_GROUP": group.dn, "LDAP_FILTER": "(mail=*)"}
    competed(check_env, 20)
    porter = Porter({})
    server = Controller(porter, hostname="127.0.0.1", port=free_port())
    server.start()
    check_env.stack.callback(server.stop)
    check_env.settings |= {"SMTP_URL": f"smtp://127.0.0.1:{server.port}", **MAIL}

    checked = check_env.check()

    assert (checked.code, checked.wrong()) == (0, {})
    assert [finding["id"] for finding in checked.findings if finding["status"] == "skipped"] == [
        *("mailboxes", "sharepoint")
    ]
    assert checked.of("people")[0]["detail"].startswith("2 people in scope")
    assert checked.of("policy-groups")[0]["detail"].startswith("KEEP_CLOUD_GROUP: 2 people in scope in ")
    assert checked.of("competing-writer")[0]["detail"] == "20 people in the last run (1)"
    assert "cloud" in checked.of("photo-policy")[0]["detail"]
    assert checked.of("mail")[0]["detail"] == "the server accepts reports for admin@contoso.test (always)"
    assert porter.mails == 0, "the doctor sends no mail"


@pytest.mark.parametrize("case", TROUBLES, ids=lambda case: case.name)
def test_each_failure_has_its_line_and_its_fix(case: Trouble, check_env: CheckEnv) -> None:
    case.spoil(check_env)

    checked = check_env.check()

    lines = [
        finding
        for finding in checked.of(case.check)
        if finding["status"] == case.status and case.says in finding["detail"] and case.fix in finding["fix"]
    ]
    assert len(lines) >= 1, checked.of(case.check)
    worst = "fail" if "fail" in checked.wrong().values() else "warn"
    assert checked.code == (2 if "settings" in checked.wrong() and worst == "fail" else CODES[worst])
    for finding in checked.findings:
        assert finding["status"] not in CODES or finding["fix"], f"{finding['id']} has no fix"
        name, first = finding["what"].casefold(), finding["detail"].partition(":")[0].casefold()
        assert first not in (name, *SYSTEMS), f"{finding['id']} names its system twice"


def test_the_table_provokes_every_failure_and_every_warning_that_is_documented() -> None:
    promised = {(check.id, "fail") for check in CHECKS if "✗" in check.about}
    promised |= {(check.id, "warn") for check in CHECKS if "!" in check.about}

    assert {(case.check, case.status) for case in TROUBLES} == promised


def test_the_table_provokes_every_finding_that_the_code_can_make() -> None:
    unprovoked = [
        f"{module.name}, line {line}: {status} {words}"
        for module in sorted(DOCTOR.glob("*.py"))
        for line, statuses, words in own_findings(ast.parse(module.read_text(encoding="utf-8")))
        for status in statuses
        if not any(case.status == status and fits(words, case.says) for case in TROUBLES)
    ]

    assert unprovoked == []


def test_the_table_provokes_every_refusal_that_the_pages_explain() -> None:
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    data = set(re.findall(r"^\| `(\w{3})` \|", page, re.MULTILINE))
    tokens = set(re.findall(r"^\| `AADSTS(\d+)` \|", page, re.MULTILINE))
    names = {case.name for case in TROUBLES}

    assert data == {name.rpartition("_")[2] for name in names if name.startswith("the_sign_in_is_refused_with_")}
    assert tokens <= {name.rpartition("_")[2] for name in names if name.startswith("the_issuer_says_")}
    assert len(data) == 10
    assert len(tokens) == 14


def own_findings(tree: ast.Module) -> Iterator[tuple[int, set[str], list[str]]]:
    """Yield each call of `fail` or `warn` that has words of its own: line, which of the two, and those words.

    A call without words passes on what an error says; such errors have rows by their check and status.
    """
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        known = {
            target.id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            called = {node.id for node in ast.walk(call.func) if isinstance(node, ast.Name)}
            statuses = called & {"fail", "warn"} or ({"fail", "warn"} if "sign" in called else set())
            words = list(own_words(call.args[0], known)) if statuses else []
            if words:
                yield call.lineno, statuses, words


def own_words(node: ast.AST, known: dict[str, ast.expr]) -> Iterator[str]:
    """Yield the fixed parts of a sentence, also of one that was put together before under a name."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and len(part.value.strip()) > 7:
            yield part.value.strip()
        elif isinstance(part, ast.Name) and part.id in known and known[part.id] is not node:
            yield from own_words(known[part.id], {})


def fits(words: list[str], says: str) -> bool:
    """Return True if what a row expects belongs to a sentence with these fixed parts."""
    return any(part in says or says in part for part in words)


def test_what_rests_on_a_failure_is_not_tried_and_says_why(check_env: CheckEnv, cloud: Emulator) -> None:
    check_env.settings["LDAP_PASSWORD"] = "mistyped-0815"

    checked = check_env.check()

    assert checked.wrong() == {"directory-sign-in": "fail"}
    why = "skipped (depends on Sign-in to the directory)"
    for check in ("directory-clock", "directory-base", "people", "photos", "anchor", "match"):
        assert [(one["status"], one["detail"]) for one in checked.of(check)] == [("skipped", why)]
    assert checked.statuses("graph-photo") == {"ok"}
    assert cloud.requests


def test_wrong_settings_are_told_all_at_once_and_nothing_is_contacted(check_env: CheckEnv, cloud: Emulator) -> None:
    check_env.without("LDAP_USER", "AZURE_CLIENT_ID")
    check_env.settings["SYNC_CONCURRENCY"] = "many"

    checked = check_env.check()

    assert checked.code == 2
    assert [one["detail"].partition(":")[0] for one in checked.of("settings")] == [
        *("SYNC_CONCURRENCY", "LDAP_USER", "AZURE_CLIENT_ID")
    ]
    assert cloud.requests == []
    assert not check_env.runner.state.exists()


def test_an_env_file_that_is_not_there_is_code_2(check_env: CheckEnv) -> None:
    told = check_env.runner.type("check", "--env-file", str(check_env.folder / "nowhere.env"))

    assert told.code == 2
    assert "✗ Settings: --env-file: " in told.out


def test_a_refused_account_is_tried_only_once(check_env: CheckEnv) -> None:
    ldap = check_env.on_own_server()
    check_env.settings["LDAP_PASSWORD"] = "mistyped-0815"
    check_env.settings["LDAP_BASE_DN"] = f"{ldap.tree.root};OU=People,DC=other,DC=test"

    checked = check_env.check()

    assert checked.statuses("directory-sign-in") == {"fail"}
    assert len(ldap.server.binds) == 1


def test_another_domain_s_failure_does_not_hide_what_can_be_tried(check_env: CheckEnv) -> None:
    check_env.settings["LDAP_BASE_DN"] = f"{check_env.ou};OU=People,DC=other,DC=test"

    checked = check_env.check()

    assert [one["status"] for one in checked.of("directory-sign-in")] == ["ok", "fail"]
    assert checked.of("people")[0]["detail"].startswith("3 people")
    assert checked.code == 5


def test_a_big_tenant_is_asked_for_the_sample_s_accounts_only(check_env: CheckEnv, cloud: Emulator) -> None:
    cloud.tenant.add_accounts({"upn": f"crowd{number}@contoso.test"} for number in range(20_100))
    check_env.add("dave")

    checked = check_env.check()

    (found,) = checked.of("match")
    assert found["detail"].startswith("3 of 4 people have an account (accounts requested by anchor and UPN")
    assert "dave-" in found["detail"]


def test_a_synchronised_account_with_another_anchor_is_found_by_sid(check_env: CheckEnv, cloud: Emulator) -> None:
    check_env.directory.set(check_env.dns[0], **{"mS-DS-ConsistencyGuid": b"another 16 bytes"})

    assert check_env.check().statuses("match") == {"ok"}
    check_env.settings["MATCH_FALLBACK"] = "none"
    assert check_env.check().statuses("match") == {"warn"}


def test_sharepoint_with_its_roles_is_well(check_env: CheckEnv, cloud: Emulator) -> None:
    to_sharepoint(check_env)
    cloud.issuer.set_roles("Sites.FullControl.All", "User.ReadWrite.All")

    assert check_env.check().statuses("sharepoint") == {"ok"}


def test_a_folder_needs_no_directory(check_env: CheckEnv, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / f"{check_env.people[0].upn}.jpg").write_bytes(b"not opened")
    check_env.without(*[name for name in check_env.settings if name.startswith("LDAP_")])
    check_env.settings |= {"SOURCE": "folder", "FOLDER_PATH": str(pictures), "FOLDER_KEY": "upn"}

    checked = check_env.check()

    assert {one["detail"] for one in checked.of("directory-tls")} == {"SOURCE=folder: no directory is read"}
    assert checked.of("match")[0]["detail"].startswith("1 of 1 people have an account")
    assert checked.code == 0


def test_the_lines_carry_marks_and_fixes(check_env: CheckEnv) -> None:
    check_env.settings["BACKUP_DAYS"] = "0"
    check_env.settings["LDAP_PASSWORD"] = "mistyped-0815"

    told = check_env.runner.type("check", "--env-file", str(check_env.runner.env_file()))

    assert told.code == 5
    lines = told.out.splitlines()
    assert lines[0] == "– Last run: there is none yet"
    assert lines[1:3] == ["", "This server: 1 warning, 3 passed, 1 skipped"]
    assert lines[3] == "✓ Settings: complete and consistent"
    at = next(number for number, line in enumerate(lines) if line.startswith("! Backups: BACKUP_DAYS=0"))
    assert lines[at + 1] == "    → Set BACKUP_DAYS=30, or another number of days."
    assert any(line.startswith("✗ Sign-in to the directory: ") for line in lines)
    (skipped,) = [line for line in lines if "depend" in line]
    assert re.match(r"– \d+ checks skipped \(they depend on Sign-in to the directory\): Base DNs, ", skipped)
    again = f"`photo-connector check --env-file {check_env.runner.env_file()}`"
    assert lines[-1] == f"1 failed, 1 warning. Fix the failures from the top, then run {again} again."


def test_the_last_line_says_whether_a_night_can_run(check_env: CheckEnv) -> None:
    told = check_env.runner.type("check", "--env-file", str(check_env.runner.env_file()))
    check_env.settings["BACKUP_DAYS"] = "0"
    doubtful = check_env.runner.type("check", "--env-file", str(check_env.runner.env_file()))

    assert told.out.splitlines()[-1].startswith("All checks passed. Preview with `photo-connector sync ")
    assert doubtful.out.splitlines()[-1].startswith("No failures, 1 warning. Ready to sync")


def test_a_pipe_gets_utf_8_whatever_the_code_page_as_from_every_command(check_env: CheckEnv) -> None:
    check_env.settings["BACKUP_DAYS"] = "0"
    check_env.settings["LDAP_URI"] = "ldaps://no-such-dc.invalid"
    command = [sys.executable, "-m", "connector", "check", "--env-file", str(check_env.runner.env_file())]
    environ = {**os.environ, "PYTHONIOENCODING": "cp437", "PYTHONUTF8": "0"}

    done = subprocess.run(command, capture_output=True, env=environ, check=False)

    text = done.stdout.decode("utf-8")
    assert done.returncode == 5, done.stderr
    assert "✓ Settings: " in text
    assert "! Backups: " in text
    assert "    → Set BACKUP_DAYS=30" in text
    assert "✗ Names of the domain controllers: " in text
    assert "checks skipped (they depend on Names of the domain controllers)" in text


def test_json_is_a_list_of_findings_with_five_fields(check_env: CheckEnv) -> None:
    told = check_env.runner.type("check", "--env-file", str(check_env.runner.env_file()), "--json")

    findings = json.loads(told.out)
    assert {tuple(finding) for finding in findings} == {("id", "status", "what", "detail", "fix")}
    assert {finding["id"] for finding in findings} == {check.id for check in CHECKS}


def test_the_checks_in_the_docs_are_those_of_the_code() -> None:
    assert render_checks_md(CHECKS) in (DOCS / "checks.md").read_text(encoding="utf-8")


def test_each_check_rests_only_on_earlier_ones() -> None:
    for number, check in enumerate(CHECKS):
        assert set(check.needs) <= {earlier.id for earlier in CHECKS[:number]}, check.id


def test_the_permissions_in_the_docs_are_those_that_are_checked() -> None:
    page = (DOCS / "permissions.md").read_text(encoding="utf-8")

    for role in LEAST:
        assert f"| {role} | yes |" in page
    assert f"| {OPTIONAL} | no |" in page
    for role in SHAREPOINT_ROLES:
        assert f"| {role} |" in page
