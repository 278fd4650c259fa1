"""Frozen Keras model to TFLite bytes, in any precision, with the model's own names."""

from typing import Any

from edgepack.convert.precisions import Precision
from edgepack.convert.samples import Samples
from edgepack.convert.source import Frozen, Source
from edgepack.quiet import quiet
from edgepack.runtime.errors import ConvertError
from edgepack.runtime.tensor import TensorSpec

_SIGNATURE = "serving_default"


def export(source: Source, frozen: Frozen, precision: Precision, calibration: Samples | None) -> bytes:
    """Write one TFLite file.

    Args:
        source: Whose names the file gets.
        frozen: The model with constant weights.
        precision: How it stores numbers.
        calibration: Real samples; needed where the precision's ranges are calibrated.

    Raises:
        ConvertError: The converter refuses the model; the message is its own.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen.function])
    # Built-in operators alone: a file with Flex operators is refused by every light interpreter.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    precision.tflite(converter, source, calibration)
    with quiet() as held:
        try:
            data = converter.convert()
        except Exception as error:  # the converter raises what its passes raise
            raise ConvertError(f"the TFLite converter refuses the model: {_reason(error, held())}") from error
    return _rename(data, source, frozen)


def _rename(data: bytes, source: Source, frozen: Frozen) -> bytes:
    """Give a file the model's names: on its tensors and in one signature, in the model's order."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    class Aligned(flatbuffers.Builder):  # type: ignore[misc]
        """Keeps weights on 16 bytes, as the schema's force_align asks and the object API forgets."""

        def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:  # noqa: N802, N803
            return super().StartVector(elemSize, numElems, max(alignment, 16) if elemSize == 1 else alignment)

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = _SIGNATURE.encode(), 0
    signature.inputs = _name_tensors(schema, graph, graph.inputs, source.inputs, frozen.inputs)
    signature.outputs = _name_tensors(schema, graph, graph.outputs, source.outputs, frozen.outputs)
    model.signatureDefs = [signature]
    builder = Aligned(len(data) + 4096)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _name_tensors(
    schema: Any, graph: Any, indices: Any, specs: tuple[TensorSpec, ...], frozen_names: tuple[str, ...]
) -> list[Any]:
    """Name the tensors after `specs`, found by the names the frozen graph gave them; returns the signature's map."""
    found = {graph.tensors[index].name.decode(): index for index in indices}
    wanted = [name.removesuffix(":0") for name in frozen_names]
    ordered = [found[name] for name in wanted] if set(wanted) == set(found) else list(indices)
    maps = []
    for index, spec in zip(ordered, specs, strict=True):
        graph.tensors[index].name = spec.name.encode()
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = spec.name.encode(), int(index)
        maps.append(entry)
    return maps


def _reason(error: Exception, log: str) -> str:
    """The converter's own reason on one line: its message, or the last error it printed."""
    text = " ".join(str(error).split())
    if "Flex" in text or "SELECT_TF_OPS" in text:
        start = text.find("TF Select ops:")
        text = text[max(start, 0) :][:200]
        return f"it needs operators that no light interpreter has ({text})"
    printed = [line for line in log.splitlines() if "error:" in line.lower()]
    return (text or (printed[-1] if printed else type(error).__name__))[:400]
