"""The product in a minute: three runs over an embedded directory and cloud, printed as counts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.lab.open_world import World, open_world, write_env_file
from tests.lab.pictures import jpeg

COUNTS = ("people", "created", "replaced", "removed", "unchanged", "skipped", "failed", "conflicts")


class Demo:
    """Run nights over a world and tell each in two lines."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world = world
        self._folder = folder
        self._env_file = folder / "demo.env"
        settings = {
            **world.settings,
            "STATE_DIR": str(folder / "state"),
            "SYNC_VERIFY_PERCENT": "100",
            "SYNC_REMOVED": "remove",
            "SYNC_CONFLICT": "report",
            "REPORT_PICTURES": "changes",
        }
        write_env_file(self._env_file, settings)

    def night(self, title: str, *options: str) -> int:
        """Run the product as an administrator would, and tell its counts."""
        number = len(list(self._folder.glob("night-*.json"))) + 1
        told, page = self._folder / f"night-{number}.json", self._folder / f"night-{number}.html"
        command = [sys.executable, "-m", "connector", "sync", "--env-file", str(self._env_file), *options]
        done = subprocess.run(
            [*command, "--report", str(told), "--report", str(page)], capture_output=True, text=True, check=False
        )
        if not told.exists():
            print(done.stdout, done.stderr, sep="\n")
            raise SystemExit(f"demo: {title} left no report (exit {done.returncode})")
        report = json.loads(told.read_text("utf-8"))
        totals, requests = report["totals"], report["requests"]
        print(f"\n{title} (exit {done.returncode})")
        print("  " + ", ".join(f"{totals[name]} {name}" for name in COUNTS))
        print(f"  {requests['ldap_entries']} LDAP entries, {requests['http']} Graph requests. Report: {page}")
        return int(done.returncode)

    def three_changes(self) -> None:
        """Change a photo in the directory, let a user change one in the cloud, and clear a third."""
        (one, _), (_, edited), (three, _) = self._world.people[:3]
        self._world.set_photo(one, jpeg("a new photo", (600, 600)))
        self._world.cloud.tenant.set_photo(edited.id, jpeg("the user's own choice", (400, 400)))
        self._world.set_photo(three, None)


def main() -> None:
    """Open the world below the folder given, and live through its nights."""
    folder = Path(sys.argv[1])
    print("Starting the embedded world …", flush=True)
    with open_world(folder) as world:
        print(f"Directory: {world.kind}. Cloud: Graph and its token issuer at {world.cloud.graph_url}.")
        demo = Demo(world, folder)
        codes = [
            demo.night("A dry run: what the first night would do", "--dry-run"),
            demo.night("The first night"),
            demo.night("A quiet night: everybody's tag is looked at, nothing is sent"),
        ]
        demo.three_changes()
        codes.append(demo.night("A night after three changes: a new photo, a user's own edit, a cleared photo"))
    print("\nThe user's own edit is kept and listed as a conflict (SYNC_CONFLICT=report); its report says what to do.")
    print(f"The embedded world is down again. The reports lie in {folder}; open the .html files in any browser.")
    if any(codes):
        raise SystemExit(f"demo: not every night ended well: {codes}")


if __name__ == "__main__":
    main()
