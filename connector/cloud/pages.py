"""Follow the pages of a Graph collection: each link once, not without end, and nothing but Graph's own answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from connector.cloud.response import Response, read_refusal, web_page_came
from connector.errors import ConnectorError, Unreachable
from connector.model import foreign

# Ten million accounts at 999 a page. Empty pages are allowed, so only a bound ends a chain of them.
MOST_PAGES = 10_000
ROLE_FIX = "Grant the application User.Read.All with admin consent; photo-connector check shows the roles it has."

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """The objects of one page, the link to the next page, and the delta link; empty where there is none."""

    items: tuple[Item, ...]
    next_link: str
    delta_link: str


class EndlessPages(ConnectorError):
    """Raised when the service repeats a page's link, or gives pages without end."""


def follow_pages(ask: Callable[[str], Response], url: str, *, system: str, most: int = MOST_PAGES) -> Iterator[Page]:
    """Yield pages until one has no next link; raises EndlessPages, and Unreachable for an answer that is no page."""
    seen: set[str] = set()
    while True:
        if url in seen:
            raise EndlessPages(f"it gave the same next page twice ({foreign(url)})")
        if len(seen) >= most:
            raise EndlessPages(f"its list does not end after {most} pages")
        seen.add(url)
        page = read_page(ask(url), system)
        yield page
        if not page.next_link:
            return
        url = page.next_link


def read_page(answer: Response, system: str) -> Page:
    """Return a page of objects, each with an id; raises Unreachable for anything else, since lists must be complete."""
    value = read_object(answer, system)
    items = value.get("value")
    if not isinstance(items, list) or not all(isinstance(item, dict) and text_of(item, "id") for item in items):
        raise _strange(answer, system)
    next_link = text_of(value, "@odata.nextLink")
    if not next_link and value.get("@odata.nextLink") is not None:
        raise _strange(answer, system)  # more follows, and it does not say where
    return Page(tuple(items), next_link, text_of(value, "@odata.deltaLink"))


def read_object(answer: Response, system: str) -> Item:
    """Return the JSON object of a success; raises Unreachable for a refusal, a web page or another shape."""
    refuse_web_page(answer, system)
    if answer.status == 403:
        raise Unreachable(system, f"the application may not list users: {read_refusal(answer)}", ROLE_FIX)
    if answer.status != 200:
        raise Unreachable(system, f"users could not be listed: {read_refusal(answer)}", "Start again later.")
    value = answer.json_object()
    if not value:
        raise _strange(answer, system)
    return value


def refuse_web_page(answer: Response, system: str) -> None:
    """Raise Unreachable if a page for people, or a redirect to one, came in the service's place."""
    if answer.is_web_page:
        raise web_page_came(answer, system, place="the list of users")


def text_of(item: Item, name: str) -> str:
    """Return a property that is text; empty where it is null, absent or something else."""
    text = item.get(name)
    return text if isinstance(text, str) else ""


def _strange(answer: Response, system: str) -> Unreachable:
    kind = foreign(answer.headers.get("content-type", "no content type"))
    fix = "Check GRAPH_URL, and whether a proxy answers in Graph's place."
    return Unreachable(system, f"it did not answer as Graph does ({kind})", fix)
