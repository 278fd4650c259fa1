"""Values of the benchmarks, made up with plain numbers."""

from typing import Any

import msgspec

from edgepack.benchmarks.candidates import Candidate
from edgepack.benchmarks.process import Opened
from edgepack.benchmarks.report import BenchReport, Result, Settings, Subject, spread_of
from edgepack.runtime.device import Device

DEVICE = Device("Linux 6", "x86_64", "A processor", ("avx2",), 2, 8_000_000_000, "", None, 0.1)


def result(precision: str = "float32", us: tuple[float, ...] = (100, 102, 101), **changes: Any) -> Result:
    """A result whose rounds have these medians, in microseconds."""
    plain = Result(
        variant=f"onnx-{precision}", format="onnx", precision=precision, engine="onnx", library="FakeEngine 1.0",
        provider="cpu", placement={"Fake": 1}, threads=1, file_bytes=1000, load_ms=10.0, first_ms=1.0,
        p50_us=sorted(us)[len(us) // 2], p90_us=us[-1], p99_us=us[-1], per_second=1e4, peak_bytes=40_000_000,
        beyond_bytes=30_000_000, memory_source="VmHWM", spread=spread_of(us), to_fastest=1.0, to_float32=None,
        rounds=tuple((int(value * 1000),) * 3 for value in us),
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def report(*results: Result, **changes: Any) -> BenchReport:
    plain = BenchReport(
        schema_version=1, created="2026-01-01T00:00:00+00:00", subject=Subject("tiny.edgepack", "tiny", "ab" * 32),
        device=DEVICE, fingerprint=DEVICE.fingerprint, libraries={"python": "3.11.7"},
        settings=Settings(1, 3, 2.0, "golden samples of the pack", {"x": "float32 (1, 4)"}), results=results,
        failures=(), warnings=(),
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def candidate(variant: str = "onnx-float32", *, threads: int = 1, engine: str = "onnx") -> Candidate:
    file_format, _, precision = variant.partition("-")
    return Candidate(variant, file_format, precision, 1000, engine, threads)


def opened(warm_us: float = 100.0) -> Opened:
    return Opened(
        library="FakeEngine 1.0",
        provider="cpu",
        placement={"Fake": 1},
        load_ms=10.0,
        first_ms=1.0,
        warm_us=warm_us,
        inputs={"x": "float32 (1, 4)"},
        input_source="golden samples of the pack",
        baseline_bytes=10_000_000,
        peak_bytes=40_000_000,
        memory_source="VmHWM",
    )
