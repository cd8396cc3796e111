"""A bare client of the emulated cloud: MSAL and requests, nothing of the product."""

from __future__ import annotations

import io
from types import TracebackType
from typing import Any, Self

import msal
import requests
from PIL import Image

from tests.lab.graph import Emulator

PHOTO = "/users/{}/photo"
VALUE = "/users/{}/photo/$value"


def colour(edge: int = 200, shade: tuple[int, int, int] = (180, 60, 40), *, form: str = "JPEG") -> bytes:
    """Return a plain square picture."""
    out = io.BytesIO()
    Image.new("RGB", (edge, edge), shade).save(out, form)
    return out.getvalue()


def pixels(content_bytes: bytes) -> tuple[tuple[int, int], Any]:
    """Return size and middle pixel of a picture."""
    with Image.open(io.BytesIO(content_bytes)) as picture:
        rgb = picture.convert("RGB")
        return rgb.size, rgb.getpixel((rgb.width // 2, rgb.height // 2))


class Caller:
    """Call the emulator as a plain client would; paths are below /v1.0 unless they name a version."""

    def __init__(self, cloud: Emulator) -> None:
        self._cloud = cloud
        self.session = requests.Session()
        self.session.verify = cloud.ca_file
        self.session.trust_env = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()

    def token(self, credential: Any = None, **changed: str) -> dict[str, Any]:
        """Ask MSAL for a token; `tenant_id` and `client_id` may be changed."""
        tenant_id = changed.get("tenant_id", self._cloud.tenant_id)
        app = msal.ConfidentialClientApplication(
            changed.get("client_id", self._cloud.client_id),
            authority=f"{self._cloud.authority_host}/{tenant_id}",
            client_credential=credential or self._cloud.client_secret,
            instance_discovery=False,
            http_client=self.session,
        )
        answer: dict[str, Any] = app.acquire_token_for_client([f"{self._cloud.graph_url}/.default"])
        return answer

    def sign_in(self) -> Self:
        """Carry a token on every request from now on."""
        self.session.headers["Authorization"] = f"Bearer {self.token()['access_token']}"
        return self

    def call(self, method: str, path: str, **named: Any) -> requests.Response:
        """Send one request."""
        version = "" if path.startswith(("/beta/", "/v1.0/")) else "/v1.0"
        return self.session.request(method, f"{self._cloud.graph_url}{version}{path}", timeout=120, **named)

    def get(self, path: str, **named: Any) -> requests.Response:
        """Send a GET."""
        return self.call("GET", path, **named)

    def put(self, account_id: str, content_bytes: bytes, **headers: str) -> requests.Response:
        """Upload a photo."""
        typed = {"Content-Type": "image/jpeg"} | headers
        return self.call("PUT", VALUE.format(account_id), data=content_bytes, headers=typed)

    def tag(self, account_id: str) -> str:
        """Return the mediaEtag."""
        return str(self.get(PHOTO.format(account_id)).json()["@odata.mediaEtag"])

    def batch(self, *requests_: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Send a batch and return its items by id."""
        answer = self.call("POST", "/$batch", json={"requests": list(requests_)})
        answer.raise_for_status()
        return {item["id"]: item for item in answer.json()["responses"]}

    def pages(self, path: str, **named: Any) -> list[dict[str, Any]]:
        """Follow nextLinks to the end and return the pages."""
        pages = [self.get(path, **named).json()]
        while link := pages[-1].get("@odata.nextLink"):
            pages.append(self.session.get(link, timeout=120, **named).json())
        return pages


def code_of(answer: requests.Response) -> str:
    """Return the code of an error envelope."""
    return str(answer.json()["error"]["code"])
