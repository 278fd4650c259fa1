"""Plan → files → proof → pack: one call, one report."""

import datetime as dt
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgepack.convert import metrics, micro, process, shapes
from edgepack.convert.calibrate import Calibration, Stream, doubts, open_stream
from edgepack.convert.cards import about_file, find_card
from edgepack.convert.giving_back import Held, within_budget
from edgepack.convert.layer_files import look_at_built
from edgepack.convert.lift import Lifted, lift
from edgepack.convert.options import Options, make_options
from edgepack.convert.packing import Built, check_bare, result_of, write
from edgepack.convert.plan import TARGETS, Plan, make_plan
from edgepack.convert.precisions import FLOATS
from edgepack.convert.prove import Proof, Question
from edgepack.convert.raw_samples import random_raw
from edgepack.convert.report import Report, Result
from edgepack.convert.rounding import movement
from edgepack.convert.samples import Given, Samples, random_samples, read_samples
from edgepack.convert.search import Search
from edgepack.convert.search.conversion import find_best
from edgepack.convert.search.store import check_folder
from edgepack.convert.shapes import Shapes
from edgepack.convert.source import Source, open_source
from edgepack.convert.writers import WRITERS, Tools, Writer
from edgepack.runtime.about import About
from edgepack.runtime.device import this_device
from edgepack.runtime.errors import ConvertError, DataError, EngineError, InputError, ModelError
from edgepack.runtime.manifest import Card
from edgepack.runtime.states import States
from edgepack.runtime.tensor import Array, TensorSpec
from edgepack.runtime.timing import measure, measure_interleaved

DEFAULT_DROP = 0.01  # of the task metric, where labels are given and nothing else was asked

_GOLDENS = 4
_LATENCY_SECONDS = 0.5  # a round, a variant
_RANDOM_SAMPLES = 64
_MOST_JUDGED, _MOST_JUDGED_BYTES = 1_000, 64_000_000  # of the calibration samples, where there are no others
_LIBRARIES = (
    "edgepack",
    "tensorflow",
    "keras",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
    "litert-quantizer",
    "numpy",
)

Progress = Callable[[int, str], None]


