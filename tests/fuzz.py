"""Run the program against garbled answers of both wires, and end with 1 at the first fault of its own.

`python -m tests.fuzz --answers 600 --seed 1` prints how many answers were garbled, what came of them, and the peak of
memory. Whatever is answered, a call may end well or with an error that has words; a night never with 1, a traceback,
or later than its deadline.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import itertools
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from connector.cloud import Cloud, open_cloud
from connector.cloud.accounts import changes, find_by_anchor, latest_link, list_pages, look_up
from connector.cloud.photo_errors import read_policy
from connector.config import Settings, load_settings
from connector.errors import ConnectorError
from connector.model import Account, RequestCounters
from connector.sources import Cookie, PersonRead
from connector.sources.open import open_source
from connector.targets.graph import GraphTarget
from tests.company import Colleague, Company, face
from tests.fuzz_answers import Garbler
from tests.lab.graph import Emulator

MOST_BYTES = 400 * 1024 * 1024
DEADLINE_SECONDS = 180
PEOPLE = 6
# A night asks some twenty times, and shall often come to its end.
SELDOM = 15
# How a night may end; 1 is a fault of its own.
CODES = frozenset({0, 2, 3, 4, 5, 7})


@dataclass(slots=True)
class Figures:
    """Count what came of it."""

    ends: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    longest: float = 0.0


class Fuzz:
    """A company whose answers are garbled, and what came of them."""

    def __init__(self, folder: Path, cloud: Emulator, *, seed: int) -> None:
        self.company = Company(cloud, folder)
        self.team = self.company.team(PEOPLE)
        self.company.cloud.set(page_cap=3)
        self.garbler = Garbler(seed)
        self.figures = Figures()
        self.settings: Settings = load_settings(self.company.runner.env_file(), {}).settings
        self.company.sync()
        self.link = self._link()
        self.account_ids = self.company.cloud.tenant.account_ids()

    def _link(self) -> str:
        with open_cloud(self.settings, RequestCounters()) as cloud:
            return latest_link(cloud.transport)

    def garble(self, *, on: bool) -> None:
        """Begin or end garbling."""
        self.company.cloud.world.garble = self.garbler.http if on else None
        self.company.ldap.server.world.garble = self.garbler.ldap if on else None

    def guarded(self, name: str, work: Callable[[], str]) -> None:
        """Do something within its deadline; everything but words is a fault."""
        faulthandler.dump_traceback_later(DEADLINE_SECONDS, exit=True)
        began = time.monotonic()
        try:
            self.figures.ends[f"{name}: {work()}"] += 1
        except ConnectorError as error:
            self.figures.ends[f"{name}: {type(error).__name__}"] += 1
            str(error).encode("utf-8", "replace")
        except Exception:  # noqa: BLE001  # whatever is no error with words is what is looked for
            told = traceback.format_exc()
            self.figures.faults.setdefault(told.rpartition('  File "')[2] or told, f"{name}\n{told}")
            self.figures.ends[f"{name}: FAULT"] += 1
        finally:
            faulthandler.cancel_dump_traceback_later()
            self.figures.longest = max(self.figures.longest, time.monotonic() - began)

    def cloud_calls(self) -> dict[str, Callable[[Cloud], object]]:
        """Return what a night asks the cloud, each alone."""
        ids = self.account_ids
        accounts = self._accounts()
        anchors = [account.immutable_id for account in accounts]
        return {
            "token": lambda cloud: (cloud.token_source.claims(), cloud.token_source.roles()),
            "listing": lambda cloud: list(list_pages(cloud.transport, plans=True)),
            "delta": lambda cloud: list(changes(cloud.transport, self.link, plans=True)),
            "latest": lambda cloud: latest_link(cloud.transport),
            "by id": lambda cloud: look_up(cloud.transport, ids, plans=True),
            "by anchor": lambda cloud: find_by_anchor(cloud.transport, anchors),
            "tags": lambda cloud: GraphTarget(cloud.transport).tags(accounts),
            "photos": lambda cloud: GraphTarget(cloud.transport).photos(accounts),
            "put": lambda cloud: GraphTarget(cloud.transport).put(accounts[0], face("fuzz")),
            "policy": lambda cloud: read_policy(cloud.transport),
        }

    def _accounts(self) -> list[Account]:
        with open_cloud(self.settings, RequestCounters()) as cloud:
            return [account for page in list_pages(cloud.transport) for account in page.accounts]

    def ask_cloud(self, name: str, call: Callable[[Cloud], object]) -> None:
        """Ask the cloud one thing, over a connection of its own."""

        def work() -> str:
            with open_cloud(self.settings, RequestCounters()) as cloud:
                call(cloud)
            return "well"

        self.guarded(name, work)

    def ask_directory(self) -> None:
        """Read the directory in full, then what changed, then by id and by name."""

        def work() -> str:
            source = open_source(self.settings, RequestCounters())
            try:
                for context in source.contexts():
                    reading = source.read(context, None)
                    pages = list(reading.pages)
                    cookie = pages[-1].cookie if pages else None
                    if cookie:
                        list(source.read(context, Cookie(cookie, reading.server)).pages)
                    people = [
                        event.person.id for page in pages for event in page.events if isinstance(event, PersonRead)
                    ]
                    list(source.fetch(people))
                    list(source.present(context, people))
                source.find("person001@contoso.test")
            finally:
                source.close()
            return "well"

        self.guarded("directory", work)

    def night(self, number: int) -> None:
        """Live through a whole night."""

        def work() -> str:
            self.company.paint(self._somebody(number), face(f"night {number}"))
            usual, self.garbler.one_in = self.garbler.one_in, SELDOM
            told = self.company.sync(*(["--full"] if number % 3 == 0 else []), days=1)
            self.garbler.one_in = usual
            if told.code not in CODES or "Traceback" in told.out + told.err:
                raise AssertionError(f"exit {told.code}\n{told.err}\n{self._traceback()}")
            return f"exit {told.code}"

        self.guarded("night", work)

    def check(self) -> None:
        """Type `check`, which asks both sides, too."""

        def work() -> str:
            usual, self.garbler.one_in = self.garbler.one_in, SELDOM
            told = self.company.runner.type("check", "--env-file", str(self.company.runner.env_file()))
            self.garbler.one_in = usual
            if told.code not in CODES or "Traceback" in told.out + told.err:
                raise AssertionError(f"exit {told.code}\n{told.out}{told.err}\n{self._traceback()}")
            return f"exit {told.code}"

        self.guarded("check", work)

    def _somebody(self, number: int) -> Colleague:
        return self.team[number % len(self.team)]

    def _traceback(self) -> str:
        logs = sorted((self.company.runner.state / "logs").glob("*"))
        return logs[-1].read_text("utf-8", "replace")[-4000:] if logs else ""


def peak_bytes() -> int:
    """Return the highest memory of this process so far; 0 on Windows, where nobody counts it for us."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(folder: Path, *, answers: int, seed: int, nights: bool = True) -> Figures:
    """Garble so many answers, and return what came of them; ends early at the tenth fault, or by Ctrl+C."""
    with Emulator() as cloud:
        fuzz = Fuzz(folder, cloud, seed=seed)
        calls = fuzz.cloud_calls()
        fuzz.garble(on=True)
        with contextlib.suppress(KeyboardInterrupt):
            for turn in itertools.count(1):
                if fuzz.garbler.count >= answers or len(fuzz.figures.faults) >= 10:
                    break
                _take_turn(fuzz, calls, turn, nights=nights)
        fuzz.garble(on=False)
        fuzz.figures.ends["garbled answers"] = fuzz.garbler.count
        fuzz.company.close()
        return fuzz.figures


