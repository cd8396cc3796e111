"""Addresses of the project on the web, for messages: an installed program has no copy of the documentation."""

from __future__ import annotations

# setup.cfg names the same address, and a test compares them.
PROJECT = "https://github.com/photo-connector/photo-connector"
DOCUMENTATION = f"{PROJECT}/blob/main/docs"


def page(name: str, heading: str = "") -> str:
    """Return the address of a page of the documentation, at one of its headings where one is named."""
    return f"{DOCUMENTATION}/{name}.md" + (f"#{heading}" if heading else "")
