"""The front, the choice and what is said of them, on figures that are made up."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edgepack.convert.search import Search
from edgepack.convert.search.choice import judged, nobody, pick, sentence
from edgepack.convert.search.findings import Line
from edgepack.convert.search.front import Standing, beats, front
from edgepack.convert.search.outcome import names
from edgepack.convert.search.tried import Tried
from edgepack.runtime.compare import Parity
from edgepack.runtime.manifest import Metric

_STANDINGS = st.lists(
    st.builds(
        Standing, st.just("file"), st.floats(1, 100), st.integers(1, 1000), st.floats(0, 1)
    ),
    max_size=30,
)  # fmt: skip


def _line(variant: str, latency_us: float, size_bytes: int, accuracy: float = 0.97, **others: Any) -> Line:
    target, precision = variant.split("-")[:2]
    snr_db = others.pop("snr_db", 40.0)
    tried = Tried(
        variant=variant, format=target, precision=precision, size_bytes=size_bytes, of_float32=latency_us / 100,
        parity=Parity(0.1, 0.1, 1.0, snr_db, others.pop("agreement", 0.99), 100), reasons=others.pop("reasons", ()),
        metric=Metric("accuracy", accuracy, 0.97, 100) if others.pop("labelled", True) else None,
    )  # fmt: skip
    ratio = latency_us / 100
    line = Line(tried=tried, latency_us=latency_us, of_fastest=ratio, of_own=ratio, finalist=True)
    return judged(line, others.pop("max_drop", 0.005), others.pop("search", Search()))


def _pick(lines: Sequence[Line], search: Search | None = None) -> str | None:
    asked = search or Search()
    chosen = pick([judged(one, 0.005, asked) for one in lines], asked)
    return chosen.tried.variant if chosen else None


_PLAIN = _line("onnx-float32", 100.0, 1000)
_INT8 = _line("onnx-int8", 45.0, 280)
_WEIGHTS = _line("onnx-weight_int8", 101.0, 260)


@given(_STANDINGS)
def test_no_member_of_the_front_beats_another(standings: list[Standing]) -> None:
    found = front(standings)
    assert not any(beats(one, other) for one in found for other in found)
    assert bool(found) == bool(standings)


@given(_STANDINGS)
def test_the_order_of_arrival_makes_no_front_of_another_size_in_latency(standings: list[Standing]) -> None:
    fastest = min((one.latency_us for one in standings), default=0.0)
    found = front(standings)
    assert not found or min(one.latency_us for one in found) <= 1.03**30 * fastest


def test_files_that_take_the_same_time_are_told_apart_by_size() -> None:
    assert _pick([_PLAIN, _line("onnx-int8", 45.0, 280), _line("onnx-int8-per-tensor", 46.0, 250)]) == (
        "onnx-int8-per-tensor"
    )


def test_of_files_of_one_size_the_better_is_chosen() -> None:
    assert _pick([_PLAIN, _line("onnx-int8", 45.0, 280, 0.966), _line("onnx-int8-mse", 45.5, 280, 0.97)]) == (
        "onnx-int8-mse"
    )


def test_a_hair_slower_than_float32_is_slower() -> None:
    assert _pick([_PLAIN, _WEIGHTS]) == "onnx-float32"


def test_a_lossy_file_is_not_chosen_however_fast() -> None:
    assert _pick([_PLAIN, _line("onnx-int8", 10.0, 280, 0.96)]) == "onnx-float32"


def test_a_latency_budget_counts_for_the_smallest_too() -> None:
    search = Search(aim="size", max_latency_us=60.0)
    assert _pick([_PLAIN, _INT8, _WEIGHTS], search) == "onnx-int8"
    assert _pick([_PLAIN, _INT8, _WEIGHTS], Search(aim="size")) == "onnx-weight_int8"


def test_without_labels_twenty_decibels_or_agreement_are_asked() -> None:
    unlabelled = {"labelled": False, "max_drop": None}
    far = _line("onnx-int8", 10.0, 280, snr_db=19.0, **unlabelled)
    assert far.verdict == (
        "its signal-to-noise ratio is 19.0 dB, at least 20 asked, and it agrees with Keras on 99.00%"
    )
    assert _line("onnx-int8", 10.0, 280, snr_db=21.0, **unlabelled).is_right
    assert _line("onnx-int8", 10.0, 280, snr_db=13.0, agreement=1.0, **unlabelled).is_right


def test_a_drop_that_was_asked_is_judged_by_agreement_alone() -> None:
    line = _line("onnx-int8", 10.0, 280, labelled=False, snr_db=40.0, max_drop=0.005)
    assert line.verdict == "agreement with Keras 0.9900: 0.0100 lost, allowed 0.005"
    assert _line("onnx-int8", 10.0, 280, labelled=False, snr_db=13.0, max_drop=0.02).is_right


def test_nan_is_never_right() -> None:
    line = _line("onnx-int8", 10.0, 280, labelled=False, snr_db=float("nan"), max_drop=None)
    assert not line.is_right


def test_what_nobody_meets_names_the_best_and_what_accuracy_would_cost() -> None:
    search = Search(max_size=270)
    lines = [judged(one, 0.005, search) for one in (_PLAIN, _INT8, _line("onnx-weight_int4", 90.0, 150, 0.9))]
    said = nobody(lines, search, 0.005, untried=3)
    assert "no file meets max_drop 0.005 and max_size 270 B" in said
    assert "the best that was found is onnx-int8 (45.0 µs, 280 B, accuracy 0.97)" in said
    assert "onnx-weight_int4 meets the others, and accuracy 0.9000 against 0.9700 of Keras: 0.0700 lost" in said
    assert said.endswith("3 candidates were not tried: a longer --budget reaches them. Nothing was written")


def test_where_nothing_is_right_every_reason_is_told() -> None:
    wrong = _line("onnx-float32", 100.0, 1000, reasons=("cosine 0.1",))
    assert "onnx-float32: cosine 0.1" in nobody([wrong], Search(), 0.005, untried=0)


def test_the_sentence_says_what_float32_costs() -> None:
    said = sentence(_line("onnx-int8", 45.0, 280, 0.967), _PLAIN, [_PLAIN, _INT8], Search())
    assert "the fastest of 2 right files, 0.45 of the latency and 0.28 of the size of onnx-float32" in said
    assert said.endswith("at 0.0030 of the accuracy lost")


def test_the_first_of_a_precision_has_the_plain_name() -> None:
    kept = [
        _line("onnx-int8-per-tensor", 1.0, 1), _line("onnx-int8", 1.0, 1), _line("onnx-int8-mse", 1.0, 1), _PLAIN,
    ]  # fmt: skip
    assert names(kept) == ["onnx-int8", "onnx-int8-default", "onnx-int8-mse", "onnx-float32"]
