"""A state folder that somebody else could have prepared is refused with its cure, by runs and by `check`."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from connector.errors import StateError
from connector.ledger.folder_permissions import is_windows_share, refuse_deep
from connector.windows_acl import Broad, broad_groups, icacls, is_link
from tests.company import Company
from tests.runner import CommandResult

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has ACLs instead of modes and owners")
needs_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="owners change by root only")
NOBODY = 65534


def in_check(company: Company, finding: str) -> dict[str, str]:
    told = company.runner.type("check", "--env-file", str(company.runner.env_file()), "--json")
    return next(one for one in json.loads(told.out) if one["id"] == finding)


def refused(told: CommandResult, *words: str) -> None:
    assert told.code == 2, told.err
    *_, sentence = told.err.strip().splitlines()
    assert sentence.startswith("STATE_DIR: ")
    assert all(word in sentence for word in words), sentence


def by_link(state: Path, victim: Path) -> None:
    (state / "ledger.sqlite3").symlink_to(victim)


def by_linked_log(state: Path, victim: Path) -> None:
    (state / "logs").mkdir(mode=0o700)
    (state / "logs" / "photo-connector.log").symlink_to(victim)


def by_linked_folder(state: Path, victim: Path) -> None:
    (state / "spool").symlink_to(victim.parent)


def by_linked_draft(state: Path, victim: Path) -> None:
    (state / "dry-run.sqlite3").symlink_to(victim)


@posix
@pytest.mark.parametrize("lay", [by_link, by_linked_log, by_linked_folder, by_linked_draft])
def test_a_link_within_the_folder_is_refused_and_what_it_names_stays(
    company: Company, tmp_path: Path, lay: Callable[[Path, Path], None]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    victim = elsewhere / "precious"
    victim.write_text("precious", encoding="utf-8")
    company.runner.state.mkdir(mode=0o700)
    lay(company.runner.state, victim)

    refused(company.sync("--dry-run"), "is a link, which would be followed", "Delete the link")

    assert victim.read_text("utf-8") == "precious"
    found = in_check(company, "state-folder")
    assert (found["status"], "is a link" in found["detail"]) == ("fail", True)
    assert victim.read_text("utf-8") == "precious"


@posix
@pytest.mark.parametrize("mode", [0o777, 0o702, 0o1777])
def test_a_folder_that_everybody_may_write_is_refused(company: Company, mode: int) -> None:
    company.runner.state.mkdir()
    company.runner.state.chmod(mode)

    refused(company.sync(), "others on this machine may write", f"chmod 700 {company.runner.state}")

    assert in_check(company, "state-folder")["status"] == "fail"


@needs_root
def test_a_folder_of_a_strangers_group_is_refused(company: Company) -> None:
    company.runner.state.mkdir()
    os.chown(company.runner.state, -1, NOBODY)
    company.runner.state.chmod(0o770)

    refused(company.sync(), "others on this machine may write")


@needs_root
@pytest.mark.parametrize("command", ["sync", "report", "history", "forget"])
def test_a_folder_of_another_account_is_refused_by_every_command(company: Company, command: str) -> None:
    company.runner.state.mkdir(mode=0o700)
    os.chown(company.runner.state, NOBODY, -1)
    words = {"history": ["ada"], "forget": ["ada"]}.get(command, [])

    told = company.runner.type(command, "--env-file", str(company.runner.env_file()), *words)

    refused(told, "belongs to nobody", "sudo -u nobody")


@needs_root
def test_a_file_of_another_account_within_is_refused(company: Company) -> None:
    company.runner.state.mkdir(mode=0o700)
    forged = company.runner.state / "ledger.sqlite3"
    forged.write_bytes(b"")
    os.chown(forged, NOBODY, -1)

    refused(company.sync(), "ledger.sqlite3 belongs to nobody")


def test_a_folder_that_is_named_by_a_link_of_our_own_is_used(company: Company, tmp_path: Path) -> None:
    (tmp_path / "big disk").mkdir(mode=0o700)
    company.runner.state.symlink_to(tmp_path / "big disk")
    company.hire("ada")

    assert company.sync().code == 0


# -------------------------------------------------------------------------------------------------------------- a lock

AS_NOBODY = """
import os, sys
import connector.cli.main, connector.sync.run, encodings.idna
"".encode("utf-8-sig")
os.setgroups([]); os.setegid({nobody}); os.seteuid({nobody})
sys.exit(connector.cli.main.run(sys.argv[1:]))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Make a folder that every account may look into."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@needs_root
def test_a_lock_that_is_not_ours_to_write_is_not_called_another_run(company: Company, open_folder: Path) -> None:
    company.settings["STATE_DIR"] = str(open_folder / "state")
    assert company.sync("--dry-run").code == 0
    for path in (open_folder / "state", *(open_folder / "state").rglob("*")):
        os.chown(path, NOBODY, -1)
    lock = open_folder / "state" / "lock"
    lock.unlink(missing_ok=True)
    lock.touch(mode=0o600)
    env_file = open_folder / "settings.env"
    text = company.runner.env_file().read_text("utf-8")
    for name in ("LDAP_CA_FILE", "HTTP_CA_FILE"):
        (open_folder / name).write_bytes(Path(company.settings[name]).read_bytes())
        text = text.replace(company.settings[name], str(open_folder / name))
    env_file.write_text(text, encoding="utf-8")
    command = [sys.executable, "-c", AS_NOBODY.format(nobody=NOBODY), "sync", "--env-file", str(env_file)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2, done.stderr
    assert f"the lock {lock} cannot be taken" in done.stderr
    assert "Another run" not in done.stderr


# ------------------------------------------------------------------------------------------------------------- Windows


@pytest.mark.parametrize(
    ("path", "is_share"),
    [
        ("C:\\state", False),
        ("\\\\?\\C:\\state", False),
        ("\\\\?\\UNC\\filer\\share", True),
        ("\\\\filer\\share\\state", True),
        ("\\\\.\\C:\\state", False),
        ("\\\\?\\Volume{0b7e}\\state", False),
    ],
)
def test_a_share_is_told_from_a_long_name(path: str, is_share: bool) -> None:
    assert is_windows_share(path) is is_share


def test_a_folder_so_deep_that_backups_would_not_fit_is_refused_on_windows() -> None:
    deep = "C:\\" + "a" * 177

    with pytest.raises(StateError, match="at most 179 characters"):
        refuse_deep(deep, windows=True)
    refuse_deep(deep[:179], windows=True)
    refuse_deep("\\\\?\\" + deep, windows=True)
    refuse_deep(deep, windows=False)
    assert len(deep[:179] + "\\backups\\ab\\" + "f" * 64 + ".jpg") == 259


def test_a_share_is_refused_before_anything_is_made_on_it(company: Company, tmp_path: Path) -> None:
    """In a mount namespace whose list of mounts calls the place a share."""
    if sys.platform == "win32" or os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/root / ext4 rw 0 0\nfiler:/export {tmp_path} nfs4 rw 0 0\n", encoding="utf-8")
    sync = f"{sys.executable} -m connector sync --env-file {company.runner.env_file()}"
    script = f"mount --bind {mounts} /proc/$$/mounts && exec {sync}"

    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], check=False, capture_output=True, text=True)

    assert done.returncode == 2, done.stderr
    assert "is on a network share" in done.stderr
    assert not company.runner.state.exists()


