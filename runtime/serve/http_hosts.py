"""Which names a server answers to: one that only this machine reaches, and that asks for no token, to its own alone.

A page of any site can let its own name lead to 127.0.0.1 once it is loaded, and then ask there as if it asked its own
site (DNS rebinding). The browser still says in the header Host which name it means.
"""

from edgepack.runtime.serve.http_wire import RefusedError
from edgepack.runtime.serve.settings import Settings, is_loopback

_MOST_KNOWN = 64


class Hosts:
    """Refuses requests that mean another host.

    Args:
        settings: Of them, the host, and whether anything else keeps strangers out.
    """

    def __init__(self, settings: Settings) -> None:
        guarded = settings.token_file or settings.tls_cert or settings.insecure
        self._is_any = bool(guarded) or not is_loopback(settings.host)
        self._own = settings.host.lower()
        self._known: set[str | None] = {None}  # every browser says a host; what says none is no page

    def check(self, host: str | None) -> None:
        """Return if a request with this header Host may pass; raises `RefusedError` (421)."""
        if self._is_any or host in self._known:
            return
        assert host is not None
        if not self._is_own(host):
            raise RefusedError(
                421,
                f"this server answers to localhost, not to {host[:80]!r}; other names take --token-file or --insecure",
            )
        if len(self._known) < _MOST_KNOWN:
            self._known.add(host)

    def _is_own(self, host: str) -> bool:
        name, colon, port = host.lower().rpartition(":")
        if not colon or not port.isdecimal():  # the colons of an address in brackets are followed by its end
            name = host.lower()
        name = name[1:-1] if name.startswith("[") and name.endswith("]") else name.removesuffix(".")
        return name == self._own or is_loopback(name)
