"""Where ONNX Runtime can execute: its own CPU, what its builds have compiled in, and what plugins bring."""

import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

from edgepack.runtime import vulkan
from edgepack.runtime.chatter import stdout_to_stderr
from edgepack.runtime.engines import onnx_plugins
from edgepack.runtime.engines.base import Look, Offer, Opening
from edgepack.runtime.engines.onnx_place import CPU, Place
from edgepack.runtime.engines.onnx_plugins import Plugin
from edgepack.runtime.engines.onnx_words import in_words
from edgepack.runtime.errors import EngineError, one_line


@dataclass(frozen=True, slots=True)
class _Row:
    """A provider that is known by name."""

    name: str
    kind: str
    package: str
    """What brings it, for `pip install`."""
    plugin: bool = False
    """That package stands beside onnxruntime; others are builds of ONNX Runtime that take its place."""
    system: str = ""
    """The one `sys.platform` it exists on; empty where there are several."""
    driver: tuple[str, ...] = ()
    """Files of which one is there on Linux where the driver is."""
    options: Mapping[str, str] = field(default_factory=dict)
    exact: Mapping[str, str] = field(default_factory=dict)
    """Options that keep float32 at float32."""
    reduced: Mapping[str, str] = field(default_factory=dict)
    """Options that let it compute in less."""
    simulates: bool = False
    """Where it finds nothing but the CPU, its library simulates the device there."""
    vulkan: bool = False
    """On Linux it reaches the device by Vulkan."""
    in_turn: bool = False
    """Its sessions share what is not made for two threads, so that one at a time runs in a process."""


_NVIDIA = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/nvhost-gpu", "/dev/dxg")  # the last two: Jetson, Windows' Linux
_AMD = ("/dev/kfd", "/dev/dxg")

# Best first of each kind. Options: https://onnxruntime.ai/docs/execution-providers
_ROWS = (
    _Row(CPU, "cpu", "onnxruntime"),
    _Row("DnnlExecutionProvider", "cpu", "a build of ONNX Runtime with --use_dnnl"),
    _Row("ACLExecutionProvider", "cpu", "a build of ONNX Runtime with --use_acl", reduced={"enable_fast_math": "true"}),
    _Row("XnnpackExecutionProvider", "cpu", "a build of ONNX Runtime with --use_xnnpack"),
    _Row(
        "NvTensorRTRTXExecutionProvider", "gpu", "onnxruntime-ep-nv-tensorrt-rtx", plugin=True, driver=_NVIDIA,
    ),
    _Row(
        "TensorrtExecutionProvider", "gpu", "onnxruntime-gpu", driver=_NVIDIA, reduced={"trt_fp16_enable": "1"},
    ),
    _Row("CUDAExecutionProvider", "gpu", "onnxruntime-gpu", driver=_NVIDIA, exact={"use_tf32": "0"}),
    _Row(
        "MIGraphXExecutionProvider", "gpu", "onnxruntime-migraphx", driver=_AMD, reduced={"migraphx_fp16_enable": "1"},
    ),
    _Row("ROCMExecutionProvider", "gpu", "onnxruntime-rocm", driver=_AMD),
    _Row(
        "CoreMLExecutionProvider", "gpu", "onnxruntime", system="darwin", options={"ModelFormat": "MLProgram"},
        # The neural engine computes in float16 alone.
        exact={"MLComputeUnits": "CPUAndGPU"}, reduced={"AllowLowPrecisionAccumulationOnGPU": "1"},
    ),
    _Row("DmlExecutionProvider", "gpu", "onnxruntime-directml", system="win32"),
    _Row("OpenVINOExecutionProvider", "gpu", "onnxruntime-ep-openvino", plugin=True),
    # Release 0.4.0 crashes where two of its sessions run, or are opened, at once.
    _Row("WebGpuExecutionProvider", "gpu", "onnxruntime-ep-webgpu", plugin=True, vulkan=True, in_turn=True),
    _Row(
        "QNNExecutionProvider", "npu", "onnxruntime-qnn", plugin=True, options={"backend_type": "htp"},
        exact={"enable_htp_fp16_precision": "0"}, simulates=True,
    ),
    _Row("VitisAIExecutionProvider", "npu", "a build of ONNX Runtime with --use_vitisai"),
    _Row("CANNExecutionProvider", "npu", "onnxruntime-cann", driver=("/dev/davinci_manager",)),
    _Row("RknpuExecutionProvider", "npu", "a build of ONNX Runtime with --use_rknpu"),
    _Row("NnapiExecutionProvider", "npu", "a build of ONNX Runtime with --use_nnapi", system="android"),
)  # fmt: skip
_KNOWN = {row.name: row for row in _ROWS}

