"""The search: what is tried, what falls out, what is chosen, and what is not done again."""

import re
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgepack.convert.options import Options
from edgepack.convert.plan import make_plan
from edgepack.convert.search import Search
from edgepack.convert.search.findings import Line
from edgepack.convert.search.hunt import Hunt
from edgepack.convert.search.key import key_of
from edgepack.convert.search.outcome import Outcome, search
from edgepack.convert.search.repairs import Mending, Missed
from edgepack.convert.source import open_source
from edgepack.runtime.errors import ConvertError, InputError
from tests.convert.conftest import Toy
from tests.convert.search_ground import Field, Times, make_field

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

_FAST_INT8 = {"tflite-float32": 50.0, "onnx-float32": 80.0, "tflite-int8": 40.0, "onnx-int8": 60.0}
_SLOW_OTHERS = Times(_FAST_INT8 | {"float32": 100.0})


@pytest.fixture(scope="module")
def field(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Field:
    return make_field(toy, tmp_path_factory.mktemp("field"))


def _search(field: Field, folder: Path, times: dict[str, float], **others: Any) -> Outcome:
    return search(field.ground(folder / "s", Times(times | {"float32": 100.0}), **others), bare=False)


def _strict(field: Field) -> dict[str, Any]:
    """Values to come close to, and so little to lose of them that no quantized file is right."""
    labels = {"quadrant": field.question.reference["quadrant"]}
    return {
        "question": replace(field.question, samples=replace(field.question.samples, labels=labels)), "max_drop": 1e-9,
    }  # fmt: skip


def _line(outcome: Outcome, variant: str) -> Line:
    return outcome.findings.line(variant)


def test_the_fastest_right_file_is_chosen_and_lies_first(field: Field, tmp_path: Path) -> None:
    outcome = _search(field, tmp_path, _FAST_INT8)
    assert outcome.findings.chosen == "tflite-int8"
    assert outcome.built[0].variant == "tflite-int8"
    assert outcome.findings.choice.of_fastest == 0.8
    assert outcome.findings.chosen_by_format == {"tflite": "tflite-int8", "onnx": "onnx-int8"}
    assert "0.80 of the latency" in outcome.findings.because


def test_float32_of_both_formats_is_in_every_last_round_and_in_the_pack(field: Field, tmp_path: Path) -> None:
    times = Times(_FAST_INT8 | {"float32": 100.0})
    outcome = search(field.ground(tmp_path / "s", times), bare=False)
    assert all({"tflite-float32", "onnx-float32"} <= met for met in times.met if "float32" not in met)
    assert {"tflite-float32", "onnx-float32"} <= {one.variant for one in outcome.built}


def test_nothing_slower_than_float32_is_chosen(field: Field, tmp_path: Path) -> None:
    outcome = _search(field, tmp_path, {"tflite-float32": 50.0, "onnx-float32": 90.0, "onnx-int8": 51.0})
    assert outcome.findings.chosen == "tflite-float32"
    assert outcome.findings.chosen_by_format["onnx"] == "onnx-int8"
    assert "no other file that is right was faster" in outcome.findings.because


def test_a_slower_file_is_chosen_where_size_is_the_aim(field: Field, tmp_path: Path) -> None:
    outcome = _search(field, tmp_path, {"tflite-float32": 10.0, "onnx-float32": 10.0}, search=Search(aim="size"))
    chosen = outcome.findings.choice
    assert chosen.tried.size_bytes == min(one.tried.size_bytes for one in outcome.findings.lines if one.is_right)
    assert "slower than float32, since size was the aim" in outcome.findings.because


def test_a_size_that_float32_does_not_meet_makes_size_the_aim(field: Field, tmp_path: Path) -> None:
    times = {"tflite-float32": 10.0, "onnx-float32": 10.0, "tflite-int8": 30.0, "onnx-int8": 20.0}
    outcome = _search(field, tmp_path, times, search=Search(max_size=60_000))
    assert outcome.findings.chosen == "onnx-int8"
    assert "since no float32 file is small enough" in outcome.findings.because


def test_a_budget_that_nobody_meets_is_one_line_with_the_best_found(field: Field, tmp_path: Path) -> None:
    with pytest.raises(ConvertError) as caught:
        _search(field, tmp_path, _FAST_INT8, search=Search(max_latency_us=5.0))
    assert "no file meets max_drop 0.01 and max_latency 5 µs; the best that was found is tflite-int8 (40.0 µs" in str(
        caught.value
    )


def test_what_loses_too_much_is_left_out_with_the_reason(field: Field, tmp_path: Path) -> None:
    outcome = _search(field, tmp_path, _FAST_INT8, targets=("onnx",), **_strict(field))
    assert outcome.findings.chosen == "onnx-float32"
    assert re.fullmatch(
        r"r2 [01]\.\d+ against 1\.0000 of Keras: .* lost, allowed 1e-09", _line(outcome, "onnx-int8").verdict
    )


def test_without_labels_agreement_stands_in_and_the_report_says_so(field: Field, tmp_path: Path) -> None:
    plain = replace(field.question, samples=replace(field.question.samples, labels={}))
    outcome = _search(field, tmp_path, _FAST_INT8, targets=("onnx",), question=plain, max_drop=None)
    assert outcome.findings.basis == "agreement with Keras"
    assert any("there were no labels" in line for line in outcome.findings.warnings)


def test_one_that_crashes_or_breaks_a_library_is_a_line(field: Field, tmp_path: Path) -> None:
    outcome = _search(
        field, tmp_path, _FAST_INT8, died=("onnx-int8",), failing={"tflite-int8": KeyError("no such tensor")}
    )
    assert _line(outcome, "onnx-int8").tried.reasons == ("it takes its process down",)
    assert _line(outcome, "tflite-int8").tried.reasons == ("KeyError: 'no such tensor'",)
    assert outcome.findings.chosen.startswith("tflite-int8-") or outcome.findings.chosen.endswith("float32")


def test_a_format_that_cannot_be_written_leaves_the_other(field: Field, tmp_path: Path) -> None:
    outcome = _search(field, tmp_path, _FAST_INT8, failing={"onnx-float32": ConvertError("refused")})
    assert _line(outcome, "onnx-float32").tried.reasons == ("refused",)
    assert outcome.findings.chosen == "tflite-int8"


def test_the_same_file_is_proved_once(field: Field, tmp_path: Path) -> None:
    outcome = _search(field, tmp_path, _FAST_INT8)
    assert any("it is the same file as" in line.verdict for line in outcome.findings.lines)


def test_what_needs_samples_is_not_tried_without(field: Field, tmp_path: Path) -> None:
    outcome = _search(field, tmp_path, {}, calibrated=False, precisions=("int8", "weight_int8"))
    assert {one.variant for one in outcome.findings.untried if one.reason == "it needs calibration data"} >= {
        "tflite-int8", "onnx-int8",
    }  # fmt: skip
    assert all(one.tried.precision != "int8" for one in outcome.findings.lines)


def test_how_many_are_not_tried_for_want_of_samples_is_a_warning(field: Field, tmp_path: Path) -> None:
    outcome = _search(field, tmp_path, {}, calibrated=False, precisions=("int8", "weight_int8"))
    count = sum(one.reason == "it needs calibration data" for one in outcome.findings.untried)
    assert count
    assert any(
        line.startswith(f"{count} candidates were not tried, as they need calibration data: give --calibration")
        for line in outcome.findings.warnings
    )


def test_a_layer_to_keep_that_there_is_none_of_ends_the_search(field: Field, tmp_path: Path) -> None:
    ground = replace(field.ground(tmp_path / "s", _SLOW_OTHERS), base=Options(float_layers=("nosuch",)))
    with pytest.raises(InputError, match="no layer 'nosuch' in the tflite file to keep in float; it has "):
        Hunt(ground).run()


def test_what_time_does_not_reach_is_listed(field: Field, tmp_path: Path) -> None:
    outcome = _search(field, tmp_path, _FAST_INT8, search=Search(budget_seconds=20.0), clock=count(0.0, 1.0).__next__)
    tried = {one.tried.variant for one in outcome.findings.lines}
    late = {one.variant for one in outcome.findings.untried if one.reason == "time was up"}
    assert tried >= {"tflite-float32", "onnx-float32", "tflite-int8"}
    assert late
    assert not late & tried
    assert any("a longer --budget goes on with them" in line for line in outcome.findings.warnings)


def test_what_was_done_before_ctrl_c_is_not_done_again(field: Field, tmp_path: Path) -> None:
    def stop(done: int, _: str) -> None:
        if done == 4:
            raise KeyboardInterrupt

    first: dict[str, Any] = {}
    with pytest.raises(KeyboardInterrupt):
        _search(field, tmp_path, _FAST_INT8, progress=stop, writers=first)
    again: dict[str, Any] = {}
    notes: list[str] = []
    outcome = _search(field, tmp_path, _FAST_INT8, writers=again, notes=notes)
    done = {name for writer in first.values() for name in writer.written} - {"tflite-float32", "onnx-float32"}
    assert done
    assert not done & {name for writer in again.values() for name in writer.written}
    assert notes == [f"search: 4 trials of {tmp_path / 's' / 'state.json'} were not done again"]
    assert outcome.findings.chosen == "tflite-int8"


def test_other_budgets_are_judged_without_new_trials(field: Field, tmp_path: Path) -> None:
    first = _search(field, tmp_path, _FAST_INT8)
    writers: dict[str, Any] = {}
    outcome = _search(field, tmp_path, _FAST_INT8, search=Search(aim="size"), writers=writers)
    before, after = ([one.tried for one in each.findings.lines] for each in (first, outcome))
    assert msgspec.json.encode(after) == msgspec.json.encode(before)
    assert all(set(one.written) == {f"{target}-float32"} for target, one in writers.items())


@pytest.mark.parametrize(
    ("metric", "threads", "other"),
    [(None, 1, set()), ("agreement", 1, {"metric"}), (None, 2, {"threads"})],
    ids=["same", "metric", "threads"],
)
def test_trials_count_for_the_same_metric_and_threads_alone(
    field: Field, toy: Toy, metric: str | None, threads: int, other: set[str]
) -> None:
    plan = make_plan("x.onnx", ("onnx",), None, "auto", searched=True, force=True)
    source = open_source(toy.path)
    before = key_of({}, source, field.question, plan, (Search(), Options()))
    asked = (Search(threads=threads, budget_seconds=7.0, aim="size", max_size=9), Options())
    after = key_of({}, source, replace(field.question, metric=metric), plan, asked)
    assert {name for name in before if before[name] != after[name]} == other


def test_files_that_were_removed_are_written_again(field: Field, tmp_path: Path) -> None:
    first = _search(field, tmp_path, _FAST_INT8)
    first.store.finish()
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["state.json"]
    outcome = _search(field, tmp_path, _FAST_INT8)
    assert [one.data for one in outcome.built] == [one.data for one in first.built]


def test_what_is_fast_and_loses_too_much_is_mended(field: Field, tmp_path: Path) -> None:
    asked: list[Missed] = []

    def repair(missed: Missed) -> Mending:
        asked.append(missed)
        options = msgspec.structs.replace(missed.scheme.options, float_layers=(missed.writer.parts[0].name,))
        return Mending(options=options.said())

    hunt = Hunt(field.ground(tmp_path / "s", _SLOW_OTHERS, targets=("onnx",), repair=repair, **_strict(field)))
    hunt.run()
    mended = [one for one in hunt.tried if one.mends]
    assert asked
    assert mended[0].mends == asked[0].tried.variant == "onnx-int8"
    assert mended[0].options["float_layers"]


def test_without_anything_to_give_back_the_line_says_so(field: Field, tmp_path: Path) -> None:
    def repair(_: Missed) -> Mending:
        return Mending(reason="none is left")

    hunt = Hunt(field.ground(tmp_path / "s", _SLOW_OTHERS, targets=("onnx",), repair=repair, **_strict(field)))
    hunt.run()
    assert [one.reasons for one in hunt.tried if one.mends] == [
        ("no layers were found whose precision would bring back what it loses: none is left",)
    ]


def _by_mse(missed: Missed) -> Mending:
    return Mending(options=msgspec.structs.replace(missed.scheme.options, ranges="mse").said(), notes=("by mse",))


def test_what_mending_comes_to_is_not_tried_again_as_a_candidate(field: Field, tmp_path: Path) -> None:
    now = [0.0]

    def late(done: int, _: str) -> None:  # once int8 was tried, mending is next, and all other ranges wait
        now[0] = 200.0 if done == 2 else now[0]

    hunt = Hunt(
        field.ground(
            tmp_path / "s", _SLOW_OTHERS, targets=("onnx",), repair=_by_mse, progress=late, clock=lambda: now[0],
            **_strict(field),
        )
    )  # fmt: skip
    hunt.run()
    assert [(one.mends, one.reasons) for one in hunt.tried if one.options == {"ranges": "mse"}] == [("onnx-int8", ())]


def test_mending_that_comes_to_what_was_tried_names_it(field: Field, tmp_path: Path) -> None:
    hunt = Hunt(field.ground(tmp_path / "s", _SLOW_OTHERS, targets=("onnx",), repair=_by_mse, **_strict(field)))
    hunt.run()
    assert [one.reasons for one in hunt.tried if one.mends] == [
        ("what brings back what it loses is onnx-int8-mse, which was tried already",)
    ]


def test_what_was_mended_before_ctrl_c_is_not_mended_again(field: Field, tmp_path: Path) -> None:
    def never(_: Missed) -> Mending:
        raise AssertionError("it was mended before")

    found = []
    for repair in (_by_mse, never):
        ground = field.ground(tmp_path / "s", _SLOW_OTHERS, targets=("onnx",), repair=repair, **_strict(field))
        found.append(Hunt(ground))
        found[-1].run()
    assert found[0].mendings["onnx-int8-mse"].notes == ("by mse",)
    assert found[1].mendings == found[0].mendings
    assert [one.variant for one in found[1].tried] == [one.variant for one in found[0].tried]


@pytest.mark.parametrize(
    ("max_drop", "seconds", "times"),
    [(1e-9, 0.0, 1), (5e-10, 0.0, 1), (2e-9, 0.0, 2), (1e-9, 500.0, 2)],
    ids=["same-budget", "tighter", "looser", "time-was-up"],
)
def test_mending_in_vain_is_done_again_only_where_it_may_come_to_more(
    field: Field, tmp_path: Path, max_drop: float, seconds: float, times: int
) -> None:
    asked: list[Missed] = []
    now = [0.0]

    def repair(missed: Missed) -> Mending:
        asked.append(missed)
        now[0] += seconds
        return Mending(reason="none is left")

    for allowed in (1e-9, max_drop):
        strict = _strict(field) | {"max_drop": allowed, "clock": lambda: now[0]}
        Hunt(field.ground(tmp_path / "s", _SLOW_OTHERS, targets=("onnx",), repair=repair, **strict)).run()
    assert len(asked) == times


def test_options_that_the_user_fixed_stay(field: Field, tmp_path: Path) -> None:
    ground = field.ground(tmp_path / "s", Times({}), targets=("onnx",))
    hunt = Hunt(replace(ground, base=Options(granularity="per-tensor", float_layers=("quadrant",))))
    hunt.run()
    quantized = [one for one in hunt.tried if one.precision == "int8"]
    assert quantized
    assert all(
        one.options["granularity"] == "per-tensor" and list(one.options["float_layers"]) == ["quadrant"]
        for one in quantized
    )
