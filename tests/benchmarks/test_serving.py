"""The comparison of servers runs from its beginning to its end, and reads what servers answer."""

from pathlib import Path

import pytest

from edgepack.benchmarks.serving import Settings, main, measure_serving
from edgepack.benchmarks.serving_load import answer_end, percentile
from edgepack.benchmarks.serving_requests import BINARY, JSON, Form, subject
from edgepack.runtime.errors import EngineError, InputError
from tests.zoo import packs

TINY = Settings(rounds=1, seconds=0.2, connections=2, laps=5, wrk=False)


def test_a_tiny_run_finds_every_figure(mlp_pack: Path) -> None:
    found = measure_serving(mlp_pack, TINY)
    assert (found.variant, found.generator) == ("onnx-float32", "asyncio")
    assert [one.name for one in found.candidates] == ["edgepack, JSON", "edgepack, binary"]
    for one in found.candidates:
        assert one.failed == 0
        assert one.requests_per_s > 0
        assert 0 < one.p50_us <= one.p99_us
        assert len(one.turns) == TINY.rounds
    assert found.candidates[0].ours_over == 1
    assert 0 < found.added.session_run_us < found.added.served_us
    assert found.workers.one_per_s > 0
    assert found.workers.gain > 0
    over = found.overloaded.over
    assert over.accepted > 0
    assert over.lost == 0
    assert 0 < over.memory_before_mb <= over.memory_most_mb


def test_a_pack_without_such_a_file_is_refused(tmp_path: Path) -> None:
    pack = packs.write(tmp_path / "m.edgepack", packs.mlp(goldens=()))
    with pytest.raises(InputError, match="no ONNX file in float32 with golden samples"):
        subject(pack)


@pytest.mark.parametrize("form", [JSON, BINARY], ids=["json", "binary"])
def test_a_request_is_whole(mlp_pack: Path, form: Form) -> None:
    request = form.write(subject(mlp_pack), 80)
    head, _, body = request.encoded().partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v2/models/model/infer HTTP/1.1\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert body == request.body


@pytest.mark.parametrize(
    ("buffer", "end"),
    [
        (b"", None), (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 40),
        (b"HTTP/1.1 200 OK\r\nContent-Length:2\r\nx: y\r\n\r\n{}HTTP", 45),
    ],
)  # fmt: skip
def test_an_answer_ends_where_its_length_says(buffer: bytes, end: int | None) -> None:
    assert answer_end(buffer) == end


def test_an_answer_without_a_length_is_refused() -> None:
    with pytest.raises(EngineError, match="without content-length"):
        answer_end(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")


def test_a_percentile_is_a_lap_that_was_measured() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0
    assert percentile([], 50) == 0.0


@pytest.mark.parametrize("arguments", [[], ["pack", "--torchserve", "python"]], ids=["nothing", "another-rival"])
def test_wrong_usage_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m edgepack.benchmarks.serving" in capsys.readouterr().err
