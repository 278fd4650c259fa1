"""Where LiteRT can execute: the interpreter with XNNPACK, and the accelerators of its compiled models.

A delegate of others is one more, under the name `delegate:` and the path of its library.
"""

import sys
from functools import partial
from importlib.util import find_spec

from edgepack.runtime import vulkan
from edgepack.runtime.engines import litert_library
from edgepack.runtime.engines.base import Look, Offer
from edgepack.runtime.engines.litert_library import CPU

_INTEL = "ai-edge-litert-sdk-intel"


def offers() -> tuple[Offer, ...]:
    """Every provider of LiteRT, best first of each kind."""
    return (
        Offer(CPU, "cpu"),
        Offer(litert_library.GPU, "gpu", _missing_compiled, _look_gpu),
        Offer(litert_library.NPU, "npu", partial(_missing_compiled, sdk=True), _look_npu),
    )


def _missing_compiled(*, sdk: bool = False) -> str:
    """Why no compiled model can be made here."""
    if not find_spec("ai_edge_litert"):
        return "tflite-runtime has no compiled models; where it installs: pip install ai-edge-litert"
    if not find_spec("ai_edge_litert.compiled_model"):
        return "this release of ai-edge-litert has no compiled models; run: pip install -U ai-edge-litert"
    if sdk and not find_spec("ai_edge_litert_sdk_intel"):
        release = litert_library.installed().version
        return f"the libraries of the NPU are missing; for Intel's, run: pip install {_INTEL}=={release}"
    return ""


def _look_gpu() -> Look:
    """The GPU is reached by Vulkan on Linux and Android; elsewhere the system has what is needed."""
    if not sys.platform.startswith(("linux", "android")):
        return Look()
    devices = vulkan.devices()
    if not devices:
        return Look(vulkan.why_none())
    return Look(device=devices[0].name, software=devices[0].software)


def _look_npu() -> Look:
    """The NPU of Intel's processors, asked of the OpenVINO that LiteRT's plugin runs on."""
    if not find_spec("openvino"):
        return Look("OpenVINO is missing, by which LiteRT reaches Intel's NPU; run: pip install openvino")
    import openvino

    core = openvino.Core()
    names = [name for name in core.available_devices if name.startswith("NPU")]
    if not names:
        found = ", ".join(core.available_devices)
        return Look(f"OpenVINO finds no NPU (it finds {found}); install its driver: linux-npu-driver or Windows' own")
    return Look(device=str(core.get_property(names[0], "FULL_DEVICE_NAME")))
