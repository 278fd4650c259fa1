"""LiteRT's compiled models: TFLite files on a GPU or an NPU, with ai-edge-litert."""

import enum
import math
import re
import threading
import traceback
import types
import typing
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from edgepack.runtime.engines.base import EngineName, Opening, closed
from edgepack.runtime.engines.litert_chatter import Chatter, held_back
from edgepack.runtime.engines.litert_library import ACCELERATORS, CPU, GPU, NPU, Library
from edgepack.runtime.engines.tflite_file import has_free_sizes, metadata, reason_to_refuse
from edgepack.runtime.engines.tflite_state import state_of
from edgepack.runtime.errors import EngineError, one_line
from edgepack.runtime.tensor import Array, TensorSpec

_HOST_MEMORY = 1  # LiteRtTensorBufferType: a tensor that lies there was not given to any accelerator
_DTYPES = {"float32", "float16", "int32", "int8", "uint8", "bool"}  # that its buffers are written and read in
_PATHS = ("compiler_plugin_path", "dispatch_library_path")  # options of the environment
_VALUES = {"on": True, "off": False, "true": True, "false": False, "1": True, "0": False}
_FOR_OTHERS = re.compile(r"└|ERROR: \[[^\]]*\]|Add kLiteRtHwAccelerator.*")  # places in LiteRT's source, and advice
_COUNTS = re.compile(r"^(\d+) operations will run on the \w+, and the remaining (\d+) operations", re.MULTILINE)


class CompiledEngine:
    """A TFLite file of fixed sizes, compiled for an accelerator. Calls from several threads take turns on it.

    Whether it runs there is read from where its inputs and outputs lie: `is_fully_accelerated` is true as well for a
    file that all stays with the CPU.
    """

    _model: Any = None
    _environment: Any = None

    def __init__(self, data: bytes, opening: Opening, library: Library) -> None:
        """Compile the file.

        Args:
            data: The whole file.
            opening: Where it runs: `GpuAccelerator`, with the options of `GpuOptions`; `NpuAccelerator`, with those of
                `IntelOpenVinoOptions` (`intel.graph_backend`) and `QualcommOptions` (`qualcomm.backend`). Both take
                `compiler_plugin_path` and `dispatch_library_path`.
            library: ai-edge-litert.

        Raises:
            EngineError: There is no such device, it does not take the file, or takes a part in strict mode.
        """
        self._where = f"{library.description}, {opening.provider},"
        if reason := reason_to_refuse(data) or _reason_not_to_compile(data):
            raise EngineError(f"{self._where} refuses the file: {reason}")
        self.name = EngineName("litert", library.description)
        self._kind = ACCELERATORS[opening.provider]
        # Intel's plugin runs on its other devices too, under the name of the NPU.
        self.provider = opening.options.get("intel.graph_backend", self._kind).lower()
        self._data = data  # its weights are read from here
        self._turn = threading.Lock()  # there is one device
        api = import_module(f"{library.module}.compiled_model")
        with held_back() as chatter:
            try:
                is_whole = self._compile(api, opening)
                self.inputs, self.outputs = _specs(self._model, "Input"), _specs(self._model, "Output")
                self._check_place(is_whole)
                self._check_precision(opening)
                self._writes = self._model.create_input_buffers(0)
                self._reads = self._model.create_output_buffers(0)
                for spec, buffer in zip(self.inputs, self._writes, strict=True):  # the first one talks
                    buffer.write(np.zeros(_sizes(spec), spec.numpy_dtype))
            except (ValueError, RuntimeError, TypeError, OSError) as error:
                failure: Exception | None = error
                self._model = self._environment = None
                traceback.clear_frames(error.__traceback__)  # what they hold would talk when it goes
            else:
                failure = None
        if failure is not None:
            raise self._failure(failure, chatter)
        self.placement: Mapping[str, int] = {opening.provider: 0}
        if not is_whole:
            counts = _COUNTS.search(chatter.text)
            self.placement = dict(
                zip((opening.provider, CPU), map(int, counts.groups() if counts else (0, 0)), strict=True)
            )

    @property
    def metadata(self) -> Mapping[str, str]:
        """What edgepack wrote into the file."""
        return metadata(self._data)

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        """Run once; the arrays belong to the caller."""
        with self._turn:
            if self._model is None:
                closed()
            try:
                for spec, buffer in zip(self.inputs, self._writes, strict=True):
                    array = feeds[spec.name]
                    if array.shape != spec.shape or array.dtype != spec.numpy_dtype:  # a buffer takes any of its size
                        raise ValueError(f"got {array.dtype} {array.shape} for {spec}")
                    buffer.write(array)
                self._model.run_by_index(0, self._writes, self._reads)
                return [
                    buffer.read(math.prod(_sizes(spec)), spec.numpy_dtype).reshape(_sizes(spec))
                    for spec, buffer in zip(self.outputs, self._reads, strict=True)
                ]
            except (ValueError, RuntimeError) as error:
                raise EngineError(f"{self._where} failed on these inputs: {one_line(error)}") from error

    def close(self) -> None:
        """Give the memory back; a run that is under way ends first. A second call does nothing."""
        with self._turn, held_back():
            self._model = None
            self._writes, self._reads, self._environment = [], [], None
            self._data = b""

    def _compile(self, api: Any, opening: Opening) -> bool:
        """Compile for the accelerator alone, or where that does not take all, and may do so, with the CPU beside it."""
        kinds = api.HardwareAccelerator
        wanted = {GPU: kinds.GPU, NPU: kinds.NPU}[opening.provider]
        paths = {name: opening.options[name] for name in _PATHS if name in opening.options}
        self._environment = api.Environment.create(**paths)
        options = _options(api, opening)

        def compiled(accelerators: Any) -> Any:
            return api.CompiledModel.from_buffer(
                self._data, environment=self._environment,
                options=api.Options(hardware_accelerators=accelerators, **options),
            )  # fmt: skip

        try:
            self._model = compiled(wanted)
        except RuntimeError as error:
            if opening.strict or "not accelerated" not in str(error):
                raise
            self._model = compiled(wanted | kinds.CPU)
            return False
        return True

    def _check_place(self, is_whole: bool) -> None:
        """Refuse a file that stays in the memory of the CPU: at both ends; at either, where all is to run elsewhere."""
        ends = (
            [self._model.get_input_buffer_requirements(index) for index in range(len(self.inputs))],
            [self._model.get_output_buffer_requirements(index) for index in range(len(self.outputs))],
        )
        away = [{*part["supported_types"]} != {_HOST_MEMORY} for end in ends for part in end]
        if not (all(away) if is_whole else any(away)):
            raise RuntimeError(
                "its inputs and outputs stay with the CPU: there is no such device, or it takes none of it"
            )

    def _check_precision(self, opening: Opening) -> None:
        """Refuse to pass less for float32: Intel's plugin takes a precision and runs in its own (2.3.0, 1e-2 off)."""
        floats = [spec.name for spec in (*self.inputs, *self.outputs) if spec.dtype == "float32"]
        if opening.provider == NPU and floats and not opening.reduced:
            raise EngineError(
                f"it takes or gives float32 ({', '.join(floats)}), for which NPUs compute in float16 or bfloat16 and "
                "cannot be told otherwise; allow reduced precision"
            )

    def _failure(self, error: Exception, chatter: Chatter) -> EngineError:
        told = [one_line(_FOR_OTHERS.sub("", str(error)))]
        if not isinstance(error, EngineError):
            told.append(chatter.reason(self._kind))
        why = ": ".join(part.rstrip(".") for part in told if part)
        return EngineError(f"{self._where} does not run the file: {why}; take another provider, or 'cpu'")


