"""One person's photo in Graph: metadata, bytes, sizes, upload, removal (facts 2, 3, 4)."""

from __future__ import annotations

from tests.lab.graph.answers import Answer, Ask, Refused, told
from tests.lab.graph.pictures import Photo, at_size, served_sizes, stored
from tests.lab.graph.tenant import CloudAccount
from tests.lab.graph.troubles import check_trouble, missing_photo, missing_user
from tests.lab.graph.world import World

READ_ROLES = {"ProfilePhoto.Read.All", "ProfilePhoto.ReadWrite.All", "User.Read.All", "User.ReadWrite.All"}
WRITE_ROLES = {"ProfilePhoto.ReadWrite.All", "User.ReadWrite.All"}
WRITES = ("PUT", "PATCH", "DELETE")
DENIED = "Access is denied. Check credentials and try again."


def photo_metadata(world: World, ask: Ask, key: str) -> Answer:
    """Answer GET /users/{id}/photo; DELETE without $value was always 405."""
    if ask.method != "GET":
        raise Refused(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
    account = _account(world, ask, key)
    photo = world.tenant.seen_photo(account)
    if photo is None and world.switches.missing_photo == "1x1":
        return told(_described(world, ask, account, None))
    if photo is None:
        raise missing_photo(world.switches)
    if _unchanged(world, ask, photo.tag):
        return Answer(status=304, headers={"ETag": photo.tag})
    return told(_described(world, ask, account, photo))


def photo_value(world: World, ask: Ask, key: str) -> Answer:
    """Answer GET, PUT, PATCH and DELETE of /users/{id}/photo/$value."""
    account = _account(world, ask, key)
    if ask.method == "GET":
        return _bytes(world, ask, account)
    _check_policy(world)
    if world.switches.if_match and ask.headers.get("if-match", "*") not in ("*", account.photo and account.photo.tag):
        raise Refused(412, "ErrorPreconditionFailed", "The ETag value does not match.")
    if ask.method == "DELETE":
        return _removed(world, account)
    return _uploaded(world, ask, account)


def photo_sizes(world: World, ask: Ask, key: str) -> Answer:
    """Answer GET /users/{id}/photos: the sizes that exist, none above the upload."""
    account = _account(world, ask, key)
    photo = world.tenant.seen_photo(account)
    if photo is None:
        raise missing_photo(world.switches)
    edges = sorted(served_sizes(photo), reverse=world.switches.sizes_descending)
    context = f"{world.base_url}/{ask.version}/$metadata#users('{account.id}')/photos"
    value = [_metadata(world, photo, edge, edge, name=f"{edge}x{edge}") for edge in edges]
    return told({"@odata.context": context, "value": value})


def photo_at_size(world: World, ask: Ask, key: str, *, size: str, value: bool) -> Answer:
    """Answer GET /users/{id}/photos/{size} and its $value."""
    account = _account(world, ask, key)
    photo = world.tenant.seen_photo(account)
    edge, _, other = size.casefold().partition("x")
    exists = photo is not None and edge == other and edge.isdigit() and int(edge) in served_sizes(photo)
    if photo is None or not exists:
        if ask.version == "beta" and not value:
            return told(_described(world, ask, account, None))
        raise missing_photo(world.switches)
    if value:
        return _picture(world, photo, at_size(photo, int(edge), world.switches.jpeg_quality))
    context = f"{world.base_url}/{ask.version}/$metadata#users('{account.id}')/photos/$entity"
    return told({"@odata.context": context} | _metadata(world, photo, int(edge), int(edge), name=size))


def _account(world: World, ask: Ask, key: str) -> CloudAccount:
    """Find whose photo it is, and refuse as the service would; raises Refused."""
    if not ask.roles & (WRITE_ROLES if ask.method in WRITES else READ_ROLES):
        raise Refused(403, "ErrorAccessDenied", DENIED)
    account = world.tenant.find(key)
    if account is None and world.tenant.has_mail(key):
        raise missing_photo(world.switches)
    if account is None:
        raise missing_user(world.switches, key)
    check_trouble(account, ask, world.switches)
    return account


def _check_policy(world: World) -> None:
    switches = world.switches
    by_source = switches.policy_blocks and (switches.policy_source or "").casefold() == "onpremises"
    if by_source or (switches.policy_roles_block and switches.policy_allowed_roles):
        raise Refused(switches.policy_status, switches.policy_code, switches.policy_message)


def _bytes(world: World, ask: Ask, account: CloudAccount) -> Answer:
    photo = world.tenant.seen_photo(account)
    if photo is None:
        raise missing_photo(world.switches)
    tag = photo.header_tag if world.switches.header_tag_differs else photo.tag
    if _unchanged(world, ask, tag):
        return Answer(status=304, headers={"ETag": tag})
    return _picture(world, photo, photo.content_bytes)


def _picture(world: World, photo: Photo, content_bytes: bytes) -> Answer:
    tag = photo.header_tag if world.switches.header_tag_differs else photo.tag
    headers = {"Content-Type": world.switches.photo_content_type, "ETag": tag}
    headers["Cache-Control"] = "max-age=21600, private"
    return Answer(status=200, headers=headers, content_bytes=content_bytes)


def _uploaded(world: World, ask: Ask, account: CloudAccount) -> Answer:
    photo = stored(ask.body_bytes, "graph", switches=world.switches, dice=world.dice)
    world.tenant.replace(account, photo, "graph")
    return Answer(status=world.switches.put_status)


def _removed(world: World, account: CloudAccount) -> Answer:
    if account.photo is None:
        raise missing_photo(world.switches)
    world.tenant.replace(account, None, "graph")
    return Answer(status=world.switches.delete_status)


def _unchanged(world: World, ask: Ask, tag: str) -> bool:
    return world.switches.if_none_match and ask.headers.get("if-none-match") == tag


def _described(world: World, ask: Ask, account: CloudAccount, photo: Photo | None) -> dict[str, object]:
    context = f"{world.base_url}/{ask.version}/$metadata#users('{account.id}')/photo/$entity"
    if photo is None:
        empty = {"@odata.mediaContentType": "image/gif", "@odata.mediaEtag": "", "height": 1, "id": "1x1", "width": 1}
        return {"@odata.context": context} | empty
    size = f"{photo.width}x{photo.height}"
    names = {"default": "default", "size": size, "SIZE": size.upper()}
    name = names[world.switches.photo_id]
    return {"@odata.context": context} | _metadata(world, photo, photo.width, photo.height, name=name)


def _metadata(world: World, photo: Photo, width: int, height: int, *, name: str) -> dict[str, object]:
    size = {"height": height, "width": width} if world.switches.photo_size_told else {}
    kind = world.switches.photo_content_type
    return {"@odata.mediaContentType": kind, "@odata.mediaEtag": photo.tag, "id": name, **size}
