"""The page at `/`: its files, and what a browser is told with them."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files as resources
from types import MappingProxyType

# Everything comes from this server, and nothing is written into the page itself: no inline script, no inline style.
# Trusted types are asked for and none is allowed: text can never become markup.
PAGE_CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",  # pictures a model gives, and files that are looked at before they are sent
        "media-src blob:",  # a sound that is listened to before it is sent
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
# What every response of the server has (nosniff, no-store, no-referrer) is not said again.
PAGE_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "content-security-policy": PAGE_CSP,
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(self)",
    }
)

# ending -> content type
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOLDERS = ("", "fields/")


@cache
def files() -> Mapping[str, tuple[str, bytes]]:
    """Path → content type and bytes of every file of the page: `/` is the page itself, all else lies in `/page/`."""
    home = resources("edgepack.runtime.serve").joinpath("static")
    found = {}
    for folder in _FOLDERS:
        for file in home.joinpath(folder).iterdir():
            kind = _TYPES.get(file.name[file.name.rfind(".") :])
            if kind is not None:
                path = "/" if file.name == "index.html" else f"/page/{folder}{file.name}"
                found[path] = (kind, file.read_bytes())
    return MappingProxyType(found)
