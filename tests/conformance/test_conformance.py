"""Bar 1: nearly every configuration of every layer converts right; the rest is refused clearly, never wrong."""

import os
import re
from collections import Counter
from functools import cache

import pytest

from edgepack.convert.conformance import Outcome, sweep
from edgepack.convert.judging import REFUSED, RIGHT

_CASES = "tests.conformance.cases"
_FEW = (
    "Dense-3d_softmax", "EinsumDense-heads", "Embedding-mask_zero", "Softmax-masked", "Conv1D-causal_dilation",
    "Conv2D-groups_same_strides", "Conv2DTranspose-strides_same", "SeparableConv2D-multiplier", "MaxPooling3D-same",
    "GlobalAveragePooling2D-keepdims", "LayerNormalization-two_axes", "BatchNormalization-axis1", "Dot-last_cosine",
    "LSTM-mask_zero_sequences", "GRU-before_last", "Bidirectional-GRU_concat", "ConvLSTM2D-last", "ConvLSTM2D-masked",
    "MultiHeadAttention-axes_1_2", "GroupQueryAttention-causal", "Resizing-bilinear_down",
    "TextVectorization-characters",
)  # fmt: skip


@cache
def _few() -> list[Outcome]:
    return sweep(_CASES, only="^({})$".format("|".join(map(re.escape, _FEW))))


def test_a_diverse_few_convert_right_in_both_formats() -> None:
    found = {f"{one.case} {one.format}": (one.verdict, one.reason) for one in _few()}
    assert len(found) == 2 * len(_FEW)
    assert {name: verdict for name, verdict in found.items() if verdict[0] != RIGHT} == {}


@cache
def _all() -> list[Outcome]:
    return sweep(_CASES, workers=int(os.environ.get("EDGEPACK_SWEEP_WORKERS", "1")))


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_nothing_is_wrong_and_nothing_crashes() -> None:
    """A wrong file includes one with operators that are not built in (Flex) and one that no light engine opens."""
    bad = [one for one in _all() if one.verdict not in {RIGHT, REFUSED}]
    assert [(one.case, one.format, one.verdict, one.reason) for one in bad] == []


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_nearly_all_are_right_in_both_formats() -> None:
    right = Counter(one.case for one in _all() if one.verdict == RIGHT)
    cases = {one.case for one in _all()}
    share = sum(count == 2 for count in right.values()) / len(cases)
    refused = "\n".join(f"{one.case} {one.format}: {one.reason}" for one in _all() if one.verdict != RIGHT)
    assert share >= 0.97, f"{share:.1%} right in both formats; the rest:\n{refused}"


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_refusals_are_clear() -> None:
    """One line a person can read: no stack of MLIR locations, no path of a Python file."""
    unclear = re.compile(r"Traceback|\.py:\d+|loc\(|StatefulPartitionedCall|<[a-z_.]+ object at|MLIR")
    refusals = [one for one in _all() if one.verdict == REFUSED]
    assert [
        (one.case, one.format, one.reason) for one in refusals if unclear.search(one.reason) or len(one.reason) < 20
    ] == []
