"""Answers requests of the page itself only."""

import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect

from speakerid.recognition.serving import is_loopback

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
"""A Host header: a name or an address, and perhaps a port."""


class OwnPages:
    """ASGI middleware that refuses what other sites send: a browser lets any open page send forms to this machine.

    Args:
        app: the ASGI application behind it.
        local: whether requests must name this machine; otherwise a foreign name may be directed here.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], local: bool) -> None:
        self.app = app
        self.local = local

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[..., Any], send: Callable[..., Awaitable[None]]
    ) -> None:
        if scope["type"] == "websocket":  # the page uses none
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http" and not self.allows(scope["headers"]):
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"This page answers to itself alone."})
            return
        with suppress(ClientDisconnect):  # the page was closed while it sent something
            await self.app(scope, receive, send)

    def allows(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether a request with these headers comes from a page of this server, or from no page.

        A header that is malformed or that is there twice is refused: a proxy may have read it differently.
        """
        hosts, origins = ([value for name, value in headers if name == key] for key in (b"host", b"origin"))
        if len(hosts) != 1 or len(origins) > 1:
            return False
        host = hosts[0].decode("latin-1").lower()
        match = _HOST.fullmatch(host)
        if match is None or (self.local and not is_loopback(match["name"])):
            return False
        return not origins or origins[0].decode("latin-1").lower() in (f"http://{host}", f"https://{host}")