def _take_turn(fuzz: Fuzz, calls: Mapping[str, Callable[[Cloud], object]], turn: int, *, nights: bool) -> None:
    for name, call in calls.items():
        fuzz.ask_cloud(name, call)
    fuzz.ask_directory()
    if nights and turn % 2 == 0:
        fuzz.night(turn // 2)
    if nights and turn % 4 == 1:
        fuzz.check()
    if turn % 50 == 0:
        print(f"{fuzz.garbler.count:,} answers garbled, {len(fuzz.figures.faults)} faults", file=sys.stderr, flush=True)


def main() -> int:
    """Print figures; return 1 if there was a fault, or too much memory was used."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Garble the answers of both wires.")
    parser.add_argument("--answers", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-nights", action="store_true")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="photo-connector-fuzz-") as folder:
        figures = run(Path(folder), answers=wanted.answers, seed=wanted.seed, nights=not wanted.no_nights)
    for end, count in sorted(figures.ends.items()):
        print(f"{count:8,}  {end}")
    print(f"longest call: {figures.longest:.1f} s; peak of memory: {peak_bytes() / 1024 / 1024:.0f} MiB")
    for fault in figures.faults.values():
        print(fault, file=sys.stderr)
    if figures.faults or peak_bytes() > MOST_BYTES:
        print(f"fuzz: {len(figures.faults)} faults with --seed {wanted.seed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
