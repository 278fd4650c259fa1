"""OpenVINO: ONNX and TFLite files on the CPU, and on Intel's GPUs and NPUs."""

import contextlib
import io
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from edgepack.runtime.device import usable_cores
from edgepack.runtime.engines import file_names
from edgepack.runtime.engines.base import EngineName, Opening, closed
from edgepack.runtime.engines.file_names import Name
from edgepack.runtime.engines.onnx_file import keeps_tensors_elsewhere, quantizes_in_16_bits
from edgepack.runtime.engines.openvino_lane import Lane, failure
from edgepack.runtime.engines.openvino_library import PREFIX, core, description, front_end, words
from edgepack.runtime.engines.openvino_stream import OpenvinoStream
from edgepack.runtime.engines.pool import Pool
from edgepack.runtime.engines.tflite_file import metadata, reason_to_refuse
from edgepack.runtime.errors import EngineError
from edgepack.runtime.tensor import Array, TensorSpec

# OpenVINO's name of an element type -> ours
_DTYPES = {
    "f16": "float16", "f32": "float32", "f64": "float64", "boolean": "bool",
    **{f"{sign}{bits}": f"{name}{bits}" for sign, name in (("i", "int"), ("u", "uint")) for bits in (8, 16, 32, 64)},
}  # fmt: skip
# Float32 as it is: no bfloat16, and no inputs of matrix products rounded to int8 on the way.
_EXACT = {
    "INFERENCE_PRECISION_HINT": "f32",
    "EXECUTION_MODE_HINT": "ACCURACY",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
}
_LARGE_BYTES = 2**21  # smaller files are compiled for the CPU sooner than what was kept of them is checked
_NEVER_LEFT_OUT = {"INFERENCE_PRECISION_HINT"}  # a device that cannot must say so
_NO_WORK = {"Input", "Output", "Const", "Parameter", "Result", "Constant"}  # in the graph that runs


class OpenvinoEngine:
    """An ONNX or TFLite file in OpenVINO."""

    def __init__(self, data: bytes, opening: Opening) -> None:
        """Open the file; raises `EngineError` with the engine's own words where it refuses it."""
        self.name = EngineName("openvino", description())
        is_tflite = data[4:8] == b"TFL3"
        try:
            if reason := reason_to_refuse(data) if is_tflite else _reason_to_refuse_onnx(data):
                raise EngineError(reason)
            names = (file_names.of_tflite if is_tflite else file_names.of_onnx)(data)
            source = _Source(data, opening, is_tflite=is_tflite)
            compiled = source.compiled()
            inputs, outputs = _ports(compiled.inputs, names[0]), _ports(compiled.outputs, names[1])
            self.inputs = tuple(_spec(compiled.inputs[port], name) for name, port in inputs)
            self.outputs = tuple(_spec(compiled.outputs[port], name) for name, port in outputs)
            self._devices = _devices(compiled)
            self.placement: Mapping[str, int] = _placement(compiled, self._devices)
            self._lane = partial(Lane, inputs=inputs, outputs=[port for _, port in outputs])
            self._compiled: Any = compiled
            first = self._lane(compiled)
        except Exception as error:
            raise EngineError(f"{self.name.description} refuses the file: {words(error)}") from error
        self.metadata: Mapping[str, str] = metadata(data) if is_tflite else file_names.onnx_metadata(data)
        self.keeps_state = first.keeps_state
        """Whether the file has state inside, which every `run` starts afresh, and a stream keeps."""
        # A compiled file answers one call at a time, in the caller's own thread. It could answer more at once, but then
        # hands each to a thread of its own, and that takes longer than a small net: more at once are more of them.
        most = max(1, usable_cores() // opening.threads)
        self._pool = Pool(first, (lambda: self._lane(source.compiled())) if most > 1 else closed, most)
        self._idle = self._pool.idle

    @property
    def provider(self) -> str:
        """Where it runs, by the devices that OpenVINO compiled it for."""
        return next((kind for kind in ("npu", "gpu") if kind.upper() in self._devices), "cpu")

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        """Run once; the arrays belong to the caller."""
        try:  # written out, here and below: a call of a method shows in the smallest run
            lane = self._idle.pop()
        except IndexError:
            lane = self._pool.another()
        try:
            return lane.run(feeds)
        except Exception as error:
            raise failure(error) from error
        finally:
            self._idle.append(lane)
            if self._pool.wanted:
                self._pool.wake()

    def run_into(self, feeds: Mapping[str, Array], outputs: Sequence[Array]) -> None:
        """Run once into arrays of the caller's, which are of the outputs' shapes and dtypes, in the file's order."""
        try:
            lane = self._idle.pop()
        except IndexError:
            lane = self._pool.another()
        try:
            lane.run_into(feeds, outputs)
        except Exception as error:
            raise failure(error) from error
        finally:
            self._idle.append(lane)
            if self._pool.wanted:
                self._pool.wake()

    def stream(self) -> OpenvinoStream:
        """An engine for the same file whose state lives on from run to run, on its own. Close it."""
        if self._compiled is None:
            closed()
        return OpenvinoStream(self, self._lane(self._compiled, remembers=True))

    def close(self) -> None:
        """Give the memory back; runs that are under way end first."""
        self._pool.close(Lane.close)
        self._compiled = None


def _reason_to_refuse_onnx(data: bytes) -> str:
    if not file_names.of_onnx(data)[1]:
        return "it is no ONNX file that gives anything"  # OpenVINO takes no bytes at all for an empty model
    if keeps_tensors_elsewhere(data):
        return (
            "it keeps weights in another file, which edgepack does not read; save it as one file: "
            "onnx.save(onnx.load(path), path)"
        )
    if quantizes_in_16_bits(data):
        return "OpenVINO gives wrong numbers for activations in int16, NaN among them; take onnxruntime, or int8"
    return ""


def _read(kind: str, source: object) -> Any:
    """The model in a file of one format: not of any that OpenVINO would guess."""
    reader = front_end(kind)
    return reader.convert(reader.load(source))


def _read_tflite(data: bytes) -> Any:
    """The model in a TFLite file, which OpenVINO reads from a path alone, and from none without the ending."""
    folder = tempfile.mkdtemp(prefix="edgepack-")
    try:
        path = Path(folder) / "model.tflite"
        path.write_bytes(data)
        return _read("tflite", str(path))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Source:
    """A file that is compiled as often as there are lanes, from what was compiled at an earlier start where it can."""

    def __init__(self, data: bytes, opening: Opening, *, is_tflite: bool) -> None:
        self._data, self._opening, self._is_tflite = data, opening, is_tflite
        self._device = opening.provider.removeprefix(PREFIX)

    def compiled(self) -> Any:
        """The model ready to run on the device that is asked for."""
        if self._device == "CPU" and len(self._data) < _LARGE_BYTES:
            return self._compile()
        from edgepack.runtime.engines.prepared import Prepared

        prepared = Prepared(description(), self._data, self._opening, ending=".blob")
        if path := prepared.get():
            with contextlib.suppress(Exception):  # whatever it says, the file itself can still be compiled
                return self._import(path)
        compiled = self._compile()
        with contextlib.suppress(RuntimeError):  # not every plugin gives out what it compiled
            exported: io.BytesIO = compiled.export_model()
            prepared.keep(lambda path: path.write_bytes(exported.getbuffer()))
        return compiled

    @cached_property
    def _model(self) -> Any:
        return _read_tflite(self._data) if self._is_tflite else _read("onnx", io.BytesIO(self._data))

    def _compile(self) -> Any:
        compiled = core().compile_model(self._model, self._device, _settings(self._device, self._opening))
        return self._alone(compiled)

    def _import(self, path: Path) -> Any:
        settings = _settings(self._device, self._opening)
        return self._alone(core().import_model(io.BytesIO(path.read_bytes()), self._device, settings))

    def _alone(self, compiled: Any) -> Any:
        elsewhere = [name for name in _devices(compiled) if name != self._device]
        if elsewhere and self._opening.strict:
            raise EngineError(f"it would run on {', '.join(elsewhere)} too, not on {self._device} alone")
        return compiled


def _settings(device: str, opening: Opening) -> dict[str, object]:
    """What a device is told, as far as it knows it."""
    wanted: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(opening.threads),
        "ENABLE_CPU_PINNING": False,  # two processes would sit on the same cores
        **({} if opening.reduced else _EXACT),
    }
    known = core().get_property(device, "SUPPORTED_PROPERTIES")
    settings = {name: value for name, value in wanted.items() if name in known or name in _NEVER_LEFT_OUT}
    return {**settings, **opening.options}


