"""What each precision comes to: size, latency and fidelity of the files, against float32 in the same engine.

`python -m edgepack.benchmarks.precisions` converts the digits recipe, MobileNetV2 and a net in the manner of
EfficientNet-Lite, runs all files of a model and a format in one process, rounds interleaved, and prints one JSON
document. `--models`, `--targets` and `--precisions` take less or more, `--options='--granularity per-tensor'`
another set of options of `edgepack convert`, several times for several.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgepack.benchmarks.converted import report_of
from edgepack.benchmarks.nets import MODELS, Rows, Subject
from edgepack.benchmarks.overhead import BY_HAND
from edgepack.benchmarks.script import print_results
from edgepack.quiet import quiet
from edgepack.runtime.errors import ConvertError
from edgepack.runtime.pack import Pack
from edgepack.runtime.timing import measure


class Measured(msgspec.Struct, frozen=True):
    """One file, or why there is none."""

    model: str
    target: str
    precision: str
    options: str
    """As `edgepack convert` was given them."""
    reasons: tuple[str, ...] = ()
    """Why it was not written; empty where it was."""
    size_bytes: int = 0
    size_ratio: float | None = None
    """Against the float32 file of the format."""
    p50_us: float | None = None
    """The median of the rounds' medians: one row, one thread, the engine called by hand."""
    latency_ratio: float | None = None
    """Against the float32 file: the median of the rounds' own ratios."""
    snr_db: float | None = None
    agreement: float | None = None
    metric: float | None = None
    keras_metric: float | None = None


def measure_precisions(
    models: Sequence[str], targets: Sequence[str], precisions: Sequence[str], options: Sequence[str], rounds: int
) -> tuple[Measured, ...]:
    """Convert each model in each precision with each set of options, and time what came out.

    Args:
        models: Keys of `MODELS`.
        targets: `"tflite"` and `"onnx"`.
        precisions: Names of precisions; float32 is what they are measured against, and written in any case.
        options: Sets of options; the first is written with float32.
        rounds: How often the files take turns.

    Raises:
        ConvertError: A model has no float32 file, or a recipe does not train.
        MissingExtraError: TensorFlow or Keras is not installed.
    """
    found: list[Measured] = []
    for name in models:
        with tempfile.TemporaryDirectory() as folder:
            subject = MODELS[name](Path(folder))
            for target in targets:
                found += _one_target(name, target, subject, precisions, options, rounds)
    return tuple(found)


def _one_target(
    name: str, target: str, subject: Subject, precisions: Sequence[str], options: Sequence[str], rounds: int
) -> list[Measured]:
    measured: list[Measured] = []
    files: dict[int, bytes] = {}
    for index, chosen in enumerate(options):
        wanted = tuple(dict.fromkeys(["float32", *precisions]))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.edgepack"
            report = _convert(subject, path, ["--target", target, "--precision", ",".join(wanted), *chosen.split()])
            for one, data in _files(report, path, chosen):
                if index and one.precision == "float32":
                    continue
                if data:
                    files[len(measured)] = data
                measured.append(msgspec.structs.replace(one, model=name, target=target))
    if 0 not in files:
        raise ConvertError(f"{name} has no float32 file in {target}: {'; '.join(measured[0].reasons)}")
    return _timed(measured, files, target, subject.row, rounds)


def _convert(subject: Subject, path: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """The report of `edgepack convert`."""
    samples = ["--calibration", str(subject.calibration), "--evaluation", str(subject.evaluation)]
    return report_of(subject.model, path, [*samples, *arguments])


def _files(report: Mapping[str, Any], path: Path, options: str) -> list[tuple[Measured, bytes]]:
    """What is known of each variant of a pack, and its file; empty where it was left out."""
    made = []
    with Pack(path) as pack:
        written = {variant.name: pack.read(variant.file) for variant in pack.manifest.variants}
    for one in report["results"]:
        parity, metric = one.get("parity") or {}, one.get("metric") or {}
        facts = Measured(
            model="", target="", precision=one["precision"], options=options, reasons=tuple(one["reasons"]),
            size_bytes=one["size_bytes"], snr_db=parity.get("snr_db"), agreement=parity.get("agreement"),
            metric=metric.get("value"), keras_metric=metric.get("keras"),
        )  # fmt: skip
        made.append((facts, written.get(one["variant"], b"")))
    return made


def _timed(measured: list[Measured], files: Mapping[int, bytes], target: str, row: Rows, rounds: int) -> list[Measured]:
    with quiet():
        calls = {index: BY_HAND[target](data, dict(row)) for index, data in files.items()}
    laps = max(1, min(50, int(0.05 / (measure(calls[0], warmup=2, repeat=3).p50_us * 1e-6))))
    times: dict[int, list[float]] = {index: [] for index in calls}
    for _ in range(rounds):
        for index, call in calls.items():
            times[index].append(measure(call, warmup=2, repeat=laps).p50_us)
    for index, data in files.items():
        ratios = [own / plain for own, plain in zip(times[index], times[0], strict=True)]
        measured[index] = msgspec.structs.replace(
            measured[index], size_ratio=len(data) / len(files[0]), p50_us=statistics.median(times[index]),
            latency_ratio=statistics.median(ratios),
        )  # fmt: skip
    return measured


def main(arguments: list[str]) -> int:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser("python -m edgepack.benchmarks.precisions")
    parser.add_argument("--models", default=",".join(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--targets", default="onnx,tflite")
    parser.add_argument("--precisions", default="float16,weight_int8,dynamic_int8,int8,int16x8,weight_int4")
    parser.add_argument(
        "--options", action="append", default=[], help="of edgepack convert, as one text; once for each set"
    )
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args(arguments)
    names = (given.models.split(","), given.targets.split(","), given.precisions.split(","))
    return print_results(lambda: measure_precisions(*names, given.options or [""], given.rounds))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
