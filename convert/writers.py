"""What writes the files of one target: the model is traced once, its layers in the forms they have for that target."""

from collections.abc import Callable
from dataclasses import dataclass

from edgepack.convert import lowering, onnx, quantizer, tflite
from edgepack.convert.plan import Plan
from edgepack.convert.precisions import Precision
from edgepack.convert.process import Converter
from edgepack.convert.samples import Samples
from edgepack.convert.source import Frozen, Source, freeze
from edgepack.runtime.about import About
from edgepack.runtime.errors import ConvertError, ModelError

Writer = Callable[[Precision], bytes]


@dataclass(frozen=True, slots=True)
class Tools:
    """What writers share: the process of the converters, what files say of themselves, and notes for the report."""

    converter: Converter
    about: About
    notes: list[str]


def _tflite_writer(plan: Plan, source: Source, calibration: Samples | None, tools: Tools) -> Writer:
    batch = plan.batch if isinstance(plan.batch, int) else {"auto": 1, "dynamic": None}[plan.batch]

    def prepare(frozen: Frozen, markers: lowering.Markers) -> Writer:
        def write(precision: Precision) -> bytes:
            if precision.name not in written:
                written[precision.name] = tflite.export(
                    tools.converter, source, frozen, precision, calibration, tools.about
                )
            return written[precision.name]

        del markers
        written: dict[str, bytes] = {}
        write(plan.precisions[0])  # only the converter knows whether it takes the forms
        return write

    return _lowered("tflite", source, batch, tools.notes, prepare)


def _onnx_writer(plan: Plan, source: Source, calibration: Samples | None, tools: Tools) -> Writer:
    batch = plan.batch if isinstance(plan.batch, int) else None

    def prepare(frozen: Frozen, markers: lowering.Markers) -> Writer:
        def write(precision: Precision) -> bytes:
            return onnx.finish(quantizer.quantize(model, precision.onnx, calibration), plan.standard, tools.about)

        model = onnx.export(tools.converter, source, frozen, markers, plan.standard)
        return write

    return _lowered("onnx", source, batch, tools.notes, prepare)


def _lowered(
    target: str,
    source: Source,
    batch: int | None,
    notes: list[str],
    prepare: Callable[[Frozen, lowering.Markers], Writer],
) -> Writer:
    """The writer of the model with its layers lowered; of the model as it is, where no exporter takes that.

    Args:
        target: The format.
        source: The model.
        batch: How many rows; None is any number.
        notes: Grows by what was done to which layer.
        prepare: Makes the writer of a traced model.
    """
    functional = target == "onnx"
    with lowering.applied(source.model, target) as markers:
        try:
            writer = prepare(freeze(source, batch, functional=functional), markers)
        except (ConvertError, ModelError) as error:
            refusal = error
        else:
            notes += [f"{target}: {note}" for note in markers.notes]
            return writer
    if not markers.notes:
        raise refusal
    try:
        writer = prepare(freeze(source, batch, functional=functional), lowering.Markers())
    except (ConvertError, ModelError):
        raise refusal from None
    notes.append(f"{target}: no layer was lowered, since that failed: {refusal}")
    return writer


# target -> what traces the model once and returns the writer of one precision
WRITERS: dict[str, Callable[[Plan, Source, Samples | None, Tools], Writer]] = {
    "tflite": _tflite_writer,
    "onnx": _onnx_writer,
}
