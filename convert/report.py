"""What a conversion came to: as a value, as JSON, and as one page with a plot."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from edgepack import page, plots
from edgepack.convert import budget_page, layer_pages, metrics
from edgepack.convert.layers import LayerReport
from edgepack.convert.micro.array import CArray
from edgepack.convert.search.findings import Findings
from edgepack.convert.search.shown import sections_of
from edgepack.convert.sensitivity import Sensitivity
from edgepack.convert.trials import Trial
from edgepack.runtime.compare import Parity
from edgepack.runtime.errors import MissingExtraError
from edgepack.runtime.manifest import FORMATS, Metric
from edgepack.runtime.pack import SUFFIX
from edgepack.runtime.tensor import TensorSpec, describe
from edgepack.runtime.writing import write_bytes

COLUMNS = (
    "variant",
    "size kB",
    "of float32",
    "max abs",
    "max rel",
    "cosine",
    "SNR dB",
    "agreement",
    "metric",
    "p50 µs",
    "verdict",
)

_HELD = ("variant", "constants", "operators", "standard", "fully delegated")


class Result(msgspec.Struct, frozen=True):
    """One variant: what was measured, and why it was left out where it was."""

    variant: str
    format: str
    precision: str
    size_bytes: int
    parity: Parity | None
    metric: Metric | None
    reasons: tuple[str, ...]
    """Why it is not in the pack; empty when it is."""
    tensor_bytes: dict[str, int]
    operators: dict[str, int]
    engine: str
    undelegated: tuple[str, ...]
    """Operators of a TFLite file that XNNPACK left to the interpreter; empty when it took all."""
    standard: str
    """The operator set and IR version of an ONNX file, read back from it."""
    options: dict[str, Any]
    """How it was quantized, as far as that is not the default of its precision."""
    p50_us: float | None
    """Median latency of one row through a session, on the machine that converted; on one thread, or on as many as a
    search was asked to time with."""
    trials: tuple[Trial, ...] = ()
    """What was tried to hold the budget, the plain file first; empty where that held it."""
    sensitivities: tuple[Sensitivity, ...] = ()
    """What quantizing each layer does, the worst first; empty where nobody had to know."""

    @property
    def delegation(self) -> str:
        """Whether XNNPACK took every operator of a TFLite file that runs, and if not, which it left."""
        if self.format != "tflite" or self.parity is None:
            return "–"
        return "yes" if not self.undelegated else "no, because " + ", ".join(sorted(set(self.undelegated)))

    @property
    def verdict(self) -> str:
        """`right`, or why it was left out."""
        return "right" if not self.reasons else "left out: " + "; ".join(self.reasons)


class Report(msgspec.Struct, frozen=True):
    """What a conversion came to."""

    name: str
    output: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    samples: str
    sample_count: int
    calibration: str | None
    calibration_count: int
    max_drop: float | None
    notes: tuple[str, ...]
    """What was done to layers on the way, a line each."""
    results: tuple[Result, ...]
    provenance: dict[str, Any]
    states: dict[str, str] = {}
    """Inputs that are the model's own state, each with the output that is its next value."""
    layers: tuple[LayerReport, ...] = ()
    """What each layer of the quantized files holds, against the float32 file they were made of."""
    c_array: CArray | None = None
    """What was written for a microcontroller."""
    warnings: tuple[str, ...] = ()
    """What speaks against the calibration samples, a sentence each."""
    search: Findings | None = None
    """Every trial, where the best was searched for; `results` are those that were kept."""

    @property
    def passed(self) -> tuple[Result, ...]:
        """The variants that are right."""
        return tuple(one for one in self.results if not one.reasons)

    def rows(self) -> list[tuple[str, ...]]:
        """The table of all variants, a row each, for the columns `COLUMNS`."""
        sizes = {one.format: one.size_bytes for one in self.results if one.precision == "float32" and one.size_bytes}
        return [_row(one, sizes.get(one.format)) for one in self.results]

    def to_json(self) -> bytes:
        """The report as indented JSON."""
        verdicts = {"passed": [one.variant for one in self.passed]}
        return msgspec.json.format(msgspec.json.encode({**msgspec.structs.asdict(self), **verdicts}), indent=2) + b"\n"

    def to_html(self) -> str:
        """The report as one self-contained page.

        Raises:
            MissingExtraError: matplotlib or jinja2 is not installed.
        """
        rows: tuple[tuple[page.Cell, ...], ...] = tuple(
            (*row[:-1], page.Mark(row[-1], "good" if not one.reasons else "bad"))
            for row, one in zip(self.rows(), self.results, strict=True)
        )
        held = tuple(
            (one.variant, _counts(one.tensor_bytes, " B"), _counts(one.operators), one.standard or "–", one.delegation)
            for one in self.results
        )
        sections: list[page.Section] = [
            *([page.Notes("Warnings", self.warnings)] if self.warnings else []),
            *(sections_of(self.search) if self.search else ()),
            page.Table("Variants", COLUMNS, rows, note=self._basis()),
            *self._plots(),
            *(section for one in self.results for section in budget_page.sections(one)),
            page.Facts("Tensors", self._tensors()),
            page.Table("What the files hold", _HELD, held),
            *(section for one in self.layers for section in layer_pages.sections(one)),
            *([page.Notes("On a microcontroller", self.c_array.lines())] if self.c_array else []),
            *([page.Notes("What was done to layers", self.notes)] if self.notes else []),
            page.Facts("Provenance", tuple((key, _text(value)) for key, value in self.provenance.items())),
        ]
        lead = f"{len(self.passed)} of {len(self.results)} files agree with the Keras model. Written to {self.output}."
        return page.render(f"{self.name}: conversion report", lead, sections)

    def _tensors(self) -> tuple[tuple[str, str], ...]:
        """Inputs and outputs, each with its type, shape and meaning."""
        kinds = (("input", self.inputs), ("output", self.outputs))
        return tuple(
            (f"{kind} {spec.name}", " – ".join(filter(None, (describe(spec.shape, spec.dtype), spec.meaning))))
            for kind, specs in kinds
            for spec in specs
        )

    def _basis(self) -> str:
        """What the figures rest on."""
        calibration = (
            f" Ranges calibrated on {self.calibration_count:,} samples of {self.calibration}."
            if self.calibration
            else ""
        )
        threads = self.search.asked.said_threads if self.search else "one thread"
        allowed = f" At most {self.max_drop:g} may be lost." if self.max_drop is not None else ""
        return (
            f"Compared with Keras on {self.sample_count:,} samples ({self.samples}).{calibration}{allowed} "
            f"Latency: one row, {threads}, through a session on the machine that converted."
        )

    def _plots(self) -> list[page.Plot]:
        points = [
            plots.Point(
                label=one.variant, x=one.size_bytes / 1000, y=_quality(one), size=one.p50_us or 0.0, group=one.format
            )
            for one in self.passed
        ]
        bars = [plots.Bar(label=one.variant, value=one.p50_us, group=one.format) for one in self.passed if one.p50_us]
        metric = next((metrics.basis(one.metric) for one in self.passed if one.metric), "agreement with Keras")
        return [
            page.Plot(
                "Size and accuracy",
                plots.scatter(points, x_label="file size in kB", y_label=metric, groups=tuple(FORMATS)),
                "Up and to the left is better; the larger the bubble, the slower the file.",
            ),
            page.Plot(
                "Latency", plots.bars(bars, x_label="median latency in µs", groups=tuple(FORMATS)), "Shorter is better."
            ),
        ]  # fmt: skip