def _reason_not_to_compile(data: bytes) -> str:
    if state_of(data).kept:
        return "it keeps state inside, which a compiled model cannot be made to forget; take provider 'cpu'"
    if has_free_sizes(data):
        return "its inputs have free sizes, and a compiled model takes one; convert it with --batch 1"
    return ""


def _specs(model: Any, side: str) -> tuple[TensorSpec, ...]:
    signatures = model.get_signature_list()
    if len(signatures) != 1:
        raise ValueError(f"it has {len(signatures)} signatures; convert it with one")
    ((key, names),) = signatures.items()
    details = getattr(model, f"get_{side.lower()}_tensor_details")(key)
    specs = tuple(
        TensorSpec(name, tuple(map(int, details[name]["shape"])), str(details[name]["dtype"]))
        for name in names[f"{side.lower()}s"]
    )
    for spec in specs:
        if spec.dtype not in _DTYPES:
            raise ValueError(
                f"{spec} is of a type that compiled models are not fed; they take {', '.join(sorted(_DTYPES))}"
            )
    return specs


def _sizes(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(size or 0 for size in spec.shape)


def _options(api: Any, opening: Opening) -> dict[str, Any]:
    """The groups of options that a provider has, float32 kept at float32 unless that may be reduced."""
    given = {name: value for name, value in opening.options.items() if name not in _PATHS}
    if opening.provider == GPU:
        return {"gpu_options": _filled(api.GpuOptions, {"enforce_f32": "off" if opening.reduced else "on", **given})}
    intel, qualcomm = (
        {name.removeprefix(start): given.pop(name) for name in list(given) if name.startswith(start)}
        for start in ("intel.", "qualcomm.")
    )
    if given:
        raise EngineError(f"unknown options {', '.join(given)}; those of NPUs start with intel. or qualcomm.")
    found = {"intel_openvino_options": _filled(api.IntelOpenVinoOptions, intel)}
    return found | ({"qualcomm_options": _filled(api.QualcommOptions, qualcomm)} if qualcomm else {})


def _filled(group: Any, given: Mapping[str, str]) -> Any:
    """A group of options with the values that text stands for, by the types it is declared with."""
    kinds = {name: kind for name, hint in typing.get_type_hints(group).items() if (kind := _kind(hint))}
    options = group()
    for name, text in given.items():
        if name not in kinds:
            raise EngineError(f"unknown option {name!r} of {group.__name__} (known: {', '.join(sorted(kinds))})")
        kind = kinds[name]
        try:
            value = _VALUES[text] if kind is bool else kind[text] if issubclass(kind, enum.Enum) else kind(text)
        except (KeyError, ValueError):
            known = "on, off" if kind is bool else ", ".join(getattr(kind, "__members__", [kind.__name__]))
            raise EngineError(f"option {name!r} of {group.__name__} cannot be {text!r} (known: {known})") from None
        setattr(options, name, value)
    return options


def _kind(hint: Any) -> Any:
    """The type of an option that one word can give; None for lists and tables."""
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    return hint if isinstance(hint, type) and issubclass(hint, (bool, int, str, enum.Enum)) else None
