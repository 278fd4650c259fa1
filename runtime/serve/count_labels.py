"""The names of what is counted, as they lie in a file: few bytes, and nothing in them that could end a name early."""

from typing import NamedTuple

LABELS_BYTES = 2048
"""The field that holds all names of one record."""

_LONGEST = 100  # characters of a name at most: five of them in UTF-8 fit into the field
_BETWEEN = "\x1f"

Key = tuple[str, str]
"""Model and version; the version is empty for what came before one was chosen, both are for unknown models."""


class Labels(NamedTuple):
    """What a record is of."""

    model: str
    version: str
    variant: str = ""
    engine: str = ""
    provider: str = ""

    def packed(self) -> bytes:
        """As they lie in a record: each cut, and none able to end early."""
        return _BETWEEN.join(label(text) for text in self).encode()

    @classmethod
    def unpacked(cls, data: bytes) -> "Labels":
        """What `packed` made; what a process was killed in the middle of writing is nobody's."""
        parts = data.decode(errors="replace").split(_BETWEEN)
        return cls(*parts) if len(parts) == len(cls._fields) else cls("", "")


def label(text: str) -> str:
    """A name as a label: not too long, of characters that UTF-8 has, and none that the file needs for itself."""
    cut = text[:_LONGEST].encode("utf-8", "replace").decode()
    return cut.replace(_BETWEEN, "?").replace("\0", "?")
