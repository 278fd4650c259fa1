"""Verifying: is the pack whole, and does it still give the golden answers here?"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgepack.runtime import engines
from edgepack.runtime.errors import MissingFileError, PackError
from edgepack.runtime.manifest import Manifest
from edgepack.runtime.pack import encode_array, reference
from edgepack.runtime.tensor import Array
from edgepack.runtime.verify import verify
from tests.conftest import Child
from tests.zoo import packs
from tests.zoo.packs import Files

EVERY_WAY = [
    ("onnx-float32", "onnx"), ("onnx-float32", "openvino"),
    ("tflite-float32", "litert"), ("tflite-float32", "openvino"),
]  # fmt: skip
TRIED = [engine for _, engine in EVERY_WAY if engine in engines.available()]


def with_golden(y: Array) -> tuple[Manifest, Files]:
    """The mlp pack with other golden answers."""
    manifest, files = packs.mlp()
    data = encode_array(y)
    golden = msgspec.structs.replace(manifest.goldens[0], outputs={"y": reference("golden/out_y.npy", data)})
    return packs_with(manifest, goldens=(golden,)), files | {"golden/out_y.npy": data}


def packs_with(manifest: Manifest, **changes: Any) -> Manifest:
    return msgspec.structs.replace(manifest, **changes)


def test_a_sound_pack_passes_in_every_engine(mlp_pack: Path) -> None:
    found = verify(mlp_pack)
    assert found.failures == ()
    assert [(check.variant, check.engine, check.verdict) for check in found.checks] == [
        (variant, engine, "passed" if engine in TRIED else f"not tried: engine {engine!r} is not installed here")
        for variant, engine in EVERY_WAY
    ]
    assert found.members == 4


def test_several_outputs_are_verified_by_name(pair_pack: Path) -> None:
    assert verify(pair_pack).failures == ()


def test_how_close_it_is_here_is_told(mlp_pack: Path) -> None:
    for check in (one for one in verify(mlp_pack).checks if one.tried):
        assert check.parity is not None
        assert check.parity.max_abs <= packs.TOLERANCE == check.tolerance


def test_progress_names_each_variant(mlp_pack: Path) -> None:
    told: list[tuple[int, str]] = []
    verify(mlp_pack, progress=lambda done, name: told.append((done, name)))
    assert told == [(0, "onnx-float32"), (1, "tflite-float32")]


def test_answers_that_are_far_from_the_golden_ones_fail(tmp_path: Path) -> None:
    wanted = packs.outputs("mlp")[1]["y"][:4] + np.float32(0.01)
    failures = verify(packs.write(tmp_path / "p.edgepack", with_golden(wanted))).failures
    assert len(failures) == len(TRIED)
    assert "onnx-float32 on onnx: it is 0.01 away from the golden samples here, allowed 1e-05" in failures


def test_golden_answers_of_nan_are_never_met(tmp_path: Path) -> None:
    nan = np.full((4, 3), np.nan, np.float32)
    assert len(verify(packs.write(tmp_path / "p.edgepack", with_golden(nan))).failures) == len(TRIED)


def test_golden_answers_of_another_shape_fail_with_both_shapes(tmp_path: Path) -> None:
    failures = verify(packs.write(tmp_path / "p.edgepack", with_golden(np.zeros((4, 2), np.float32)))).failures
    assert "output 'y' has shape (4, 3), the Keras model's (4, 2)" in failures[0]


def test_a_tolerance_of_nan_is_never_met(tmp_path: Path) -> None:
    manifest, files = packs.mlp()
    first = msgspec.structs.replace(manifest.variants[0], golden_tolerance=-1.0)
    path = packs.write(tmp_path / "p.edgepack", (packs_with(manifest, variants=(first,)), files))
    failures = verify(path).failures
    assert {failure.split(" on ")[0] for failure in failures} == {"onnx-float32"}


def test_a_variant_that_does_not_load_fails_with_the_engines_words(tmp_path: Path) -> None:
    manifest, files = packs.mlp()
    first = msgspec.structs.replace(manifest.variants[0], file=reference("models/mlp.onnx", b"?"))
    path = packs.write(
        tmp_path / "p.edgepack",
        (packs_with(manifest, variants=(first, manifest.variants[1])), files | {"models/mlp.onnx": b"?"}),
    )
    found = verify(path)
    assert {check.variant for check in found.checks if check.passed} == {"tflite-float32"}
    assert "refuses the file" in found.failures[0]


@pytest.mark.parametrize("member", ["models/mlp.tflite", "golden/in_x.npy"])
def test_any_damaged_member_fails_the_whole_pack(tmp_path: Path, member: str) -> None:
    manifest, files = packs.mlp()
    damaged = bytearray(files[member])
    damaged[-1] ^= 1
    with pytest.raises(PackError, match=rf"'{member}' .* digest"):
        verify(packs.write(tmp_path / "p.edgepack", (manifest, files | {member: bytes(damaged)})))


def test_a_pack_without_golden_samples_cannot_be_verified(tmp_path: Path) -> None:
    path = packs.write(tmp_path / "p.edgepack", packs.mlp(goldens=()))
    with pytest.raises(PackError, match="holds no golden samples to verify with"):
        verify(path)


def test_members_that_are_never_read_are_told(tmp_path: Path) -> None:
    manifest, files = packs.mlp()
    assert verify(packs.write(tmp_path / "p.edgepack", (manifest, files | {"extra": b""}))).unlisted == ("extra",)


def test_a_pack_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no pack at"):
        verify(tmp_path / "no.edgepack")


_VERIFY = """
import sys
from edgepack.runtime.verify import verify
found = verify(sys.argv[1])
print([check.verdict for check in found.checks], found.failures)
"""


def test_an_engine_that_is_missing_is_no_fault_of_the_pack(child: Child, mlp_pack: Path) -> None:
    done = child(_VERIFY, mlp_pack, without=("onnxruntime", "openvino"))
    onnx, openvino = (f"\"not tried: engine '{engine}' is not installed here\"" for engine in ("onnx", "openvino"))
    assert done.stdout == f"[{onnx}, {openvino}, 'passed', {openvino}] ()\n"


def test_without_any_engine_nothing_is_proved(child: Child, mlp_pack: Path) -> None:
    done = child(_VERIFY, mlp_pack, without=("onnxruntime", "ai_edge_litert", "tflite_runtime", "openvino"))
    assert "no engine for any variant is installed here; run: pip install 'edgepack[onnx]'" in done.stdout
