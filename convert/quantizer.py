"""The seam to ONNX Runtime's quantizer: what it is handed, and how its failures are told."""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgepack.convert.precisions.base import Setting
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
    """The model with fused products and known shapes, which the quantizer asks for.

    Raises:
        ConvertError: ONNX Runtime cannot prepare it.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with quiet(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ready = folder / "prepared.onnx"
        try:
            quant_pre_process(str(save(model, folder)), str(ready), skip_symbolic_shape=True)
        except Exception as error:  # it raises what its passes raise
            raise ConvertError(f"the ONNX quantizer refuses the model: {one_line(error, 400)}") from error
        return onnx.load(ready)


def save(model: Any, folder: Path) -> Path:
    """The model as a file in `folder`."""
    import onnx

    path = folder / "plain.onnx"
    onnx.save(model, path)
    return path
