"""Read .wav files that anybody may have written: integers of 8 to 32 bits, and floats.

By hand, since the standard library's `wave` reads no floats, and what WAVE_FORMAT_EXTENSIBLE wraps only from Python
3.12 on. The layout is that of "Multimedia Programming Interface and Data Specifications 1.0" (IBM and Microsoft, 1991).
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from edgepack.runtime.errors import StepError
from edgepack.runtime.tensor import Array

RATES_HZ = range(1_000, 768_001)
MOST_CHANNELS = 64

_INTEGERS, _FLOATS, _EXTENSIBLE = 1, 3, 0xFFFE
_PLAIN_FORMAT_BYTES, _EXTENSIBLE_FORMAT_BYTES = 16, 40


class Recording(NamedTuple):
    """Samples `(time, channels)` as floats, -1 to 1 where they were integers, and how many there are in a second."""

    samples: Array
    rate_hz: int


class _Format(NamedTuple):
    coding: int
    channels: int
    rate_hz: int
    frame_bytes: int
    bits: int


def read_wav(data: bytes, name: str) -> Recording:
    """Return what the bytes of a .wav file hold.

    Args:
        data: The whole file.
        name: What it is called in messages.

    Raises:
        StepError: It is no such file, claims more than it holds, or is coded in another way.
    """
    form, body = _chunks(data, name)
    decode = _DECODERS.get((form.coding, form.bits))
    if decode is None:
        raise StepError(
            f"{name} is coded as format {form.coding} with {form.bits} bits; plain samples of 8, 16, 24 or 32 bits, or "
            "floats of 32 or 64, are read: save it as PCM"
        )
    fits = 0 < form.channels <= MOST_CHANNELS and form.frame_bytes == form.channels * form.bits // 8
    if not fits or form.rate_hz not in RATES_HZ:
        raise StepError(
            f"{name} claims {form.channels} channels in {form.frame_bytes} bytes at {form.rate_hz:,} Hz, which no "
            "sound has; it is damaged"
        )
    whole = len(body) // form.frame_bytes * form.frame_bytes
    return Recording(decode(body[:whole]).reshape(-1, form.channels), form.rate_hz)


def _chunks(data: bytes, name: str) -> tuple[_Format, memoryview]:
    """The chunks `fmt ` and `data`; others are passed over."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise StepError(f"{name} is not a .wav file; save the sound as WAV (PCM)")
    view, start, form = memoryview(data), 12, None
    while start + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, start)
        body = view[start + 8 : start + 8 + size]
        if len(body) < size:
            raise StepError(
                f"{name} claims {size:,} bytes in a part of which {len(body):,} are there; it is cut short or damaged: "
                "save it again"
            )
        if kind == b"fmt ":
            form = _format(body, name)
        elif kind == b"data" and form is not None:
            return form, body
        start += 8 + size + size % 2  # parts begin at even places
    raise StepError(f"{name} is a .wav file without a format and samples behind it; it is cut short: save it again")


def _format(body: memoryview, name: str) -> _Format:
    if len(body) < _PLAIN_FORMAT_BYTES:
        raise StepError(f"{name} has a .wav format of {len(body)} bytes, fewer than there must be; it is damaged")
    coding, channels, rate, _, frame, bits = struct.unpack_from("<HHIIHH", body)
    if coding == _EXTENSIBLE and len(body) >= _EXTENSIBLE_FORMAT_BYTES:
        (coding,) = struct.unpack_from("<H", body, 24)  # the first two bytes of the sub-format are the old number
    return _Format(coding, channels, rate, frame, bits)


def _integers(kind: str, exact: type[np.floating[Any]], zero: int, full: int) -> Callable[[memoryview], Array]:
    """What reads integers through floats that hold each of them exactly."""
    return lambda body: ((np.frombuffer(body, kind).astype(exact) - exact(zero)) / exact(full)).astype(np.float32)


def _three_bytes(body: memoryview) -> Array:
    """24 bits a sample: as the upper three bytes of 32."""
    wide = np.zeros((len(body) // 3, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(body, np.uint8).reshape(-1, 3)
    return (wide.view("<i4")[:, 0] / 2.0**31).astype(np.float32)


def _floats(kind: str) -> Callable[[memoryview], Array]:
    return lambda body: np.frombuffer(body, kind)


# (coding, bits of a sample) -> what reads the samples of all channels, one after another
_DECODERS: dict[tuple[int, int], Callable[[memoryview], Array]] = {
    (_INTEGERS, 8): _integers("u1", np.float32, 128, 2**7),
    (_INTEGERS, 16): _integers("<i2", np.float32, 0, 2**15),
    (_INTEGERS, 24): _three_bytes,
    (_INTEGERS, 32): _integers("<i4", np.float64, 0, 2**31),
    (_FLOATS, 32): _floats("<f4"),
    (_FLOATS, 64): _floats("<f8"),
}
