"""Which file is chosen under the budgets: never one that is slower than float32, unless size was the aim."""

from collections.abc import Callable, Sequence

import msgspec

from edgepack.convert.prove import drop_reasons
from edgepack.convert.search.asked import Search
from edgepack.convert.search.findings import Line
from edgepack.convert.search.tried import Tried
from edgepack.runtime.choose import DEFAULT_DROP, too_far

_SAME_TIME = 1.03  # times the fastest: files closer than that are told apart by size
_SAME_SIZE = 1.005  # times the smallest: by quality


def loses(tried: Tried, max_drop: float | None) -> tuple[str, ...]:
    """Why a file is outside the accuracy budget; empty when it is inside.

    Without labels it must agree with Keras as far as `max_drop` asks; where that was not asked, or there are no
    classes, what `choose` asks on a device stands in: 20 dB, or agreement on all but half a percent.
    """
    if tried.parity is None or tried.reasons:
        return ()
    if tried.metric is not None or (max_drop is not None and tried.parity.agreement is not None):
        return tuple(drop_reasons(max_drop, tried.parity, tried.metric))
    reason = too_far(tried.parity, DEFAULT_DROP)
    return (reason,) if reason else ()


def over(latency_us: float | None, size_bytes: int, search: Search) -> tuple[str, ...]:
    """Which budgets of size and latency a file misses."""
    reasons = []
    if search.max_size is not None and size_bytes > search.max_size:
        reasons.append(f"{said(size_bytes)}, allowed {said(search.max_size)}")
    if search.max_latency_us is not None and latency_us is not None and latency_us > search.max_latency_us:
        reasons.append(f"{latency_us:,.0f} µs, allowed {search.max_latency_us:,.0f}")
    return tuple(reasons)


def size_is_the_aim(lines: Sequence[Line], search: Search) -> bool:
    """Whether a file may be slower than float32: size was asked for, or no float32 file is small enough."""
    plain = [one for one in lines if one.tried.precision == "float32" and one.is_right]
    too_large = search.max_size is not None and all(one.tried.size_bytes > search.max_size for one in plain)
    return search.aim == "size" or too_large


def pick(lines: Sequence[Line], search: Search, *, format_alone: bool = False) -> Line | None:
    """The choice among the finalists; None where none meets the budgets.

    Args:
        lines: The trials, of all formats or of one.
        search: The budgets and the aim.
        format_alone: Whether float32 of its own format is what a file must not be slower than.
    """
    allowed = [one for one in lines if one.is_right and one.finalist and not one.over]
    if not size_is_the_aim(lines, search):
        allowed = [one for one in allowed if _ratio(one, format_alone=format_alone) <= 1.0]
    if not allowed:
        return None
    if search.aim == "size":
        return min(allowed, key=lambda one: (_size(one), _latency(one)))
    return max(_least(_least(allowed, _latency, _SAME_TIME), _size, _SAME_SIZE), key=lambda one: one.tried.quality)


def nearest(lines: Sequence[Line], search: Search) -> Line | None:
    """The right file that misses the budgets of size and latency by the least; None where no file is right."""

    def excess(one: Line) -> float:
        size, latency = search.max_size, search.max_latency_us
        return max(_size(one) / size if size else 0.0, _latency(one) / latency if latency else 0.0)

    right = [one for one in lines if one.is_right]
    return min(right, key=lambda one: (excess(one), _latency(one)), default=None)


def nobody(lines: Sequence[Line], search: Search, max_drop: float | None, untried: int) -> str:
    """One line: which budgets no file meets, and the best that was found."""
    asked = [
        *([f"max_drop {max_drop:g}"] if max_drop is not None else []),
        *([f"max_size {said(search.max_size)}"] if search.max_size is not None else []),
        *([f"max_latency {search.max_latency_us:,.0f} µs"] if search.max_latency_us is not None else []),
    ]
    best = nearest(lines, search)
    if best is None:
        reasons = "; ".join(f"{one.tried.variant}: {one.verdict}" for one in lines)
        return f"no file of {len(lines)} trials came out right, nothing was written: {reasons}"
    text = f"no file meets {' and '.join(asked) or 'what was asked'}; the best that was found is {figures(best)}"
    lossy = [one for one in lines if one.loses and not one.over and one.latency_us is not None]
    if lossy:
        least = min(lossy, key=lambda one: one.tried.lost if one.tried.lost is not None else 1.0)
        text += f"; {least.tried.variant} meets the others, and {least.loses[0]}"
    more = f"; {untried} candidates were not tried: a longer --budget reaches them" if untried else ""
    return f"{text}{more}. Nothing was written"


def sentence(best: Line, plain: Line, lines: Sequence[Line], search: Search) -> str:
    """What was chosen and why, and what it costs against float32.

    Args:
        best: The choice.
        plain: The fastest float32 file.
        lines: All trials.
        search: The budgets and the aim.
    """
    best_of, better = ("smallest", "smaller") if search.aim == "size" else ("fastest", "faster")
    budgets = " inside the budgets" if search.max_size or search.max_latency_us else ""
    if best.tried.variant == plain.tried.variant:
        return f"chosen: {figures(best)}: no other file that is right was {better}{budgets}"
    why = f"the {best_of} of {sum(one.is_right for one in lines)} right files{budgets}"
    cost = (
        f"{_latency(best) / _latency(plain):.2f} of the latency and {_size(best) / _size(plain):.2f} of the size of "
        f"{plain.tried.variant}"
    )
    lost = best.tried.lost
    if lost is not None:
        cost += f", at {max(0.0, lost):.4f} of the {best.tried.basis} lost"
    why_slower = "size was the aim" if search.aim == "size" else "no float32 file is small enough"
    note = f"; it is slower than float32, since {why_slower}" if _latency(best) > _latency(plain) else ""
    return f"chosen: {figures(best)}: {why}, {cost}{note}"


def figures(one: Line) -> str:
    """A file with its figures."""
    tried = one.tried
    return f"{tried.variant} ({_latency(one):,.1f} µs, {said(tried.size_bytes)}, {tried.basis} {tried.quality:.4g})"


def said(size_bytes: int) -> str:
    """A size as people read it."""
    return f"{size_bytes / 1000:,.1f} kB" if size_bytes >= 1000 else f"{size_bytes} B"


def judged(line: Line, max_drop: float | None, search: Search) -> Line:
    """The line with what it misses."""
    return msgspec.structs.replace(
        line, loses=loses(line.tried, max_drop), over=over(line.latency_us, line.tried.size_bytes, search)
    )


def _least(lines: Sequence[Line], value: Callable[[Line], float], times: float) -> list[Line]:
    """Those that are as good as the best."""
    best = min(map(value, lines))
    return [one for one in lines if value(one) <= times * best]


def _ratio(one: Line, *, format_alone: bool) -> float:
    found = one.of_own if format_alone else one.of_fastest
    return float("inf") if found is None else found


def _latency(one: Line) -> float:
    return float("inf") if one.latency_us is None else one.latency_us


def _size(one: Line) -> float:
    return float(one.tried.size_bytes)
