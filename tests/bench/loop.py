"""The loop that people run today: one listing, then for each person: get the photo, compare the bytes, put."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests

from tests.bench.faces import photo
from tests.bench.world import hire, open_cloud
from tests.lab.graph import Emulator

MEASURED = 500


@dataclass(frozen=True, slots=True)
class Loop:
    """What a loop over `people` cost, with so many lanes; seconds, of its `night` (first or quiet)."""

    night: str
    lanes: int
    people: int
    requests: int
    wall: float

    def scaled(self, people: int) -> Loop:
        """Return what so many people would cost: everything in proportion."""
        factor = people / self.people
        return Loop(self.night, self.lanes, people, round(self.requests * factor), self.wall * factor)


def measure() -> list[Loop]:
    """Run the loop sequentially and 4 at a time, each on an untouched tenant, and the night after (which re-sends)."""
    loops = []
    for lanes, nights in ((1, ("first",)), (4, ("first", "quiet"))):
        with open_cloud() as cloud:
            hire(cloud, (f"anchor {number}" for number in range(MEASURED)))
            loops += [_night(cloud, night, lanes) for night in nights]
    return loops


def _night(cloud: Emulator, night: str, lanes: int) -> Loop:
    cloud.log.clear()
    session, root = _sign_in(cloud), f"{cloud.graph_url}/v1.0/users"
    began = time.monotonic()
    url = f"{root}?$top=999&$select=id,userPrincipalName"
    accounts: list[dict[str, str]] = []
    while url:
        page = session.get(url, timeout=60).json()
        accounts += page["value"]
        url = page.get("@odata.nextLink", "")

    def one(account: dict[str, str]) -> None:
        place = f"{root}/{account['id']}/photo/$value"
        source_bytes = photo(int(account["userPrincipalName"][5:11]))
        if session.get(place, timeout=60).content != source_bytes:
            kind = {"Content-Type": "image/jpeg"}
            session.put(place, data=source_bytes, headers=kind, timeout=60).raise_for_status()

    with ThreadPoolExecutor(lanes) as pool:
        list(pool.map(one, accounts))
    wall = time.monotonic() - began
    return Loop(night, lanes, len(accounts), cloud.log.counts()["graph"], wall)


def _sign_in(cloud: Emulator) -> requests.Session:
    session = requests.Session()
    session.trust_env, session.verify = False, str(cloud.ca_file)
    form = {"grant_type": "client_credentials", "client_id": cloud.client_id, "client_secret": cloud.client_secret}
    form["scope"] = f"{cloud.graph_url}/.default"
    answer = session.post(f"{cloud.authority_host}/{cloud.tenant_id}/oauth2/v2.0/token", data=form, timeout=60)
    answer.raise_for_status()
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return session
