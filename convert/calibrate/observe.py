"""What values the tensors of a float32 file take while samples stream through it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgepack.convert.calibrate.stream import Stream
from edgepack.convert.inside import run_inside
from edgepack.convert.options import Method

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Statistics:
    """What was seen of each tensor, by its name in the file."""

    lowest: Mapping[str, float]
    highest: Mapping[str, float]

    def ranges(self, method: Method, *, symmetric: bool = False) -> dict[str, Range]:
        """The range of every tensor that holds floats.

        Args:
            method: How a range is made of what was seen.
            symmetric: Whether ranges lie around zero.
        """
        del method, symmetric
        return {name: (self.lowest[name], self.highest[name]) for name in self.lowest}


def observe(file_format: str, data: bytes, stream: Stream, rows: int) -> Statistics:
    """Stream samples through a file and keep what its tensors held.

    Args:
        file_format: `"onnx"` or `"tflite"`.
        data: The float32 file.
        stream: The samples.
        rows: How many the file takes at once.
    """
    lowest: dict[str, float] = {}
    highest: dict[str, float] = {}
    for batch in stream.batches(rows):
        for tensors in (dict(batch), *run_inside(file_format, data, [batch])):
            for name, array in tensors.items():
                if array.dtype.kind == "f" and array.size:
                    lowest[name] = min(lowest.get(name, np.inf), float(array.min()))
                    highest[name] = max(highest.get(name, -np.inf), float(array.max()))
    return Statistics(lowest, highest)
