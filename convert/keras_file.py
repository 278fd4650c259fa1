"""A Keras model read from a file, of Keras 3 or Keras 2, without running code that the file carries."""

import re
from pathlib import Path
from typing import Any

from edgepack.convert import legacy
from edgepack.quiet import quiet
from edgepack.runtime.errors import EdgepackError, MissingFileError, ModelError, UnsafeModelError, one_line

_ENDINGS = (".keras", ".h5", ".hdf5")


def read_keras(path: Path, *, unsafe_lambda: bool) -> Any:
    """The model in a `.keras` or `.h5` file.

    Args:
        path: The file.
        unsafe_lambda: Execute the code that Lambda layers carry.

    Raises:
        MissingFileError: Nothing is at the path.
        UnsafeModelError: The file carries code and `unsafe_lambda` is False.
        ModelError: The file is damaged or of another kind, or has a layer that is not known here.
    """
    import keras

    if not path.exists():
        raise MissingFileError(path, "model")
    if path.is_dir() and path.suffix not in _ENDINGS:
        raise ModelError(f"{path} is a folder without saved_model.pb; give the folder that model.export wrote")
    if path.suffix not in _ENDINGS:
        raise ModelError(
            f"{path} is no model that edgepack reads; it takes {', '.join(_ENDINGS)}, a SavedModel folder "
            "or a keras.Model in memory"
        )
    if path.is_dir() or path.stat().st_size == 0:
        raise ModelError(
            f"{path} is {'a folder' if path.is_dir() else 'empty'}; save the model again with model.save({path.name!r})"
        )
    try:
        with quiet():
            if legacy.keras_version(path).startswith(("1", "2")):
                return legacy.load_legacy(path, unsafe_lambda=unsafe_lambda)
            return keras.models.load_model(path, compile=False, safe_mode=not unsafe_lambda)
    except EdgepackError:
        raise
    except Exception as error:
        raise _explain(path, error) from error


def _explain(path: Path, error: Exception) -> EdgepackError:
    """What went wrong while loading, as something the user can act on."""
    text = one_line(error, 600) or type(error).__name__
    if "lambda" in text.lower() and ("safe_mode" in text or "unsafe" in text.lower()):
        return UnsafeModelError(
            f"{path} has a Lambda layer: loading it would execute code from the file; replace the layer, "
            "or pass --unsafe-lambda (unsafe_lambda=True) if you trust where the file comes from"
        )
    unknown = re.search(r"(?:Could not locate (?:class|function)|Unknown (?:layer|object)):? '([^']+)'", text)
    if unknown:
        return ModelError(
            f"{path} has {unknown[1]!r}, which Keras does not know here; pass its code with --custom "
            f"module:{unknown[1].rpartition('>')[2]}"
        )
    if "deserializ" in text:
        return ModelError(f"{path} has a layer that Keras does not read here: {text[:300]}")
    return ModelError(f"{path} cannot be read as a Keras model; is it whole? {text[:300]}")
