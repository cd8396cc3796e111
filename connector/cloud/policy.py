"""May photos be set in the cloud? What the tenant's policy says (beta only, so a hint and never a condition).

Source: https://learn.microsoft.com/graph/profilephoto-configure-settings
"""

from __future__ import annotations

from dataclasses import dataclass

from connector.cloud.response import read_refusal
from connector.cloud.transport import Transport
from connector.errors import ConnectorError

PATH = "/beta/admin/people/photoUpdateSettings"
URL = f"https://graph.microsoft.com{PATH}"  # as advice names it, for the Graph Explorer


@dataclass(frozen=True, slots=True)
class PhotoPolicy:
    """Hold where photos may be updated (`cloud`, `onpremises`, or empty for either) and by which role template ids."""

    source: str
    allowed_roles: tuple[str, ...]

    @property
    def may_block(self) -> bool:
        """Say whether the policy may be what refuses our writes."""
        return self.source == "onpremises" or bool(self.allowed_roles)


class PolicyUnread(ConnectorError):
    """Say that the policy could not be read, which changes nothing but what the doctor can tell."""


def read_policy(transport: Transport) -> PhotoPolicy:
    """Read the policy; raises PolicyUnread without `PeopleSettings.Read.All`, or where the tenant has none to show."""
    answer = transport.request("GET", transport.root + PATH)
    if not answer.ok:
        fix = "Grant the application PeopleSettings.Read.All with admin consent, if it should be looked at."
        raise PolicyUnread(f"The photo policy could not be read: {read_refusal(answer)}.", fix)
    value = answer.json_object()
    source, roles = value.get("source"), value.get("allowedRoles")
    named = tuple(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else ()
    return PhotoPolicy(source.lower() if isinstance(source, str) else "", named)
