"""What `edgepack convert --search` finds by itself: latency and size of its choice in each format, against float32.

`python -m edgepack.benchmarks.searching` searches MobileNetV2, a net in the manner of EfficientNet-Lite and the digits
recipe, and prints a table, or with `--json` one JSON document. `--models` takes fewer, `--budget` more or less time.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgepack.benchmarks.converted import report_of
from edgepack.benchmarks.nets import MODELS
from edgepack.benchmarks.script import print_results, show_results


class Found(msgspec.Struct, frozen=True):
    """The choice in one format."""

    model: str
    target: str
    variant: str
    of_float32: float
    """Latency over that of the float32 file of its format: one row, one thread, the median of the rounds' ratios."""
    size_ratio: float
    snr_db: float | None
    """Of its outputs, against Keras."""
    metric: float | None
    keras_metric: float | None
    trials: int
    seconds: float
    """What the whole search took."""
    warnings: tuple[str, ...] = ()


def measure_searches(models: Sequence[str], budget: str) -> tuple[Found, ...]:
    """Search each model in both formats.

    Args:
        models: Keys of `nets.MODELS`.
        budget: How long a search may take, as `edgepack convert --budget` has it.

    Raises:
        ConvertError: A search finds nothing.
        MissingExtraError: TensorFlow or Keras is not installed.
    """
    found: list[Found] = []
    for name in models:
        with tempfile.TemporaryDirectory() as folder:
            subject = MODELS[name](Path(folder))
            arguments = [
                "--search", "--budget", budget, "--calibration", str(subject.calibration),
                "--evaluation", str(subject.evaluation),
            ]  # fmt: skip
            report = report_of(subject.model, Path(folder) / "found.edgepack", arguments)
        found += [_choice(name, target, variant, report["search"]) for target, variant in _chosen(report["search"])]
    return tuple(found)


def _chosen(search: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted(search["chosen_by_format"].items())


def _choice(model: str, target: str, variant: str, search: dict[str, Any]) -> Found:
    lines = {line["tried"]["variant"]: line for line in search["lines"]}
    line, plain = lines[variant], lines[f"{target}-float32"]
    tried = line["tried"]
    metric = tried.get("metric") or {}
    return Found(
        model=model, target=target, variant=variant, of_float32=line["of_own"],
        size_ratio=tried["size_bytes"] / plain["tried"]["size_bytes"], snr_db=(tried["parity"] or {}).get("snr_db"),
        metric=metric.get("value"), keras_metric=metric.get("keras"), trials=len(lines), seconds=search["seconds"],
        warnings=tuple(search["warnings"]),
    )  # fmt: skip


def main(arguments: list[str]) -> int:
    """Search, and show what was found."""
    parser = argparse.ArgumentParser("python -m edgepack.benchmarks.searching")
    parser.add_argument("--models", default=",".join(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--budget", default="5min")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    show = print_results if given.json else show_results
    return show(lambda: measure_searches(given.models.split(","), given.budget))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
