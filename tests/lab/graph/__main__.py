"""Run the emulated cloud on its own: `python -m tests.lab.graph --port 8443 --side-port 8080`."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from pathlib import Path

from tests.lab.graph.server import Emulator


def main() -> None:
    """Serve until told to stop; the first line of output is JSON with all that a client needs."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.graph", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="HTTPS: token issuer and Graph (0: any free)")
    parser.add_argument(
        "--side-port", type=int, default=0, help="HTTP: managed identity and control desk (0: any free)"
    )
    parser.add_argument("--folder", type=Path, default=None, help="where the CA and the server's key are written")
    parser.add_argument("--tenant-id", default="", help="keep this tenant id over resets")
    parser.add_argument("--host", default="127.0.0.1")
    asked = parser.parse_args()
    if asked.folder:
        asked.folder.mkdir(parents=True, exist_ok=True)
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    given = {"port": asked.port, "side_port": asked.side_port, "tenant_id": asked.tenant_id}
    with Emulator(**given, folder=asked.folder, host=asked.host) as cloud:
        print(json.dumps(cloud.facts()), flush=True)
        while not over.wait(1.0):
            pass


if __name__ == "__main__":
    main()
