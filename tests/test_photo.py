"""A photo leaves as it should: upright, square, plain, within its limits, and without a word about its owner."""

from __future__ import annotations

import base64
import hashlib
import io
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from PIL import ExifTags, Image, ImageChops, ImageCms, ImageDraw, ImageFilter, ImageOps

from connector.model import Candidate, Picture, Reason
from connector.model.formats import BY_NAME, FORMATS, recognise
from connector.model.reasons import ADVICE
from connector.photo import (
    PictureRefused,
    Recipe,
    best_refusal_reason,
    choose,
    fingerprint,
    inspect,
    prepare,
    sent_size,
    shrink,
    thumbnails,
)
from connector.photo.jpeg import parse_jpeg
from connector.photo.limits import not_installed
from tests.lab import pictures
from tests.lab.pictures import encoded
from tests.lab.portraits import portrait

SQUARE, WHOLE = Recipe(), Recipe(square=False)


def looked_at(content_bytes: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content_bytes)) as image:
        assert image.format == "JPEG"
        assert image.mode in ("RGB", "L")
        image.load()
        return image


def reason_for(content_bytes: bytes, recipe: Recipe = SQUARE) -> Reason:
    with pytest.raises(PictureRefused) as refused:
        prepare(content_bytes, recipe)
    assert ADVICE[refused.value.reason].cure, "a refusal says what to do"
    assert refused.value.skip
    return refused.value.reason


def shows(prepared: Picture, expected: Image.Image) -> bool:
    return prepared.whole.distance(fingerprint(expected)) <= 6


# What is sent as it stands


def test_a_jpeg_that_is_already_fit_is_sent_byte_for_byte() -> None:
    content_bytes = pictures.jpeg("fit", (640, 640))
    prepared = prepare(content_bytes, SQUARE)
    assert prepared.sent_bytes == content_bytes
    assert prepared.source_sha256 == prepared.sent_sha256 == hashlib.sha256(content_bytes).hexdigest()
    assert prepared.sent == prepared.whole


@pytest.mark.parametrize(
    "options",
    [{"progressive": True}, {"subsampling": 0}, {"optimize": True}],
    ids=["progressive", "full-colour", "tight"],
)
def test_any_usual_coding_of_a_fit_jpeg_is_sent_byte_for_byte(options: dict[str, Any]) -> None:
    content_bytes = encoded(portrait("coding", (300, 300)), quality=88, **options)
    assert prepare(content_bytes, SQUARE).sent_bytes == content_bytes


def test_a_grey_jpeg_that_is_fit_is_sent_byte_for_byte() -> None:
    content_bytes = encoded(portrait("grey", (300, 300)).convert("L"), quality=88)
    assert prepare(content_bytes, SQUARE).sent_bytes == content_bytes


def test_a_tall_jpeg_within_size_is_sent_byte_for_byte_when_nothing_is_to_be_cropped() -> None:
    content_bytes = pictures.jpeg("tall", (400, 600))
    assert prepare(content_bytes, WHOLE).sent_bytes == content_bytes


def test_what_was_prepared_once_is_fit_the_second_time() -> None:
    first = prepare(pictures.jpeg("twice", (900, 1200)), SQUARE)
    second = prepare(first.sent_bytes, SQUARE)
    assert second.sent_bytes == first.sent_bytes
    assert first.sent.shows_same(second.sent)


def test_a_fit_jpeg_keeps_its_pixels_when_only_its_metadata_has_to_go() -> None:
    plain, told = pictures.jpeg("place", (400, 400)), pictures.with_place("place", (400, 400))
    prepared = prepare(told, SQUARE)
    assert prepared.sent_bytes != told
    assert looked_at(prepared.sent_bytes).tobytes() == looked_at(plain).tobytes()


# What must not travel on


def hidden(name: str) -> bytes:
    fit = pictures.jpeg("hidden", (200, 200))
    head, tail = fit[:2], fit[2:]
    secret = b"SECRET-" + name.encode()

    def segment(marker: int, payload: bytes) -> bytes:
        return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload

    scan = fit.index(b"\xff\xda")
    return {
        "exif": head + segment(0xE1, b"Exif\0\0" + secret) + tail,
        "xmp": head + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + secret) + tail,
        "iptc": head + segment(0xED, b"Photoshop 3.0\0" + secret) + tail,
        "comment": head + segment(0xFE, secret) + tail,
        "maker-note": head + segment(0xE5, secret) + tail,
        "flashpix": head + segment(0xE2, b"FPXR\0" + secret) + tail,
        "jfif-thumbnail": head + segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\7\1" + secret + bytes(30)) + fit[20:],
        "jfxx-thumbnail": fit[:20] + segment(0xE0, b"JFXX\0\x10" + secret) + fit[20:],
        "between-segments": fit[:scan] + secret + fit[scan:],
        "second-exif-after-tables": fit[:scan] + segment(0xE1, b"Exif\0\0" + secret) + fit[scan:],
        "comment-after-the-picture": fit[:-2] + segment(0xFE, secret) + fit[-2:],
        "after-the-end": fit + secret,
        "archive-after-the-end": fit + b"PK\3\4" + secret,
        "second-picture-after-the-end": fit + head + segment(0xFE, secret) + tail,
        "number-of-lines": fit[:scan] + segment(0xDC, secret) + fit[scan:],
        "reserved-segment": head + segment(0x02, secret) + tail,
        "hierarchy": head + segment(0xDF, secret) + segment(0xDE, secret) + tail,
        "lossless-extension": head + segment(0xF8, secret) + tail,
        "jfif-header-before-the-last": head + segment(0xE0, b"JFIF\0" + secret[:7] + b"\0\0") + tail,
        "adobe-header-too-long": head + segment(0xEE, b"Adobe\0d\0\0\0\0\1" + secret) + tail,
        "unused-table": fit[:scan]
        + segment(0xC4, b"\3" + bytes((0, 0, 0, 0, len(secret), *bytes(11))) + secret)
        + fit[scan:],
        "second-table": head + segment(0xDB, b"\0" + secret.ljust(64, b"\1")) + tail,
        "second-restart-interval": head + segment(0xDD, b"SE") + segment(0xDD, b"\0\0") + tail,
    }[name]


