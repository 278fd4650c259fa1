"""Operations of Keras and TensorFlow in forms that both exporters write, whoever calls them: layers, or own code.

A substitute is made of the operation it stands for, which it calls where that does well.
"""

import contextlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

Note = Callable[[str], None]
Substitute = Callable[[Callable[..., Any], Note], Callable[..., Any]]

_KERAS = "keras.src.backend.tensorflow"
_LOWERING = "edgepack.convert.lowering"

# module and name of the operation -> module:function that makes its substitute
_SUBSTITUTES = {
    (f"{_KERAS}.numpy", "add"): f"{_LOWERING}.numbers:add",
    (f"{_KERAS}.numpy", "digitize"): f"{_LOWERING}.numbers:digitize",
    ("keras.src.utils.tf_utils", "tf_encode_categorical_inputs"): f"{_LOWERING}.numbers:encode",
    (f"{_KERAS}.math", "stft"): f"{_LOWERING}.spectra:stft",
    (f"{_KERAS}.math", "rfft"): f"{_LOWERING}.spectra:rfft",
    (f"{_KERAS}.nn", "_apply_masks"): f"{_LOWERING}.attention:masked",
    ("tensorflow", "einsum"): f"{_LOWERING}.products:einsum",
}


@contextlib.contextmanager
def substituted(note: Note) -> Iterator[None]:
    """Let every operation in the table be its substitute while the block runs; `note` is told what was done."""
    before: list[tuple[Any, str, Any]] = []
    try:
        for (home, name), place in _SUBSTITUTES.items():
            module, original = import_module(home), getattr(import_module(home), name)
            source, _, function = place.partition(":")
            make: Substitute = getattr(import_module(source), function)
            before.append((module, name, original))
            setattr(module, name, make(original, note))
        yield
    finally:
        for module, name, original in before:
            setattr(module, name, original)
