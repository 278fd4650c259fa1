"""The commands `convert` and `precisions`: thin skins over `convert_model` and the table of precisions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from edgepack import console
from edgepack.convert.shapes import read_texts
from edgepack.runtime.errors import InputError
from edgepack.runtime.writing import check_output

if TYPE_CHECKING:
    from edgepack.convert.calibrate import Calibration
    from edgepack.convert.report import Report

_RECIPE = "recipe:"

Switch = Annotated[bool, Parameter(negative="")]


def convert(  # noqa: PLR0913 - one option each
    model: Path,
    /,
    *,
    output: Annotated[str, Parameter(name=("--output", "-o"))],
    precision: str | None = None,
    target: Annotated[str, Parameter(name=("--target", "--to"))] = "tflite,onnx",
    calibration: str | None = None,
    calibration_samples: int | None = None,
    seed: int = 0,
    evaluation: Path | None = None,
    max_drop: float | None = None,
    metric: str | None = None,
    search: Switch = False,
    budget: str = "5min",
    max_size: str | None = None,
    max_latency: str | None = None,
    aim: str = "latency",
    keep: str = "front",
    threads: int = 1,
    granularity: str = "per-channel",
    activations: str = "auto",
    symmetric: Switch = False,
    reduce_range: Switch = False,
    io: str | None = None,
    ranges: str = "minmax",
    keep_float: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    batch: str = "auto",
    input_shape: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    opset: int | None = None,
    min_onnxruntime: str | None = None,
    lift: Switch = False,
    state: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    name: str | None = None,
    card: Path | None = None,
    signature: str | None = None,
    custom: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    unsafe_lambda: Switch = False,
    force: Switch = False,
    explain: Switch = False,
    json: Switch = False,
) -> int:
    """Convert a Keras model to proved TFLite and ONNX files.

    Beside a pack, the report is written as NAME.report.json and NAME.report.html; beside NAME.onnx as
    NAME.onnx.report.json and so on.

    Args:
        model: A .keras or .h5 file (Keras 2 files too), or a SavedModel folder.
        output: A .edgepack file, a folder (ends with a slash), one bare .tflite or .onnx file, or a .h file: C++ source
            for TFLite-Micro, with a .cc file beside it.
        precision: Separated by commas: float32, float16, weight_int8, dynamic_int8, int8, int16x8, weight_int4; "all"
            is each of them. By default float32; int8 for a .h file, and all with --search.
        target: Formats in a pack, separated by commas: tflite, onnx. c-array is a .h file.
        calibration: Real samples, which int8 and int16x8 need: a .npz file of tensors by input name, a folder of
            images that the card's steps read, or recipe:NAME for those of a recipe.
        calibration_samples: At most so many of them, drawn with --seed; by default 2,000.
        seed: Which calibration samples are drawn; of a recipe, the seed of its training.
        evaluation: A .npz file of samples by input name, and labels by output name, that every file is judged on.
        max_drop: How much of the task metric (without labels: of the agreement with Keras) may be lost; 0.005 is half
            a point. By default 0.01 of the task metric. Where it is given, a quantized file that loses more is helped:
            other ranges and scales are tried, and the worst layers given back float, until it holds.
        metric: accuracy, binary_accuracy, r2, or agreement (with Keras, whatever the labels); by default the one that
            fits the labels.
        search: Try precisions, options and what stays in float, prove and time each on this machine, and keep the
            best: float32 and the Pareto front over latency, size and accuracy, or the one chosen file. What was tried
            is kept in NAME.search, so that a search that was stopped goes on.
        budget: How long --search may take, as 5min or 90s.
        max_size: The largest file that --search may choose, as 200kB.
        max_latency: The longest median time of one row that --search may choose, as 5ms or 800us.
        aim: What --search looks for: latency (never slower than float32), or size.
        keep: What --search puts into a pack: front, or all files that are right, for 'edgepack choose' on the device.
        threads: How many threads --search times files with.
        granularity: One scale for each output channel of the weights (per-channel), or one for all (per-tensor).
        activations: What flows between int8 operators: uint8, int8, or auto, which is the faster in the format.
        symmetric: Put the zero point of activations in the middle of their range.
        reduce_range: Store weights in seven bits, for processors without VNNI, which saturate with eight.
        io: What goes in and comes out of an int8 file: float32, or int8 for microcontrollers. By default float32;
            int8 for a .h file.
        ranges: How ranges are made of what calibration saw: minmax, percentile, entropy or mse.
        keep_float: A layer that stays in float; once for each.
        batch: "auto" (ONNX any number of rows, TFLite 1), "dynamic", or a number of rows.
        input_shape: Sizes for an input's free axes, as image=1,96,96,1; the first is the batch, and ? leaves an axis
            free. Once for each input; without image= where the model has one input.
        opset: The operator set of the ONNX files, 14 to 21; by default 18, or what --min-onnxruntime reads.
        min_onnxruntime: The oldest ONNX Runtime that must read the ONNX files, such as 1.12.
        lift: Make steps of Rescaling, Normalization, Resizing, CenterCrop, Discretization and spectrograms at the
            model's edge too, not only of the layers that no engine runs (TextVectorization, StringLookup, Hashing, and
            their like).
        state: An input that is the model's own state and the output that is its next value, as input=output; once
            for each. A session begins it with zeros, and session.stream() keeps it.
        name: The pack's name; by default the card's or the file's.
        card: The model's card with steps and labels; by default NAME.card.json beside the model.
        signature: Which signature of a SavedModel; by default serving_default, or the only one.
        custom: A layer or function of your own that the model names, as module:name; once for each.
        unsafe_lambda: Execute the code that Lambda layers in the file carry. Only for files you trust.
        force: Replace the output.
        explain: Print what was done to each layer that has another form.
        json: Print the report as one JSON document on stdout and nothing else.
    """
    from edgepack.convert.build import convert_model
    from edgepack.convert.report import report_paths, write_reports
    from edgepack.convert.search.cli import asked_for, pieces_of, show_findings, told

    pages = report_paths(output)
    if not force:
        for page in pages:
            check_output(page)
    wanted = asked_for(
        search=search, budget=budget, max_size=max_size, max_latency=max_latency, aim=aim, keep=keep, threads=threads
    )
    pieces = pieces_of(target) if wanted else _pieces(precision, target)
    with told(output, searched=search), console.progress("converting", total=pieces) as advance:
        report = convert_model(
            model, output, targets=target, precisions=precision, calibration=_calibration(calibration, seed),
            calibration_samples=calibration_samples, seed=seed, evaluation=evaluation,
            max_drop=max_drop, metric=metric, search=wanted, options={
                "granularity": granularity, "activations": activations, "symmetric": symmetric,
                "reduce_range": reduce_range, "ranges": ranges, "float_layers": keep_float,
                **({"io": io} if io else {}),
            }, batch=_batch(batch), input_shapes=read_texts(input_shape), opset=opset,
            min_onnxruntime=min_onnxruntime, lift_all=lift, states=_pairs(state), name=name, card=card,
            signature=signature, custom=custom, unsafe_lambda=unsafe_lambda, force=force, progress=advance,
        )  # fmt: skip
        advance(pieces)
    _warn(report.warnings)
    written = write_reports(report, pages, console.note)
    if json:
        console.show_json_bytes(report.to_json())
        return 0
    if report.search:
        show_findings(report.search)
    _show(report, explain=explain, with_standard=bool(opset or min_onnxruntime))
    outputs = (report.c_array.header, report.c_array.source) if report.c_array else (report.output,)
    for path in (*outputs, *map(str, written)):
        console.show(f"wrote {path}")
    return 0


def _show(report: "Report", *, explain: bool, with_standard: bool) -> None:
    """Print the table of all files, and what else was asked about them."""
    from edgepack.convert.report import COLUMNS

    console.show_table(
        f"{report.name}: {len(report.passed)} of {len(report.results)} files agree with Keras", COLUMNS, report.rows()
    )
    for one in report.results:
        if one.delegation != "–":
            console.show(f"{one.variant} fully delegated to XNNPACK: {one.delegation}")
        if one.standard and with_standard:
            console.show(f"{one.variant} reads {one.standard}")
    console.show(f"Compared on {report.sample_count:,} samples: {report.samples}")
    for line in report.c_array.lines() if report.c_array else ():
        console.show(line)
    if explain:
        for line in report.notes or ("every layer was exported as it is",):
            console.show(line)


def _pieces(precision: str | None, target: str) -> int:
    """How many files there will be."""
    from edgepack.convert.precisions import PRECISIONS

    precisions = len(PRECISIONS) if precision == "all" else (precision or "").count(",") + 1
    return precisions * (target.count(",") + 1)


def precisions(*, json: Switch = False) -> int:
    """List the precisions: what each does to weights, activations, inputs and outputs, and what runs it.

    Args:
        json: Print one JSON document on stdout and nothing else, with options, budgets and all that is refused.
    """
    from edgepack.convert.precisions import listing

    if json:
        console.show_json(listing.as_json())
        return 0
    console.show_table(
        "precisions, and the oldest release of each engine seen to run them", listing.COLUMNS, listing.rows()
    )
    for line in listing.limits():
        console.show(line)
    return 0


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        console.note(f"warning: {warning}")


def _calibration(text: str | None, seed: int) -> "Calibration | None":
    """What calibration samples are read from; those of a recipe are made here, where recipes may be known."""
    if text is None or not text.startswith(_RECIPE):
        return text
    from edgepack.convert.calibrate.sources import Named
    from edgepack.train.calibrating import calibration_of

    return Named(calibration_of(text.removeprefix(_RECIPE), seed=seed), text)


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    for text in texts:
        if not all(text.partition("=")):
            raise InputError(f"state {text!r} is no input=output")
    return dict(text.split("=", 1) for text in texts)


def _batch(text: str) -> int | str:
    if text in {"auto", "dynamic"}:
        return text
    if not text.isdecimal():
        raise InputError(f"--batch is {text!r}; it takes auto, dynamic or a number of rows from 1")
    return int(text)
