"""Pages of other origins: none may ask, unless the settings list their origin."""

from collections.abc import Collection
from typing import Any

from edgepack.runtime.serve.http_routes import Found
from edgepack.runtime.serve.http_wire import Headers

_SENT = "authorization, content-type, inference-header-content-length, x-request-id"
_SEEN = "inference-header-content-length, retry-after, x-request-id"


class Origins:
    """Who may ask from a browser.

    Args:
        allowed: Origins as browsers send them (`https://example.com`); `*` is any.
    """

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)

    def may_ask(self, origin: str, host: str | None) -> bool:
        """Whether a request that a page sent is answered: it is our own page, or its origin is listed.

        A browser sends plain requests of any page before it asks whether the page may see the answer: without this, any
        page could unload a model on the machine of who looks at it.
        """
        return self._is_listed(origin) or (host is not None and origin.partition("://")[2].lower() == host.lower())

    def told(self, origin: str) -> Headers:
        """The headers that let a page of a listed origin see the answer."""
        if not self._is_listed(origin):
            return ()
        return (
            ("access-control-allow-origin", origin), ("vary", "origin"), ("access-control-expose-headers", _SEEN),
        )  # fmt: skip

    def preflight(self, headers: Any, found: Found) -> Headers:
        """What a browser is told that asks first."""
        origin = headers.get("origin")
        if origin is None or headers.get("access-control-request-method") is None or not self._is_listed(origin):
            return ()
        return (
            ("access-control-allow-methods", ", ".join(sorted(found.routes))),
            ("access-control-allow-headers", _SENT), ("access-control-max-age", "600"),
        )  # fmt: skip

    def _is_listed(self, origin: str) -> bool:
        return "*" in self._allowed or origin.lower() in self._allowed
