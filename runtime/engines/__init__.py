"""The table of engines; nothing is imported before it is used."""

from importlib import import_module
from importlib.util import find_spec

from edgepack.runtime.engines.base import Engine, EngineName
from edgepack.runtime.errors import EngineError, MissingExtraError, UnknownNameError

__all__ = ["Engine", "EngineName", "available", "for_format", "known", "library", "open_file"]

# engine -> (modules of which one must be installed, our adapter, the formats it reads, the extra that installs it)
_ENGINES: dict[str, tuple[tuple[str, ...], str, tuple[str, ...], str]] = {
    "onnx": (("onnxruntime",), "edgepack.runtime.engines.onnx:OnnxEngine", ("onnx",), "onnx"),
    "litert": (
        ("ai_edge_litert", "tflite_runtime"),
        "edgepack.runtime.engines.litert:LitertEngine",
        ("tflite",),
        "litert",
    ),
}


def known() -> tuple[str, ...]:
    """Names of all engines, best first, installed or not."""
    return tuple(_ENGINES)


def available() -> tuple[str, ...]:
    """Names of the engines installed here, without importing them."""
    return tuple(name for name in _ENGINES if library(name))


def library(engine: str) -> str | None:
    """The module behind an engine that is installed here, or None."""
    modules, _, _, _ = _entry(engine)
    return next((module for module in modules if find_spec(module)), None)


def extra(engine: str) -> str:
    """The extra that installs an engine: `pip install 'edgepack[…]'`."""
    return _entry(engine)[3]


def for_format(file_format: str) -> tuple[str, ...]:
    """Names of the engines that read files of a format (`"onnx"`, `"tflite"`), best first."""
    return tuple(name for name, (_, _, formats, _) in _ENGINES.items() if file_format in formats)


def open_file(engine: str, data: bytes, *, providers: tuple[str, ...], threads: int) -> Engine:
    """Open the bytes of a file in an engine.

    Args:
        engine: A name of `known()`.
        data: The whole file.
        providers: The engine's own provider names, best first.
        threads: How many threads one call may use.

    Raises:
        UnknownNameError: No such engine.
        MissingExtraError: It is not installed.
        EngineError: It refuses the file; the message is the engine's own.
    """
    modules, adapter, _, extra_name = _entry(engine)
    if library(engine) is None:
        raise MissingExtraError(f"engine {engine!r} ({' or '.join(modules)})", extra_name)
    module, _, factory = adapter.partition(":")
    try:
        opened: Engine = getattr(import_module(module), factory)(data, providers=providers, threads=threads)
    except ImportError as error:
        raise EngineError(
            f"engine {engine!r} is installed but cannot be imported: {error}; install it again"
        ) from error
    return opened


def _entry(engine: str) -> tuple[tuple[str, ...], str, tuple[str, ...], str]:
    if engine not in _ENGINES:
        raise UnknownNameError("engine", engine, _ENGINES)
    return _ENGINES[engine]
