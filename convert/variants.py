"""The variants of a plan: each is written, held against Keras and timed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from edgepack.convert import shapes
from edgepack.convert.calibrate import Stream
from edgepack.convert.giving_back import Held, within_budget
from edgepack.convert.packing import Built, result_of
from edgepack.convert.plan import Plan
from edgepack.convert.precisions import FLOATS
from edgepack.convert.prove import Proof, Question
from edgepack.convert.report import Result
from edgepack.convert.samples import Samples
from edgepack.convert.source import Source
from edgepack.convert.writers import WRITERS, Tools, Writer
from edgepack.runtime.errors import ConvertError, EngineError, ModelError
from edgepack.runtime.timing import laps_for, measure_interleaved

_ROUND_SECONDS, _MOST_LAPS = 0.5, 20  # of a variant

Progress = Callable[[int, str], None]


def build_each(
    plan: Plan,
    source: Source,
    calibration: Stream | None,
    question: Question,
    tools: Tools,
    progress: Progress | None,
) -> Iterator[Built]:
    """Build and prove each variant of a plan; what fails becomes a reason.

    Args:
        plan: Which formats and precisions.
        source: What of the model is converted.
        calibration: Real samples; None where no precision needs them.
        question: What every file is held against.
        tools: What writers share.
        progress: Called with the number of variants done, and what is done now.
    """
    done = 0
    hint = shapes.hint(source)

    def tell(seen: int) -> None:
        if progress and calibration:
            progress(done, f"{variant}: calibrating on {seen:,} of {calibration.count:,} samples")

    stream = calibration.telling(tell) if calibration else None
    for target in plan.targets:
        writer: Writer | None = None
        refusal = ""
        for scheme in plan.schemes:
            variant = scheme.variant(target)
            if progress:
                progress(done, variant)
            try:
                if writer is None and not refusal:
                    writer = make_writer(target, plan, source, stream, tools)
                if writer is None:
                    raise ConvertError(refusal)
                held = within_budget(writer, scheme, question, tell=partial(_tell, progress, done, variant))
            except (ConvertError, EngineError, ModelError) as error:
                refusal = refusal or ("" if writer else str(error))
                held = Held(scheme.options, b"", Proof((str(error),)))
            if hint and target == "tflite" and held.proof.parity is None:  # it could not be written, or not be run
                held = replace(held, proof=replace(held.proof, reasons=(*held.proof.reasons, hint)))
            tools.notes.extend(f"{variant}: {note}" for note in held.notes)
            yield Built(
                variant, target, scheme.precision.name, held.options, held.data, held.proof, held.trials,
                held.sensitivities,
            )  # fmt: skip
            done += 1
        tools.converter.give_back()


def make_writer(target: str, plan: Plan, source: Source, calibration: Stream | None, tools: Tools) -> Writer:
    """Trace the model for a format; the writer is kept in `tools` where files are quantized, for the look at layers.

    Raises:
        ConvertError, ModelError: The format cannot have the model.
    """
    writer = WRITERS[target](plan, source, calibration, tools)
    if any(one.precision.name not in FLOATS for one in plan.schemes):  # it holds as much as several files
        tools.writers[target] = writer
    return writer


def with_latency(built: Sequence[Built], samples: Samples) -> tuple[Result, ...]:
    """The results, with the latency of every file that is right: one row, one thread, rounds interleaved."""
    right = [one for one in built if one.proof.session and not one.proof.reasons]
    row = {name: array[:1] for name, array in samples.inputs.items()}
    calls = [partial(one.proof.session.run, row) for one in right if one.proof.session]
    timings = dict(
        zip(
            (one.variant for one in right),
            measure_interleaved(
                calls, rounds=5, warmup=1, repeat=laps_for(calls, seconds=_ROUND_SECONDS, most=_MOST_LAPS)
            ),
            strict=True,
        )
    )
    return tuple(result_of(one, timings[one.variant].p50_us if one.variant in timings else None) for one in built)


def _tell(progress: Progress | None, done: int, variant: str, text: str) -> None:
    if progress:
        progress(done, f"{variant}: {text}")
