"""Plan → files → proof → pack: one call, one report."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgepack.convert import metrics, micro, process
from edgepack.convert.calibrate import Calibration, Stream, doubts, open_stream
from edgepack.convert.cards import about_file
from edgepack.convert.layer_files import look_at_built
from edgepack.convert.options import Options, make_options
from edgepack.convert.packing import check_bare, write
from edgepack.convert.plan import TARGETS, Plan, make_plan
from edgepack.convert.provenance import provenance_of
from edgepack.convert.questions import ask, judged_on
from edgepack.convert.report import Report
from edgepack.convert.samples import Given, Samples
from edgepack.convert.search import Search
from edgepack.convert.search.conversion import find_best
from edgepack.convert.search.store import check_folder
from edgepack.convert.shapes import Shapes
from edgepack.convert.source import open_source
from edgepack.convert.subject import Subject, make_subject
from edgepack.convert.variants import Progress, build_each, with_latency
from edgepack.convert.writers import Tools
from edgepack.runtime.errors import ConvertError, DataError, InputError, MissingFileError
from edgepack.runtime.manifest import Card
from edgepack.runtime.tensor import TensorSpec


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
    given = options.said() if isinstance(options, Options) else {**micro.defaults(output), **(options or {})}
    asked = make_options(**given)
    plan = make_plan(
        output, targets, precisions, batch, input_shapes, searched=search is not None,
        options=asked, opset=opset, min_onnxruntime=min_onnxruntime, force=force,
    )  # fmt: skip
    metrics.check_name(metric)
    _check_asked(plan, max_drop, calibrated=calibration is not None, searched=search is not None)
    _check_files(model, calibration, evaluation)
    if search:
        search.check()
        check_folder(output)
    notes: list[str] = []
    with process.converter() as converter:
        converter.start()  # it imports TensorFlow while this process does
        source = open_source(
            model, unsafe_lambda=unsafe_lambda, custom=custom, signature=signature, input_signature=input_signature
        )
        subject = make_subject(model, source, plan, card, states=states, name=name, lift_all=lift_all)
        check_bare(plan, subject.lifted)
        tools = Tools(converter, about_file(subject.name, subject.card), notes)
        stream = _stream(calibration, subject, calibration_samples, seed, progress)
        judged = judged_on(subject, evaluation, stream)
        question = ask(subject, judged, max_drop, metric)
        provenance = provenance_of(plan, subject, stream, judged, seed)
        hunted = None
        if search is not None:
            hunted = find_best(
                plan, subject.rest, stream, question, tools, asked=(search, asked), provenance=provenance,
                progress=progress,
            )  # fmt: skip
            provenance["search"] = hunted.findings.provenance()
        built = list(hunted.built if hunted else build_each(plan, subject.rest, stream, question, tools, progress))
    results = hunted.results if hunted else with_latency(built, judged)
    if progress:
        progress(len(built), "each layer")
    report = Report(
        name=subject.name,
        output=str(plan.output),
        inputs=_described(subject.rest.inputs, subject.card),
        outputs=_described(subject.rest.outputs, subject.card),
        samples=judged.origin,
        sample_count=len(judged),
        calibration=stream.origin if stream else None,
        calibration_count=stream.count if stream else 0,
        max_drop=question.max_drop,
        results=results,
        provenance=provenance,
        states=subject.states,
        layers=look_at_built(built, tools.writers, judged, notes),
        notes=(*(subject.lifted.notes if subject.lifted else ()), *notes),
        warnings=_warnings(plan, stream, judged if evaluation is not None else None, subject, tools),
        search=hunted.findings if hunted else None,
    )
    if not report.passed:
        reasons = "; ".join(f"{one.variant}: {', '.join(one.reasons)}" for one in results)
        raise ConvertError(f"no file came out right, nothing was written: {reasons}")
    c_array = write(plan, report, question, built, subject.card, subject.lifted, force=force)
    if hunted:
        hunted.store.finish()
    return msgspec.structs.replace(report, c_array=c_array)


def _check_files(model: Any, calibration: Any, evaluation: Any) -> None:
    """Refuse what is not there at once: importing TensorFlow takes seconds."""
    named = (model, "model"), (calibration, "calibration data"), (evaluation, "evaluation data")
    for given, what in named:
        if isinstance(given, (str, os.PathLike)) and not os.path.exists(given):
            raise MissingFileError(Path(given), what)


def _check_asked(plan: Plan, max_drop: float | None, *, calibrated: bool, searched: bool) -> None:
    """Refuse what cannot be met, before a model is read; a search goes on with what needs no calibration data."""
    if max_drop is not None and not 0 <= max_drop < float("inf"):
        raise InputError(f"max_drop is {max_drop}; it takes a share of the metric from 0, such as 0.005")
    wanting = [one.precision.name for one in plan.schemes if one.precision.needs_calibration]
    if wanting and not calibrated and not (searched and len(wanting) < len(plan.schemes)):
        raise DataError(
            f"precision {', '.join(wanting)} needs calibration data: "
            "pass --calibration FILE.npz, a folder of images or recipe:NAME, with a few hundred real samples"
        )


def _stream(
    calibration: Calibration | None,
    subject: Subject,
    most: int | None,
    seed: int,
    progress: Progress | None,
) -> Stream | None:
    """The calibration samples, gone through once: one that does not fit is found before any long work."""
    if calibration is None:
        return None

    def tell(seen: int) -> None:
        if progress:
            progress(0, f"reading calibration samples: {seen:,}")

    stream = open_stream(
        calibration, subject.whole, lifted=subject.lifted, card=subject.card, most=most, seed=seed
    ).telling(tell)
    stream.survey  # noqa: B018 - that is the pass
    return stream


def _described(specs: tuple[TensorSpec, ...], card: Card | None) -> tuple[TensorSpec, ...]:
    meanings = card.meanings if card else {}
    return tuple(msgspec.structs.replace(spec, meaning=meanings.get(spec.name, "")) for spec in specs)


def _warnings(
    plan: Plan, calibration: Stream | None, judged: Samples | None, subject: Subject, tools: Tools
) -> tuple[str, ...]:
    """What speaks against the calibration samples, where a file was calibrated on them."""
    if calibration is None or not any(one.precision.needs_calibration for one in plan.schemes):
        return ()
    return doubts(calibration, judged, subject.rest.outputs, tools.about.labels)
