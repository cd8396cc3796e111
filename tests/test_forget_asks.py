"""Stories of `forget` before it deletes: the question on a terminal, the dry run, and names that nothing is held of."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest

from tests.company import Company, face
from tests.runner import CommandResult
from tests.test_forget import found, rows


def forget(company: Company, *arguments: str) -> CommandResult:
    """Type `forget`."""
    return company.runner.type("forget", "--env-file", str(company.runner.env_file()), *arguments)


def counts(told: CommandResult) -> str:
    """Return the numbers of the first line."""
    return told.out.splitlines()[0].partition(": ")[2]


def test_a_dry_run_says_exactly_what_would_go_and_deletes_nothing(company: Company) -> None:
    zoe = company.hire("zoe")
    company.hire("bob")
    company.cloud.tenant.set_photo(zoe.account_id, face("own zoe"))
    company.sync("--verbose")
    before = sorted(found(company, [zoe.upn, zoe.account_id]))

    planned = forget(company, "zoe", "--dry-run")

    assert planned.code == 0, planned.err
    assert planned.out.startswith("To be deleted: ")
    assert sorted(found(company, [zoe.upn, zoe.account_id])) == before
    assert len(rows(company, "SELECT id FROM people")) == 2
    done = forget(company, "zoe")
    assert done.out.startswith("Erased: ")
    assert counts(done) == counts(planned)


def test_where_nothing_is_held_nothing_is_left_to_do(company: Company) -> None:
    company.hire("ada")
    company.sync()

    told = forget(company, "nobody@contoso.test")

    assert told.code == 0
    assert told.out == "nobody@contoso.test: nothing is stored about a user or an account of this name.\n"
    assert forget(company, "ada").code == 0
    assert forget(company, "ada").code == 0, "a second time there is nothing left"


def test_an_account_that_no_person_in_scope_has_is_held_too_and_goes(company: Company) -> None:
    company.hire("ada")
    account_id = company.cloud.tenant.add_account("cloud-only@contoso.test", mail="someone@contoso.test")
    company.sync()
    assert found(company, [account_id]) != []

    told = forget(company, "someone@contoso.test")

    assert told.code == 0, told.err
    assert found(company, [account_id, "cloud-only@contoso.test"]) == []


def everything(terminal: int) -> str:
    """Return all that was written to a terminal whose other end is closed."""
    shown = b""
    with contextlib.suppress(OSError):  # Linux says EIO at the end
        while part := os.read(terminal, 65536):
            shown += part
    os.close(terminal)
    return shown.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal is opened by pty")
@pytest.mark.parametrize(
    ("typed", "options", "people", "code"),
    [(b"n\n", (), 1, 130), (b"y\n", (), 0, 0), (b"", ("--yes",), 0, 0)],
    ids=["no", "yes", "--yes"],
)
def test_a_terminal_is_asked_first(
    company: Company, typed: bytes, options: tuple[str, ...], people: int, code: int
) -> None:
    import pty

    company.hire("ada")
    company.sync()
    ours, theirs = pty.openpty()
    os.write(ours, typed)
    command = [sys.executable, "-m", "connector", "forget", "--env-file", str(company.runner.env_file()), "ada"]
    done = subprocess.run([*command, *options], check=False, stdin=theirs, stdout=theirs, stderr=theirs, timeout=60)
    os.close(theirs)
    shown = everything(ours)

    assert done.returncode == code, shown
    assert ("Delete all this for good?" in shown) is (not options)
    assert len(rows(company, "SELECT id FROM people")) == people
