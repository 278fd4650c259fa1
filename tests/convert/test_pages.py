"""What the pages of layers, of budgets and of searches show, also where names are long and figures far off."""

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from edgepack import page
from edgepack.convert import budget_page, layer_pages
from edgepack.convert.layers import Against, Layer, LayerReport, table
from edgepack.convert.search import Search
from edgepack.convert.search.findings import Findings, Line
from edgepack.convert.search.shown import sections_of
from edgepack.convert.search.tried import Tried
from edgepack.convert.sensitivity import Sensitivity
from edgepack.convert.trials import Trial
from edgepack.runtime.compare import Parity

_LONG = (
    "StatefulPartitionedCall/model_1/block_1/depthwise_bn/FusedBatchNormV3;model_1/block_1/depthwise/depthwise;{}/Norm"
)
_CHROMIUM = shutil.which("chromium")
_QUANTIZED, _IN_FLOAT = "#3b76d6", "#d9691e"


def _report(names: list[str]) -> LayerReport:
    there = Against("float32", "float32", -0.05742, 0.05901, 33.3)
    layers = tuple(
        Layer(name, name, ("DEPTHWISE_CONV_2D",), "int8", "int8", -0.06189, 0.05922, 0.0012, there) for name in names
    )
    return LayerReport("tflite-int8", "tflite-float32", "the golden samples", 4, layers)


def _drawings(sections: list[page.Section]) -> list[str]:
    return [one.svg for one in sections if isinstance(one, page.Plot)]


def _words(drawing: str) -> set[str]:
    return {text for element in ET.fromstring(drawing).iter() if (text := (element.text or "").strip())}


def test_long_names_of_layers_show_their_ends_and_leave_room_for_the_bars() -> None:
    (drawing,) = _drawings(layer_pages.sections(_report([_LONG.format(number) for number in range(4)])))
    names = [word for word in _words(drawing) if word.endswith("/Norm")]
    assert len(names) == 4
    assert all(name.startswith("…") and len(name) == 40 for name in names)
    assert "SNR in dB" in _words(drawing)


def test_the_noise_is_the_second_column_and_equal_types_are_said_once() -> None:
    columns, cells = table(_report(["conv"]))
    assert columns[:2] == ("layer", "SNR dB")
    row = dict(zip(columns, cells[0], strict=True))
    assert [row[name] for name in ("SNR dB", "weights", "low there", "types there")] == [
        "33.3", "int8", "-0.0574", "float32"
    ]  # fmt: skip


@pytest.mark.browser
@pytest.mark.skipif(_CHROMIUM is None, reason="no chromium here: apt-get install chromium")
@pytest.mark.parametrize(
    "name", ["depthwise_with_a_rather_long_name_that_goes_on", _LONG.format(0)], ids=["long", "TFLite"]
)
def test_the_table_of_layers_is_seen_whole_on_a_desk(name: str, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    path = tmp_path / "layers.html"
    path.write_text(layer_pages.render(_report(["stem", name])), encoding="utf-8")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1100, "height": 900})
        shown.goto(path.as_uri())
        widths = shown.locator(".wide:has(table)").evaluate("region => [region.scrollWidth, region.clientWidth]")
        browser.close()
    assert widths[0] <= widths[1]


@dataclass(frozen=True)
class _Result:
    """What the page of a budget takes of a result."""

    sensitivities: tuple[Sensitivity, ...]
    options: dict[str, Any]
    variant: str = "onnx-int8"
    trials: tuple[Trial, ...] = field(default=())


def _suffering(kept: tuple[str, ...], **figures: float) -> str:
    parts = tuple(Sensitivity(name, snr_db, ("Conv",)) for name, snr_db in figures.items())
    (drawing,) = _drawings(budget_page.sections(_Result(parts, {"float_layers": kept})))
    return drawing


def test_a_layer_that_cannot_be_quantized_is_the_shortest_bar() -> None:
    drawing = _suffering((), norm=-300.0, loud=-4.2, conv=7.5)
    words = _words(drawing)
    assert {"not possible", "-4.2", "7.5"} <= words
    assert not [word for word in words if re.fullmatch(r"[-−]\d+0", word)]  # no tick lies below zero


def test_quantized_layers_have_one_colour_whichever_is_the_worst() -> None:
    for kept in (("first",), ("second",)):
        bars = re.findall(r"fill: (#\w{6}); opacity", _suffering(kept, first=5.0, second=15.0))
        assert bars == [_IN_FLOAT if name in kept else _QUANTIZED for name in ("first", "second")]
    assert "in float" in _words(_suffering(("first",), first=5.0))


def _line(variant: str, latency_us: float, quality: float = 1.0, **others: bool) -> Line:
    file_format, precision = variant.split("-")[:2]
    tried = Tried(
        variant=variant, format=file_format, precision=precision, size_bytes=20_000,
        parity=Parity(0.1, 0.1, 1.0, 40.0, quality, 100),
    )  # fmt: skip
    return Line(tried=tried, latency_us=latency_us, on_front=others.get("on_front", False))


def test_the_plot_of_a_search_names_the_choices_the_front_and_float32() -> None:
    lines = (
        _line("tflite-int8-kept2", 10.3, on_front=True), _line("tflite-weight_int8", 14.6, on_front=True),
        _line("tflite-float32", 14.6), _line("tflite-float16", 14.6), _line("onnx-weight_int8", 23.0),
        _line("onnx-float32", 23.4), _line("onnx-int8", 25.0, 0.5),
    )  # fmt: skip
    findings = Findings(
        asked=Search(), max_drop=0.01, basis="accuracy", lines=lines, untried=(), chosen="tflite-int8-kept2",
        chosen_by_format={"tflite": "tflite-int8-kept2", "onnx": "onnx-weight_int8"}, because="It is the fastest",
        seconds=1.0, noise=0.0, warnings=(), machine={"cpu": "a processor"},
    )  # fmt: skip
    (drawing,) = _drawings(sections_of(findings))
    named = {word for word in _words(drawing) if word.startswith(("tflite-", "onnx-"))}
    assert named == {
        "tflite-int8-kept2", "tflite-weight_int8", "tflite-float32", "onnx-weight_int8", "onnx-float32"
    }  # fmt: skip
