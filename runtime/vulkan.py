"""Which Vulkan devices this machine has, and which of them are programs on the CPU, asked of the Vulkan loader."""

import ctypes
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

# System -> file of the loader. On Apple's systems GPUs are reached by Metal.
_LOADERS = {
    "linux": "libvulkan.so.1",
    "android": "libvulkan.so",
    "win32": "vulkan-1.dll",
    "darwin": "libvulkan.1.dylib",
}

_TYPES = ("other", "integrated", "discrete", "virtual", "software")  # VkPhysicalDeviceType, by number
_INSTANCE_CREATE_INFO = 1  # VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO
_INCOMPATIBLE_DRIVER = -9  # VK_ERROR_INCOMPATIBLE_DRIVER: what the loader says where it finds no driver
_MOST_DEVICES = 64
_NO_DRIVER = (
    "the Vulkan loader finds no driver with a device; install that of the GPU "
    "(Debian: apt install mesa-vulkan-drivers), or name its .json file in VK_ICD_FILENAMES"
)


@dataclass(frozen=True, slots=True)
class VulkanDevice:
    """A device that some Vulkan driver offers."""

    name: str
    """In the words of its driver."""
    kind: str
    """`discrete`, `integrated`, `virtual`, `software` or `other`."""
    vendor_id: int
    device_id: int

    @property
    def software(self) -> bool:
        """Whether it is a program on the CPU."""
        return self.kind == "software"


def devices() -> tuple[VulkanDevice, ...]:
    """Every device of every driver, in the loader's order; the drivers are loaded once in a process."""
    return _found()[0]


def why_none() -> str:
    """Why there are no devices and how to get one; empty where there are some."""
    return _found()[1]


class _CreateInfo(ctypes.Structure):
    """VkInstanceCreateInfo without layers and extensions."""

    _fields_ = (
        ("type", ctypes.c_int32), ("next", ctypes.c_void_p), ("flags", ctypes.c_uint32),
        ("application", ctypes.c_void_p),
        ("layer_count", ctypes.c_uint32), ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32), ("extensions", ctypes.c_void_p),
    )  # fmt: skip


class _Properties(ctypes.Structure):
    """The head of VkPhysicalDeviceProperties; the rest, some 550 bytes of limits, is left unread."""

    _fields_ = (
        ("api_version", ctypes.c_uint32), ("driver_version", ctypes.c_uint32),
        ("vendor_id", ctypes.c_uint32), ("device_id", ctypes.c_uint32), ("type", ctypes.c_uint32),
        ("name", ctypes.c_char * 256), ("rest", ctypes.c_char * 4096),
    )  # fmt: skip


@cache
def _found() -> tuple[tuple[VulkanDevice, ...], str]:
    file = _LOADERS.get(sys.platform, _LOADERS["linux"])
    try:
        loader = ctypes.CDLL(file)
        found = _enumerate(loader)
    except (OSError, AttributeError) as error:
        return (), f"the Vulkan loader {file} cannot be loaded ({error}); install it (Debian: apt install libvulkan1)"
    if isinstance(found, int):
        if found == _INCOMPATIBLE_DRIVER:
            return (), _NO_DRIVER
        return (), f"the Vulkan loader {file} fails with VkResult {found}; install the driver of the GPU again"
    return (found, "") if found else ((), _NO_DRIVER)


def _enumerate(loader: Any) -> tuple[VulkanDevice, ...] | int:
    """The devices, or the number of the error."""
    instance = ctypes.c_void_p()
    if code := loader.vkCreateInstance(
        ctypes.byref(_CreateInfo(type=_INSTANCE_CREATE_INFO)), None, ctypes.byref(instance)
    ):
        return int(code)
    try:
        count = ctypes.c_uint32(_MOST_DEVICES)
        handles = (ctypes.c_void_p * _MOST_DEVICES)()
        code = loader.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), handles)
        if code < 0:  # above 0: there are more than were asked for
            return int(code)
        return tuple(_describe(loader, handle) for handle in handles[: count.value] if handle)
    finally:
        loader.vkDestroyInstance(instance, None)


def _describe(loader: Any, handle: int) -> VulkanDevice:
    read = _Properties()
    loader.vkGetPhysicalDeviceProperties(ctypes.c_void_p(handle), ctypes.byref(read))
    kind = _TYPES[read.type] if read.type < len(_TYPES) else "other"
    return VulkanDevice(read.name.decode(errors="replace"), kind, read.vendor_id, read.device_id)
