"""Every float tensor of a file is seen, whatever the format and however many rows run at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert import convert_model
from edgepack.convert.calibrate import Statistics, Stream, observe
from edgepack.convert.calibrate.histogram import Histogram
from edgepack.convert.inside import run_inside
from edgepack.convert.samples import Samples
from edgepack.runtime.errors import ConvertError
from tests.convert.conftest import Toy

_SAMPLES = Samples({"image": np.random.default_rng(0).random((20, 8, 8, 1)).astype(np.float32)}, {}, "memory")


@pytest.fixture(scope="module", params=["onnx", "tflite"])
def file(request: pytest.FixtureRequest, toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    path = tmp_path_factory.mktemp("toy") / f"toy.{request.param}"
    convert_model(toy.model, path)
    return request.param, path.read_bytes()


@pytest.fixture(scope="module")
def seen(file: tuple[str, bytes]) -> Statistics:
    return observe(*file, Stream.of(_SAMPLES), 1)


def test_lowest_and_highest_are_those_of_every_run(file: tuple[str, bytes], seen: Statistics) -> None:
    runs = run_inside(*file, [{"image": image[np.newaxis]} for image in _SAMPLES.inputs["image"]])
    names = {name for name, array in runs[0].items() if array.dtype.kind == "f"}
    assert set(seen.histograms) == {*names, "image"}
    for name in names:
        # float32; ONNX Runtime adds up in another order when rows run together
        assert seen.lowest[name] == pytest.approx(min(float(run[name].min()) for run in runs), abs=1e-5)
        assert seen.highest[name] == pytest.approx(max(float(run[name].max()) for run in runs), abs=1e-5)


def test_every_value_is_counted_once(seen: Statistics) -> None:
    assert seen.samples == 20
    assert seen.histogram("image").seen == _SAMPLES.inputs["image"].size
    assert seen.histogram("quadrant").counts.sum() == 20 * 4


def test_ranges_are_those_of_the_method(seen: Statistics) -> None:
    everything = seen.ranges("minmax")
    assert everything == {name: (seen.lowest[name], seen.highest[name]) for name in seen.lowest}
    assert all(low == -high for low, high in seen.ranges("mse", symmetric=True).values())


def test_a_file_with_loops_is_calibrated_on_what_shows(keras: Any, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    sequence = keras.Input((6, 3), name="sequence")
    # A mask keeps TFLite from unrolling it.
    masked = keras.layers.Masking()(sequence)
    model = keras.Model(sequence, keras.layers.Dense(2, name="answer")(keras.layers.GRU(4)(masked)))
    path = tmp_path / "loop.tflite"
    convert_model(model, path)
    samples = Samples({"sequence": np.random.default_rng(0).normal(size=(5, 6, 3)).astype(np.float32)}, {}, "memory")
    found = observe("tflite", path.read_bytes(), Stream.of(samples), 1)
    assert {"sequence", "answer"} <= set(found.ranges("percentile"))


def test_a_file_that_does_not_run_is_refused() -> None:
    with pytest.raises(ConvertError, match="cannot be calibrated"):
        observe("onnx", b"", Stream.of(_SAMPLES), 1)


@pytest.mark.parametrize(("value", "is_unbounded"), [(-np.inf, True), (-1e9, True), (-1e4, False)])
def test_masks_are_tensors_without_bounds(value: float, is_unbounded: bool) -> None:
    histogram = Histogram()
    histogram.add(np.array([1.0, value], np.float32))
    assert ("scores" in Statistics({}, {}, {"scores": histogram}).unbounded) == is_unbounded
