"""What an engine makes of a large file when it opens it, kept in the user's cache for the next start.

ONNX Runtime's optimized graph, OpenVINO's compiled model, a compiled context of an accelerator: each is of use on this
device with this release of the library alone, and may be lost at any time.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from edgepack.runtime.cache import Blobs, Store
from edgepack.runtime.device import this_device
from edgepack.runtime.digests import sha256
from edgepack.runtime.engines.base import Opening

_MOST_BYTES = 2**30
_RELEASE = 1  # of how engines are told to open a file; what was made otherwise is passed over
_T = TypeVar("_T")


class Prepared:
    """The place for what one engine makes of one file, opened one way."""

    def __init__(self, library: str, data: bytes, opening: Opening, *, ending: str) -> None:
        """Take the library and its version, the file, and how it is opened; nothing is read yet."""
        way = msgspec.json.encode(msgspec.structs.replace(opening, strict=False, spinning=True)).decode()
        self._key = f"{library} {this_device().fingerprint} {sha256(data)} {way} {_RELEASE}"
        self._files, self._facts = Blobs("prepared", ending=ending, most_bytes=_MOST_BYTES), Store("prepared-facts")

    def get(self) -> Path | None:
        """The file that was made before, if it is whole."""
        return self._files.get(self._key)

    def keep(self, write: Callable[[Path], object]) -> None:
        """Keep the file that `write` makes; what it raises comes through, but for what the disk says."""
        self._files.put(self._key, write)

    def facts(self, of: type[_T]) -> _T | None:
        """What was noted of the file, which the one that was made no longer tells."""
        return self._facts.get(self._key, of)

    def note(self, facts: object) -> None:
        """Note facts of the file, as msgspec can write them."""
        self._facts.put(self._key, facts)
