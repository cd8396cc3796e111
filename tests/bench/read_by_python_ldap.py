"""Read a directory page by page with python-ldap, as a script would; run by an interpreter that has python-ldap.

Takes a JSON object as its argument and prints one: people, bytes of photos, seconds by the wall and of CPU.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import ldap
from ldap.controls import SimplePagedResultsControl

PAGE = 500


def read(asked: dict[str, Any]) -> tuple[int, int]:
    """Sign in, read everybody below each base, and return how many people and how many bytes of photos came."""
    connection = ldap.initialize(asked["uri"])
    connection.set_option(ldap.OPT_PROTOCOL_VERSION, 3)
    connection.set_option(ldap.OPT_X_TLS_CACERTFILE, asked["ca_file"])
    connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
    connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
    connection.simple_bind_s(asked["user"], asked["password"])
    people = photo_bytes = 0
    for base in asked["bases"]:
        control = SimplePagedResultsControl(criticality=True, size=PAGE, cookie="")
        while True:
            sent = connection.search_ext(
                base, ldap.SCOPE_SUBTREE, asked["filter"], asked["attributes"], serverctrls=[control]
            )
            _, entries, _, controls = connection.result3(sent)
            for name, values in entries:
                people += name is not None
                photo_bytes += sum(len(one) for photo in asked["photos"] for one in values.get(photo, ()))
            answer = next(one for one in controls if one.controlType == SimplePagedResultsControl.controlType)
            if not answer.cookie:
                break
            control.cookie = answer.cookie
    connection.unbind_s()
    return people, photo_bytes


def main() -> None:
    """Read once, and print what it cost."""
    wall, cpu = time.monotonic(), time.process_time()
    people, photo_bytes = read(json.loads(sys.argv[1]))
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    print(json.dumps({"people": people, "photo_bytes": photo_bytes, "wall": wall, "cpu": cpu}))


if __name__ == "__main__":
    main()
