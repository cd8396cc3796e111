"""The emulated cloud: Microsoft's token issuer and Graph photos, as far as they are known."""

from tests.lab.graph.credentials import AppCertificate, app_certificate
from tests.lab.graph.faults import Fault
from tests.lab.graph.log import Item, Record, Violation
from tests.lab.graph.pictures import Photo
from tests.lab.graph.remote import DeskError, remote
from tests.lab.graph.server import Emulator
from tests.lab.graph.switches import Switches
from tests.lab.graph.tenant import Write

__all__ = [
    "AppCertificate",
    "DeskError",
    "Emulator",
    "Fault",
    "Item",
    "Photo",
    "Record",
    "Switches",
    "Violation",
    "Write",
    "app_certificate",
    "remote",
]
