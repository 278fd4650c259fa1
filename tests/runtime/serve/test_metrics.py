"""What is counted: right to the last one, over all workers, whatever becomes of them, and under few names."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from edgepack.runtime.serve import count_slots as slots
from edgepack.runtime.serve import counts, recent
from edgepack.runtime.serve.count_labels import Labels
from edgepack.runtime.serve.messages import Spent
from edgepack.runtime.serve.metrics import Metrics

MONITORING = Path(__file__).parents[3] / "docs" / "monitoring.md"
SPENT = Spent(queue_ns=60_000, pre_ns=200_000, infer_ns=3_000_000, post_ns=40_000, rows=2, batch_rows=8)
LOADED = {"variant": "onnx-int8", "engine": "ONNX Runtime 1.31.1", "provider": "cpu", "load_s": 0.2}


class Clock:
    """Seconds that go on when told."""

    def __init__(self) -> None:
        self.now = 1000.5

    def __call__(self) -> float:
        return self.now


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(metrics: Metrics, only: str = "") -> Samples:
    """Every sample of an exposition by name and labels, or those of one metric; a parser that refuses it fails."""
    found: Samples = {}
    text = "".join(line for line in metrics.exposition().decode().splitlines(keepends=True) if only in line)
    for family in parse(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics).get((name, frozenset(labels.items())), 0.0)


def total(metrics: Metrics, name: str, **labels: str) -> float:
    """The sum of all samples that have these labels, whatever others they have."""
    return sum(number for (found, has), number in samples(metrics).items() if found == name and labels.items() <= has)


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    made = Metrics()
    yield made
    made.close()


def test_answers_are_counted_by_model_version_and_face(metrics: Metrics) -> None:
    for face, times in (("rest", 3), ("grpc", 2)):
        for _ in range(times):
            metrics.answered("digits", "2", face, SPENT, 700)
    assert value(metrics, "edgepack_requests_total", model="digits", version="2", face="rest") == 3
    assert value(metrics, "edgepack_requests_total", model="digits", version="2", face="grpc") == 2
    assert value(metrics, "edgepack_rows_total", model="digits", version="2") == 10


@pytest.mark.parametrize(
    ("name", "labels", "sum_", "largest_below", "smallest_above"),
    [
        ("edgepack_request_seconds", {}, 0.0033, "0.0025", "0.005"),
        ("edgepack_request_phase_seconds", {"phase": "queue"}, 0.00006, "5e-05", "0.0001"),
        ("edgepack_request_phase_seconds", {"phase": "pre"}, 0.0002, "0.0001", "0.00025"),
        ("edgepack_request_phase_seconds", {"phase": "infer"}, 0.003, "0.0025", "0.005"),
        ("edgepack_request_phase_seconds", {"phase": "post"}, 0.00004, None, "5e-05"),
        ("edgepack_response_bytes", {}, 1024, "256.0", "1024.0"),
        ("edgepack_batch_rows", {}, 8, "4.0", "8.0"),
    ],
    ids=["total", "queue", "pre", "infer", "post", "bytes", "batch"],
)
def test_a_value_lies_in_its_bucket_and_in_its_sum(
    metrics: Metrics, name: str, labels: dict[str, str], sum_: float, largest_below: str | None, smallest_above: str
) -> None:
    metrics.answered("digits", "2", "rest", SPENT, 1024)
    labels = {"model": "digits", "version": "2", **labels}
    assert value(metrics, f"{name}_sum", **labels) == pytest.approx(sum_)
    assert value(metrics, f"{name}_count", **labels) == 1
    assert value(metrics, f"{name}_bucket", le=smallest_above, **labels) == 1
    if largest_below:
        assert samples(metrics)[f"{name}_bucket", frozenset({"le": largest_below, **labels}.items())] == 0


def test_what_takes_longer_than_the_last_bound_is_counted_beyond_it(metrics: Metrics) -> None:
    metrics.answered("digits", "2", "rest", Spent(infer_ns=11 * 10**9), 1)
    labels = {"model": "digits", "version": "2"}
    assert value(metrics, "edgepack_request_seconds_bucket", le="10.0", **labels) == 0
    assert value(metrics, "edgepack_request_seconds_bucket", le="+Inf", **labels) == 1


def test_tensors_have_no_time_for_samples_and_results(metrics: Metrics) -> None:
    metrics.answered("digits", "2", "rest", Spent(infer_ns=1000), 1)
    phases = {dict(labels)["phase"] for name, labels in samples(metrics) if name.endswith("phase_seconds_count")}
    assert phases == {"queue", "infer"}


def test_failures_are_requests_and_told_by_their_class(metrics: Metrics) -> None:
    metrics.answered("digits", "2", "rest", SPENT, 1)
    metrics.failed("digits", "2", "rest", "InputError")
    metrics.failed("digits", "2", "rest", "ZeroDivisionError")
    metrics.failed("digits", "2", "grpc", "CancelledError")
    labels = {"model": "digits", "version": "2", "face": "rest"}
    assert value(metrics, "edgepack_requests_total", **labels) == 3
    assert value(metrics, "edgepack_failures_total", error="InputError", **labels) == 1
    assert value(metrics, "edgepack_failures_total", error=slots.UNEXPECTED, **labels) == 1
    assert total(metrics, "edgepack_failures_total", error="CancelledError") == 1


def test_names_that_clients_invent_make_no_labels(metrics: Metrics) -> None:
    metrics.loaded("digits", "2", **LOADED)
    for number in range(1000):
        metrics.failed(f"model{number}", "1", "rest", "NotServedError")
        metrics.failed("digits", f"v{number}", "grpc", "NotServedError")
    assert value(metrics, "edgepack_failures_total", model="", version="", face="rest", error="NotServedError") == 1000
    found = value(metrics, "edgepack_failures_total", model="digits", version="", face="grpc", error="NotServedError")
    assert found == 1000
    assert {dict(labels).get("model") for _, labels in samples(metrics)} == {None, "", "digits"}


def test_a_version_is_told_of_while_it_is_ready(metrics: Metrics) -> None:
    metrics.loaded("digits", "2", **LOADED)
    described = {"variant": "onnx-int8", "engine": "ONNX Runtime 1.31.1", "provider": "cpu"}
    assert value(metrics, "edgepack_model_info", model="digits", version="2", **described) == 1
    assert value(metrics, "edgepack_model_loaded", model="digits", version="2") == 1
    assert value(metrics, "edgepack_load_seconds_sum", model="digits", version="2") == pytest.approx(0.2)
    metrics.unloaded("digits", "2")
    assert total(metrics, "edgepack_model_info") == 0
    assert value(metrics, "edgepack_model_loaded", model="digits", version="2") == 0


def test_another_file_of_the_same_version_takes_its_place(metrics: Metrics) -> None:
    metrics.loaded("digits", "2", **LOADED)
    metrics.loaded("digits", "2", **{**LOADED, "provider": "gpu"})
    assert value(metrics, "edgepack_model_loaded", model="digits", version="2") == 1
    assert total(metrics, "edgepack_model_info") == total(metrics, "edgepack_model_info", provider="gpu") == 1


def test_what_goes_wrong_at_loading_is_counted(metrics: Metrics) -> None:
    metrics.load_failed("digits", "3", golden=True)
    metrics.load_failed("digits", "3", golden=False)
    metrics.fell_back("digits", "2")
    assert value(metrics, "edgepack_load_failures_total", model="digits", version="3") == 2
    assert value(metrics, "edgepack_golden_failures_total", model="digits", version="3") == 1
    assert value(metrics, "edgepack_fallbacks_total", model="digits", version="2") == 1


def test_the_rows_that_wait_are_those_last_told(metrics: Metrics) -> None:
    metrics.queued("digits", "2", 17)
    metrics.queued("digits", "2", 5)
    assert value(metrics, "edgepack_queued_rows", model="digits", version="2") == 5


def test_labels_hold_any_name(metrics: Metrics) -> None:
    for name in ('a"b\\c\nd', "数字", "\x00\x1f", "\udc80", "x" * 300):
        metrics.answered(name, "1", "rest", SPENT, 1)
        metrics.loaded(name, "1", **LOADED)
    models = {dict(labels)["model"] for found, labels in samples(metrics) if found == "edgepack_rows_total"}
    assert models == {'a"b\\c\nd', "数字", "??", "?", "x" * 100}


def test_no_count_is_lost_between_threads(metrics: Metrics) -> None:
    def answer() -> None:
        for _ in range(2000):
            metrics.answered("digits", "2", "rest", SPENT, 1)

    threads = [threading.Thread(target=answer) for _ in range(4)]
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switching)
    assert total(metrics, "edgepack_requests_total") == 8000
    assert value(metrics, "edgepack_request_seconds_count", model="digits", version="2") == 8000


def test_a_version_is_told_of_for_five_minutes_after_it_is_gone() -> None:
    clock = Clock()
    metrics = Metrics(clock=clock)
    metrics.loaded("digits", "1", **LOADED)
    metrics.answered("digits", "1", "rest", SPENT, 1)
    clock.now += 10 * counts.GONE_S
    metrics.unloaded("digits", "1")
    metrics.load_failed("digits", "2", golden=True)
    clock.now += counts.GONE_S
    assert total(metrics, "edgepack_requests_total", version="1") == 1
    assert total(metrics, "edgepack_golden_failures_total", version="2") == 1
    clock.now += 1
    assert {dict(labels).get("model") for _, labels in samples(metrics)} == {None}
    metrics.loaded("digits", "1", **LOADED)
    assert total(metrics, "edgepack_requests_total", version="1") == 1, "it comes back with what it had"
    metrics.close()


def test_versions_that_are_gone_make_room_for_new_ones() -> None:
    clock = Clock()
    metrics = Metrics(clock=clock)
    metrics.loaded("digits", "kept", **LOADED)
    for number in range(3 * counts.CAPACITY):
        metrics.loaded("digits", str(number), **LOADED)
        metrics.answered("digits", str(number), "rest", SPENT, 10)
        metrics.unloaded("digits", str(number))
        clock.now += 100
    found = {dict(labels)["version"] for name, labels in samples(metrics) if name == "edgepack_rows_total"}
    assert found == {"kept", *(str(3 * counts.CAPACITY - ago) for ago in (1, 2, 3))}
    metrics.close()


def test_versions_that_come_too_fast_are_counted_together(metrics: Metrics) -> None:
    for number in range(2 * counts.CAPACITY):
        metrics.loaded("digits", str(number), **LOADED)
        metrics.failed("digits", "latest", "rest", "NotServedError")
        metrics.answered("digits", str(number), "rest", SPENT, 10)
        metrics.unloaded("digits", str(number))
    found = samples(metrics, only="edgepack_rows_total")
    by_version = {dict(labels)["version"]: rows for (_, labels), rows in found.items()}
    assert sum(by_version.values()) == SPENT.rows * 2 * counts.CAPACITY
    assert by_version[""] > counts.CAPACITY


def test_more_models_than_there_is_room_for_are_counted_as_unknown(metrics: Metrics) -> None:
    for number in range(counts.CAPACITY + 9):
        metrics.loaded(f"model{number}", "1", **LOADED)
        metrics.answered(f"model{number}", "1", "rest", SPENT, 1)
    found = samples(metrics)
    assert (
        sum(number for (name, _), number in found.items() if name == "edgepack_requests_total") == counts.CAPACITY + 9
    )
    labels = {"model": "", "version": "", "face": "rest"}
    assert found["edgepack_requests_total", frozenset(labels.items())] == 10


# Several workers -----------------------------------------------------------------------------------

_WORKER = """
import os, signal, sys
from pathlib import Path
from edgepack.runtime.serve.messages import Spent
from edgepack.runtime.serve.metrics import Metrics

