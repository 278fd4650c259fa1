"""The user's own layers and functions, named on the command line and imported from the user's own modules."""

import contextlib
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from edgepack.runtime.errors import InputError, one_line


@contextlib.contextmanager
def known(names: Sequence[str], path: Path) -> Iterator[None]:
    """Let model files speak of the user's own classes and functions while the block runs.

    The modules are found as Python finds them, and in the folder the command runs in. Nothing is imported because a
    model file names it.

    Args:
        names: `"module:name"` each, for a layer, a function, or whatever else a config may name.
        path: The file. What it was saved as part of a package (`"package>name"`) is found by its name alone too.

    Raises:
        InputError: Not of that form, a module that does not import, or something in it that no config can name.
    """
    import keras

    found: dict[str, Any] = {}
    for name in names:
        one = _find(name)
        found |= {one.__name__: one, keras.saving.get_registered_name(one): one}
    if found:
        packaged = {name: found[own] for name in _registered(path) if (own := name.rpartition(">")[2]) in found}
        found = {**packaged, **found}
    with keras.saving.custom_object_scope(found):
        yield


def _registered(path: Path) -> list[str]:
    """The names with a package in a `.keras` file; none where it cannot be read, and loading tells why."""
    with contextlib.suppress(OSError, KeyError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        config = archive.read("config.json").decode(errors="replace")
        return re.findall(r'"registered_name":\s*"([^">]+>[^"]+)"', config)
    return []


def _find(name: str) -> Any:
    """The class or function behind `module:name`."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute.isidentifier():
        raise InputError(f"--custom {name!r} is not module:name; write my_layers:Attention for a class in my_layers.py")
    module = _import(module_name)
    found = getattr(module, attribute, None)
    if found is None:
        owned = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == module_name]
        raise InputError(
            f"--custom {name}: {module_name} has no {attribute} (it defines {', '.join(owned[:10]) or 'nothing'})"
        )
    if not _is_nameable(found):
        raise InputError(
            f"--custom {name}: {attribute} is {_described(found)}; it takes a class of layers, initializers, "
            "regularizers or constraints, or a function"
        )
    return found


def _import(name: str) -> Any:
    """The module, also from the folder the command runs in."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        return import_module(name)
    except Exception as error:  # a module may raise anything while it is imported
        text = one_line(error, 300)
        raise InputError(
            f"--custom {name}: the module does not import here ({type(error).__name__}: {text}); "
            "run the command where it lies, or install it"
        ) from error
    finally:
        sys.path.remove(here)


def _is_nameable(found: Any) -> bool:
    """Whether a model's config may hold this: something made from a config, or a plain function."""
    import keras

    kinds = (keras.Layer, keras.Initializer, keras.Regularizer, keras.constraints.Constraint, keras.DTypePolicy)
    return issubclass(found, kinds) if isinstance(found, type) else callable(found) and hasattr(found, "__name__")


def _described(found: Any) -> str:
    if not isinstance(found, type):
        return f"{type(found).__name__} {str(found)[:40]!r}"
    return f"a class of {', '.join(base.__name__ for base in found.__bases__)}"