_TURN = threading.RLock()

_SYSTEMS = {"darwin": "macOS", "win32": "Windows", "android": "Android"}

# What a package that is in no table calls what it runs on.
_GPU = re.compile(r"gpu|cuda|rocm|hip|metal|mlx|vulkan|directml|dml|tensorrt|opencl|ggml", re.IGNORECASE)
_NPU = re.compile(r"npu|qnn|htp|tpu|vitis|hailo|ethos|neuron", re.IGNORECASE)

# y = relu(x), float32 (1, 4), opset 13: the least that a provider can be tried with
_TINY = (
    b'\x08\x08:;\n\x0c\n\x01x\x12\x01y"\x04Relu\x12\x01gZ\x13\n\x01x\x12\x0e\n\x0c\x08\x01\x12\x08\n\x02\x08\x01\n'
    b"\x02\x08\x04b\x13\n\x01y\x12\x0e\n\x0c\x08\x01\x12\x08\n\x02\x08\x01\n\x02\x08\x04B\x04\n\x00\x10\r"
)


def offers() -> tuple[Offer, ...]:
    """Every provider of ONNX Runtime, best first of each kind; unknown plugins that are installed come last."""
    installed = onnx_plugins.plugins()
    known = [
        Offer(row.name, row.kind, *_ways(row, installed.get(row.name))) if row.name != CPU else Offer(CPU, "cpu")
        for row in _ROWS
    ]
    others = [Offer(name, _guess(plugin), *_ways(None, plugin)) for name, plugin in installed.items()]
    return (*known, *(offer for offer in others if offer.name not in _KNOWN))


def place(opening: Opening) -> Place:
    """Load what a provider other than the CPU's own needs, and say how a session is put on it.

    Raises:
        EngineError: It is not here, finds no device, or does not know an option.
    """
    name = opening.provider
    row = _KNOWN.get(name)
    options = _options(row, opening)
    turn = _TURN if row and row.in_turn else None
    if plugin := onnx_plugins.plugins().get(name):
        return _place_of_plugin(plugin, row, options, tuple(opening.options))._replace(turn=turn)
    if why := _not_compiled_in(row, name):
        raise EngineError(f"{name} is not here: {why}")
    kind = row.kind if row else "cpu"
    if name == "OpenVINOExecutionProvider":
        kind = options.setdefault("device_type", "GPU").partition("_")[0].partition(".")[0].lower()
    return Place(kind, frozenset({name}), ((name, options),), options=options, turn=turn)


def _options(row: _Row | None, opening: Opening) -> dict[str, str]:
    """The provider's options: its table's, those of the precision, then those that were asked for."""
    if row is None:
        return dict(opening.options)
    threads = {"intra_op_num_threads": str(opening.threads)} if row.name == "XnnpackExecutionProvider" else {}
    return {**row.options, **(row.reduced if opening.reduced else row.exact), **threads, **opening.options}


def _place_of_plugin(plugin: Plugin, row: _Row | None, options: dict[str, str], asked: tuple[str, ...]) -> Place:
    if plugin.why_not:
        raise EngineError(f"{plugin.name} is not here: {plugin.why_not}")
    if unknown := [option for option in asked if not onnx_plugins.knows(plugin, option)]:
        raise EngineError(
            f"{plugin.name} has no option {', '.join(map(repr, unknown))}: its library does not hold the name; "
            "correct it or leave it out"
        )
    found = onnx_plugins.devices(plugin)
    if not found:
        raise EngineError(f"{plugin.name} is not here: {_no_device(plugin)}")
    device = _best(found, row.kind if row else _guess(plugin))
    kind = row.kind if row and row.simulates else device.device.type.name.lower()
    version = device.ep_metadata.get("version", "")
    return Place(kind, frozenset({device.ep_name}), (), (device,), options, f"{plugin.name} {version}".strip())


