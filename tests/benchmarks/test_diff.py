"""Two reports side by side."""

import msgspec
import pytest

from edgepack.benchmarks.diff import compare
from edgepack.benchmarks.report import Settings
from edgepack.runtime.errors import InputError
from tests.benchmarks.makers import report, result


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ((50, 52, 51), "faster"),
        ((150, 152, 151), "slower"),
        ((99, 101, 103), "same within noise"),
        ((98.9, 98.9, 98.9), "same within noise"),
    ],
    ids=["faster", "slower", "overlapping", "too little"],
)
def test_a_change_counts_where_all_rounds_agree(after: tuple[float, ...], verdict: str) -> None:
    (change,) = compare(report(result(us=(100, 100, 100))), report(result(us=after))).changes
    assert change.verdict == verdict
    assert change.ratio == pytest.approx(after[1] / 100, rel=0.02)


def test_candidates_of_one_report_alone_are_listed() -> None:
    found = compare(report(result(), result("int8")), report(result(), result("float16")))
    assert [change.variant for change in found.changes] == ["onnx-float32"]
    assert (found.only_before, found.only_after) == (("onnx-int8, onnx, 1 thread",), ("onnx-float16, onnx, 1 thread",))


def test_reports_of_different_machines_are_refused_unless_asked_for() -> None:
    here, there = report(result()), report(result(), fingerprint="0123456789ab")
    with pytest.raises(InputError, match=r"different machines .* pass --across-machines"):
        compare(here, there)
    assert len(compare(here, there, across_machines=True).changes) == 1


def test_reports_of_different_inputs_are_refused() -> None:
    other = msgspec.structs.replace(report(result()), settings=Settings(8, 3, 2.0, "", {"x": "float32 (8, 4)"}))
    with pytest.raises(InputError, match="different inputs"):
        compare(report(result()), other)
