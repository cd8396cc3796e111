"""Shell completion for bash, zsh, fish and PowerShell: the scripts, and PowerShell's side of click's protocol."""

from __future__ import annotations

import os
from typing import cast

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, get_completion_class

PROGRAM = "photo-connector"
VARIABLE = "_PHOTO_CONNECTOR_COMPLETE"
SHELLS = ("bash", "zsh", "fish", "powershell")
_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName 'photo-connector', 'photo-connector.exe' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $before = $commandAst.CommandElements | Where-Object { $_.Extent.StartOffset -lt $cursorPosition }
    $program = $commandAst.CommandElements[0].Extent.Text
    $env:%(complete_var)s = 'powershell_complete'
    $env:COMP_WORDS = ($before | ForEach-Object { $_.Extent.Text }) -join [char]10
    $env:COMP_INCOMPLETE = $wordToComplete
    try {
        & $program | ForEach-Object {
            $value, $text = $_ -split [char]9, 2
            [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $text)
        }
    }
    finally {
        Remove-Item -Path 'Env:%(complete_var)s', 'Env:COMP_WORDS', 'Env:COMP_INCOMPLETE' -ErrorAction SilentlyContinue
    }
}
"""


@add_completion_class
class PowerShellComplete(ShellComplete):
    """Complete in Windows PowerShell 5.1 and PowerShell 7, one suggestion a line: value, tab, help."""

    name = "powershell"
    source_template = _POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the complete words, and the one that is being typed."""
        words = [word.strip("'\"") for word in os.environ.get("COMP_WORDS", "").split("\n")][1:]
        incomplete = os.environ.get("COMP_INCOMPLETE", "").strip("'\"")
        if incomplete and words and words[-1] == incomplete:
            words.pop()
        return words, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Return the line of one suggestion; PowerShell refuses an empty help text."""
        return f"{item.value}\t{item.help or item.value}"


def completion_script(commands: click.Command, shell: str) -> str:
    """Return the script that a shell reads once to complete our commands and options."""
    kind = cast(type[ShellComplete], get_completion_class(shell))
    complete = kind(commands, {}, PROGRAM, VARIABLE)
    return complete.source_template % complete.source_vars()  # source() would start bash to ask for its version
