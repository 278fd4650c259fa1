"""The seam to ONNX Runtime's quantizer: what it is handed, and how its failures are told."""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgepack.convert.samples import Samples
from edgepack.quiet import quiet
from edgepack.runtime.errors import ConvertError, one_line


def quantize(model: Any, write: Callable[[Any, Samples | None, Path], Any], calibration: Samples | None) -> Any:
    """Write a model in one precision.

    Args:
        model: The float32 `onnx.ModelProto`; it is left as it is.
        write: A precision's `onnx`.
        calibration: Real samples; needed where the precision's ranges are calibrated.

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
            return write(copied, calibration, Path(folder))
        except Exception as error:  # the quantizer raises what its handlers raise
            raise ConvertError(f"the ONNX quantizer refuses the model: {one_line(error, 400)}") from error
        finally:
            root.setLevel(level)


def prepared(model: Any, folder: Path) -> Path:
    """The model with fused products and known shapes, which the quantizer asks for, as a file in `folder`."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    plain, ready = folder / "plain.onnx", folder / "prepared.onnx"
    onnx.save(model, plain)
    quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
    return ready