HIDING_PLACES = [
    *("exif", "xmp", "iptc", "comment", "maker-note", "flashpix", "jfif-thumbnail", "jfxx-thumbnail"),
    *("between-segments", "second-exif-after-tables", "comment-after-the-picture", "after-the-end"),
    *("archive-after-the-end", "second-picture-after-the-end", "number-of-lines", "reserved-segment", "hierarchy"),
    *("lossless-extension", "jfif-header-before-the-last", "adobe-header-too-long", "unused-table"),
    *("second-table", "second-restart-interval"),
]


@pytest.mark.parametrize("name", HIDING_PLACES)
def test_nothing_hidden_in_a_jpeg_is_sent(name: str) -> None:
    content_bytes = hidden(name)
    if name != "second-restart-interval":  # whose two bytes hold no more of it
        assert b"SECRET-" in content_bytes
    sent_bytes = prepare(content_bytes, SQUARE).sent_bytes
    assert b"SECRET-" not in sent_bytes
    assert looked_at(sent_bytes).size == (200, 200)


def test_a_jpeg_with_more_than_its_pixels_need_is_refused() -> None:
    fit = pictures.jpeg("surplus", (200, 200))
    assert reason_for(fit[:-2] + b"SECRET-" + b"A" * 300_000 + fit[-2:]) is Reason.DAMAGED


def test_rows_below_the_frame_are_not_sent() -> None:
    fit = pictures.jpeg("rows", (200, 200))
    frame = fit.index(b"\xff\xc0")
    assert reason_for(fit[: frame + 5] + b"\0\x60" + fit[frame + 7 :]) is Reason.DAMAGED


def test_a_second_scan_of_the_same_colour_hides_no_picture() -> None:
    fit = encoded(portrait("seen", (200, 200)).convert("L"))
    other = encoded(portrait("hidden", (200, 200)).convert("L"))
    scan = other[other.index(b"\xff\xda") : -2]
    twice = fit[: fit.index(b"\xff\xda")] + scan + fit[fit.index(b"\xff\xda") :]
    with pytest.raises(PictureRefused):
        prepare(twice, SQUARE)


ADOBE = {"rgb": b"\xff\xee\0\x0eAdobe\0d\0\0\0\0\0", "ycc": b"\xff\xee\0\x0eAdobe\0d\0\0\0\0\1"}


@pytest.mark.parametrize("first", ["", "rgb", "ycc"])
@pytest.mark.parametrize("second", ["rgb", "ycc"])
@pytest.mark.parametrize("place", ["before the frame", "before the pixels", "after the pixels"])
def test_colours_are_read_by_the_header_that_decoders_go_by(first: str, second: str, place: str) -> None:
    fit = encoded(portrait("colours", (96, 96)), subsampling=0)
    fit = fit[:2] + fit[20:]  # a JFIF header would decide
    at = {"before the frame": fit.index(b"\xff\xc0"), "before the pixels": fit.index(b"\xff\xda")}.get(place, -2)
    content_bytes = fit[:2] + ADOBE.get(first, b"") + fit[2:at] + ADOBE[second] + fit[at:]

    sent = looked_at(prepare(content_bytes, SQUARE).sent_bytes).convert("RGB")

    assert fingerprint(sent).distance(fingerprint(looked_at(content_bytes))) <= 4


def test_a_jpeg_of_unusual_sampling_is_made_anew() -> None:
    fit = encoded(portrait("sampling", (96, 96)), subsampling=0)
    frame = fit.index(b"\xff\xc0")
    bent = bytearray(fit)
    bent[frame + 14] = 0x22  # the first colour twice as fine as luma: pixels of another size
    prepared = prepare(bytes(bent), SQUARE)
    assert parse_jpeg(prepared.sent_bytes).plain
    assert prepared.sent_bytes != bytes(bent)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "GIF"])
