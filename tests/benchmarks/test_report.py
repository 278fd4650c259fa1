"""The report: its JSON stays readable, its figures follow from the laps, and its warnings are earned."""

import json
from pathlib import Path

import pytest

from edgepack.benchmarks.html import COLUMNS, cells, page
from edgepack.benchmarks.report import (
    Failure,
    encode,
    read_report,
    related,
    spread_of,
    tied_with_fastest,
    warnings_about,
)
from edgepack.runtime.device import Device
from edgepack.runtime.errors import InputError, MissingFileError
from tests.benchmarks.makers import DEVICE, report, result


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    whole = report(result(), failures=(Failure("onnx-int8", "onnx", 1, "it broke"),), warnings=("noisy",))
    path.write_bytes(encode(whole))
    assert read_report(path) == whole


def test_the_fields_of_the_json_are_those_of_schema_version_1() -> None:
    """Readers elsewhere count on these names: a change needs a new schema version."""
    found = json.loads(encode(report(result(), failures=(Failure("v", "e", 1, "r"),))))
    assert found["schema_version"] == 1
    assert sorted(found) == [
        "created", "device", "failures", "fingerprint", "libraries", "results", "schema_version", "settings", "subject",
        "warnings",
    ]  # fmt: skip
    assert sorted(found["results"][0]) == [
        "beyond_bytes", "engine", "file_bytes", "first_ms", "format", "library", "load_ms", "memory_source", "p50_us",
        "p90_us", "p99_us", "peak_bytes", "per_second", "placement", "precision", "provider", "rounds", "spread",
        "threads", "to_fastest", "to_float32", "variant",
    ]  # fmt: skip
    assert sorted(found["settings"]) == ["batch", "input_source", "inputs", "rounds", "seconds"]
    assert sorted(found["subject"]) == ["name", "path", "sha256"]
    assert sorted(found["failures"][0]) == ["engine", "reason", "threads", "variant"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "is no report of edgepack bench"),
        (b"\xff\xfe", "is no report of edgepack bench"),
        (b'{"schema_version": 1}', "is no report of edgepack bench"),
        (b'{"schema_version": 2}', "schema version 2; this edgepack reads version 1"),
        (b"[" * 100_000, "is no report of edgepack bench"),
    ],
    ids=["cut short", "not text", "fields missing", "newer", "deep"],
)
def test_what_is_no_report_is_refused_in_one_line(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=says):
        read_report(path)


def test_a_report_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no report at"):
        read_report(tmp_path / "none.json")


def test_ratios_are_to_the_fastest_and_to_float32_of_the_same_engine_and_threads() -> None:
    found = related(
        [
            result("float32", (100,)),
            result("int8", (50,)),
            result("int8", (40,), threads=2),
            result("float32", (80,), engine="other"),
        ]
    )
    assert [one.to_fastest for one in found] == [2.5, 1.25, 1.0, 2.0]
    assert [one.to_float32 for one in found] == [1.0, 0.5, None, 1.0]
    assert related([]) == ()


def test_spread_is_the_range_of_the_rounds_over_their_median() -> None:
    assert spread_of((90, 100, 120)) == pytest.approx(0.3)
    assert spread_of((90,)) == 0


def test_candidates_whose_rounds_overlap_with_the_fastest_are_tied() -> None:
    fast, close, slow = result("int8", (90, 95)), result("float16", (94, 99)), result("float32", (96, 99))
    assert tied_with_fastest([slow, close, fast]) == (close,)


def test_a_quiet_machine_with_clear_results_earns_no_warning() -> None:
    assert warnings_about([result("float32", (100, 101)), result("int8", (50, 51))], DEVICE) == ()


def test_a_noisy_machine_is_said_to_be_noisy() -> None:
    busy = Device(**{**{name: getattr(DEVICE, name) for name in DEVICE.__slots__}, "load_average": 1.9})
    noisy, tied, load = warnings_about([result("float32", (100, 150)), result("int8", (90, 120))], busy)
    assert "too noisy to tell close candidates apart" in noisy
    assert "overlap with those of onnx-float32, onnx, 1 thread" in tied
    assert "load average 1.9 on 2 cores" in load


def test_the_page_shows_results_failures_warnings_and_the_machine() -> None:
    html = page(
        report(
            result(),
            result("int8", (50, 51, 52)),
            failures=(Failure("<b>", "onnx", 1, "it broke"),),
            warnings=("noisy",),
        )
    )
    for text in ("onnx-int8", "50", "it broke", "Noisy", "A processor", DEVICE.fingerprint, "float32 (1, 4)", "<svg"):
        assert text in html
    assert "<b>" not in html


def test_a_page_without_results_says_so() -> None:
    assert "Nothing could be measured" in page(report())


def test_every_column_has_a_cell() -> None:
    assert len(cells(result())) == len(COLUMNS)
