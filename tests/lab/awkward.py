"""The forty awkward people of field reports, as data."""

from __future__ import annotations

from functools import cache

from connector.model import Action, Reason
from connector.photo import Recipe, prepare
from tests.lab import pictures
from tests.lab.cases import AccountPlan, Case, Expected, Link
from tests.lab.portraits import portrait

FORMER_STAFF = "Former staff"
PILOT, PILOT_NESTED = "Photo pilot", "Photo pilot second floor"
TALL, WIDE, SQUARE, SMALL = (720, 1080), (1200, 800), (800, 800), (320, 320)
LARGER, SMALLER = (600, 600), (200, 200)
_SHARED_ANCHOR = bytes.fromhex("5a7c0ffee15badc0de5a7c0ffee15bad")


@cache
def awkward_people() -> tuple[Case, ...]:
    """Return all cases; a few seconds of drawing the first time."""
    return (*_ordinary(), *_identities(), *_unmatched(), *_formats(), *_unusable(), *_clouds())


def _skip(reason: Reason, *, listed: bool = True) -> Expected:
    return Expected(Action.SKIP, reason, listed=listed)


def _plain(case: str, cn: str, size: tuple[int, int] = SQUARE, **more: object) -> Case:
    # A person with one JPEG in jpegPhoto, whose drawing is at the same time what the cloud must show.
    content = pictures.jpeg(case, size)
    fields: dict[str, object] = {"photos": {"jpegPhoto": (content,)}, "shows_bytes": content, **more}
    return Case(case=case, cn=cn, **fields)  # type: ignore[arg-type]


def _left_alone(case: str, cn: str, reason: Reason, *, listed: bool = True, **more: object) -> Case:
    return _plain(case, cn, SMALL, shows_bytes=b"", expected=_skip(reason, listed=listed), **more)


def _ordinary() -> list[Case]:
    place = pictures.with_place("with-place", TALL)
    return [
        _plain("ordinary-square", "Anna Square"),
        _plain("ordinary-tall", "Bert Tall", TALL),
        _plain("ordinary-wide", "Carla Wide", WIDE, groups=(PILOT,)),
        _plain("nested-member", "Nils Nested", groups=(PILOT_NESTED,)),
        _plain("with-place", "Gwen Where", TALL, photos={"jpegPhoto": (place,)}),
        _plain("non-ascii-name", "Zoë Łukaszewicz-Ångström 山田"),
        _plain("special-name", '#1 Smith, John + "Jack" <script>alert(1)</script> \\;=', SMALL),
        _plain("special-upn", "Shauna O'Hara", upn="o'hara#1", mail="shauna.o'hara"),
    ]


def _identities() -> list[Case]:
    migrated = bytes.fromhex("4431e24677833e48a87eb6769db62eed")
    other_face = pictures.jpeg("somebody with the old objectGUID", SMALL)
    bystander = AccountPlan(link=Link.GUID, upn="bystander", mail="bystander", photo_bytes=other_face)
    return [
        _plain("renamed", "Rita New-Name", accounts=(AccountPlan(upn="rita.old-name", mail="rita.old-name"),)),
        _plain("upn-unlike-mail", "Ulf Unlike", upn="u100234", mail="ulf.unlike"),
        _plain("consistency-guid", "Conny Migrated", consistency_guid=migrated, accounts=(AccountPlan(), bystander)),
        _plain("one-mail-a", "Mia Shared-Mail", mail="reception", accounts=(AccountPlan(mail="reception"),)),
        _plain("one-mail-b", "Max Shared-Mail", mail="reception", accounts=(AccountPlan(mail="other"),)),
        _plain("sid-fits", "Sid Fits", accounts=(AccountPlan(link=Link.SID),)),
    ]


def _unmatched() -> list[Case]:
    twice = (AccountPlan(link=Link.SID), AccountPlan(link=Link.SID, upn="ambiguous-sid-2", mail="ambiguous-sid-2"))
    guest = AccountPlan(
        link=Link.NOTHING, is_guest=True, upn="gwen_partner.example#EXT#@contoso.test", mail="gwen@partner.example"
    )
    former = AccountPlan(is_enabled=False)
    ambiguous, absent, disputed = Reason.AMBIGUOUS_MATCH, Reason.NO_ACCOUNT, Reason.ANCHOR_DISPUTED
    return [
        _left_alone("one-anchor-a", "Ada One-Anchor", ambiguous, consistency_guid=_SHARED_ANCHOR),
        _left_alone("one-anchor-b", "Bea One-Anchor", disputed, consistency_guid=_SHARED_ANCHOR, accounts=()),
        _left_alone("ambiguous-sid", "Amy Twice", ambiguous, accounts=twice),
        _left_alone("no-account", "Noah Nowhere", absent, accounts=()),
        _left_alone("cloud-only", "Claude Only", absent, accounts=(AccountPlan(link=Link.NOTHING),)),
        _left_alone("disabled", "Dora Disabled", Reason.DISABLED, listed=False, is_disabled=True, accounts=(former,)),
        _left_alone("excluded-ou", "Egon Excluded", Reason.OUT_OF_SCOPE, listed=False, place=FORMER_STAFF),
        Case(
            case="guest",
            cn="Gwen Guest",
            photos={"thumbnailPhoto": (pictures.jpeg("guest", SMALL),)},
            accounts=(guest,),
            expected=_skip(Reason.OUT_OF_SCOPE, listed=False),
            mail="gwen@partner.example",
            is_contact=True,
        ),
    ]


