"""Measure a full reading of the directory by our source, and by python-ldap (a C library) over the same people.

Each reads in a process of its own; its start and its imports are not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connector.config.load import load_settings
from connector.model import RequestCounters
from connector.sources.entries import Reader
from connector.sources.open import open_source
from connector.sources.scope import Scope, bases_in
from connector.sources.session import Kind
from tests.bench.world import Place

# Made by scripts/bench, which leaves it out where python-ldap cannot be installed.
PYTHON_LDAP = Path(".lab/python-ldap/bin/python")

_OURS = """
import json, sys, time
from pathlib import Path
from connector.config.load import load_settings
from connector.model import RequestCounters
from connector.sources import PersonRead
from connector.sources.open import open_source
settings = load_settings(Path(sys.argv[1])).settings
wall, cpu = time.monotonic(), time.process_time()
source = open_source(settings, RequestCounters())
people = photo_bytes = 0
for context in source.contexts():
    for page in source.read(context, None, in_full=True).pages:
        for event in page.events:
            if isinstance(event, PersonRead):
                people += 1
                photo_bytes += sum(len(photo.content_bytes) for photo in event.photos)
source.close()
wall, cpu = time.monotonic() - wall, time.process_time() - cpu
print(json.dumps({"people": people, "photo_bytes": photo_bytes, "wall": wall, "cpu": cpu}))
"""


@dataclass(frozen=True, slots=True)
class Read:
    """What a full reading cost; seconds. `reader` is `ours` or `python-ldap`."""

    reader: str
    directory: str
    people: int
    photo_bytes: int
    wall: float
    cpu: float


def read_side_by_side(place: Place, folder: Path) -> list[Read]:
    """Read everybody by our source, and by python-ldap where that is installed."""
    env_file = folder / "reading.env"
    env_file.write_text("".join(f"{name}='{value}'\n" for name, value in place.settings.items()), encoding="utf-8")
    env_file.chmod(0o600)
    commands = {"ours": [sys.executable, "-c", _OURS, str(env_file)]}
    if PYTHON_LDAP.exists():
        script = Path(__file__).with_name("read_by_python_ldap.py")
        commands["python-ldap"] = [str(PYTHON_LDAP), str(script), json.dumps(_asked(env_file))]
    return [Read(reader, place.directory.kind, **json.loads(_said_by(command))) for reader, command in commands.items()]


def _said_by(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    if done.returncode:
        raise RuntimeError(f"A reading ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def _asked(env_file: Path) -> dict[str, Any]:
    """Describe the search that our source makes for these settings."""
    settings = load_settings(env_file).settings
    (context,) = open_source(settings, RequestCounters()).contexts()
    reader, scope = Reader.of(settings), Scope.of(settings, context, kind=Kind.ACTIVE_DIRECTORY)
    return {
        "uri": settings.ldap_uri[0],
        "ca_file": str(settings.ldap_ca_file),
        "user": settings.ldap_user,
        "password": settings.ldap_password.get_secret_value() if settings.ldap_password else "",
        "bases": bases_in(settings, context),
        "filter": scope.people,
        "attributes": list(reader.attributes),
        "photos": list(reader.photos),
    }


def against_python_ldap(reads: list[Read]) -> list[dict[str, object]]:
    """Compare each pair of readings of as many people."""
    rows: list[dict[str, object]] = []
    for ours in (one for one in reads if one.reader == "ours"):
        for other in (one for one in reads if one.reader != "ours" and one.people == ours.people):
            wall, cpu = ours.wall / other.wall, ours.cpu / other.cpu
            rows.append({"directory": ours.directory, "people": ours.people, "wall_ratio": wall, "cpu_ratio": cpu})
            print(
                f"reading {ours.people:,} people of {ours.directory}: {ours.wall:.1f} s, CPU {ours.cpu:.2f} s; by "
                f"python-ldap {other.wall:.1f} s ({wall:.2f} ×), CPU {other.cpu:.2f} s ({cpu:.2f} ×)",
                flush=True,
            )
    return rows