def test_nothing_that_another_format_tells_is_sent(kind: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "SECRET-camera"
    told: dict[str, dict[str, Any]] = {
        "PNG": {"exif": exif},
        "TIFF": {"exif": exif},
        "WEBP": {"exif": exif, "xmp": b"SECRET-xmp"},
    }
    content_bytes = encoded(portrait("told", (100, 100)), kind, **told.get(kind, {"comment": b"SECRET-comment"}))
    assert b"SECRET-" in content_bytes
    assert b"SECRET-" not in prepare(content_bytes, SQUARE).sent_bytes


def test_an_embedded_profile_is_applied_and_dropped() -> None:
    sent_bytes = prepare(pictures.with_profile("profile", (300, 300)), SQUARE).sent_bytes
    assert b"ICC_PROFILE" not in sent_bytes
    assert not parse_jpeg(sent_bytes).has_profile


# Upright


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_is_turned_as_its_camera_says(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content_bytes = encoded(portrait("turned", (240, 320)), kind, exif=exif)
    with Image.open(io.BytesIO(content_bytes)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    prepared = prepare(content_bytes, SQUARE)
    assert (prepared.whole.width, prepared.whole.height) == upright.size
    assert shows(prepared, upright)
    assert inspect(content_bytes, SQUARE) == upright.size


def test_an_orientation_that_only_xmp_tells_is_obeyed() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"/></x:xmpmeta>'
    content_bytes = encoded(portrait("xmp", (200, 300)), xmp=xmp)
    assert inspect(content_bytes, SQUARE) == (300, 200)


def test_a_bent_exif_block_leaves_the_picture_as_it_lies() -> None:
    content_bytes = encoded(portrait("bent", (200, 300)), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert inspect(content_bytes, SQUARE) == (200, 300)
    assert looked_at(prepare(content_bytes, SQUARE).sent_bytes).size == (200, 200)


def test_a_large_photo_is_turned_too_when_it_is_decoded_smaller() -> None:
    prepared = prepare(pictures.rotated("large", (1500, 2000)), SQUARE)
    assert (prepared.whole.width, prepared.whole.height) == (1500, 2000)
    assert shows(prepared, portrait("large", (1500, 2000)))


# Colours


def formats() -> dict[str, tuple[bytes, Image.Image]]:
    """Give pictures in every supported form, with what they show."""
    drawn = portrait("forms", (320, 320))
    grey = drawn.convert("L")
    clear = drawn.copy()
    clear.putalpha(Image.radial_gradient("L").resize(drawn.size))
    on_white = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), clear).convert("RGB")
    lab = ImageCms.profileToProfile(
        drawn, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    wide = Image.frombytes("I;16", drawn.size, bytes(byte for value in grey.tobytes() for byte in (value, value)))
    return {
        "jpeg-cmyk": (encoded(drawn.convert("CMYK")), drawn),
        "jpeg-ycbcr-in-rgb": (encoded(drawn, keep_rgb=True, quality=90), drawn),
        "png": (encoded(drawn, "PNG"), drawn),
        "png-grey": (encoded(grey, "PNG"), grey),
        "png-grey-16-bit": (encoded(wide, "PNG"), grey),
        "png-16-bit": (pictures.png_16_bit("forms", (320, 320)), drawn),
        "png-palette": (encoded(drawn.quantize(256), "PNG"), drawn.quantize(256).convert("RGB")),
        "png-alpha": (encoded(clear, "PNG"), on_white),
        "png-grey-alpha": (encoded(clear.convert("LA"), "PNG"), on_white.convert("L")),
        "png-black-and-white": (encoded(drawn.convert("1"), "PNG"), drawn.convert("1").convert("L")),
        "gif": (encoded(drawn.quantize(256), "GIF"), drawn.quantize(256).convert("RGB")),
        "bmp": (encoded(drawn, "BMP"), drawn),
        "webp": (encoded(drawn, "WEBP", quality=95), drawn),
        "webp-alpha": (encoded(clear, "WEBP", lossless=True, exact=True), on_white),
        "avif": (encoded(drawn, "AVIF", quality=95), drawn),
        "tiff": (encoded(drawn, "TIFF"), drawn),
        "tiff-lzw": (encoded(drawn, "TIFF", compression="tiff_lzw"), drawn),
        "tiff-jpeg": (encoded(drawn, "TIFF", compression="jpeg", quality=90), drawn),
        "tiff-cmyk": (encoded(drawn.convert("CMYK"), "TIFF"), drawn),
        "tiff-16-bit": (encoded(wide, "TIFF"), grey),
        "tiff-lab": (encoded(lab, "TIFF"), drawn),
    }


FORMS = formats()


def test_every_format_that_needs_no_extra_is_among_the_forms() -> None:
    found = {picture.name for form, _ in FORMS.values() if (picture := recognise(form)) is not None}
    assert found == {one.name for one in FORMATS if not one.extra}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_picture_becomes_the_same_plain_jpeg(form: str) -> None:
    content_bytes, expected = FORMS[form]
    prepared = prepare(content_bytes, SQUARE)
    sent = looked_at(prepared.sent_bytes)
    assert shows(prepared, expected)
    assert parse_jpeg(prepared.sent_bytes).plain
    for ours, theirs in zip(colour_of(sent), colour_of(expected), strict=True):
        assert abs(ours - theirs) <= 6


def colour_of(image: Image.Image) -> tuple[int, ...]:
    return tuple(image.convert("RGB").resize((1, 1), Image.Resampling.BOX).tobytes())


@pytest.mark.parametrize("form", ["png-alpha", "png-16-bit", "png-palette", "tiff-cmyk", "png"])
def test_a_large_picture_of_any_colours_is_made_smaller_without_a_seam(form: str) -> None:
    content_bytes, _ = FORMS[form]
    with Image.open(io.BytesIO(content_bytes)) as image:
        image.load()
        large = image.resize((2600, 2600), Image.Resampling.NEAREST)
    large_bytes = encoded(large, "TIFF", compression="tiff_lzw") if image.mode == "CMYK" else encoded(large, "PNG")
    prepared = prepare(large_bytes, SQUARE)
    small = prepare(content_bytes, SQUARE)
    assert looked_at(prepared.sent_bytes).size == (648, 648)
    assert prepared.whole.distance(small.whole) <= 4


def test_a_picture_s_own_colours_are_moved_to_srgb() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    crossed = srgb.replace(b"rXYZ", b"####").replace(b"gXYZ", b"rXYZ").replace(b"####", b"gXYZ")
    assert crossed != srgb
    for kind, options in (("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        content_bytes = encoded(Image.new("RGB", (100, 100), "red"), kind, icc_profile=crossed, **options)
        red, green, blue = colour_of(looked_at(prepare(content_bytes, SQUARE).sent_bytes))
        assert green > 240 > 15 > max(red, blue), f"what this {kind} calls red is the green of everybody else"


def test_a_profile_that_does_not_fit_is_ignored() -> None:
    drawn = Image.new("RGB", (100, 100), (120, 120, 120))
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    for profile, name in ((linear, "of another colour space"), (b"not a profile", "that is no profile")):
        prepared = prepare(encoded(drawn, icc_profile=profile), SQUARE)
        colour = colour_of(looked_at(prepared.sent_bytes))
        assert all(abs(part - 120) <= 2 for part in colour), f"a profile {name} is ignored"


def test_floating_point_samples_are_refused() -> None:
    assert reason_for(encoded(Image.new("F", (100, 100), 0.5), "TIFF")) is Reason.NOT_AN_IMAGE


@pytest.mark.parametrize("content", [pictures.gif("first frame"), FORMS["gif"][0]], ids=["animated", "still"])
def test_only_the_first_frame_of_a_gif_is_sent(content: bytes) -> None:
    with Image.open(io.BytesIO(content)) as image:
        first = image.convert("RGB")
    assert shows(prepare(content, SQUARE), first)


def test_only_the_first_frame_of_an_animated_webp_is_sent() -> None:
    first, second = portrait("one", (200, 200)), portrait("two", (200, 200))
    content_bytes = encoded(first, "WEBP", save_all=True, append_images=[second], lossless=True)
    assert shows(prepare(content_bytes, SQUARE), first)


def test_only_the_first_page_of_a_tiff_is_sent() -> None:
    first, second = portrait("one", (200, 200)), portrait("two", (200, 200))
    content_bytes = encoded(first, "TIFF", save_all=True, append_images=[second], compression="tiff_lzw")
    assert shows(prepare(content_bytes, SQUARE), first)


def test_a_camera_s_picture_with_a_second_one_behind_it_counts_as_jpeg() -> None:
    first, second = portrait("one", (200, 200)), portrait("two", (200, 200))
    prepared = prepare(encoded(first, "MPO", save_all=True, append_images=[second]), SQUARE)
    assert shows(prepared, first)
    assert b"MPF" not in prepared.sent_bytes


# Size and shape


def bands(size: tuple[int, int]) -> Image.Image:
    """Draw a tall picture whose upper third is red, its middle green and its lower blue."""
    picture = Image.new("RGB", size)
    pen = ImageDraw.Draw(picture)
    for place, colour in enumerate(("red", "lime", "blue")):
        pen.rectangle((0, size[1] * place // 3, size[0], size[1] * (place + 1) // 3), fill=colour)
    return picture


def colour_at(picture: Image.Image, x: int, y: int) -> tuple[int, ...]:
    return tuple(picture.convert("RGB").crop((x, y, x + 1, y + 1)).tobytes())


def test_the_head_of_a_tall_portrait_stays_and_the_feet_go() -> None:
    # 300 of 900 rows are kept, from row 120 on: a fifth of the surplus above, the rest below
    sent = looked_at(prepare(encoded(bands((300, 900)), quality=95), SQUARE).sent_bytes)
    assert sent.size == (300, 300)
    red, green, blue = colour_at(sent, 150, 170)
    assert red > 200 > 60 > max(green, blue)
    red, green, blue = colour_at(sent, 150, 190)
    assert green > 200 > 60 > max(red, blue)


def test_a_landscape_loses_the_same_on_both_sides() -> None:
    lying = bands((300, 900)).transpose(Image.Transpose.ROTATE_90)
    sent = looked_at(prepare(encoded(lying, quality=95), SQUARE).sent_bytes)
    assert colour_of(sent)[1] > 240, "only the middle third is left"


@pytest.mark.parametrize(
    "width, height, recipe, expected",
    [
        (96, 96, SQUARE, (96, 96)),
        (3000, 4000, SQUARE, (648, 648)),
        (500, 4000, SQUARE, (500, 500)),
        (3000, 4000, WHOLE, (486, 648)),
        (4000, 3000, WHOLE, (648, 486)),
        (400, 600, WHOLE, (400, 600)),
        (3000, 3000, Recipe(size=360), (360, 360)),
        (5000, 4999, Recipe(size=1024, square=False), (1024, 1024)),
    ],
)
def test_a_picture_is_made_smaller_and_never_larger(
    width: int, height: int, recipe: Recipe, expected: tuple[int, int]
) -> None:
    assert sent_size(width, height, recipe) == expected


@pytest.mark.parametrize(
    "recipe", [SQUARE, WHOLE, Recipe(size=100), Recipe(size=100, square=False)], ids=lambda r: r.key
)
@pytest.mark.parametrize("size", [(60, 60), (301, 487), (900, 700), (1301, 1957)], ids=str)
def test_what_is_sent_has_the_size_that_was_promised(size: tuple[int, int], recipe: Recipe) -> None:
    prepared = prepare(pictures.jpeg("promised", size), recipe)
    assert looked_at(prepared.sent_bytes).size == sent_size(*size, recipe)
    assert (prepared.sent.width, prepared.sent.height) == sent_size(*size, recipe)
    assert (prepared.whole.width, prepared.whole.height) == size


@pytest.mark.parametrize("size", [(47, 300), (300, 47), (1, 1), (20, 20)], ids=str)
def test_a_picture_with_an_edge_under_48_pixels_is_too_small(size: tuple[int, int]) -> None:
    assert reason_for(encoded(Image.new("RGB", size), "PNG")) is Reason.TOO_SMALL
    with pytest.raises(PictureRefused):
        inspect(encoded(Image.new("RGB", size), "PNG"), SQUARE)


def test_a_long_strip_that_would_shrink_under_48_pixels_is_too_small_when_uncropped() -> None:
    strip = encoded(Image.new("RGB", (5000, 200)), "PNG")
    assert reason_for(strip, WHOLE) is Reason.TOO_SMALL
    assert looked_at(prepare(strip, SQUARE).sent_bytes).size == (200, 200)


def test_an_extreme_strip_is_cropped_like_any_other_picture() -> None:
    for size in ((48, 20_000), (20_000, 48)):
        prepared = prepare(encoded(Image.new("RGB", size, "teal"), "PNG"), SQUARE)
        assert looked_at(prepared.sent_bytes).size == (48, 48)


def test_a_picture_that_stays_over_4_mb_at_full_quality_is_sent_under_it() -> None:
    noise = Image.effect_noise((2600, 2600), 250).convert("RGB")
    prepared = prepare(encoded(noise, "PNG", compress_level=1), Recipe(size=2600))
    assert len(prepared.sent_bytes) <= 4_000_000
    assert looked_at(prepared.sent_bytes).size == (prepared.sent.width, prepared.sent.height)


def test_the_recipe_s_key_tells_recipes_apart() -> None:
    recipes = [Recipe(), Recipe(size=360), Recipe(square=False)]
    assert Recipe().key == "1:648:square"
    assert len({recipe.key for recipe in recipes}) == len(recipes)


# Text


class NeverText(bytes):
    """A picture that complains when it is taken for text."""

    def strip(self, *_: object) -> bytes:
        """Complain."""
        raise AssertionError("text was looked for in a picture")


def test_no_text_is_looked_for_in_a_picture() -> None:
    content_bytes = pictures.jpeg("no text", (200, 200))
    assert prepare(NeverText(content_bytes), SQUARE) == prepare(content_bytes, SQUARE)


@pytest.mark.parametrize(
    "wrap",
    [
        base64.b64encode,
        base64.encodebytes,
        base64.urlsafe_b64encode,
        lambda value: base64.b64encode(value).rstrip(b"="),
        lambda value: b"\r\n  " + base64.b64encode(value) + b"\n",
        lambda value: b"data:image/jpeg;base64," + base64.b64encode(value),
        lambda value: b"DATA:image/jpeg;base64,\n" + base64.encodebytes(value),
    ],
    ids=["plain", "lines", "url-safe", "no-padding", "blanks-around", "data-url", "data-url-in-lines"],
)
@pytest.mark.parametrize("cut", [0, 1, 2])
def test_a_picture_stored_as_text_is_read(wrap: object, cut: int) -> None:
    assert callable(wrap)
    content_bytes = pictures.jpeg("text", (200, 200)) + bytes(cut)  # three lengths, so that all paddings occur
    prepared = prepare(wrap(content_bytes), SQUARE)
    assert prepared.sent_bytes == prepare(content_bytes, SQUARE).sent_bytes
    assert prepared.source_sha256 == hashlib.sha256(wrap(content_bytes)).hexdigest()


@pytest.mark.parametrize(
    "content_bytes",
    [
        b"",
        b" \n",
        b"data:image/jpeg;base64,",
        b"aGVsbG8gd29ybGQ=",
        b"a",
        b"data:image/jpeg,%FF%D8%FF",
        pictures.not_an_image(),
        b"%PDF-1.7",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\0\0\0\x1cftypheic",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"GIF89a",
        b"BM",
        b"II*\0",
        b"RIFF\0\0\0\0WEBP",
        b"\x89PNG\r\n\x1a\n",
        base64.b64encode(base64.b64encode(pictures.jpeg("nested", (100, 100)))),
    ],
    ids=range(18),
)
def test_what_is_no_picture_is_named_so(content_bytes: bytes) -> None:
    assert reason_for(content_bytes) is Reason.NOT_AN_IMAGE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_half_a_picture_is_no_picture(kind: str, share: float) -> None:
    options = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
    content_bytes = encoded(portrait("half", (300, 300)), kind, **options)
    reason = Reason.DAMAGED if kind in ("JPEG", "PNG", "WEBP") else Reason.NOT_AN_IMAGE
    assert reason_for(content_bytes[: int(len(content_bytes) * share)]) is reason


def test_a_broken_png_is_refused_however_often_it_is_tried() -> None:
    content_bytes = bytearray(encoded(portrait("broken", (300, 300)), "PNG"))
    content_bytes[len(content_bytes) // 2] ^= 0xFF
    assert [reason_for(bytes(content_bytes)) for _ in range(2)] == [Reason.DAMAGED] * 2


# Damaged

# Of the standard tables (ITU-T T.81 annex K.3): sixteen zeros; fourteen zeros, or fifteen, and a 1.
ZEROS, TO_THE_END, BEYOND = "11111111001", "1111111111101011" + "1", "1111111111110101" + "1"
EMPTY_BLOCK = "00" + "1010"


def hand_coded(first_block: str) -> bytes:
    """Code a grey picture of 64 blocks by hand, all of them empty but the first."""
    plain = encoded(Image.new("L", (64, 64), 128))
    start = plain.index(b"\xff\xda") + 10
    bits = first_block + 63 * EMPTY_BLOCK
    bits += "1" * (-len(bits) % 8)
    coded = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return plain[:start] + coded + b"\xff\xd9"


def with_larger_step(jpeg_bytes: bytes, number: int) -> bytes:
    """Change one byte of a JPEG: the divisor of the means of one quantisation table, to three times as much."""
    at = jpeg_bytes.index(b"\xff\xdb\0\x43" + bytes((number,))) + 5
    return jpeg_bytes[:at] + bytes((3 * jpeg_bytes[at],)) + jpeg_bytes[at + 1 :]


def damages() -> dict[str, bytes]:
    """Give pictures of which some bytes were changed or are missing."""
    noisy = encoded(Image.effect_noise((400, 400), 60).convert("RGB"), quality=90)
    scan = noisy.index(b"\xff\xda")
    restarts = encoded(portrait("restarts", (300, 300)), quality=90, restart_marker_rows=1)
    second = restarts.index(b"\xff\xd1")
    png, webp = (encoded(portrait("copied", (300, 300)), kind) for kind in ("PNG", "WEBP"))
    text = bytearray(png)
    text[png.index(b"IDAT") + 40] ^= 1
    return {
        "a marker that no scan may hold": noisy[: scan + 3000] + b"\xff\x9f\xff\xf0" + noisy[scan + 3004 :],
        "a comment that swallows pixels": noisy[: scan + 3000] + b"\xff\xfe\x40\0" + noisy[scan + 3004 :],
        "a second frame among the pixels": noisy[: scan + 3000] + b"\xff\xc0\0\x11" + noisy[scan + 3004 :],
        "no end": noisy[:-2],
        "an end too early": noisy[: scan + 3000] + b"\xff\xd9" + noisy[scan + 3002 :],
        "pixels that are gone": noisy[: scan + 3000] + noisy[scan + 9000 :],
        "restarts out of order": restarts[: second + 1] + b"\xd3" + restarts[second + 2 :],
        "a block of 65 coefficients": hand_coded("00" + 3 * ZEROS + BEYOND),
        "a block of 80 coefficients": hand_coded("00" + 4 * ZEROS),
        "blocks lighter than white": hand_coded("111110" + "11111111" + "1010"),
        "blocks darker than black": hand_coded("111110" + "00000000" + "1010"),
        "lighter than white, in colour": with_larger_step(encoded(portrait("step", (240, 240))), 0),
        "colours that no screen shows": with_larger_step(encoded(Image.new("RGB", (240, 240), (230, 60, 50))), 1),
        "lighter than white, progressive": with_larger_step(
            encoded(portrait("step", (240, 240)), progressive=True, subsampling=1), 0
        ),
        "a jpeg that was copied by half": noisy[:50_000] + bytes(len(noisy) - 50_000),
        "a png that was copied by half": png[: len(png) // 2] + bytes(len(png) - len(png) // 2),
        "a png with one changed bit": bytes(text),
        "a png without its end": png[:-12],
        "a webp that was copied by half": webp[: len(webp) // 2] + bytes(len(webp) - len(webp) // 2),
        "a webp without its last bytes": webp[:-40],
    }


DAMAGES = damages()


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_picture_is_refused_as_damaged(name: str) -> None:
    assert reason_for(DAMAGES[name]) is Reason.DAMAGED


GOOD = {
    "a last block of 64 coefficients": hand_coded("00" + 3 * ZEROS + TO_THE_END),
    "noise at quality 100": encoded(Image.effect_noise((500, 400), 90).convert("RGB"), quality=100),
    "noise at quality 5": encoded(Image.effect_noise((300, 300), 90).convert("RGB"), quality=5),
    "more bytes than are walked": encoded(Image.effect_noise((1100, 1100), 200), quality=100),
    "4:4:4": encoded(portrait("good", (301, 203)), subsampling=0),
    "4:2:2, tables of its own": encoded(portrait("good", (301, 203)), subsampling=1, optimize=True),
    "a restart after each block": encoded(portrait("good", (301, 203)), restart_marker_blocks=1),
    "restarts, grey": encoded(portrait("good", (301, 203)).convert("L"), restart_marker_blocks=5),
    "four colours": encoded(portrait("good", (301, 203)).convert("CMYK")),
    "progressive": encoded(portrait("good", (301, 203)), progressive=True),
    "one colour": encoded(Image.new("RGB", (400, 400), "white")),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_jpeg_that_is_not_damaged_is_not_refused(name: str) -> None:
    assert prepare(GOOD[name], SQUARE).sent_bytes


def extremes() -> dict[str, Image.Image]:
    """Draw the lightest, darkest and strongest colours that pictures have, side by side."""
    stripes, checks = Image.new("RGB", (96, 96)), Image.new("RGB", (96, 96))
    primaries = [(255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255)]
    for number in range(12):
        stripes.paste(primaries[number % 6], (8 * number, 0, 8 * number + 8, 96))
        checks.paste("white", (8 * number, 8 * (number % 2), 8 * number + 8, 8 * (number % 2) + 88))
    return {
        "white": Image.new("RGB", (96, 96), "white"),
        "black": Image.new("L", (96, 96), 0),
        "stripes": stripes,
        "shifted stripes": ImageChops.offset(stripes, 5, 3),
        "checks": checks,
        "yellow on blue": ImageOps.colorize(checks.convert("L"), "blue", "yellow"),
        "noise of two colours": Image.effect_noise((96, 96), 900).point(lambda value: 255 * (value > 127)),
    }


EXTREMES = extremes()


@pytest.mark.parametrize("quality", [3, 75, 96, 100])
@pytest.mark.parametrize("name", EXTREMES)
def test_the_strongest_colours_of_a_picture_are_not_taken_for_damage(name: str, quality: int) -> None:
    for more in ({"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"subsampling": 2, "progressive": True}):
        assert prepare(encoded(EXTREMES[name], "JPEG", quality=quality, **more), SQUARE).sent_bytes


def stepped(place: tuple[int, int], step: int, *, edge: int = 640, unit: int = 16, grain: float = 1.0) -> Image.Image:
    """Draw a portrait that is lighter by a step from a place on, line by line of coded units, as damage leaves it."""
    drawn = portrait("stepped", (edge, edge)).convert("RGB")
    if grain < 1:
        drawn = drawn.filter(ImageFilter.MedianFilter(7)).quantize(8).convert("RGB")
    lighter = ImageChops.add(drawn, Image.new("RGB", drawn.size, (step, step, step)))
    after = Image.new("1", drawn.size)
    after.paste(1, (place[0], place[1], edge, place[1] + unit))
    after.paste(1, (0, place[1] + unit, edge, edge))
    return Image.composite(lighter, drawn, after)


@pytest.mark.parametrize("place", [(320, 160), (64, 400), (560, 320)])
@pytest.mark.parametrize("sampling", [{"subsampling": 0}, {"subsampling": 2}, {"progressive": True}, {"grey": True}])
def test_a_step_along_the_coded_units_is_refused_as_damaged(place: tuple[int, int], sampling: dict[str, Any]) -> None:
    more = dict(sampling)
    picture = stepped(place, 24, unit=8 if "grey" in more or more.get("subsampling") == 0 else 16)
    picture = picture.convert("L") if more.pop("grey", False) else picture
    assert reason_for(encoded(picture, "JPEG", quality=90, **more)) is Reason.DAMAGED


@pytest.mark.parametrize(("place", "step"), [((64, 400), 7), ((560, 320), 8), ((400, 240), 10)])
def test_a_faint_step_along_the_coded_units_is_refused_as_damaged(place: tuple[int, int], step: int) -> None:
    assert reason_for(encoded(stepped(place, step), "JPEG", quality=90, subsampling=2)) is Reason.DAMAGED


def slanted() -> Image.Image:
    """Draw a portrait behind an edge that sinks by one coded unit from one side to the other."""
    drawn = portrait("slanted", (640, 640)).convert("RGB")
    below = Image.new("1", drawn.size)
    ImageDraw.Draw(below).polygon([(0, 176), (640, 160), (640, 640), (0, 640)], fill=1)
    return Image.composite(ImageChops.add(drawn, Image.new("RGB", drawn.size, (30, 30, 30))), drawn, below)


def two_panels() -> Image.Image:
    """Draw a screen with a list at the left and a person at the right, each below a bar that ends at coded units."""
    screen = Image.new("RGB", (640, 640), (245, 245, 245))
    pen = ImageDraw.Draw(screen)
    pen.rectangle((0, 0, 639, 63), fill=(40, 60, 120))
    pen.rectangle((0, 0, 255, 79), fill=(40, 60, 120))
    for line in range(8):
        pen.rectangle((32, 128 + 48 * line, 200, 144 + 48 * line), fill=(120, 120, 120))
    screen.paste(portrait("panel", (256, 256)), (320, 224))
    return screen


def with_band(box: tuple[int, int, int, int], colour: tuple[int, int, int]) -> Image.Image:
    """Draw a portrait with a rectangle of one colour over it."""
    drawn = portrait("band", (640, 640)).convert("RGB")
    drawn.paste(colour, box)
    return drawn


SOUND_STEPS = {
    "straight along a row": stepped((0, 160), 30),
    "near an edge": stepped((16, 160), 30),
    "beside the units": stepped((320, 167), 30),
    "hardly visible": stepped((320, 160), 3),
    "drawn without grain": stepped((320, 160), 30, grain=0),
    "slanted": slanted(),
    "two panels": two_panels(),
    "a black bar below": with_band((0, 480, 640, 640), (0, 0, 0)),
    "a white bar above": with_band((0, 0, 640, 160), (255, 255, 255)),
    "a stair of white": ImageChops.lighter(
        with_band((320, 160, 640, 640), (255,) * 3), with_band((0, 176, 640, 640), (255,) * 3)
    ),
    "mosaic": portrait("mosaic", (640, 640)).resize((40, 40)).resize((640, 640), Image.Resampling.NEAREST),
    "a gradient": Image.linear_gradient("L").resize((640, 640)).convert("RGB"),
    "a gradient aslant": Image.linear_gradient("L").rotate(2).resize((640, 640)).convert("RGB"),
}


@pytest.mark.parametrize("quality", [30, 92])
@pytest.mark.parametrize("name", SOUND_STEPS)
def test_steps_of_the_picture_itself_are_not_taken_for_damage(name: str, quality: int) -> None:
    for sampling in (0, 2):
        assert prepare(encoded(SOUND_STEPS[name], quality=quality, subsampling=sampling), SQUARE).sent_bytes


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + kind + payload + zlib.crc32(kind + payload).to_bytes(4, "big")


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"tEXt", b"Comment\0" + b"x" * 3_000_000),
        png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(30_000_000))),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(30_000_000))),
        png_chunk(b"iCCP", b"large\0\0" + zlib.compress(bytes(3_000_000))),
        png_chunk(b"tEXt", b"x\0" + b"y" * 200_000) * 60,
    ],
    ids=["text", "packed text", "xmp", "profile", "many texts"],
)
def test_what_a_png_has_beside_its_pixels_does_not_refuse_it(chunk: bytes) -> None:
    drawn = portrait("texts", (200, 200))
    plain = encoded(drawn, "PNG")
    content_bytes = plain[:33] + chunk + plain[33:]
    assert shows(prepare(content_bytes, SQUARE), drawn)


def test_a_large_profile_of_a_png_is_applied() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    crossed = srgb.replace(b"rXYZ", b"####").replace(b"gXYZ", b"rXYZ").replace(b"####", b"gXYZ")
    large = (len(crossed) + 1_500_000).to_bytes(4, "big") + crossed[4:] + bytes(1_500_000)
    content_bytes = encoded(Image.new("RGB", (100, 100), "red"), "PNG", icc_profile=large)
    _, green, _ = colour_of(looked_at(prepare(content_bytes, SQUARE).sent_bytes))
    assert green > 240


def test_an_avif_is_read() -> None:
    drawn = portrait("avif", (300, 300))
    assert shows(prepare(encoded(drawn, "AVIF", quality=90), SQUARE), drawn)


def test_a_heic_is_read_where_the_extra_is_installed() -> None:
    drawn = portrait("heic", (300, 400))
    assert shows(prepare(encoded(drawn, "HEIF", quality=90), SQUARE), drawn)


def test_a_format_that_is_not_installed_names_what_reads_it() -> None:
    absent = replace(BY_NAME["HEIF"], plugin="no_such_package.plugin")
    refused = not_installed(absent)
    assert not absent.is_installed
    assert refused.reason is Reason.NOT_AN_IMAGE
    assert "HEIC" in refused.message
    assert "photo-connector[heif]" in refused.message


def test_what_only_begins_like_a_heic_is_refused() -> None:
    assert reason_for(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)) is Reason.NOT_AN_IMAGE


@pytest.mark.parametrize("content_bytes, title", [(b"%PDF-1.7", "PDF"), (b"<svg/>", "SVG"), (b"8BPS", "Photoshop")])
def test_another_kind_of_file_is_named(content_bytes: bytes, title: str) -> None:
    with pytest.raises(PictureRefused, match=title):
        prepare(content_bytes, SQUARE)


# Smaller copies


def test_a_photo_is_shrunk_under_the_limit_of_an_account_without_a_mailbox() -> None:
    noise = encoded(Image.effect_noise((648, 648), 200).convert("RGB"), quality=90)
    assert len(noise) > 100_000
    small = shrink(noise, 100_000)
    assert len(small) <= 100_000
    assert min(looked_at(small).size) >= 48


def test_a_photo_within_the_limit_is_not_touched_by_shrinking() -> None:
    content_bytes = pictures.jpeg("small", (200, 200))
    assert shrink(content_bytes, 100_000) is content_bytes


def test_a_limit_that_nothing_can_keep_is_said() -> None:
    with pytest.raises(PictureRefused) as refused:
        shrink(pictures.jpeg("hopeless", (200, 200)), 100)
    assert refused.value.reason is Reason.TOO_LARGE


def test_thumbnails_come_in_the_order_asked_and_are_never_enlarged() -> None:
    content_bytes = prepare(pictures.jpeg("thumbs", (800, 800)), Recipe(size=150)).sent_bytes
    sizes = [looked_at(one).size for one in thumbnails(content_bytes, (48, 72, 200))]
    assert sizes == [(48, 48), (72, 72), (150, 150)]


# Many at a time


def test_pictures_prepared_at_the_same_time_come_out_as_alone() -> None:
    sources = [content_bytes for content_bytes, _ in FORMS.values()] * 3
    alone = [prepare(content_bytes, SQUARE).sent_sha256 for content_bytes in sources]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda content_bytes: prepare(content_bytes, SQUARE).sent_sha256, sources))
    assert together == alone


def test_pillow_is_left_as_it_was() -> None:
    before = (Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    prepare(FORMS["png-alpha"][0], SQUARE)
    assert reason_for(pictures.bomb()) is Reason.TOO_LARGE
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


# Which of several


def value(attribute: str, sha256: str, edge: int, refused: Reason | None = None) -> Candidate:
    return Candidate(attribute, sha256, edge, edge, refused)


TRUST = ("jpegPhoto", "thumbnailPhoto")


def test_the_first_attribute_in_order_of_trust_wins_though_another_is_larger() -> None:
    candidates = [value("thumbnailPhoto", "a", 648), value("jpegPhoto", "b", 96)]
    assert choose(candidates, TRUST) == candidates[1]
    assert choose(candidates, TRUST[::-1]) == candidates[0]


def test_an_attribute_without_a_usable_picture_gives_way_to_the_next() -> None:
    candidates = [value("thumbnailPhoto", "a", 96), value("jpegPhoto", "b", 0, Reason.NOT_AN_IMAGE)]
    assert choose(candidates, TRUST) == candidates[0]


def test_of_several_values_the_largest_wins_in_whatever_order_they_come() -> None:
    candidates = [value("jpegPhoto", "a", 96), value("jpegPhoto", "b", 648), value("jpegPhoto", "c", 240)]
    assert {choose(order, TRUST) for order in (candidates, candidates[::-1])} == {candidates[1]}


def test_of_equally_large_values_the_same_one_wins_every_night() -> None:
    candidates = [value("jpegPhoto", "b", 96), value("jpegPhoto", "a", 96)]
    assert {choose(order, TRUST) for order in (candidates, candidates[::-1])} == {candidates[1]}


def test_attribute_names_are_compared_without_case_and_strangers_are_ignored() -> None:
    assert choose([value("JPEGPHOTO", "a", 96), value("photo", "b", 648)], TRUST) == value("JPEGPHOTO", "a", 96)
    assert choose([value("photo", "b", 648)], TRUST) is None


@pytest.mark.parametrize(
    "refused, expected",
    [
        ([], Reason.NO_PHOTO),
        ([Reason.NOT_AN_IMAGE], Reason.NOT_AN_IMAGE),
        ([Reason.NOT_AN_IMAGE, Reason.TOO_SMALL], Reason.TOO_SMALL),
        ([Reason.TOO_LARGE, Reason.NOT_AN_IMAGE], Reason.TOO_LARGE),
        ([Reason.TOO_SMALL, Reason.PLACEHOLDER], Reason.PLACEHOLDER),
    ],
)
def test_of_several_refusals_the_one_nearest_to_a_picture_is_told(refused: list[Reason], expected: Reason) -> None:
    candidates = [value("jpegPhoto", str(number), 0, reason) for number, reason in enumerate(refused)]
    assert choose(candidates, TRUST) is None
    assert best_refusal_reason(candidates, TRUST) is expected
