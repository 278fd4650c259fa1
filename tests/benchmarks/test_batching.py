"""The comparison of serving with and without batches runs; which is faster belongs into a benchmark, not a test."""

from pathlib import Path

import pytest

from edgepack.benchmarks.batching import WAYS, main, measure_batching


def test_every_way_is_asked_by_all_clients(mlp_pack: Path) -> None:
    added, ways = measure_batching(mlp_pack, "onnx-float32", 1, clients=8, rounds=2, seconds=0.02)
    assert min(added.session_us, added.served_us) > 0
    assert tuple(way.asked for way in ways) == WAYS
    assert [way.max_rows for way in ways if way.asked != "auto"] == [way for way in WAYS if way != "auto"]
    assert all(way.per_second > 0 and way.p99_ms >= way.p50_ms > 0 and way.clients == 8 for way in ways)
    assert ways[0].batch_rows == 1
    assert ways[-1].batch_rows > 1


def test_wrong_usage_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["a", "b", "c"]) == 2
    assert "usage: " in capsys.readouterr().err


def test_a_file_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([str(tmp_path / "none.edgepack")]) == 1
    out, err = capsys.readouterr()
    assert "no model at" in err
    assert not out
