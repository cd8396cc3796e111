"""Nights of the program under CPython for Windows (Wine); directory and cloud run on the Linux side."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from connector.photo import read_print
from tests.company import face
from tests.lab import windows
from tests.lab.directory import Directory
from tests.lab.fixtures_windows import WindowsCompany
from tests.lab.graph import Emulator, Fault
from tests.lab.samba import DomainController
from tests.lab.windows_console import Console
from tests.lab.world import ldap_settings
from tests.runner import shown

pytestmark = pytest.mark.windows

# The gate kills once, after the third upload; `WINDOWS_KILLS=30` is for a trial by hand, at random moments.
KILLS = int(os.environ.get("WINDOWS_KILLS", "1"))
CROWD = 12


def wait_until(is_so: Callable[[], bool], console: Console | None = None) -> None:
    """Wait for something that the Windows process brings about; a console is read meanwhile."""
    deadline = time.monotonic() + windows.PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it never came to that"
        if console is not None:
            console.read()
        time.sleep(0.02)


def uploads(company: WindowsCompany) -> int:
    return sum(request.method == "PUT" for request in company.cloud.requests)


def shows(company: WindowsCompany, account_id: str, name: str) -> bool:
    return shown(company.cloud, account_id).shows_same(read_print(face(name)))


def test_first_quiet_full_and_changed_nights_on_samba(
    windows_python: windows.Process, directory: Directory, domain: DomainController, ou: str, cloud: Emulator,
    tmp_path: Path,
) -> None:  # fmt: skip
    settings = {**ldap_settings(domain, ou), **cloud.environ(), "SYNC_MAX_CHANGES_PERCENT": "100"}
    runner = windows.WindowsRunner(windows_python, tmp_path, settings)
    accounts, entries = {}, {}
    for name in ("ada", "bea", "cem"):
        upn = f"{name}@contoso.test"
        entries[name] = directory.add_person(ou, name, userPrincipalName=upn, mail=upn, jpegPhoto=[face(name)])
        accounts[name] = cloud.tenant.add_account(upn, mail=upn, immutable_id=entries[name].anchor, synced=True)

    first = runner.sync()
    quiet = runner.sync()
    full = runner.sync("--full")
    directory.set_photo(entries["ada"].dn, face("ada again"))
    directory.set_photo(entries["bea"].dn)
    changed = runner.sync()

    assert (first.code, first.totals["created"]) == (0, 3), first.err
    assert (quiet.code, quiet.totals["unchanged"], quiet.requests["ldap_entries"]) == (0, 3, 0), quiet.err
    assert (full.code, full.totals["unchanged"]) == (0, 3), full.err
    assert (changed.code, changed.of("ada@contoso.test")) == (0, ("replace", "source-changed")), changed.err
    assert changed.totals["removed"] == 0
    assert shown(cloud, accounts["ada"]).shows_same(read_print(face("ada again")))
    assert shown(cloud, accounts["bea"]).shows_same(read_print(face("bea")))


@pytest.mark.parametrize("kill", range(KILLS))
def test_a_second_run_gives_way_and_one_ended_by_terminate_process_repeats_nothing_and_loses_nobody(
    windows_company: WindowsCompany, kill: int
) -> None:
    company, chance = windows_company, random.Random(kill)
    team = company.team(CROWD)
    company.cloud.set(latency=0.1)
    run = company.runner.start_process("sync", "--env-file", str(company.runner.env_file()))
    if KILLS == 1:
        wait_until(lambda: bool(company.cloud.requests))
        with company.cloud.world.lock:  # no request is answered meanwhile, so the first run cannot end
            second = company.sync()
        assert second.code == 6, second.err
        wait_until(lambda: uploads(company) >= 3)
    else:
        wanted = chance.randrange(0, CROWD + 3)
        wait_until(lambda: len(company.cloud.requests) >= wanted)
        time.sleep(chance.uniform(0, 0.5))
    ended = company.runner.terminate(run)
    before = uploads(company)

    after = company.sync()
    quiet = company.sync()

    assert after.code == 0, after.err
    wrong = [one.name for one in team if not shows(company, one.account_id, one.name)]
    writes = Counter(write.account_id for write in company.cloud.tenant.writes())
    repeated = [account_id for account_id, count in writes.items() if count > 1]
    conflicts = after.totals["conflicts"] + quiet.totals["conflicts"]
    print(f"kill {kill}: {before} uploads before, ended {ended}; {repeated=} {wrong=} {conflicts=}")
    assert (len(writes), repeated, wrong, conflicts) == (CROWD, [], [], 0)
    assert (quiet.code, quiet.totals["unchanged"]) == (0, CROWD), quiet.err


def test_ctrl_c_ends_a_run_that_was_told_to_wait(windows_company: WindowsCompany) -> None:
    company = windows_company
    company.team(2)
    company.cloud.fail_next(r"POST .*batch", Fault(status=429, retry_after="600"), times=-1)  # over 1800 ends the run
    console = company.runner.console("sync", "--env-file", str(company.runner.env_file()))
    wait_until(lambda: any("batch" in request.path for request in company.cloud.requests), console)
    console.type(b"\x03")
    assert console.wait(240) == 130, console.text
    assert "The run was interrupted" in " ".join(console.text.split())


def test_what_a_pipe_gets_is_utf_8_and_nul_is_no_terminal(
    windows_company: WindowsCompany, windows_python: windows.Process
) -> None:
    company = windows_company
    company.team(1)
    program = """
        import os, sys
        from connector.cli.console import is_one_file, is_terminal
        with open("NUL", "w") as nowhere:
            answer = [nowhere.isatty(), is_terminal(nowhere), is_terminal(sys.stdout)]
        pipe, another = os.pipe(), os.pipe()
        answer += [is_one_file(pipe[1], os.dup(pipe[1])), is_one_file(pipe[1], another[1])]
    """
    isatty, *told = windows_python.execute(program)
    assert (isatty, told) == (True, [False, False, True, False])
    path = windows.windows_path(company.runner.env_file())
    checked = windows.python("-m", "connector", "check", "--env-file", path, cwd=company.runner.folder)
    assert "\ufffd" not in checked.out
    assert "✓" in checked.out


def test_arguments_are_taken_as_they_are_typed(
    windows_company: WindowsCompany, windows_python: windows.Process
) -> None:
    company = windows_company
    company.team(1)
    assert company.sync().code == 0
    path = str(company.runner.env_file())
    for name in ("*", "%USERNAME%", "?ettings.env"):
        program = """
            import sys
            sys.argv = ["photo-connector", "history", "--env-file", path, name]
            import contextlib, io
            from connector.cli.main import run
            words = io.StringIO()
            with contextlib.redirect_stderr(words):
                code = run()
            answer = [code, words.getvalue()]
        """
        code, words = windows_python.execute(program, path=windows.windows_path(Path(path)), name=name)
        assert code == 2
        assert name in words
