"""`photo-connector config`: first settings, what is in force, the files of the package, completion, short options."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import tree_sitter_powershell
from click.testing import CliRunner
from tree_sitter import Language, Parser

import connector
from connector.addresses import PROJECT, page
from connector.cli.completion import SHELLS
from connector.cli.config_commands import RESOURCES
from connector.cli.main import commands, run
from connector.cli.man_page import CODES, all_commands
from connector.config import load_settings
from connector.config.first_settings import FIRST
from connector.config.settings import NAMES
from connector.errors import ExitCode, SettingsError
from tests.company import Company
from tests.runner import _close_logs

ROOT = Path(connector.__file__).parent.parent
SECRET = "correct-horse-battery"
CLIENT = "11111111-2222-3333-4444-555555555555"
ANSWERS = {
    "LDAP_URI": "ldaps://dc1.contoso.com",
    "LDAP_CA_FILE": "contoso-ca.pem",
    "LDAP_USER": "svc-photo@contoso.com",
    "LDAP_PASSWORD_FILE": "ldap-password.txt",
    "AZURE_TENANT_ID": "contoso.onmicrosoft.com",
    "AZURE_CLIENT_ID": CLIENT,
    "AZURE_CLIENT_CERTIFICATE_PATH": "photo-connector.pem",
    "LDAP_GROUP": "CN=Photo pilot #1 'north',OU=Groups,DC=contoso,DC=com",
}
OPTIONS = [word for one in FIRST if one.name in ANSWERS for word in (one.option, ANSWERS[one.name])]
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and pseudo terminals are POSIX's")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left: its exit code and both outputs."""

    returncode: int
    stdout: str
    stderr: str


def typed(*words: str, cwd: Path, **environ: str) -> Done:
    """Type a command in this process, in a folder, with these variables."""
    out, err = io.StringIO(newline=""), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        for name, value in environ.items():
            patch.setenv(name, value)
        code = run(list(words))
    _close_logs()
    return Done(int(code), out.getvalue(), err.getvalue())


