"""The table of engines; nothing is imported before it is used."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import msgspec

from edgepack.runtime.engines.base import Engine, EngineName, Offer, Opening
from edgepack.runtime.errors import EngineError, MissingExtraError, UnknownNameError

__all__ = [
    "Engine", "EngineName", "Offer", "Opening", "available", "for_format", "known", "library", "offers", "open_file",
    "own_cpu", "takes_delegate",
]  # fmt: skip


class _Entry(msgspec.Struct, frozen=True):
    """One engine: nothing of it is imported before it is used."""

    modules: tuple[str, ...]
    """Modules of which one must be installed."""
    adapter: str
    """What opens a file: `open_file(data, opening) -> Engine`, as `module:function`."""
    formats: tuple[str, ...]
    extra: str
    """The extra that installs it."""
    cpu: str
    """The provider that is the engine itself on the CPU: no trial is needed before it is trusted with a proved file."""
    offers: str
    """What lists its providers, best first of each kind: `offers() -> tuple[Offer, ...]`, as `module:function`."""
    delegate: str = ""
    """What the name of a provider starts with that is a library of others: the path of that follows."""


_ENGINES = {
    "onnx": _Entry(
        ("onnxruntime",), "edgepack.runtime.engines.onnx:OnnxEngine", ("onnx",), "onnx", "CPUExecutionProvider",
        "edgepack.runtime.engines.onnx_providers:offers",
    ),
    "litert": _Entry(
        ("ai_edge_litert", "tflite_runtime"), "edgepack.runtime.engines.litert:open_file", ("tflite",), "litert",
        "XNNPACK", "edgepack.runtime.engines.litert_providers:offers", "delegate:",
    ),
    "openvino": _Entry(
        ("openvino",), "edgepack.runtime.engines.openvino:OpenvinoEngine", ("onnx", "tflite"), "openvino",
        "openvino:CPU", "edgepack.runtime.engines.openvino_providers:offers",
    ),
}  # fmt: skip


def known() -> tuple[str, ...]:
    """Names of all engines, best first, installed or not."""
    return tuple(_ENGINES)


def available() -> tuple[str, ...]:
    """Names of the engines installed here, without importing them."""
    return tuple(name for name in _ENGINES if library(name))


def library(engine: str) -> str | None:
    """The module behind an engine that is installed here, or None."""
    return next((module for module in _entry(engine).modules if find_spec(module)), None)


def extra(engine: str) -> str:
    """The extra that installs an engine: `pip install 'edgepack[…]'`."""
    return _entry(engine).extra


def for_format(file_format: str) -> tuple[str, ...]:
    """Names of the engines that read files of a format (`"onnx"`, `"tflite"`), best first."""
    return tuple(name for name, entry in _ENGINES.items() if file_format in entry.formats)


def own_cpu(engine: str) -> str:
    """The name of the provider that is the engine itself on the CPU."""
    return _entry(engine).cpu


def offers(engine: str) -> tuple[Offer, ...]:
    """Every provider that an engine can run on somewhere, best first of each kind; nothing is loaded."""
    found: tuple[Offer, ...] = _named(_entry(engine).offers)()
    return found


def takes_delegate(engine: str, name: str) -> bool:
    """Whether a provider's name is the path of a library of others that an engine hands operators to."""
    start = _entry(engine).delegate
    return bool(start) and name.startswith(start) and name != start


def open_file(engine: str, data: bytes, opening: Opening) -> Engine:
    """Open the bytes of a file in an engine.

    Args:
        engine: A name of `known()`.
        data: The whole file.
        opening: Where it is to run, and what it may use there.

    Raises:
        UnknownNameError: No such engine.
        MissingExtraError: It is not installed.
        EngineError: It refuses the file or cannot run it on that provider; the message is the engine's own.
    """
    entry = _entry(engine)
    if library(engine) is None:
        raise MissingExtraError(f"engine {engine!r} ({' or '.join(entry.modules)})", entry.extra)
    try:
        opened: Engine = _named(entry.adapter)(data, opening)
    except ImportError as error:
        raise EngineError(
            f"engine {engine!r} is installed but cannot be imported: {error}; install it again"
        ) from error
    return _as_the_model_is(opened, data)


def _as_the_model_is(opened: Engine, data: bytes) -> Engine:
    """An engine of float32 where edgepack wrote a file of whole numbers for a model of float32."""
    if data[4:8] != b"TFL3" or opened.metadata.get("io") != "int8":
        return opened
    from edgepack.runtime.engines.integer_ends import FloatEnds, scales

    try:
        return FloatEnds(opened, scales(data))
    except EngineError:
        opened.close()
        raise


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _entry(engine: str) -> _Entry:
    if engine not in _ENGINES:
        raise UnknownNameError("engine", engine, _ENGINES)
    return _ENGINES[engine]
