"""Choosing on this device: what is measured, what is not a candidate, and what is remembered."""

import json
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgepack
from edgepack.__main__ import main
from edgepack.runtime import choices
from edgepack.runtime.cache import Store
from edgepack.runtime.choices import Choice
from edgepack.runtime.choose import choose, outside
from edgepack.runtime.compare import Parity
from edgepack.runtime.errors import EngineError, InputError, UnknownNameError
from edgepack.runtime.manifest import FileRef, Metric, Variant
from edgepack.runtime.pack import Pack
from tests.zoo import packs


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "cache"))


def _quick(path: Path, **others: Any) -> Choice:
    return choose(path, **{"threads": [1], "seconds": 20.0, "provider": "cpu", **others})


def test_the_fastest_way_is_first_and_remembered(mlp_pack: Path) -> None:
    choice = _quick(mlp_pack)
    measured = [one for one in choice.measurements if one.p50_us is not None]
    assert {(one.way.variant, one.way.engine) for one in measured} >= {
        ("onnx-float32", "onnx"), ("tflite-float32", "litert"),
    }  # fmt: skip
    assert choice.way == choice.best.way
    assert choice.best.p50_us is not None
    assert all(choice.best.p50_us <= 1.3 * (one.p50_us or 0) for one in measured)
    with edgepack.load(mlp_pack) as session:
        assert (session.variant, session.engine) == (choice.way.variant, choice.way.engine)
        assert session.chosen.startswith(f"measured on {choice.measured[:10]}: ")


def test_without_a_measurement_the_default_says_so(mlp_pack: Path) -> None:
    with edgepack.load(mlp_pack) as session:
        assert session.chosen == "by default, as nothing was measured here: edgepack choose mlp"


def test_what_is_asked_for_goes_before_what_was_measured(mlp_pack: Path) -> None:
    choice = _quick(mlp_pack)
    other = "onnx-float32" if choice.way.variant == "tflite-float32" else "tflite-float32"
    with edgepack.load(mlp_pack, variant=other) as session:
        assert (session.variant, session.chosen) == (other, "as it was asked for")


def test_a_choice_holds_for_the_pack_it_was_made_on(mlp_pack: Path, tmp_path: Path) -> None:
    _quick(mlp_pack)
    other = packs.write(tmp_path / "other.edgepack", packs.pair())
    with edgepack.load(other) as session:
        assert session.chosen.startswith("by default")


def test_a_choice_can_be_left_unremembered(mlp_pack: Path) -> None:
    _quick(mlp_pack, remember=False)
    with edgepack.load(mlp_pack) as session:
        assert session.chosen.startswith("by default")


def test_a_damaged_memory_counts_as_none(mlp_pack: Path, tmp_path: Path) -> None:
    _quick(mlp_pack)
    (record,) = (tmp_path / "cache" / "choices").glob("*.json")
    record.write_text(record.read_text()[:100])
    with edgepack.load(mlp_pack) as session:
        assert session.chosen.startswith("by default")


def test_the_memory_is_a_readable_file(mlp_pack: Path, tmp_path: Path) -> None:
    choice = _quick(mlp_pack)
    (record,) = (tmp_path / "cache" / "choices").glob("mlp-latency-*.json")
    assert choice.way.variant in json.dumps(json.loads(record.read_text()))


def test_writers_at_once_leave_one_whole_memory(mlp_pack: Path) -> None:
    choice = _quick(mlp_pack)
    with Pack(mlp_pack) as pack:
        manifest = pack.manifest
    threads = [threading.Thread(target=choices.remember, args=(manifest, choice)) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert choices.remembered(manifest) == choice


def test_a_choice_that_fails_later_is_stepped_down_from(mlp_pack: Path) -> None:
    choice = _quick(mlp_pack)
    with Pack(mlp_pack) as pack:
        key = choices.key(pack.manifest, "latency")
    lost = msgspec.structs.replace(choice, way=msgspec.structs.replace(choice.way, provider="NoSuchProvider"))
    Store("choices").put(key, lost)
    with edgepack.load(mlp_pack) as session:
        assert session.provider == "cpu"
        assert any("NoSuchProvider" in reason for reason in session.fallbacks)


def _variant(**changes: Any) -> Variant:
    parity = Parity(max_abs=1e-3, max_rel=1e-3, cosine=1.0, snr_db=30.0, agreement=None, samples=9)
    return Variant("onnx-int8", "onnx", "int8", FileRef("m", "0" * 64, 1), **{"parity": parity, "golden_tolerance": 1.0,
                                                                              **changes})  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metric": Metric("accuracy", 0.970, 0.975, 100)}, ""),
        ({"metric": Metric("accuracy", 0.960, 0.975, 100)}, "it loses 0.0150 of accuracy, allowed 0.005"),
        ({"parity": Parity(1.0, 1.0, 0.9, 19.0, 0.996, 100)}, ""),
        (
            {"parity": Parity(1.0, 1.0, 0.9, 19.0, 0.99, 100)},
            "its signal-to-noise ratio is 19.0 dB, at least 20 asked, and it agrees with Keras on 99.00%",
        ),
        ({"parity": Parity(1.0, 1.0, 0.9, 19.0, None, 100)}, "its signal-to-noise ratio is 19.0 dB, at least 20 asked"),
        ({}, ""),
    ],
)
def test_the_budget_goes_by_metric_then_agreement_then_noise(changes: dict[str, Any], reason: str) -> None:
    assert outside(_variant(**changes), 0.005) == reason


