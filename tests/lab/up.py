"""How does the lab stay up? This process holds it, says when it is ready, and ends it when it is told to."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from tests.lab.open_world import open_world, write_env_file


def main() -> None:
    """Open the world in a folder, write its env file there, and wait for a signal."""
    parser = argparse.ArgumentParser(prog="scripts/lab up")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--people", type=int, help="so many drawn people; without it the awkward forty")
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with open_world(options.folder, people=options.people) as world:
        env_file = options.folder / "lab.env"
        write_env_file(env_file, {**world.settings, "STATE_DIR": str(options.folder / "state")})
        print(f"The lab is up: {world.kind}, Graph at {world.cloud.graph_url}.")
        print(f"Settings: {env_file}. Try: .venv/bin/photo-connector sync --env-file {env_file}")
        settings = world.settings
        print(
            f"LDAP: LDAPTLS_CACERT={settings['LDAP_CA_FILE']} ldapsearch -H {settings['LDAP_URI']} "
            f"-D '{settings['LDAP_USER']}' -w '<LDAP_PASSWORD of the env file>' -b '{settings['LDAP_BASE_DN']}'"
        )
        print(f"Graph: curl --cacert {settings['HTTP_CA_FILE']} {world.cloud.graph_url}/v1.0/users (with a token)")
        print("ready", flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