def convert_model(  # noqa: PLR0913 - keyword-only, each an independent choice of the user
    model: Any,
    output: str | os.PathLike[str],
    *,
    targets: str | Sequence[str] = TARGETS,
    precisions: str | Sequence[str] | None = None,
    calibration: Calibration | None = None,
    calibration_samples: int | None = None,
    seed: int = 0,
    evaluation: Given | None = None,
    max_drop: float | None = None,
    metric: str | None = None,
    options: Options | Mapping[str, Any] | None = None,
    search: Search | None = None,
    batch: int | str = "auto",
    input_shapes: Shapes | None = None,
    opset: int | None = None,
    min_onnxruntime: str | None = None,
    lift_all: bool = False,
    states: Mapping[str, str] | None = None,
    name: str | None = None,
    card: Card | str | os.PathLike[str] | None = None,
    signature: str | None = None,
    input_signature: Any = None,
    custom: Sequence[str] = (),
    unsafe_lambda: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Convert a Keras model, prove every file against it, and write those that are right.

    Args:
        model: A path to `.keras`, `.h5` (of Keras 2 as well) or a SavedModel folder, or a `keras.Model`.
        output: A `.edgepack` file, a folder (ends with a slash), one bare `.tflite` or `.onnx`, or a `.h`: C++ source
            for microcontrollers, with a `.cc` beside it.
        targets: Formats for a pack: `"tflite"`, `"onnx"`. A bare file has the format of its name; `"c-array"` asks for
            a `.h`.
        precisions: Keys of `convert.precisions.PRECISIONS`, or `"all"`; one for a bare file. None is float32, int8 for
            a `.h`, and all where the best is searched for.
        calibration: Real samples for precisions with calibrated ranges: a `.npz` file, a folder of images that the
            card's steps read, arrays by input name, or a function that returns an iterator of rows or batches. They
            are gone through a few at a time.
        calibration_samples: At most so many of them, drawn with `seed` (of a function, the first); None is 2,000.
        seed: Which calibration samples are drawn.
        evaluation: Samples, best with labels, that every file is judged on. Without them some of the calibration
            samples are taken, and without those random ones; the report says which.
        max_drop: How much of the task metric may be lost, absolute (0.005 is half a point); without labels, of the
            agreement with Keras. None allows 0.01 of the task metric and does not judge agreement.
        metric: What is judged: `accuracy`, `binary_accuracy`, `r2`, or `agreement` with Keras, which leaves
            labels aside. None takes the one that fits the labels.
        options: What the precisions leave open: `convert.options.Options`, or a dict of its fields. Without `io`,
            a dict means int8 for a `.h`.
        search: Try what these precisions and options leave open, time it here, and keep the best: the pack gets
            float32 and the Pareto front, a bare file is the chosen one. Options that are not at their default stay.
        batch: `"auto"` (ONNX any number of rows, TFLite 1), `"dynamic"`, or a number of rows.
        input_shapes: Sizes for free axes, by input name: `{"image": (1, 96, 96, 1)}`, None where an axis stays free; a
            bare tuple for a model of one input. The first size is the batch.
        opset: The operator set of the ONNX files; None is 18, or what `min_onnxruntime` reads.
        min_onnxruntime: The oldest ONNX Runtime that must read the ONNX files, such as `"1.12"`.
        lift_all: Make steps of every preprocessing layer at the model's edge that there is an exact step for, not only
            of those that no engine runs.
        states: For a model that is given its own state back: the name of each such input, and of the output that is
            its next value. A session fills them with zeros, and `session.stream()` keeps them. None takes the card's.
        name: The pack's name; else the card's, else the model's.
        card: What the steps, labels and meanings are; found beside the model file as `NAME.card.json` by itself.
        signature: Which signature of a SavedModel; None is `serving_default`, or the only one.
        input_signature: What a model that is a class of its own is called on: tensors as `tf.TensorSpec` or
            `keras.Input`, one, a list, or a dict by name. None takes the shapes it was called with before.
        custom: The user's own layers and functions that the model file names, as `"module:name"`.
        unsafe_lambda: Execute the code that Lambda layers carry.
        force: Replace what is at `output`.
        progress: Called with the number of variants done and the name of the next.

    Returns:
        What was built, what was left out and why, with every figure.

    Raises:
        UnknownNameError: A target, a precision, a metric or a value of an option that there is none of.
        InputError: Arguments that contradict each other, or something in `custom` that is not there.
        OutputError: `output` exists already, or cannot be written.
        ModelError, UnsafeModelError, MissingFileError: The model cannot be read.
        DataError: The samples do not fit the model, or none were given where they are needed.
        ConvertError: No file was right, or a search found none that meets its budgets; the message has every reason,
            or the best that was found. Whatever was at `output` is as it was.
    """
    asked = options if isinstance(options, Options) else make_options(**{**micro.defaults(output), **(options or {})})
    plan = make_plan(
        output, targets, precisions, batch, input_shapes, searched=search is not None,
        options=asked, opset=opset, min_onnxruntime=min_onnxruntime, force=force,
    )  # fmt: skip
    metrics.check_name(metric)
    _check_asked(plan, max_drop, calibrated=calibration is not None or search is not None)
    if search:
        search.check()
        check_folder(output)
    notes: list[str] = []
    with process.converter() as converter:
        converter.start()  # it imports TensorFlow while this process does
        source = open_source(
            model, unsafe_lambda=unsafe_lambda, custom=custom, signature=signature, input_signature=input_signature
        )
        source = shapes.fixed(source, plan.shapes, plan.batch)
        card = find_card(card, model, source)
        states = dict((card.states if card else {}) if states is None else states)
        lifted = lift(source, everything=lift_all)
        check_bare(plan, lifted)
        name = name or (card.name if card else source.name)
        tools = Tools(converter, about_file(name, card), notes)
        calibrating = None
        if calibration is not None:
            calibrating = open_stream(
                calibration, source, lifted=lifted, card=card, most=calibration_samples, seed=seed
            ).telling(_telling(progress, "reading calibration samples"))
            calibrating.survey  # noqa: B018 - one pass, before any long work: a sample that does not fit is found here
        judged = _judged(evaluation, calibrating, source, lifted)
        question = _question(source, judged, lifted, max_drop, metric)
        source = lifted.rest if lifted else source
        outputs = source.outputs
        States(source.inputs, source.outputs, states)  # pairs that cannot be are refused before the long work
        provenance = _provenance(plan, card, calibrating, judged, seed) | _origin(model, lifted)
        hunted = None
        if search is not None:
            hunted = find_best(
                plan, source, calibrating, question, tools, asked=(search, asked), provenance=provenance,
                progress=progress,
            )  # fmt: skip
            provenance["search"] = hunted.findings.provenance()
        built = list(hunted.built if hunted else _build(plan, source, calibrating, question, tools, progress))
    results = hunted.results if hunted else _with_latency(built, judged)
    if progress:
        progress(len(built), "each layer")
    looked = look_at_built(built, tools.writers, judged, notes)
    report = Report(
        name=name,
        output=str(plan.output),
        inputs=_described(source.inputs, card),
        outputs=_described(source.outputs, card),
        samples=judged.origin,
        sample_count=len(judged),
        calibration=calibrating.origin if calibrating else None,
        calibration_count=calibrating.count if calibrating else 0,
        max_drop=question.max_drop,
        notes=(*(lifted.notes if lifted else ()), *notes),
        results=results,
        provenance=provenance,
        states=states,
        layers=looked,
        warnings=_warnings(plan, calibrating, judged if evaluation is not None else None, outputs, tools.about),
        search=hunted.findings if hunted else None,
    )
    if not report.passed:
        reasons = "; ".join(f"{one.variant}: {', '.join(one.reasons)}" for one in results)
        raise ConvertError(f"no file came out right, nothing was written: {reasons}")
    c_array = write(plan, report, question, built, card, lifted, force=force)
    if hunted:
        hunted.store.finish()
    return msgspec.structs.replace(report, c_array=c_array)


def _check_asked(plan: Plan, max_drop: float | None, *, calibrated: bool) -> None:
    """Refuse what cannot be met, before a model is read."""
    if max_drop is not None and not 0 <= max_drop < float("inf"):
        raise InputError(f"max_drop is {max_drop}; it takes a share of the metric from 0, such as 0.005")
    wanting = [one.precision.name for one in plan.schemes if one.precision.needs_calibration]
    if wanting and not calibrated:
        raise DataError(
            f"precision {', '.join(wanting)} needs calibration data: "
            "pass --calibration FILE.npz, a folder of images or recipe:NAME, with a few hundred real samples"
        )


def _question(
    source: Source, judged: Samples, lifted: Lifted | None, max_drop: float | None, metric: str | None = None
) -> Question:
    """What every file is held against: the Keras model's own answers on the samples."""
    try:
        outputs = lifted.predict(judged) if lifted else source.predict(judged.inputs, judged.rows_at_once)
    except ModelError as error:
        raise ModelError(f"{error}; {hint}" if (hint := shapes.hint(source)) else str(error)) from error
    _check_reference(outputs)
    # Labels that do not fit are refused before anything is built.
    picked = metrics.pick(judged.labels, outputs, metric)
    allowed = DEFAULT_DROP if max_drop is None and picked else max_drop
    converted = lifted.rest if lifted else source
    stretched = shapes.stretched(converted, judged.inputs)
    moved = movement(converted, judged.inputs)
    return Question(
        judged,
        outputs,
        _golden_rows(outputs),
        allowed,
        stretched,
        give_back=max_drop is not None,
        metric=metric,
        movement=moved,
    )


def _judged(evaluation: Given | None, calibrating: Stream | None, source: Source, lifted: Lifted | None) -> Samples:
    """The samples every file is judged on, as tensors for what is converted."""
    if evaluation is not None:
        samples = read_samples(evaluation, source, "evaluation")
        return lifted.tensors(samples) if lifted else samples
    if calibrating is not None:
        return calibrating.collect(_MOST_JUDGED, _MOST_JUDGED_BYTES)
    return random_raw(lifted, _RANDOM_SAMPLES) if lifted else random_samples(source, _RANDOM_SAMPLES)


def _check_reference(outputs: dict[str, Array]) -> None:
    """A model that gives NaN itself cannot be held against anything."""
    for name, array in outputs.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise ModelError(
                f"the Keras model itself gives NaN in output {name!r} on the evaluation samples; mend it first"
            )


def _build(
    plan: Plan,
    source: Source,
    calibration: Stream | None,
    question: Question,
    tools: Tools,
    progress: Progress | None,
) -> Iterator[Built]:
    """Build and prove each variant; what fails becomes a reason."""
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
                    writer = WRITERS[target](plan, source, stream, tools)
                    _keep(writer, plan, tools)
                if writer is None:
                    raise ConvertError(refusal)
                held = within_budget(writer, scheme, question, tell=partial(_tell, progress, done, variant))
            except (ConvertError, EngineError, ModelError) as error:
                refusal = refusal or ("" if writer else str(error))
                held = Held(scheme.options, b"", Proof((str(error),)))
            if hint and target == "tflite" and held.proof.parity is None:  # it could not be written, or not be run
                held = replace(held, proof=replace(held.proof, reasons=(*held.proof.reasons, hint)))
            tools.notes.extend(held.notes)
            yield Built(
                variant, target, scheme.precision.name, held.options, held.data, held.proof, held.trials,
                held.sensitivities,
            )  # fmt: skip
            done += 1
        tools.converter.give_back()


def _tell(progress: Progress | None, done: int, variant: str, text: str) -> None:
    if progress:
        progress(done, f"{variant}: {text}")


def _keep(writer: Writer, plan: Plan, tools: Tools) -> None:
    """Keep a writer for the look at layers; it holds as much as several files, so not where nothing is quantized."""
    if any(one.precision.name not in FLOATS for one in plan.schemes):
        tools.writers[writer.target] = writer


def _with_latency(built: list[Built], samples: Samples) -> tuple[Result, ...]:
    """The results, with the latency of every file that is right: one row, one thread, rounds interleaved."""
    right = [one for one in built if one.proof.session and not one.proof.reasons]
    row = {name: array[:1] for name, array in samples.inputs.items()}
    calls = [partial(one.proof.session.run, row) for one in right if one.proof.session]
    timings = dict(
        zip(
            (one.variant for one in right),
            measure_interleaved(calls, rounds=5, warmup=1, repeat=_laps(calls)),
            strict=True,
        )
    )
    return tuple(result_of(one, timings[one.variant].p50_us if one.variant in timings else None) for one in built)


def _laps(calls: Sequence[Callable[[], object]]) -> int:
    """How often a call is timed in a round: twenty times, or less where that would take long."""
    slowest = max((measure(call, warmup=1, repeat=1).p50_us for call in calls), default=1.0)
    return max(1, min(20, int(_LATENCY_SECONDS * 1e6 / slowest)))


def _golden_rows(outputs: dict[str, Array]) -> tuple[int, ...]:
    """A few rows whose answers differ most: the first of each winning class, where there are classes."""
    first = next(iter(outputs.values()))
    rows = len(first)
    winners = first.reshape(rows, -1).argmax(axis=1)
    firsts = sorted(np.unique(winners, return_index=True)[1].tolist())
    spread = list(dict.fromkeys([*firsts, *np.linspace(0, rows - 1, min(rows, _GOLDENS)).astype(int).tolist()]))
    return tuple(sorted(spread[:_GOLDENS]))


def _described(specs: tuple[TensorSpec, ...], card: Card | None) -> tuple[TensorSpec, ...]:
    meanings = card.meanings if card else {}
    return tuple(msgspec.structs.replace(spec, meaning=meanings.get(spec.name, "")) for spec in specs)


def _telling(progress: Progress | None, text: str) -> Callable[[int], None]:
    """Shows how many samples were gone through, before any variant is done."""
    return lambda seen: progress(0, f"{text}: {seen:,}") if progress else None


def _warnings(
    plan: Plan, calibration: Stream | None, judged: Samples | None, outputs: tuple[TensorSpec, ...], about: About
) -> tuple[str, ...]:
    """What speaks against the calibration samples, where a file was calibrated on them."""
    if calibration is None or not any(one.precision.needs_calibration for one in plan.schemes):
        return ()
    return doubts(calibration, judged, outputs, about.labels)


def _provenance(
    plan: Plan, card: Card | None, calibration: Stream | None, judged: Samples, seed: int
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
        "proved_on": {"cpu": (device := this_device()).cpu, "fingerprint": device.fingerprint},
        "evaluation": {"origin": judged.origin, "samples": len(judged), "sha256": judged.digest},
    }
    if "onnx" in plan.targets:
        facts["onnx"] = {"standard": str(plan.standard), "min_onnxruntime": plan.standard.onnxruntime}
    if calibration:
        drawn = {"drawn_from": calibration.drawn_from, "seed": seed} if calibration.drawn_from else {}
        facts["calibration"] = {
            "origin": calibration.origin, "samples": calibration.count, "sha256": calibration.digest, **drawn
        }  # fmt: skip
    if card and card.recipe:
        facts["recipe"] = card.recipe
    return facts


def _origin(model: Any, lifted: Lifted | None) -> dict[str, Any]:
    """What the pack was made of: the name of the model's file, without its folder, and what became steps."""
    facts: dict[str, Any] = {"lifted": lifted.layers} if lifted else {}
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        facts["model"] = {"file": path.name} | ({"sha256": digest} if digest else {})
    return facts


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
