"""The emulated SharePoint: a My Site host and an admin host, as far as they are known."""

from tests.lab.sharepoint.server import SharePointLab

__all__ = ["SharePointLab"]
