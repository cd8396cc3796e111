"""Fixtures for SharePoint stories: a company with two more hosts, a library and profiles."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from connector.config import Settings, load_settings
from connector.model import Account
from connector.photo import read_print
from tests.cloud_stories import DIRECTORY
from tests.company import Colleague, Company, face
from tests.lab.graph import Emulator
from tests.lab.sharepoint import SharePointLab
from tests.lab.sharepoint.farm import Said

FOLDER = "/User Photos/Profile Pictures"
WIDTHS = (48, 72, 200)
LOCKED = Said.no(423, "-2147018894, Microsoft.SharePoint.SPFileLockException", "The file is locked.")


@pytest.fixture
def lab(cloud: Emulator, tmp_path: Path) -> Iterator[SharePointLab]:
    """Run both hosts beside the cloud."""
    with SharePointLab(cloud, tmp_path) as running:
        yield running


def settings_of(lab: SharePointLab, **others: str) -> Settings:
    """Load real settings for both hosts; an empty value takes one away."""
    values = {**DIRECTORY, **lab.environ(), **others}
    return load_settings(None, {name: value for name, value in values.items() if value}).settings


@pytest.fixture
def sharepoint_company(cloud: Emulator, lab: SharePointLab, tmp_path: Path) -> Iterator[Company]:
    """Open an empty company whose target is SharePoint."""
    place = Company(cloud, tmp_path)
    place.settings.update(lab.environ())
    yield place
    place.close()


def hire(
    sharepoint_company: Company, lab: SharePointLab, name: str, *, exchange: bool = False, size: int = 300
) -> Colleague:
    """Hire somebody with a SharePoint profile and, unless told otherwise, without Exchange Online."""
    one = sharepoint_company.hire(name, photo=face(name, size), account=False)
    lab.farm.know(one.upn)
    return sharepoint_company.register(name, one.entry, exchange=exchange)


def shows(lab: SharePointLab, one: Colleague, name: object) -> bool:
    """Return True if the L thumbnail shows this portrait."""
    shown = read_print(lab.farm.files[path_of(one.upn, "L")])
    return shown.shows_same(read_print(face(name, 300)))


def person(lab: SharePointLab, upn: str = "ada.b@contoso.test") -> Account:
    """Give somebody a profile, without a person in the directory."""
    lab.farm.know(upn)
    return Account(id=f"id-{upn}", upn=upn)


def path_of(upn: str, size: str) -> str:
    """Return where the farm keeps somebody's thumbnail."""
    return f"{FOLDER}/{upn.replace('@', '_').replace('.', '_')}_{size}Thumb.jpg".lower()


def hang(lab: SharePointLab, upn: str, content_bytes: bytes) -> None:
    """Make somebody else put a picture there, in the manner of SharePoint's own synchronisation."""
    for size in "SML":
        lab.farm.files[path_of(upn, size)] = content_bytes
    profile = lab.farm.profile(upn)
    stamp = int(profile["SPS-PictureTimestamp"] or 63783110969)
    url = f"{lab.url('my-site')}{path_of(upn, 'M')}".replace(" ", "%20")
    profile |= {"PictureURL": url, "SPS-PictureTimestamp": str(stamp + 1), "SPS-PicturePlaceholderState": "0"}
    lab.farm.profiles[f"i:0#.f|membership|{upn.lower()}"] = profile


def width(content_bytes: bytes) -> int:
    """Return the width of a JPEG."""
    with Image.open(io.BytesIO(content_bytes)) as image:
        assert image.format == "JPEG"
        return image.width
