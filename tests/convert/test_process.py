"""The process of the converters: what crashes there is a reason here, and the next file gets a new process."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edgepack.convert import process
from edgepack.convert.build import convert_model
from edgepack.convert.orders import TFLiteOrder
from edgepack.convert.process import Converter
from edgepack.quiet import import_keras
from edgepack.runtime.errors import ConvertError

ORDER = TFLiteOrder(("x:0",), ("y:0",), "float32")

# Aborts on the first order, as a native library does; the second process answers.
_FRAGILE = """
import os, sys
from pathlib import Path
folder, mark = sys.stdin.readline().strip(), Path(sys.argv[1])
if not mark.exists():
    mark.touch()
    os.abort()
Path(folder, "written").write_bytes(b"file")
print("{}", flush=True)
sys.stdin.readline()
"""


# Ends without a word where it is asked first, as one does that has idled; the second process answers.
_IDLE = _FRAGILE.replace("os.abort()", "sys.exit()")


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Converter]:
    with closing(Converter((sys.executable, "-c", _FRAGILE, str(tmp_path / "crashed")))) as made:
        yield made


def test_a_converter_that_crashes_is_a_reason_and_the_next_file_gets_another(fragile: Converter) -> None:
    with pytest.raises(ConvertError, match=r"TFLite converter crashed on the model .Aborted.; the other format"):
        fragile.ask(ORDER, {})
    assert fragile.ask(ORDER, {}) == b"file"


def test_a_converter_that_ended_as_it_was_asked_is_started_again(tmp_path: Path) -> None:
    with closing(Converter((sys.executable, "-c", _IDLE, str(tmp_path / "ended")))) as made:
        assert made.ask(ORDER, {}) == b"file"


def test_a_converter_that_always_ends_is_a_reason() -> None:
    with (
        closing(Converter((sys.executable, "-c", "input()"))) as made,
        pytest.raises(ConvertError, match=r"TFLite converter crashed on the model .exit code 0."),
    ):
        made.ask(ORDER, {})


def test_an_order_that_cannot_be_carried_out_is_refused_with_the_reason() -> None:
    with process.converter() as made, pytest.raises(ConvertError, match=r"TFLite converter refuses the model: .+"):
        made.ask(ORDER, {"graph.pb": b"no graph"})


def test_the_other_format_comes_out_where_one_converter_crashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras = import_keras("builds the model", "convert")
    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(2)])
    whole = Converter.ask

    def ask(self: Converter, order: Any, files: Any) -> bytes:
        if isinstance(order, TFLiteOrder):
            with closing(Converter((sys.executable, "-c", "import os; input(); os.abort()"))) as crashing:
                return whole(crashing, order, files)
        return whole(self, order, files)

    monkeypatch.setattr(Converter, "ask", ask)
    report = convert_model(model, tmp_path / "m.edgepack")
    assert [one.variant for one in report.passed] == ["onnx-float32"]
    assert "crashed on the model (Aborted)" in report.results[0].reasons[0]