@pytest.mark.parametrize(
    ("sddl", "readers", "writers"),
    [
        ("D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)", (), ()),
        ("D:AI(A;OICIID;FA;;;SY)(A;OICIID;0x1200a9;;;BU)(A;CIID;DCLCRPCR;;;BU)", ("Users",), ("Users",)),
        ("D:(A;;0x1200a9;;;WD)", ("Everyone",), ()),
        ("D:(A;;FR;;;AU)(A;;FW;;;AU)", ("Authenticated Users",), ("Authenticated Users",)),
        ("D:(A;;GA;;;S-1-1-0)", ("Everyone",), ("Everyone",)),
        ("D:(D;;FA;;;WD)(A;;FA;;;BA)", (), ()),
        ("D:(A;;FR;;;S-1-5-21-1-2-3-513)(A;;FR;;;S-1-5-21-1-2-3-1104)", ("Domain Users",), ()),
        ("D:NO_ACCESS_CONTROL", ("Everyone",), ("Everyone",)),
        ("O:BAG:SY", ("Everyone",), ("Everyone",)),
        ("D:", (), ()),
        ('D:(XA;;FR;;;WD;(@User.Title=="PM"))', (), ()),
    ],
)
def test_a_list_of_rights_is_read_for_the_groups_that_take_in_strangers(
    sddl: str, readers: tuple[str, ...], writers: tuple[str, ...]
) -> None:
    assert broad_groups(sddl) == Broad(readers, writers)


@pytest.mark.parametrize(("tag", "expected"), [(0xA0000003, True), (0xA000000C, True), (0x9000001A, False), (0, False)])
def test_a_junction_counts_as_a_link_and_a_folder_of_onedrive_does_not(tag: int, expected: bool) -> None:
    class Folder(type(Path())):  # type: ignore[misc]  # the class that Path gives on this system
        def lstat(self) -> SimpleNamespace:
            return SimpleNamespace(st_mode=stat.S_IFDIR | 0o700, st_reparse_tag=tag)

    assert is_link(Folder("C:/photos")) is expected


def test_the_cure_can_be_pasted_into_powershell() -> None:
    from tests.test_pasted import powershell

    command = icacls(Path("C:/Program Files/it's"), is_folder=True)

    assert powershell(command)[0] == "icacls"
    assert str(Path("C:/Program Files/it's")) in powershell(command)[1]


# --------------------------------------------------------------------------------------------------------- the env file


@needs_root
def test_a_file_in_a_folder_that_cannot_be_entered_is_a_settings_problem(company: Company, open_folder: Path) -> None:
    env_file = open_folder / "settings.env"
    env_file.write_bytes(company.runner.env_file().read_bytes())
    command = [sys.executable, "-c", AS_NOBODY.format(nobody=NOBODY), "sync", "--env-file", str(env_file)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2, done.stderr
    assert "was not found or is not readable by this account" in done.stderr


@needs_root
@pytest.mark.parametrize(
    ("owner", "mode", "words"),
    [
        (NOBODY, 0o600, "belongs to nobody, who can write it"),
        (0, 0o660, "its group can write it"),
        (0, 0o640, ""),
        (0, 0o602, "others can write it"),
    ],
)
def test_an_env_file_that_somebody_else_may_write_is_warned_of(
    company: Company, owner: int, mode: int, words: str
) -> None:
    path = company.runner.env_file()
    path.chmod(mode)
    os.chown(path, owner, -1)

    told = company.runner.type("sync", "--env-file", str(path))

    warned = [line for line in told.err.splitlines() if line.startswith(f"Warning: {path}: ")]
    assert told.code == 0, told.err
    assert [words in line for line in warned] == ([True] if words else [])
