"""What is not known of the cloud, as switches: one field each, changeable while the emulator runs."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Switches:
    """Every knob of the emulator; the defaults are the newest live or documented behaviour.

    (F n) names the section of the facts a knob belongs to, U that the real behaviour is unknown.
    """

    # -- what a PUT does to a picture (F 1, 4)
    reencode: str = "jpeg"  # jpeg: decoded and saved anew; comment: a JPEG comment is added (cheap); none: kept as sent
    reencode_repeatable: bool = True  # U: does equal input give equal bytes?
    jpeg_quality: int = 85
    largest_edge: int = 0  # U: 0 keeps any size, 648 is the old Exchange limit
    min_edge: int = 48  # U: 23 is refused, 48 the smallest served
    max_bytes: int = 4 * 1024 * 1024
    too_big_status: int = 413  # U: or another 4xx
    too_big_code: str = "RequestEntityTooLarge"
    not_image_status: int = 400  # U
    not_image_code: str = "BadRequest"
    accept_png: bool = True  # older services took JPEG only
    put_status: int = 200  # 200, 202 and 204 were all seen
    delete_status: int = 204  # U: 200 or 204
    if_match: bool = False  # U: honour If-Match on writes (412)

    # -- what a read tells (F 2, 3)
    header_tag_differs: bool = False  # U: the ETag header is not the mediaEtag
    stable_tags: bool = True  # False: a tag moves at every tenth read without an edit (U)
    if_none_match: bool = False  # U: answer 304
    photo_content_type: str = "image/jpeg"  # image/Jpeg was seen
    photo_content_length: bool = True  # False: chunked, no length
    photo_size_told: bool = True  # U: False: metadata without width and height
    missing_photo: str = "ImageNotFound"
    # also: ErrorEntityNotFound, ErrorItemNotFound, GetUserPhoto, RequestBrokerOld-ParseUri, nested, 1x1
    missing_user: str = "nested"  # photo of nobody: nested, Request_ResourceNotFound
    no_mailbox_code: str = "ErrorNonExistentMailbox"  # MailboxNotEnabledForRESTAPI (404), AuthenticationError (400)
    photo_id: str = "default"  # older: size (240x240), SIZE (240X240)
    sizes_descending: bool = False  # U: the order of /photos
    read_lag_seconds: float = 0.0  # U: for so long after a write, reads show the past
    read_lag_reads: int = 0  # or for so many reads of that person
    read_lag_shows: str = "old"  # old: old photo and tag; old-tag: new photo, old tag; missing: 404

    # -- tenant policy (F 5)
    policy_source: str | None = "cloud"  # cloud, onPremises, None, ""
    policy_allowed_roles: tuple[str, ...] | None = None
    policy_blocks: bool = True  # U: does onPremises stop an app-only PUT?
    policy_roles_block: bool = False  # U: do allowedRoles stop an app-only PUT?
    policy_status: int = 403  # U
    policy_code: str = "ErrorAccessDenied"  # U
    policy_message: str = "Access is denied. Check credentials and try again."

    # -- batches (F 6)
    batch_shuffled: bool = True
    batch_parallel: int = 0  # items run at once, so latency is paid per wave; 0 pays once
    batch_put: bool = True  # U: photo PUT as a base64 item
    batch_limit_code: str = "MaximumValueExceeded"  # U: the server's text above 20
    item_header_case: str = "usual"  # usual, lower, mixed
    item_base64: str = "standard"  # standard, urlsafe, unpadded

    # -- throttling and storms (F 7); percentages of the requests, drawn from the seeded dice
    storm_percent: float = 0.0
    storm_statuses: tuple[int, ...] = (429,)  # any of 429, 500, 502, 503, 504, 509
    item_storm_percent: float = 0.0
    retry_after_forms: tuple[str, ...] = ("integer",)  # integer, decimal, date, absent, one; drawn in turn
    retry_after_seconds: float = 1.0
    throttle_code: str = "TooManyRequests"  # ApplicationThrottled, UnknownError (with empty message)
    concurrency_cap: int = 0  # photo requests in flight above this get 429; 0 is no limit
    latency: float = 0.0  # seconds every Graph request takes
    slow_percent: float = 0.0
    slow_seconds: float = 0.0  # added to the slow ones, no 429
    wait_grace: float = 0.1  # requests so soon after a 429 were already on their way

    # -- listing (F 8)
    page_cap: int = 999  # the service may give shorter pages than asked for
    lists_nobody: bool = False  # U: a listing that is empty for once
    empty_page: bool = False  # an empty page with a nextLink comes first
    foreign_next_link: str = ""  # a nextLink to another origin: nobody may follow it with our token
    same_next_link: bool = False  # (F 13, reported) listing and delta give one and the same nextLink for ever
    delta_expired: int = 0  # 400 (syncStateNotFound) or 410 (with Location) for every delta token
    delta_refused: int = 0  # U: this status for /users/delta, also for a first link
    delta_begins_with_page: bool = False  # (F 13, reported) the first answer to $deltatoken=latest is a nextLink
    delta_leaves_out: tuple[str, ...] = ()  # (F 13, reported) changed objects come without these selected properties
    delta_silent: tuple[str, ...] = ()  # (F 13, reported) of these ids delta never tells

    # -- tokens (F 9, 10)
    token_lifetime: int = 3599

    def change(self, **changes: object) -> None:
        """Set switches by name; an unknown name raises AttributeError."""
        known = {field.name for field in fields(self)}
        for name, value in changes.items():
            if name not in known:
                raise AttributeError(f"there is no switch {name!r}")
            setattr(self, name, tuple(value) if isinstance(value, list) else value)
