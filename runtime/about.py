"""What a converted file says of itself, where its format has a place for that: name, labels, meanings."""

import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec

_LONGEST = 10_000_000  # characters of one entry; what is longer was not written by edgepack


class About(msgspec.Struct, frozen=True):
    """What is written into a file for people, and for programs that have no pack. It proves nothing."""

    edgepack: str = ""
    """The version that wrote the file."""
    name: str = ""
    labels: dict[str, tuple[str, ...]] = {}
    """By output name, in the order of its last axis."""
    meanings: dict[str, str] = {}
    """What each input and output holds, by name."""

    def entries(self) -> dict[str, str]:
        """The fields as text by name, for a format that holds nothing else; what is empty is left out."""
        fields = {name: value for name, value in msgspec.structs.asdict(self).items() if value}
        return {
            name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for name, value in fields.items()
        }


def read_about(entries: Mapping[str, str]) -> About:
    """Read what `About.entries` gave; anything else leaves its field empty, since anybody may write such entries."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(About):
        text = entries.get(field.name, "")
        if len(text) <= _LONGEST:
            with contextlib.suppress(msgspec.MsgspecError, RecursionError, UnicodeError):
                found[field.name] = text if field.type is str else msgspec.json.decode(text, type=field.type)
    return About(**found)
