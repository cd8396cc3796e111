"""Command line: the commands, their options and exit codes."""
