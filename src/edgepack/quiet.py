"""Hold back what native libraries print: it would spoil progress bars and `--json`, and hides what matters."""

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from edgepack.runtime.errors import InputError, MissingExtraError


@contextlib.contextmanager
def quiet() -> Iterator[Callable[[], str]]:
    """Send the file descriptors 1 and 2 to a scratch file while the block runs, and ignore Python's warnings.

    It yields a function that returns what was held back so far, for the message of an error. Descriptors belong to
    the whole process: use it around work that nothing else prints beside.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        kept = [(number, os.dup(number)) for number in (1, 2)]
        for number, _ in kept:
            os.dup2(held.fileno(), number)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield lambda: os.pread(held.fileno(), 1 << 20, 0).decode(errors="replace")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)


def import_keras(need: str, extra: str) -> Any:
    """The module keras, on TensorFlow, imported without their greeting; a second call costs nothing.

    Args:
        need: What they are needed for, as the end of a sentence: `"reads Keras models"`.
        extra: The extra that installs them.

    Raises:
        MissingExtraError: They are not installed.
        InputError: Keras is set to run on something else.
    """
    if sys.modules.get("tensorflow") and (loaded := sys.modules.get("keras")):
        return loaded
    try:
        import_tensorflow()
        with quiet():
            keras = import_module("keras")
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"TensorFlow with Keras, which {need},", extra) from error
    if keras.config.backend() != "tensorflow":
        raise InputError(f"Keras runs on {keras.config.backend()!r} here; edgepack takes KERAS_BACKEND=tensorflow")
    return keras


def import_tensorflow() -> None:
    """Import TensorFlow without its greeting, and let it speak only of errors."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet():
        import_module("tensorflow")
        import_module("absl.logging").set_verbosity("error")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
