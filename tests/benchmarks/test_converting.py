"""What converting costs: the stored measurement, and the command that made it."""

import sys
from pathlib import Path

import msgspec
import pytest

from edgepack.benchmarks import converting
from edgepack.benchmarks.converting import Comparison, main
from edgepack.runtime.errors import EdgepackError

_STORED = Path(__file__).parents[2] / "benchmarks" / "results" / "mobilenetv2-converting.json"


def test_the_stored_measurement_holds_what_was_promised() -> None:
    found = msgspec.json.decode(_STORED.read_bytes(), type=Comparison)
    assert found.time_ratio <= 1.5
    assert found.memory_ratio <= 1.3


@pytest.mark.parametrize("arguments", [["MobileNetV2", "none"], ["MobileNetV2", "0"], ["a", "1", "b"]], ids=str)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage: python -m edgepack.benchmarks.converting" in capsys.readouterr().err


def test_memory_of_a_process_and_of_those_it_starts_counts() -> None:
    child = "import time; kept = bytearray(60_000_000); time.sleep(1)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert converting._measured([sys.executable, "-c", parent]).peak_bytes > 60_000_000


def test_a_side_that_fails_is_told_of() -> None:
    with pytest.raises(EdgepackError, match=r"failed: .*no such model"):
        converting._measured([sys.executable, "-c", "raise SystemExit('no such model')"])
