"""Render `.env.example`: `python -m connector.config > .env.example`."""

from __future__ import annotations

import sys

from connector.config.render import render_configuration_md, render_env_example


def main() -> None:
    """Write the example env file, or with `--markdown` the settings' page, to standard output (UTF-8, LF)."""
    text = render_configuration_md() if "--markdown" in sys.argv[1:] else render_env_example()
    sys.stdout.buffer.write(text.encode())


if __name__ == "__main__":
    main()