def put_files(folder: Path) -> None:
    for name in ("contoso-ca.pem", "photo-connector.pem"):
        (folder / name).touch(mode=0o600)
    (folder / "ldap-password.txt").touch(mode=0o600)
    (folder / "ldap-password.txt").write_text(SECRET, encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------------- init


def test_init_writes_the_eight_settings_for_its_owner_only(tmp_path: Path) -> None:
    put_files(tmp_path)

    done = typed("config", "init", *OPTIONS, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "Next: photo-connector check\n" in done.stdout
    if sys.platform != "win32":
        assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    loaded = load_settings(tmp_path / ".env", {})
    assert loaded.settings.ldap_group == ANSWERS["LDAP_GROUP"]
    assert loaded.settings.ldap_ca_file == tmp_path / "contoso-ca.pem"
    assert SECRET not in (tmp_path / ".env").read_text("utf-8") + done.stdout + done.stderr


def test_init_names_the_files_that_are_still_missing(tmp_path: Path) -> None:
    done = typed("config", "init", *OPTIONS, "-c", "a b.env", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "Still missing: ldap-password.txt (LDAP_PASSWORD_FILE)" in done.stdout
    assert "Next: photo-connector check --env-file 'a b.env'" in done.stdout


def test_init_never_changes_a_file_that_exists(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LDAP_URI=ldaps://other\n", encoding="utf-8")

    done = typed("config", "init", *OPTIONS, cwd=tmp_path)

    assert (done.returncode, ".env exists and is not changed" in done.stderr) == (2, True), done.stderr
    assert (tmp_path / ".env").read_text("utf-8") == "LDAP_URI=ldaps://other\n"


@needs_posix
def test_init_follows_no_link_to_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to(tmp_path / "elsewhere")

    assert typed("config", "init", *OPTIONS, cwd=tmp_path).returncode == 2
    assert not (tmp_path / "elsewhere").exists()


def test_init_without_a_terminal_names_every_option_that_it_needs(tmp_path: Path) -> None:
    done = typed("config", "init", "--ldap-uri", "http://dc1", cwd=tmp_path)

    assert done.returncode == 2
    assert "--ldap-uri: 'http://dc1' is not a directory's address" in done.stderr
    needed = {line.partition(":")[0] for line in done.stderr.splitlines() if "there is no terminal" in line}
    assert needed == {one.option for one in FIRST if not one.is_optional} - {"--ldap-uri"}
    assert "--azure-client-secret-file: is needed without --azure-client-certificate-path" in done.stderr
    assert not (tmp_path / ".env").exists()


@needs_posix
def test_init_asks_at_a_terminal_until_an_answer_can_be_used(tmp_path: Path) -> None:
    import pty
    import termios

    answers = {**ANSWERS, "LDAP_URI": "dc1\nldaps://dc1.contoso.com", "LDAP_CA_FILE": "", "LDAP_GROUP": ""}
    near, far = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "connector", "config", "init"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"},
        stdin=far,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(far)
    os.write(near, "".join(f"{answers[one.name]}\n" for one in FIRST if one.name in answers).encode())
    assert process.stderr is not None
    asked = ""
    while "Password for" not in asked:
        asked += process.stderr.read(1)
    while termios.tcgetattr(near)[3] & termios.ECHO:  # what is typed before it is switched off is dropped
        assert process.poll() is None, asked
        time.sleep(0.01)
    os.write(near, f"{SECRET}\n".encode())
    out, err = process.communicate()
    os.close(near)
    err = asked + err

    assert process.returncode == 0, err
    assert "is not a directory's address" in err
    assert (tmp_path / "ldap-password.txt").read_text("utf-8") == f"{SECRET}\n"
    assert (tmp_path / "ldap-password.txt").stat().st_mode & 0o777 == 0o600
    assert SECRET not in out + err
    assert "#LDAP_GROUP=\n" in (tmp_path / ".env").read_text("utf-8")


def test_init_takes_a_client_secret_instead_of_a_certificate(tmp_path: Path) -> None:
    put_files(tmp_path)
    at = OPTIONS.index("--azure-client-certificate-path")
    options = [*OPTIONS[:at], "--azure-client-secret-file", "secret.txt", *OPTIONS[at + 2 :]]

    done = typed("config", "init", *options, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "Still missing: secret.txt (AZURE_CLIENT_SECRET_FILE)\n" in done.stdout
    assert "Still to correct" not in done.stdout
    (tmp_path / "secret.txt").write_text(SECRET, encoding="utf-8")
    loaded = load_settings(tmp_path / ".env", {}).settings
    assert loaded.azure_client_secret is not None
    assert loaded.azure_client_secret.get_secret_value() == SECRET
    assert loaded.azure_client_certificate_path is None


def test_where_nothing_is_set_every_command_names_the_one_that_asks(tmp_path: Path) -> None:
    checked, planned = typed("check", cwd=tmp_path), typed("sync", "--dry-run", cwd=tmp_path)

    assert (checked.returncode, planned.returncode) == (2, 2)
    for text in (checked.stdout, planned.stderr):
        assert f".env: there is none in {tmp_path}" in text
        assert text.index("`photo-connector config init` asks for what is needed") < text.index("AZURE_TENANT_ID")
    some = typed("check", cwd=tmp_path, LDAP_URI="ldaps://dc1.contoso.com")
    assert "config init" not in some.stdout, "whoever has set something knows how"


def test_init_names_what_check_would_refuse_in_the_answers(tmp_path: Path) -> None:
    put_files(tmp_path)
    (tmp_path / "contoso-ca.pem").unlink()

    done = typed("config", "init", *OPTIONS, "--ldap-uri", "ldap://dc1.contoso.com", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("contoso-ca.pem") == 1
    assert "Still to correct: LDAP_URI: would send the password unencrypted; use ldaps://" in done.stdout


# ---------------------------------------------------------------------------------------------------- show and validate


def test_show_names_value_and_origin_of_every_setting_and_masks_secrets(tmp_path: Path) -> None:
    put_files(tmp_path)
    assert typed("config", "init", *OPTIONS, "-c", "conf/../x.env", cwd=tmp_path).returncode != 1
    assert typed("config", "init", *OPTIONS, "-c", "x.env", cwd=tmp_path).returncode in (0, 2)

    environ = {"LDAP_FILTER": "(department=Sales)", "SMTP_URL": f"smtps://u:{SECRET}@mail.contoso.com"}
    mail = {"REPORT_MAIL_TO": "a@contoso.com", "REPORT_MAIL_FROM": "b@contoso.com"}
    done = typed("config", "show", "--json", "-c", "x.env", cwd=tmp_path, **environ, **mail)

    assert done.returncode == 0, done.stderr
    shown = {row["name"]: (row["value"], row["origin"]) for row in json.loads(done.stdout)}
    assert list(shown) == list(NAMES)
    assert shown["LDAP_URI"] == ("ldaps://dc1.contoso.com", "x.env")
    assert shown["LDAP_FILTER"] == ("(department=Sales)", "environment")
    assert shown["LDAP_PASSWORD"] == ("********", "the file of LDAP_PASSWORD_FILE in x.env")
    assert shown["SMTP_URL"] == ("********", "environment")
    assert shown["SYNC_CONFLICT"] == ("source", "default")
    assert shown["GUEST_PHOTO"] == ("", "not set")
    assert SECRET not in done.stdout + done.stderr


def test_show_prints_wrong_values_too_and_then_every_problem(tmp_path: Path) -> None:
    done = typed("config", "show", cwd=tmp_path, SYNC_CONFLICT="both", LDAP_PASSWORD_FILE="gone.txt")

    assert done.returncode == 2
    assert "SYNC_CONFLICT=both  # environment" in done.stdout
    assert "LDAP_PASSWORD=  # the file of LDAP_PASSWORD_FILE in the environment, which cannot be read" in done.stdout
    assert "SYNC_CONFLICT: must be" in done.stderr
    assert "AZURE_TENANT_ID: is needed" in done.stderr


def test_validate_names_every_problem_at_once_and_contacts_nobody(tmp_path: Path) -> None:
    put_files(tmp_path)
    assert typed("config", "init", *OPTIONS, cwd=tmp_path).returncode == 0

    good = typed("config", "validate", cwd=tmp_path)
    bad = typed("config", "validate", cwd=tmp_path, SYNC_CONFLICT="both", PHOTO_SIZE="1")

    assert (good.returncode, good.stdout) == (0, "The settings are valid (0 warnings).\n"), good.stderr
    assert bad.returncode == 2
    assert {line.partition(":")[0] for line in bad.stderr.splitlines()} == {"SYNC_CONFLICT", "PHOTO_SIZE"}


# ------------------------------------------------------------------------------------------------------- relative files


def env_in(folder: Path) -> Path:
    folder.mkdir()
    lines = [f"{name}={ANSWERS[name]}\n" for name in ANSWERS if name != "LDAP_GROUP"]
    (folder / "contoso.env").write_text("".join(lines), encoding="utf-8")
    (folder / "contoso.env").chmod(0o600)
    return folder / "contoso.env"


def test_relative_files_are_looked_for_beside_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = env_in(tmp_path / "etc")
    put_files(tmp_path / "etc")
    (tmp_path / "contoso-ca.pem").write_text("another company's", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    for given in (env_file, Path("etc/contoso.env")):
        loaded = load_settings(given, {})
        assert loaded.settings.ldap_ca_file == tmp_path / "etc" / "contoso-ca.pem"
        assert loaded.settings.azure_client_certificate_path == tmp_path / "etc" / "photo-connector.pem"
        assert loaded.settings.ldap_password is not None
        assert loaded.warnings == ()


def test_a_file_of_the_current_folder_only_is_taken_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = env_in(tmp_path / "etc")
    put_files(tmp_path)
    monkeypatch.chdir(tmp_path)

    loaded = load_settings(env_file, {})

    assert loaded.settings.ldap_ca_file == tmp_path / "contoso-ca.pem"
    names = ("LDAP_CA_FILE", "LDAP_PASSWORD_FILE", "AZURE_CLIENT_CERTIFICATE_PATH")
    assert {warning.partition(":")[0] for warning in loaded.warnings} == set(names)
    assert all("not beside" in warning for warning in loaded.warnings)


def test_a_file_that_is_nowhere_is_named_where_it_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = env_in(tmp_path / "etc")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingsError) as caught:
        load_settings(env_file, {})

    assert "LDAP_CA_FILE" in {problem.partition(":")[0] for problem in caught.value.problems}
    assert str(tmp_path / "etc" / "contoso-ca.pem") in str(caught.value)


def test_a_relative_file_in_the_environment_stays_with_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = env_in(tmp_path / "etc")
    put_files(tmp_path / "etc")
    (tmp_path / "mine.pem").touch()
    monkeypatch.chdir(tmp_path)

    loaded = load_settings(env_file, {"LDAP_CA_FILE": "mine.pem"})

    assert loaded.settings.ldap_ca_file == Path("mine.pem")


@needs_posix
def test_the_install_block_takes_along_every_file_that_the_readme_s_settings_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "wheel", tmp_path / "etc"
    here.mkdir()
    readme = (ROOT / "README.md").read_text("utf-8")
    (here / ".env").write_text(textwrap.dedent(readme.partition("```ini\n")[2].partition("```")[0]), encoding="utf-8")
    put_files(here)
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    block = page.partition("## Scheduled runs on Linux")[2].partition("```\n")[2].partition("```")[0]
    lines = [line for line in block.splitlines() if line.startswith("install ") and "/etc/photo-connector" in line]
    typed_here = "\n".join(lines).replace("/etc/photo-connector", str(there))
    subprocess.run(["sh", "-ec", re.sub(r" -[og] \S+", "", typed_here)], cwd=here, check=True)
    shutil.rmtree(here)
    monkeypatch.chdir("/")  # as systemd starts a service

    loaded = load_settings(there / "contoso.env", {})

    assert loaded.settings.ldap_ca_file == there / "contoso-ca.pem"
    assert loaded.settings.azure_client_certificate_path == there / "photo-connector.pem"
    assert loaded.settings.ldap_password is not None
    assert loaded.settings.ldap_password.get_secret_value() == SECRET


# ------------------------------------------------------------------------------------------------------------ the files


@pytest.mark.parametrize("name", RESOURCES)
def test_every_file_of_the_package_is_printed_and_written_as_it_is(name: str, tmp_path: Path) -> None:
    content = (ROOT / "connector" / "resources" / RESOURCES[name][0]).read_bytes()

    printed = typed("config", name, cwd=tmp_path)
    written = typed("config", name, "--output", "x", cwd=tmp_path)

    assert (printed.returncode, printed.stdout.encode()) == (0, content)
    assert (written.returncode, (tmp_path / "x").read_bytes()) == (0, content)


def test_no_file_of_the_package_is_left_without_a_command() -> None:
    kept = {path.name for path in (ROOT / "connector" / "resources").iterdir()}
    assert kept == {name for name, _ in RESOURCES.values()}


def test_the_example_is_printed(tmp_path: Path) -> None:
    assert typed("config", "example", cwd=tmp_path).stdout == (ROOT / ".env.example").read_text("utf-8")


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    done = typed("config", "example", "--output", str(tmp_path / "no" / "x"), cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


# ----------------------------------------------------------------------------------------------- completion, man, short


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_a_script_that_names_the_program(shell: str, tmp_path: Path) -> None:
    done = typed("config", "completion", shell, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "_PHOTO_CONNECTOR_COMPLETE" in done.stdout
    if shell == "powershell":
        tree = Parser(Language(tree_sitter_powershell.language())).parse(done.stdout.encode())
        assert not tree.root_node.has_error
        assert done.stdout.isascii()


@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="needs bash")
def test_bash_completes_a_command(tmp_path: Path) -> None:
    script = typed("config", "completion", "bash", cwd=tmp_path).stdout
    (tmp_path / "photo-connector").write_text(f'#!/bin/sh\nexec {sys.executable} -m connector "$@"\n')
    (tmp_path / "photo-connector").chmod(0o755)
    ask = "COMP_WORDS=(photo-connector config va); COMP_CWORD=2; _photo_connector_completion photo-connector"

    done = subprocess.run(
        ["bash", "-c", f'{script}\n{ask}\necho "${{COMPREPLY[@]}}"'],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "validate\n", done.stderr


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        (["photo-connector", "config", "va"], "va", ["validate"]),
        (["photo-connector", "config", "completion"], "", ["bash", "fish", "powershell", "zsh"]),
        (["photo-connector", "sync", "--dry"], "--dry", ["--dry-run"]),
    ],
)
def test_powershell_is_answered_in_lines_with_help(words: list[str], incomplete: str, expected: list[str]) -> None:
    asked = {"COMP_WORDS": "\n".join(words), "COMP_INCOMPLETE": incomplete}
    environ = {"_PHOTO_CONNECTOR_COMPLETE": "powershell_complete", **asked}
    done = CliRunner().invoke(commands, [], prog_name="photo-connector", env=environ)

    rows = [line.split("\t") for line in done.output.splitlines()]
    assert sorted(row[0] for row in rows) == expected
    assert all(row[1] for row in rows)


def test_the_manual_page_names_every_command_and_exit_code(tmp_path: Path) -> None:
    text = typed("config", "man", cwd=tmp_path).stdout

    for name, _ in all_commands(commands):
        assert name.replace("-", "\\-") in text
    assert set(CODES) == set(ExitCode)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_formatter_takes_the_manual_page_without_a_word(tmp_path: Path) -> None:
    text = typed("config", "man", cwd=tmp_path).stdout
    command = ["groff", "-man", "-Tutf8", "-ww", "-z"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_has_the_options_of_every_command_and_their_short_forms() -> None:
    for name, command in all_commands(commands):
        known = {option for parameter in command.params for option in parameter.opts}
        if name != "photo-connector config":
            assert {"-c", "--env-file", "-v", "--verbose", "-q", "--quiet", "--log-format"} <= known, name
        assert ("-n" in known) == ("--dry-run" in known), name
        shown = CliRunner().invoke(commands, [*name.split()[1:], "-h"], prog_name="photo-connector")
        assert shown.exit_code == 0, name


@pytest.mark.parametrize("group", [(), ("config",)], ids=["alone", "config"])
def test_a_group_without_a_command_shows_its_help_in_lines(group: tuple[str, ...], tmp_path: Path) -> None:
    told = typed(*group, cwd=tmp_path)

    shown = told.stderr or told.stdout  # click before 8.2 takes it for a wish
    assert told.returncode == (2 if told.stderr else 0)
    assert shown == typed(*group, "--help", cwd=tmp_path).stdout
    assert "  sync " in shown or "  init " in shown


@pytest.mark.parametrize("group", [commands, commands.commands["config"]], ids=["alone", "config"])
def test_no_summary_of_a_command_is_cut_at_80_columns(group: click.Command) -> None:
    shown = CliRunner().invoke(group, ["--help"], prog_name="photo-connector", terminal_width=80).output

    assert [line for line in shown.splitlines() if line.endswith("...") and "[ARGS]" not in line] == []
    assert max(map(len, shown.splitlines())) <= 80


def test_a_quiet_run_shows_no_report_and_still_says_what_stopped_it(company: Company) -> None:
    company.hire("ada")

    quiet = company.sync("-q", "-n")
    stopped = company.sync("-q", "--only", "nobody@contoso.test")

    assert (quiet.code, quiet.out) == (0, ""), quiet.err
    assert stopped.code == 2
    assert "nobody@contoso.test" in stopped.err


def test_a_quiet_check_shows_failures_and_the_verdict_alone(tmp_path: Path) -> None:
    loud, quiet = typed("check", cwd=tmp_path), typed("check", "--quiet", cwd=tmp_path)

    assert (loud.returncode, quiet.returncode) == (2, 2)
    marks = {line[:1] for line in quiet.stdout.splitlines() if not line.startswith(" ")}
    assert "✗" in marks
    assert "–" not in marks
    assert "–" in {line[:1] for line in loud.stdout.splitlines()}
    assert quiet.stdout.splitlines()[-1] == loud.stdout.splitlines()[-1]


# ------------------------------------------------------------------------------------------------------------- messages


def texts() -> list[tuple[str, str]]:
    """Return every text of the program that is no docstring, and the files that it prints."""
    found = []
    for path in sorted(Path(connector.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        own = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        docs = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, own)}
        constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        found += [(path.name, text) for text in constants if isinstance(text, str) and text not in docs]
    found += [(path.name, path.read_text("utf-8")) for path in (ROOT / "connector" / "resources").iterdir()]
    return found


def test_no_message_names_a_file_of_the_sources() -> None:
    bad = re.compile(r"(?<![\w/])(?:docs|scripts)/[\w.-]+")
    places = [(where, bad.findall(text)) for where, text in texts() if bad.search(text)]
    # the comment at the head of generated pages says how they are written
    assert [one for one in places if set(one[1]) != {"scripts/docs"}] == []


def test_every_address_in_a_message_is_a_page_that_exists() -> None:
    linked = [link for _, text in texts() for link in re.findall(rf"{PROJECT}/blob/main/([\w./-]+\w)", text)]
    called = re.findall(
        r"\bpage\([\"'](\w[\w-]*)[\"']",
        "".join(path.read_text("utf-8") for path in Path(connector.__file__).parent.rglob("*.py")),
    )
    assert linked
    assert called
    missing = [name for name in [*linked, *(f"docs/{one}.md" for one in called)] if not (ROOT / name).exists()]
    assert missing == []


def test_the_metadata_names_the_same_address() -> None:
    assert f"url = {PROJECT}\n" in (ROOT / "setup.cfg").read_text("utf-8")
    assert page("permissions", "a-certificate").startswith(PROJECT)
