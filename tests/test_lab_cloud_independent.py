"""A client that we did not write works with the emulated Graph: Microsoft's own, for JavaScript."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.lab.caller import colour, pixels
from tests.lab.graph import Emulator, Fault

HOME = Path(__file__).parents[1]
CLIENT = HOME / ".lab" / "node_modules" / "@microsoft" / "microsoft-graph-client"
INSTALL = "npm install --prefix .lab @microsoft/microsoft-graph-client@3.0.7"


def seen_by_javascript(cloud: Emulator, picture_bytes: bytes) -> dict[str, Any]:
    token = cloud.issuer.issued(cloud.graph_url)["access_token"]
    settings = {"GRAPH_URL": cloud.graph_url, "GRAPH_TOKEN": token, "GRAPH_CLIENT": str(CLIENT)}
    ran = subprocess.run(
        ["node", str(HOME / "tests" / "lab" / "graph" / "independent.mjs")],
        input=picture_bytes,
        capture_output=True,
        env=os.environ | settings | {"NODE_EXTRA_CA_CERTS": cloud.ca_file},
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    seen: dict[str, Any] = json.loads(ran.stdout)
    return seen


@pytest.mark.graph_client
def test_microsofts_own_client_reads_writes_batches_and_retries(cloud: Emulator) -> None:
    if not CLIENT.is_dir() or not shutil.which("node"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"It needs node and: {INSTALL}")
    people = cloud.tenant.add_accounts({"upn": f"p{number}@contoso.com"} for number in range(5))
    cloud.fail_next(f"GET /v1.0/users/{people[0]}$", Fault(status=429, retry_after="1"))
    seen = seen_by_javascript(cloud, colour(256))
    tag = seen["metadata"]["@odata.mediaEtag"]
    assert seen["people"] == people
    assert seen["before"] == seen["after"] == {"status": 404, "code": "ImageNotFound"}
    assert (seen["metadata"]["width"], seen["metadata"]["id"]) == (256, "default")
    assert pixels(base64.b64decode(seen["bytes"]))[0] == (256, 256)
    assert (seen["batch"], seen["batchTag"]) == ([200, 404], tag)
    assert seen["storm"] == people[0]
    assert seen["delta"] == [5, "string"]
    assert [write.sent_sha256 == "" for write in cloud.tenant.writes()] == [False, True]
    assert cloud.violations() == []
