"""Who may ask for what, and how often: tokens, and the rate of each address."""

import hashlib
import hmac
import ipaddress
import logging
import os
import stat
import time
import tomllib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from edgepack.runtime.errors import DeniedError, EdgepackError, InputError, MissingFileError, OverloadedError
from edgepack.runtime.serve.settings import Settings

SHORTEST_TOKEN = 16
_LOOK_S = 1.0  # a changed file of tokens holds at the latest after so long
_ADDRESSES = 4096  # those whose rate is known; the one that was silent longest goes first
_KINDS = ("read", "admin")

_log = logging.getLogger("edgepack.serve")


class Tokens(NamedTuple):
    """SHA-256 of each token; all that is kept of it."""

    read: tuple[bytes, ...] = ()
    admin: tuple[bytes, ...] = ()

    def may(self, token: str) -> frozenset[str]:
        """What a token may do, of `read` and `admin`; nothing where it is none of ours."""
        given = _digest(token)
        # Every token is compared, the right one too: how long it takes tells nothing of which one it was.
        read = sum([hmac.compare_digest(given, one) for one in self.read])
        admin = sum([hmac.compare_digest(given, one) for one in self.admin])
        return frozenset(_KINDS if admin else _KINDS[:1] if read else ())


def read_tokens(path: Path) -> Tokens:
    """The tokens of a TOML file with `read = ["…"]` and `admin = ["…"]`; an admin's may read too.

    Raises:
        MissingFileError: There is no such file.
        InputError: Others on this machine can read it, it is no TOML, or a token is too short to keep anyone out.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & stat.S_IRWXO:
                raise InputError(f"everyone on this machine can read {path} (mode {mode:o}); run: chmod o= {path}")
            table = tomllib.loads(file.read().decode())
    except FileNotFoundError:
        raise MissingFileError(path, "file of tokens") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):  # its own words may quote a token
        raise InputError(f'{path} is no TOML; it takes read = ["…"] and admin = ["…"]') from None
    unknown = [key for key in table if key not in _KINDS]
    if unknown:
        raise InputError(f"{path} has the unknown key {unknown[0]!r}; it takes read and admin")
    tokens = Tokens(*(tuple(_checked(path, kind, table.get(kind, []))) for kind in _KINDS))
    if not any(tokens):
        raise InputError(f'{path} holds no token; it takes read = ["…"] and admin = ["…"]')
    return tokens


def _checked(path: Path, kind: str, given: object) -> list[bytes]:
    if not isinstance(given, list) or not all(isinstance(token, str) for token in given):
        raise InputError(f'{path}: {kind} is no list of texts; write {kind} = ["…"]')
    for index, token in enumerate(given, 1):
        if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise InputError(
                f"{path}: token {index} of {kind} has {len(token)} characters; it takes {SHORTEST_TOKEN} or more, "
                "ASCII and no spaces, as from: openssl rand -hex 24"
            )
    return [_digest(token) for token in given]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Guard:
    """Lets requests pass, or raises. Its methods are called in one thread.

    Args:
        settings: Of them, the file of tokens and the rate. Without a file every token is right, and none too.
        clock: Seconds that only grow.

    Raises:
        InputError, MissingFileError: As `read_tokens` does.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(settings.token_file) if settings.token_file else None
        self._stamp = self._looked() if self._path else None  # before it is read: what changes meanwhile is seen
        self._tokens = read_tokens(self._path) if self._path else None
        self._rate, self._clock = settings.limits.rate_per_s, clock
        self._next_look = clock() + _LOOK_S
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, kind: str, token: str | None, address: str) -> None:
        """Return if this request may pass.

        Args:
            kind: `open` passes always; `read` for answers and metadata; `admin` for what changes what is served.
            token: What came as the bearer's token; None where nothing did.
            address: Where it came from.

        Raises:
            OverloadedError: This address has spent its rate.
            DeniedError: No token came, an unknown one, or one that may only read.
        """
        if kind == "open":
            return
        if self._rate:
            self._spend(address)
        if self._tokens is None:
            return
        if self._clock() >= self._next_look:
            self.refresh()
        if token is None:
            raise DeniedError("this server wants a token; send the header Authorization: Bearer TOKEN")
        may = self._tokens.may(token)
        if kind not in may:
            raise DeniedError(
                "this token may read and infer, but not change what is served" if may else "this token is not known",
                is_known=bool(may),
            )

    def refresh(self, *, force: bool = False) -> None:
        """Read the file of tokens again where it changed; those of before hold on where it cannot be read."""
        self._next_look = self._clock() + _LOOK_S
        if self._path is None or not (force or self._looked() != self._stamp):
            return
        self._stamp = self._looked()
        try:
            self._tokens = read_tokens(self._path)
        except (EdgepackError, OSError) as error:
            _log.warning("the tokens of before hold on: %s", error)
        else:
            _log.info("tokens were read again from %s", self._path)

    def _looked(self) -> tuple[int, ...]:
        """What changes with the file."""
        assert self._path is not None
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode

    def _spend(self, address: str) -> None:
        """Take one request from the bucket of an address; it holds a second's worth, and fills at the rate."""
        address = _network(address)
        now, most = self._clock(), max(1.0, self._rate)
        left, then = self._buckets.pop(address, (most, now))
        left = min(most, left + (now - then) * self._rate)
        spent = left < 1.0
        self._buckets[address] = (left if spent else left - 1.0, now)
        if len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        if spent:
            raise OverloadedError(
                f"more than {self._rate:g} requests a second came from this address; slow down",
                retry_after_s=(1.0 - left) / self._rate,
            )


def _network(address: str) -> str:
    """An address as its rate is counted: a home or a firm has a whole /64 of IPv6, and picks from it as it likes."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.strip("[]"), 64), strict=False))
    except ValueError:
        return address