def test_nothing_inside_the_budget_is_an_error_with_every_reason(tmp_path: Path) -> None:
    manifest, files = packs.mlp()
    worse = [msgspec.structs.replace(one, metric=Metric("accuracy", 0.5, 0.9, 10)) for one in manifest.variants]
    path = packs.write(tmp_path / "p.edgepack", (msgspec.structs.replace(manifest, variants=tuple(worse)), files))
    with pytest.raises(EngineError, match=r"no way to run .* is inside the budget: .*it loses 0.4000 of accuracy"):
        _quick(path)


@pytest.mark.parametrize("objective", ["memory", "size", "throughput", "p90"])
def test_other_aims_choose_too(mlp_pack: Path, objective: str) -> None:
    choice = _quick(mlp_pack, objective=objective)
    best, *others = [one for one in choice.measurements if one.p50_us is not None]
    if objective == "size":
        assert all(best.size_bytes <= one.size_bytes for one in others)
    if objective == "memory":
        assert all((best.memory_bytes or 0) <= (one.memory_bytes or 0) for one in others)
    assert choice.rows == (16 if objective == "throughput" else 1)


def test_when_time_is_up_the_rest_is_reported(mlp_pack: Path) -> None:
    ticks = iter(range(0, 10_000, 100))
    choice = _quick(mlp_pack, clock=lambda: float(next(ticks)))
    assert any(one.reason == "it was not measured: time was up" for one in choice.measurements)
    assert choice.best.p50_us is not None


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"objective": "speed"}, UnknownNameError, r"unknown objective 'speed' \(known: latency, p90"),
        ({"seconds": 0}, InputError, "seconds and rows take more than 0"),
        ({"rows": 0}, InputError, "seconds and rows take more than 0"),
        ({"variant": "int4"}, UnknownNameError, "unknown variant 'int4'"),
        ({"provider": "tpu"}, UnknownNameError, "unknown provider 'tpu'"),
    ],
)
def test_what_cannot_be_is_refused(mlp_pack: Path, asked: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _quick(mlp_pack, **asked)


@pytest.mark.parametrize("provider", ["auto", ["auto"]], ids=["name", "list"])
def test_a_choice_for_any_objective_is_taken(mlp_pack: Path, provider: Any) -> None:
    choice = _quick(mlp_pack, objective="size")
    with edgepack.load(mlp_pack, provider=provider) as session:
        assert session.variant == choice.way.variant
        assert session.chosen.startswith("measured on")


def test_the_latest_of_several_choices_is_taken(mlp_pack: Path) -> None:
    older, newer = _quick(mlp_pack, objective="latency"), _quick(mlp_pack, objective="size")
    with Pack(mlp_pack) as pack:
        manifest = pack.manifest
        choices.remember(manifest, msgspec.structs.replace(older, measured="2026-01-01T00:00:00+00:00"))
        choices.remember(manifest, msgspec.structs.replace(newer, measured="2026-01-02T00:00:00+00:00"))
        found = choices.remembered(manifest)
    assert found is not None
    assert found.objective == "size"


def test_the_command_that_runs_takes_the_choice(
    mlp_pack: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _quick(mlp_pack)
    np.savez(tmp_path / "x.npz", x=np.zeros((1, 4), np.float32))
    assert main(["run", str(mlp_pack), str(tmp_path / "x.npz")]) == 0
    assert "measured on" in capfd.readouterr().err


def test_options_are_not_lost_on_a_choice(mlp_pack: Path) -> None:
    _quick(mlp_pack)
    with pytest.raises(EngineError, match="nonsense"):
        edgepack.load(mlp_pack, options={"nonsense": "1"}, strict=True)


@pytest.mark.parametrize(
    "changes",
    [{"threads": 100_000}, {"threads": 0}, {"variant": "onnx-int4"}],
    ids=["many-threads", "no-threads", "no-such-variant"],
)
def test_a_choice_that_cannot_be_followed_counts_as_none(mlp_pack: Path, changes: dict[str, Any]) -> None:
    choice = _quick(mlp_pack)
    way = msgspec.structs.replace(choice.way, **changes)
    best = msgspec.structs.replace(choice.best, way=way)
    with Pack(mlp_pack) as pack:
        choices.remember(pack.manifest, msgspec.structs.replace(choice, way=way, measurements=(best,)))
    with edgepack.load(mlp_pack) as session:
        assert session.chosen.startswith("by default")


def test_a_choice_without_measurements_counts_as_none(mlp_pack: Path) -> None:
    choice = _quick(mlp_pack)
    with Pack(mlp_pack) as pack:
        choices.remember(pack.manifest, msgspec.structs.replace(choice, measurements=()))
    with edgepack.load(mlp_pack) as session:
        assert session.chosen.startswith("by default")


def test_what_was_measured_is_not_claimed_where_another_way_runs(mlp_pack: Path) -> None:
    choice = _quick(mlp_pack, engine="onnx")
    way = msgspec.structs.replace(choice.way, provider="CUDAExecutionProvider")
    best = msgspec.structs.replace(choice.best, way=way)
    with Pack(mlp_pack) as pack:
        choices.remember(pack.manifest, msgspec.structs.replace(choice, way=way, measurements=(best,)))
    with edgepack.load(mlp_pack) as session:
        assert session.provider == "cpu"
        assert session.chosen.startswith("by default, as onnx-float32 on onnx (CUDAExecutionProvider, 1 thread)")


@pytest.mark.parametrize("threads", [0, 257, True])
def test_numbers_of_threads_that_no_call_is_given_are_refused(mlp_pack: Path, threads: int) -> None:
    with pytest.raises(InputError, match="it takes 1 to 256"):
        _quick(mlp_pack, threads=[threads])
