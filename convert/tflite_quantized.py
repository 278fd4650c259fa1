"""Which of two writers a quantized TFLite file comes from: Google's quantizer, or TensorFlow's converter.

The quantizer begins with the float32 file, and takes every option. The converter traces the model again, calibrates by
itself, by the smallest and largest value, and knows operators that the quantizer leaves in float. So it is asked where
the quantizer refuses a file, and where all of a file is to be in whole numbers and the quantizer left some of it out.
"""

from collections import Counter
from collections.abc import Callable

from edgepack.convert import tflite, tflite_model
from edgepack.convert.options import Options
from edgepack.convert.schemes import Scheme
from edgepack.convert.setting import Setting
from edgepack.runtime.errors import ConvertError

_HONOURED = {"granularity", "activations", "io"}  # options that the converter takes too
_BORDERS = {"QUANTIZE", "DEQUANTIZE"}


def write(
    float32: bytes, scheme: Scheme, setting: Setting, convert: Callable[[Options], bytes], notes: list[str]
) -> bytes:
    """Write a float32 TFLite file in another precision.

    Args:
        float32: The file.
        scheme: The precision, which the quantizer writes.
        setting: What the quantizer is told.
        convert: Has TensorFlow's converter write the same.
        notes: Grows by which of the two it was, where that is not the quantizer, and by what is not as it was asked.

    Raises:
        ConvertError: Neither writes it.
    """
    quantize, options = scheme.precision.tflite, setting.options
    assert quantize is not None, "the converter alone writes the others"
    may_convert = scheme.precision.converter is not None and options.said().keys() <= _HONOURED
    variant = scheme.variant("tflite")
    try:
        data = tflite.packed(quantize(float32, setting))
    except ConvertError as error:
        if not may_convert or options.activations == "uint8":
            raise
        data = _converted(convert, options, error)
        notes.append(f"{variant}: TensorFlow's converter wrote it, since {error}")
    if options.io == "float32":
        return data
    left = _in_float(data, setting)
    if left and may_convert:
        try:
            other = convert(options)
        except ConvertError as error:
            notes.append(f"{variant}: {error}")
        else:
            if (fewer := _in_float(other, setting)) < left:
                notes.append(
                    f"{variant}: TensorFlow's converter wrote it; the quantizer leaves {_listed(left)} in float"
                )
                data, left = other, fewer
    if left:
        notes.append(f"{variant}: {_listed(left)} inside the file still reckon in float32: no writer has them in int8")
    return marked(data)


def _converted(convert: Callable[[Options], bytes], options: Options, refusal: ConvertError) -> bytes:
    try:
        return convert(options)
    except ConvertError as error:
        raise ConvertError(f"{refusal}; {error}") from error


def _in_float(data: bytes, setting: Setting) -> Counter[str]:
    """How many operators of each kind give float32 that were not asked to; empty where all reckon in whole numbers."""
    model = tflite_model.read(data)
    asked = setting.float_nodes | set(setting.options.float_operators or ())
    return Counter(
        kind
        for graph, operator, kind in tflite_model.operators(model)
        if kind not in _BORDERS
        and asked.isdisjoint((kind, tflite_model.name(graph, operator)))
        and any(tflite_model.dtypes()[graph.tensors[index].type] == "float32" for index in operator.outputs)
    )


def _listed(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def marked(data: bytes) -> bytes:
    """A file of whole numbers with the mark by which a session takes and gives float32 all the same."""
    model = tflite_model.read(data)
    tflite_model.describe(model, {"io": "int8"})
    return tflite_model.write(model, len(data))
