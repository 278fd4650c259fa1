"""Counts as Prometheus and OpenMetrics write them; docs/monitoring.md tells what each means.

The text is written here and not by prometheus_client, whose parsers judge it in the tests: one version has more than a
hundred lines, and a scrape must not hold up requests. It takes a seventh of the time, and nothing has to be imported.
"""

import platform
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np

from edgepack.runtime.serve import count_slots as slots
from edgepack.runtime.serve.count_labels import Key
from edgepack.runtime.serve.processes import process
from edgepack.runtime.serve.totals import Totals

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_NANO = 1e9


class _Family(NamedTuple):
    name: str
    """Without the ending that the samples of a counter (`_total`) or an info (`_info`) have."""
    kind: str
    told: str
    samples: Iterable[str]
    """Whole lines, the same in both formats."""


class _Histogram(NamedTuple):
    name: str
    told: str
    unit: float
    """What a count is divided by."""
    parts: Mapping[str, slots.Histogram]
    """Further labels, as they are written, and where they are counted."""


_HISTOGRAMS = (
    _Histogram("edgepack_request_seconds", "Time of answered requests, from the queue to the result",
               _NANO, {"": slots.TOTAL}),
    _Histogram("edgepack_request_phase_seconds", "Time of answered requests by phase: queue, pre, infer, post", _NANO,
               {',phase="queue"': slots.QUEUE, ',phase="pre"': slots.PRE, ',phase="infer"': slots.INFER,
                ',phase="post"': slots.POST}),
    _Histogram("edgepack_response_bytes", "Size of the bodies of answers", 1, {"": slots.RESPONSE}),
    _Histogram("edgepack_batch_rows", "Rows of the batch that an answered request ran in", 1, {"": slots.BATCH}),
    _Histogram("edgepack_load_seconds", "Time to load, verify and warm a version", _NANO, {"": slots.LOAD}),
)  # fmt: skip
_NUMBERS = (  # name, kind, where, what
    ("edgepack_rows", "counter", slots.ROWS, "Rows of answered requests"),
    ("edgepack_fallbacks", "counter", slots.FALLBACKS, "Loads that came to less than the best that was asked for"),
    ("edgepack_golden_failures", "counter", slots.GOLDEN_FAILURES,
     "Versions refused for wrong answers to their golden samples"),
    ("edgepack_load_failures", "counter", slots.LOAD_FAILURES, "Versions that were not taken, for whatever reason"),
    ("edgepack_model_loaded", "gauge", slots.LOADED, "In how many workers a version is ready"),
    ("edgepack_queued_rows", "gauge", slots.QUEUED, "Rows that wait now"),
)  # fmt: skip
_ENDINGS = {"counter": "_total", "info": "_info"}


def exposition(totals: Totals, accept: str = "") -> tuple[bytes, str]:
    """The text of all counts, and its content type: OpenMetrics where `accept` names it, else Prometheus's own."""
    is_open = "application/openmetrics-text" in accept.lower()
    lines: list[str] = []
    for family in _families(totals):
        name, kind = family.name, family.kind
        if not is_open:
            name += _ENDINGS.get(kind, "")
            kind = "gauge" if kind == "info" else kind
        lines += (f"# HELP {name} {family.told}", f"# TYPE {name} {kind}", *family.samples)
    if is_open:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode(), OPENMETRICS if is_open else PLAIN


def _families(totals: Totals) -> Iterator[_Family]:
    versions = {key: _labels(model=key[0], version=key[1]) for key in totals.counts}
    yield _Family("edgepack_requests", "counter", "Requests that ended, answered or not", _requests(totals, versions))
    yield _Family("edgepack_failures", "counter", "Requests that were refused or failed", _failures(totals, versions))
    for histogram in _HISTOGRAMS:
        yield _Family(histogram.name, "histogram", histogram.told, _buckets(histogram, totals, versions))
    for name, kind, place, told in _NUMBERS:
        known = ((versions[key], counts[place]) for key, counts in totals.counts.items() if key[0])
        samples = [f"{name}{_ENDINGS.get(kind, '')}{{{labels}}} {number}" for labels, number in known]
        yield _Family(name, kind, told, samples)
    running = [f"edgepack_model_info{{{_labels(**labels._asdict())}}} 1" for labels in totals.running]
    yield _Family("edgepack_model", "info", "What a version that is ready runs on", running)
    yield from _processes(totals)


def _requests(totals: Totals, versions: Mapping[Key, str]) -> Iterator[str]:
    for key, counts in totals.counts.items():
        failed = counts[slots.FAILED : slots.ROWS].reshape(len(slots.FACES), -1).sum(axis=1)
        for face, number in zip(slots.FACES, (counts[: slots.FAILED] + failed).tolist(), strict=True):
            if number:
                yield f'edgepack_requests_total{{{versions[key]},face="{face}"}} {number}'


def _failures(totals: Totals, versions: Mapping[Key, str]) -> Iterator[str]:
    for key, counts in totals.counts.items():
        for place in np.flatnonzero(counts[slots.FAILED : slots.ROWS]).tolist():
            face, error = divmod(place, len(slots.ERRORS))
            labels = f'{versions[key]},face="{slots.FACES[face]}",error="{slots.ERRORS[error]}"'
            yield f"edgepack_failures_total{{{labels}}} {counts[slots.FAILED + place]}"


def _buckets(histogram: _Histogram, totals: Totals, versions: Mapping[Key, str]) -> Iterator[str]:
    name = histogram.name
    for further, place in histogram.parts.items():
        bounds = [*(repr(bound / histogram.unit) for bound in place.bounds), "+Inf"]
        for key, counts in totals.counts.items():
            up_to = counts[place.at + 1 : place.end].cumsum().tolist()
            if up_to[-1]:
                labels = versions[key] + further
                yield from (f'{name}_bucket{{{labels},le="{le}"}} {n}' for le, n in zip(bounds, up_to, strict=True))
                yield f"{name}_count{{{labels}}} {up_to[-1]}"
                yield f"{name}_sum{{{labels}}} {counts[place.at] / histogram.unit}"


def _processes(totals: Totals) -> Iterator[_Family]:
    workers = sorted(totals.living.items())
    facts = {number: found for number, reading in workers if (found := process(reading.pid))}
    memory = _of_workers("process_resident_memory_bytes", {n: found.resident_bytes for n, found in facts.items()})
    yield _Family("process_resident_memory_bytes", "gauge", "Memory of a worker", memory)
    spent = _of_workers("process_cpu_seconds_total", {n: found.cpu_s for n, found in facts.items()})
    yield _Family("process_cpu_seconds", "counter", "Processor time of a worker", spent)
    files = _of_workers("process_open_fds", {n: found.open_files for n, found in facts.items()})
    yield _Family("process_open_fds", "gauge", "Open files and connections of a worker", files)
    started = _of_workers("process_start_time_seconds", {n: reading.started_s for n, reading in workers})
    yield _Family("process_start_time_seconds", "gauge", "Start of a worker, as a Unix time", started)
    yield _Family("edgepack_workers", "gauge", "Workers that live", [f"edgepack_workers {len(workers)}"])
    build = _labels(version=_version(), python=platform.python_version(), machine=platform.machine())
    yield _Family("edgepack_build", "info", "What serves", [f"edgepack_build_info{{{build}}} 1"])


def _of_workers(name: str, values: Mapping[int, float]) -> list[str]:
    return [f'{name}{{worker="{number}"}} {value}' for number, value in values.items()]


def _labels(**values: str) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _version() -> str:
    try:
        return version("edgepack")
    except PackageNotFoundError:
        return "unknown"
