"""What recurrent layers gain: the stored measurement, and the command that made it."""

from pathlib import Path

import msgspec
import pytest

from edgepack.benchmarks.recurrent import Recurrent, main

_STORED = Path(__file__).parents[2] / "benchmarks" / "results" / "recurrent.json"


class _Document(msgspec.Struct):
    results: tuple[Recurrent, ...]


def test_the_stored_measurement_holds_what_was_promised() -> None:
    gru, lstm = msgspec.json.decode(_STORED.read_bytes(), type=_Document).results
    assert gru.layer == "Bidirectional(GRU(32))"
    assert gru.onnx_speedup >= 8
    assert lstm.layer == "LSTM(64)"
    assert lstm.onnx_speedup >= 1


def test_an_argument_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["digits.edgepack"]) == 2
    assert "usage: python -m edgepack.benchmarks.recurrent" in capsys.readouterr().err
