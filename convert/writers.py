"""What writes the files of one target: the model is traced once, its layers in the forms they have for that target."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any

from edgepack.convert import lowering, onnx, quantizer, tflite, tflite_quantized
from edgepack.convert.calibrate import Statistics, Stream, observe
from edgepack.convert.node_names import name_nodes
from edgepack.convert.parts import Part, chosen, parts_of
from edgepack.convert.plan import Plan
from edgepack.convert.precisions import FLOATS, find
from edgepack.convert.precisions.base import Setting
from edgepack.convert.process import Converter
from edgepack.convert.schemes import Scheme
from edgepack.convert.scopes import paths, root_of
from edgepack.convert.source import Frozen, Source, freeze
from edgepack.runtime.about import About
from edgepack.runtime.errors import ConvertError, InputError, ModelError


@dataclass(frozen=True, slots=True)
class Tools:
    """What writers share: the process of the converters, what files say of themselves, and notes for the report."""

    converter: Converter
    about: About
    notes: list[str]
    writers: dict[str, "Writer"] = field(default_factory=dict)
    """Those that could be made, by format, for whoever asks about layers later."""


class Writer:
    """Writes the files of one target, each from the same float32 file.

    Args:
        target: The format.
        float32: Gives the file that quantizers begin with: calibration runs it, and operators are counted in it.
        rows: How many rows it takes at once.
        write: Writes a file as a scheme and its setting say.
        layers: Paths of the model's layers, as `scopes.paths` gives them.
        calibration: Real samples; None where there are none.
    """

    def __init__(
        self,
        target: str,
        float32: Callable[[], bytes],
        rows: int,
        write: Callable[[Scheme, Setting], bytes],
        layers: tuple[str, ...],
        calibration: Stream | None,
    ) -> None:
        self.target = target
        self._float32 = float32
        self.calibration = calibration
        self._rows = rows
        self._write = write
        self.layers = layers

    def __call__(self, scheme: Scheme) -> bytes:
        """Write one file.

        Raises:
            ConvertError: The quantizer refuses the model, the scheme cannot be in this format, or the file has no
                operators of a kind among `float_operators`.
            InputError: There is no layer of a name among `float_layers`.
        """
        self._check_operators(scheme.options.float_operators or ())
        setting = Setting(scheme.options, float_nodes=self.nodes(scheme.options.float_layers))
        if scheme.precision.needs_calibration:
            ranges = self.statistics.ranges(
                scheme.options.ranges, symmetric=scheme.options.symmetric, bits=scheme.precision.activation_bits
            )
            setting = replace(setting, ranges=ranges, unbounded=self.statistics.unbounded)
        return self._write(scheme, setting)

    @cached_property
    def float32(self) -> bytes:
        """The file that quantizers begin with."""
        return self._float32()

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What can be kept in float one by one."""
        return parts_of(self.target, self.float32, self.layers)

    @cached_property
    def statistics(self) -> Statistics:
        """What the tensors of the float32 file hold while the calibration samples run."""
        assert self.calibration is not None, "checked before anything is converted"
        return observe(self.target, self.float32, self.calibration, self._rows)

    def _check_operators(self, kinds: Sequence[str]) -> None:
        known = {kind for part in self.parts for kind in part.operators} if kinds else set()
        if strange := set(kinds) - known:
            raise ConvertError(
                f"no operator {', '.join(sorted(strange))} in the {self.target} file to keep in float; it has "
                f"{', '.join(sorted(known))}"
            )

    def nodes(self, layers: tuple[str, ...]) -> frozenset[str]:
        """The operators of these layers, named as in `Part.nodes`.

        Raises:
            InputError: There is no layer of a name.
        """
        nodes: set[str] = set()
        for layer in layers:
            if not (found := chosen(self.parts, layer)):
                names = ", ".join(part.name for part in self.parts)
                raise InputError(f"no layer {layer!r} in the {self.target} file to keep in float; it has {names}")
            nodes.update(node for part in found for node in part.nodes)
        return frozenset(nodes)


def _tflite_writer(plan: Plan, source: Source, calibration: Stream | None, tools: Tools) -> Writer:
    batch = plan.batch if isinstance(plan.batch, int) else {"auto": 1, "dynamic": None}[plan.batch]

    def prepare(frozen: Frozen, markers: lowering.Markers) -> Writer:
        del markers

        export = partial(tflite.export, tools.converter, source, frozen)

        def write(scheme: Scheme, setting: Setting) -> bytes:
            if scheme.precision.name == "float32":
                return float32
            convert = partial(export, scheme.precision, tools.about, calibration=calibration)
            if scheme.precision.tflite is None:
                return convert()
            return tflite_quantized.write(
                float32, scheme, setting, lambda options: convert(options=options), tools.notes
            )

        # Only the converter knows whether it takes the forms.
        float32 = export(find("float32"), tools.about)
        rows = frozen.function.inputs[0].shape[0] or 1
        return Writer("tflite", lambda: float32, rows, write, tuple(paths(source.model)), calibration)

    return _lowered("tflite", source, batch, tools.notes, prepare)


def _onnx_writer(plan: Plan, source: Source, calibration: Stream | None, tools: Tools) -> Writer:
    batch = plan.batch if isinstance(plan.batch, int) else None

    def prepare(frozen: Frozen, markers: lowering.Markers) -> Writer:
        def write(scheme: Scheme, setting: Setting) -> bytes:
            start = model if scheme.precision.name in FLOATS else ready()
            return onnx.finish(quantizer.quantize(start, scheme.precision.onnx, setting), plan.standard, tools.about)

        def named(model: Any) -> Any:
            name_nodes(model, layers, root_of(source.model), frozen.function.graph)
            return model

        layers = tuple(paths(source.model))
        model = named(onnx.export(tools.converter, source, frozen, markers, plan.standard))
        ready = cache(lambda: named(quantizer.prepared(model)))
        return Writer("onnx", lambda: ready().SerializeToString(), batch or 1, write, layers, calibration)

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


# target -> what traces the model once and returns the writer of its files
WRITERS: dict[str, Callable[[Plan, Source, Stream | None, Tools], Writer]] = {
    "tflite": _tflite_writer,
    "onnx": _onnx_writer,
}
