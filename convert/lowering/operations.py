"""The table of operations, of Keras and of TensorFlow, that take another form, whoever calls them: layers, or own code.

A substitute is made of the operation it stands for, which it calls where that does well.
"""

import contextlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from edgepack.convert.lowering.base import Markers, load

Substitute = Callable[[Callable[..., Any], Markers], Callable[..., Any]]

_KERAS = "keras.src.backend.tensorflow"
_LOWERING = "edgepack.convert.lowering"

# "module:operation" -> "module:function" that makes its substitute
_BOTH = {
    f"{_KERAS}.image:resize": f"{_LOWERING}.resizing:for_TARGET",
    f"{_KERAS}.math:rfft": f"{_LOWERING}.spectra:rfft",
    f"{_KERAS}.math:stft": f"{_LOWERING}.spectra:stft",
    f"{_KERAS}.nn:_apply_masks": f"{_LOWERING}.attention:masked",
    f"{_KERAS}.nn:conv": f"{_LOWERING}.convolution:for_TARGET",
    f"{_KERAS}.nn:conv_transpose": f"{_LOWERING}.transposed_convolution:for_TARGET",
    f"{_KERAS}.numpy:add": f"{_LOWERING}.addition:lower",
    f"{_KERAS}.numpy:argmax": f"{_LOWERING}.numbers:argmax",
    f"{_KERAS}.numpy:argmin": f"{_LOWERING}.numbers:argmin",
    f"{_KERAS}.numpy:digitize": f"{_LOWERING}.numbers:digitize",
    f"{_KERAS}.numpy:einsum": f"{_LOWERING}.products:of_bytes",
    f"{_KERAS}.numpy:matmul": f"{_LOWERING}.products:of_bytes",
    "keras.src.utils.tf_utils:tf_encode_categorical_inputs": f"{_LOWERING}.numbers:encode",
    "tensorflow:einsum": f"{_LOWERING}.products:einsum",
}

# target -> the same, for what the other's exporter writes itself
_OWN = {
    "onnx": {
        f"{_KERAS}.nn:depthwise_conv": f"{_LOWERING}.convolution:depthwise_for_onnx",
        f"{_KERAS}.nn:separable_conv": f"{_LOWERING}.convolution:depthwise_for_onnx",
        f"{_KERAS}.numpy:log1p": f"{_LOWERING}.functions:log1p",
    },
    "tflite": {
        f"{_KERAS}.math:erf": f"{_LOWERING}.functions:erf",
        f"{_KERAS}.math:erfc": f"{_LOWERING}.functions:erfc",
        f"{_KERAS}.math:rsqrt": f"{_LOWERING}.functions:rsqrt",
        f"{_KERAS}.nn:adaptive_average_pool": f"{_LOWERING}.pooling:lower_adaptive",
        f"{_KERAS}.nn:adaptive_max_pool": f"{_LOWERING}.pooling:lower_adaptive",
        f"{_KERAS}.nn:average_pool": f"{_LOWERING}.pooling:lower",
        f"{_KERAS}.nn:max_pool": f"{_LOWERING}.pooling:lower",
        f"{_KERAS}.numpy:arccosh": f"{_LOWERING}.functions:arccosh",
        f"{_KERAS}.numpy:arcsinh": f"{_LOWERING}.functions:arcsinh",
        f"{_KERAS}.numpy:arctanh": f"{_LOWERING}.functions:arctanh",
        f"{_KERAS}.numpy:cosh": f"{_LOWERING}.functions:cosh",
        f"{_KERAS}.numpy:pad": f"{_LOWERING}.padding:lower",
        f"{_KERAS}.numpy:repeat": f"{_LOWERING}.repeating:lower",
        f"{_KERAS}.numpy:sinh": f"{_LOWERING}.functions:sinh",
        f"{_KERAS}.numpy:tan": f"{_LOWERING}.functions:tan",
    },
}


@contextlib.contextmanager
def substituted(markers: Markers, target: str) -> Iterator[None]:
    """Let every operation with a substitute for `target` be it while the block runs; `markers` hear what was done."""
    with contextlib.ExitStack() as stack:
        for place, maker in {**_BOTH, **_OWN[target]}.items():
            home, _, name = place.partition(":")
            module = import_module(home)
            original = getattr(module, name)
            make: Substitute = load(maker.replace("TARGET", target))
            stack.callback(setattr, module, name, original)
            setattr(module, name, make(original, markers))
        yield