def report_paths(output: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Where the JSON and the page go: `NAME.report.…` beside a pack, `NAME.onnx.report.…` beside a bare file."""
    path = Path(output)
    name = path.stem if path.suffix == SUFFIX else path.name
    return path.with_name(f"{name}.report.json"), path.with_name(f"{name}.report.html")


def write_reports(report: Report, paths: tuple[Path, Path], note: Callable[[str], object]) -> list[Path]:
    """Write the report, and return what was written; a note is given where the page's libraries are not installed."""
    as_json, as_page = paths
    write_bytes(as_json, report.to_json())
    try:
        write_bytes(as_page, report.to_html().encode())
    except MissingExtraError as error:
        note(f"no HTML report: {error}")
        return [as_json]
    return [as_json, as_page]


def _quality(result: Result) -> float:
    """What the plot shows as accuracy: the task metric, else the agreement, else the cosine."""
    if result.metric:
        return metrics.quality(result.metric)
    assert result.parity is not None, "a variant that is right was compared"
    return result.parity.cosine if result.parity.agreement is None else result.parity.agreement


def _row(one: Result, float32_bytes: int | None) -> tuple[str, ...]:
    parity = one.parity
    size = f"{one.size_bytes / 1000:,.1f}" if one.size_bytes else "–"
    share = f"{one.size_bytes / float32_bytes:.2f}" if float32_bytes and one.size_bytes else "–"
    figures = (
        (
            f"{parity.max_abs:.1e}", f"{parity.max_rel:.1e}", f"{parity.cosine:.6f}", f"{parity.snr_db:.1f}",
            "–" if parity.agreement is None else f"{parity.agreement:.2%}",
        )
        if parity
        else ("–",) * 5
    )  # fmt: skip
    metric = _metric(one.metric) if one.metric else "–"
    latency = "–" if one.p50_us is None else f"{one.p50_us:,.1f}"
    return (one.variant, size, share, *figures, metric, latency, one.verdict)


def _metric(metric: Metric) -> str:
    output = f", output {metric.output}" if metric.output else ""
    return f"{metric.value:.4f} (Keras {metric.keras:.4f}{output})"


def _counts(counts: dict[str, int], unit: str = "") -> str:
    return ", ".join(f"{name} {count:,}{unit}" for name, count in counts.items())


def _text(value: Any) -> str:
    return ", ".join(f"{key} {_text(part)}" for key, part in value.items()) if isinstance(value, dict) else str(value)
