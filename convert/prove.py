"""Hold a file against Keras: load it in its own light engine, run it, compare, and read its precision back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from edgepack.convert import metrics
from edgepack.convert.census import Census, take
from edgepack.convert.precisions import Precision
from edgepack.convert.samples import Samples
from edgepack.convert.shapes import Stretched
from edgepack.quiet import quiet
from edgepack.runtime import engines
from edgepack.runtime.compare import Budget, Parity, compare
from edgepack.runtime.engines.base import Engine
from edgepack.runtime.errors import EdgepackError
from edgepack.runtime.manifest import Metric
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array, describe

_ROWS = 3  # that are run alone, and together
_ROUNDINGS = 4.0  # every layer rounds, not the inputs alone
_MOST_MOVEMENT = 2e-3  # relative; beyond it a file is not close to anything
_MARGIN = 4.0  # how much further than here another device may be from the golden outputs


@dataclass(frozen=True, slots=True)
class Question:
    """What every file of one model is held against."""

    samples: Samples
    reference: Mapping[str, Array]
    """The Keras model's own outputs on the samples."""
    golden_rows: tuple[int, ...]
    max_drop: float | None
    """How much of the task metric, or of the agreement where there are no labels, may be lost; None is not asked."""
    stretched: Stretched | None = None
    """Rows of other sizes; None where no axis is free."""
    give_back: bool = False
    """Whether a file that loses more is given back what it takes; see `giving_back`."""
    metric: str | None = None
    """The task metric that was asked for; None is the one that fits the labels."""
    movement: float = 0.0
    """How far the model's own outputs move, relative to the largest, when its inputs move by a few roundings."""

    def allowed(self, budget: Budget) -> Budget:
        """The budget of a precision, wider where the model itself makes more of a rounding than it allows."""
        if budget.max_rel is None:
            return budget
        moved = min(_MOST_MOVEMENT, _ROUNDINGS * self.movement)
        return msgspec.structs.replace(budget, max_rel=max(budget.max_rel, moved))


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found; `reasons` is empty when the file is right."""

    reasons: tuple[str, ...]
    census: Census | None = None
    parity: Parity | None = None
    metric: Metric | None = None
    golden_tolerance: float = 0.0
    engine: str = ""
    undelegated: tuple[str, ...] = ()
    """Operators of a TFLite file that its delegate left to the interpreter."""
    session: Session | None = None
    """The open file, for whoever measures it next."""


def prove(file_format: str, data: bytes, precision: Precision, question: Question) -> Proof:
    """Hold one file against Keras; whatever is wrong with it becomes a reason.

    Args:
        file_format: `"onnx"` or `"tflite"`.
        data: The file.
        precision: What its tensors must turn out to be, and how close it must come.
        question: Samples, the Keras model's answers, and what may be lost.
    """
    found = take(file_format, data)
    reasons = []
    if found.precision != precision.name:
        reasons.append(f"{precision.name} was asked, but its tensors read {found.precision}: nothing was gained by it")
    engine = engines.for_format(file_format)[0]
    try:
        opened = open_here(file_format, data)
        session = Session(opened, f"{file_format}-{precision.name}")
        outputs = _in_pieces(session, question.samples)
        parity = compare(question.reference, outputs)
        reasons += _batches(session, question, precision)
        reasons += _other_sizes(session, question, precision)
    except (EdgepackError, ValueError) as error:
        return Proof((*reasons, str(error)), found, engine=engine)
    metric = _metric(question, outputs)
    reasons += parity.failures(question.allowed(precision.budget))
    reasons += drop_reasons(question.max_drop, parity, metric)
    return Proof(
        tuple(reasons), found, parity, metric, _golden_tolerance(precision, question, outputs),
        session.engine.description, getattr(opened, "undelegated", ()), session,
    )  # fmt: skip


def open_here(file_format: str, data: bytes) -> Engine:
    """A file in the first engine for it, on the CPU with one thread; raises `EngineError` where that refuses it."""
    engine = engines.for_format(file_format)[0]
    with quiet():  # engines greet on stderr
        return engines.open_file(engine, data, engines.Opening(engines.own_cpu(engine)))


def _in_pieces(session: Session, samples: Samples) -> dict[str, Array]:
    """The file's outputs on all samples, as many at once as memory is well spent on."""
    size = samples.rows_at_once
    parts = [
        session.run({name: array[start : start + size] for name, array in samples.inputs.items()})
        for start in range(0, len(samples), size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _batches(session: Session, question: Question, precision: Precision) -> list[str]:
    """Why rows alone, or three at once, are not what they are among all; empty when they are."""
    reasons = []
    rows = min(_ROWS, len(question.samples))
    first = {name: array[:rows] for name, array in question.samples.inputs.items()}
    wanted = {name: array[:rows] for name, array in question.reference.items()}
    alone = [session.run({name: array[row : row + 1] for name, array in first.items()}) for row in range(rows)]
    for how, found in (
        ("one row at a time", {name: np.concatenate([one[name] for one in alone]) for name in wanted}),
        (f"{rows} rows at once", session.run(first)),
    ):
        reasons += [
            f"{how}: {reason}" for reason in compare(wanted, found).failures(question.allowed(precision.budget))
        ]
    return reasons


def _other_sizes(session: Session, question: Question, precision: Precision) -> list[str]:
    """Why the file is wrong at other sizes of the model's free axes; empty where it is right, or none is free."""
    other = question.stretched
    if other is None:
        return []
    sizes = ", ".join(f"{name} {describe(array.shape)}" for name, array in other.inputs.items())
    try:
        found = session.run(other.inputs)
        reasons: Sequence[str] = compare(other.reference, found).failures(question.allowed(precision.budget))
    except (EdgepackError, ValueError) as error:
        reasons = [str(error)]
    return [f"with {sizes}: {'; '.join(reasons)}; {other.hint}"] if reasons else []


def _metric(question: Question, outputs: Mapping[str, Array]) -> Metric | None:
    """The task metric of the file and of Keras on the same labelled samples."""
    labels = question.samples.labels
    picked = metrics.pick(labels, question.reference, question.metric)
    return metrics.judge(picked, labels, question.reference, outputs)


def drop_reasons(max_drop: float | None, parity: Parity, metric: Metric | None) -> list[str]:
    """Why the file loses more than was allowed; empty when it does not."""
    if max_drop is None:
        return []
    missing = lost(parity, metric)
    if missing is None or missing <= max_drop + 1e-12:
        return []
    what = (
        f"{metric.title} {metric.value:.4f} against {metric.keras:.4f} of Keras"
        if metric
        else f"agreement with Keras {parity.agreement:.4f}"
    )
    return [f"{what}: {missing:.4f} lost, allowed {max_drop:g}"]


def lost(parity: Parity | None, metric: Metric | None) -> float | None:
    """How much less the task metric is than Keras's; without one, the agreement than 1; None where neither is known."""
    if metric is not None:
        return metric.lost
    return None if parity is None or parity.agreement is None else 1 - parity.agreement


def _golden_tolerance(precision: Precision, question: Question, outputs: Mapping[str, Array]) -> float:
    """How far another device may be from the golden outputs: a multiple of what is seen here, or what is usual."""
    rows = list(question.golden_rows)
    wanted = {name: array[rows] for name, array in question.reference.items()}
    seen = compare(wanted, {name: array[rows] for name, array in outputs.items()}).max_abs
    largest = max((float(abs(array).max(initial=0.0)) for array in wanted.values()), default=0.0)
    return max(_MARGIN * seen, precision.golden_floor * max(largest, 1e-6))
