"""What does the token issuer complain about? Its codes in words, each with its fix, in this one place."""

from __future__ import annotations

import re

from connector.cloud.response import one_line
from connector.errors import Unreachable

CODE = re.compile(r"AADSTS(\d+)")
# What follows is of no use to people. Blanks before it are not searched for, since that is quadratic.
TRAILER = re.compile(r"(Correlation ID|Timestamp):.*", re.DOTALL)
LONGEST_SEARCHED = 20_000


class IssuerAway(Unreachable):
    """Tell that the issuer gave no answer of use; it may a little later."""


REGISTRATION = "Entra admin center > App registrations > your app > Certificates & secrets"

# https://learn.microsoft.com/entra/identity-platform/reference-error-codes; the codes may change, so the issuer's
# own text is always shown beside these.
WORDS = {
    "7000215": (
        "the client secret is wrong",
        f"Copy the secret's value, not its ID, into AZURE_CLIENT_SECRET ({REGISTRATION}).",
    ),
    "7000222": ("the client secret has expired", f"Create a new one, or better a certificate ({REGISTRATION})."),
    "700016": (
        "the application is not in this tenant",
        "Check AZURE_CLIENT_ID and AZURE_TENANT_ID, and GRAPH_CLOUD for a national cloud.",
    ),
    "90002": ("there is no such tenant", "Check AZURE_TENANT_ID, and GRAPH_CLOUD for a national cloud."),
    "900023": ("there is no such tenant", "Check AZURE_TENANT_ID: the directory (tenant) ID or a domain of it."),
    "700027": (
        "the certificate is not registered for the application, or its key does not fit",
        f"Upload the certificate's public part ({REGISTRATION}).",
    ),
    "700021": ("the federated token is not meant for this application", "Compare the federated credential's subject."),
    "700023": ("the federated token's subject is another one", "Compare the federated credential's subject."),
    "70021": ("no federated credential fits the token", "Compare issuer, subject and audience with the registration."),
    "7000218": ("no credential reached the issuer", "Set AZURE_CLIENT_CERTIFICATE_PATH or AZURE_CLIENT_SECRET."),
    "700024": ("the signed assertion's time is out of range", "Set this machine's clock right."),
    "7000112": ("the application is disabled", "Enable it: Entra admin center > Enterprise applications > Properties."),
    "500011": ("the resource is not known in this tenant", "Check GRAPH_CLOUD and GRAPH_URL."),
    "53003": ("a Conditional Access policy blocks the application", "Exempt it in the policy for workload identities."),
}
OTHERWISE = ("no token was given", "Look the code up at https://login.microsoftonline.com/error, and check AZURE_*.")


def token_refused(text: str, *, secrets: tuple[str, ...] = ()) -> Unreachable:
    """Return the stop of the run for an issuer's error text; the text is shown, secrets in it are not."""
    text = text[:LONGEST_SEARCHED]
    found = CODE.search(text)
    what, fix = WORDS.get(found.group(1), OTHERWISE) if found else OTHERWISE
    shown = one_line(TRAILER.sub("", text))
    for secret in secrets:
        shown = shown.replace(secret, "…") if secret else shown
    return Unreachable("token", f"{what}: {shown}", fix)
