"""What holding a budget took, as sections of the report's page: what was tried, and which layers suffer."""

from collections.abc import Mapping
from typing import Any, Protocol

from edgepack import page, plots
from edgepack.convert.layer_pages import short_name
from edgepack.convert.sensitivity import UNHARMED_DB, Sensitivity
from edgepack.convert.trials import Trial

_COLUMNS = ("file", "metric", "lost", "SNR dB", "size kB", "p50 µs", "verdict")
_MOST_BARS = 24


class Budgeted(Protocol):
    """What of a result is shown here."""

    @property
    def variant(self) -> str:
        """Its name."""

    @property
    def options(self) -> Mapping[str, Any]:
        """How it was quantized."""

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What was tried."""

    @property
    def sensitivities(self) -> tuple[Sensitivity, ...]:
        """What quantizing each layer does."""


def sections(result: Budgeted) -> list[page.Section]:
    """A table of what was tried for one variant, and its layers by what quantizing them does; empty where neither is.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    found: list[page.Section] = []
    if result.trials:
        rows = tuple(_row(one) for one in result.trials)
        note = "A latency is measured for what holds the budget: one row, one thread, between runs of the float32 file."
        found.append(page.Table(f"{result.variant}: within the budget", _COLUMNS, rows, note))
    worst = [one for one in result.sensitivities if one.snr_db < UNHARMED_DB][:_MOST_BARS]
    if worst:
        kept = result.options.get("float_layers", ())
        bars = [_bar(one, "in float" if one.name in kept else "quantized") for one in worst]
        found.append(
            page.Plot(
                f"{result.variant}: which layers suffer",
                plots.bars(
                    bars,
                    x_label="SNR of the output in dB with that layer alone quantized",
                    groups=("quantized", "in float"),
                ),
                f"The {len(worst)} worst of {len(result.sensitivities)} layers; shorter is worse.",
            )
        )
    return found


def _row(one: Trial) -> tuple[page.Cell, ...]:
    verdict = page.Mark("; ".join(one.reasons), "bad") if one.reasons else page.Mark("holds", "good")
    return (
        one.what,
        _figure(one.value, ".4f"),
        _figure(one.lost, ".4f"),
        _figure(one.snr_db, ".1f"),
        f"{one.size_bytes / 1000:,.1f}",
        _figure(one.p50_us, ",.1f"),
        verdict,
    )


def _bar(one: Sensitivity, group: str) -> plots.Bar:
    """Below zero there is more noise than signal, and nothing more to see: that has no bar, but its figure."""
    text = "not possible" if one.snr_db <= -UNHARMED_DB else ""
    return plots.Bar(short_name(one.name), max(0.0, one.snr_db), group=group, text=text or f"{one.snr_db:.1f}")


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
