"""Which library reads TFLite files here, and an interpreter of it on one of its providers."""

import contextlib
import ctypes
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import msgspec

from edgepack.runtime.engines.base import Opening
from edgepack.runtime.errors import EngineError, UnknownNameError, one_line

CPU = "XNNPACK"
GPU, NPU = "GpuAccelerator", "NpuAccelerator"
ACCELERATORS = {GPU: "gpu", NPU: "npu"}
DELEGATE = "delegate:"  # what the name of a provider starts with that is a library of others; the library follows

# option of XNNPACK -> what it may be -> the interpreter's own name of the operators to take
_XNNPACK = {"xnnpack": {"on": "AUTO", "off": "BUILTIN_WITHOUT_DEFAULT_DELEGATES"}}


class Library(msgspec.Struct, frozen=True):
    """A package with an interpreter."""

    module: str
    distribution: str
    remark: str = ""
    """What to know about it."""

    @property
    def description(self) -> str:
        """Name and version."""
        return f"{self.distribution} {self.version}"

    @property
    def version(self) -> str:
        """The release that is installed."""
        from importlib.metadata import version  # it takes as long as opening a small model

        return version(self.distribution)

    @property
    def told(self) -> str:
        """Name and version, with what to know about it."""
        return f"{self.description} ({self.remark})" if self.remark else self.description

    def interpreter(self, data: bytes, opening: Opening) -> Any:
        """An interpreter of a file that an engine may see; its memory is not laid out.

        Raises:
            EngineError: The provider, one of its options or the file is refused; the message is the library's own.
        """
        library = import_module(f"{self.module}.interpreter")
        how: dict[str, Any] = {}
        if opening.provider.startswith(DELEGATE):
            how["experimental_delegates"] = [
                _delegate(library, opening.provider.removeprefix(DELEGATE), opening.options)
            ]
        else:
            for name, value in opening.options.items():
                values = _choice("option of XNNPACK", name, _XNNPACK)
                taken = _choice(f"value of option {name!r}", value, values)
                how["experimental_op_resolver_type"] = library.OpResolverType[taken]
        with self.refusals():
            return library.Interpreter(model_content=data, num_threads=opening.threads, **how)

    @contextlib.contextmanager
    def refusals(self) -> Iterator[None]:
        """Make an `EngineError` of what the library raises where it refuses a file."""
        try:
            yield
        except EngineError:
            raise
        except (ValueError, RuntimeError, TypeError) as error:
            raise EngineError(f"{self.description} refuses the file: {one_line(error)}") from error


# best first
_LIBRARIES = (
    Library("ai_edge_litert", "ai-edge-litert"),
    Library(
        "tflite_runtime",
        "tflite-runtime",
        "slower than ai-edge-litert, int8 files many times; use that one where it installs",
    ),
)


def installed() -> Library:
    """The best of the libraries that are here; one of them must be."""
    return next(library for library in _LIBRARIES if find_spec(library.module))


def _choice(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise EngineError(str(UnknownNameError(kind, name, known)))
    return known[name]


def _delegate(library: Any, path: str, options: Mapping[str, str]) -> Any:
    """Load a delegate; what is missing of it is looked for first, since the library's own object cannot say so."""
    try:
        loaded = ctypes.PyDLL(path)
    except OSError as error:
        raise EngineError(
            f"delegate {path!r} cannot be loaded: {one_line(error)}; give the path of its library, and install what "
            "that needs"
        ) from error
    for symbol in ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate"):
        if not hasattr(loaded, symbol):
            raise EngineError(f"{path!r} is no delegate: it has no function {symbol}; give the path of one")
    try:
        return library.load_delegate(path, dict(options))
    except (ValueError, RuntimeError) as error:
        raise EngineError(f"delegate {path!r} refuses to start: {one_line(error)}") from error
