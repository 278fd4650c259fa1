"""Where OpenVINO can execute: the CPU, and Intel's GPUs and NPUs."""

import sys
from functools import partial
from pathlib import Path

from edgepack.runtime.engines.base import Look, Offer
from edgepack.runtime.engines.openvino_library import PREFIX, core, words

CPU = f"{PREFIX}CPU"

# device -> (kind, nodes of Linux of which one is there where its driver is, how to get that)
_DEVICES = {
    "GPU": ("gpu", ("dri/renderD*", "dxg"), "install the driver of an Intel GPU and its OpenCL (intel-opencl-icd)"),
    "NPU": ("npu", ("accel/accel*",), "install the driver of an Intel NPU (github.com/intel/linux-npu-driver)"),
}


def offers() -> tuple[Offer, ...]:
    """Every provider of OpenVINO, best first of each kind."""
    others = (
        Offer(f"{PREFIX}{device}", kind, partial(missing, nodes, how), partial(_look, device, how))
        for device, (kind, nodes, how) in _DEVICES.items()
    )
    return (Offer(CPU, "cpu", look=partial(_look, "CPU", "")), *others)


def missing(nodes: tuple[str, ...], how: str, root: Path = Path("/dev")) -> str:
    """Why a device cannot be there; empty where it may be.

    Args:
        nodes: Patterns of files under `root`, of which its driver makes one on Linux.
        how: How to get it.
        root: Where devices are listed.
    """
    if sys.platform != "linux" or any(any(root.glob(pattern)) for pattern in nodes):
        return ""
    listed = " or ".join(str(root / pattern) for pattern in nodes)
    return f"this system has no {listed}; {how}"


def _look(device: str, how: str) -> Look:
    """What OpenVINO finds of a device."""
    try:
        found = core().available_devices
        if not any(name.partition(".")[0] == device for name in found):
            return Look(f"OpenVINO finds no {device} (it finds {', '.join(found) or 'nothing'}); {how}")
        return Look(device=str(core().get_property(device, "FULL_DEVICE_NAME")).strip())
    except (RuntimeError, ImportError) as error:
        return Look(f"OpenVINO cannot look for a {device}: {words(error)}")
