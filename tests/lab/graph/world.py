"""The state of the emulated cloud: one tenant, its token issuer, the switches, the faults and the log."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.lab.graph.faults import FaultBook
from tests.lab.graph.log import RequestLog
from tests.lab.graph.switches import Switches
from tests.lab.graph.tenant import Tenant
from tests.lab.graph.tokens import Issuer


@dataclass(slots=True)
class World:
    """Everything a request may touch; `lock` guards all of it."""

    base_url: str
    lock: threading.RLock
    switches: Switches
    tenant: Tenant
    issuer: Issuer
    log: RequestLog
    faults: FaultBook
    # makes another status, other headers and another body of an answer
    garble: Callable[[int, dict[str, str], bytes], tuple[int, dict[str, str], bytes]] | None = None
    dice: random.Random = field(default_factory=lambda: random.Random(1))


def new_world(base_url: str, *, authority: str = "", tenant_id: str = "", seed: int = 1) -> World:
    """Return a fresh cloud with an empty tenant; with an authority of its own it takes tokens for that Graph only."""
    lock, switches = threading.RLock(), Switches()
    return World(
        base_url=base_url,
        lock=lock,
        switches=switches,
        tenant=Tenant(switches, lock, seed=seed),
        issuer=Issuer(authority or base_url, switches, tenant_id=tenant_id, graph_url=base_url if authority else ""),
        log=RequestLog(switches, lock),
        faults=FaultBook(switches, lock, seed=seed),
        dice=random.Random(f"wire {seed}"),  # not the tenant's: no upload may get the tag of somebody's edit
    )
