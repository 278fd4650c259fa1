"""Options are named, checked, and never ignored in silence."""

from pathlib import Path
from typing import Any

import pytest

from edgepack.convert import convert_model
from edgepack.convert.options import Options, make_options
from edgepack.convert.precisions import find
from edgepack.convert.schemes import Scheme
from edgepack.runtime.errors import ConvertError, EdgepackError, InputError
from tests.convert.conftest import Toy


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"granulrity": "per-tensor"}, "unknown option 'granulrity' \\(known: granularity, "),
        ({"ranges": "best"}, "unknown ranges 'best' \\(known: minmax, percentile, entropy, mse\\)"),
        ({"symmetric": "yes"}, "`symmetric` and `reduce_range` are True or False"),
        ({"float_layers": "dense"}, "`float_layers` and `float_operators` lists of names"),
    ],
    ids=["name", "value", "type", "text for a list"],
)
def test_what_is_no_option_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(EdgepackError, match=message):
        make_options(**given)


def test_ready_options_are_checked_too(toy: Toy, tmp_path: Path) -> None:
    options = Options(granularity="nonsense")  # type: ignore[arg-type]
    with pytest.raises(EdgepackError, match="unknown granularity 'nonsense'"):
        convert_model(toy.model, tmp_path / "toy.onnx", precisions="weight_int8", options=options)


@pytest.mark.parametrize(
    ("precisions", "options", "message"),
    [
        ("float16", {"io": "int8"}, "io means nothing to float16; it is for int8: ask for that one, or leave it out"),
        ("float32,float16", {"float_layers": ["dense"]}, "float_layers means nothing to float32, float16; "),
        ("weight_int8", {"ranges": "mse"}, "ranges means nothing to weight_int8; it is for int8, int16x8"),
    ],
)
def test_an_option_that_no_precision_has_a_use_for_is_refused(
    toy: Toy, tmp_path: Path, precisions: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        convert_model(toy.model, tmp_path / "toy.edgepack", precisions=precisions, options=options)


def test_an_operator_that_the_file_does_not_have_cannot_stay_in_float(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="no operator Sofmax in the onnx file to keep in float; it has "):
        convert_model(toy.model, tmp_path / "t.onnx", precisions="weight_int8", options={"float_operators": ["Sofmax"]})


@pytest.mark.parametrize(("asked", "used"), [("entropy", "minmax"), ("percentile", "minmax"), ("mse", "mse")])
def test_a_scheme_of_sixteen_bits_says_the_ranges_that_are_used(asked: Any, used: str) -> None:
    assert Scheme(find("int16x8"), Options(ranges=asked)).options.ranges == used


@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_int4_has_a_scale_for_each_block_in_both_formats(toy: Toy, tmp_path: Path, target: str) -> None:
    with pytest.raises(ConvertError, match="int4 weights have a scale for each block of 32 numbers"):
        convert_model(
            toy.model, tmp_path / f"toy.{target}", precisions="weight_int4", options={"granularity": "per-tensor"}
        )
