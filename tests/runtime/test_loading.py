"""From a path to a session: what is taken, what is refused, what is stepped down to."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.runtime import engines
from edgepack.runtime.errors import (
    EngineError,
    InputError,
    MissingFileError,
    ModelError,
    PackError,
    ProviderError,
    UnknownNameError,
)
from edgepack.runtime.manifest import Manifest, Variant
from edgepack.runtime.pack import reference
from tests.zoo import packs
from tests.zoo.packs import PARITY, TOLERANCE, ZOO, Files, outputs

RELEASED = Path(__file__).parents[1] / "released"
READ_ONNX = ", ".join(name for name in engines.for_format("onnx") if engines.library(name))


def right(session: edgepack.Session) -> bool:
    given, wanted = outputs("mlp")
    return float(np.abs(session.run(given)["y"] - wanted["y"]).max()) <= TOLERANCE


def with_broken(*broken: str) -> tuple[Manifest, Files]:
    """The mlp pack, where the files of these variants are no models although their digests are right."""
    manifest, files = packs.mlp()
    variants: list[Variant] = []
    for one in manifest.variants:
        data = b"\0\0\0\0TFL3 not a model" if one.name in broken else files[one.file.path]
        files[one.file.path] = data
        variants.append(Variant(one.name, one.format, one.precision, reference(one.file.path, data), PARITY, TOLERANCE))
    return packs.mlp(variants=tuple(variants))[0], files


@pytest.mark.parametrize("name", ["mlp.onnx", "mlp.tflite", "mlp_batch4.onnx", "mlp_free.tflite"])
def test_a_bare_file_is_opened(name: str) -> None:
    with edgepack.load(ZOO / name) as session:
        assert right(session)
        assert (session.variant, session.manifest, session.fallbacks) == (name, None, ())


def test_a_path_may_be_text(mlp_pack: Path) -> None:
    with edgepack.load(str(mlp_pack)) as session:
        assert right(session)


def test_a_bare_tflite_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes((ZOO / "mlp.tflite").read_bytes())
    with edgepack.load(tmp_path / "model.bin") as session:
        assert session.engine == "litert"


def test_a_pack_in_a_folder_is_opened(tmp_path: Path) -> None:
    edgepack.runtime.pack.write_pack(f"{tmp_path}/mlp/", *packs.mlp())
    with edgepack.load(tmp_path / "mlp") as session:
        assert right(session)


@pytest.mark.parametrize("variant", ["auto", "float32", "onnx-float32", "tflite-float32"])
def test_a_variant_is_asked_for_by_name_or_precision(mlp_pack: Path, variant: str) -> None:
    with edgepack.load(mlp_pack, variant=variant) as session:
        assert right(session)
        assert session.variant.endswith("float32")


@pytest.mark.parametrize(("engine", "variant"), [("onnx", "onnx-float32"), ("litert", "tflite-float32")])
def test_an_engine_is_asked_for_by_name(mlp_pack: Path, engine: str, variant: str) -> None:
    with edgepack.load(mlp_pack, engine=engine) as session:
        assert (session.engine, session.variant) == (engine, variant)


@pytest.mark.parametrize("threads", [None, 1, 2, 3])
@pytest.mark.parametrize("engine", ["onnx", "litert"])
def test_any_number_of_threads_gives_the_same_answers(mlp_pack: Path, engine: str, threads: int | None) -> None:
    with edgepack.load(mlp_pack, engine=engine, threads=threads) as session:
        assert right(session)


@pytest.mark.parametrize("threads", [0, -1, 100_000])
def test_numbers_of_threads_that_no_device_has_are_refused(mlp_pack: Path, threads: int) -> None:
    with pytest.raises(InputError, match=rf"threads is {threads}; it takes 1 to \d+, or None for all usable cores"):
        edgepack.load(mlp_pack, threads=threads)


@pytest.mark.parametrize("provider", ["auto", "cpu", ["gpu", "cpu"]], ids=str)
def test_a_provider_is_asked_for(mlp_pack: Path, provider: Any) -> None:
    with edgepack.load(mlp_pack, provider=provider) as session:
        assert session.provider == "cpu"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"variant": "int4"}, r"unknown variant 'int4' \(known: auto, onnx-float32, tflite-float32, float32\)"),
        ({"engine": "trt"}, r"unknown engine 'trt' \(known: onnx, litert, openvino\)"),
        ({"provider": "tpu"}, r"unknown provider 'tpu' \(known: auto, cpu, gpu, npu, "),
    ],
    ids=["variant", "engine", "provider"],
)
@pytest.mark.parametrize("strict", [False, True], ids=["loose", "strict"])
def test_an_unknown_name_lists_the_known_ones(
    mlp_pack: Path, asked: dict[str, str], message: str, strict: bool
) -> None:
    with pytest.raises(UnknownNameError, match=message):
        edgepack.load(mlp_pack, strict=strict, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["mlp.onnx", "pack"])
def test_a_provider_that_cannot_run_is_an_error(mlp_pack: Path, name: str) -> None:
    with pytest.raises(ProviderError, match=r"provider '\S*(?i:npu)' is not available here"):
        edgepack.load(mlp_pack if name == "pack" else ZOO / name, provider="npu")


@pytest.mark.parametrize(("name", "engine"), [("mlp.onnx", "litert"), ("mlp.tflite", "onnx")])
def test_an_engine_that_does_not_read_a_bare_file_says_so(name: str, engine: str) -> None:
    with pytest.raises(EngineError, match=rf"engine '{engine}' does not read \w+ files; leave the engine out"):
        edgepack.load(ZOO / name, engine=engine)


def test_an_unknown_engine_for_a_bare_file_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="unknown engine 'trt'"):
        edgepack.load(ZOO / "mlp.onnx", engine="trt")


def test_a_bare_file_has_no_variants() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown variant 'int8' \(known: auto, mlp.onnx\); a bare file is one"):
        edgepack.load(ZOO / "mlp.onnx", variant="int8")


@pytest.mark.parametrize("variant", ["mlp.onnx", "mlp"])
def test_a_bare_file_is_its_own_variant(variant: str) -> None:
    with edgepack.load(ZOO / "mlp.onnx", variant=variant) as session:
        assert session.variant == "mlp.onnx"


@pytest.mark.parametrize(
    ("broken", "kept"),
    [("onnx-float32", "tflite-float32"), ("tflite-float32", "onnx-float32")],
    ids=["the-first", "the-second"],
)
def test_a_variant_that_does_not_load_is_passed_over_with_its_reason(tmp_path: Path, broken: str, kept: str) -> None:
    path = packs.write(tmp_path / "p.edgepack", with_broken(broken))
    with edgepack.load(path) as session:
        assert session.variant == kept
        assert right(session)
        reasons = [reason.split(" on ")[0] for reason in session.fallbacks]
    assert reasons == ([broken] if broken == "onnx-float32" else [])


def test_the_reason_of_a_fallback_is_the_engines(tmp_path: Path) -> None:
    with edgepack.load(packs.write(tmp_path / "p.edgepack", with_broken("onnx-float32"))) as session:
        (reason,) = session.fallbacks
    assert reason.startswith("onnx-float32 on onnx: ONNX Runtime")
    assert "refuses the file" in reason


def test_strict_does_not_step_down(tmp_path: Path) -> None:
    path = packs.write(tmp_path / "p.edgepack", with_broken("onnx-float32"))
    with pytest.raises(EngineError, match=r"ONNX Runtime .* refuses the file"):
        edgepack.load(path, strict=True)


def test_when_nothing_loads_every_reason_is_given(tmp_path: Path) -> None:
    path = packs.write(tmp_path / "p.edgepack", with_broken("onnx-float32", "tflite-float32"))
    with pytest.raises(EngineError, match=r"nothing in .* runs here: onnx-float32 on onnx: .*; tflite-float32 on lit"):
        edgepack.load(path)


def test_a_damaged_variant_is_not_passed_over(tmp_path: Path) -> None:
    manifest, files = packs.mlp()
    path = packs.write(tmp_path / "p.edgepack", (manifest, files | {"models/mlp.onnx": bytes(218)}))
    with pytest.raises(PackError, match="digest"):
        edgepack.load(path)


def test_a_variant_that_is_not_asked_for_is_not_read(tmp_path: Path) -> None:
    manifest, files = packs.mlp()
    path = packs.write(tmp_path / "p.edgepack", (manifest, files | {"models/mlp.onnx": b"damaged"}))
    with edgepack.load(path, variant="tflite-float32") as session:
        assert right(session)


@pytest.mark.parametrize("name", ["nothing.edgepack", "nothing.onnx", "x" * 5000, "a\0b"])
def test_a_path_that_leads_nowhere_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingFileError, match="no model at"):
        edgepack.load(tmp_path / name)


@pytest.mark.parametrize("ending", ["keras", "h5", "pb"])
def test_a_keras_model_says_how_to_convert_it(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"digits.{ending}"
    path.write_bytes(b"?")
    with pytest.raises(ModelError, match=r"is a Keras model; convert it first: edgepack convert .*digits\.edgepack"):
        edgepack.load(path)


def test_a_file_of_another_kind_says_what_is_taken(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ModelError, match=r"is no file that edgepack runs; it takes \.edgepack, \.tflite and \.onnx"):
        edgepack.load(tmp_path / "notes.txt")


@pytest.mark.parametrize("folder", ["model.onnx", "model"])
def test_a_folder_that_is_no_pack_says_so(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    with pytest.raises(PackError, match=r"has no manifest\.json; it is not an edgepack pack"):
        edgepack.load(tmp_path / folder)


@pytest.mark.parametrize("path", sorted(RELEASED.glob("*/*.edgepack")), ids=lambda path: path.parent.name)
@pytest.mark.parametrize("engine", ["onnx", "litert"])
def test_packs_of_every_release_still_answer(path: Path, engine: str) -> None:
    with np.load(path.with_suffix(".npz")) as stored, edgepack.load(path, engine=engine) as session:
        np.testing.assert_allclose(session.run(stored["x"])["y"], stored["y"], atol=TOLERANCE)
        assert [score.label for score in session.predict(stored["x"][0])] == stored["labels"].tolist()


def test_there_is_a_pack_of_the_first_release() -> None:
    assert (RELEASED / "0.1.0" / "mlp.edgepack").is_file()


def test_a_provider_that_is_passed_over_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with edgepack.load(ZOO / "mlp.onnx", provider=["XNNPACK", "cpu"]) as session:
        assert session.provider == "cpu"
        assert session.fallbacks == (f"provider 'XNNPACK': engine {READ_ONNX} has none",)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_strict_refuses_a_provider_that_is_passed_over() -> None:
    with pytest.raises(ProviderError, match=f"provider 'XNNPACK' is not available here: engine {READ_ONNX}"):
        edgepack.load(ZOO / "mlp.onnx", provider=["XNNPACK", "cpu"], strict=True)


def test_a_keras_model_says_to_convert_it_first(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match="is a Keras model; convert it first: edgepack convert"):
        edgepack.load(tmp_path / "m.keras")


@pytest.mark.parametrize("threads", ["2", 1.5], ids=["text", "a half"])
def test_threads_are_a_whole_number(threads: object) -> None:
    with pytest.raises(InputError, match="it takes 1 to"):
        edgepack.load(ZOO / "mlp.onnx", threads=threads)  # type: ignore[arg-type]


def test_threads_spin_where_a_session_is_alone(monkeypatch: pytest.MonkeyPatch, mlp_pack: Path) -> None:
    asked: list[bool] = []
    real = engines.open_file

    def watched(engine: str, data: bytes, opening: engines.Opening) -> engines.Engine:
        asked.append(opening.spinning)
        return real(engine, data, opening)

    gc.collect()  # sessions that other tests left
    monkeypatch.setattr(engines, "open_file", watched)
    with edgepack.load(mlp_pack), edgepack.load(mlp_pack):
        pass
    edgepack.load(mlp_pack).close()
    assert asked == [True, False, True]


def test_options_of_a_provider_are_not_held_against_the_cpu_that_stands_in() -> None:
    asked = {"engine": "onnx", "options": {"device_id": "0"}, "threads": 1}
    with edgepack.load(ZOO / "mlp.onnx", provider=("CUDAExecutionProvider", "cpu"), **asked) as session:  # type: ignore[arg-type]
        assert session.provider == "cpu"
        assert session.fallbacks
    for first in ("cpu", ("cpu", "gpu"), ("CPUExecutionProvider", "cpu"), "cpu,gpu"):
        with pytest.raises(EngineError, match="CPUExecutionProvider takes no options"):
            edgepack.load(ZOO / "mlp.onnx", provider=first, strict=True, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "asked", [{"provider": 5}, {"provider": []}, {"options": "x"}, {"states": ["a"]}, {"threads": True}], ids=str
)
def test_arguments_of_another_kind_are_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(asked))} is"):
        edgepack.load(ZOO / "mlp.onnx", engine="onnx", **asked)