def _best(found: tuple[Any, ...], kind: str) -> Any:
    """The device of the wanted kind, a card of its own before one in the processor; any, where there is none."""

    def rank(device: Any) -> tuple[bool, bool]:
        hardware = device.device
        return hardware.type.name.lower() != kind, hardware.metadata.get("Discrete") != "1"

    return min(found, key=rank)


def _guess(plugin: Plugin) -> str:
    text = f"{plugin.module} {plugin.name}"
    return "npu" if _NPU.search(text) else "gpu" if _GPU.search(text) else "cpu"


def _ways(row: _Row | None, plugin: Plugin | None) -> tuple[Callable[[], str], Callable[[], Look]]:
    """`missing` and `look` of an offer."""
    return partial(_missing, row, plugin), partial(_look, row.name if row else plugin.name if plugin else "", row)


def _missing(row: _Row | None, plugin: Plugin | None) -> str:
    if find_spec("onnxruntime") is None:
        return "onnxruntime is not installed; run: pip install 'edgepack[onnx]'"
    if row and row.system and row.system != sys.platform:
        return f"it exists on {_SYSTEMS[row.system]} only"
    why = plugin.why_not if plugin else _not_compiled_in(row, row.name if row else "")
    if why or row is None:
        return why
    if sys.platform == "linux" and row.driver and not any(map(os.path.exists, row.driver)):
        return f"there is no driver (none of {', '.join(row.driver)}); install that of the device"
    return ""


def _not_compiled_in(row: _Row | None, name: str) -> str:
    """Why a provider that is no plugin here is not in this build of ONNX Runtime either; empty where it is."""
    try:
        import onnxruntime
    except ImportError as error:
        return f"onnxruntime cannot be imported ({one_line(error)}); install it again"
    if name in onnxruntime.get_available_providers():
        return ""
    here = f"ONNX Runtime {onnxruntime.__version__} was built without it"
    if row is None:
        return f"{here}, and no plugin of that name is installed"
    if row.package.startswith("a build"):
        return f"{here}; it takes {row.package}"
    if row.plugin:
        return f"{here}, and its plugin is not installed; run: pip install {row.package}"
    return f"{here}; run: pip uninstall onnxruntime, then: pip install {row.package}"


def _look(name: str, row: _Row | None) -> Look:
    """Open a file of one operator there, and tell what it found. This loads drivers: the process may end in it."""
    with stdout_to_stderr():
        try:
            found, listed = _try(name)
        except EngineError as error:
            driver = vulkan.why_none() if row and row.vulkan and sys.platform == "linux" else ""
            return Look(f"{one_line(error)}; {driver}" if driver else one_line(error))
    if found.names.isdisjoint(listed):  # so ends CUDA without its libraries: with a line on stderr
        return Look(f"ONNX Runtime leaves it out; install the driver and libraries that {name} needs")
    return _seen(row, found)


def _try(name: str) -> tuple[Place, tuple[str, ...]]:
    """Where a file of one operator was put, and the providers its session then has."""
    import onnxruntime

    found = place(Opening(name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        if found.devices:
            options.add_provider_for_devices(list(found.devices), dict(found.options))
        session = onnxruntime.InferenceSession(_TINY, options, providers=list(found.listed) or None, enable_fallback=0)
    except Exception as error:
        raise EngineError(f"it cannot be opened: {in_words(error)}") from error
    return found, tuple(session.get_providers())


def _seen(row: _Row | None, found: Place) -> Look:
    if row and row.vulkan and sys.platform == "linux":
        order = ("discrete", "integrated", "virtual", "other", "software")  # as WebGPU's library takes them
        best = min(vulkan.devices(), key=lambda device: order.index(device.kind), default=None)
        return Look(device=best.name, software=best.software) if best else Look(vulkan.why_none())
    if not found.devices:
        return Look()
    device, hardware = found.devices[0], found.devices[0].device
    if row and row.simulates and hardware.type.name == "CPU":
        return Look(device=f"{device.ep_vendor}'s simulator, on the CPU", software=True)
    told = hardware.metadata.get("Description") or hardware.vendor or f"vendor {hardware.vendor_id:#06x}"
    return Look(device=f"{told} {hardware.type.name}")


def _no_device(plugin: Plugin) -> str:
    kind = _KNOWN[plugin.name].kind if plugin.name in _KNOWN else _guess(plugin)
    where = " (it looks in /sys/class/drm)" if sys.platform == "linux" and kind == "gpu" else ""
    return f"its library finds no device here{where}; install the driver of the device"
