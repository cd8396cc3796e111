"""Fixtures for the cloud: a fresh tenant for each test, on a server that lives as long as the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.graph import Emulator


@pytest.fixture(scope="session")
def cloud_server() -> Iterator[Emulator]:
    """Run one emulator for all tests of this process."""
    with Emulator() as running:
        yield running


@pytest.fixture
def cloud(cloud_server: Emulator) -> Iterator[Emulator]:
    """Give a test an empty tenant, fresh credentials, default switches and an empty record."""
    cloud_server.reset()
    yield cloud_server
    assert cloud_server.mishaps == [], "the lab itself failed"
