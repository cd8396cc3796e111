"""`history` of one person: what was done, when and why, how it stands now, and the command that would change it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from connector.ledger.store import hold_lock
from tests.company import Company, face
from tests.runner import CommandResult


def history(company: Company, *arguments: str) -> CommandResult:
    """Type `history`."""
    return company.runner.type("history", "--env-file", str(company.runner.env_file()), *arguments)


def as_json(company: Company, person: str) -> dict[str, Any]:
    """Type `history --format json`."""
    return dict(json.loads(history(company, person, "--format", "json").out))


def restore(company: Company, *arguments: str) -> CommandResult:
    """Type `restore`, a day later."""
    return company.runner.type("restore", "--env-file", str(company.runner.env_file()), *arguments, days=1)


def test_every_deed_is_told_with_its_time_and_reason(company: Company) -> None:
    ada = company.hire("ada")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    company.sync()
    company.paint(ada, face("new ada"))
    company.sync(days=1)

    told = as_json(company, ada.upn)

    assert [(one["run"], one["action"], one["reason"], one["backup"]) for one in told["events"]] == [
        (1, "replace", "cloud-differs", True),
        (2, "replace", "source-changed", True),
    ]
    assert told["events"][0]["at"] < told["events"][1]["at"]
    assert "In the cloud (graph): the source's photo." in told["now"]


@pytest.mark.parametrize(
    ("number", "command", "deed"),
    [
        (0, "restore --person ada@contoso.test", ("restore", "replace", "restored")),
        (1, "sync --only ada@contoso.test --overwrite", ("sync", "replace", "overwritten")),
        (2, "sync --only ada@contoso.test --clear", ("sync", "remove", "cleared-by-admin")),
    ],
    ids=["restore", "overwrite", "clear"],
)
def test_the_commands_told_are_commands_that_work(
    company: Company, number: int, command: str, deed: tuple[str, str, str]
) -> None:
    ada = company.hire("ada")
    company.settings["SYNC_CONFLICT"] = "cloud"
    company.sync()
    company.paint(ada, face("new ada"))
    company.sync(days=1)
    if "overwrite" in command:
        company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    told = as_json(company, "ada")["commands"]
    env_file = company.runner.env_file()
    name, rest = command.split(" ", 1)
    assert told[number] == f"photo-connector {name} --env-file {env_file} {rest}"

    name, *arguments = command.split()
    done = company.runner.type(name, "--env-file", str(company.runner.env_file()), *arguments, days=1)

    assert done.code == 0, done.err
    last = as_json(company, "ada")["events"][-1]
    assert (last["kind"], last["action"], last["reason"]) == deed


def test_only_commands_that_would_do_something_are_told(company: Company) -> None:
    ada = company.hire("ada")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    company.sync()

    restore(company, "--person", "ada")

    assert as_json(company, "ada")["commands"] == [
        f"photo-connector restore --env-file {company.runner.env_file()} --person ada@contoso.test"
    ]


def test_the_present_state_is_told_after_a_restore(company: Company) -> None:
    company.hire("ada")
    company.sync()
    restore(company, "--person", "ada")

    told = history(company, "ada").out

    assert "no photo, restored; not touched until the source changes" in told
    assert "Put back to the state before, by `restore` [restored]" in told


def test_without_a_backup_no_restore_is_offered(company: Company) -> None:
    company.settings["BACKUP_DAYS"] = "0"
    ada = company.hire("ada")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    company.sync()

    assert not any(" restore " in command for command in as_json(company, "ada")["commands"])


def test_what_stands_night_after_night_is_told_once_with_its_span(company: Company) -> None:
    nobody = company.hire("nobody", photo=None)
    for _ in range(3):
        company.sync(days=1)
    company.paint(nobody, face("nobody"))
    company.sync(days=1)

    events = as_json(company, "nobody")["events"]

    assert [(one["run"], one["reason"]) for one in events] == [(1, "no-photo"), (4, "first-upload")]
    assert events[0]["until"] == events[1]["at"]


def test_a_dry_run_is_told_as_what_would_have_been(company: Company) -> None:
    company.hire("ada")
    company.sync("--dry-run")

    assert "would create" in history(company, "ada@contoso.test").out


@pytest.mark.parametrize("name", ["ada@contoso.test", "ADA@Contoso.Test", "ada"], ids=["upn", "any-case", "sam"])
def test_a_person_goes_by_any_name(company: Company, name: str) -> None:
    company.hire("ada")
    company.sync()

    told = history(company, name)

    assert told.code == 0
    assert told.out.splitlines()[0] == "ada <ada@contoso.test>"


def test_nobody_and_two_people_are_usage_errors(company: Company) -> None:
    company.hire("ada", mail="shared@contoso.test")
    company.hire("bob", mail="shared@contoso.test")
    company.sync()

    nobody, two = history(company, "carl"), history(company, "shared@contoso.test")

    assert (nobody.code, two.code) == (2, 2)
    assert "no user in the database has this name" in nobody.err
    assert "fits 2 people" in two.err
    assert "ada@contoso.test" in two.err


def test_it_needs_no_lock_and_contacts_nobody(company: Company) -> None:
    company.hire("ada")
    company.sync()
    company.cloud.log.clear()

    with hold_lock(company.runner.state):
        told = history(company, "ada")

    assert told.code == 0
    assert list(company.cloud.requests) == []


def test_a_name_cannot_forge_lines_or_colours(company: Company) -> None:
    company.hire("ev\x1b[31mil")
    company.sync()

    told = history(company, "ev\x1b[31mil@contoso.test")

    assert told.code == 0
    assert "\x1b" not in told.out


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal is opened by pty")
def test_a_terminal_gets_a_table(company: Company) -> None:
    import pty

    company.hire("ada")
    company.sync()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "connector", "history", "--env-file", str(company.runner.env_file()), "ada"]
    done = subprocess.run(
        command, check=False, stdout=theirs, stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "100"}
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)

    assert done.returncode == 0, done.stderr
    assert "what" in shown
    assert "────" in shown
    overwrite = f"photo-connector sync --env-file {company.runner.env_file()} --only ada@contoso.test --overwrite"
    assert overwrite in shown
