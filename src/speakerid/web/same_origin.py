"""Reject requests that do not come from the page itself."""

import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect

from speakerid.web.hosts import is_loopback

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
"""A Host header: a name or an address, optionally with a port."""


class OwnPages:
    """ASGI middleware that rejects requests of other sites: a browser lets any open page send forms to this machine.

    Args:
        app: the ASGI application to wrap.
        local: whether requests must name this machine, which prevents DNS rebinding.
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
        with suppress(ClientDisconnect):  # the page was closed while it was sending
            await self.app(scope, receive, send)

    def allows(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether a request with these headers comes from a page of this server, or not from a page.

        A malformed or repeated header is rejected, since a proxy may have read it differently.
        """
        hosts, origins = ([value for name, value in headers if name == key] for key in (b"host", b"origin"))
        if len(hosts) != 1 or len(origins) > 1:
            return False
        host = hosts[0].decode("latin-1").lower()
        match = _HOST.fullmatch(host)
        if match is None or (self.local and not is_loopback(match["name"])):
            return False
        return not origins or origins[0].decode("latin-1").lower() in (f"http://{host}", f"https://{host}")
