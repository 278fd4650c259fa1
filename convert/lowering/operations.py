"""Operations of Keras and TensorFlow in forms that both exporters write, whoever calls them: layers, or own code.

A substitute is made of the operation it stands for, which it calls where that does well.
"""

import contextlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from edgepack.convert.lowering.base import Markers

Substitute = Callable[[Callable[..., Any], Markers], Callable[..., Any]]

_KERAS = "keras.src.backend.tensorflow"
_LOWERING = "edgepack.convert.lowering"

# module and name of the operation -> module:function that makes its substitute, for both targets
_SUBSTITUTES = {
    (f"{_KERAS}.numpy", "argmax"): f"{_LOWERING}.numbers:argmax",
    (f"{_KERAS}.numpy", "argmin"): f"{_LOWERING}.numbers:argmin",
    (f"{_KERAS}.numpy", "add"): f"{_LOWERING}.numbers:add",
    (f"{_KERAS}.numpy", "digitize"): f"{_LOWERING}.numbers:digitize",
    ("keras.src.utils.tf_utils", "tf_encode_categorical_inputs"): f"{_LOWERING}.numbers:encode",
    (f"{_KERAS}.numpy", "matmul"): f"{_LOWERING}.products:of_bytes",
    (f"{_KERAS}.numpy", "einsum"): f"{_LOWERING}.products:of_bytes",
    (f"{_KERAS}.math", "stft"): f"{_LOWERING}.spectra:stft",
    (f"{_KERAS}.math", "rfft"): f"{_LOWERING}.spectra:rfft",
    (f"{_KERAS}.nn", "_apply_masks"): f"{_LOWERING}.attention:masked",
    ("tensorflow", "einsum"): f"{_LOWERING}.products:einsum",
}

# target -> the same, for what the other's exporter writes itself
_OWN_SUBSTITUTES = {
    "tflite": {
        (f"{_KERAS}.numpy", name): f"{_LOWERING}.functions:{name}"
        for name in ("tan", "sinh", "cosh", "arcsinh", "arccosh", "arctanh")
    }
    | {(f"{_KERAS}.math", name): f"{_LOWERING}.functions:{name}" for name in ("erf", "erfc")},
    "onnx": {(f"{_KERAS}.numpy", "log1p"): f"{_LOWERING}.functions:log1p"},
}


@contextlib.contextmanager
def substituted(markers: Markers, target: str) -> Iterator[None]:
    """Let every operation with a substitute for `target` be it while the block runs; `markers` are told."""
    before: list[tuple[Any, str, Any]] = []
    try:
        for (home, name), place in {**_SUBSTITUTES, **_OWN_SUBSTITUTES[target]}.items():
            module, original = import_module(home), getattr(import_module(home), name)
            source, _, function = place.partition(":")
            make: Substitute = getattr(import_module(source), function)
            before.append((module, name, original))
            setattr(module, name, make(original, markers))
        yield
    finally:
        for module, name, original in before:
            setattr(module, name, original)