metrics = Metrics(Path(sys.argv[1]), int(sys.argv[2]))
metrics.loaded("digits", "2", variant="onnx-int8", engine="ONNX Runtime 1.31.1", provider="cpu", load_s=0.1)
metrics.queued("digits", "2", 4)
spent = Spent(queue_ns=10_000, infer_ns=1_000_000)
for line in sys.stdin:
    for _ in range(abs(int(line))):
        metrics.answered("digits", "2", "rest", spent, 100)
    print("counted", flush=True)
    while int(line) < 0:
        metrics.answered("digits", "2", "rest", spent, 100)
"""


class Worker:
    """A process of its own that counts as many answers as it is told, and where that is negative goes on for ever."""

    def __init__(self, folder: Path, number: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(folder), str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def answer(self, times: int) -> None:
        assert self.process.stdin
        assert self.process.stdout
        print(times, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "counted\n"

    def end(self, *, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        self.process.communicate(timeout=20)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[Worker]]:
    started = [Worker(tmp_path, number) for number in range(2)]
    yield started
    for worker in started:
        worker.end(kill=True)


def test_any_worker_tells_the_counts_of_all(tmp_path: Path, workers: list[Worker]) -> None:
    for worker, times in zip(workers, (30, 12), strict=True):
        worker.answer(times)
    for number in (7, 8):
        metrics = Metrics(tmp_path, number)
        assert total(metrics, "edgepack_requests_total") == 42
        assert value(metrics, "edgepack_request_seconds_count", model="digits", version="2") == 42
        assert value(metrics, "edgepack_model_loaded", model="digits", version="2") == 2
        assert value(metrics, "edgepack_queued_rows", model="digits", version="2") == 8
        assert value(metrics, "edgepack_workers") == 3
        for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"):
            assert {dict(labels)["worker"] for found, labels in samples(metrics) if found == name} == {
                "0", "1", str(number),
            }  # fmt: skip
        metrics.close()


def test_a_killed_worker_leaves_its_counts_and_no_gauges(tmp_path: Path, workers: list[Worker]) -> None:
    metrics = Metrics(tmp_path, 7)
    workers[0].answer(1_000)
    workers[1].answer(-1_000)
    workers[1].end(kill=True)
    requests = total(metrics, "edgepack_requests_total")
    assert requests >= 2_000
    assert value(metrics, "edgepack_request_seconds_count", model="digits", version="2") == pytest.approx(
        requests, abs=1
    )
    assert value(metrics, "edgepack_model_loaded", model="digits", version="2") == 1
    assert value(metrics, "edgepack_queued_rows", model="digits", version="2") == 4
    assert value(metrics, "edgepack_workers") == 2

    again = Worker(tmp_path, 1)
    again.answer(500)
    assert total(metrics, "edgepack_requests_total") == requests + 500
    assert value(metrics, "edgepack_workers") == 3
    assert len(list(tmp_path.iterdir())) == 3, "a restarted worker counts on in the file of the dead one"
    again.end()
    assert total(metrics, "edgepack_requests_total") == requests + 500
    metrics.close()


def test_a_hundred_restarts_leave_one_file_and_every_count(tmp_path: Path) -> None:
    for _ in range(100):
        metrics = Metrics(tmp_path, 0)
        metrics.answered("digits", "2", "rest", SPENT, 1)
        metrics.close()
    metrics = Metrics(tmp_path, 0)
    assert total(metrics, "edgepack_requests_total") == 100
    assert len(list(tmp_path.iterdir())) == 1
    metrics.close()


def test_of_an_old_worker_and_its_successor_the_newer_is_told(tmp_path: Path) -> None:
    old, new = Metrics(tmp_path, 0), Metrics(tmp_path, 0)
    old.answered("digits", "2", "rest", SPENT, 1)
    new.answered("digits", "2", "rest", SPENT, 1)
    assert total(old, "edgepack_requests_total") == 2
    assert value(old, "edgepack_workers") == 1
    old.close()
    new.close()


@pytest.mark.parametrize("data", [b"", b"edgepack counts ", b"\0" * 5000], ids=["empty", "cut", "foreign"])
def test_a_file_that_is_none_of_ours_is_passed_over_and_made_anew(tmp_path: Path, data: bytes) -> None:
    first = Metrics(tmp_path, 0)
    (tmp_path / "1.counts").write_bytes(data)
    assert value(first, "edgepack_workers") == 1
    second = Metrics(tmp_path, 1)
    second.answered("digits", "2", "rest", SPENT, 1)
    assert total(first, "edgepack_requests_total") == 1
    assert value(first, "edgepack_workers") == 2
    first.close()
    second.close()


def test_labels_that_were_cut_short_are_those_of_unknown_models() -> None:
    labels = Labels("digits", "2", "int8", "onnx", "cpu")
    assert Labels.unpacked(labels.packed()) == labels
    assert Labels.unpacked(labels.packed()[:9]) == Labels("", "")
    assert Labels.unpacked(b"\xff\xfe") == Labels("", "")


# Figures of the last minute ------------------------------------------------------------------------


def test_figures_are_of_the_last_sixty_whole_seconds() -> None:
    clock = Clock()
    metrics = Metrics(clock=clock)
    metrics.loaded("digits", "2", **LOADED)
    for second in range(100):
        for _ in range(second % 3):
            metrics.answered("digits", "2", "rest", Spent(infer_ns=1_000_000 * (1 + second)), 1)
        clock.now += 1
    (found,) = metrics.statistics()
    assert (found["model"], found["version"], found["requests"], found["failures"]) == ("digits", "2", 99, 0)
    assert found["per_second"] == [second % 3 for second in range(40, 100)]
    for second, median in zip(range(40, 100), found["latency_p50_us"], strict=True):
        if second % 3:
            assert median == pytest.approx(1_000 * (1 + second), rel=0.1)  # the width of a step
        else:
            assert median is None
    clock.now += 70
    (found,) = metrics.statistics()
    assert found["requests"] == 99
    assert (found["p50_us"], set(found["per_second"]), set(found["latency_p50_us"])) == (None, {0}, {None})
    metrics.close()


def test_percentiles_are_those_of_numpy_within_a_step() -> None:
    clock = Clock()
    metrics = Metrics(clock=clock)
    taken_us = np.random.default_rng(0).lognormal(6, 1, 5000)
    for micros in taken_us:
        metrics.answered("digits", "2", "rest", Spent(infer_ns=int(micros * 1000)), 1)
    clock.now += 1
    (found,) = metrics.statistics()
    for percent in (50, 90, 99):
        assert found[f"p{percent}_us"] == pytest.approx(np.percentile(taken_us, percent), rel=0.1)
    metrics.close()


@pytest.mark.parametrize("micros", [0, 1, 20_000_000, 10**9], ids=["nothing", "little", "long", "ages"])
def test_times_beyond_the_steps_are_counted_at_their_ends(micros: int) -> None:
    words = memoryview(bytearray(4 * recent.WORDS)).cast("I")
    recent.add(words, 7, micros * 1000)
    found = recent.figures(recent.window(np.frombuffer(words, np.uint32), 8))
    assert found["per_second"][-1] == 1
    assert 0 < found["p50_us"] <= 40_000_000


def test_figures_are_of_all_workers(tmp_path: Path) -> None:
    clock = Clock()
    several = [Metrics(tmp_path, number, clock=clock) for number in range(3)]
    for times, metrics in enumerate(several, 1):
        for _ in range(times):
            metrics.answered("digits", "2", "rest", SPENT, 1)
        metrics.failed("digits", "", "rest", "OverloadedError")
    clock.now += 1
    early, found = several[1].statistics()
    assert (early["version"], early["requests"], early["failures"]) == ("", 3, 3)
    assert (found["version"], found["requests"], found["rows"]) == ("2", 6, 12)
    assert found["per_second"][-2:] == [0, 6]
    for metrics in several:
        metrics.close()


def test_versions_that_are_gone_and_quiet_have_no_figures() -> None:
    clock = Clock()
    metrics = Metrics(clock=clock)
    metrics.loaded("digits", "1", **LOADED)
    metrics.answered("digits", "1", "rest", SPENT, 1)
    metrics.unloaded("digits", "1")
    clock.now += 1
    assert [found["version"] for found in metrics.statistics()] == ["1"]
    clock.now += 70
    assert metrics.statistics() == []
    metrics.close()


# What is told --------------------------------------------------------------------------------------


def _with_everything() -> Metrics:
    metrics = Metrics()
    metrics.loaded("digits", "2", **LOADED)
    metrics.answered("digits", "2", "rest", SPENT, 1)
    metrics.failed("digits", "2", "rest", "InputError")
    return metrics


def test_openmetrics_is_written_where_it_is_asked_for() -> None:
    metrics = _with_everything()
    body, kind = metrics.expose("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert {family.name for family in parse_openmetrics(body.decode())} >= {"edgepack_requests", "edgepack_build"}
    assert metrics.expose("text/html, */*")[1] == "text/plain; version=0.0.4; charset=utf-8"
    metrics.close()


def test_the_table_of_metrics_is_the_truth() -> None:
    metrics = _with_everything()
    told = {
        cells[0].strip("`"): (cells[1], frozenset(cells[2].replace("`", "").replace(",", " ").split()))
        for cells in (
            [cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in MONITORING.read_text(encoding="utf-8").splitlines()
        )
        if len(cells) == 4 and cells[0].startswith(("`edgepack_", "`process_"))
    }
    found = {}
    for family in parse(metrics.exposition().decode()):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, frozenset(labels))
    assert told == found
    metrics.close()