def _formats() -> list[Case]:
    several = (pictures.jpeg("several-values", SMALLER), pictures.jpeg("several-values", LARGER), b"not a picture")
    thumbnail = pictures.jpeg("thumbnail-only", (96, 96))
    fallback = pictures.jpeg("unusable-then-usable", SMALL)
    return [
        _format("rotated", "Rolf Rotated", pictures.rotated("rotated", TALL), size=TALL),
        _format("cmyk", "Cindy Printed", pictures.cmyk("cmyk", SMALL)),
        _format("base64", "Basil Text", pictures.as_text(pictures.jpeg("base64", SMALL))),
        _format("gif", "Gina Moving", pictures.gif("gif", SMALL)),
        _format("bmp", "Bill Bitmap", pictures.encoded(portrait("bmp", SMALL), "BMP")),
        _format("png-16-bit", "Petra Deep", pictures.png_16_bit("png-16-bit", SMALL)),
        _format("webp", "Wendy Web", pictures.encoded(portrait("webp", SMALL), "WEBP", quality=90)),
        _format("tiff", "Tina Scanned", pictures.encoded(portrait("tiff", SMALL), "TIFF")),
        _plain("several-values", "Sven Several", LARGER, photos={"jpegPhoto": several}),
        _plain("thumbnail-only", "Theo Thumb", (96, 96), photos={"thumbnailPhoto": (thumbnail,)}),
        _plain(
            *("unusable-then-usable", "Ute Second-Choice", SMALL),
            photos={"jpegPhoto": (pictures.not_an_image(),), "thumbnailPhoto": (fallback,)},
        ),
    ]


def _format(case: str, cn: str, content_bytes: bytes, *, size: tuple[int, int] = SMALL) -> Case:
    return _plain(case, cn, size, photos={"jpegPhoto": (content_bytes,)})


def _unusable() -> list[Case]:
    silhouette = {"jpegPhoto": (pictures.placeholder(),)}
    refused = [
        ("truncated", "Trude Cut-Short", pictures.truncated("truncated"), Reason.DAMAGED),
        ("not-an-image", "Nora Web-Page", pictures.not_an_image(), Reason.NOT_AN_IMAGE),
        ("bomb", "Boris Bomb", pictures.bomb(), Reason.TOO_LARGE),
        ("too-small", "Timmy Tiny", pictures.jpeg("too-small", (20, 20)), Reason.TOO_SMALL),
    ]
    return [
        _left_alone("no-photo", "Phil Faceless", Reason.NO_PHOTO, photos={}),
        *(_left_alone(case, cn, reason, photos={"jpegPhoto": (content,)}) for case, cn, content, reason in refused),
        *(
            _left_alone(f"placeholder-{n}", f"Paul Grey {n}", Reason.PLACEHOLDER, photos=silhouette)
            for n in range(1, 6)
        ),
    ]


def _clouds() -> list[Case]:
    adopted, replaced = Expected(Action.KEEP, Reason.ADOPTED), Action.REPLACE
    # The square copy is this tool's own crop: what it left on an earlier tenant, or before its memory was lost.
    square = prepare(pictures.jpeg("adopted-square", TALL), Recipe()).sent_bytes
    return [
        _shown("adopted-square", pictures.reencoded(square, 648), adopted, size=TALL),
        _shown(
            "adopted-uncropped", pictures.reencoded(pictures.jpeg("adopted-uncropped", TALL), 648), adopted, size=TALL
        ),
        _shown("another-face", pictures.jpeg("another face", SQUARE), Expected(replaced, Reason.CLOUD_DIFFERS)),
        _shown(
            *("smaller-copy", pictures.reencoded(pictures.jpeg("smaller-copy", SQUARE), 240)),
            Expected(replaced, Reason.BETTER_QUALITY),
        ),
    ]


def _shown(case: str, photo_bytes: bytes, expected: Expected, *, size: tuple[int, int] = SQUARE) -> Case:
    cn = f"Kim {case.replace('-', ' ').title()}"
    return _plain(case, cn, size, expected=expected, accounts=(AccountPlan(photo_bytes=photo_bytes),))
