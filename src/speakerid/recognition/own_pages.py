"""Who may ask the server of a page: that page."""

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect

from speakerid.recognition.serving import is_loopback


class OwnPages:
    """Refuses what other sites would send: a browser lets any page it has open send forms to this machine.

    Args:
        app: the ASGI application behind it.
        local: whether only names of this machine are answered to; else a foreign name may be led here.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], local: bool) -> None:
        self.app = app
        self.local = local

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[..., Any], send: Callable[..., Awaitable[None]]
    ) -> None:
        if scope["type"] == "http" and not self.allows(dict(scope["headers"])):
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"This page answers to itself alone."})
            return
        with suppress(ClientDisconnect):  # the page was closed while it sent something
            await self.app(scope, receive, send)

    def allows(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a request with such headers comes from a page of this server's own, or from no page."""
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc != host:
            return False
        return not self.local or is_loopback(urlsplit(f"//{host}").hostname or "")
