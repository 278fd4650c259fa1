"""Which variant runs in which engine."""

import msgspec
import pytest

from edgepack.runtime import candidates, engines
from edgepack.runtime.errors import EngineError, PackError, UnknownNameError
from edgepack.runtime.manifest import FileRef, Variant
from tests.zoo.packs import PARITY


def variant(name: str, file_format: str | None = None) -> Variant:
    kind, _, precision = name.partition("-")
    return Variant(name, file_format or kind, precision, FileRef("f", "0" * 64, 0), PARITY, 0.1)


ALL = tuple(map(variant, ("tflite-int8", "onnx-dynamic_int8", "onnx-float16", "tflite-float32", "onnx-float32")))


def chosen(asked: str, engine: str | None = None, variants: tuple[Variant, ...] = ALL) -> list[tuple[str, str]]:
    return [(found.variant.name, found.engine) for found in candidates.rank(variants, asked, engine)]


def test_unmeasured_the_closest_file_comes_first() -> None:
    names = [name for name, engine in chosen("auto") if engine != "openvino"]
    assert names == ["onnx-float32", "tflite-float32", "onnx-float16", "tflite-int8", "onnx-dynamic_int8"]


def test_each_format_goes_to_its_engine_before_one_that_reads_all() -> None:
    pairs = [("onnx-float32", "onnx"), ("tflite-float32", "litert")]
    pairs += [("onnx-float32", "openvino"), ("tflite-float32", "openvino")]
    assert chosen("float32") == [pair for pair in pairs if pair[1] in engines.available()]


def test_a_variant_is_asked_for_by_name() -> None:
    assert chosen("tflite-int8", "litert") == chosen("tflite-int8")[:1] == [("tflite-int8", "litert")]


def test_an_engine_narrows_the_choice() -> None:
    assert {engine for _, engine in chosen("auto", "litert")} == {"litert"}


def test_an_unknown_variant_lists_names_and_precisions() -> None:
    known = "auto, tflite-int8, onnx-dynamic_int8, onnx-float16, tflite-float32, onnx-float32, int8, .*, float32"
    with pytest.raises(UnknownNameError, match=rf"unknown variant 'int4' \(known: {known}\)"):
        chosen("int4")


def test_an_unknown_engine_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown engine 'tensorrt' \(known: onnx, litert, openvino\)"):
        chosen("auto", "tensorrt")


def test_an_engine_that_does_not_read_the_variant_says_so() -> None:
    with pytest.raises(EngineError, match="engine 'litert' does not read onnx files; leave the engine out"):
        chosen("onnx-float32", "litert")


def test_a_precision_of_a_later_release_comes_last() -> None:
    assert chosen("auto", variants=(variant("onnx-ternary"), *ALL))[-1][0] == "onnx-ternary"


def test_a_format_of_a_later_release_is_passed_over() -> None:
    newer = msgspec.structs.replace(ALL[0], name="hailo-int8", format="hailo")
    assert ("hailo-int8", "onnx") not in chosen("auto", variants=(newer, *ALL))


def test_a_pack_of_later_formats_only_says_so() -> None:
    with pytest.raises(EngineError, match=r"no engine of this edgepack reads hailo files"):
        chosen("auto", variants=(variant("hailo-int8"),))


def test_a_pack_without_variants_says_so() -> None:
    with pytest.raises(PackError, match="holds no variants"):
        chosen("auto", variants=())


def test_an_engine_that_runs_a_variant_wrongly_is_not_taken_and_says_why_when_asked() -> None:
    wrong = msgspec.structs.replace(ALL[4], unfit={"openvino": "it gives wrong numbers"})
    assert [engine for _, engine in chosen("onnx-float32", variants=(wrong,))] == ["onnx"]
    with pytest.raises(EngineError, match="'openvino' is not taken for onnx-float32: it gives wrong numbers; leave"):
        chosen("auto", "openvino", variants=(wrong,))
