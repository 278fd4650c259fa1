"""What the digits come to: the bars of the main job."""

from typing import Any

import pytest

from tests.tour.conftest import Tour


@pytest.fixture
def results(tour: Tour) -> dict[str, Any]:
    return {one["variant"]: one for one in tour.report["results"]}


@pytest.mark.parametrize("variant", ["tflite-float32", "onnx-float32"])
def test_float32_is_right_on_97_of_100_held_out_digits(results: dict[str, Any], variant: str) -> None:
    assert results[variant]["metric"]["samples"] == 1000
    assert results[variant]["metric"]["value"] >= 0.97


@pytest.mark.parametrize("variant", ["tflite-float32", "onnx-float32"])
def test_float32_is_within_a_hundred_thousandth_of_keras(results: dict[str, Any], variant: str) -> None:
    assert results[variant]["parity"]["max_abs"] <= 1e-5


@pytest.mark.parametrize("precision", ["int8", "dynamic_int8"])
@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_eight_bits_cost_half_a_point_at_most(results: dict[str, Any], target: str, precision: str) -> None:
    metric = results[f"{target}-{precision}"]["metric"]
    assert metric["keras"] - metric["value"] <= 0.005


@pytest.mark.parametrize("precision", ["int8", "dynamic_int8"])
@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_eight_bits_take_a_third_of_the_size_at_most(results: dict[str, Any], target: str, precision: str) -> None:
    assert results[f"{target}-{precision}"]["size_bytes"] <= 0.32 * results[f"{target}-float32"]["size_bytes"]
