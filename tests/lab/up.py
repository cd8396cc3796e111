"""Keep the lab running: print when it is ready, and end it on a signal."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from tests.lab.open_world import open_world, write_env_file

HINTS = """\
Other clients, from a shell that knows these settings:
  set -a; . '{env_file}'; set +a
  LDAPTLS_CACERT="$LDAP_CA_FILE" ldapsearch -LLL -H "$LDAP_URI" -D "$LDAP_USER" -w "$LDAP_PASSWORD" \\
    -b "$LDAP_BASE_DN" '(jpegPhoto=*)' cn mail
  token=$(curl -s --cacert "$HTTP_CA_FILE" -d grant_type=client_credentials -d client_id="$AZURE_CLIENT_ID" \\
    --data-urlencode client_secret="$AZURE_CLIENT_SECRET" --data-urlencode scope="$GRAPH_URL/.default" \\
    "$AZURE_AUTHORITY_HOST/$AZURE_TENANT_ID/oauth2/v2.0/token" | sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/')
  curl --cacert "$HTTP_CA_FILE" -H "Authorization: Bearer $token" "$GRAPH_URL/v1.0/users"
End it with: scripts/lab down"""


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
        print(HINTS.format(env_file=env_file))
        print("ready", flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
