"""What the report says of a file's way through its engine."""

import numpy as np
import pytest

from edgepack.convert.report import Result
from edgepack.runtime.compare import Parity, compare


def result(file_format: str, parity: Parity | None, undelegated: tuple[str, ...]) -> Result:
    return Result(
        variant=f"{file_format}-float32", format=file_format, precision="float32", size_bytes=1, parity=parity,
        metric=None, reasons=(), tensor_bytes={}, operators={"ADD": 1}, engine="", undelegated=undelegated,
        standard="", options={}, p50_us=None,
    )  # fmt: skip


SAME = compare({"y": np.ones((1, 2))}, {"y": np.ones((1, 2))})


@pytest.mark.parametrize(
    ("file_format", "parity", "undelegated", "said"),
    [
        ("tflite", SAME, (), "yes"),
        ("tflite", SAME, ("WHILE", "GATHER", "WHILE"), "no, because GATHER, WHILE"),
        ("tflite", None, (), "–"),
        ("onnx", SAME, (), "–"),
    ],
    ids=["wholly", "in-part", "never-ran", "no-delegate"],
)
def test_a_tflite_file_that_ran_tells_whether_it_is_fully_delegated(
    file_format: str, parity: Parity | None, undelegated: tuple[str, ...], said: str
) -> None:
    assert result(file_format, parity, undelegated).delegation == said
