"""What a server tells of its own life: a line for people, or a line of JSON."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, TextIO

import msgspec


class Event(msgspec.Struct, frozen=True):
    """Something that happened to the server."""

    name: str
    """`listening`, `model`, `ready`, `worker`, `stopping`, `late` or `stopped`."""
    text: str
    """It in words, on one line."""
    facts: dict[str, Any] = {}


Tell = Callable[[Event], None]


def to_people(stream: TextIO) -> Tell:
    """Write each event to a stream in words, at once."""
    return partial(_write, stream, lambda event: event.text)


def to_programs(stream: TextIO) -> Tell:
    """Write each event to a stream as one line of JSON, at once."""
    return partial(_write, stream, lambda event: _json({"event": event.name, **event.facts}))


def to_supervisor(stream: TextIO) -> Tell:
    """Write each event whole, as the process above reads it: `msgspec.json.decode(line, type=Event)`."""
    return partial(_write, stream, _json)


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def _write(stream: TextIO, told: Callable[[Event], str], event: Event) -> None:
    try:
        stream.write(f"{told(event)}\n")
        stream.flush()
    except BrokenPipeError:  # `edgepack serve … | head`: who read is gone, and the models are still asked for
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
