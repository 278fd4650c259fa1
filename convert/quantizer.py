"""The seam to ONNX Runtime's quantizer: what it is handed, and how its failures are told."""

import logging
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.convert.passes.pool_means import pool_means
from edgepack.convert.passes.readers import name_of
from edgepack.convert.setting import Setting
from edgepack.quiet import quiet
from edgepack.runtime.errors import ConvertError, one_line


def quantize(model: Any, write: Callable[[Any, Setting, Path], Any], setting: Setting) -> Any:
    """Write a model in one precision.

    Args:
        model: The float32 `onnx.ModelProto`, `prepared`; it is left as it is.
        write: A precision's `onnx`.
        setting: What the quantizer is told.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        ConvertError: The quantizer refuses the model; the message is its own.
    """
    copied = type(model)()
    copied.CopyFrom(model)
    root = logging.getLogger()  # the quantizer advises through the root logger
    level = root.level
    with quiet(), tempfile.TemporaryDirectory() as folder:
        root.setLevel(logging.ERROR)
        try:
            return write(copied, setting, Path(folder))
        except ConvertError:
            raise
        except Exception as error:  # the quantizer raises what its handlers raise
            raise ConvertError(f"the ONNX quantizer refuses the model: {one_line(error, 400)}") from error
        finally:
            root.setLevel(level)


def prepared(model: Any) -> Any:
    """The model with fused products and known shapes, which the quantizer asks for, and a name for every node.

    Raises:
        ConvertError: ONNX Runtime cannot prepare it.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with quiet(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ready = folder / "prepared.onnx"
        try:
            quant_pre_process(str(_save(model, folder)), str(ready), skip_symbolic_shape=True)
            found = onnx.load(ready)
            pool_means(found)
        except Exception as error:  # it raises what its passes raise
            raise ConvertError(f"the ONNX quantizer refuses the model: {one_line(error, 400)}") from error
    for node in found.graph.node:
        node.name = name_of(node)
    return found


def calibrated(model: Any, setting: Setting, nodes: Collection[str], activations: Any) -> Any:
    """The model with operators in 8 bits, or with 16-bit activations, whose ranges are known, in QDQ form.

    Args:
        model: The float32 model, prepared.
        setting: The ranges and the options.
        nodes: Names of the nodes to quantize; at least one.
        activations: An `onnxruntime.quantization.QuantType`. With 16 bits the conversions are those of
            `com.microsoft` below opset 21, which has none of its own.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    assert setting.ranges is not None, "checked before anything is converted"
    assert nodes, "checked by whoever chose them: none would be taken for all"
    known = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in setting.ranges.items()
    }
    # Not `quantize_static`, which would raise the opset of a file with 16-bit activations.
    quantizer = QDQQuantizer(
        model,
        setting.options.granularity == "per-channel",
        setting.options.reduce_range,
        QuantType.QInt8,
        activations,
        TensorsData(CalibrationMethod.MinMax, known),
        list(nodes),
        [],
        sorted({*QDQRegistry, *QLinearOpsRegistry}),
        {"ActivationSymmetric": setting.options.symmetric},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()  # it appends its conversions
    return quantizer.model.model


def dynamic(model: Any, setting: Setting, nodes: Collection[str], folder: Path) -> Any:
    """The model with matrix products and LSTM in int8, whose activations are quantized on the fly.

    Args:
        model: The float32 model, prepared.
        setting: The options.
        nodes: Names of the nodes to quantize: MatMul, Gemm and LSTM with constant weights; at least one.
        folder: Where files may be written.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantized = folder / "dynamic.onnx"
    quantize_dynamic(
        _save(model, folder),
        quantized,
        op_types_to_quantize=["MatMul", "LSTM"],
        # It makes matrix products of Gemm first, and names them so.
        nodes_to_quantize=[*nodes, *(f"{name}_MatMul" for name in nodes)],
        weight_type=QuantType.QInt8,
        per_channel=setting.options.granularity == "per-channel",
        reduce_range=setting.options.reduce_range,
        extra_options={"MatMulConstBOnly": True},
    )
    return onnx.load(quantized)


def _save(model: Any, folder: Path) -> Path:
    """The model as a file in `folder`."""
    import onnx

    path = folder / "plain.onnx"
    onnx.save(model, path)
    return path
