"""Packages that bring ONNX Runtime a provider: found by their names, registered once, asked for their devices.

Such a package holds a shared library; its module says where (`get_library_path`) and mostly what the provider is called
(`get_ep_name`). Nothing here knows a vendor.
"""

import contextlib
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgepack.runtime.errors import EngineError, one_line

_NAMES = re.compile(r"onnxruntime_\w+|\w+_ep_\w+")
_PLACE = "get_library_path"
# `onnxruntime_extensions` tells the place of a library too, which is no provider: one of these must be there beside it.
_SIGNS = ("get_ep_name", "register_execution_provider_library")
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed package that brings a provider."""

    module: str
    name: str
    """What the provider calls itself, as far as the module says; else the module's own name."""
    library: str = ""
    why_not: str = ""
    """Why it cannot be used; empty where it can."""


def plugins() -> Mapping[str, Plugin]:
    """Every plugin that is installed, by the name of its provider; ONNX Runtime itself is not imported."""
    found = (_plugin(module) for module in sorted(set(_modules())))
    return {plugin.name: plugin for plugin in found}


def devices(plugin: Plugin) -> tuple[Any, ...]:
    """Register the library, once in a process, and return what it finds to run on (`OrtEpDevice`).

    Raises:
        EngineError: ONNX Runtime is too old for plugins, or refuses this one.
    """
    import onnxruntime

    if not hasattr(onnxruntime, "register_execution_provider_library"):
        raise EngineError(
            f"ONNX Runtime {onnxruntime.__version__} takes no plugins; run: pip install --upgrade onnxruntime"
        )
    with _LOCK:
        if found := _devices(onnxruntime, plugin):  # another part of this program may have registered it
            return found
        try:
            onnxruntime.register_execution_provider_library(plugin.name, plugin.library)
        except Exception as error:
            if "already registered" not in str(error):  # it was, and found no device then
                raise EngineError(
                    f"ONNX Runtime {onnxruntime.__version__} refuses {plugin.library}: {one_line(error)}; "
                    "install releases of the two that fit"
                ) from error
        return _devices(onnxruntime, plugin)


def knows(plugin: Plugin, option: str) -> bool:
    """Whether the library holds the name of an option: plugins pass over those they do not know without a word."""
    return option.encode() in Path(plugin.library).read_bytes()


def _devices(onnxruntime: Any, plugin: Plugin) -> tuple[Any, ...]:
    """Those of the plugin's library, whatever name its provider really has."""
    return tuple(
        device
        for device in onnxruntime.get_ep_devices()
        if device.ep_metadata.get("library_path", "") == plugin.library
        or ("library_path" not in device.ep_metadata and device.ep_name == plugin.name)
    )


def _modules() -> Iterator[str]:
    """Names of top-level modules that are plugins; `pkgutil` looks into every package, which takes far longer."""
    for folder in sys.path:
        with contextlib.suppress(OSError):
            for entry in os.listdir(folder or "."):
                name = entry.removesuffix(".py")
                if _NAMES.fullmatch(name) and name.isidentifier() and _is_plugin(name):
                    yield name


def _is_plugin(name: str) -> bool:
    """Whether a module's own text has what plugins have: whatever else has such a name is not imported."""
    with contextlib.suppress(OSError, ImportError, ValueError, UnicodeDecodeError):
        spec = find_spec(name)
        if spec and spec.origin:
            text = Path(spec.origin).read_text(encoding="utf-8")
            return _PLACE in text and any(sign in text for sign in _SIGNS)
    return False


def _plugin(module: str) -> Plugin:
    name = module
    try:
        loaded = import_module(module)
        name = str(loaded.get_ep_name()) if hasattr(loaded, "get_ep_name") else module
        return Plugin(module, name, os.fspath(loaded.get_library_path()))
    except (ImportError, OSError, RuntimeError, AttributeError, ValueError, TypeError) as error:
        return Plugin(module, name, why_not=f"package {module} is damaged ({one_line(error)}); install it again")