def _devices(compiled: Any) -> list[str]:
    """Where it runs, without the numbers of several of a kind."""
    return [str(name).strip("()").partition(".")[0] for name in compiled.get_property("EXECUTION_DEVICES")]


def _ports(ports: Sequence[Any], names: Sequence[Name]) -> list[tuple[str, int]]:
    """What the file calls each tensor, in its order, with the port of OpenVINO's that carries it."""
    if len(ports) != len(names):
        raise ValueError(f"OpenVINO makes {len(ports)} tensors of {', '.join(name.given for name in names) or 'none'}")
    found: list[tuple[str, int]] = []
    free = dict(enumerate(port.get_names() for port in ports))
    for place, name in enumerate(names):
        fitting = [port for port in (place, *free) if name.tensor in free.get(port, ())]
        if not fitting:
            raise ValueError(f"OpenVINO knows no tensor {name.tensor!r}")
        del free[fitting[0]]
        found.append((name.given, fitting[0]))
    return found


def _placement(compiled: Any, devices: Sequence[str]) -> Mapping[str, int]:
    """Operators that run, on the one device there is; 0 on several, or where the plugin does not list them."""
    try:
        operators = compiled.get_runtime_model().get_ops() if len(devices) == 1 else ()
        kinds = [operator.get_rt_info()["layerType"].astype(str) for operator in operators]
    except (RuntimeError, KeyError):
        kinds = []
    return {f"{PREFIX}{device}": sum(kind not in _NO_WORK for kind in kinds) for device in devices}


def _spec(tensor: Any, name: str) -> TensorSpec:
    kind = tensor.get_element_type().get_type_name()
    if kind not in _DTYPES:
        raise EngineError(f"tensor {name!r} has type {kind}, which edgepack does not feed")
    shape = tensor.get_partial_shape()
    if shape.rank.is_dynamic:
        raise EngineError(f"OpenVINO cannot tell how many axes tensor {name!r} has")
    return TensorSpec(name, tuple(None if size.is_dynamic else size.get_length() for size in shape), _DTYPES[kind])
