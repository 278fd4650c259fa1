"""SHA-256 of what a pack holds, without loading OpenSSL for a few hundred kilobytes of it."""

from collections.abc import Callable
from typing import Any

_LARGE_BYTES = 2**21  # from here on OpenSSL's speed is worth its five megabytes of memory


def sha256(data: bytes) -> str:
    """The SHA-256 of some bytes as hex digits."""
    made = _small() if len(data) < _LARGE_BYTES else _openssl()
    digits: str = made(data).hexdigest()
    return digits


def _small() -> Callable[[bytes], Any]:
    """Python's own implementation, which `hashlib` falls back to where there is no OpenSSL."""
    for name in ("_sha2", "_sha256"):  # since Python 3.12, and before
        try:
            found: Callable[[bytes], Any] = __import__(name).sha256
        except ImportError:
            continue
        return found
    return _openssl()


def _openssl() -> Callable[[bytes], Any]:
    import hashlib

    return hashlib.sha256
