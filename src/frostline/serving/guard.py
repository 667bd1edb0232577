"""Who may open the page: whoever was given its address, by a browser that says so itself.

A key in the address becomes a cookie that no other website can send along; all other requests are refused, and so are
those that name this machine by a name that is none of its own (DNS rebinding).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Any, Send], Awaitable[None]]

KEY = "key"
OWN_START = "/gradio_api/startup-events"  # which the server asks itself
REFUSED = b"This page takes the whole address that frostline serve printed, with its key.\n"


def new_key() -> str:
    """A key that nobody can guess."""
    return secrets.token_urlsafe(24)


class Guard:
    """Lets requests through to `app` that carry `key`, in the address or as a cookie, and name one of `hosts`.

    `hosts`: names without a port; none: any.
    """

    def __init__(self, app: App, key: str, hosts: tuple[str, ...] = ()) -> None:
        self._app, self._key, self._hosts = app, key, hosts

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Answer a request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if self._hosts and _host(headers.get(b"host", "")) not in self._hosts:
            await _refuse(scope, send)
        elif scope["path"] == OWN_START or self._matches(_cookie(headers.get(b"cookie", ""), self._name(scope))):
            await self._app(scope, receive, send)
        elif self._matches(*parse_qs(scope.get("query_string", b"").decode("latin-1")).get(KEY, [])[:1]):
            await self._app(scope, receive, self._giving_cookie(self._name(scope), send))
        else:
            await _refuse(scope, send)

    def _matches(self, given: str = "") -> bool:
        return hmac.compare_digest(given.encode(), self._key.encode())

    def _name(self, scope: Scope) -> str:
        return f"frostline-{(scope.get('server') or ('', 0))[1]}"  # browsers keep cookies by host, not by port

    def _giving_cookie(self, name: str, send: Send) -> Send:
        async def with_cookie(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{name}={self._key}; Path=/; HttpOnly; SameSite=Strict"
                message["headers"] = [*message.get("headers", []), (b"set-cookie", cookie.encode())]
            await send(message)

        return with_cookie


def _host(header: str) -> str:
    name = header.rsplit(":", 1)[0] if not header.endswith("]") else header
    return name.strip("[]").lower()


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


async def _refuse(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": REFUSED})
