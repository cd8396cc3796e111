"""Commands `config WHAT`: help with the settings, and print the files that an installed program carries."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from connector.cli.completion import SHELLS, completion_script
from connector.cli.console import begin_logs, is_terminal
from connector.cli.man_page import render_man_page
from connector.cli.options import common, echo_error, utf8_stdout
from connector.command import quoted, use_env_file
from connector.config import load_settings, render_env_example
from connector.config.env_file import DEFAULT_FILE
from connector.config.first_settings import FIRST, FirstSetting, env_text, first_problem, write_new
from connector.config.render import InForce, settings_in_force
from connector.disk import reason, write_whole
from connector.errors import ConnectorError, SettingsError, UsageError
from connector.report import refuse_device
from connector.windows_acl import icacls

# What each command prints: the file among the package's resources, and the sentence of its help.
RESOURCES = {
    "service": ("photo-connector@.service", "Print the systemd service."),
    "timer": ("photo-connector@.timer", "Print the systemd timer that starts the service daily."),
    "task": ("register-task.ps1", "Print the PowerShell script of the scheduled task (Windows)."),
    "app": ("register-app.ps1", "Print the PowerShell script that registers the Entra app."),
    "grant-read": ("grant-read.ps1", "Print the PowerShell script that grants reading of photos."),
}
SECRETS_OF_FIRST = {"LDAP_PASSWORD_FILE": "Password", "AZURE_CLIENT_SECRET_FILE": "Client secret"}
FILES_OF_FIRST = ("LDAP_CA_FILE", "AZURE_CLIENT_CERTIFICATE_PATH", *SECRETS_OF_FIRST)
output_option = click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file instead.")


@click.group()
def config() -> None:
    """Create, show and check settings; print units and scripts."""


def _begin(options: dict[str, Any]) -> Path | None:
    """Begin to log as every command does; return the env file that was given."""
    begin_logs(verbose=options["verbose"], form=options["log_format"])
    path: Path | None = options["env_file"]
    use_env_file(path)
    return path


# ------------------------------------------------------------------------------------------------------------ settings


def _first_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for setting in reversed(FIRST):
        command = click.option(setting.option, setting.name, metavar="VALUE", help=setting.help_text)(command)
    return command


@config.command()
@common
@_first_options
def init(**options: Any) -> None:
    """Ask for the needed settings and write them to a new file. The default is .env in the current directory."""
    path = _begin(options) or DEFAULT_FILE
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists and is not changed.", "Edit it, or name a new file by --env-file.")
    given = {setting.name: options[setting.name] for setting in FIRST if options[setting.name] is not None}
    problems = [
        f"{setting.option}: {text}"
        for setting in FIRST
        if setting.name in given and (text := first_problem(setting, given[setting.name]))
    ]
    if not is_terminal(sys.stdin):
        problems += _missing(given)
    if problems:
        raise SettingsError(problems)
    answers: dict[str, str] = {}
    for setting in FIRST:
        answers[setting.name] = given.get(setting.name) or _ask(setting, {**given, **answers})
    _write(path, env_text(answers))
    _offer_secrets(path, answers)
    _show_next(path, answers)


def _missing(given: dict[str, str]) -> list[str]:
    missing = [
        setting
        for setting in FIRST
        if setting.name not in given and not setting.is_optional and not given.get(setting.instead_of)
    ]
    return [f"{one.option}: is needed{_without(one)}, since there is no terminal to ask on" for one in missing]


def _without(setting: FirstSetting) -> str:
    other = next((one.option for one in FIRST if one.name == setting.instead_of), "")
    return f" without {other}" if other else ""


def _ask(setting: FirstSetting, given: dict[str, str]) -> str:
    """Ask until the answer can be used; an optional setting that was left out without a terminal is empty."""
    if setting.name in given or given.get(setting.instead_of) or not is_terminal(sys.stdin):
        return ""

    def checked(answer: str) -> str:
        if text := first_problem(setting, answer):
            raise click.UsageError(text)
        return answer.strip()

    is_replaced = any(one.instead_of == setting.name for one in FIRST)
    hint = "; Enter for a client secret instead" if is_replaced else "; Enter for none" if setting.is_optional else ""
    question = f"{setting.question}, e.g. {setting.example}{hint}"
    default = "" if setting.is_optional else None
    answer: str = click.prompt(question, default=default, show_default=False, value_proc=checked, err=True)
    return answer


def _write(path: Path, text: str) -> None:
    refuse_device(path)
    try:
        write_new(path, text)
    except FileExistsError:
        raise UsageError(f"{path} exists and is not changed.", "Edit it, or name a new file.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "Name another file.") from error


def _offer_secrets(path: Path, answers: dict[str, str]) -> None:
    """Ask for each secret whose file is not there yet, and write that file for its owner only."""
    for name, what in SECRETS_OF_FIRST.items():
        secret = path.parent / answers[name]
        if not answers[name] or secret.exists() or not is_terminal(sys.stdin):
            continue
        question = f"{what} for {secret}; Enter to write that file yourself"
        typed: str = click.prompt(question, default="", show_default=False, hide_input=True, err=True)
        if typed:
            _write(secret, f"{typed}\n")


def _show_next(path: Path, answers: dict[str, str]) -> None:
    """Print what was written, which files are still missing, and the next command."""
    use_env_file(None)
    out = utf8_stdout()
    out.write(f"Settings written to {path}, readable by its owner only.\n")
    if sys.platform == "win32":
        out.write(f"Limit the file to your account: {icacls(path, is_folder=False)}\n")
    for name in FILES_OF_FIRST:
        if answers[name] and not (path.parent / answers[name]).exists():
            out.write(f"Still missing: {path.parent / answers[name]} ({name})\n")
    for problem in _other_problems(path):
        out.write(f"Still to correct: {problem}\n")
    named = "" if path == DEFAULT_FILE else f" --env-file {quoted(str(path))}"
    out.write(f"Next: photo-connector check{named}\n")


def _other_problems(path: Path) -> list[str]:
    """Return what is wrong with the new file, but for files that it names and that are not there yet."""
    try:
        load_settings(path)
    except SettingsError as error:
        return [text for text in error.problems if text.partition(":")[0] not in (*FILES_OF_FIRST, "LDAP_PASSWORD")]
    return []


@config.command()
@common
@click.option("--json", "as_json", is_flag=True, help="Write a list of objects: name, value, origin.")
def show(*, as_json: bool, **options: Any) -> None:
    """Show every setting in force and where it comes from. Secrets are masked."""
    env_file = _begin(options)
    found = settings_in_force(env_file)
    if as_json:
        rows = [{"name": one.name, "value": one.value, "origin": one.origin} for one in found]
        utf8_stdout().write(json.dumps(rows, indent=1) + "\n")
    else:
        utf8_stdout().writelines(_line(one) for one in found)
    utf8_stdout().flush()
    load_settings(env_file)


def _line(setting: InForce) -> str:
    return f"{setting.name}={setting.value}  # {setting.origin}\n"


@config.command()
@common
def validate(**options: Any) -> None:
    """Check the settings and name every problem at once. No system is contacted."""
    env_file = _begin(options)
    loaded = load_settings(env_file)
    for warning in loaded.warnings:
        echo_error(f"Warning: {warning}")
    count = len(loaded.warnings)
    utf8_stdout().write(f"The settings are valid ({count} warning{'s' if count != 1 else ''}).\n")


# --------------------------------------------------------------------------------------------------------------- files


@config.command()
@common
@output_option
def example(*, output: Path | None, **options: Any) -> None:
    """Print an env file with all settings, commented out. Each has its default and its meaning."""
    _begin(options)
    _deliver(render_env_example(), output)


@config.command()
@common
@output_option
@click.argument("shell", type=click.Choice(SHELLS))
def completion(*, shell: str, output: Path | None, **options: Any) -> None:
    """Print the completion script of a shell."""
    _begin(options)
    _deliver(completion_script(click.get_current_context().find_root().command, shell), output)


@config.command()
@common
@output_option
def man(*, output: Path | None, **options: Any) -> None:
    """Print the manual page, for `man`."""
    _begin(options)
    root = click.get_current_context().find_root().command
    if isinstance(root, click.Group):
        _deliver(render_man_page(root), output)


def _resource_command(name: str) -> click.Command:
    file_name, text = RESOURCES[name]

    @click.command(name, help=text)
    @common
    @output_option
    def command(*, output: Path | None, **options: Any) -> None:
        _begin(options)
        _deliver(files("connector").joinpath("resources", file_name).read_text(encoding="utf-8"), output)

    return command


for _name in RESOURCES:
    config.add_command(_resource_command(_name))


def _deliver(text: str, output: Path | None) -> None:
    """Write a file of the package to standard output, or to a file, as UTF-8 with plain line ends."""
    if output is None:
        utf8_stdout().write(text)
        return
    refuse_device(output)
    try:
        write_whole(output, text.encode(), mode=0o644)
    except OSError as error:
        raise ConnectorError(f"{output} cannot be written: {reason(error)}.", "Name another file.") from error
