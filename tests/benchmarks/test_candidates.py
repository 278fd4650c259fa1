"""What is measured, and what the errors say when it cannot be."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from edgepack.benchmarks.candidates import plan
from edgepack.runtime.device import usable_cores
from edgepack.runtime.errors import EdgepackError, InputError, MissingFileError, ModelError, UnknownNameError


def test_every_variant_is_planned_with_one_thread_and_with_all_cores(pack: Path) -> None:
    wanted = sorted({1, usable_cores()})
    assert [(one.variant, one.threads) for one in plan(pack, engines=["onnx"])] == [
        (name, threads) for name in ("onnx-float32", "onnx-float16", "onnx-int8") for threads in wanted
    ]


def test_variants_are_chosen_by_name_and_by_precision(pack: Path) -> None:
    chosen = plan(pack, variants=["int8", "onnx-float32"], engines=["onnx"], threads=[1])
    assert [one.variant for one in chosen] == ["onnx-float32", "onnx-int8"]


def test_every_engine_that_reads_a_variant_is_planned(pack: Path) -> None:
    engines = [one.engine for one in plan(pack, variants=["int8"], threads=[1])]
    assert engines == [name for name in ("onnx", "openvino") if find_spec({"onnx": "onnxruntime"}.get(name, name))]


def test_a_thread_count_given_twice_is_measured_once(pack: Path) -> None:
    assert [one.threads for one in plan(pack, variants=["int8"], engines=["onnx"], threads=[2, 1, 2])] == [2, 1]


def test_a_bare_file_is_one_variant_without_a_precision(bare_file: Path) -> None:
    (one,) = plan(bare_file, engines=["onnx"], threads=[3])
    assert (one.variant, one.format, one.precision, one.engine, one.threads) == ("tiny.onnx", "onnx", "", "onnx", 3)
    assert one.file_bytes == bare_file.stat().st_size


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"variants": ["int4"]}, UnknownNameError, r"'int4' \(known: onnx-float32, onnx-float16, onnx-int8, float32,"),
        ({"engines": ["onxx"]}, UnknownNameError, r"unknown engine 'onxx' \(known: onnx, "),
        ({"threads": [1, 0]}, InputError, "threads is 0; it takes 1 or more"),
    ],
    ids=["variant", "engine", "threads"],
)
def test_a_wrong_argument_is_named_with_what_is_taken(
    pack: Path, asked: dict[str, list[object]], error: type[EdgepackError], says: str
) -> None:
    with pytest.raises(error, match=says):
        plan(pack, **asked)  # type: ignore[arg-type]


def test_an_engine_that_reads_none_of_the_variants_is_refused(pack: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(InputError, match="engine litert does not read onnx files"):
        plan(pack, engines=["litert"])


def test_a_missing_file_and_another_kind_of_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        plan(tmp_path / "none.onnx")
    other = tmp_path / "model.keras"
    other.write_bytes(b"something")
    with pytest.raises(ModelError, match=r"takes \.edgepack, \.tflite and \.onnx"):
        plan(other)
